"""What tests of capture files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_netfixtures._kernel_hub import Hub


@pytest.fixture
def hub(kernel: None) -> Iterator[Hub]:
    """A hub of this test alone."""
    one = Hub()
    yield one
    one.close()
