"""The cases of the marker `net_faults`: what a test is run under, once for each.

Law: it reads markers at collection and says what is wrong with them; it arms nothing. Hooks import it only when a test
has the marker, so that all others pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from pytest_netfixtures._wire.entries import DIRECTIONS
from pytest_netfixtures._wire.given import faults_of
from pytest_netfixtures._wire.profiles import Conditions, Profile
from pytest_netfixtures._wire.seen import code_of
from pytest_netfixtures._wire.text import clip, plain

if TYPE_CHECKING:
    from pytest_netfixtures import TcpProxy

FIXTURE = "net_faults"
LONGEST_ID = 80
EXAMPLES = "@pytest.mark.net_faults(to_client=[Delay(0.2), Reset(after=3), ()])"

_PARAM: Any = type(pytest.param(()))


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run this test once for each case of its markers, the nearest marker first."""
    where = f"the marker net_faults of {metafunc.definition.nodeid}"
    if FIXTURE not in metafunc.fixturenames:
        pytest.fail(
            f"{where} has no effect: the test uses neither the fixture fault_proxy nor net_faults. Expected one of them "
            "among its arguments or those of its fixtures; add it, or remove the marker",
            pytrace=False,
        )
    try:
        cases = [case for mark in metafunc.definition.iter_markers(FIXTURE) for case in _cases(mark)]
    except (TypeError, ValueError) as error:
        raise pytest.fail.Exception(f"{where} cannot be used: {error}", pytrace=False) from None
    metafunc.parametrize(FIXTURE, cases, indirect=True, scope="function")


def check_item(item: pytest.Item) -> None:
    """An item that pytest cannot run several times, or that got its marker too late, must not pass in silence."""
    __tracebackhide__ = True
    if FIXTURE not in getattr(getattr(item, "callspec", None), "params", {}):
        pytest.fail(
            f"the marker net_faults of {item.nodeid} has no effect. Expected it on a test function, or on a method, "
            "class or module of test functions: pytest cannot run methods of unittest.TestCase several times, nor take "
            "this marker from pytest.param(marks=...) or item.add_marker(). Make it a plain function or class, or use "
            "proxy.fault(...) in the test",
            pytrace=False,
        )


def adding(make: Callable[..., TcpProxy], case: Conditions) -> Callable[..., TcpProxy]:
    """The factory `make`, with the faults of the case behind those that are given."""

    def fault_proxy(upstream: object, *, to_server: Any = (), to_client: Any = (), **others: Any) -> TcpProxy:
        __tracebackhide__ = True
        others["to_server"] = (*faults_of("to_server", to_server), *case["to_server"])
        others["to_client"] = (*faults_of("to_client", to_client), *case["to_client"])
        return make(upstream, **others)

    fault_proxy.__qualname__ = "fault_proxy"  # tracebacks show it among the arguments of the test
    return fault_proxy


def _cases(mark: pytest.Mark) -> Iterator[Any]:
    """What one marker says, as parameters of the fixture."""
    unknown = [f"{name}=" for name in mark.kwargs if name not in DIRECTIONS]
    if unknown:
        raise TypeError(f"it has {', '.join(unknown)}; expected to_server= and to_client=, as in {EXAMPLES}")
    found = [_param(value, _both_ways) for value in mark.args]
    for way, value in mark.kwargs.items():
        listed = value if _is_row(value) else [value]
        found += [_param(each, partial(_one_way, way)) for each in listed]
    if not found:
        raise ValueError(f"it has no case; expected one at least, as in {EXAMPLES}")
    yield from found


def _is_row(value: object) -> bool:
    return isinstance(value, (list, tuple)) and not isinstance(value, _PARAM)


def _one_way(way: str, faults: object) -> Mapping[Any, Any]:
    """A case of `to_server=` or `to_client=`."""
    return {way: faults}


def _both_ways(value: object) -> Mapping[Any, Any]:
    """A positional argument: a profile or a mapping."""
    value = value.streams if isinstance(value, Profile) else value
    if not isinstance(value, Mapping) or not value or set(value) - set(DIRECTIONS):
        raise TypeError(
            f"it has {value!r}; expected a profile or a mapping such as {{'to_server': ..., 'to_client': ...}}, or for "
            "one direction to_server=... or to_client=..."
        )
    return value


def _param(value: Any, both_ways: Callable[[Any], Mapping[Any, Any]]) -> Any:
    """One case, with the id and the marks of a `pytest.param` around it."""
    name, marks = None, ()
    if isinstance(value, _PARAM):
        if len(value.values) != 1:
            raise TypeError(
                f"it has {value!r}; expected pytest.param with one value: a fault, or a list of faults"
            )
        (value,), marks, name = value.values, value.marks, value.id
    given = both_ways(value)
    case: Conditions = {
        "to_server": faults_of("to_server", given.get("to_server", ())),
        "to_client": faults_of("to_client", given.get("to_client", ())),
    }
    return pytest.param(
        case, marks=marks, id=name or _shortened(getattr(given, "__name__", None) or _code(case))
    )


def _code(case: Conditions) -> str:
    """The faults of a case as code, such as `to_client=Delay(seconds=0.1)+Reset(after=3)`."""
    parts = [f"{way}={'+'.join(map(code_of, case[way]))}" for way in DIRECTIONS if case[way]]
    return ",".join(parts) or "no faults"


def _shortened(text: str) -> str:
    """An id that fits on a line; the beginning of a hash tells long ones apart."""
    text = plain(text)
    if len(text) <= LONGEST_ID:
        return text
    return f"{clip(text, LONGEST_ID - 9)}~{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
