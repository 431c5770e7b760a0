"""Every gap between the slices, in every history."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInputError
from models.model_settings import SplitSettings
from models.split import Span, refit_block, rolling_blocks

lengths = st.integers(1, 12)
settings = st.builds(
    SplitSettings,
    horizons=st.lists(st.integers(1, 20), min_size=1, max_size=4, unique=True).map(
        lambda ends: tuple(sorted(ends))
    ),
    follow_up_periods=st.integers(0, 6),
    stop_periods=lengths,
    calibrate_periods=lengths,
    test_periods=lengths,
    test_blocks=st.integers(1, 4),
    train_periods=lengths,
)


@given(settings, st.integers(-50, 50), st.integers(0, 100))
def test_outcomes_of_an_earlier_slice_are_known_before_a_later_one(
    split: SplitSettings, first: int, spare: int
) -> None:
    newest = first + 2000 + spare
    refit = refit_block(first, newest, split)
    for block in (*rolling_blocks(first, newest, split), refit):
        origin = block.test.first if block.test else newest
        for horizon, slices in zip(split.horizons, block.slices, strict=True):

            def known(span: Span, horizon: int = horizon) -> int:
                return span.last + horizon + split.follow_up_periods

            assert known(slices.train) <= slices.stop.first
            assert known(slices.train) <= slices.calibrate.first
            assert known(slices.train) <= origin
            assert known(slices.stop) <= origin
            assert known(slices.calibrate) <= origin
            assert slices.train.first == first
            assert slices.stop.last < slices.calibrate.first
            # Nothing is thrown away beyond the gaps.
            assert known(slices.train) == slices.stop.first
            assert slices.stop.last + 1 == slices.calibrate.first
            assert known(slices.calibrate) == origin
            assert len(slices.stop) == split.stop_periods
            assert len(slices.calibrate) == split.calibrate_periods


@given(settings)
def test_test_blocks_follow_each_other_up_to_the_newest_known_outcome(
    split: SplitSettings,
) -> None:
    tests = [block.test for block in rolling_blocks(0, 2000, split)]
    assert len(tests) == split.test_blocks
    assert all(test and len(test) == split.test_periods for test in tests)
    for earlier, later in itertools.pairwise(tests):
        assert earlier.last + 1 == later.first
    assert tests[-1].last + max(split.horizons) + split.follow_up_periods == 2000


def test_the_slices_of_a_history_worked_out_by_hand() -> None:
    split = SplitSettings(
        (4, 8, 13), 3, stop_periods=8, calibrate_periods=8, test_periods=8, test_blocks=1
    )
    (block,) = rolling_blocks(26, 156, split)
    assert block.test == Span(133, 140)
    assert block.slices[0].calibrate == Span(119, 126)
    assert block.slices[0].stop == Span(111, 118)
    assert block.slices[0].train == Span(26, 104)
    assert block.slices[2].calibrate == Span(110, 117)
    assert block.slices[2].stop == Span(102, 109)
    assert block.slices[2].train == Span(26, 86)
    assert refit_block(26, 156, split).slices[0].calibrate == Span(142, 149)


@given(settings)
def test_a_history_one_period_too_short_is_refused_in_one_sentence(split: SplitSettings) -> None:
    for place in (rolling_blocks, refit_block):
        newest = next(k for k in range(2000) if _fits(place, k, split))
        block = place(0, newest, split)
        oldest = block[0] if isinstance(block, tuple) else block
        assert min(len(slices.train) for slices in oldest.slices) == split.train_periods
        with pytest.raises(
            BadInputError, match=rf"too short: {newest + 1} periods .* there are {newest};"
        ):
            place(0, newest - 1, split)


def _fits(place: object, newest: int, split: SplitSettings) -> bool:
    try:
        place(0, newest, split)
    except BadInputError:
        return False
    return True


def test_a_span_holds_both_of_its_ends() -> None:
    assert Span(3, 5).holds(np.arange(2, 7)).tolist() == [False, True, True, True, False]
    assert len(Span(3, 5)) == 3
