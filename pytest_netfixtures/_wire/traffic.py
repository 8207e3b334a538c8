"""What went over the wire, as values to assert on.

Law: a snapshot never changes, and two snapshots are equal when they say the same. It copies no bytes until `.sent` or
`.delivered` is read. What a cut record cannot tell raises `CaptureIncomplete`; it never passes for an answer. Nothing is
recorded here (`recorder.py`), and nothing is drawn but the table of `str(traffic)` (the ladder is in `ladder.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._errors import is_for_the_user
from .entries import Address, Direction, How, Side
from .record import Budget, Extent, Record
from .text import plain

if TYPE_CHECKING:
    from .statistics import Statistics

__all__ = ["Connection", "Flow", "FlowEvent", "TlsSession", "Traffic", "address_text", "table"]

__tracebackhide__ = is_for_the_user


class FlowEvent(NamedTuple):
    """One reading from the sender or one handing on to the receiver.

    `at` is in seconds (monotonic; since 1970 in traffic read from a file); `offset` counts bytes, or datagrams, in `.sent` or `.delivered`, as `kind` says.
    """

    at: float
    kind: Literal["sent", "delivered"]
    offset: int
    size: int


class Flow:
    """One direction of one connection.

    `.sent` is what the sender sent, `.delivered` what was handed on: bytes of a stream, a tuple of bytes for datagrams.
    Example: `assert traffic.to_client.delivered == b"+PO"`.
    """

    __slots__ = ("_delivered", "_sent", "direction", "end")

    def __init__(self, direction: Direction, sent: Extent, delivered: Extent, end: How | None) -> None:
        self.direction = direction
        self.end = end
        """How the end was handed on to the receiver: None (it was not), "FIN" or "RST"."""
        self._sent = sent
        self._delivered = delivered

    @property
    def sent(self) -> Any:
        """What the sender sent, as far as we have read it."""
        return self._sent.value()

    @property
    def delivered(self) -> Any:
        """What the receiver's kernel has accepted; at a server of ours, what its handler has taken."""
        return self._delivered.value()

    @property
    def sent_bytes(self) -> int:
        """How many bytes were sent, those beyond the record included."""
        return self._sent.size

    @property
    def delivered_bytes(self) -> int:
        """How many bytes were delivered, those beyond the record included."""
        return self._delivered.size

    @property
    def last_at(self) -> float | None:
        """When something was last sent or delivered, on the monotonic clock; None as long as nothing was."""
        times = [at for at in (self._sent.last_at, self._delivered.last_at) if at is not None]
        return max(times, default=None)

    @property
    def datagrams(self) -> bool:
        """Whether this is a row of datagrams, not a stream."""
        return self._sent.datagrams

    @property
    def cut(self) -> bool:
        """Whether bytes may be missing from the record: it had reached its bound, or the capture file has lost packets."""
        return self._sent.cut or self._delivered.cut

    @property
    def events(self) -> tuple[FlowEvent, ...]:
        """Every reading and handing on in time order, up to a million of each."""
        sent = (FlowEvent(at, "sent", offset, size) for at, offset, size in self._sent.steps())
        delivered = (FlowEvent(at, "delivered", offset, size) for at, offset, size in self._delivered.steps())
        return tuple(sorted((*sent, *delivered), key=lambda event: event.at))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Flow):
            return NotImplemented
        mine, theirs = (self.direction, self.end), (other.direction, other.end)
        return mine == theirs and self._sent == other._sent and self._delivered == other._delivered

    def __repr__(self) -> str:
        end = self.end or "open"
        return f"<{self.direction}: sent {self.sent_bytes} B, delivered {self.delivered_bytes} B, {end}>"


class TlsSession(NamedTuple):
    """What a TLS handshake agreed on: "TLSv1.3", the cipher, the protocol (ALPN), and the name that was asked for (SNI)."""

    version: str
    cipher: str
    alpn: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection of a client to a server or proxy of ours."""

    id: int
    """Unique in the process; in traffic read from a file in that file."""
    number: int
    """From 1 for each endpoint, as in `on_connections`; 0 and below when it was opened before the test."""
    endpoint: str
    """The name of the server or proxy."""
    transport: Literal["tcp", "udp"]
    peer: Address
    """The client's address."""
    address: Address
    """The address that the client connected to."""
    opened_at: float
    """Seconds, on the monotonic clock; in traffic read from a file since 1970."""
    opened_before: bool
    ended: Mapping[Side, How | None]
    """What each side itself did: None, "FIN" or "RST". What we handed on is `to_server.end` and `to_client.end`."""
    faults: tuple[str, ...]
    """The faults that fired, in the order of their first time, as the code that made them."""
    notes: tuple[str, ...]
    to_server: Flow
    to_client: Flow
    upstream: Address | None = None
    """Behind a proxy: the server's address, once the proxy has begun to connect."""
    upstream_peer: Address | None = None
    """Behind a proxy: the address that it connected to the upstream from."""
    tls: TlsSession | None = None
    """Of the client's leg; None without TLS, and before the handshake is done."""
    handshakes: tuple[Side, ...] = ()
    """With whom a TLS handshake has begun, and was not done by now."""

    def flow(self, direction: Direction) -> Flow:
        """The flow in this direction."""
        return self.to_server if direction == "to_server" else self.to_client

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and pickles, which a mapping that cannot be changed refuses."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return _made, ({**values, "ended": dict(self.ended)},)

    def __repr__(self) -> str:
        return (
            f"<Connection {self.number} of {plain(self.endpoint)} from {plain(address_text(self.peer))}: "
            f"{self.to_server!r}, {self.to_client!r}, ended by {_ends(self)}>"
        )


