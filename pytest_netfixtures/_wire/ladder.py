"""The conversation as text for a failure report: who sent what to whom, when, and what a fault did to it.

Law: at most 40 lines of about 100 columns. Faults are marked with `***`, and a bar stands where the bytes were cut: left
of it what was delivered, right of it what was not. Nothing from the wire is printed unescaped or unredacted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from re import Pattern
from typing import Any, Literal

from .entries import Direction, Fired
from .hello import is_client_hello, server_name
from .recorder import Story
from .redaction import masked
from .rows import Piece, Row, behind_our_proxy, rows
from .text import clip, plain, preview, preview_end
from .traffic import Connection, Flow, Traffic, address_text

__all__ = ["MAX_LINES", "ladder"]

MAX_LINES = 40
OPENING_LINES = 10
CLOSING_LINES = 15
AROUND_FAULT = 3
COLUMNS = 100
NAME_COLUMNS = 20
PREVIEW_COLUMNS = 24
REASON_COLUMNS = 120
"""So much of a reason is shown, whatever stands before it: one that is cut in the middle helps nobody."""

Report = Literal["full", "sizes"]


def ladder(
    story: Story,
    traffic: Traffic,
    redact: Iterable[Pattern[bytes]] = (),
    report: Report = "full",
    world: Traffic | None = None,
) -> str:
    """At most 40 lines that tell the story; `report="sizes"` prints no bytes, `redact` masks them.

    `world` is all that went on, where the story is about a part of it: it has names, and proxies that tell of servers.

    Example of a line: `   0.4 ms  client --> redis       14 B  "*1\\r\\n$4\\r\\nPING\\r\\n"`.
    """
    world = world or traffic
    told = rows(story, traffic, world)
    if not told:
        return "no traffic"
    start = min((entry.at for entry in story), default=0.0)
    drawing = _Drawing(story, traffic, world, tuple(redact), report, start)
    drawn: dict[int, list[str]] = {}
    chosen = _choose(told, drawing, MAX_LINES - 1)
    for number in chosen:
        drawn[number] = drawing.lines(told[number])
    return "\n".join([drawing.header(), *_with_gaps(told, drawn)])


def _choose(told: list[Row], drawing: _Drawing, room: int) -> list[int]:
    """The numbers of the rows to draw: all of them, or the opening, the end, and what stands around each fault."""
    numbers = [number for number, row in enumerate(told) if not row.entries]
    heights = {number: drawing.height(told[number]) for number in numbers}
    if _cost(told, set(numbers), heights) <= room:
        return numbers
    kept = _ends(numbers, heights)
    for number in _around_faults(told, numbers):
        if number not in kept and _cost(told, kept | {number}, heights) <= room:
            kept.add(number)
    return sorted(kept)


def _ends(numbers: list[int], heights: dict[int, int]) -> set[int]:
    def first(row: list[int], lines: int) -> set[int]:
        reached = accumulate(heights[number] for number in row)
        return {number for number, used in zip(row, reached, strict=True) if used <= lines}

    return first(numbers, OPENING_LINES) | first(numbers[::-1], CLOSING_LINES)


def _around_faults(told: list[Row], numbers: list[int]) -> list[int]:
    """The last faults first: each with its neighbours, then what stands two and three rows from them."""
    faults = [place for place, number in enumerate(numbers) if told[number].important][:-MAX_LINES:-1]
    near = [place + step for place in faults for step in (0, -1, 1)]
    far = [place + sign * n for n in range(2, AROUND_FAULT + 1) for place in faults for sign in (-1, 1)]
    places = near + far
    return [numbers[place] for place in places if 0 <= place < len(numbers)]


def _cost(told: list[Row], kept: set[int], heights: dict[int, int]) -> int:
    """How many lines these rows take, with one for each gap between them."""
    return sum(heights[number] for number in kept) + len(_gaps(told, kept))


def _gaps(told: list[Row], kept: Iterable[int]) -> list[tuple[int, int]]:
    edges = [-1, *sorted(kept), len(told)]
    return [(a + 1, b) for a, b in zip(edges, edges[1:], strict=False) if b - a > 1]


def _with_gaps(told: list[Row], drawn: dict[int, list[str]]) -> list[str]:
    lines = dict(drawn)
    for start, end in _gaps(told, drawn):
        missing = told[start:end]
        count, faults = sum(row.entries or 1 for row in missing), sum(row.important for row in missing)
        lines[start] = [f"... {count} more{f', faults among them: {faults}' if faults else ''} ..."]
    return [line for number in sorted(lines) for line in lines[number]]


@dataclass(slots=True)
class _Cut:
    """Where a fault parted a stream."""

    offset: int
    delivered: bool
    """Whether nothing from here on was delivered."""


class _Drawing:
    """Draws rows; knows the names, the columns and what may be shown of the bytes."""

    def __init__(
        self,
        story: Story,
        traffic: Traffic,
        world: Traffic,
        redact: tuple[Pattern[bytes], ...],
        report: Report,
        start: float,
    ) -> None:
        self.redact = redact
        self.report = report
        self.start = start
        silent = behind_our_proxy(world)
        shown = [c for c in traffic.connections if c.id not in silent or c.faults]
        self.many = len(shown) > 1
        self.endpoints = {c.endpoint for c in shown}
        self.places = {c.address: c.endpoint for c in world.connections}
        self.upstreams = {self._upstream(c) for c in shown if c.upstream is not None}
        self.proxies = {(c.upstream_peer, c.upstream): c.endpoint for c in world.connections if c.upstream}
        self.client_width = max((len(self._client(c)) for c in shown), default=len("client"))
        self.endpoint_width = max(map(len, map(_name, self.endpoints)), default=0)
        self.upstream_width = max(map(len, self.upstreams), default=0)
        self.number_width = max((len(f"#{c.number} ") for c in shown), default=0) if self.many else 0
        self.apart = _numbered_apart(e for e in story if isinstance(e, Fired))
        self.last_cut = {(e.connection, e.direction): e for e in story if isinstance(e, Fired) and _cuts(e)}
        self._masked: dict[tuple[int, Direction, str], Any] = {}

    def header(self) -> str:
        """The names above their columns."""
        names = [_name(next(iter(self.endpoints))) if len(self.endpoints) == 1 else "endpoint"]
        if self.upstreams:
            names.append(next(iter(self.upstreams)) if len(self.upstreams) == 1 else "upstream")
        widths = (max(self.endpoint_width, 8) if len(self.endpoints) != 1 else 0, 0)
        cells = "".join(f"     {name:<{width}}" for name, width in zip(names, widths, strict=False))
        return f"{'time':>11}  {'':<{self.number_width}}{'client':<{self.client_width}}{cells}"

    def height(self, row: Row) -> int:
        """How many lines a row takes."""
        return 2 if row.fired is not None and self._cut(row.fired, row.connection) is not None else 1

    def lines(self, row: Row) -> list[str]:
        """A row as text."""
        c = row.connection
        number = f"#{c.number} " if c is not None and self.many else ""
        margin = f"{1000 * (row.at - self.start):8.1f} ms  {number:<{self.number_width}}"
        if row.fired is not None and c is not None:
            return self._fault(row.fired, c, margin)
        if c is None or not row.legs:
            return [margin + clip(self._where(c) + self._safe(row.text), REASON_COLUMNS)]
        return [self._wire(row, c, margin + self._route(row, c))]

    def _safe(self, text: str) -> str:
        """Of a log line or a note, which may tell of bytes."""
        return plain(masked(text.encode("utf-8", "replace"), self.redact).decode("utf-8", "replace"))

    def _where(self, c: Connection | None) -> str:
        return f"{_name(c.endpoint)}: " if c is not None and len(self.endpoints) > 1 else ""

    def _route(self, row: Row, c: Connection) -> str:
        arrow = "-->" if row.way == "to_server" else "<--"
        width = self.client_width
        client = f"{self._client(c):<{width}} {arrow} " if "client" in row.legs else " " * (width + 5)
        server = f" {arrow} {self._upstream(c)}" if "server" in row.legs else ""
        width = self.upstream_width + 5 if self.upstreams else 0
        return f"{client}{_name(c.endpoint):<{self.endpoint_width}}{server:<{width}}"

    def _wire(self, row: Row, c: Connection, line: str) -> str:
        if row.piece is None:
            text = f"{row.text:>6}" if row.text in ("FIN", "RST") else plain(row.text)
            return f"{line}  {clip(text, REASON_COLUMNS)}"
        line = f"{line}  {row.piece.size:>4} B"
        if self.report == "sizes":
            return line
        data = row.piece.cut_from(self._record(c, row.piece.way, row.piece.kind))
        room = max(min(PREVIEW_COLUMNS, COLUMNS - len(line) - 4), 12)
        return f'{line}  "{_preview(data, row.piece.size, room)}"{_hello(row.piece, data)}'

    def _fault(self, fired: Fired, c: Connection, margin: str) -> list[str]:
        effect = plain(fired.effect)
        room = COLUMNS - len(margin) - len(effect) - 20
        fault = clip(plain(fired.fault), max(room, 30))
        line = f"{margin}*** {self._where(c)}{fault} {fired.direction}: {effect}"
        cut = self._cut(fired, c)
        if cut is None:
            return [line]
        return [line, " " * len(margin) + "    " + self._bar(cut, c, fired.direction)]

    def _cut(self, fired: Fired, c: Connection | None) -> _Cut | None:
        """Where the bar stands: where delivery ended, if it did with this fault; else where the fault says."""
        if c is None or not _cuts(fired):
            return None
        flow = c.flow(fired.direction)
        if flow.datagrams and (c.opened_before or fired in self.apart):
            return None
        if not flow.datagrams and self.last_cut[fired.connection, fired.direction] is fired and _parted(flow):
            return _Cut(flow.delivered_bytes, True)
        return _Cut(fired.offset, False)

    def _bar(self, cut: _Cut, c: Connection, way: Direction) -> str:
        flow = c.flow(way)
        if flow.datagrams:
            return self._datagram(cut.offset, c, way)
        gone, rest = min(cut.offset, flow.sent_bytes), max(flow.sent_bytes - cut.offset, 0)
        done, lost = (" delivered", " not delivered") if cut.delivered else ("", "")
        before, after = self._around(cut.offset, c, way)
        left = f"{gone} B{done}{before}" if gone else f"nothing{done}"
        return f"{left} | {after}{rest} B{lost}" if rest else f"{left} | nothing more was sent"

    def _around(self, offset: int, c: Connection, way: Direction) -> tuple[str, str]:
        """The bytes left and right of the bar, as far as they may be shown."""
        sent, width = self._record(c, way, "sent"), PREVIEW_COLUMNS
        if self.report == "sizes" or offset > len(sent):
            return "", ""
        before, after = sent[max(offset - width - 1, 0) : offset], sent[offset : offset + width + 1]
        return f' "{preview_end(before, width)}"', f'"{preview(after, width)}" '

    def _datagram(self, number: int, c: Connection, way: Direction) -> str:
        sent = self._record(c, way, "sent")
        data = sent[number] if number < len(sent) else b""
        text = "" if self.report == "sizes" else f' "{preview(data, 2 * PREVIEW_COLUMNS)}"'
        return f"datagram {number} of {way}, {len(data)} B{text}"

    def _record(self, c: Connection, way: Direction, kind: Literal["sent", "delivered"]) -> Any:
        """A flow's record with its secrets masked."""
        key = (c.id, way, kind)
        if key not in self._masked:
            record = getattr(c.flow(way), kind)
            self._masked[key] = (
                tuple(masked(data, self.redact) for data in record)
                if isinstance(record, tuple)
                else masked(bytes(record), self.redact)
            )
        return self._masked[key]

    def _client(self, c: Connection) -> str:
        """Who opened this connection: a proxy of ours by its name."""
        return _name(self.proxies.get((c.peer, c.address), "client"))

    def _upstream(self, c: Connection) -> str:
        address = c.upstream if c.upstream is not None else ""
        return _name(self.places.get(address) or address_text(address))


