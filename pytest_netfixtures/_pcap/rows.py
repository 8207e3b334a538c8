"""What a row of the packet list says.

Law: pure; from an entry to one line of text. The first word names the kind (FAULT, PHASE, MARK, UPSTREAM, TLS, LOG, NOTE), so that
a display filter finds it: `systemd_journal.message contains "FAULT"`.
"""

from __future__ import annotations

from pytest_netfixtures._pcap.places import readable
from pytest_netfixtures._wire.entries import (
    Delivered,
    Fired,
    LegFailed,
    LegOpened,
    LegOpening,
    Logged,
    Marked,
    Noted,
    Sealed,
    TlsFailed,
    TlsOpened,
)

__all__ = [
    "PHASES",
    "failed",
    "fault",
    "fired",
    "late",
    "left_out",
    "leg",
    "limit",
    "logged",
    "marked",
    "noted",
    "tls_failed",
    "tls_opened",
]

PHASES = ("setup", "call", "teardown")
NOTICEABLE = 0.001
"""Seconds: less than this after its time is on time."""


def leg(entry: LegOpening | LegOpened) -> str:
    """Which leg of which connection lies between two addresses; whoever reads the file finds the legs by it."""
    number = f"'{entry.endpoint}' connection {entry.number}"
    return f"LEG {number}, {entry.leg} leg, {readable(entry.client)} > {readable(entry.server)}"


def fired(entry: Fired, who: str) -> str:
    """A fault acted."""
    return f"FAULT {entry.fault} on {who} {entry.direction}: {entry.effect}"


def marked(entry: Marked) -> str:
    """A phase of the test begins, or the test set a mark."""
    return f"PHASE {entry.text}" if entry.text in PHASES else f"MARK {entry.text}"


def noted(entry: Noted, who: str | None) -> str:
    """Something worth a line."""
    return f"NOTE {who}: {entry.text}" if who else f"NOTE {entry.text}"


def failed(entry: LegFailed, who: str, server: str) -> str:
    """An upstream that could not be connected to."""
    how = "refused the connection" if entry.refused else "could not be reached"
    return f"UPSTREAM {server} of {who} {how}: {entry.reason}"


def logged(entry: Logged) -> str:
    """A record of Python's logging."""
    return f"LOG {entry.level} {entry.logger}: {entry.text}"


def tls_opened(entry: TlsOpened, who: str) -> str:
    """A handshake is done."""
    agreed = ", ".join(filter(None, (entry.version, entry.cipher, entry.alpn, entry.server_name)))
    return f"TLS {who}, {entry.leg} leg: {agreed}"


def tls_failed(entry: TlsFailed, who: str) -> str:
    """A handshake failed."""
    return f"TLS {who}, {entry.leg} leg failed: {entry.reason}"


def fault(text: str) -> str:
    """A comment on a packet that a fault touched."""
    return f"fault: {text}"


def late(entry: Delivered | Sealed, start: float) -> tuple[str, ...]:
    """A comment on a packet that left later than a fault had said; `start` is the time of the file's first moment."""
    behind = entry.at - entry.due
    if behind <= NOTICEABLE:
        return ()
    return (f"due {entry.due - start:.6f} s after the capture began, delivered {behind * 1000:.1f} ms later",)


def limit(size: int) -> str:
    """The file is as large as it may be."""
    return (
        f"LIMIT capture limit of {size} bytes reached: no more packets, only rows (--net-capture-max-bytes)"
    )


def left_out(packets: int, size: int, rows: int) -> str:
    """What the limit cost, at the end."""
    return f"LIMIT left out: {packets} packets with {size} bytes, {rows} rows"
