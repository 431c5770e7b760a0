"""Timetables of customers: future terms, invoices and price rises.

This module holds everything that is certain about the weeks ahead, so that the same functions serve
the simulation and the truth, which looks ahead from a cutoff. The only change of a timetable, the
switch to monthly terms, is decided ``LOOKAHEAD`` weeks before it happens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np

from data.sources.simulated.draws import BoolArray, Draws, FloatArray, IntArray, Topic, whole
from data.sources.simulated.traits import MONTH, SEGMENTS, YEAR, Traits

if TYPE_CHECKING:
    from data.sources.simulated.state import State
    from data.sources.simulated.world_settings import WorldSettings

LOOKAHEAD = 26  # weeks for which a timetable is certain
_WEEKS_IN_YEAR = 52
_RISE_TENURE = 26  # weeks; newer customers keep their price
_RISE_SHARE = 0.6  # share of the customers per year
_SHOCK_EVERY = 78  # weeks


@dataclass(frozen=True)
class Campaigns:
    """Actions of the vendor and its competitor that affect many customers at once.

    Parameters
    ----------
    rise_week
        Week of each year's price rise, -1000 if there is none; shape (years, n).
    rise_size
        Share by which the price rises; shape (years,).
    shocks
        Pairs of week and segment.
    """

    rise_week: IntArray
    rise_size: FloatArray
    shocks: tuple[tuple[int, int], ...]


def draw_campaigns(settings: WorldSettings, draws: Draws, customers: IntArray) -> Campaigns:
    """Draw the campaigns of every year of the history and of the weeks after it."""
    years = (settings.weeks + LOOKAHEAD) // _WEEKS_IN_YEAR + 1
    weeks = np.full((years, len(customers)), -1000, dtype=np.int64)
    sizes = np.zeros(years)
    everyone = np.zeros(1, dtype=np.int64)  # a campaign is the same for all customers
    for year in range(years):
        when, size = draws.uniform(Topic.CAMPAIGNS, 2 * year, everyone, 2)[:, 0]
        sizes[year] = 0.04 + 0.08 * size
        if settings.switches.price_rises:
            spread, takes_part = draws.uniform(Topic.CAMPAIGNS, 2 * year + 1, customers, 2)
            first = _WEEKS_IN_YEAR * year + 6 + int(38 * when)
            weeks[year] = np.where(takes_part < _RISE_SHARE, first + whole(spread, 0, 3), -1000)
    return Campaigns(weeks, sizes, _draw_shocks(settings, draws, everyone))


def _draw_shocks(
    settings: WorldSettings, draws: Draws, everyone: IntArray
) -> tuple[tuple[int, int], ...]:
    if not settings.switches.competitor_shock:
        return ()
    shocks = []
    for number in range((settings.weeks + LOOKAHEAD) // _SHOCK_EVERY + 1):
        when, segment = draws.uniform(Topic.CAMPAIGNS, 10_000 + number, everyone, 2)[:, 0]
        week = _SHOCK_EVERY * number + 30 + int(when * 40)
        shocks.append((week, int(segment * len(SEGMENTS))))
    return tuple(shocks)


@dataclass(frozen=True)
class Timetable:
    """What is certain about the weeks ahead of customers; arrays of shape ``(n,)``.

    Days are counted from the first day of the world, weeks from its first week.
    """

    start_day: IntArray  # of the subscription
    anchor_day: IntArray  # terms begin here and every term_days
    term_days: IntArray
    switch_day: IntArray  # from here on terms are months
    end_day: IntArray  # of a fixed contract
    discount_end_day: IntArray
    contact_week: IntArray
    contact_effect: FloatArray
    segment: IntArray
    onboarded: BoolArray
    frailty: FloatArray
    card_expires_day: IntArray
    rise_week: IntArray  # shape (years, n)
    rise_size: FloatArray  # shape (years,)
    shocks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, traits: Traits, state: State, campaigns: Campaigns, rows: IntArray) -> Self:
        """Return the timetable of the customers at ``rows`` of a block."""
        values = {
            name: getattr(state if hasattr(state, name) else traits, name)[rows]
            for name in (field.name for field in fields(cls))
            if name not in {"rise_week", "rise_size", "shocks"}
        }
        rises = campaigns.rise_week[:, rows]
        too_new = rises < values["start_day"] // 7 + _RISE_TENURE
        fixed = values["end_day"] // 7 <= rises
        return cls(
            **values,
            rise_week=np.where(too_new | fixed, -1000, rises),
            rise_size=campaigns.rise_size,
            shocks=campaigns.shocks,
        )

    def term_at(self, day: IntArray | int) -> tuple[IntArray, IntArray]:
        """Return the first day and the length, in days, of the term that runs on ``day``."""
        switched = day >= self.switch_day
        anchor = np.where(switched, self.switch_day, self.anchor_day)
        length = np.where(switched, MONTH, self.term_days)
        return anchor + (day - anchor) // length * length, length

    def next_term_day(self, day: IntArray | int) -> IntArray:
        """Return the first day after ``day`` on which a term begins or the contract ends."""
        first, length = self.term_at(day)
        return np.asarray(np.minimum(first + length, self.end_day), dtype=np.int64)

    def due_in_week(self, week: int, days_later: int = 0) -> tuple[IntArray, BoolArray]:
        """Return the newest invoice day by the end of a week, and whether it matches the week.

        Parameters
        ----------
        week
            Number of the week.
        days_later
            The invoice day matches if the day this many days later is in the week.
        """
        day, _ = self.term_at(7 * week + 6 - days_later)
        meets = (day + days_later >= 7 * week) & (day > self.start_day) & (day < self.end_day)
        return day, meets

    def rise_in_week(self, week: int) -> FloatArray:
        """Return the share by which the price rises in a week; 0 if it does not."""
        year = week // _WEEKS_IN_YEAR
        return np.where(self.rise_week[year] == week, float(self.rise_size[year]), 0.0)

    def shocked_in_week(self, week: int) -> BoolArray:
        """Return whether a competitor's shock affects each customer in a week."""
        met = np.zeros(len(self.segment), dtype=np.bool_)
        for when, segment in self.shocks:
            if when == week:
                met |= self.segment == segment
        return met

    def pressure(self, week: int, log_scale: float, peaks: bool) -> FloatArray:
        """Return the log hazard of deciding to leave in a week, apart from satisfaction.

        Parameters
        ----------
        week
            Number of the week.
        log_scale
            Log of the weekly hazard of an average customer.
        peaks
            Whether long terms concentrate decisions before their end.
        """
        age = week - self.start_day // 7
        early = age <= 13
        total = log_scale + self.frailty
        total = total + np.where(
            self.onboarded, np.where(early, 0.1, 0.0), np.where(early, 0.85, 0.25)
        )
        if peaks:
            total = total + self._term_pressure(week)
        since_switch = week - self.switch_day // 7
        total = total + 0.7 * _fading(since_switch, 10.0)
        this_year = week // _WEEKS_IN_YEAR
        for year in range(max(0, this_year - 1), this_year + 1):
            size = 9.0 * self.rise_size[year]
            total = total + size * _fading(week - self.rise_week[year], 4.0)
        total = total + 0.9 * _fading(week - self.discount_end_day // 7, 4.0)
        for when, segment in self.shocks:
            total = total + 0.8 * (self.segment == segment) * _fading(np.asarray(week - when), 5.0)
        return total + self.contact_effect * _fading(week - 1 - self.contact_week, 8.0)

    def _term_pressure(self, week: int) -> FloatArray:
        """Return the log factor of long terms: low, but high in the weeks before the term ends."""
        _, length = self.term_at(7 * week + 6)
        left = self.next_term_day(7 * week + 6) // 7 - week
        year = np.where(left <= 8, 1.0, -1.6)
        quarter = np.where(left <= 4, 0.5, -0.7)
        return np.where(length == MONTH, 0.0, np.where(length == YEAR, year, quarter))


def _fading(weeks_since: IntArray, scale: float) -> FloatArray:
    """Return ``exp(-weeks_since / scale)``; 0 before the event and long after.

    The tail is cut off so that old events cost no time.
    """
    near = (weeks_since >= 0) & (weeks_since < 6 * scale)
    return np.where(near, np.exp(-np.where(near, weeks_since, 0) / scale), 0.0)
