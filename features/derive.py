"""Derive: arithmetic shared by the families. Values are floats from here on; NaN is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from data.asof import Flags, Integers
    from features.declare import Family, Numbers, Unit
    from features.known import Known
    from features.roll import Rolled


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Numbers:
    """Divide ``part`` by ``whole`` elementwise; NaN where the whole is 0 or either is NaN."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result


def usual(known: Known, log: str, values: str | Integers, window: int) -> Numbers:
    """Return the customer's own norm of a sum over ``window`` periods, computed from those before.

    Reads ``(cutoff - long, cutoff - window]`` as far back as customer and log go, and scales the
    sum to ``window`` periods; NaN where fewer than ``window`` periods are left.
    """
    long = known.settings.long
    rolled = known.periods(log)
    before = rolled.sum(values, long) - rolled.sum(values, window)
    periods = known.observed(log, long) - window
    return np.where(periods >= window, ratio(before * window, periods), np.nan)


def slope(known: Known, log: str, values: str | Integers, window: int) -> Numbers:
    """Return the least-squares slope of a sum per period over the window, per period.

    Reads the periods of ``(cutoff - window, cutoff]`` in which customer and log existed, silent
    ones as 0; NaN where there are fewer than 3.
    """
    rolled = known.periods(log)
    column = rolled[values] if isinstance(values, str) else values
    n = known.observed(log, window)
    total = rolled.sum(column, window)
    # Time runs from 0 at the cutoff back to -(n - 1); its mean is -(n - 1) / 2.
    timed = rolled.sum(column * rolled.event, window) - known.cutoff * total
    return np.where(n >= 3, ratio(12 * timed + 6 * (n - 1) * total, n * (n * n - 1)), np.nan)


def volatility(
    known: Known, log: str, values: str | Integers, squares: Integers, window: int
) -> Numbers:
    """Return the coefficient of variation (population) of a sum per period over the window.

    ``squares`` holds what each row adds to the squared sum of its period. Silent periods count as
    0; NaN where there is no use, or fewer than 3 periods.
    """
    rolled = known.periods(log)
    n = known.observed(log, window)
    total = rolled.sum(values, window).astype(np.float64)
    spread = np.maximum(n * rolled.sum(squares, window).astype(np.float64) - total * total, 0.0)
    return np.where(n >= 3, ratio(np.sqrt(spread), total), np.nan)


def declare_total(
    family: Family,
    name: str,
    amount: str,
    many: str,
    values: str | Callable[[Known], Integers],
    *,
    unit: Unit,
    group: str,
    scale: int = 1,
) -> None:
    """Declare a sum over each window, its norm, and the short window as a multiple of that norm.

    Parameters
    ----------
    family, name
        Family that gets the features, and the stem of their names.
    amount
        The value and its noun in the sentence, e.g. ``{value} [use/uses]``.
    many
        The plural noun.
    values
        A measure of the family's log, or a function that returns a value for each of its rows.
    unit, group
        Of the sum and its norm; the reason group.
    scale
        Divides the sum.
    """
    log = family.log
    none = f"No {many} in the last <span>"

    def column(known: Known) -> str | Integers:
        return values if isinstance(values, str) else known.cached(values)

    @family.feature(
        f"{name}_<w>", f"{amount} in the last <span>", zero=none, over="each", unit=unit, empty=0.0,
        group=group, norm=f"{name}_usual_<short>", adds_up=True,
    )  # fmt: skip
    def total(known: Known, w: int) -> Numbers:
        """Sum over the window."""
        return known.periods(log).sum(column(known), w) / scale

    @family.feature(
        f"{name}_usual_<w>", f"Usually {amount} in <span>",
        zero=f"Usually no {many} in <span>",
        missing=f"Too short a history to tell the usual number of {many}",
        over="short", unit=unit, empty=0.0, group=group,
    )  # fmt: skip
    def norm(known: Known, w: int) -> Numbers:
        """Norm from the long window before the short one, scaled to the short one's length."""
        return usual(known, log, column(known), w) / scale

    @family.feature(
        f"{name}_<w>_vs_<long>",
        f"[As many {many} as usual/{{value}} the usual number of {many}] in the last <span>",
        zero=none, missing=f"No usual number of {many} to compare the last <span> with",
        over="short", unit="multiple", group=group,
    )  # fmt: skip
    def multiple(known: Known, w: int) -> Numbers:
        """Sum over the norm; NaN where the norm is 0 or unknown."""
        return ratio(known.periods(log).sum(column(known), w), usual(known, log, column(known), w))


def declare_sums(
    family: Family, over: str, *sums: tuple[str, str, str, str, str], **terms: Any
) -> None:
    """Declare sums of measures, given as (name, measure, sentence, sentence at 0, group)."""
    for name, measure, sentence, zero, group in sums:

        def total(known: Known, w: int, measure: str = measure) -> Numbers:
            """Sum over the window."""
            return known.periods(family.log).sum(measure, w).astype(np.float64)

        family.feature(
            f"{name}_<w>", sentence, zero=zero, over=over, group=group,
            **{"unit": "count", "empty": 0.0} | terms,
        )(total)  # fmt: skip


def bit_count(rolled: Rolled, mask: str, window: int | None) -> Numbers:
    """Count the bits of a mask that are set over the window, e.g. distinct features used."""
    return np.bitwise_count(rolled.bits(mask, window)).astype(np.float64)


def usual_bit_count(known: Known, log: str, mask: str, window: int) -> Numbers:
    """Return the customer's own norm of ``bit_count``, from earlier windows of the same length.

    The norm is the mean over the adjacent windows that fit into
    ``(cutoff - long, cutoff - window]`` and into the time in which customer and log existed; NaN if
    there are none.
    """
    long = known.settings.long
    observed = known.observed(log, long)
    total, windows = np.zeros(known.cells), np.zeros(known.cells)
    for ago in range(window, long - window + 1, window):
        fits = observed >= ago + window
        total += fits * np.bitwise_count(known.periods(log).bits(mask, window, ago))
        windows += fits
    return ratio(total, windows)


def isin(codes: Integers, chosen: list[int]) -> Flags:
    """Return whether each code is among the chosen ones."""
    return np.asarray(np.isin(codes, chosen), dtype=np.bool_)


def flag(condition: NDArray[np.bool_]) -> Numbers:
    """Return 1.0 where true and 0.0 where false."""
    return condition.astype(np.float64)
