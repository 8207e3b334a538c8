"""What the kernel is asked to do with a TCP socket.

Law: each is one question or one option, and no socket is kept here.
"""

from __future__ import annotations

import _socket
import struct
import sys

__all__ = ["not_sent", "reset_on_close", "tune"]

BUFFER_BYTES = 256 << 10
"""Socket buffers small enough to stay in a processor's cache; measured, see the notes on performance."""

_NOT_SENT_LINUX = 0x894B  # SIOCOUTQNSD, linux/sockios.h
_LINGER_ZERO = struct.pack("ii", 1, 0)


def tune(sock: _socket.socket) -> None:
    """Small writes go out at once, and buffers are bounded."""
    if sock.family in (_socket.AF_INET, _socket.AF_INET6):
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, BUFFER_BYTES)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, BUFFER_BYTES)


def not_sent(sock: _socket.socket) -> int:
    """How many bytes the kernel has taken and not sent. Elsewhere than on Linux nobody says: 0."""
    if not sys.platform.startswith("linux"):
        return 0
    from fcntl import ioctl

    return int(struct.unpack("i", ioctl(sock.fileno(), _NOT_SENT_LINUX, b"\0\0\0\0"))[0])


def reset_on_close(sock: _socket.socket) -> None:
    """Closing it sends RST, and throws away what the kernel has not sent."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _LINGER_ZERO)
