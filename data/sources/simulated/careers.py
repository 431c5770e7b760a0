"""Life of a subscription: how it starts, ends and starts again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.sources.simulated.draws import Topic, whole
from data.sources.simulated.logs import MISSING
from data.sources.simulated.satisfaction import first_state
from data.sources.simulated.scene import INVOLUNTARY, VOLUNTARY
from data.sources.simulated.state import ACTIVE, GONE, LEAVING, LONG_AGO, PENDING
from data.sources.simulated.traits import MONTH, NEVER

if TYPE_CHECKING:
    from data.sources.simulated.draws import IntArray
    from data.sources.simulated.scene import Scene

GRACE_RETURN = 0.12  # chance that a customer lost to dunning returns within days
_WIN_BACK = 0.003  # weekly chance that a former customer returns, from week 6 to week 40


def arrive(scene: Scene) -> None:
    """Sign up customers, start trials, and start subscriptions."""
    traits, state = scene.traits, scene.state
    new = scene.rows(traits.arrival_week == scene.week)
    state.status[new] = PENDING
    u = scene.uniform(Topic.ARRIVAL, new, 1)
    state.hidden[new] = first_state(traits.fit[new], traits.onboarded[new], u[0])
    tried = new[traits.trial[new]]
    scene.write_subscription(
        "trial_started", tried, scene.instant(traits.signup_day[tried], traits.signup_hour[tried]),
        mrr=np.zeros_like(tried), renews_at=MISSING, discount_ends_at=MISSING, addon=False,
        trial_ends_at=scene.midnight(traits.activation_day[tried]),
    )  # fmt: skip
    starts = scene.rows(
        (state.status == PENDING) & traits.converts & (traits.activation_day < scene.monday + 7)
    )
    day = traits.activation_day[starts]
    start(scene, starts, day)
    state.discount_end_day[starts] = np.where(
        traits.discount[starts] > 0, day + traits.discount_days[starts], NEVER
    )
    state.end_day[starts] = np.where(traits.ends[starts], day + state.term_days[starts], NEVER)
    state.card_expires_day[starts] = np.minimum(
        NEVER, traits.signup_day[starts] + traits.card_days[starts]
    )
    scene.write_subscription(
        "activated", starts, scene.instant(day, traits.signup_hour[starts] + 0.3)
    )
    expired = (state.status == PENDING) & (traits.activation_day < scene.monday)
    state.status[expired] = GONE


def start(scene: Scene, rows: IntArray, day: IntArray) -> None:
    """Set the state of customers whose subscription starts, or starts again, on ``day``."""
    state = scene.state
    state.status[rows] = ACTIVE
    state.start_day[rows] = state.anchor_day[rows] = day
    for name, value in {
        "attempt": 0, "return_kind": 0, "addon": 0, "paused": False, "switch_day": NEVER,
        "end_day": NEVER, "leave_day": NEVER, "return_day": NEVER, "resume_day": NEVER,
        "gone_week": LONG_AGO, "contact_week": LONG_AGO,
    }.items():  # fmt: skip
        getattr(state, name)[rows] = value


def reprice(scene: Scene) -> None:
    """Raise prices and end discounts."""
    state, terms, settled = scene.state, scene.timetable, scene.settled
    rise = terms.rise_in_week(scene.week)
    risen = settled[rise > 0]
    state.price_level[risen] *= 1.0 + rise[rise > 0]
    scene.write_subscription(
        "price_changed", risen, scene.instant(np.full_like(risen, scene.monday), 6.0), addon=False
    )
    day = state.discount_end_day[settled]
    ended = settled[(day >= scene.monday) & (day < scene.monday + 7)]
    state.discount[ended] = 0.0
    day = state.discount_end_day[ended]
    state.busy_day[ended] = np.maximum(state.busy_day[ended], day)
    scene.write_subscription("price_changed", ended, scene.instant(day, 6.5), slot=1, addon=False)


def resume(scene: Scene) -> None:
    """End pauses."""
    state, settled = scene.state, scene.settled
    rows = settled[state.resume_day[settled] < scene.monday + 7]
    day = state.resume_day[rows]
    state.paused[rows] = False
    state.resume_day[rows] = NEVER
    state.busy_day[rows] = np.maximum(state.busy_day[rows], day)
    scene.write_subscription("resumed", rows, scene.instant(day, 5.0), addon=False)


def come_back(scene: Scene) -> None:
    """Undo decisions and losses that are due to be undone, before this week's decisions."""
    state = scene.state
    due = (state.status == ACTIVE) & (state.return_day < scene.monday + 7)
    for kind, name in ((1, "cancel_revoked"), (2, "reactivated")):
        rows = scene.rows(due & (state.return_kind == kind))
        day = state.return_day[rows]
        u = scene.uniform(Topic.COMEBACKS, rows, 1)[0]
        scene.write_subscription(name, rows, scene.instant(day, 6.0 + 1.5 * u))
        state.busy_day[rows] = np.maximum(state.busy_day[rows], day)
    state.return_kind[due] = 0
    state.return_day[due] = NEVER


