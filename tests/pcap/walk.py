"""Walks over the blocks of a pcapng file: the plainest reader, written without a look at the writer."""

from __future__ import annotations

import struct
from pathlib import Path

SECTION, INTERFACE, STATISTICS, PACKET, JOURNAL, SECRETS = 0x0A0D0D0A, 1, 5, 6, 9, 10


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """Type and body of every block; an AssertionError where lengths do not agree."""
    found, start = [], 0
    while start < len(data):
        kind, size = struct.unpack_from("<II", data, start)
        (again,) = struct.unpack_from("<I", data, start + size - 4)
        assert size == again, f"block at {start}: {size} at its head, {again} at its end"
        assert size % 4 == 0
        found.append((kind, data[start + 8 : start + size - 4]))
        start += size
    return found


def options(data: bytes) -> list[tuple[int, bytes]]:
    """Code and value of every option up to the end mark, which must be there and last."""
    found: list[tuple[int, bytes]] = []
    start = 0
    while True:
        code, size = struct.unpack_from("<HH", data, start)
        value = data[start + 4 : start + 4 + size]
        start += 4 + (size + 3 & ~3)
        if code == 0:
            assert size == 0 and start == len(data)
            return found
        found.append((code, value))


def boundaries(path: Path) -> list[int]:
    """The offset after each block of a file."""
    ends, position = [], 0
    for _, body in blocks(path.read_bytes()):
        position += len(body) + 12
        ends.append(position)
    return ends


def keys(path: Path) -> list[str]:
    """The text of every block of TLS keys."""
    found = []
    for kind, body in blocks(path.read_bytes()):
        if kind == SECRETS:
            of, size = struct.unpack_from("<II", body)
            assert of == 0x544C534B and len(body) == 8 + (size + 3 & ~3)
            found.append(body[8 : 8 + size].decode("ascii"))
    return found


def without_keys(path: Path) -> bytes:
    """All blocks but those of keys."""
    data = path.read_bytes()
    ends = boundaries(path)
    starts = [0, *ends[:-1]]
    pieces = (data[start:end] for start, end in zip(starts, ends, strict=True))
    return b"".join(piece for piece in pieces if struct.unpack_from("<I", piece) != (SECRETS,))
