"""What the first message of a TLS client says.

Law: pure; it looks for the server's name (RFC 6066, section 3) in a ClientHello (RFC 8446, section 4.1.2) and believes
nothing that it reads: what is torn, hidden or something else has no name.
"""

from __future__ import annotations

__all__ = ["is_client_hello", "server_name"]

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0


class _Torn(Exception):
    """There are fewer bytes than a length said."""


class _Reader:
    """Takes numbers and pieces from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def take(self, size: int) -> bytes:
        self.place += size
        if self.place > len(self.data):
            raise _Torn
        return self.data[self.place - size : self.place]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def piece(self, size: int) -> bytes:
        """As many bytes as the number before them says, which has `size` bytes."""
        return self.take(self.number(size))

    @property
    def over(self) -> bool:
        return self.place >= len(self.data)


def is_client_hello(data: bytes) -> bool:
    """Whether these first bytes of a client are the beginning of a ClientHello: record header, then the message's kind.

    >>> is_client_hello(b"\\x16\\x03\\x01\\x00\\xc8\\x01")
    True
    """
    return data[:2] == b"\x16\x03" and data[5:6] == bytes([_CLIENT_HELLO])


def server_name(data: bytes) -> str | None:
    """The name that the client asked for (SNI), from the first bytes that it sent; None if there is none.

    >>> server_name(b"GET / HTTP/1.1")
    """
    try:
        return _name_in(_Reader(_hello(_Reader(data))))
    except _Torn:
        return None


def _hello(reader: _Reader) -> bytes:
    """The message, put together from the records that it came in."""
    message = b""
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        if reader.number(1) != _HANDSHAKE:
            raise _Torn
        reader.take(2)
        message += reader.piece(2)
    return message


def _name_in(reader: _Reader) -> str | None:
    if reader.number(1) != _CLIENT_HELLO:
        return None
    body = _Reader(reader.piece(3))
    body.take(2 + 32)  # version and random
    for size in (1, 2, 1):  # session, ciphers, compression
        body.piece(size)
    extensions = _Reader(body.piece(2))
    while not extensions.over:
        kind, content = extensions.number(2), extensions.piece(2)
        if kind == _SERVER_NAME:
            return _first_host(_Reader(_Reader(content).piece(2)))
    return None


def _first_host(names: _Reader) -> str | None:
    while not names.over:
        kind, name = names.number(1), names.piece(2)
        if kind == _HOST_NAME:
            return name.decode("ascii", "backslashreplace")
    return None
