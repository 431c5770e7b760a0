"""State of customers that changes from week to week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from data.sources.simulated.traits import NEVER

if TYPE_CHECKING:
    from data.sources.simulated.draws import BoolArray, FloatArray, IntArray
    from data.sources.simulated.traits import Traits

ABSENT, PENDING, ACTIVE, LEAVING, GONE = range(5)  # values of State.status
LONG_AGO = -(10**6)  # week of an event that never happened
PAUSED_SHARE = 0.1  # share of the price that a paused subscription costs

_SEAT_PRICE = np.array([1500, 2600, 4200])  # minor units per month, by plan
_TERM_FACTOR = {30: 1.0, 91: 0.95, 365: 0.85}


@dataclass
class State:
    """The changing part of a block of customers, arrays of shape ``(n,)``.

    Days are counted from the first day of the world, weeks from its first week; ``NEVER`` is a day
    that does not come.
    """

    status: IntArray
    hidden: IntArray  # state of satisfaction's chain
    mood: FloatArray  # slow noise in usage, independent of all decisions
    start_day: IntArray
    anchor_day: IntArray
    term_days: IntArray
    switch_day: IntArray
    end_day: IntArray
    plan: IntArray
    seats: IntArray
    price_level: FloatArray
    discount: FloatArray
    discount_end_day: IntArray
    addon: IntArray  # MRR of the second subscription, minor units, 0 for none
    resume_day: IntArray  # of a pause
    paused: BoolArray
    leave_day: IntArray  # on which a scheduled cancellation takes effect
    gone_week: IntArray
    attempt: IntArray  # next attempt at the open invoice: 0 no invoice, 2 to 4, 5 all failed
    broken: BoolArray  # whether the method must be replaced before the open invoice can be paid
    due_day: IntArray  # of the open invoice
    amount: IntArray  # of the open invoice, minor units
    card_expires_day: IntArray
    return_day: IntArray  # on which a decision or loss is undone
    return_kind: IntArray  # 0 for none, 1 revocation, 2 reactivation
    contact_week: IntArray
    assigned_week: IntArray
    busy_day: IntArray  # earliest day of a decision of this week

    @classmethod
    def before_sign_up(cls, traits: Traits) -> Self:
        """Return the state of customers who have not signed up yet."""
        n = len(traits)

        def constant(value: int) -> IntArray:
            return np.full(n, value, dtype=np.int64)

        return cls(
            status=constant(ABSENT),
            hidden=constant(0),
            mood=np.zeros(n),
            start_day=constant(NEVER),
            anchor_day=constant(0),
            term_days=traits.term_days.copy(),
            switch_day=constant(NEVER),
            end_day=constant(NEVER),
            plan=traits.plan.copy(),
            seats=traits.seats.copy(),
            price_level=np.ones(n),
            discount=traits.discount.copy(),
            discount_end_day=constant(NEVER),
            addon=constant(0),
            resume_day=constant(NEVER),
            paused=np.zeros(n, dtype=np.bool_),
            leave_day=constant(NEVER),
            gone_week=constant(LONG_AGO),
            attempt=constant(0),
            broken=np.zeros(n, dtype=np.bool_),
            due_day=constant(0),
            amount=constant(0),
            card_expires_day=constant(NEVER),
            return_day=constant(NEVER),
            return_kind=constant(0),
            contact_week=constant(LONG_AGO),
            assigned_week=constant(LONG_AGO),
            busy_day=constant(0),
        )

    def mrr(self, rows: IntArray) -> IntArray:
        """Return the monthly recurring revenue of the main subscription, minor units."""
        factor = np.ones(len(rows))
        for days, share in _TERM_FACTOR.items():
            factor[self.term_days[rows] == days] = share
        factor *= np.where(self.paused[rows], PAUSED_SHARE, 1.0)
        full = _SEAT_PRICE[self.plan[rows]] * self.seats[rows] * self.price_level[rows]
        return np.rint(full * factor * (1.0 - self.discount[rows])).astype(np.int64)

    def invoice(self, rows: IntArray) -> IntArray:
        """Return the amount of a term's invoice, both subscriptions, minor units."""
        months = np.rint(self.term_days[rows] / 30.4).astype(np.int64)
        return (self.mrr(rows) + self.addon[rows]) * months
