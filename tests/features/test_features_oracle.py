"""Features against plain Python that recomputes them from the raw rows by the definitions."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from data.engine import Engine
from reading.by_hand import (
    CUTOFFS,
    DAY,
    MICROSECOND,
    WEEK,
    assert_counted_by_hand,
    complete,
    windowed,
    worlds,
)
from worlds.handmade_features import features_of


@given(worlds)
@settings(max_examples=settings.default.max_examples // 3)
def test_features_equal_those_counted_by_hand_from_the_raw_rows(
    engine: Engine, raw: dict[str, Any]
) -> None:
    assert_counted_by_hand(engine, raw)


def use(event_at: dt.datetime, available_at: dt.datetime | None = None, **columns: Any) -> dict:
    return {
        "customer_id": "a",
        "event_id": str(event_at),
        "event_at": event_at,
        "available_at": available_at or event_at,
        "feature": "login",
        "count": 1,
    } | columns


@pytest.mark.parametrize(
    ("event_at", "available_at", "counts"),
    [
        (CUTOFFS[4], None, True),  # exactly at the cutoff
        (CUTOFFS[4] + MICROSECOND, None, False),
        (CUTOFFS[2], None, False),  # exactly at the start of the window of two weeks
        (CUTOFFS[2] + MICROSECOND, None, True),
        (CUTOFFS[3], CUTOFFS[4], True),  # known just in time
        (CUTOFFS[3], CUTOFFS[4] + MICROSECOND, False),
    ],
)
def test_edges_of_windows_and_of_visibility(
    event_at: dt.datetime,
    available_at: dt.datetime | None,
    counts: bool,
    engine: Engine,
    tmp_path: Path,
) -> None:
    world = {"usage": [use(event_at, available_at), use(CUTOFFS[0] - WEEK)]}
    row = features_of(world, CUTOFFS, tmp_path, engine)["a", CUTOFFS[4]]
    assert row["uses_2w"] == row["active_days_2w"] == int(counts)


def test_the_oracle_equals_values_counted_by_hand() -> None:
    world = complete({"usage": [use(CUTOFFS[1], late=0 * DAY, count=3, duration_s=60)]})
    world |= {"tickets": [], "payments": []}
    values = windowed(world, "a", CUTOFFS[1], 1)
    assert (values["uses_1w"], values["active_days_1w"], values["minutes_1w"]) == (3, 1, 1.0)
    assert windowed(world, "a", CUTOFFS[2], 1)["uses_1w"] == 0
