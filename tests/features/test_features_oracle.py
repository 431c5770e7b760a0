"""Features against plain Python that recomputes them from the raw rows by the definitions."""

import pytest
from hypothesis import given, settings

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
@settings(max_examples=25, deadline=None)
def test_features_equal_those_counted_by_hand_from_the_raw_rows(engine, raw):
    assert_counted_by_hand(engine, raw)


def use(event_at, available_at=None, **columns) -> dict:
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
def test_edges_of_windows_and_of_visibility(event_at, available_at, counts, engine, tmp_path):
    world = {"usage": [use(event_at, available_at), use(CUTOFFS[0] - WEEK)]}
    row = features_of(world, CUTOFFS, tmp_path, engine)["a", CUTOFFS[4]]
    assert row["uses_2w"] == row["active_days_2w"] == int(counts)


def test_the_oracle_itself_is_stated_on_known_ground():
    world = complete({"usage": [use(CUTOFFS[1], late=0 * DAY, count=3, duration_s=60)]})
    world |= {"tickets": [], "payments": []}
    found = windowed(world, "a", CUTOFFS[1], 1)
    assert (found["uses_1w"], found["active_days_1w"], found["minutes_1w"]) == (3, 1, 1.0)
    assert windowed(world, "a", CUTOFFS[2], 1)["uses_1w"] == 0
