"""TCP connections out of packets: which belong together, and in what order their bytes were sent.

Law: it keeps to what the packets say. Positions are counted from the SYN, modulo 2**32 as the numbers on the wire. Where
two packets have the same byte, the first one wins. Bytes that never came, or were cut off by the capture, are a gap: the
record is cut there, and later bytes are counted. What waits for a gap to close is bounded. An RST or FIN that its
receiver would ignore ends nothing.
"""

from __future__ import annotations

from bisect import bisect_right

from pytest_netfixtures._pcap.headers import ACK, FIN, RST, SYN
from pytest_netfixtures._pcap.items import Packet
from pytest_netfixtures._pcap.talks import Keeper, Key, Talk, key_of
from pytest_netfixtures._wire.entries import How
from pytest_netfixtures._wire.record import Budget, Record

__all__ = ["MAX_PIECES", "MAX_WAITING", "Half", "Streams"]

MAX_WAITING = 32 << 20
"""Bytes of a whole file that may wait for a gap to close, with PIECE for each piece; beyond it the gap is declared."""
MAX_PIECES = 4096
"""So many pieces may wait in one direction of a connection."""
PIECE = 256
_MASK = 0xFFFFFFFF
_TURN = 1 << 31
_NEAR = 1 << 30
"""No window is larger: a position further away is none of this stream."""


class Half:
    """What one side of a connection sends. `next` is the position of the first byte that has not come yet."""

    __slots__ = (
        "_costs", "_pieces", "_room", "_starts", "ack", "acked", "end", "first_ack",
        "last", "next", "origin", "record", "sure",
    )  # fmt: skip

    def __init__(self, record: Record, room: Budget) -> None:
        self.record = record
        self.origin = -1
        """The sequence number of position 0; -1 while it is not known."""
        self.sure = False
        """Whether a SYN said so."""
        self.next = 0
        self.acked = 0
        """The position up to which the other side has it all."""
        self.first_ack = self.ack = -1
        """The first and the last number that the other side acknowledged, while there is no origin."""
        self.last = -1
        """The position of the FIN; -1 while there is none."""
        self.end: How | None = None
        self._room = room
        self._starts: list[int] = []
        self._pieces: list[tuple[int, bytes]] = []
        self._costs = 0

    def place(self, seq: int) -> int:
        """The position of a sequence number: the one nearest to what comes next."""
        return self.next + ((seq - self.origin - self.next + _TURN) & _MASK) - _TURN

    def acknowledge(self, ack: int) -> None:
        """The other side says that it has everything before this number."""
        if self.origin < 0:
            self.first_ack = ack if self.ack < 0 else self.first_ack
            self.ack = ack
        elif self.acked < (place := self.place(ack)) < self.next + _NEAR:
            self.acked = place

    def begin(self, seq: int, sure: bool) -> None:
        """Position 0 has this number."""
        self.origin = seq & _MASK
        self.sure = sure

    def take(self, at: float, place: int, data: bytes, missing: int, fin: bool) -> bool:
        """Bytes at a position, `missing` more that were cut off, and a FIN; False if all of that is old."""
        end = place + len(data) + missing
        if fin and self.last < 0 and end >= self.next:
            self.last = end
        elif place < self.next or (fin and end <= self.last):
            self._new(at, place, data, end)
            return False  # old bytes, perhaps with new ones behind them
        return self._new(at, place, data, end)

    def _new(self, at: float, place: int, data: bytes, end: int) -> bool:
        if 0 <= self.last < end:
            end = self.last  # nothing follows a FIN
            data = data[: max(end - place, 0)]
        fresh = True
        if end > self.next:
            if place <= self.next:
                self._accept(at, data[self.next - place :] if place < self.next else data, end)
            else:
                fresh = self._wait(at, place, b"" if self.record.cut else data, end)
        if self._starts and self._starts[0] <= self.next:
            self._drain(at)
        if self.next == self.last and self.end is None:
            self.end = "FIN"
        return fresh

    def _accept(self, at: float, data: bytes, end: int) -> None:
        size = len(data)
        if size:
            self.record.add(at, size, data)
        self._skip(at, end, self.next + size)

    def _skip(self, at: float, end: int, start: int | None = None) -> None:
        """Up to `end` bytes are missing."""
        missing = end - (self.next if start is None else start)
        if missing > 0:
            self.record.add(at, missing, None)
        self.next = end

    def _drain(self, at: float) -> None:
        count = 0
        for start, (end, data) in zip(self._starts, self._pieces, strict=True):
            if start > self.next:
                break
            count += 1
            if end > self.next:
                self._accept(at, data[self.next - start :], end)
        self._forget(count)

    def _forget(self, count: int) -> None:
        """The first pieces no longer wait."""
        gone = sum(PIECE + len(data) for _, data in self._pieces[:count])
        self._room.left += gone
        self._costs -= gone
        del self._starts[:count], self._pieces[:count]

    def _wait(self, at: float, place: int, data: bytes, end: int) -> bool:
        """Keep what is new of it, between the pieces that wait already; False if nothing is."""
        before = self._costs
        for start, stop in self._holes(place, end):
            self._insert(start, stop, data[start - place : stop - place])
        fresh = self._costs > before
        if len(self._starts) > MAX_PIECES or self._room.left < 0:
            self._give_up(at)
        return fresh

    def _holes(self, place: int, end: int) -> list[tuple[int, int]]:
        index = max(bisect_right(self._starts, place) - 1, 0)
        holes = []
        while place < end:
            start, stop = (
                (self._starts[index], self._pieces[index][0]) if index < len(self._starts) else (end, end)
            )
            if place < min(start, end):
                holes.append((place, min(start, end)))
            place = max(place, stop)
            index += 1
        return holes

    def _insert(self, start: int, stop: int, data: bytes) -> None:
        index = bisect_right(self._starts, start)
        self._starts.insert(index, start)
        self._pieces.insert(index, (stop, data))
        self._costs += PIECE + len(data)
        self._room.left -= PIECE + len(data)

    def _give_up(self, at: float) -> None:
        """What is missing will not come."""
        end = max((stop for stop, _ in self._pieces), default=self.next)
        self._forget(len(self._starts))
        if end > self.next:
            self._skip(at, end)

    def settle(self, at: float, upto: int = 0) -> None:
        """The connection is over, or the file: what has not come by now is a gap. `upto`: bytes that there were."""
        self._give_up(at)
        end = max(self.acked, upto)
        if self.origin < 0 and (unseen := (self.ack - self.first_ack) & _MASK) < _NEAR:
            end = unseen
        if self.last >= 0:
            end = self.last  # one number more than its bytes is that of the FIN
        if end > self.next:
            self._skip(at, end)
        if self.last >= 0 and self.end is None:
            self.end = "FIN"


