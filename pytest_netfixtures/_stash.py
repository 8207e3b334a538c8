"""Where the plugin keeps what belongs to a run, a test or a process.

Law: keys alone. Nothing is stored in modules, so that pytest may run inside pytest; nothing is imported but pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_netfixtures._options import Settings
    from pytest_netfixtures._run import Run
    from pytest_netfixtures._session import Session

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
"""On the config: what options, environment and ini say. Absent as long as nobody said anything."""
SESSION: pytest.StashKey[Session] = pytest.StashKey()
"""On the config: what outlives a test. Absent as long as no test used us."""
RUN: pytest.StashKey[Run] = pytest.StashKey()
"""On an item, from the first use of a fixture until the report of its teardown."""
ATTEMPTS: pytest.StashKey[int] = pytest.StashKey()
"""On an item: the number of its last attempt whose capture stayed."""
USER_TIMEOUT: pytest.StashKey[float] = pytest.StashKey()
"""On an item: the timeout that pytest-timeout has set for it."""
DEADLINE: pytest.StashKey[tuple[float, float, str]] = pytest.StashKey()
"""On an item, while pytest-timeout watches it: when (monotonic), after how many seconds, and by which method it ends it."""
STARTED: pytest.StashKey[float] = pytest.StashKey()
"""On the config of a controller: when it started its first worker, in seconds since 1970."""
LEFTOVERS: pytest.StashKey[list[str]] = pytest.StashKey()
"""On the config: the captures of a killed run that were made whole at the start of this one."""
