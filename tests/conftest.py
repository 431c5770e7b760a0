"""What many tests share: the clock and an open engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from data.clock import Clock
from data.engine import Engine, open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with open_engine(threads=1) as opened:
        yield opened
