"""Named conditions: their numbers and sources, what they are made of, and that the page about them says the same."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_netfixtures import Bandwidth, BurstLoss, Data, Datagram, Delay, Fin, Retransmit, profiles
from pytest_netfixtures._wire.given import faults_of, must_fire
from pytest_netfixtures._wire.pipeline import Fault
from pytest_netfixtures.profiles import Profile

from .wire_tools import Wire, row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "profiles.md"
PLAIN: dict[str, Any] = {"name": "X", "delay": 0.1, "down": 1000, "up": 500, "source": "measured"}
named = pytest.mark.parametrize("profile", profiles.ALL)


def in_words(profile: Profile) -> list[str]:
    """The cells of a profile's row on the page."""
    jitter = f" ± {profile.jitter * 1000:g}" if profile.jitter else ""
    return [
        f"`{profile.name}`",
        f"{profile.delay * 1000:g}{jitter} ms",
        f"{profile.down:,}",
        f"{profile.up:,}",
        f"{profile.loss:.1%}" if profile.to_bad else "",
        profile.source,
    ]


def test_the_page_has_the_numbers_and_sources_of_all_of_them() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
    ]
    assert [cells for cells in rows if cells and re.fullmatch(r"`[A-Z0-9_]+`", cells[0])] == [
        in_words(profile) for profile in profiles.ALL
    ]


def test_the_face_has_all_of_them() -> None:
    assert {p.name for p in profiles.ALL} | {"ALL", "Conditions", "Profile"} == {*profiles.__all__}


@named
def test_it_prints_as_the_code_that_finds_it_compares_and_pickles(profile: Profile) -> None:
    assert eval(repr(profile)) is profile is getattr(profiles, profile.name)
    assert (pickle.loads(pickle.dumps(profile)), repr(pickle.loads(pickle.dumps(profile)))) == (
        profile,
        repr(profile),
    )
    conditions = pickle.loads(pickle.dumps(profile.streams))
    assert (conditions, conditions.__name__) == (profile.streams, profile.name)
    assert {*profiles.ALL} == {*map(eval, map(repr, profiles.ALL))}


@named
def test_its_faults_fit_print_as_code_and_need_not_fire(profile: Profile) -> None:
    for transport, conditions in (("tcp", profile.streams), ("udp", profile.datagrams)):
        assert [*conditions] == ["to_server", "to_client"]
        for way, faults in conditions.items():
            assert faults_of(way, faults, transport) == faults
            assert not any(must_fire(fault) for fault in faults)


def test_one_of_your_own() -> None:
    mine = Profile(**PLAIN, jitter=0.05)
    assert repr(mine) == "Profile(name='X', delay=0.1, down=1000, up=500, source='measured', jitter=0.05)"
    late = Delay(0.05, jitter=0.1).optional()
    assert (
        mine.streams
        == mine.datagrams
        == {
            "to_server": (Bandwidth(500, shared=True).optional(), late),
            "to_client": (Bandwidth(1000, shared=True).optional(), late),
        }
    )
    lossy = Profile(**PLAIN, to_bad=0.1, to_good=0.4)
    assert lossy.loss == pytest.approx(0.2)
    assert lossy.datagrams["to_client"][1] == BurstLoss(to_bad=0.1, to_good=0.4)
    assert lossy.streams["to_client"][-1] == Retransmit(rate=0.08, seconds=0.4)


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"name": ""}, TypeError, "name is ''"),
        ({"source": None}, TypeError, "source is None"),
        ({"delay": -1}, ValueError, "delay is -1"),
        ({"down": 0}, ValueError, "down is 0; expected 1 or more bytes per second"),
        ({"up": 0.5}, TypeError, "up is 0.5"),
        ({"jitter": 0.2}, ValueError, "jitter is 0.2; expected at most the delay, 0.1 seconds"),
        ({"to_bad": 2}, ValueError, "to_bad is 2"),
        ({"to_good": 0}, ValueError, "to_good is 0"),
    ],
)
def test_a_wrong_number_is_refused(wrong: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        Profile(**PLAIN | wrong)


@named
def test_every_byte_arrives_in_order_and_not_before_its_time(profile: Profile) -> None:
    data = bytes(range(256)) * 40
    wire = Wire(**profile.streams)
    wire.give(Data(1.0, data[:100])).give(Data(1.0, data[100:])).give(Fin(1.0)).run()
    assert wire.delivered() == data
    assert isinstance(wire.end["to_client"], Fin)
    times = [at for at, _ in wire.got["to_client"]]
    assert times == sorted(times)
    least = profile.delay - profile.jitter
    assert times[0] >= 1.0 + least
    assert times[-1] >= 1.0 + least + len(data) / profile.down - 1e-6


@named
def test_datagrams_are_lost_as_often_as_it_says(profile: Profile) -> None:
    count = 2000
    wire = Wire(**profile.datagrams, key=(7,))
    for number in range(count):
        wire.give(Datagram(float(number), b"x" * 20, ("127.0.0.1", 1)))
    wire.run()
    arrived = wire.got["to_client"]
    assert (
        len(arrived) == count if not profile.to_bad else count * (1 - 3 * profile.loss) < len(arrived) < count
    )
    assert all(
        at - int(at) >= profile.delay - profile.jitter - 1e-6 for at, _ in arrived if profile.delay < 0.3
    )


def test_a_share_of_the_pieces_comes_late() -> None:
    count, rate = 10_000, 0.1
    wire = row(Retransmit(rate, 0.5), key=(3,))
    for number in range(count):
        wire.give(Data(float(number), b"x")).run()
    late = sum(at % 1 == 0.5 for at, _ in wire.got["to_client"])
    assert abs(late - count * rate) < 4 * (count * rate * (1 - rate)) ** 0.5
    assert all(at % 1 in (0, 0.5) for at, _ in wire.got["to_client"])


def test_what_is_sent_again_is_for_streams() -> None:
    again: Fault = Retransmit(0.5, 0.2)
    assert faults_of("to_client", again, "tcp") == (again,)
    with pytest.raises(
        ValueError, match=r"expected a fault that fits UDP: nobody sends a datagram again; write Loss"
    ):
        faults_of("to_client", again, "udp")
    assert must_fire(Retransmit(1, 0.2))
    for wrong in ((0, 1), (1.5, 1), (0.5, -1)):
        with pytest.raises(ValueError, match="expected"):
            Retransmit(*wrong)