@dataclass(frozen=True)
class Traffic:
    """A snapshot of connections, in the order in which they were opened. `str()` of it is a table.

    Example: `assert proxy.traffic.connection(2).to_server.sent == b"PING\\r\\n"`.
    """

    connections: tuple[Connection, ...] = field(default=())
    incomplete: str = ""
    """Why connections or datagrams may be missing; empty when nothing is."""
    statistics: Statistics | None = field(default=None, compare=False)
    """Packets and bytes in numbers, of traffic that was read from a file; None for what is recorded live."""

    def connection(self, n: int, endpoint: str | None = None) -> Connection:
        """The connection with number `n` (from 1), of `endpoint` where several have one; else ValueError."""
        found = [c for c in self.connections if c.number == n and endpoint in (None, c.endpoint)]
        if len(found) == 1:
            return found[0]
        where = f" of {endpoint}" if endpoint is not None else ""
        raise ValueError(
            f"{'several connections have' if found else 'no connection has'} number {n}{where}. Expected exactly one "
            f"among: {_names(self.connections)}. Use one of these numbers{', and endpoint=' if found else ''}."
        )

    @property
    def to_server(self) -> Flow:
        """What went to the server on the only connection, nothing before there is one; ValueError for several."""
        return self._only("to_server")

    @property
    def to_client(self) -> Flow:
        """What went to the client on the only connection, nothing before there is one; ValueError for several."""
        return self._only("to_client")

    def _only(self, direction: Direction) -> Flow:
        if len(self.connections) > 1:
            raise ValueError(
                f"traffic.{direction} needs exactly one connection, and there are {len(self.connections)}: "
                f"{_names(self.connections)}. Expected one. Say which: traffic.connection(1).{direction}."
            )
        if not self.connections:
            record = Record(0, Budget(0))
            if self.incomplete:
                record.stop()  # there may have been one
            nothing = record.extent()
            return Flow(direction, nothing, nothing, None)
        return self.connections[0].flow(direction)

    def __str__(self) -> str:
        return table(self)

    def __repr__(self) -> str:
        sums = (sum(c.flow(d).delivered_bytes for c in self.connections) for d in ("to_server", "to_client"))
        text = ", ".join(
            f"{size} B {way}" for size, way in zip(sums, ("to server", "to client"), strict=True)
        )
        count = len(self.connections)
        return f"<Traffic: {count} connection{'' if count == 1 else 's'}, delivered {text}>"


def _made(values: dict[str, Any]) -> Connection:
    return Connection(**{**values, "ended": MappingProxyType(values["ended"])})


def address_text(address: Address) -> str:
    """An address as people write it: `127.0.0.1:6379`, `[::1]:6379`, or a path."""
    if isinstance(address, str):
        return address or "unnamed"
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names(connections: Iterable[Connection]) -> str:
    names = [f"{c.number} ({c.endpoint}, from {address_text(c.peer)})" for c in connections]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[:20]) or "none") + more


_COLUMNS = (
    ("#", "endpoint", "client", "opened s", "to_server sent", "delivered")
    + ("to_client sent", "delivered", "client end", "server end", "faults")
)  # fmt: skip
_NUMBERS = {0, 3, 4, 5, 6, 7}


def table(traffic: Traffic) -> str:
    """The connections, a line each: sizes in bytes, and what each side did to end it."""
    if not traffic.connections:
        return "no connections"
    first = min(c.opened_at for c in traffic.connections)
    rows = [_COLUMNS, *(_row(c, first) for c in traffic.connections)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _row(c: Connection, first: float) -> tuple[str, ...]:
    opened = "before" if c.opened_before else f"{c.opened_at - first:.3f}"
    sizes = [str(n) for f in (c.to_server, c.to_client) for n in (f.sent_bytes, f.delivered_bytes)]
    ends = [c.ended[side] or "-" for side in ("client", "server")]
    names = (str(c.number), c.endpoint, address_text(c.peer))
    return tuple(map(plain, (*names, opened, *sizes, *ends, ", ".join(c.faults) or "-")))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = (
        cell.rjust(width) if number in _NUMBERS else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def _ends(c: Connection) -> str:
    return " ".join(f"{side}={how}" for side, how in c.ended.items())
