"""How late one arrives beyond the least, drawn anew for every offset.

Law: a draw is a function of the decisions and the offset alone (see `decisions.py`), never negative, and finite. There is
no generator here that runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._errors import is_for_the_user
from .checks import check_choice, check_seconds
from .decisions import Decisions

__all__ = ["DISTRIBUTIONS", "draw", "table_of"]

__tracebackhide__ = is_for_the_user

DISTRIBUTIONS = ("uniform", "normal", "pareto")
_ALPHA = 3
"""Of the pareto distribution: the smaller, the longer its tail. With 3 it has a mean (1/2) and a variance (3/4)."""


def draw(distribution: str | Sequence[float], decisions: Decisions, offset: int) -> float:
    """A number from 0 on: of a table one of its entries, else one with the shape of that name."""
    if distribution == "normal":
        return _normal(decisions.chance(offset, "length"), decisions.chance(offset, "angle"))
    chance = decisions.chance(offset)
    if distribution == "pareto":
        return _pareto(chance)
    return chance if isinstance(distribution, str) else distribution[int(chance * len(distribution))]


def _normal(length: float, angle: float) -> float:
    """The distance from 0 of a standard normal number: one coordinate by Box and Muller."""
    return math.sqrt(-2 * math.log1p(-length)) * abs(math.cos(math.tau * angle))


def _pareto(chance: float) -> float:
    """A Pareto number that begins at 0 (Lomax), by the inverse of its distribution function."""
    return float((1 - chance) ** (-1 / _ALPHA) - 1)


def table_of(value: object, jitter: float) -> str | tuple[float, ...]:
    """The name of a distribution, or a table of numbers of seconds as a tuple; TypeError or ValueError for all else."""
    if isinstance(value, str):
        check_choice("distribution", value, DISTRIBUTIONS)
        if value != "uniform" and not jitter:
            raise ValueError(
                f"distribution is {value!r} and jitter is {jitter!r}; expected a jitter: write jitter=0.05"
            )
        return value
    if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray, memoryview)):
        names = ", ".join(map(repr, DISTRIBUTIONS))
        raise TypeError(f"distribution is {value!r}; expected {names} or a list of numbers of seconds")
    return _checked(value, jitter)


def _checked(table: Sequence[object], jitter: float) -> tuple[float, ...]:
    if not table:
        raise ValueError(f"distribution is {table!r}; expected at least one number of seconds")
    if jitter:
        raise ValueError(
            f"distribution is a table and jitter is {jitter!r}; expected one of them: leave out jitter"
        )
    for number, seconds in enumerate(table):
        check_seconds(f"distribution[{number}]", seconds)
    return tuple(float(seconds) for seconds in table)  # type: ignore[arg-type]  # checked above
