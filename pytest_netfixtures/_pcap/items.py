"""What a capture file is made of, as its readers hand it on.

Law: values alone, the same for every format and link type. `number` counts frames from 1, as Wireshark does (rows
count); `stamp` is in ns since 1970.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = ["Item", "Packet", "Row", "Statement"]


class Packet(NamedTuple):
    """An IP packet, whole again where it came in fragments."""

    number: int
    stamp: int
    interface: str
    """The name of its interface; empty where the file has none."""
    source: str
    """An IP address as text."""
    target: str
    protocol: str
    """"tcp", "udp", "icmp", "icmpv6", or the number of another protocol as text."""
    size: int
    """Bytes on the wire, from the IP header up."""
    source_port: int = 0
    target_port: int = 0
    seq: int = 0
    ack: int = 0
    flags: int = 0
    """TCP flags, as in `headers.py`."""
    payload: bytes = b""
    """Of TCP and UDP what is behind their header; of ICMP the message; otherwise what is behind the IP header."""
    missing: int = 0
    """Bytes of the payload that the capture has cut off."""
    comments: tuple[str, ...] = ()


class Row(NamedTuple):
    """A line of text between the packets: a systemd journal entry."""

    number: int
    stamp: int
    text: str


class Statement(NamedTuple):
    """What the file says about itself: its comment ("comment"), lost packets ("dropped"), where it is torn ("torn"), a
    fragment that never became whole ("fragment"), or a packet that is none ("malformed")."""

    kind: str
    text: str
    total: int = 0


Item: TypeAlias = "Packet | Row | Statement"
