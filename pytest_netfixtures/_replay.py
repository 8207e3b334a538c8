"""What a failed test prints so that it can be run again: the command, and its faults as code to paste.

Law: text alone, printable whatever was given, and short however much there is.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from re import Pattern
from typing import TYPE_CHECKING

import pytest

from pytest_netfixtures._options import Settings, as_typed, marked
from pytest_netfixtures._wire.redaction import masked
from pytest_netfixtures._wire.seen import Fault, code_of
from pytest_netfixtures._wire.text import clip, plain

if TYPE_CHECKING:
    from pytest_netfixtures._engine.proxy import Proxy

MOST = 20
"""So many faults of a direction, and so many proxies, are printed."""
LONGEST = 300
"""The characters of one fault."""


def replay(item: pytest.Item, settings: Settings) -> str:
    """The command that runs this test again, with the same random decisions."""
    path = as_typed(item.path, item.config.invocation_params.dir)
    names = own_id(item).partition("::")[2]
    words = ["pytest", *_settings(item.config), _quoted(f"{path}::{names}" if names else path)]
    if "seed" not in marked(item):
        words.append(f"--net-seed={settings.seed}")
    return plain(" ".join(words))


def own_id(item: pytest.Item) -> str:
    """The node id without what pytest-xdist appends for its groups: a run without it has the same decisions."""
    parent = item.parent.nodeid if item.parent is not None else ""
    own = f"{parent}::{item.name}"
    return own if item.nodeid.startswith(f"{own}@") else item.nodeid


def _settings(config: pytest.Config) -> Iterator[str]:
    """What was said about the root directory: node ids are relative to it, and decisions depend on them."""
    for option, name in (("-c ", "inifilename"), ("--rootdir=", "rootdir")):
        said = getattr(config.option, name, None)
        if said:
            yield f"{option}{shlex.quote(str(said))}"


def _quoted(text: str) -> str:
    """As a shell takes it; in double quotes where that is easier to read."""
    easier = "'" in text and not any(char in text for char in '"$`\\!')
    return f'"{text}"' if easier else shlex.quote(text)


def faults(proxies: Iterable[Proxy], redact: Iterable[Pattern[bytes]]) -> list[str]:
    """A line for each proxy that has had faults."""
    patterns = tuple(redact)
    lines = [line for proxy in proxies if (line := _of_one(proxy, patterns))]
    more = len(lines) - MOST
    return lines if more <= 0 else [*lines[:MOST], f"and the faults of {more} more proxies"]


def _of_one(proxy: Proxy, redact: tuple[Pattern[bytes], ...]) -> str:
    rows = [f"{way}={_row(armed, redact)}" for way, armed in proxy.armed_so_far().items() if armed]
    beneath = proxy.armed_so_far(beneath_tls=True)
    rows += [f'beneath_tls["{way}"]={_row(armed, redact)}' for way, armed in beneath.items() if armed]
    return f"faults of {plain(proxy.name)}: {', '.join(rows)}" if rows else ""


def _row(armed: list[Fault], redact: tuple[Pattern[bytes], ...]) -> str:
    codes = ", ".join(_printable(code_of(fault), redact) for fault in armed[:MOST])
    more = len(armed) - MOST
    return f"[{codes}]" if more <= 0 else f"[{codes}] and {more} more"


def _printable(code: str, redact: tuple[Pattern[bytes], ...]) -> str:
    shown = masked(code.encode("utf-8", "backslashreplace"), redact).decode("utf-8", "replace")
    return clip(plain(shown), LONGEST)
