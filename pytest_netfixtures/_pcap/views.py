"""Connections out of conversations: what each endpoint of ours saw, as rows and comments of the file say.

Law: a conversation with names belongs to the endpoints that these name, and one proxy's two are one connection; without
a name it is a connection to the server's address. What a row says counts for the connection that bore its name at that
time. A file cannot know what a handler has taken: at a server, delivered is what was sent.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from operator import attrgetter
from types import MappingProxyType
from typing import Literal

from pytest_netfixtures._pcap.headers import Place
from pytest_netfixtures._pcap.talks import MAX_NOTES, Talk
from pytest_netfixtures._pcap.told import LegName, Told
from pytest_netfixtures._wire.entries import Address, How
from pytest_netfixtures._wire.record import Budget, Record
from pytest_netfixtures._wire.traffic import Connection, Flow, TlsSession, address_text

__all__ = ["View", "Views"]

_Name = tuple[str, int]
_STAMP, _FIRST = attrgetter("stamp"), attrgetter("first")


class View:
    """One connection as its endpoint saw it; `talk` is its client's leg, `beyond` its leg to the upstream."""

    def __init__(self, stamp: int, leg: LegName, talk: Talk | None) -> None:
        self.stamp = stamp
        self.leg = leg
        self.talk = talk
        self.beyond: Talk | None = None
        self.beyond_leg: LegName | None = None
        self.upstream: Address | None = None
        self.upstream_peer: Address | None = None
        self.before = leg.number < 1
        self.proxy = self.doubt = False
        self.faults: dict[str, None] = {}
        self.notes: list[str] = []
        self.tls: TlsSession | None = None

    def connection(self, number: int) -> Connection:
        """The finished value; `number` is its id."""
        leg, talk, passing = self.leg, self.talk, self._passing()
        client, server = self._ends()
        return Connection(
            id=number,
            number=leg.number,
            endpoint=leg.endpoint,
            transport=self._transport(),
            peer=leg.client,
            address=leg.server,
            opened_at=self.stamp / 1e9,
            opened_before=self.before or (talk is not None and talk.before),
            ended=MappingProxyType({"client": client, "server": server}),
            faults=tuple(self.faults),
            notes=tuple(self._all_notes()),
            to_server=passing[0],
            to_client=passing[1],
            upstream=self.upstream,
            upstream_peer=self.upstream_peer,
            tls=self.tls,
        )

    def _transport(self) -> Literal["tcp", "udp"]:
        return (self.talk or self.beyond or _NOTHING).transport

    def _all_notes(self) -> Iterable[str]:
        told = [note for talk in (self.talk, self.beyond) if talk is not None for note in talk.notes]
        return dict.fromkeys((*self.notes, *told))

    def _sides(self) -> tuple[Talk, int, Talk | None, int]:
        near, far = self.talk or _NOTHING, self.beyond
        return near, near.client_side(self.leg), far, far.client_side(self.beyond_leg) if far else 0

    def _ends(self) -> tuple[How | None, How | None]:
        """What the client did, and what the server did."""
        near, asks, far, knocks = self._sides()
        if self.upstream is None:
            return near.ends[asks], near.ends[1 - asks]
        return near.ends[asks], None if far is None or far.refused else far.ends[1 - knocks]

    def _passing(self) -> tuple[Flow, Flow]:
        near, asks, far, knocks = self._sides()
        said, heard = near.records[asks], near.records[1 - asks]
        if not self.proxy:
            to_server = Flow("to_server", said.extent(), said.extent(), near.ends[asks])
            return to_server, Flow("to_client", heard.extent(), heard.extent(), near.ends[1 - asks])
        passed, answered = (self._empty(record) for record in (said, heard))
        end: How | None = near.ends[asks] if self.upstream is None else None
        if far is not None:
            passed, answered = far.records[knocks], far.records[1 - knocks]
            end = None if far.refused else far.ends[knocks]
        to_server = Flow("to_server", said.extent(), passed.extent(), end)
        return to_server, Flow("to_client", answered.extent(), heard.extent(), near.ends[1 - asks])

    def _empty(self, like: Record) -> Record:
        """Of a leg that was not there; where packets are missing, it may have been."""
        record = Record(0, Budget(0), like.datagrams)
        record.cut = self.doubt or self.talk is None
        return record


