"""What all tests share: pytester, the Hypothesis profiles, and the referees.

It changes nothing for a test that does not ask. `referee("tshark")` gives the path of a program that judges our work or
serves as a real server. Where it is missing the test is skipped for a contributor, and fails in CI.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# The machine may be busy (`make soak`), so that no deadline and no slowness counts.
settings.register_profile(
    "usual", max_examples=60, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", settings.get_profile("usual"), max_examples=2000)
settings.load_profile("usual")

# Debian keeps the programs of a PostgreSQL server away from PATH.
OF_POSTGRES = map(str, Path("/usr/lib/postgresql").glob("*/bin"))
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", *OF_POSTGRES])


def referees_required() -> bool:
    """True in CI, and where NETFIXTURES_REQUIRE_REFEREES says so (which wins over CI)."""
    said = os.environ.get("NETFIXTURES_REQUIRE_REFEREES", os.environ.get("CI", ""))
    return said.lower() in ("1", "true", "yes")


def find_referee(name: str) -> str:
    """The path of the program `name`; skips the test, or fails it in CI, where the program is missing."""
    path = shutil.which(name, path=PLACES)
    if path is not None:
        return path
    message = f"{name} is not here; this test needs it; run `make referees`"
    if referees_required():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def referee() -> Callable[[str], str]:
    """`referee("tshark")` is the path of tshark; the test is skipped, or fails in CI, where it is missing."""
    return find_referee


@pytest.fixture(scope="session")
def kernel() -> None:
    """The kernel gives us packets; without the right to it a test is skipped, and fails as root in CI."""
    from pytest_netfixtures import CaptureUnavailable
    from pytest_netfixtures._kernel_hub import probe

    try:
        probe()
    except CaptureUnavailable as problem:
        if referees_required() and os.geteuid() == 0:
            pytest.fail(str(problem), pytrace=False)
        pytest.skip(str(problem))
