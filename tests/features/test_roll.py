"""Windows over periods against the plain definition, row by row."""

from __future__ import annotations

import functools
import operator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.asof import NOTHING
from features import roll
from features.roll import Rolled, spread

row = st.tuples(
    st.integers(0, 3),  # group
    st.integers(0, 12),  # event period
    st.one_of(st.just(0), st.integers(0, 5)),  # lateness
    st.integers(-100, 100),  # value
)
cell = st.tuples(st.integers(0, 3), st.integers(-2, 16))
window = st.one_of(st.none(), st.integers(1, 20))


def rolled(rows: list[Any], cells: list[Any]) -> Rolled:
    columns = np.array(sorted(rows), dtype=np.int64).reshape(-1, 4).T
    group, event, late, value = columns
    where = np.array(sorted(set(cells)), dtype=np.int64).reshape(-1, 2).T
    return Rolled(group, event, event + late, {"x": value}, *where)


def counting(rows: list[Any], group: int, cutoff: int, window: Any, ago: int = 0) -> Any:
    """Rows that count by the rule itself, in order."""
    return [
        (i, value)
        for i, (g, event, late, value) in enumerate(sorted(rows))
        if g == group
        and event <= cutoff - ago
        and event + late <= cutoff
        and (window is None or event > cutoff - ago - window)
    ]


def each_cell(table: Any) -> Any:
    return zip(table.cell_group, table.cell_cutoff, strict=True)


@given(st.lists(row, max_size=40), st.lists(cell, max_size=20), window)
def test_sums_are_those_of_the_rows_placed_in_the_window_and_visible(
    rows: list[Any], cells: list[Any], w: int
) -> None:
    table = rolled(rows, cells)
    expected = [sum(v for _, v in counting(rows, g, k, w)) for g, k in each_cell(table)]
    assert table.sum("x", w).tolist() == expected


@given(st.lists(row, max_size=40), st.lists(cell, max_size=20), window)
def test_maxima_are_those_of_the_rows_placed_in_the_window_and_visible(
    rows: list[Any], cells: list[Any], w: int
) -> None:
    table = rolled(rows, cells)
    expected = [
        max((v for _, v in counting(rows, g, k, w)), default=NOTHING) for g, k in each_cell(table)
    ]
    assert table.max("x", w).tolist() == expected


@given(st.lists(row, max_size=40), st.lists(cell, max_size=20), window, st.integers(0, 4))
def test_masks_are_the_or_of_the_rows_placed_in_the_window_and_visible(
    rows: list[Any], cells: list[Any], w: int, ago: int
) -> None:
    table = rolled(rows, cells)
    masks = 1 << (table["x"] % 63)
    expected = [
        functools.reduce(operator.or_, (int(masks[i]) for i, _ in counting(rows, g, k, w, ago)), 0)
        for g, k in each_cell(table)
    ]
    assert table.bits(masks, w, ago).tolist() == expected


@given(st.lists(row, max_size=40), st.lists(cell, max_size=20), st.integers(0, 4))
def test_the_last_row_is_the_newest_event_however_late_others_arrive(
    rows: list[Any], cells: list[Any], ago: int
) -> None:
    table = rolled(rows, cells)
    marked = table["x"] > 0
    expected = [
        max((i for i, _ in counting(rows, g, k, None, ago) if marked[i]), default=-1)
        for g, k in each_cell(table)
    ]
    assert table.last(marked, ago).tolist() == expected
    values = [table["x"][i] if i >= 0 else NOTHING for i in expected]
    assert table.at(table.last(marked, ago), "x").tolist() == values


@given(st.lists(row, max_size=40), st.lists(cell, max_size=20), window)
def test_gains_add_up_to_distinct_days_though_late_rows_split_a_period(
    rows: list[Any], cells: list[Any], w: int
) -> None:
    table = rolled(rows, cells)
    masks = np.abs(table["x"])
    gains = table.gains(masks, np.bitwise_or, np.bitwise_count)
    expected = []
    for g, k in each_cell(table):
        days = {
            (int(table.event[i]), bit)
            for i, _ in counting(rows, g, k, w)
            for bit in range(8)
            if masks[i] >> bit & 1
        }
        expected.append(len(days))
    assert table.sum(gains, w).tolist() == expected


@given(
    st.lists(row, max_size=40),
    st.lists(cell, max_size=20),
    st.lists(window, max_size=6),
    st.sampled_from([0, 1000]),
)
def test_results_depend_neither_on_earlier_calls_nor_on_the_way_of_counting(
    rows: list[Any], cells: list[Any], ws: Any, d: Any
) -> None:
    def answers(table: Any, w: int) -> Any:
        return [
            table.sum("x", w).tolist(),
            table.max("x", w).tolist(),
            table.bits("x", w).tolist(),
            table.bits("x", w or 1, ago=2).tolist(),
        ]

    asked_often = rolled(rows, cells)
    expected = [answers(rolled(rows, cells), w) for w in ws]
    assert [answers(asked_often, w) for w in ws] == expected
    with mock.patch.object(roll, "DENSE", d):  # search always, or count always
        assert [answers(rolled(rows, cells), w) for w in ws] == expected


def test_an_older_event_that_turns_up_late_does_not_replace_a_newer_one() -> None:
    late_old, on_time_new = (0, 3, 4, 10), (0, 5, 0, 20)
    table = rolled([late_old, on_time_new], [(0, k) for k in range(4, 9)])
    assert table.known("x").tolist() == [NOTHING, 20, 20, 20, 20]


def test_a_late_row_joins_when_visible_and_leaves_with_its_window() -> None:
    table = rolled([(0, 5, 2, 1)], [(0, k) for k in range(4, 11)])
    assert table.sum("x", 4).tolist() == [0, 0, 0, 1, 1, 0, 0]
    assert table.sum("x", 2).tolist() == [0] * 7  # gone before it was seen


def test_big_numbers_stay_exact() -> None:
    big = (1 << 60) + 1
    table = Rolled(
        np.array([0, 0]), np.array([1, 2]), np.array([1, 2]), {"x": np.array([big, -big + 3])},
        np.array([0, 0]), np.array([1, 2]),
    )  # fmt: skip
    assert table.sum("x", 2).tolist() == [big, 3]
    assert table.max("x", 1).tolist() == [big, -big + 3]


@pytest.mark.parametrize(
    ("first", "stop", "numbers", "sources"),
    [([], [], [], []), ([3, 5, 0], [5, 5, 1], [3, 4, 0], [0, 0, 2]), ([4], [2], [], [])],
)
def test_row_ranges_are_expanded_into_row_numbers(
    first: Any, stop: Any, numbers: Any, sources: Any
) -> None:
    positions = spread(np.array(first, dtype=np.int64), np.array(stop, dtype=np.int64))
    assert [f.tolist() for f in positions] == [numbers, sources]
