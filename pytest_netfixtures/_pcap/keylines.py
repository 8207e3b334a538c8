"""Lines of an NSS key log, the text that `SSLKEYLOGFILE` names: which lines are some, and which are not.

Law: pure, text in and lines out. An error names the number of a line and never what is in it, because it is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_netfixtures._errors import is_for_the_user

__all__ = ["as_text", "check", "fitting", "is_text", "lines_of"]

_HEX = "[0-9a-fA-F]"
_LINE = re.compile(
    f"(?:CLIENT_RANDOM {_HEX}{{64}} {_HEX}{{96}}"
    f"|[A-Z_]+_SECRET(?:_[0-9]+)? {_HEX}{{64}} {_HEX}{{64}}(?:{_HEX}{{32}})?"
    f"|RSA {_HEX}{{16}} {_HEX}{{96}})"
)
"""A label, the client's random (for RSA: the start of the encrypted secret), the secret."""


def lines_of(text: str) -> list[str]:
    """Every whole line of keys, each once and in order; comments, empty lines and all else are left out."""
    return list(dict.fromkeys(line for line in _split(text) if _LINE.fullmatch(line)))


def check(text: str) -> list[str]:
    """The same; a line that is neither keys nor a comment nor empty is a ValueError that says which."""
    __tracebackhide__ = is_for_the_user  # nor are its variables shown
    for number, line in enumerate(_split(text), 1):
        if line and not line.startswith("#") and not _LINE.fullmatch(line):
            raise ValueError(
                f"line {number} of the key log is none (its text is left out here, it may be a secret); expected a "
                "label, a client random and a secret, as SSLKEYLOGFILE and keylog_filename write them; remove the line"
            )
    return lines_of(text)


def is_text(given: str) -> bool:
    """Whether this is a key log, or a part of one, rather than the path of one."""
    return "\n" in given or given.startswith("#") or re.match(r"[A-Z_0-9]+\s+[0-9a-fA-F]", given) is not None


def as_text(lines: Iterable[str]) -> str:
    """The lines, each with its end."""
    return "".join(f"{line}\n" for line in lines)


def fitting(lines: list[str], size: int) -> list[str]:
    """The first lines, as many as have room in `size` bytes."""
    for number, line in enumerate(lines):
        size -= len(line) + 1
        if size < 0:
            return lines[:number]
    return lines


def _split(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n")]
