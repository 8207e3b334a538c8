"""An engine that lags behind: what is due was not yet carried out when faults come and go."""

from __future__ import annotations

from random import Random

import pytest
from wire.wire_tools import row

from pytest_netfixtures._wire.entries import TO_CLIENT
from pytest_netfixtures._wire.events import Data
from pytest_netfixtures._wire.narrowing import Narrowable
from pytest_netfixtures._wire.pieces import Coalesce, Slice
from pytest_netfixtures._wire.streams import Bandwidth, Delay, Retransmit, Stall

SHAPING = (Coalesce(0.03, size=10), Slice(7, gap=0.01), Bandwidth(500), Delay(0.05), Retransmit(0.2), Stall())


def test_an_overdue_wake_up_call_does_not_overtake_what_a_lifted_fault_let_out() -> None:
    wire = row(Coalesce(0.25), Delay(1.0)).give(Data(0.0, b"a")).run(until=0.5).give(Data(0.75, b"b"))
    wire.lift(wire.armed[1], at=2.0)
    assert wire.run().delivered() == b"ab"


def test_nor_does_it_overtake_what_a_stall_held() -> None:
    wire = row(Coalesce(0.25), Stall()).give(Data(0.0, b"a")).run(until=0.5).give(Data(1.0, b"b"))
    wire.lift(wire.armed[1], at=2.0)
    assert wire.run().delivered() == b"ab"


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_added_and_lifted_late_every_byte_arrives_in_order(seed: int) -> None:
    chance = Random(seed)
    wire, sent, at = row(_one(chance)), b"", 0.0
    for number in range(30):
        at += chance.choice((0.0, 0.001, 0.02, 0.2))
        sent += (piece := bytes([number]) * chance.randint(1, 40))
        wire.give(Data(at, piece))
        if chance.random() < 0.5:
            wire.armed.append(wire.add(_one(chance), at))
        elif wire.armed:
            wire.lift(wire.armed.pop(chance.randrange(len(wire.armed))), at)
        if chance.random() < 0.7:
            wire.run(until=at)
    for armed in wire.armed:
        wire.lift(armed, at)
    assert wire.run().delivered(TO_CLIENT) == sent


def _one(chance: Random) -> Narrowable:
    return chance.choice(SHAPING)
