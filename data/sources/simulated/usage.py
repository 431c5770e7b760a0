"""Usage: features used per day, driven by satisfaction, season and onboarding."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np

from data.sources.simulated.draws import Topic, normal
from data.sources.simulated.logs import MISSING
from data.sources.simulated.satisfaction import in_trouble, satisfaction
from data.sources.simulated.state import ACTIVE, LEAVING, PENDING
from data.sources.simulated.traits import COUNTRIES, FEATURES

if TYPE_CHECKING:
    from data.sources.simulated.draws import BoolArray, FloatArray, IntArray
    from data.sources.simulated.scene import Scene

_DAYS = 7
# Satisfaction below which a feature is given up; deeper features are given up sooner.
_GIVEN_UP = np.array([-9.0, -1.6, -1.3, -0.9, -0.7, -0.5, -0.9, -0.4])
_SECONDS = np.array([40, 140, 260, 60, 0, 300, 180, 0])  # median duration of a use; 0: machines
_MACHINE = np.array([name in {"integration", "api"} for name in FEATURES])
_LONGEST = 12 * 3600  # seconds of a feature in a day
_LOGIN = FEATURES.index("login")
# First and last ISO week of the summer break, and the share of use that remains, by country.
_SUMMER = {"GB": (30, 34, 0.85), "IE": (30, 34, 0.85), "NL": (29, 33, 0.75),
           "BE": (28, 32, 0.75), "SE": (27, 31, 0.55), "IT": (31, 34, 0.5)}  # fmt: skip
_CHRISTMAS = {52: 0.45, 53: 0.45, 1: 0.6}
_JUNK_SLOT = 900
_JUNK_SHARE = 0.03  # share of the customers who sign up


def season(day: dt.date) -> FloatArray:
    """Return the factor on use in the week of ``day``, by country, shape (countries,)."""
    week = day.isocalendar().week
    factor = np.full(len(COUNTRIES), _CHRISTMAS.get(week, 1.0))
    for number, country in enumerate(COUNTRIES):
        first, last, remains = _SUMMER[country]
        if first <= week <= last:
            factor[number] = remains
    return factor


def activity(scene: Scene, rows: IntArray) -> FloatArray:
    """Return the number of features used on a working day, shape ``(len(rows),)``."""
    traits, state, switches = scene.traits, scene.state, scene.switches
    hidden = state.hidden[rows]
    level = traits.base_use[rows] + 0.2 * np.log(traits.seats[rows]) + state.mood[rows]
    if switches.decline:
        level = level + 0.75 * np.minimum(satisfaction(hidden), 1.0)
        level = level - 0.15 * in_trouble(hidden)
    age = scene.week - traits.arrival_week[rows]
    ramp = np.where(traits.onboarded[rows], 1.0 - 0.5 * np.exp(-age / 2.0), 0.5)
    use = np.exp(level) * (ramp if switches.onboarding else 1.0)
    if switches.seasonality:
        today = scene.settings.start + dt.timedelta(days=scene.monday)
        use = use * season(today)[traits.country[rows]]
    for when, segment in scene.campaigns.shocks:
        if 0 <= scene.week - when < 8:
            use = use * np.where(traits.segment[rows] == segment, 0.75, 1.0)
    use = use * np.where(state.paused[rows], 0.02, 1.0)
    return np.asarray(use * np.where(state.status[rows] == LEAVING, 0.5, 1.0))


def use(scene: Scene) -> None:
    """Write the usage of the week: one row per customer, day and feature."""
    state, traits = scene.state, scene.traits
    trial = (state.status == PENDING) & traits.trial
    rows = scene.rows((state.status == ACTIVE) | (state.status == LEAVING) | trial)
    rate = traits.taste[:, rows] * activity(scene, rows)
    if scene.switches.breadth:
        mood = satisfaction(state.hidden[rows])
        rate *= 1.0 / (1.0 + np.exp(-4.0 * (mood - _GIVEN_UP[:, None])))
    weekday = np.ones((_DAYS, len(rows)))
    weekday[5:] = traits.weekend[rows]
    weekday *= _presence(scene, rows)
    chance = -np.expm1(-(weekday[:, None, :] * rate[None, :, :]))
    u = scene.uniform(Topic.USAGE, rows, _DAYS * len(FEATURES)).reshape(chance.shape)
    used = u < chance
    used[:, _LOGIN, :] |= (used & ~_MACHINE[:, None]).any(axis=1)
    day, feature, who = np.nonzero(used)
    _write(scene, rows[who], day, feature, rate[feature, who])
    if scene.switches.dirt:
        _write_junk(scene)


def _presence(scene: Scene, rows: IntArray) -> FloatArray:
    """Return whether each customer can use the product on each day, shape (7, len(rows))."""
    state, traits = scene.state, scene.traits
    day = scene.monday + np.arange(_DAYS)[:, None]
    begins = np.where(
        state.status[rows] == PENDING, traits.signup_day[rows] + 1, state.start_day[rows] + 1
    )
    begins = np.where(traits.trial[rows], np.minimum(begins, traits.signup_day[rows] + 1), begins)
    locked = (state.return_kind[rows] == 2) & (day > state.busy_day[rows])
    present: BoolArray = (day >= begins) & ~locked
    return present.astype(np.float64)


def _write(
    scene: Scene, rows: IntArray, day: IntArray, feature: IntArray, rate: FloatArray
) -> None:
    slot = day * len(FEATURES) + feature
    u = scene.draws.uniform(Topic.USAGE_DETAIL, scene.week, scene.traits.customers[rows], 4, slot)
    times = 1 + np.floor(-np.log(u[0]) * (0.8 + 2.5 * rate)).astype(np.int64)
    seconds = times * _SECONDS[feature] * np.exp(0.6 * normal(u[1]))
    duration = np.where(
        _MACHINE[feature], MISSING, np.clip(np.rint(seconds), 1, _LONGEST).astype(np.int64)
    )
    hour = 7.5 + 5.5 * (u[2] + u[3])
    scene.write(
        "usage", rows, slot, scene.instant(scene.monday + day, hour),
        feature=feature, count=times, duration_s=duration,
    )  # fmt: skip


def _write_junk(scene: Scene) -> None:
    """Write a few test logins from before the sign-up, which the quality stage must catch."""
    traits = scene.traits
    new = scene.rows(traits.arrival_week == scene.week)
    u = scene.uniform(Topic.USAGE_DETAIL, new, 2)
    junk = u[0] < _JUNK_SHARE
    rows = new[junk]
    before = traits.signup_hour[rows] - 0.5 - 6.0 * u[1][junk]  # on the same day: none before 7
    scene.write(
        "usage", rows, _JUNK_SLOT, scene.instant(traits.signup_day[rows], before),
        feature=_LOGIN, count=1, duration_s=60,
    )  # fmt: skip
