"""The layers of a frame: IP with its fragments, and what IP carries.

Law: it keeps nothing but fragments, the text of addresses, and which link types it has said it cannot read. A packet that
is none becomes a statement and never an error. Lengths are those of the headers, so that the padding of a short frame is
no payload; a length of 0, which offloading leaves, means all that is there. Checksums are not looked at: the kernel
leaves them out on loopback.
Source: RFC 791, RFC 8200, RFC 2675.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Sequence

from pytest_netfixtures._pcap.fragments import Fragment, Fragments
from pytest_netfixtures._pcap.items import Item, Packet, Statement
from pytest_netfixtures._pcap.links import LINKS
from pytest_netfixtures._pcap.source import Frame
from pytest_netfixtures._pcap.transport import Malformed, Network, carried, short

__all__ = ["Layers"]

HOP_BY_HOP, ROUTING, FRAGMENT, NOTHING, DESTINATION = 0, 43, 44, 59, 60
_EXTENSIONS = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION})
MORE, FRAGMENTED = 0x2000, 0x3FFF
MORE_6, FRAGMENTED_6 = 0x0001, 0xFFF9
LARGEST = 65535
MOST_TEXTS = 4096

_IPV4 = struct.Struct(">BxHHHxBxx4s4s")
_IPV6 = struct.Struct(">B3xHBx16s16s")
_FRAGMENT = struct.Struct(">BxHI")


class Layers:
    """From frames to packets, in the order of the file."""

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}
        self._fragments = Fragments()
        self._refused: set[int] = set()

    def read(self, frame: Frame) -> Sequence[Item]:
        """What a frame brings: mostly one packet; nothing where it is no IP, or a fragment that is not the last."""
        link = LINKS.get(frame.link)
        if link is None:
            return self._refuse(frame)
        try:
            at, version = link(frame.data)
            packet = self._ipv4(frame, at) if version == 4 else self._ipv6(frame, at) if version else None
        except Malformed as why:
            return *self._fragments.take(), Statement("malformed", f"frame {frame.number}: {why}", 1)
        if self._fragments.said:
            return *self._fragments.take(), *((packet,) if packet else ())
        return (packet,) if packet else ()

    def unfinished(self) -> Iterator[Statement]:
        """At the end of the file: fragments that never became whole."""
        return self._fragments.unfinished()

    def _refuse(self, frame: Frame) -> Sequence[Statement]:
        if frame.link in self._refused:
            return ()
        self._refused.add(frame.link)
        known = ", ".join(map(str, LINKS))
        text = f"frame {frame.number}: its link type is {frame.link}; all such frames are left out (known: {known})"
        return (Statement("malformed", text, 1),)

    def _ipv4(self, frame: Frame, at: int) -> Packet | None:
        data = frame.data
        if len(data) < at + 20:
            raise short("IPv4", frame.wire - at < 20)
        first, total, ident, flags, protocol, source, target = _IPV4.unpack_from(data, at)
        header = (first & 15) << 2
        if first >> 4 != 4 or header < 20:
            raise Malformed(f"an IPv4 header begins with a byte from 0x45 to 0x4f; here it is {first:#04x}")
        total = total or frame.wire - at
        if total < header:
            raise Malformed(f"its IPv4 header has {header} bytes, and all of it together {total}")
        network = Network(frame, self._text(source), self._text(target), protocol, header)
        data, length = data[at + header : at + total], total - header
        if not flags & FRAGMENTED:
            return carried(network, data, length)
        offset, more = (flags & 0x1FFF) << 3, bool(flags & MORE)
        return self._fragment(network, (source, target, protocol, ident), offset, more, data, length)

    def _ipv6(self, frame: Frame, at: int) -> Packet | None:
        data = frame.data
        if len(data) < at + 40:
            raise short("IPv6", frame.wire - at < 40)
        first, length, protocol, source, target = _IPV6.unpack_from(data, at)
        if first >> 4 != 6:
            raise Malformed(f"an IPv6 header begins with a byte from 0x60 to 0x6f; here it is {first:#04x}")
        if not length and protocol != NOTHING:
            length = frame.wire - at - 40
        data = data[at + 40 : at + 40 + length]
        network = Network(frame, self._text(source), self._text(target), protocol, 40)
        if protocol not in _EXTENSIONS:
            return carried(network, data, length)
        return self._extended(network, (source, target), data, length)

    def _extended(self, network: Network, pair: tuple[bytes, ...], data: bytes, length: int) -> Packet | None:
        """Behind extension headers; `pair` is empty in what has been put together, where no fragment can be."""
        protocol, at = network.protocol, 0
        while protocol in _EXTENSIONS:
            if len(data) < at + 8:
                raise short("extension", length < at + 8)
            here, (protocol, flags, ident) = protocol, _FRAGMENT.unpack_from(data, at)
            size = 8 if here == FRAGMENT else 8 + (data[at + 1] << 3)
            if at + size > length:
                raise short("extension", True)
            if here == FRAGMENT and flags & FRAGMENTED_6:
                network = network._replace(protocol=protocol, header=network.header + at)
                rest, more = data[at + 8 :], bool(flags & MORE_6)
                return self._fragment(network, (*pair, ident), flags & 0xFFF8, more, rest, length - at - 8)
            at += size
        network = network._replace(protocol=protocol, header=network.header + at)
        return carried(network, data[at:], length - at)

    def _fragment(
        self, network: Network, key: tuple[object, ...], offset: int, more: bool, data: bytes, length: int
    ) -> Packet | None:
        if len(key) < 3:
            raise Malformed("it is a fragment within fragments")
        if not length or (more and length & 7) or offset + length > LARGEST:
            raise Malformed(f"a fragment of {length} bytes at {offset} fits into no datagram")
        frame = network.frame
        fragment = Fragment(
            frame.number, frame.stamp, network.protocol, network.header, offset, length, data, more, frame.comments
        )  # fmt: skip
        whole = self._fragments.add((frame.interface, *key), fragment)
        if whole is None:
            return None
        frame = frame._replace(comments=whole.comments)
        network = network._replace(frame=frame, protocol=whole.protocol, header=whole.header)
        if whole.protocol in _EXTENSIONS and len(key) == 3:
            return self._extended(network, (), whole.data, whole.length)
        return carried(network, whole.data, whole.length)

    def _text(self, address: bytes) -> str:
        text = self._texts.get(address)
        if text is None:
            if len(self._texts) >= MOST_TEXTS:
                self._texts.clear()
            text = self._texts[address] = _text(address)
        return text


def _text(address: bytes) -> str:
    if len(address) == 4:
        return "{}.{}.{}.{}".format(*address)
    mapped = ipaddress.IPv6Address(address).ipv4_mapped  # older Pythons write it in hex
    return f"::ffff:{mapped}" if mapped else str(ipaddress.IPv6Address(address))
