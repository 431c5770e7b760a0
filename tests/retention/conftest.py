"""The lists that tests of this room read, and do not change."""

from __future__ import annotations

import pytest

from retention.list_page import PageExtras
from retention.weekly_list import Scored, WeeklyList
from worlds.list_world import later, make, world


@pytest.fixture(scope="session")
def scored() -> Scored:
    return world()


@pytest.fixture(scope="session")
def week(scored: Scored) -> WeeklyList:
    return make(scored)


@pytest.fixture(scope="session")
def later_week(scored: Scored) -> WeeklyList:
    """A list with a past."""
    return later(scored)[0]


@pytest.fixture(scope="session")
def later_extras(scored: Scored) -> PageExtras:
    """Details of each customer of that list, and the results of earlier lists."""
    return later(scored)[1]
