"""Four slices in time order: train, stop, calibrate, test, with a gap wherever outcomes overlap.

The outcome of a snapshot at cutoff ``k`` for an interval that ends ``h`` periods later is known at
``k + embargo``, where ``embargo = h + follow_up_periods``: the interval itself, then the days in
which a churn may be undone and rows may arrive late. One rule sets the gaps: **every outcome of the
earlier slice is known before the first cutoff of the later one**, that is

    last cutoff of the earlier + embargo <= first cutoff of the later,

between train and each later slice and between calibrate and test. Each interval has its own slices,
because a short one needs a shorter gap and may learn from newer weeks. See Bergmeir & Benitez
(2012), "On the use of cross-validation for time series predictor evaluation"; the gap is the
"embargo" of Lopez de Prado (2018), "Advances in Financial Machine Learning", section 7.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.errors import BadInputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.model_settings import SplitSettings


@dataclass(frozen=True)
class Span:
    """The cutoffs from ``first`` to ``last``, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def holds(self, cutoff: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask (n,) of the cutoffs that lie in the span."""
        return (self.first <= cutoff) & (cutoff <= self.last)


@dataclass(frozen=True)
class Slices:
    """Cutoffs that the hazards of one interval are fitted on."""

    train: Span
    stop: Span
    calibrate: Span


@dataclass(frozen=True)
class Block:
    """One origin of the backtest: slices for each interval and the cutoffs that test them.

    ``test`` is None for the refit, which only future weeks can test.
    """

    slices: tuple[Slices, ...]
    test: Span | None = None


def slices_before(origin: int, first_cutoff: int, interval: int, settings: SplitSettings) -> Slices:
    """Place the slices of one interval so that every outcome is known at cutoff ``origin``.

    Parameters
    ----------
    origin
        First cutoff that the model is used at: that of a test block, or "as of" for the refit.
    first_cutoff
        First cutoff of the history; the train slice starts there.
    interval
        Number of the interval, from 0.
    settings
        Lengths of the slices.
    """
    embargo = settings.embargo(interval)
    calibrate_last = origin - embargo
    calibrate_first = calibrate_last - settings.calibrate_periods + 1
    stop_first = calibrate_first - settings.stop_periods
    return Slices(
        train=Span(first_cutoff, stop_first - embargo),
        stop=Span(stop_first, calibrate_first - 1),
        calibrate=Span(calibrate_first, calibrate_last),
    )


def rolling_blocks(first_cutoff: int, newest: int, settings: SplitSettings) -> tuple[Block, ...]:
    """Place the test blocks backwards from the newest cutoff whose outcomes are all known.

    Parameters
    ----------
    first_cutoff, newest
        First and newest cutoff of the history; ``newest`` is "as of".
    settings
        Lengths of the slices and number of blocks.

    Returns
    -------
    tuple of Block
        Oldest first; all intervals share the test cutoffs, at which the longest is known.

    Raises
    ------
    BadInputError
        If the history is too short.
    """
    tested = settings.tested_periods
    _require_history(first_cutoff, newest, settings, settings.longest_embargo + tested - 1)
    start = newest - settings.longest_embargo - tested + 1
    return tuple(
        Block(
            _all_slices(origin, first_cutoff, settings),
            Span(origin, origin + settings.test_periods - 1),
        )
        for origin in range(start, start + tested, settings.test_periods)
    )


def open_and_sealed(blocks: tuple[Block, ...]) -> tuple[tuple[Block, ...], Block]:
    """Split off the newest block, which is sealed, from those that every experiment may use.

    Comparing many settings on the same weeks overfits to them; only promotion uses the sealed block
    (the "holdout" of Dwork et al. (2015), "The reusable holdout").
    """
    return blocks[:-1], blocks[-1]


def refit_block(first_cutoff: int, newest: int, settings: SplitSettings) -> Block:
    """Place the slices of the model that scores "as of" ``newest``, up to the newest outcomes.

    Raises
    ------
    BadInputError
        If the history is too short.
    """
    _require_history(first_cutoff, newest, settings, 0)
    return Block(_all_slices(newest, first_cutoff, settings))


def _all_slices(origin: int, first_cutoff: int, settings: SplitSettings) -> tuple[Slices, ...]:
    return tuple(
        slices_before(origin, first_cutoff, interval, settings)
        for interval in range(len(settings.horizons))
    )


def _require_history(first_cutoff: int, newest: int, settings: SplitSettings, after: int) -> None:
    """Refuse a history too short for the train slice of the longest interval.

    ``after`` is the number of periods from the (first) origin to ``newest``.
    """
    needed = settings.needed_cutoffs(after)
    available = newest - first_cutoff + 1
    if available < needed:
        tests = f", {settings.test_blocks} test block(s) of {settings.test_periods}" * bool(after)
        raise BadInputError(
            f"The history is too short: {needed} periods of snapshots are needed (train at least "
            f"{settings.train_periods}, stop {settings.stop_periods}, calibrate "
            f"{settings.calibrate_periods}{tests}, and between them the outcomes of "
            f"{settings.longest_embargo} periods), but there are {available}; provide a longer "
            "history, or make these slices, the number of test blocks or the horizons smaller."
        )
