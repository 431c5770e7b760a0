"""The as-of primitive against plain Python, and where packed keys outgrow 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.asof import NEVER, NOTHING, AsOf, Parts, last_before, packed, stretches, taken

# Microseconds of many customers, and instants at both ends of the range.
instants = st.one_of(st.integers(-3, 3), st.sampled_from([NOTHING, NEVER, 10**15, -(10**15)]))
groups = st.integers(-1, 3)
rows = st.lists(st.tuples(groups, instants), max_size=12)


def numbers(values: Any) -> Any:
    return np.array(list(values), dtype=np.int64)


def columns(pairs: Any) -> Any:
    return numbers(group for group, _ in pairs), numbers(instant for _, instant in pairs)


@given(rows, rows)
def test_packed_pairs_sort_as_the_pairs_do(one: Any, other: Any) -> None:
    keys = packed(columns(one), columns(other))
    both = [*one, *other]
    key = np.concatenate(keys)
    for a, pair in enumerate(both):
        for b, second in enumerate(both):
            assert (key[a] < key[b]) == (pair < second)


@given(rows, rows, st.lists(st.booleans(), min_size=12, max_size=12))
def test_the_last_marked_row_seen_in_the_order_of_events(
    table: Any, cells: Any, marks: Any
) -> None:
    table.sort(key=lambda row: row[0])  # within a group the order of rows is that of events
    marked = np.array(marks[: len(table)], dtype=bool)
    columns = [
        numbers(part) for r in (table, cells) for part in ([g for g, _ in r], [t for _, t in r])
    ]
    last_rows = AsOf.of(*columns).last(marked)
    for cell, (group, instant) in enumerate(cells):
        seen = [
            row
            for row, (owner, seen_from) in enumerate(table)
            if owner == group and seen_from <= instant and marked[row]
        ]
        assert last_rows[cell] == max(seen, default=-1)


@given(rows, rows)
def test_the_last_row_at_or_before_an_instant(table: Any, cells: Any) -> None:
    table.sort()
    columns = [
        numbers(part) for r in (table, cells) for part in ([g for g, _ in r], [t for _, t in r])
    ]
    last_rows = last_before(*columns)
    for cell, (group, instant) in enumerate(cells):
        before = [row for row, pair in enumerate(table) if pair[0] == group and pair[1] <= instant]
        assert last_rows[cell] == max(before, default=-1)


def test_stretches_begin_with_what_is_newly_seen_and_end_with_the_next() -> None:
    group, first, past = stretches(numbers([0, 0, 0, 1]), numbers([5, 2, 5, 9]), end=7)
    assert (group.tolist(), first.tolist(), past.tolist()) == ([0, 0, 1], [2, 5, 9], [5, 7, 7])


@pytest.mark.parametrize("empty", [NOTHING, 0])
def test_missing_rows_have_the_empty_value(empty: int) -> None:
    assert taken(numbers([7, 8]), numbers([1, -1]), empty).tolist() == [8, empty]
    assert taken(numbers([]), numbers([-1]), empty).tolist() == [empty]


def test_parts_of_wholes() -> None:
    parts, values = Parts(numbers([0, 0, 2, 2, 2]), 3), numbers([4, 9, 5, 5, 7])
    where = np.array([True, True, True, True, False])
    assert parts.count(where).tolist() == [2, 0, 2]
    assert parts.total(values, where).tolist() == [13, 0, 10]
    assert parts.largest(values, where).tolist() == [9, NOTHING, 5]
    assert parts.smallest(values, where).tolist() == [4, NOTHING, 5]
    assert parts.main(values, where).tolist() == [1, -1, 2]  # of equals the first
