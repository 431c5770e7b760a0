"""Changes of a running subscription: plan and seats, add-ons, pauses, billing interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.sources.simulated.draws import Topic, whole
from data.sources.simulated.satisfaction import satisfaction
from data.sources.simulated.scene import VOLUNTARY
from data.sources.simulated.state import ACTIVE
from data.sources.simulated.terms import LOOKAHEAD
from data.sources.simulated.traits import MONTH, NEVER

if TYPE_CHECKING:
    from data.sources.simulated.draws import FloatArray, IntArray
    from data.sources.simulated.scene import Scene


def change(scene: Scene) -> None:
    """Change plans, seats and add-ons, pause, and plan switches to monthly terms."""
    state, settled = scene.state, scene.settled
    rows = settled[
        (state.status[settled] == ACTIVE)
        & (state.return_kind[settled] == 0)
        & (state.start_day[settled] < scene.monday - 56)
    ]
    mood = satisfaction(state.hidden[rows])
    u = scene.uniform(Topic.CHANGES, rows, 12)
    when = scene.instant(scene.monday + whole(u[0], 0, 4), 9.0 + 8.0 * u[1])
    if scene.switches.plan_changes:
        _change_plan(scene, rows, mood, u[2:5], when)
    if scene.switches.second_subscriptions:
        _change_addon(scene, rows, mood, u[5:7], when)
    if scene.switches.interval_changes:
        _plan_switch(scene, rows, mood, u[7])
    if scene.switches.pauses:
        _pause(scene, rows, mood, u[8:10])


def _change_plan(
    scene: Scene, rows: IntArray, mood: FloatArray, u: FloatArray, when: IntArray
) -> None:
    state = scene.state
    up = 0.006 * np.exp(0.8 * mood)
    down = 0.004 * np.exp(-1.1 * mood)
    step = np.where(u[0] < up, 1, np.where(u[0] > 1.0 - down, -1, 0))
    plan, seats = state.plan[rows], state.seats[rows]
    other_plan = np.clip(plan + step * (u[1] < 0.4), 0, 2)
    jump = np.maximum(1, np.floor(seats * (0.1 + 0.3 * u[2]))).astype(np.int64)
    other_seats = np.where(other_plan == plan, np.maximum(1, seats + step * jump), seats)
    changed = (other_plan != plan) | (other_seats != seats)
    state.plan[rows], state.seats[rows] = other_plan, other_seats
    scene.write_subscription("plan_changed", rows[changed], when[changed], addon=False)


def _change_addon(
    scene: Scene, rows: IntArray, mood: FloatArray, u: FloatArray, when: IntArray
) -> None:
    state = scene.state
    has = state.addon[rows] > 0
    takes = ~has & (u[0] < 0.0012 * scene.traits.segment[rows] * np.exp(0.6 * mood))
    drops = has & (u[1] < 0.008 * np.exp(-0.9 * mood))
    taken, dropped = rows[takes], rows[drops]
    price = state.mrr(taken) // 5
    state.addon[taken] = price
    state.addon[dropped] = 0
    # Slots that no event shared with the main subscription uses.
    scene.write_addon("activated", taken, when[takes], price, -1, 910)
    nothing = np.zeros_like(dropped)
    scene.write_addon("cancelled", dropped, when[drops], nothing, VOLUNTARY, 911)


def _plan_switch(scene: Scene, rows: IntArray, mood: FloatArray, u: FloatArray) -> None:
    """Plan a switch to monthly terms, so far ahead that the timetable until then is certain."""
    state = scene.state
    wants = (
        (u < 0.006 * np.exp(-1.0 * mood))
        & (state.term_days[rows] > MONTH)
        & (state.switch_day[rows] == NEVER)
        & (state.end_day[rows] == NEVER)
    )
    some = rows[wants]
    ahead = scene.monday + 7 * (LOOKAHEAD + 1) - 1 - state.anchor_day[some]
    terms = -(-ahead // state.term_days[some])
    state.switch_day[some] = state.anchor_day[some] + terms * state.term_days[some]


def _pause(scene: Scene, rows: IntArray, mood: FloatArray, u: FloatArray) -> None:
    state = scene.state
    rests = (
        (u[0] < 0.003 * np.exp(-0.5 * mood))
        & (state.term_days[rows] == MONTH)
        & ~state.paused[rows]
        & (state.attempt[rows] == 0)
    )
    some = rows[rests]
    day = np.full_like(some, scene.monday + 4)
    state.paused[some] = True
    state.resume_day[some] = scene.monday + 7 + whole(u[1][rests], 28, 70)
    scene.write_subscription("paused", some, scene.instant(day, 19.0), addon=False)
