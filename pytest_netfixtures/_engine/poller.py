"""Which sockets are ready.

Law: it answers the one question and holds no callback. On Linux it is epoll, because a socket that is watched for nothing
still tells of its reset there; elsewhere it is the best of `selectors`, which notices a reset when reading goes on.
"""

from __future__ import annotations

import select
import selectors

__all__ = ["BROKEN", "ERROR", "READ", "WRITE", "Poller", "make_poller"]

READ = 1
WRITE = 4
ERROR = 8
BROKEN = ERROR | 16
"""ERROR: the peer has reset. Without it: both directions have ended."""

_MOST_FOR_SELECT = 1024

_LONGEST_WAIT = 86400.0
"""The kernel refuses to wait for centuries; the loop comes again."""


class Poller:
    """The readiness of sockets by epoll."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}

    def watch(self, fd: int, interest: int) -> None:
        """Watch `fd` for READ, WRITE, both, or with 0 for its reset alone."""
        before = self._watched.get(fd)
        if before is None:
            self._epoll.register(fd, interest)
        elif before != interest:
            self._epoll.modify(fd, interest)
        self._watched[fd] = interest

    def forget(self, fd: int) -> None:
        """Stop watching; call it before the socket is closed."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Pairs of descriptor and what it is ready for, after at most `seconds`."""
        if seconds is None:
            return self._epoll.poll()
        if seconds <= 0:
            return self._epoll.poll(0)
        seconds = min(seconds, _LONGEST_WAIT)
        if self._epoll.fileno() >= _MOST_FOR_SELECT:
            return self._epoll.poll(seconds)
        select.select([self._epoll.fileno()], [], [], seconds)  # poll() would round up to whole milliseconds
        return self._epoll.poll(0)

    def close(self) -> None:
        self._epoll.close()


class _SelectorPoller(Poller):
    """The readiness of sockets by `selectors`, where there is no epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, fd: int, interest: int) -> None:
        self.forget(fd)
        if interest:
            wanted = (
                bool(interest & READ) * selectors.EVENT_READ | bool(interest & WRITE) * selectors.EVENT_WRITE
            )
            self._selector.register(fd, wanted)

    def forget(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        ready = self._selector.select(None if seconds is None else min(seconds, _LONGEST_WAIT))
        read, write = selectors.EVENT_READ, selectors.EVENT_WRITE
        return [(key.fd, bool(mask & read) * READ | bool(mask & write) * WRITE) for key, mask in ready]

    def close(self) -> None:
        self._selector.close()


def make_poller() -> Poller:
    """The best poller of this platform."""
    return Poller() if hasattr(select, "epoll") else _SelectorPoller()
