"""What one connection looks like at a moment: sizes, its last bytes, how long it has been quiet, its faults. One line.

Law: pure; from a snapshot to text. Nothing from the wire is printed unescaped or unredacted.
"""

from __future__ import annotations

from collections.abc import Iterable
from re import Pattern

from .redaction import masked
from .text import clip, plain, preview_end
from .traffic import Connection, Flow, address_text

__all__ = ["last_words"]

COLUMNS = 48
"""Of the last bytes, escaped."""
WINDOW = 1 << 16
"""So many of the last bytes are searched for secrets: this is told in a hurry, and a record may have megabytes."""
FAULT_COLUMNS = 120


def last_words(
    connection: Connection,
    redact: Iterable[Pattern[bytes]],
    now: float | None = None,
    faults: Iterable[str] = (),
    with_bytes: bool = True,
) -> str:
    """One line about a connection. `now` on the clock of its times says how long it has been quiet; `faults` are those
    that are armed.

    Example: `'redis' connection 1, 127.0.0.1:40122 > 127.0.0.1:6379: to_server 14 B sent, 14 B delivered, ...`
    """
    patterns = tuple(redact)
    flows = [_flow(flow, patterns, with_bytes) for flow in (connection.to_server, connection.to_client)]
    shaking = [f"in a TLS handshake with the {leg}" for leg in connection.handshakes]
    quiet = [f"quiet for {now - _last_at(connection):.1f} s"] if now is not None else []
    shown = [clip(plain(_masked_text(each, patterns)), FAULT_COLUMNS) for each in faults]
    armed = [f"faults: {', '.join(shown)}"] if shown else []
    return f"{_who(connection)}: {'; '.join([*flows, *shaking, *quiet, *armed])}"


def _masked_text(text: str, patterns: tuple[Pattern[bytes], ...]) -> str:
    """The code of a fault may hold what is not to be printed."""
    return masked(text.encode("utf-8", "backslashreplace"), patterns).decode("utf-8", "replace")


def _who(connection: Connection) -> str:
    way = f"{address_text(connection.peer)} > {address_text(connection.address)}"
    behind = f" > {address_text(connection.upstream)}" if connection.upstream is not None else ""
    return plain(f"'{connection.endpoint}' connection {connection.number}, {way}{behind}")


def _last_at(connection: Connection) -> float:
    moments = [flow.last_at for flow in (connection.to_server, connection.to_client)]
    return max([connection.opened_at, *(at for at in moments if at is not None)])


def _flow(flow: Flow, patterns: tuple[Pattern[bytes], ...], with_bytes: bool) -> str:
    sizes = f"{flow.direction} {flow.sent_bytes} B sent, {flow.delivered_bytes} B delivered"
    end = f", then {flow.end}" if flow.end else ""
    return sizes + (_bytes(flow, patterns) if with_bytes and flow.sent_bytes else "") + end


def _bytes(flow: Flow, patterns: tuple[Pattern[bytes], ...]) -> str:
    if flow.cut:
        return ", last bytes not kept"
    sent = flow.sent
    data = sent[-1] if flow.datagrams else bytes(sent[-WINDOW:])
    return f', last "{preview_end(masked(data, patterns), COLUMNS)}"'