def leave(scene: Scene) -> None:
    """Put scheduled cancellations into effect."""
    state = scene.state
    rows = scene.rows((state.status == LEAVING) & (state.leave_day < scene.monday + 7))
    scene.write_subscription(
        "cancelled", rows, scene.instant(state.leave_day[rows], 0.5), cause=VOLUNTARY
    )
    state.status[rows] = GONE
    state.gone_week[rows] = scene.week


def lose(scene: Scene, rows: IntArray, day: IntArray) -> None:
    """Cancel unpaid subscriptions; a few customers return within days."""
    state = scene.state
    scene.write_subscription("cancelled", rows, scene.instant(day, 7.0), cause=INVOLUNTARY)
    u = scene.uniform(Topic.COMEBACKS, rows, 3)
    returns = u[1] < (GRACE_RETURN if scene.switches.reactivations else 0.0)
    next_monday = scene.monday + 7
    back = rows[returns]
    # Before the next invoice, due at least 30 days after the unpaid one.
    state.return_day[back] = whole(
        u[2][returns], next_monday, np.minimum(day[returns] + 8, next_monday + 6)
    )
    state.return_kind[back] = 2
    gone = rows[~returns]
    state.status[gone] = GONE
    state.gone_week[gone] = scene.week


def end_contracts(scene: Scene) -> None:
    """End fixed contracts on their last day."""
    state, settled = scene.state, scene.settled
    rows = settled[state.end_day[settled] < scene.monday + 7]
    scene.write_subscription("ended", rows, scene.instant(state.end_day[rows], 0.2))
    state.status[rows] = GONE
    state.gone_week[rows] = LONG_AGO


def win_back(scene: Scene) -> None:
    """Let some former customers return months later."""
    if not scene.switches.reactivations:
        return
    state, traits = scene.state, scene.traits
    since = scene.week - state.gone_week
    rows = scene.rows((state.status == GONE) & (since >= 6) & (since < 40))
    u = scene.uniform(Topic.COMEBACKS, rows, 4)
    chosen = u[0] < _WIN_BACK
    rows, u = rows[chosen], u[:, chosen]
    day = scene.monday + whole(u[1], 0, 6)
    state.hidden[rows] = first_state(traits.fit[rows], traits.onboarded[rows], u[2])
    state.term_days[rows] = MONTH
    state.discount[rows] = 0.0
    state.discount_end_day[rows] = NEVER
    carded = traits.card_days[rows] < NEVER
    state.card_expires_day[rows] = np.where(carded, day + whole(u[3], 400, 1100), NEVER)
    start(scene, rows, day)
    scene.write_subscription("reactivated", rows, scene.instant(day, 8.0 + 10.0 * u[3]), slot=1)