def _cuts(fired: Fired) -> bool:
    """Whether a fault did more than to make bytes late; one beneath TLS has its place in what is not shown."""
    return " late" not in f" {fired.effect}" and not fired.beneath_tls


def _numbered_apart(story: Iterable[Fired]) -> set[Fired]:
    """Those whose number of a datagram may be another one than in the record: another fault had lost or doubled some."""
    counted: dict[tuple[int, Direction], set[str]] = {}
    apart: set[Fired] = set()
    for fired in story:
        others = counted.setdefault((fired.connection, fired.direction), set())
        if others - {fired.fault}:
            apart.add(fired)
        if fired.effect.endswith((" lost", " times")):
            others.add(fired.fault)
    return apart


def _parted(flow: Flow) -> bool:
    """Whether what was delivered is a true beginning of what was sent."""
    if flow.delivered_bytes >= flow.sent_bytes and flow.end is None:
        return False
    sent, delivered = bytes(flow.sent), bytes(flow.delivered)
    common = min(len(sent), len(delivered))
    return flow.delivered_bytes <= flow.sent_bytes and sent[:common] == delivered[:common]


def _hello(piece: Piece, data: bytes) -> str:
    """Says that a client speaks TLS where nobody ends it: what follows is cipher text, or no answer that it knows."""
    first = piece.offset == 0 and piece.way == "to_server" and not piece.connection.flow(piece.way).datagrams
    if not (first and is_client_hello(data)):
        return ""
    name = server_name(data)
    return f"  TLS ClientHello{f' for {clip(plain(name), NAME_COLUMNS)}' if name else ''}"


def _name(text: str) -> str:
    return clip(plain(text), NAME_COLUMNS)


def _preview(data: bytes, size: int, room: int) -> str:
    """What the record has of these bytes; beyond it only their number is known."""
    text = preview(data, room)
    return text if len(data) == size or text.endswith("...") else f"{preview(data, room - 3)}..."