class Views:
    """Puts names to conversations."""

    def __init__(self, talks: list[Talk], doubt: bool = False) -> None:
        self._talks = talks
        self._doubt = doubt
        self._views: list[View] = []
        self._named: dict[_Name, list[View]] = {}
        self._proxies: set[str] = set()

    def connections(self, legs: list[tuple[int, LegName]], rows: list[tuple[int, Told]]) -> list[Connection]:
        """All connections in the order of their opening; `legs` and `rows` are what rows say, with their times."""
        for stamp, leg, talk in self._all_legs(legs):
            (self._client_leg if leg.side == "client" else self._server_leg)(stamp, leg, talk)
        for stamp, row in rows:
            self._row(stamp, row)
        for view in self._views:
            view.proxy, view.doubt = view.leg.endpoint in self._proxies, self._doubt
        self._foreign()
        self._views.sort(key=_STAMP)
        return [view.connection(number) for number, view in enumerate(self._views, 1)]

    def _all_legs(self, rows: list[tuple[int, LegName]]) -> list[tuple[int, LegName, Talk | None]]:
        """Every naming of a leg: all legs to clients in time, then those to upstreams."""
        told: list[tuple[int, LegName, Talk | None]] = []
        for talk in self._talks:
            told += [(stamp, leg, talk) for stamp, leg in talk.legs]
        known = {(leg, id(talk)) for _, leg, talk in told}
        places: dict[frozenset[Place], list[Talk]] = {}
        for talk in sorted(self._talks, key=_FIRST):
            places.setdefault(frozenset(talk.places), []).append(talk)
        for stamp, leg in rows:
            found = _at(places.get(_pair(leg), []), stamp)
            if found is None or (leg, id(found)) not in known:
                told.append((stamp, leg, found))
            if found is not None:
                found.legs.append((stamp, leg))
        return sorted(told, key=lambda each: (each[1].side, each[0]))

    def _client_leg(self, stamp: int, leg: LegName, talk: Talk | None) -> View:
        start = talk.first if talk is not None else stamp
        known = self._view(leg.endpoint, leg.number, start)
        if known is not None and known.talk is talk and known.leg == leg:
            return known
        view = View(start, leg, talk)
        insort(self._named.setdefault((leg.endpoint, leg.number), []), view, key=_STAMP)
        self._views.append(view)
        return view

    def _server_leg(self, stamp: int, leg: LegName, talk: Talk | None) -> None:
        self._proxies.add(leg.endpoint)
        view = self._view(leg.endpoint, leg.number, talk.first if talk is not None else stamp)
        if view is None:  # nothing of its client's leg is there
            view = self._client_leg(stamp, leg._replace(side="client", client="", server=""), None)
        view.beyond, view.beyond_leg = talk, leg
        view.upstream, view.upstream_peer = leg.server, leg.client

    def _view(self, endpoint: str, number: int, stamp: int) -> View | None:
        """The connection that had this name at that time."""
        views = self._named.get((endpoint, number), [])
        return views[max(bisect_right(views, stamp, key=_STAMP) - 1, 0)] if views else None

    def _row(self, stamp: int, row: Told) -> None:
        view = self._view(row.endpoint, row.number, stamp)
        if view is None:
            return
        if row.kind == "fault":
            view.faults.setdefault(row.text)
        elif row.kind == "tls":
            view.tls = row.tls
        elif len(view.notes) < MAX_NOTES:
            view.notes.append(row.text)
        if row.kind == "upstream":
            self._proxies.add(row.endpoint)
            view.upstream = row.upstream if view.upstream is None else view.upstream

    def _foreign(self) -> None:
        """A connection for each conversation without a name: its endpoint is the server's address."""
        counts: dict[str, int] = {}
        for talk in sorted((talk for talk in self._talks if not talk.legs), key=_FIRST):
            asks = talk.client_side()
            client, server = talk.places[asks], talk.places[1 - asks]
            endpoint = address_text(server)
            counts[endpoint] = number = counts.get(endpoint, 0) + 1
            leg = LegName(endpoint, number, "client", client, server)
            talk.legs.append((talk.first, leg))
            self._views.append(View(talk.first, leg, talk))


def _pair(leg: LegName) -> frozenset[Place]:
    ends = (leg.client, leg.server)
    return frozenset((end[0].partition("%")[0], end[1]) for end in ends if not isinstance(end, str))


def _at(talks: list[Talk], stamp: int) -> Talk | None:
    """Of conversations between the same addresses the one that had begun by then, or else the first."""
    return talks[max(bisect_right(talks, stamp, key=_FIRST) - 1, 0)] if talks else None


def _nothing() -> Talk:
    """In place of a conversation that is not in the file: nothing can be said of its bytes."""
    records = tuple(Record(0, Budget(0)) for _ in range(2))
    for record in records:
        record.stop()
    talk = Talk("tcp", ("", 0, "", 0), 0, records, Budget(0))
    talk.before = False
    return talk


_NOTHING = _nothing()
