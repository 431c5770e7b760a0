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
# The same examples in every run, however busy the machine is; more of them with the slow tests.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=25)
settings.register_profile("thorough", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("repeatable")

# The longest files begin first, so that no process is left with one at the end.
LONGEST = (
    "test_dvc", "test_stage_code", "test_mlflow_in_a_browser", "test_spark_stages",
    "test_notebooks", "test_spark", "test_registered_model", "test_leakage",
    "test_page_in_a_browser", "test_pipeline", "test_released_lists", "test_bad_input",
    "test_simulated", "test_periods", "test_promote", "test_risk_model", "test_features_build",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="module", autouse=True)
def no_store_of_others() -> None:
    """MLflow writes its store into the environment: start each module without one."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with open_engine(threads=1) as opened:
        yield opened
