"""What many tests share: the clock and an open engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from data.clock import Clock
from data.engine import Engine
from data.open_engine import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The same examples in every run, however busy the machine is.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="module", autouse=True)
def no_store_of_others() -> None:
    """MLflow writes the store it was told of into the environment: a module starts without."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with open_engine(threads=1) as opened:
        yield opened
