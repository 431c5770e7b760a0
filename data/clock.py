"""The one rule for time: cutoffs, periods, windows and horizons as integers.

All instants are UTC. A *cutoff* is 00:00 on the anchor weekday, one every ``period_days``; cutoffs
are numbered, and cutoff ``k`` closes *period* ``k = (cutoff k-1, cutoff k]``. A *window* of ``w``
periods at cutoff ``k`` is ``(cutoff k-w, cutoff k]``; a *horizon* of ``h`` periods is
``(cutoff k, cutoff k+h]``. Every instant in the code is an integer of microseconds since
1970-01-01 00:00 UTC, so that period arithmetic is exact and equal on every engine.

Nothing reads the system clock: "as of" is always a cutoff, given or taken from the data.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, overload

import numpy as np
from annotated_types import Ge, Gt, Le

if TYPE_CHECKING:
    from numpy.typing import NDArray

MICROSECONDS_PER_DAY = 86_400_000_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# 1970-01-05 was a Monday; earlier periods simply have negative numbers.
_FIRST_MONDAY_DAY = 4


@dataclass(frozen=True)
class Clock:
    """Numbered cutoffs on one weekday.

    Parameters
    ----------
    anchor_weekday
        Day on which a period closes at 00:00 UTC: 0 is Monday, 6 is Sunday.
    period_days
        Length of a period in days.
    """

    anchor_weekday: Annotated[int, Ge(0), Le(6)] = 0
    period_days: Annotated[int, Gt(0)] = 7

    @property
    def period_us(self) -> int:
        """Length of a period in microseconds."""
        return self.period_days * MICROSECONDS_PER_DAY

    @property
    def origin_us(self) -> int:
        """Instant of cutoff 0, in microseconds since 1970-01-01 UTC."""
        return (_FIRST_MONDAY_DAY + self.anchor_weekday) * MICROSECONDS_PER_DAY

    @overload
    def cutoff_us(self, cutoff: int) -> int: ...
    @overload
    def cutoff_us(self, cutoff: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def cutoff_us(self, cutoff: Any) -> Any:
        """Return the instant of a cutoff by its number, in microseconds; elementwise on arrays."""
        return self.origin_us + cutoff * self.period_us

    def cutoff_at(self, cutoff: int) -> dt.datetime:
        """Return the instant of cutoff number ``cutoff`` as an aware datetime in UTC."""
        return self.instant(self.cutoff_us(int(cutoff)))

    @staticmethod
    def instant(instant_us: int) -> dt.datetime:
        """Convert microseconds since 1970-01-01 UTC to an aware datetime in UTC."""
        return EPOCH + dt.timedelta(microseconds=instant_us)

    @overload
    def period_of(self, instant_us: int) -> int: ...
    @overload
    def period_of(self, instant_us: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def period_of(self, instant_us: Any) -> Any:
        """Return the period that contains an instant: number of the first cutoff at or after it.

        An instant exactly at a cutoff belongs to the period that ends there; one a microsecond
        later belongs to the next. A row is visible at cutoff ``k`` if
        ``period_of(available) <= k``. Works on integers and NumPy arrays; use ``period_column`` for
        Ibis columns.
        """
        return (instant_us - self.origin_us - 1) // self.period_us + 1

    def period_column(self, instant_us: Any) -> Any:
        """Return ``period_of`` as an Ibis column, exact on every engine for the years 1700 to 2200.

        Engines agree only on the division of floats. Below 2**53 microseconds it never rounds up to
        a whole number: the last microsecond before one is further from it than half a step.
        """
        return (self._past(instant_us) / self.period_us).floor().cast("int64")

    def day_column(self, instant_us: Any) -> Any:
        """Return the day that contains an instant as an Ibis column of numbers; days end at 00:00.

        Period ``k`` has the days ``k * period_days`` to ``(k + 1) * period_days - 1``.
        """
        return (self._past(instant_us) / MICROSECONDS_PER_DAY).floor().cast("int64")

    def _past(self, instant_us: Any) -> Any:
        """Return microseconds since the first instant of period 0, which begins after cutoff -1."""
        return instant_us - (self.cutoff_us(-1) + 1)

    @overload
    def last_cutoff(self, instant_us: int) -> int: ...
    @overload
    def last_cutoff(self, instant_us: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def last_cutoff(self, instant_us: Any) -> Any:
        """Return the number of the newest cutoff at or before an instant."""
        return (instant_us - self.origin_us) // self.period_us

    def cutoff_on(self, day: dt.date) -> int:
        """Return the number of the cutoff at 00:00 UTC of ``day``.

        Raises
        ------
        ValueError
            If no cutoff falls on that day.
        """
        offset = (day - EPOCH.date()).days * MICROSECONDS_PER_DAY - self.origin_us
        cutoff, rest = divmod(offset, self.period_us)
        if rest:
            weekday = (EPOCH + dt.timedelta(microseconds=self.origin_us)).strftime("%A")
            raise ValueError(
                f"{day} is not a cutoff: cutoffs fall on {weekday}s, one every {self.period_days} "
                f"days, e.g. {self.cutoff_at(cutoff).date()}."
            )
        return cutoff

    def periods_covering(self, days: int) -> int:
        """Return the smallest number of whole periods that last at least ``days`` days."""
        return -(-days // self.period_days)

    def label(self, periods: int) -> str:
        """Return the name of a span of periods in column names: ``4w`` for weeks, else ``4p``."""
        return f"{periods}{'w' if self.period_days == 7 else 'p'}"


@dataclass(frozen=True, repr=False, kw_only=True)
class ClockSettings(Clock):
    """The clock of a business, and how late its rows may be.

    Parameters
    ----------
    lateness_days
        Longest delay between ``event_at`` and ``available_at``, in days.
    """

    lateness_days: Annotated[int, Ge(0)]

    def __repr__(self) -> str:
        """Only what numbers the periods: kept measures do not depend on the lateness."""
        return repr(Clock(self.anchor_weekday, self.period_days))
