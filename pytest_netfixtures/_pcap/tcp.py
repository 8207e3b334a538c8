"""A TCP conversation, made up around bytes and ends that really happened.

Law: pure; it keeps the sequence numbers of both sides and makes frames, nothing else. What cannot follow on a wire
(anything after RST, bytes before the handshake or after the sender's own FIN) makes no frames. Acknowledgements travel
on the packets of the other side; a FIN, and a long row of data in one direction, get one of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from pytest_netfixtures._pcap.headers import ACK, FIN, PSH, RST, SYN, SYN_OPTIONS, Place, Route
from pytest_netfixtures._wire.entries import How, Side

__all__ = ["SEGMENT", "Conversation", "Frame"]

Frame: TypeAlias = "tuple[Side, bytes]"
"""Who sends it, and the bytes from Ethernet up."""

SEGMENT = 16384
"""Payload bytes of a packet: short enough that a killed process rarely tears one, and readable in a packet list."""
UNACKNOWLEDGED = 1 << 29
"""After so many bytes one way the receiver acknowledges by itself, long before the window of 1 GiB is full."""

State: TypeAlias = Literal["new", "asked", "open", "over"]
_OTHER: dict[Side, Side] = {"client": "server", "server": "client"}


class Conversation:
    """The two sides of one TCP connection. `first` is the initial sequence number of the client; it is invented."""

    __slots__ = ("_acked", "_ended", "_next", "_route", "_state")

    def __init__(self, client: Place, server: Place, first: int) -> None:
        self._route = {"client": Route(client, server), "server": Route(server, client)}
        self._next = {"client": first, "server": first}
        self._acked = {"client": first, "server": first}
        self._ended: set[Side] = set()
        self._state: State = "new"

    def syn(self) -> Iterator[Frame]:
        """The client asks."""
        self._state = "asked"
        yield "client", self._route["client"].tcp(self._next["client"], 0, SYN, options=SYN_OPTIONS)
        self._next["client"] += 1

    def open(self) -> Iterator[Frame]:
        """The server accepts and the client confirms, after a SYN if there was none."""
        if self._state in ("open", "over"):
            return
        if self._state == "new":
            yield from self.syn()
        self._state = "open"
        yield self._segment("server", SYN | ACK, options=SYN_OPTIONS)
        self._next["server"] += 1
        yield self._segment("client", ACK)

    def refuse(self) -> Iterator[Frame]:
        """The server answers the SYN with RST."""
        if self._state == "asked":
            self._state = "over"
            yield self._segment("server", RST | ACK)

    def data(self, sender: Side, data: bytes) -> Iterator[Frame]:
        """Bytes from one side, in segments of at most 16 KiB."""
        if self._state != "open" or sender in self._ended:
            return
        for start in range(0, len(data), SEGMENT):
            piece = data[start : start + SEGMENT]
            yield self._segment(sender, PSH | ACK, piece)
            self._next[sender] += len(piece)
        if self._next[sender] - self._acked[sender] > UNACKNOWLEDGED:
            yield self._segment(_OTHER[sender], ACK)

    def end(self, sender: Side, how: How) -> Iterator[Frame]:
        """One side ends: its FIN and the other side's ACK, or its RST and then nothing more on either side."""
        if self._state != "open":
            return
        if how == "RST":
            self._state = "over"
            yield self._segment(sender, RST | ACK)
        elif sender not in self._ended:
            self._ended.add(sender)
            yield self._segment(sender, FIN | ACK)
            self._next[sender] += 1
            yield self._segment(_OTHER[sender], ACK)

    def _segment(self, sender: Side, flags: int, data: bytes = b"", options: bytes = b"") -> Frame:
        other = _OTHER[sender]
        ack = self._acked[other] = self._next[other]
        return sender, self._route[sender].tcp(self._next[sender], ack, flags, data, options)
