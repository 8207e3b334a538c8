"""A file over two calls that receive and send.

Law: it is the stdlib's buffering over our calls; closing it leaves the connection open.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import IO, Any

__all__ = ["file_over"]


class _Raw(io.RawIOBase):
    def __init__(self, recv: Callable[[int], bytes], send: Callable[[Any], object], mode: str) -> None:
        self._recv = recv
        self._send = send
        self._mode = mode

    def readable(self) -> bool:
        return "r" in self._mode

    def writable(self) -> bool:
        return "w" in self._mode

    def readinto(self, buffer: Any) -> int:
        data = self._recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        self._send(data)
        return memoryview(data).nbytes


def file_over(
    recv: Callable[[int], bytes],
    send: Callable[[Any], object],
    mode: str,
    buffering: int,
    text: Mapping[str, Any],
) -> IO[Any]:
    """A file to read ("r"), to write ("w") or both: of bytes ("b"), else of text."""
    _check_mode(mode)
    raw: Any = _Raw(recv, send, mode)
    if "b" not in mode:
        return io.TextIOWrapper(_buffered(raw, mode, -1), **text)
    if text:
        raise ValueError(
            f"mode is {mode!r} and {sorted(text)} given; expected those for text alone: leave out 'b'"
        )
    file: IO[Any] = raw if buffering == 0 else _buffered(raw, mode, buffering)
    return file


def _check_mode(mode: object) -> None:
    if not isinstance(mode, str) or set(mode) - set("rwb") or not set(mode) & set("rw"):
        raise ValueError(f"mode is {mode!r}; expected 'r', 'w' or 'rw', with 'b' for bytes")


def _buffered(raw: Any, mode: str, buffering: int) -> Any:
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    if "w" not in mode:
        return io.BufferedReader(raw, size)
    return io.BufferedRWPair(raw, raw, size) if "r" in mode else io.BufferedWriter(raw, size)
