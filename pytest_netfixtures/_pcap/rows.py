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
    Secret,
    TlsFailed,
    TlsOpened,
    TlsStarted,
)
from pytest_netfixtures._wire.text import plain

__all__ = [
    "PHASES",
    "failed",
    "fault",
    "fired",
    "late",
    "late_keys",
    "left_out",
    "leg",
    "limit",
    "logged",
    "lost",
    "marked",
    "noted",
    "tls_failed",
    "tls_opened",
    "tls_unseen",
    "who",
]

PHASES = ("setup", "call", "teardown")
NOTICEABLE = 0.001
"""Seconds: less than this after its time is on time."""


def who(entry: LegOpening | LegOpened) -> str:
    """What rows call a connection; in one line, whatever its endpoint's name is."""
    return f"'{plain(entry.endpoint)}' connection {entry.number}"


def leg(entry: LegOpening | LegOpened) -> str:
    """Which leg of which connection lies between two addresses; whoever reads the file finds the legs by it."""
    return f"LEG {who(entry)}, {entry.leg} leg, {readable(entry.client)} > {readable(entry.server)}"


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
    more = (
        f"ALPN {entry.alpn}" if entry.alpn else "",
        f"SNI {entry.server_name}" if entry.server_name else "",
    )
    agreed = ", ".join(filter(None, (entry.version, entry.cipher, *more)))
    return f"TLS {who}, {entry.leg} leg: {agreed}"


def tls_unseen(entry: TlsStarted, who: str) -> str:
    """Decrypting needs the handshake, and every record since."""
    what = "its handshake was before this test, so that what it says cannot be decrypted"
    return f"TLS {who}, {entry.leg} leg: {what} (connections opened by the test itself can)"


def tls_failed(entry: TlsFailed, who: str) -> str:
    """A handshake failed."""
    return f"TLS {who}, {entry.leg} leg failed: {entry.reason}"


def late_keys(entry: Secret, who: str, lines: int) -> str:
    """Keys that found no room before the packets that need them."""
    return f"TLS {who}, {entry.leg} leg: {lines} lines of keys have no room in their slot, and stand here until the end"


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


def lost(packets: int) -> str:
    """The kernel had no room for packets."""
    return f"LOST {packets} packets: the kernel's buffer was full, and some of them may belong here"


def left_out(packets: int, size: int, rows: int) -> str:
    """What the limit cost, at the end."""
    return f"LIMIT left out: {packets} packets with {size} bytes, {rows} rows"
