"""Whether an end comes with a goodbye: who makes an end says so, and every other fault keeps what was said.

It runs no TLS: that a close_notify is really sent is in tests/engine.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import narrowed, row, rows, shaping

from pytest_netfixtures._wire.ends import HalfClose, Truncate
from pytest_netfixtures._wire.events import Data, Fin
from pytest_netfixtures._wire.narrowing import Narrowable


@pytest.mark.parametrize("notify", [False, True])
@pytest.mark.parametrize(("kind", "whole"), [(Truncate, True), (HalfClose, False)])
def test_a_clean_cut_says_whether_a_goodbye_comes_before_its_fin(
    kind: type[Truncate | HalfClose], whole: bool, notify: bool
) -> None:
    for fault, size in (
        (kind(notify=notify), 0),
        (kind(after=2, notify=notify), 2),
        (kind(at=3, notify=notify), 3),
    ):
        wire = row(fault).give(Data(0.0, b"abcdefg")).run()
        assert wire.delivered() == b"abcdefg"[:size]
        assert wire.end["to_client"] == Fin(0.0, whole=whole, notify=notify)


@given(rows(shaping), st.booleans(), st.booleans())
def test_faults_that_shape_keep_what_an_end_says(faults: list[Narrowable], whole: bool, notify: bool) -> None:
    wire = row(*faults).give(Data(0.0, b"abcdefg")).give(Fin(1.0, whole, notify)).run()
    end = wire.end["to_client"]
    assert isinstance(end, Fin)
    assert (end.whole, end.notify) == (whole, notify)


@given(
    narrowed(st.sampled_from([Truncate(after=3, notify=True), HalfClose(at=3, notify=True)])), st.booleans()
)
def test_a_narrowing_keeps_what_an_end_says(fault: Narrowable, notify: bool) -> None:
    wire = row(fault).give(Data(0.0, b"abcdefg")).give(Fin(1.0, notify=notify)).run()
    end = wire.end["to_client"]
    assert isinstance(end, Fin)
    assert end.notify == (notify if wire.delivered() == b"abcdefg" and end.at == 1.0 else True)


def test_it_prints_as_the_code_that_made_it() -> None:
    assert repr(Truncate(after=3, notify=True)) == "Truncate(after=3, notify=True)"
    assert repr(HalfClose(at=3)) == "HalfClose(at=3)"


@pytest.mark.parametrize("kind", [Truncate, HalfClose])
def test_a_goodbye_is_sent_or_not(kind: type[Truncate | HalfClose]) -> None:
    with pytest.raises(TypeError, match="notify is 'yes'; expected True or False"):
        kind(after=3, notify="yes")  # type: ignore[arg-type]
