"""Reads a capture file of anyone: pcapng and classic pcap, as packets, rows and statements.

Law: it streams, so that a file may be larger than memory; what comes from a file is untrusted, and is handed on as it is
for others to escape. A file that is no capture is an error; whatever is wrong later is a statement.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

from pytest_netfixtures._errors import CaptureUnavailable
from pytest_netfixtures._pcap.classic import MAGICS, records
from pytest_netfixtures._pcap.items import Item
from pytest_netfixtures._pcap.layers import Layers
from pytest_netfixtures._pcap.pcapng import MAGIC, ORDERS, Blocks
from pytest_netfixtures._pcap.source import ByteFile, Frame, Record, Source

__all__ = ["read_items"]

LOOK = 12
"""Bytes that tell the format: the magic number of classic pcap is first, that of pcapng the third word."""
_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
}


def read_items(capture: str | os.PathLike[str] | ByteFile) -> Iterator[Item]:
    """Everything in a capture file, in its order.

    `capture` is a path, or a file that is open in binary mode, which stays open. Nothing is opened before the first item
    is asked for. A file that is no capture raises CaptureUnavailable, one that cannot be opened the OSError of `open`.
    """
    if isinstance(capture, (str, os.PathLike)):
        with open(capture, "rb") as file:
            yield from _items(cast(ByteFile, file), os.fsdecode(capture))
    elif not hasattr(capture, "read"):
        raise TypeError(f"path is {capture!r}; expected the path of a capture file")
    else:
        yield from _items(capture, str(getattr(capture, "name", "an open file")))


def _items(file: ByteFile, name: str) -> Iterator[Item]:
    layers = Layers()
    read = layers.read
    for record in _records(Source(file), name):
        if type(record) is Frame:
            yield from read(record)
        else:
            yield cast(Item, record)
    yield from layers.unfinished()


def _records(source: Source, name: str) -> Iterator[Record]:
    first = source.upto(LOOK)
    if first[:4] in MAGICS:
        return records(source, first)
    if first[:4] == MAGIC and (len(first) < LOOK or first[8:] in ORDERS):
        return iter(Blocks(source, first))
    raise CaptureUnavailable(_refusal(name, first))


def _refusal(name: str, first: bytes) -> str:
    found = f"it begins with {first!r}" if first else "it is empty"
    advice = "If it is a capture in another format, convert it: editcap FILE new.pcapng"
    for magic, (kind, program) in _PACKED.items():
        if first.startswith(magic):
            found, advice = f"it is compressed with {kind}", f"Unpack it first, with {program}"
    if not first:
        advice = "Whoever was to write it has written nothing; look for its error there"
    return f"{name!a} is no capture: {found}. Expected a file of pcapng or classic pcap. {advice}."
