"""Movement of satisfaction, and decisions to leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from data.sources.simulated.billing import drop_invoice, refund
from data.sources.simulated.draws import Topic, normal, whole
from data.sources.simulated.satisfaction import VALUES, fallen_state, next_state
from data.sources.simulated.scene import VOLUNTARY
from data.sources.simulated.state import ABSENT, ACTIVE, GONE, LEAVING
from data.sources.simulated.traits import MONTH

if TYPE_CHECKING:
    from data.sources.simulated.draws import FloatArray
    from data.sources.simulated.scene import Scene

# These set the difficulty of the world: record a change in docs/decisions.md.
SATISFACTION_WEIGHT = 1.5  # log hazard of leaving per unit of satisfaction lost
TROUBLE_WEIGHT = 0.35  # log hazard added by a spell of trouble
_WEEKLY_HAZARD = 0.0023  # of an average customer, at 3 % per month
_SELECTION = 1.4  # power of the monthly rate that gives the weekly hazard, fitted by trial
_REVOKED = 0.10  # revoked decisions per decision that stands
_SAME_DAY = 0.25  # share of leaving monthly customers who leave at once
PRICE_FALL = (8.0, 1)  # chance per unit of price rise, levels of satisfaction
COMPETITOR_FALL = (0.5, 2)  # chance, levels of satisfaction


def hidden_weight() -> FloatArray:
    """Return the log hazard of leaving in each hidden state, shape (STATES,)."""
    calm = -SATISFACTION_WEIGHT * VALUES
    return np.concatenate([calm, calm + TROUBLE_WEIGHT])


def log_hazard(voluntary_per_month: float) -> float:
    """Return the log of the weekly hazard that gives a monthly rate of departures.

    The hazard has to rise faster than the rate: the more customers leave, the happier those who
    remain.
    """
    return math.log(_WEEKLY_HAZARD) + _SELECTION * math.log(max(1e-9, voluntary_per_month / 0.03))


def drift(scene: Scene, matrices: FloatArray) -> None:
    """Move satisfaction by a week: at random, by price rises and by a competitor's shock."""
    state, rows, terms = scene.state, scene.settled, scene.timetable
    u = scene.uniform(Topic.SATISFACTION, rows, 3)
    hidden = state.hidden[rows]
    risen = u[0] < PRICE_FALL[0] * terms.rise_in_week(scene.week)
    hidden = np.where(risen, fallen_state(hidden, PRICE_FALL[1]), hidden)
    shocked = terms.shocked_in_week(scene.week) & (u[1] < COMPETITOR_FALL[0])
    hidden = np.where(shocked, fallen_state(hidden, COMPETITOR_FALL[1]), hidden)
    state.hidden[rows] = next_state(hidden, scene.traits.fit[rows], u[2], matrices)
    present = scene.rows((state.status != ABSENT) & (state.status != GONE))
    change = 0.2 * normal(scene.uniform(Topic.MOOD, present, 1)[0])
    state.mood[present] = 0.88 * state.mood[present] + change


def decide(scene: Scene) -> None:
    """Let some settled customers decide to leave, some of them only for a few days."""
    state, settled, week = scene.state, scene.settled, scene.week
    scale = log_hazard(scene.settings.voluntary_per_month)
    pressure = scene.timetable.pressure(week, scale, scene.switches.renewals)
    hazard = -np.expm1(-np.exp(pressure + hidden_weight()[state.hidden[settled]]))
    u = scene.uniform(Topic.DECISIONS, settled, 4)
    free = (state.status[settled] == ACTIVE) & (state.return_kind[settled] == 0)
    stands = free & (u[0] < hazard)
    left = scene.timetable.next_term_day(scene.monday + 6) - scene.monday
    wavers = (
        free & ~stands & (u[0] < hazard * (1.0 + _REVOKED)) & scene.switches.revocations
        & (left >= 14) & (state.attempt[settled] == 0)
    )  # fmt: skip
    for chosen, for_good in ((stands, True), (wavers, False)):
        rows = settled[chosen]
        first = np.maximum(state.busy_day[rows], scene.monday)
        day = whole(u[1][chosen], first, scene.monday + 6)
        when = scene.instant(day, 8.0 + 12.0 * u[2][chosen])
        at_once = (u[3][chosen] < _SAME_DAY) & (state.term_days[rows] == MONTH)
        at_once &= for_good or scene.switches.reactivations
        scene.write_subscription("cancel_scheduled", rows[~at_once], when[~at_once])
        scene.write_subscription("cancelled", rows[at_once], when[at_once], cause=VOLUNTARY)
        if for_good:
            state.status[rows] = np.where(at_once, GONE, LEAVING)
            state.gone_week[rows[at_once]] = week
            state.leave_day[rows] = scene.monday + left[chosen]
            drop_invoice(scene, rows, when)
            refund(scene, rows, when)
        else:
            # The return falls in the next week and within 14 days, so it undoes the decision.
            state.return_day[rows] = scene.monday + 7 + whole(u[3][chosen], 0, 6)
            state.return_kind[rows] = np.where(at_once, 2, 1)
