"""What the kernel is asked to do with a socket.

Law: each is one question or one option, and no socket is kept here.
"""

from __future__ import annotations

import _socket
import struct
import sys

__all__ = ["dropped", "full", "in_syn_sent", "make_roomy", "not_sent", "reset_on_close", "tune"]

BUFFER_BYTES = 256 << 10
"""Socket buffers small enough to stay in a processor's cache; measured, see the notes on performance."""

DATAGRAM_BUFFER_BYTES = 1 << 20
"""What a socket of UDP is given room for: what does not fit is lost. The kernel gives less where it has a limit."""

_NOT_SENT_LINUX = 0x894B  # SIOCOUTQNSD, linux/sockios.h
_TCP_INFO = getattr(_socket, "TCP_INFO", 11)
_SYN_SENT = 2  # TCP_SYN_SENT, net/tcp_states.h
_SO_MEMINFO = 55  # asm-generic/socket.h; its ninth number counts drops
_LINGER_ZERO = struct.pack("ii", 1, 0)


def tune(sock: _socket.socket) -> None:
    """Small writes go out at once, and buffers are bounded."""
    if sock.family in (_socket.AF_INET, _socket.AF_INET6):
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, BUFFER_BYTES)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, BUFFER_BYTES)


def make_roomy(sock: _socket.socket) -> _socket.socket:
    """Room for many datagrams."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, DATAGRAM_BUFFER_BYTES)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, DATAGRAM_BUFFER_BYTES)
    return sock


def not_sent(sock: _socket.socket) -> int:
    """How many bytes the kernel has taken and not sent. Elsewhere than on Linux nobody says: 0."""
    if not sys.platform.startswith("linux"):
        return 0
    from fcntl import ioctl

    return int(struct.unpack("i", ioctl(sock.fileno(), _NOT_SENT_LINUX, b"\0\0\0\0"))[0])


def reset_on_close(sock: _socket.socket) -> None:
    """Closing it sends RST, and throws away what the kernel has not sent."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _LINGER_ZERO)


def full(listener: _socket.socket) -> bool | None:
    """Whether the queue of a listener is full, so that the kernel drops a SYN. Elsewhere than on Linux nobody says: None."""
    if not sys.platform.startswith("linux"):
        return None
    # Of a listener tcpi_unacked is what waits to be accepted and tcpi_sacked its bound (tcp_get_info() in the kernel).
    waiting, bound = struct.unpack_from("=II", listener.getsockopt(_socket.IPPROTO_TCP, _TCP_INFO, 32), 24)
    return bool(waiting > bound)


def dropped(sock: _socket.socket) -> int | None:
    """How many packets to this socket the kernel has dropped; None where nobody says."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return int(struct.unpack("=9I", sock.getsockopt(_socket.SOL_SOCKET, _SO_MEMINFO, 36))[8])
    except (OSError, struct.error):  # older than Linux 4.12
        return None


def in_syn_sent(sock: _socket.socket) -> bool:
    """Whether a connect has had no answer yet; on Linux alone."""
    return sock.getsockopt(_socket.IPPROTO_TCP, _TCP_INFO, 32)[0] == _SYN_SENT
