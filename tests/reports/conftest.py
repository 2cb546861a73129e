"""Tests of reports look at figures."""

from collections.abc import Iterator

import pytest

from tests.drawing import drawn


@pytest.fixture(scope="module", autouse=True)
def _real_figures() -> Iterator[None]:
    with drawn():
        yield
