"""Charts: ticks, shapes and words, read from their SVG."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention import charts
from retention.charts import Box

# A plot of 100 by 100, whose floor is y = 100.
BOX = Box(width=100.0, height=100.0, left=0.0, right=0.0, top=0.0, bottom=0.0)


@pytest.mark.parametrize(
    ("largest", "terms", "heights"),
    [
        (0.07, {"ticks": 4}, [0, 0.02, 0.04, 0.06, 0.08]),
        (7, {"ticks": 4, "whole": True}, [0, 2, 4, 6, 8]),
        (1, {"whole": True}, [0, 1]),
        (49, {}, [0, 25, 50]),
        (50, {}, [0, 25, 50]),
        (0, {}, [0, 1]),
    ],
)
def test_an_axis_has_round_heights(largest: float, terms: dict[str, int], heights: list) -> None:
    assert charts.ceiling(largest, **terms) == pytest.approx(heights)


@given(st.floats(1e-9, 1e12), st.integers(1, 6))
def test_an_axis_holds_its_largest_value_and_little_more(largest: float, ticks: int) -> None:
    heights = charts.ceiling(largest, ticks)
    assert heights[-1] >= largest * (1 - 1e-8)
    assert len(heights) <= ticks + 1


def test_bars_start_at_the_floor_and_are_as_high_as_their_values() -> None:
    assert charts.bars(BOX, [1.0, None, 2.0, 0.0], 4.0, inset=0.2) == (
        "M5.0 100.0V75.0H20.0V100.0zM55.0 100.0V50.0H70.0V100.0z"
    )


def test_layers_stand_on_each_other() -> None:
    assert charts.stacked(BOX, [[1.0, 0.0], [2.0, 4.0]], 4.0, inset=0.0) == [
        "M0.0 100.0V75.0H50.0V100.0z",
        "M0.0 75.0V25.0H50.0V75.0zM50.0 100.0V0.0H100.0V100.0z",
    ]


def test_lines_and_stairs() -> None:
    points = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.25)]
    assert charts.line(BOX, points) == "M0.0 0.0L50.0 50.0L100.0 75.0"
    assert charts.staircase(BOX, points) == "M0.0 0.0H50.0V50.0H100.0V75.0"


def test_labels_are_spread_from_the_first_to_the_last() -> None:
    days = [str(number) for number in range(26)]
    assert [label for _, label, _ in charts.floor_labels(BOX, days)] == ["0", "8", "17", "25"]
    assert [anchor for _, _, anchor in charts.floor_labels(BOX, days)][::3] == ["start", "end"]
    assert [label for _, label, _ in charts.floor_labels(BOX, ["a"])] == ["a"]
    assert charts.floor_labels(BOX, []) == ()
