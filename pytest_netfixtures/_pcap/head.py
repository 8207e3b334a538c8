"""The comment of the section header: what test this is a capture of, and how it ended.

Law: pure, and of fixed size: the outcome stands at a fixed offset of the file in a fixed width, so that it can be
overwritten in place when it is known, and until then reads RUNNING.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_netfixtures._pcap.blocks import cut_text, printable

__all__ = ["NO_KEYS", "OUTCOME_AT", "comment_text", "outcome_text", "wants_no_keys"]

SIZE = 1024
OTHERS = 512
OUTCOME = 32
_LABEL = b"outcome: "
OUTCOME_AT = 28 + len(_LABEL)
"""The offset in the file: block header, fixed part and option header of the section take 28 bytes."""
NO_KEYS = {"keys": "of TLS are left out (--net-capture-no-secrets)"}
"""A line of the comment, where keys were not wanted."""


def wants_no_keys(section: bytes) -> bool:
    """Whether a section header says that keys are left out; no other line of its comment can say so."""
    return "\nkeys: {keys}\n".format(**NO_KEYS).encode() in section[:SIZE]


def outcome_text(outcome: str) -> bytes:
    """The outcome in its width, cut or filled with spaces."""
    return cut_text(printable(outcome), OUTCOME).ljust(OUTCOME)


def comment_text(node_id: str, backend: str, others: Mapping[str, str]) -> bytes:
    """The whole comment, 1,024 bytes: outcome (RUNNING), what is in `others`, and the test, cut to what is left."""
    lines = "\n".join(f"{name}: {printable(value)}" for name, value in others.items())
    first = _LABEL + outcome_text("RUNNING") + f"\nbackend: {backend}".encode()
    second = b"\n" + cut_text(lines, OTHERS) + b"\ntest: "
    return (first + second + cut_text(printable(node_id), SIZE - len(first) - len(second))).ljust(SIZE)
