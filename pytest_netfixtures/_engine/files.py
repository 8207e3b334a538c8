"""A file over two calls that receive and send.

Law: it is the stdlib's buffering over our calls; closing it leaves the connection open.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

__all__ = ["file_over"]


class _Raw(io.RawIOBase):
    def __init__(self, recv: Callable[[int], bytes], send: Callable[[Any], object]) -> None:
        self._recv = recv
        self._send = send

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        self._send(data)
        return len(data)


def file_over(recv: Callable[[int], bytes], send: Callable[[Any], object], mode: str) -> io.BufferedIOBase:
    """A buffered binary file to read ("rb"), to write ("wb") or both ("rwb")."""
    raw: Any = _Raw(recv, send)
    if "w" not in mode:
        return io.BufferedReader(raw)
    return io.BufferedRWPair(raw, raw) if "r" in mode else io.BufferedWriter(raw)
