"""What rows and comments of our captures say: `rows.py` read backwards.

Law: pure; one line of text to a value, or None for every text that says something else. The text may come from
anywhere: only its first characters are looked at, the work is linear, and what comes out is safe to print.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from pytest_netfixtures._wire.entries import Address, Direction, Side
from pytest_netfixtures._wire.text import plain
from pytest_netfixtures._wire.traffic import TlsSession

__all__ = ["OPENED_BEFORE", "LegName", "Told", "leg_name", "told"]

OPENED_BEFORE = "opened before this test"
LONGEST = 16384
"""Characters of a text that is looked at; one that is longer, or has lines, is left alone."""
_UNNAMED = "an unnamed Unix socket"
_WHO = r"'(.{0,300})' connection (-?[0-9]{1,9})"
_LEG = re.compile(rf"LEG {_WHO}, (client|server) leg, (.*)")
_NOTE = re.compile(rf"NOTE {_WHO}: (.*)")
_TLS = re.compile(rf"TLS {_WHO}, (client|server) leg( failed)?: (.*)")
_ON = re.compile(rf"{_WHO} (to_server|to_client): ")
_OF = re.compile(_WHO)
_HOW = re.compile(r" (?:refused the connection|could not be reached): ")


class LegName(NamedTuple):
    """Which leg of which connection lies between two addresses."""

    endpoint: str
    number: int
    side: Side
    client: Address
    server: Address


class Told(NamedTuple):
    """What a row says of a connection: a fault that fired on it, a note, a TLS session, or its upstream."""

    endpoint: str
    number: int
    kind: Literal["fault", "note", "tls", "upstream"]
    text: str = ""
    tls: TlsSession | None = None
    direction: Direction = "to_server"
    upstream: Address = ""


def leg_name(text: str) -> LegName | None:
    """What a comment or row `LEG ...` says."""
    found = _LEG.fullmatch(text) if text.startswith("LEG ") and _is_ours(text) else None
    if found is None:
        return None
    endpoint, number, side, places = found.groups()
    client, arrow, server = places.partition(" > ")
    if not arrow:
        return None
    ends = _address(client), _address(server)
    return LegName(plain(endpoint), int(number), "client" if side == "client" else "server", *ends)


def told(text: str) -> Told | None:
    """What a row FAULT, NOTE, TLS or UPSTREAM says of a connection."""
    if not _is_ours(text):
        return None
    kind = text.partition(" ")[0]
    reader = {"FAULT": _fault, "NOTE": _note, "TLS": _tls, "UPSTREAM": _upstream}.get(kind)
    return reader(text) if reader is not None else None


def _is_ours(text: str) -> bool:
    return len(text) <= LONGEST and "\n" not in text


def _fault(text: str) -> Told | None:
    """`FAULT Reset(after=3) on 'proxy' connection 1 to_client: RST after byte 3`; the fault may hold any text."""
    place = text.rfind(" on '")
    while place > 0:
        found = _ON.match(text, place + 4)
        if found is not None:
            name, number, way = found.groups()
            direction: Direction = "to_server" if way == "to_server" else "to_client"
            return Told(plain(name), int(number), "fault", plain(text[6:place]), direction=direction)
        place = text.rfind(" on '", 0, place)
    return None


def _note(text: str) -> Told | None:
    found = _NOTE.fullmatch(text)
    if found is None:
        return None
    name, number, said = found.groups()
    return Told(plain(name), int(number), "note", plain(said))


def _tls(text: str) -> Told | None:
    found = _TLS.fullmatch(text)
    if found is None:
        return None
    name, number, side, failed, said = found.groups()
    if failed:
        return Told(plain(name), int(number), "note", f"TLS with the {side} failed: {plain(said)}")
    if side == "server" or not said.startswith(("TLSv", "SSLv")):
        return None
    return Told(plain(name), int(number), "tls", tls=_session(said))


def _session(text: str) -> TlsSession:
    version, _, rest = plain(text).partition(", ")
    rest, _, server_name = rest.partition(", SNI ")
    cipher, _, alpn = rest.partition(", ALPN ")
    return TlsSession(version, cipher, alpn or None, server_name or None)


def _upstream(text: str) -> Told | None:
    """`UPSTREAM 127.0.0.1:1 of 'proxy' connection 1 refused the connection: why`."""
    how = _HOW.search(text)
    head = text[9 : how.start()] if how else ""
    server, _, who = head.rpartition(" of '")
    found = _OF.fullmatch(f"'{who}")
    if how is None or found is None:
        return None
    name, number = found.groups()
    reason = plain(text[how.end() :])
    return Told(plain(name), int(number), "upstream", reason, upstream=_address(server))


def _address(text: str) -> Address:
    """`127.0.0.1:6379` and `[::1]:6379` as pairs; anything else is the path of a Unix socket."""
    host, _, port = text.rpartition(":")
    if text == _UNNAMED:
        return ""
    if not host or host[0] in "/@\0" or not (port.isascii() and port.isdecimal() and len(port) < 6):
        return plain(text)
    return plain(host[1:-1] if host[0] == "[" and host[-1] == "]" else host), int(port)
