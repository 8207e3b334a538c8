"""The blocks of a pcapng file, as functions from values to bytes.

Law: pure; nothing here opens, writes or remembers. Every block is little-endian, padded to 32 bits and carries its
length at both ends. `epb_verdict` is never written, because editcap 4.0 turns it into a corrupt option. All interfaces
share one link type and one snap length, because libpcap refuses a file where they differ.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

__all__ = [
    "COMMENT",
    "INBOUND",
    "OUTBOUND",
    "SECRETS",
    "SECRETS_AT",
    "SECTION",
    "SNAPLEN",
    "TLS_KEY_LOG",
    "cut_text",
    "interface",
    "journal",
    "kernel_packet",
    "option",
    "packet",
    "printable",
    "secrets",
    "section",
    "statistics",
]

SNAPLEN = 262144
"""The largest that older libpcap takes, and more than any packet on loopback."""
SECTION = 0x0A0D0D0A
ETHERNET = 1
NANOSECONDS = 9
COMMENT = 1
INBOUND = 1
OUTBOUND = 2
LONGEST_OPTION = 65535
SECRETS = 10
"""The type of a block of decryption secrets."""
SECRETS_AT = 16
"""Where its secrets begin."""
TLS_KEY_LOG = 0x544C534B

_HEAD = struct.Struct("<II")
_PACKET = struct.Struct("<IIIIIII")
_TOTAL = struct.Struct("<I")
_OPTION = struct.Struct("<HH")
_PAD = (b"", b"\0\0\0", b"\0\0", b"\0")
_END = b"\0\0\0\0"
_FLAGS = 2
_DROPPED = 4


def option(code: int, value: bytes) -> bytes:
    """One option, padded; a value over 65,535 bytes is cut."""
    value = value[:LONGEST_OPTION]
    return _OPTION.pack(code, len(value)) + value + _PAD[len(value) & 3]


def section(comment: bytes, *, os: str, application: str) -> bytes:
    """The section header, first in every file. The comment comes first, at byte 28 of the block."""
    fixed = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    return _block(SECTION, fixed, option(COMMENT, comment) + _text(3, os) + _text(4, application))


def interface(name: str, description: str) -> bytes:
    """An interface description: Ethernet, stamps in nanoseconds. Interfaces are numbered from 0 in file order."""
    fixed = struct.pack("<HHI", ETHERNET, 0, SNAPLEN)
    return _block(1, fixed, _text(2, name) + _text(3, description) + option(9, bytes((NANOSECONDS,))))


def packet(number: int, stamp: int, frame: bytes, direction: int, comments: tuple[str, ...] = ()) -> bytes:
    """An enhanced packet on interface `number`; `stamp` in ns since 1970, `direction` INBOUND or OUTBOUND."""
    size = len(frame)
    tail = _PAD[size & 3] + _TAILS[direction]
    if comments:
        tail = _PAD[size & 3] + b"".join(_text(COMMENT, each) for each in comments) + _TAILS[direction]
    total = 32 + size + len(tail)
    head = _PACKET.pack(6, total, number, stamp >> 32, stamp & 0xFFFFFFFF, size, size)
    return b"".join((head, frame, tail, _TOTAL.pack(total)))


def kernel_packet(
    number: int, stamp: int, frame: bytes, size: int, comments: tuple[str, ...] = (), lost: int = 0
) -> bytes:
    """A packet that the kernel saw, `size` bytes long on the wire, of unknown direction, and before it `lost` others.

    Its checksums are left to a device that loopback does not have, which bit 9 of its flags says.
    """
    texts = b"".join(_text(COMMENT, each) for each in comments)
    told = option(_DROPPED, struct.pack("<Q", lost)) if lost else b""
    tail = b"".join((_PAD[len(frame) & 3], texts, _NOT_SUMMED, told, _END))
    total = 32 + len(frame) + len(tail)
    head = _PACKET.pack(6, total, number, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), size)
    return b"".join((head, frame, tail, _TOTAL.pack(total)))


def statistics(number: int, stamp: int, received: int, dropped: int) -> bytes:
    """The statistics of interface `number`: packets it saw, and how many of them are not in the file."""
    fixed = struct.pack("<III", number, stamp >> 32, stamp & 0xFFFFFFFF)
    return _block(5, fixed, option(4, struct.pack("<Q", received)) + option(5, struct.pack("<Q", dropped)))


def secrets(data: bytes) -> bytes:
    """Decryption secrets: `data` is the text of a TLS key log. They hold for the packets that follow in the file."""
    return _block(SECRETS, struct.pack("<II", TLS_KEY_LOG, len(data)) + data + _PAD[len(data) & 3], b"")


def journal(stamp: int, fields: Mapping[str, str]) -> bytes:
    """A row in the packet list: a systemd journal entry. `stamp` in ns is rounded up to the format's microseconds.

    A value over 65,535 bytes is cut: editcap refuses a file with a row of more than 256 KiB.
    """
    lines = [f"__REALTIME_TIMESTAMP={-(-stamp // 1000)}".encode()]
    for name, value in fields.items():
        text = cut_text(printable(value[: LONGEST_OPTION + 1]), LONGEST_OPTION)
        lines.append(f"{name}=".encode() + text)
    text = b"\n".join(lines) + b"\n"
    return _block(9, text + _PAD[len(text) & 3], b"")


def printable(text: str) -> str:
    """The text in one line: what is not printable (line ends, terminal escapes, surrogates) becomes an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def cut_text(text: str, size: int) -> bytes:
    """The text as UTF-8 in at most `size` bytes, cut between characters and then ending in dots."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= size:
        return data
    return data[: max(size - 3, 0)].decode("utf-8", "ignore").encode() + b"..."[:size]


def _text(code: int, text: str) -> bytes:
    return option(code, cut_text(text, LONGEST_OPTION))


def _block(kind: int, fixed: bytes, options: bytes) -> bytes:
    body = fixed + options + _END if options else fixed
    total = 12 + len(body)
    return _HEAD.pack(kind, total) + body + _TOTAL.pack(total)


_NOT_SUMMED = option(_FLAGS, struct.pack("<I", 1 << 9))
_TAILS = {way: option(_FLAGS, struct.pack("<I", way)) + _END for way in (INBOUND, OUTBOUND)}
