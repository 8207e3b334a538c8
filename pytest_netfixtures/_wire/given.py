"""What users give where faults are taken.

Law: it looks at what was given and says what is wrong with it; it changes nothing and calls no fault.
"""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import is_for_the_user
from .narrowing import Narrowable, check_fault
from .seen import Fault, code_of

__all__ = ["faults_of", "must_fire"]

__tracebackhide__ = is_for_the_user

_UNPACK = ": what has both directions is unpacked, as in fault_proxy(server, **profiles.LTE.streams)"


def faults_of(field: str, value: object, transport: str | None = None) -> tuple[Fault, ...]:
    """One fault or a sequence of faults as a tuple.

    Raises TypeError, which names `field`, for anything else, and ValueError for a fault that a proxy of this transport
    ("tcp", "udp") cannot do, with what to write instead.
    """
    faults = (value,) if callable(value) else value
    if not isinstance(faults, (tuple, list)):
        hint = _UNPACK if isinstance(value, Mapping) or hasattr(value, "streams") else ""
        raise TypeError(f"{field} is {value!r}; expected a fault, or a list or tuple of faults{hint}")
    for fault in faults:
        check_fault(field, fault)
        _check_fit(field, fault, transport)
    return tuple(faults)


def _check_fit(field: str, fault: Fault, transport: str | None) -> None:
    reason = fault.unfit(transport) if transport and isinstance(fault, Narrowable) else None
    if reason is not None:
        raise ValueError(
            f"{field} has {code_of(fault)}; expected a fault that fits {str(transport).upper()}: {reason}"
        )


def must_fire(fault: Fault) -> bool:
    """Whether a test in which this fault never fired proves nothing."""
    return not (isinstance(fault, Narrowable) and fault.by_chance())