class Stream:
    """The two halves of a connection, and what is known of both."""

    __slots__ = ("halves", "over", "talk")

    def __init__(self, talk: Talk, room: Budget) -> None:
        self.talk = talk
        self.halves = (Half(talk.records[0], room), Half(talk.records[1], room))
        self.over = False
        """After an RST."""

    def settle(self, at: float) -> None:
        """No packet of this connection follows."""
        for side, half in enumerate(self.halves):
            half.settle(at)
            if not self.talk.packets[side] and (half.ack >= 0 or half.origin >= 0):
                half.record.stop()  # it has spoken, and the file has none of it
            self.talk.ends[side] = half.end
            self.talk.whole[side] = half.sure and half.last >= 0


class Streams:
    """All TCP connections of a file."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._live: dict[Key, tuple[Stream, int]] = {}
        self._room = Budget(MAX_WAITING)

    def find(self, key: Key) -> Talk | None:
        """The youngest connection between these addresses."""
        found = self._live.get(key)
        return found[0].talk if found else None

    def finish(self) -> None:
        """The file is over."""
        for stream, _ in self._live.values():
            stream.settle(stream.talk.last / 1e9)

    def take(self, packet: Packet) -> None:
        """One segment."""
        key = key_of(packet)
        found = self._live.get(key)
        if found is None or (packet.flags & SYN and _is_new(*found, packet)):
            found = self._open(key, packet, found)
            if found is None:
                return
        stream, side = found
        stream.talk.count(side, packet)
        (_take_late if stream.over else _take)(stream, side, packet)

    def _open(self, key: Key, packet: Packet, old: tuple[Stream, int] | None) -> tuple[Stream, int] | None:
        back = key[2:] + key[:2]
        if old is not None:
            old[0].settle(packet.stamp / 1e9)
            del self._live[key]
            self._live.pop(back, None)
        talk = self._keeper.open("tcp", key, packet.stamp)
        if talk is None:
            return None
        stream = Stream(talk, self._room)
        self._live[back] = stream, 1
        self._live[key] = stream, 0
        return stream, 0


def _is_new(stream: Stream, side: int, packet: Packet) -> bool:
    """Whether a packet with SYN begins another connection than the one there is."""
    half, other = stream.halves[side], stream.halves[1 - side]
    over = stream.over or (half.end is not None and other.end is not None)
    if half.origin == (packet.seq + 1) & _MASK:
        return over and not packet.flags & ACK
    if packet.flags & ACK:
        answers = not half.sure and other.sure and other.origin == packet.ack
        return not answers and (over or not other.sure)
    return half.sure or half.origin >= 0 or stream.over or stream.talk.client is None


def _take(stream: Stream, side: int, packet: Packet) -> None:
    flags, seq = packet.flags, packet.seq
    half, other = stream.halves[side], stream.halves[1 - side]
    if flags & SYN:
        _begin(stream, side, packet)
        seq += 1
    if flags & RST:
        if _counts(half, other, packet):
            _reset(stream, side, packet)
        return
    if flags & ACK:
        other.acknowledge(packet.ack)
    size = len(packet.payload) + packet.missing
    if (size or flags & FIN) and (half.origin >= 0 or _begin_late(stream, side, seq, size)):
        place = half.place(seq)
        probe = size <= 1 and place == half.next - 1 and not flags & FIN
        if place < 0 and not half.sure and not probe:
            half.record.stop()  # what came first was not the first, or is sent once more
        fresh = half.take(packet.stamp / 1e9, place, packet.payload, packet.missing, flags & FIN != 0)
        if not fresh and not probe:
            stream.talk.retransmissions += 1


def _take_late(stream: Stream, side: int, packet: Packet) -> None:
    """After an RST the other side may still have sent, before it knew. Who has reset sends nothing more."""
    half, size = stream.halves[side], len(packet.payload) + packet.missing
    if (
        not size
        or packet.flags & SYN
        or not (half.origin >= 0 or _begin_late(stream, side, packet.seq, size))
    ):
        return
    place = half.place(packet.seq)
    if half.end != "RST":
        half.take(packet.stamp / 1e9, place, packet.payload, packet.missing, False)
    elif place + size > half.next:
        half.record.stop()  # that RST was none, or packets are not in their order


def _begin(stream: Stream, side: int, packet: Packet) -> None:
    """A SYN, alone or as an answer."""
    half, other, talk = stream.halves[side], stream.halves[1 - side], stream.talk
    if half.sure:
        talk.retransmissions += not packet.payload  # whether that is new is seen when it is taken
    elif half.origin < 0:
        half.begin(packet.seq + 1, True)
    else:
        half.sure = True  # its data came first
        if half.origin != (packet.seq + 1) & _MASK:
            half.record.stop()  # and not from where this SYN says
    talk.before = False
    if packet.flags & ACK and other.origin < 0:
        other.begin(packet.ack, True)  # an answer says what the question was
    if talk.client is None:
        talk.client = 1 - side if packet.flags & ACK else side


def _begin_late(stream: Stream, side: int, seq: int, size: int) -> bool:
    """The first packet of a side whose SYN is not there; False if it tells nothing."""
    half = stream.halves[side]
    behind = (seq - half.ack) & _MASK if half.ack >= 0 else 0
    if behind == _MASK and size <= 1:
        return False  # a keep-alive probe: its byte is an old one
    half.begin(
        seq, False
    )  # what lies between the last acknowledgement and this was sent before the file began
    if stream.talk.client is not None:
        half.record.stop()  # the SYN of the other side was seen: this one is lost, and nobody knows with what else
    return True


def _counts(half: Half, other: Half, packet: Packet) -> bool:
    """Whether the receiver of an RST obeys: its number is none that has been acknowledged, nor out of all windows."""
    if half.origin >= 0:
        return half.acked <= half.place(packet.seq) < half.next + _NEAR
    answers = packet.flags & ACK and other.sure
    return not answers or 0 <= other.place(packet.ack) < other.next + _NEAR


def _reset(stream: Stream, side: int, packet: Packet) -> None:
    """One side resets: nothing follows from either."""
    half, other, at = stream.halves[side], stream.halves[1 - side], packet.stamp / 1e9
    place = half.place(packet.seq) if half.origin >= 0 else 0
    stream.talk.refused = half.origin < 0 and other.sure and other.next == 0
    half.settle(at, place if 0 < place - half.next < _NEAR else 0)
    other.settle(at)
    half.end = "RST"
    stream.over = True
