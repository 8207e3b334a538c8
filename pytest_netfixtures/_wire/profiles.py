"""Named network conditions, each with the numbers of a named source, as faults for streams and for datagrams.

Law: values alone. A number is its source's, in seconds and bytes per second; where a source gives a round trip it is
divided by two here, in the open. What a profile makes of its numbers is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypedDict, cast

from .._errors import is_for_the_user
from .checks import check_count, check_rate, check_seconds, check_text
from .datagrams import BurstLoss
from .narrowing import Narrowable
from .pieces import Slice
from .seen import Fault
from .streams import Bandwidth, Delay, Retransmit

__all__ = [
    "ALL",
    "CABLE",
    "CONGESTED",
    "DIAL_UP",
    "DSL",
    "EDGE",
    "GOOD_WIFI",
    "GPRS",
    "LOSSY_WIFI",
    "LTE",
    "SATELLITE",
    "SLOW_4G",
    "UMTS",
    "Conditions",
    "Profile",
]

__tracebackhide__ = is_for_the_user

SEGMENT = 1448
"""What TCP sends at once on Ethernet: 1500 bytes less the headers of IPv4, TCP and its timestamps."""
LEAST_TIMEOUT = 0.2
"""What Linux waits at least, beyond the round trip, before it sends a lost segment again (TCP_RTO_MIN)."""


class Conditions(TypedDict):
    """The faults of both directions, as a proxy takes them: `fault_proxy(server, **conditions)`."""

    to_server: Sequence[Fault]
    to_client: Sequence[Fault]


class _Named(dict[str, Sequence[Fault]]):
    """Conditions whose id in a parametrization is the name of their profile."""

    def __init__(self, name: str, rows: dict[str, Sequence[Fault]]) -> None:
        super().__init__(rows)
        self.__name__ = name

    def __reduce__(self) -> tuple[object, ...]:
        return _Named, (self.__name__, dict(self))


@dataclass(frozen=True, repr=False)
class Profile:
    """The conditions of a network: how late, how slow, how lossy.

    `delay`: seconds in one direction. `down`, `up`: bytes per second to the client and to the server. `source`: whose
    numbers these are. `jitter`: a delay is up to so much less or more. `to_bad`, `to_good`: how datagrams are lost, as in
    `BurstLoss`; `to_bad=0`: none is.

    `.streams` and `.datagrams` are what a proxy of TCP and one of UDP take. All connections of a proxy share its line.
    On a stream a lost segment is one that comes late, after the time in which TCP sends it again. None of these faults
    must fire.

    Raises TypeError or ValueError for a number that cannot be.

    >>> from pytest_netfixtures import profiles
    >>> profiles.GPRS.streams["to_client"]
    (Bandwidth(bytes_per_second=6400, shared=True).optional(), Delay(seconds=0.25).optional())
    >>> profiles.Profile("OFFICE", delay=0.01, down=10_000_000, up=1_000_000, source="measured in May")
    Profile(name='OFFICE', delay=0.01, down=10000000, up=1000000, source='measured in May')
    """

    name: str
    delay: float
    down: int
    up: int
    source: str
    jitter: float = 0.0
    to_bad: float = 0.0
    to_good: float = 1.0

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_text("source", self.source)
        check_seconds("delay", self.delay)
        check_seconds("jitter", self.jitter)
        for field in ("down", "up"):
            check_count(field, getattr(self, field), least=1, unit="bytes per second")
        check_rate("to_bad", self.to_bad, zero=True)
        check_rate("to_good", self.to_good)
        if self.jitter > self.delay:
            raise ValueError(f"jitter is {self.jitter!r}; expected at most the delay, {self.delay!r} seconds")

    def __repr__(self) -> str:
        if self in ALL:
            return f"profiles.{self.name}"
        given = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return f"Profile({', '.join(f'{name}={value!r}' for name, value in given)})"

    @property
    def __name__(self) -> str:
        """What pytest takes as the id of a parameter."""
        return self.name

    @property
    def loss(self) -> float:
        """The share of datagrams that is lost in the long run."""
        return self.to_bad / (self.to_bad + self.to_good)

    @property
    def streams(self) -> Conditions:
        """For a proxy of TCP: `fault_proxy(server, **profiles.GPRS.streams)`."""
        return self._both(self._late() + self._sent_again(), cut=bool(self.to_bad))

    @property
    def datagrams(self) -> Conditions:
        """For a proxy of UDP: `netlab.udp_proxy(server, **profiles.GPRS.datagrams)`."""
        return self._both(self._lost() + self._late())

    def _both(self, line: list[Narrowable], cut: bool = False) -> Conditions:
        """In the direction of travel: into segments where each meets its own chance, through the narrow place, and on."""
        rows: dict[str, Sequence[Fault]] = {}
        for way, rate in (("to_server", self.up), ("to_client", self.down)):
            row = [*([Slice(SEGMENT)] if cut else []), Bandwidth(rate, shared=True), *line]
            rows[way] = tuple(map(_need_not_fire, row))
        return cast(Conditions, _Named(self.name, rows))

    def _late(self) -> list[Narrowable]:
        least = round(self.delay - self.jitter, 6)
        return [Delay(least, jitter=2 * self.jitter)] if self.delay else []

    def _lost(self) -> list[Narrowable]:
        return [BurstLoss(self.to_bad, self.to_good)] if self.to_bad else []

    def _sent_again(self) -> list[Narrowable]:
        """A burst costs a stream one timeout; there is one in so many segments."""
        if not self.to_bad:
            return []
        every = 1 / self.to_bad + 1 / self.to_good
        return [Retransmit(round(1 / every, 4) or 1 / every, round(2 * self.delay + LEAST_TIMEOUT, 6))]


def _need_not_fire(fault: Narrowable) -> Narrowable:
    return fault if fault.by_chance() else fault.optional()


_WPT = "WebPageTest, www/settings/connectivity.ini.sample (commit a7cf6a7): "
_STR0M = "str0m-netem 0.2.0, "

DIAL_UP = Profile("DIAL_UP", 0.06, 6125, 3750, _WPT + "56K Dial-Up, 49/30 Kbps, 120 ms round trip")
GPRS = Profile(
    "GPRS",
    0.25,
    6400,
    2560,
    "Firefox, devtools/client/shared/components/throttling/profiles.js: GPRS, 50/20 Kbps of 1024 bits, 500 ms round trip",
)
EDGE = Profile("EDGE", 0.42, 30_000, 25_000, _WPT + "Mobile Edge, 240/200 Kbps, 840 ms round trip")
UMTS = Profile("UMTS", 0.15, 200_000, 96_000, _WPT + "3G, 1.6 Mbps/768 Kbps, 300 ms round trip")
SLOW_4G = Profile(
    "SLOW_4G",
    0.075,
    200_000,
    93_750,
    "Lighthouse 6.4.1, docs/throttling.md: mobile (Slow 4G), 1.6 Mbps/750 Kbps, 150 ms round trip",
)
LTE = Profile("LTE", 0.035, 1_500_000, 1_500_000, _WPT + "LTE, 12/12 Mbps, 70 ms round trip")
DSL = Profile("DSL", 0.025, 187_500, 48_000, _WPT + "DSL, 1.5 Mbps/384 Kbps, 50 ms round trip")
CABLE = Profile("CABLE", 0.014, 625_000, 125_000, _WPT + "Cable, 5/1 Mbps, 28 ms round trip")
SATELLITE = Profile(
    "SATELLITE",
    0.279,
    1_875_000,
    1_875_000,
    "RFC 2488 (1999), section 2: 279.0 ms for one hop through a geostationary satellite; "
    + _STR0M
    + "satellite: 15 Mbps, bursts of 3 lost after 100 datagrams",
    to_bad=1 / 100,
    to_good=1 / 3,
)
GOOD_WIFI = Profile(
    "GOOD_WIFI",
    0.005,
    12_500_000,
    12_500_000,
    _STR0M + "wifi: 100 Mbps, 5 ms, jitter 2 ms, bursts of 2 lost after 200 datagrams",
    jitter=0.002,
    to_bad=1 / 200,
    to_good=1 / 2,
)
LOSSY_WIFI = Profile(
    "LOSSY_WIFI",
    0.015,
    6_250_000,
    6_250_000,
    _STR0M + "wifi_lossy: 50 Mbps, 15 ms, jitter 10 ms, bursts of 2 lost after 40 datagrams",
    jitter=0.01,
    to_bad=1 / 40,
    to_good=1 / 2,
)
CONGESTED = Profile(
    "CONGESTED",
    0.08,
    1_250_000,
    1_250_000,
    _STR0M + "congested: 10 Mbps, 80 ms, jitter 40 ms, bursts of 2 lost after 20 datagrams",
    jitter=0.04,
    to_bad=1 / 20,
    to_good=1 / 2,
)

ALL = (
    DIAL_UP, GPRS, EDGE, UMTS, SLOW_4G, LTE, DSL, CABLE, SATELLITE, GOOD_WIFI, LOSSY_WIFI, CONGESTED,
)  # fmt: skip
"""All of them, the slowest first where they can be compared."""
