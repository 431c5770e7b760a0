"""Engagement: the first weeks after signing up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.asof import NOTHING
from data.clock import MICROSECONDS_PER_DAY
from features.declare import Family
from features.engagement import gained_days

if TYPE_CHECKING:
    from data.asof import Integers
    from features.declare import Numbers
    from features.known import Known

FAMILY = Family("engagement", log="usage")
first_weeks = FAMILY.section("onboarding", sources=("usage", "customers"))
NOT_WATCHED = "The first weeks after signing up are not on record"


def _first_weeks(known: Known, w: int) -> Integers:
    """Return 1 for rows of the first ``w`` periods from sign-up on, else 0; shape (rows,)."""
    usage = known.periods("usage")
    signed_up = np.zeros(known.customers, dtype=np.int64)
    signed_up[known.cell_customer] = known.clock.period_of(
        np.where(known.signed_up_us == NOTHING, 0, known.signed_up_us)
    )
    start = signed_up[usage.group]
    return ((usage.event >= start) & (usage.event < start + w)).astype(np.int64)


def _watched(known: Known, values: Numbers) -> Numbers:
    return np.where(known.joined_under_watch("usage"), values, np.nan)


@first_weeks(
    "first_<w>_active_days",
    "{value} active [day/days] in the first <span> after signing up",
    zero="No active day in the first <span> after signing up",
    missing=NOT_WATCHED,
    over="short",
    unit="days",
    empty=0.0,
)
def first_active_days(known: Known, w: int) -> Numbers:
    """Active days in the first periods; NaN where the log began after sign-up."""
    days = known.cached(gained_days) * _first_weeks(known, w)
    return _watched(known, known.periods("usage").sum(days).astype(np.float64))


@first_weeks(
    "first_<w>_uses",
    "{value} [use/uses] in the first <span> after signing up",
    zero="No use in the first <span> after signing up",
    missing=NOT_WATCHED,
    over="short",
    unit="count",
    empty=0.0,
)
def first_uses(known: Known, w: int) -> Numbers:
    """Uses in the first periods; NaN where the log began after sign-up."""
    usage = known.periods("usage")
    return _watched(known, usage.sum(usage["uses"] * _first_weeks(known, w)).astype(np.float64))


@first_weeks(
    "first_<w>_features",
    "{value} different [feature/features] tried in the first <span> after signing up",
    zero="No feature tried in the first <span> after signing up",
    missing=NOT_WATCHED,
    over="short",
    unit="count",
    empty=0.0,
)
def first_features(known: Known, w: int) -> Numbers:
    """Distinct features in the first periods; NaN where the log began after sign-up."""
    usage = known.periods("usage")
    masks = usage.bits(usage["features"] * _first_weeks(known, w))
    return _watched(known, np.bitwise_count(masks).astype(np.float64))


@first_weeks(
    "first_<w>_core_features",
    "{value} core [feature/features] used in the first <span> after signing up",
    zero="No core feature used in the first <span> after signing up",
    missing=NOT_WATCHED,
    over="short",
    unit="count",
    empty=0.0,
)
def first_core_features(known: Known, w: int) -> Numbers:
    """Core features in the first periods; NaN where the log began after sign-up."""
    usage = known.periods("usage")
    masks = usage.bits(usage["core"] * _first_weeks(known, w))
    return _watched(known, np.bitwise_count(masks).astype(np.float64))


def _days_from_sign_up(known: Known, minus_instant_us: Integers) -> Numbers:
    dated = (minus_instant_us != NOTHING) & (known.signed_up_us != NOTHING)
    days = (-minus_instant_us - known.signed_up_us) / MICROSECONDS_PER_DAY
    return _watched(known, np.where(dated, np.maximum(days, 0), np.nan))


@first_weeks(
    "days_to_first_use",
    "The first use came {value} [day/days] after signing up",
    zero="The first use came within a day of signing up",
    missing="No first use after signing up on record",
    unit="whole_days",
)
def days_to_first_use(known: Known) -> Numbers:
    """Days from sign-up to the first visible use; NaN if there is none or the log began later."""
    return _days_from_sign_up(known, known.periods("usage").max("minus_first_us"))


@first_weeks(
    "days_to_first_core_use",
    "The first use of a core feature came {value} [day/days] after signing up",
    zero="The first use of a core feature came within a day of signing up",
    missing="No first use of a core feature after signing up on record",
    unit="whole_days",
)
def days_to_first_core_use(known: Known) -> Numbers:
    """Days from sign-up to the first core use; NaN if there is none or the log began later."""
    return _days_from_sign_up(known, known.periods("usage").max("minus_first_core_us"))
