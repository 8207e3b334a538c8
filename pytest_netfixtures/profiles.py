"""Named network conditions: `from pytest_netfixtures import profiles`, then `profiles.GPRS`, `profiles.LTE` and others.

Law: the face of `_wire/profiles.py`, and nothing else. The numbers and their sources stand there.
"""

from __future__ import annotations

from ._wire.profiles import (
    ALL,
    CABLE,
    CONGESTED,
    DIAL_UP,
    DSL,
    EDGE,
    GOOD_WIFI,
    GPRS,
    LOSSY_WIFI,
    LTE,
    SATELLITE,
    SLOW_4G,
    UMTS,
    Conditions,
    Profile,
)

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
