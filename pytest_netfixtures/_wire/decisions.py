"""Random decisions that can be made again.

Law: a decision is a function of a key and an offset (or datagram number), never the next number of a running generator.
So it does not matter in which order, or in which chunks, the questions are asked.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["Decisions"]


class Decisions:
    """Numbers that depend on the key and the offset alone.

    The key is whatever tells one armed fault from another: the seed, the node id, the endpoint, the connection, the
    direction, the fault as code and its ordinal among equals.

    >>> Decisions("seed", 7).chance(3) == Decisions("seed", 7).chance(3)
    True
    """

    __slots__ = ("_key",)

    def __init__(self, *key: object) -> None:
        text = "\0".join(map(repr, key)).encode("utf-8", "backslashreplace")
        self._key = blake2b(text, digest_size=32).digest()

    def chance(self, offset: int, salt: str = "") -> float:
        """A number in [0, 1) for this offset; `salt` tells several questions about one offset apart."""
        question = b"%d %s" % (offset, salt.encode())
        digest = blake2b(question, key=self._key, digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) / 2**53
