"""The clock: which cutoff sees an instant, and which period holds it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.clock import MICROSECONDS_PER_DAY, Clock

clocks = st.builds(Clock, st.integers(0, 6), st.integers(1, 31))
instants = st.integers(0, 100_000 * MICROSECONDS_PER_DAY)


def test_cutoffs_fall_on_the_anchor_weekday() -> None:
    for weekday in range(7):
        for cutoff in (0, 1, 2800):
            moment = Clock(weekday).cutoff_at(cutoff)
            assert moment.weekday() == weekday
            assert moment.time() == dt.time(0)
            assert moment.utcoffset() == dt.timedelta(0)


@given(clocks, instants)
def test_a_period_holds_its_end_and_not_its_start(clock: Clock, instant: int) -> None:
    period = clock.period_of(instant)
    assert clock.cutoff_us(period - 1) < instant <= clock.cutoff_us(period)


@given(clocks, instants)
def test_the_last_cutoff_is_at_or_before_and_the_next_is_after(clock: Clock, instant: int) -> None:
    cutoff = clock.last_cutoff(instant)
    assert clock.cutoff_us(cutoff) <= instant < clock.cutoff_us(cutoff + 1)


@given(clocks, st.integers(-5000, 5000))
def test_an_instant_at_a_cutoff_is_in_the_period_that_ends_there(clock: Clock, k: int) -> None:
    instant = clock.cutoff_us(k)
    assert [clock.period_of(instant + step) for step in (-1, 0, 1)] == [k, k, k + 1]
    assert list(clock.period_of(np.array([instant - 1, instant, instant + 1]))) == [k, k, k + 1]


def test_a_day_without_cutoff_is_refused_with_the_nearest_one_named() -> None:
    assert Clock().cutoff_at(Clock().cutoff_on(dt.date(2024, 1, 1))).date() == dt.date(2024, 1, 1)
    with pytest.raises(ValueError, match=r"Mondays, one every 7 days, e\.g\. 2024-01-01"):
        Clock().cutoff_on(dt.date(2024, 1, 3))


def test_labels_and_whole_periods() -> None:
    assert Clock().label(4) == "4w"
    assert Clock(period_days=28).label(4) == "4p"
    assert [Clock().periods_covering(days) for days in (0, 1, 7, 8)] == [0, 1, 1, 2]
