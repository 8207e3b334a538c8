"""Other bytes in place of those that were sent, found across chunks.

Law: as in `streams.py`. Only what could be the beginning of a match is kept back, each byte for at most `hold` seconds,
so that a peer that waits for an answer gets it; it is in `seen.memory`, and let go before an end and when lifted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace

from .._errors import is_for_the_user
from .checks import check_bytes, check_count, check_seconds
from .effect import is_signal
from .events import NEVER, Data, Datagram, Event, Lifted, Wake
from .narrowing import Narrowable
from .scanner import Pattern, check_pattern, code_of_pattern, first_match
from .seen import Seen

__all__ = ["Replace"]

__tracebackhide__ = is_for_the_user


@dataclass(frozen=True, repr=False)
class Replace(Narrowable):
    r"""Other bytes wherever `old` was sent, found across chunk boundaries. Works on streams and datagrams.

    `old`: bytes, or a compiled bytes regex with `window`, its longest match in bytes. `new`: bytes as they are, also for
    a regex (no templates such as `\1`); b"" takes `old` away. `count`: at most so many in this direction of a
    connection; None: all of them. Matches are taken from the left and do not overlap. One of a regex ends at the first
    byte at which the regex is found, because a stream has no end to wait for: in "id=123" `rb"id=\d+"` matches "id=1",
    so let it say what follows, `rb"id=\d+;"`.

    `hold`: a match may come in pieces, so what could be its beginning waits for the rest, for at most so many seconds;
    0: not at all. Of bytes that is the longest end of what has come with which `old` begins; of a regex the last
    `window - 1` bytes, so that each message is late by `hold`. A match all of whose bytes come within `hold` seconds is
    found however they were cut; what was let go by then is no part of a match any more. An end of the stream does not
    wait. In datagrams a match lies within one, and nothing waits.

    Lifted: what waited for the rest of a match goes on as it came.

    Raises TypeError or ValueError for an empty pattern, or a regex without `window` or one that looks beyond its match.

    >>> Replace(b"cde", b"XY")
    Replace(old=b'cde', new=b'XY')

        sent       |abc....defg
        delivered  |ab.....XYfg
    """

    old: Pattern
    new: bytes
    count: int | None = None
    hold: float = 0.05
    window: int | None = None

    def __post_init__(self) -> None:
        check_pattern(self.old, self.window, "old")
        check_bytes("new", self.new)
        if self.count is not None:
            check_count("count", self.count, least=1, unit="matches")
        check_seconds("hold", self.hold)

    def __repr__(self) -> str:
        given = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        code = [f"{name}={code_of_pattern(v) if name == 'old' else repr(v)}" for name, v in given]
        return f"Replace({', '.join(code)})"

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        work: _Work = seen.memory.get("work") or seen.memory.setdefault("work", _Work(self, self.count))
        if isinstance(event, Data):
            return work.pass_on(event, seen)
        if isinstance(event, Datagram):
            return (work.pass_alone(event),)
        return work.signalled(event, seen)


@dataclass
class _Work:
    """What a `Replace` remembers of one direction of one connection."""

    fault: Replace
    left: int | None
    before: bytes = b""
    """The byte before `kept`, without which ^ would be true there."""
    kept: bytes = b""
    waits: list[tuple[int, float]] = field(default_factory=list)
    """The bytes of `kept` in pieces as they came: how many, and until when they may wait."""
    called: float = NEVER
    """When the wake-up call comes that was asked for."""

    def pass_on(self, event: Data, seen: Seen) -> Iterator[Event]:
        yield from self._let_go(event.at)
        fresh = not self.kept
        made = self._replace(event)
        if fresh and made == event.data:
            yield event
        elif made:
            yield Data(event.at, made)
        yield from self._ask_for_the_rest(seen)

    def pass_alone(self, event: Datagram) -> Datagram:
        parts = self._split(event.data, 0, 0)
        return replace(event, data=self.fault.new.join(parts)) if len(parts) > 1 else event

    def signalled(self, event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Lifted) or (isinstance(event, Wake) and event.at >= self.called):
            self.called = NEVER
        yield from self._let_go(event.at)
        if self.kept and (isinstance(event, Lifted) or not is_signal(event)):
            yield Data(event.at, self._take(len(self.kept)))
        if not is_signal(event):
            yield event
        yield from self._ask_for_the_rest(seen)

    def _let_go(self, now: float) -> Iterator[Event]:
        """What has waited long enough, and what cannot begin a match without it."""
        while self.waits and self.waits[0][1] <= now:
            size, at = self.waits[0]
            rest = self.kept[size:]
            yield Data(at, self._take(len(self.kept) - self._beginning(rest)))

    def _take(self, size: int) -> bytes:
        """Take the first bytes out of what is kept."""
        taken, rest = self.kept[:size], self.kept[size:]
        self.before = taken[-1:] or self.before
        self._keep(rest)
        return taken

    def _keep(self, kept: bytes) -> None:
        """Keep the last bytes of what has come, with their times."""
        extra = sum(size for size, _ in self.waits) - len(kept)
        while extra > 0:
            size, at = self.waits.pop(0)
            if size > extra:
                self.waits.insert(0, (size - extra, at))
            extra -= size
        self.kept = kept

    def _replace(self, event: Data) -> bytes:
        """What goes on of these bytes and of those that are kept; the rest is kept."""
        text, start = self.before + self.kept + event.data, len(self.before)
        *done, tail = self._split(text, start, start + len(self.kept))
        size = len(tail) - self._beginning(tail)
        if event.data:
            self.waits.append((len(event.data), event.at + self.fault.hold))
        self._keep(tail[size:])
        end = len(text) - len(self.kept)
        self.before = text[max(0, end - 1) : end]
        return self.fault.new.join([*done, tail[:size]])

    def _split(self, text: bytes, start: int, known: int) -> list[bytes]:
        """The text from `start` on, cut where the matches were; none is known to end within `known` bytes."""
        old = self.fault.old
        if isinstance(old, bytes):
            parts = text[start:].split(old, -1 if self.left is None else self.left)
        else:
            parts = list(self._split_by_regex(text, start, known))
        if self.left is not None:
            self.left -= len(parts) - 1
        return parts

    def _split_by_regex(self, text: bytes, start: int, known: int) -> Iterator[bytes]:
        found = 0
        while found != self.left and (
            span := first_match(self.fault.old, self.fault.window, text, start, known)
        ):
            yield text[start : span[0]]
            start, found = span[1], found + 1
        yield text[start:]

    def _beginning(self, text: bytes) -> int:
        """How many bytes at the end of the text could be the beginning of a match."""
        if self.left == 0 or not self.fault.hold:
            return 0
        old = self.fault.old
        if not isinstance(old, bytes):
            return min(len(text), (self.fault.window or 1) - 1)
        place = text.find(old[:1], max(0, len(text) - len(old) + 1))
        while place >= 0 and not old.startswith(text[place:]):
            place = text.find(old[:1], place + 1)
        return len(text) - place if place >= 0 else 0

    def _ask_for_the_rest(self, seen: Seen) -> Iterator[Event]:
        """Say what is kept, and ask to be woken when the first of it must go; one call is on its way at a time."""
        if self.kept != seen.kept:
            seen.hold_back(self.kept)
        if self.waits and self.called == NEVER:
            self.called = self.waits[0][1]
            yield Wake(self.called)
