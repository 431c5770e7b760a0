"""One week of a block of customers, and the rows that it adds to the logs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from data.clock import MICROSECONDS_PER_DAY
from data.contracts import CAUSES, SUBSCRIPTIONS
from data.sources.simulated.logs import MISSING, Log, pack
from data.sources.simulated.state import ACTIVE
from data.sources.simulated.terms import Campaigns, Timetable
from data.sources.simulated.traits import MONTH, NEVER, PLANS, QUARTER, YEAR, Traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.sources.simulated.draws import BoolArray, Draws, FloatArray, IntArray
    from data.sources.simulated.state import State
    from data.sources.simulated.world_settings import Switches, WorldSettings

_MAIN, _ADDON = 1, 2  # numbers of a customer's subscriptions
VOLUNTARY, INVOLUNTARY = (CAUSES.index(cause) for cause in ("voluntary", "involuntary"))
TERMS = {"week": 7, "month": MONTH, "quarter": QUARTER, "year": YEAR}
_KINDS = {kind: code for code, kind in enumerate(SUBSCRIPTIONS.kinds)}


@dataclass
class Scene:
    """One week of one block.

    Parameters
    ----------
    settings
        Settings of the world.
    week
        Number of the week.
    start_us
        Start of the world, microseconds since 1970-01-01 UTC.
    draws
        Random numbers of the world.
    traits, state, campaigns
        Traits, state and campaigns of the block.
    logs
        Log to add rows to, by name.
    """

    settings: WorldSettings
    week: int
    start_us: int
    draws: Draws
    traits: Traits
    state: State
    campaigns: Campaigns
    logs: Mapping[str, Log]

    @property
    def switches(self) -> Switches:
        """Patterns of the world."""
        return self.settings.switches

    @property
    def monday(self) -> int:
        """First day of the week."""
        return 7 * self.week

    @cached_property
    def settled(self) -> IntArray:
        """Rows of the customers whose subscription was active when the week began."""
        return self.rows((self.state.status == ACTIVE) & (self.state.start_day < self.monday))

    @cached_property
    def timetable(self) -> Timetable:
        """Timetable of the settled customers when the week began."""
        return Timetable.of(self.traits, self.state, self.campaigns, self.settled)

    def rows(self, chosen: BoolArray) -> IntArray:
        """Return the rows of a block where ``chosen`` is true."""
        return np.flatnonzero(chosen).astype(np.int64, copy=False)

    def uniform(self, topic: int, rows: IntArray, count: int) -> FloatArray:
        """Return uniform random numbers for this week, shape ``(count, len(rows))``."""
        return self.draws.uniform(topic, self.week, self.traits.customers[rows], count)

    def instant(self, day: IntArray | int, hour: FloatArray | float) -> IntArray:
        """Return the instant of an hour (with fraction) of a day, microseconds since 1970."""
        days = np.asarray(day, dtype=np.int64) * MICROSECONDS_PER_DAY
        return np.asarray(self.start_us + days + self.hours(hour))

    @staticmethod
    def hours(hours: FloatArray | float) -> IntArray:
        """Return hours as whole microseconds."""
        return np.floor(np.asarray(hours) * 3_600e6).astype(np.int64)

    def midnight(self, day: IntArray) -> IntArray:
        """Return 00:00 of a day; missing where the day is ``NEVER``."""
        return np.where(day >= NEVER, MISSING, self.start_us + day * MICROSECONDS_PER_DAY)

    def write(
        self, log: str, rows: IntArray, slot: IntArray | int, event_us: IntArray, **columns: object
    ) -> None:
        """Add rows of these customers to a log."""
        self.logs[log].add(self.traits.customers[rows], self.week, slot, event_us, **columns)

    def write_subscription(
        self,
        kind: str,
        rows: IntArray,
        event_us: IntArray,
        *,
        slot: int = 0,
        cause: int = -1,
        addon: bool = True,
        **columns: IntArray | int,
    ) -> None:
        """Add a row for the main subscription as it is after the event, and one for the add-on.

        Parameters
        ----------
        kind
            Kind of the event.
        rows
            Customers.
        event_us
            Instants, shape ``(len(rows),)``.
        slot
            Distinguishes events of this kind in a week, 0 to 9.
        cause
            Cause of a cancellation.
        addon
            Whether the customers' add-ons share the event.
        **columns
            Values that differ from the state.
        """
        state, over = self.state, kind in {"cancelled", "ended"}
        day = (event_us - self.start_us) // MICROSECONDS_PER_DAY
        ends = state.discount_end_day[rows]
        values = {
            "subscription_id": pack(self.traits.customers[rows], (_MAIN, 1)),
            "kind": _KINDS[kind],
            "plan": state.plan[rows],
            "seats": state.seats[rows],
            "billing_interval": np.searchsorted(list(TERMS.values()), state.term_days[rows]),
            "mrr": np.zeros_like(rows) if over else state.mrr(rows),
            "currency": 0,
            "renews_at": self._renews_at(rows, day, over),
            "discount_ends_at": np.where(ends > day, self.midnight(ends), MISSING),
            "cause": cause,
        } | columns
        slot = 20 * _KINDS[kind] + 2 * slot
        self.write("subscriptions", rows, slot, event_us, **values)
        shared = state.addon[rows] > 0
        if addon and shared.any():
            mrr = np.zeros_like(rows) if over else state.addon[rows]
            self.write_addon(kind, rows[shared], event_us[shared], mrr[shared], cause, slot + 1)

    def write_addon(
        self, kind: str, rows: IntArray, event_us: IntArray, mrr: IntArray, cause: int, slot: int
    ) -> None:
        """Add a row for the second subscription, an add-on to the first."""
        over = kind in {"cancelled", "ended"}
        day = (event_us - self.start_us) // MICROSECONDS_PER_DAY
        self.write(
            "subscriptions", rows, slot, event_us,
            subscription_id=pack(self.traits.customers[rows], (_ADDON, 1)),
            kind=_KINDS[kind], plan=PLANS.index("addon"), mrr=mrr, currency=0, cause=cause,
            billing_interval=np.searchsorted(list(TERMS.values()), self.state.term_days[rows]),
            renews_at=self._renews_at(rows, day, over),
        )  # fmt: skip

    def _renews_at(self, rows: IntArray, day: IntArray, over: bool) -> IntArray:
        if over:
            return np.full_like(rows, MISSING)
        terms = Timetable.of(self.traits, self.state, self.campaigns, rows)
        return self.midnight(terms.next_term_day(day))
