"""What a link is given, and whom it tells.

Law: shapes alone; nothing here acts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from .._wire.entries import How

if TYPE_CHECKING:
    from .link import Link

__all__ = ["Chunk", "Owner", "SecureOwner"]


class Chunk(NamedTuple):
    """Bytes to hand over: when they were due, and the faults that touched them."""

    data: bytes
    due: float
    faults: tuple[str, ...] = ()


class Owner(Protocol):
    """Who hears of a link. All but `got`, `got_end` and `room` are called under the journal's lock."""

    def read(self, link: Link, data: bytes) -> None:
        """Bytes were read from the peer."""

    def got(self, link: Link, data: bytes) -> None:
        """Bytes were read, outside of the lock: do something with them."""

    def peer_ended(self, link: Link, how: How) -> None:
        """The peer has ended its direction (FIN), or the connection (RST)."""

    def wrote(self, link: Link, data: bytes, chunk: Chunk) -> None:
        """The kernel has taken these bytes of a chunk."""

    def we_ended(self, link: Link, how: How, faults: tuple[str, ...]) -> None:
        """Our FIN or RST is on its way."""

    def got_end(self, link: Link, how: How) -> None:
        """The peer has ended, outside of the lock: do something about it."""

    def room(self, link: Link) -> None:
        """Waiting bytes were handed over."""


class SecureOwner(Owner, Protocol):
    """Who hears of a link with TLS: its bytes are plain text, its ends are those of TCP. Both are called outside of the lock."""

    def secured(self, link: Link) -> None:
        """The handshake is done: plain text can go."""

    def not_secured(self, link: Link, reason: str) -> None:
        """The handshake has failed; the link ends by itself."""
