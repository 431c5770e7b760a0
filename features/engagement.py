"""Engagement: how often, how much, how broadly and how recently the product is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.asof import NOTHING
from data.clock import MICROSECONDS_PER_DAY
from features.declare import Family
from features.derive import (
    bit_count,
    declare_total,
    ratio,
    slope,
    usual,
    usual_bit_count,
    volatility,
)
from features.measures import LEADING

if TYPE_CHECKING:
    from data.asof import Integers
    from features.declare import Numbers
    from features.known import Known

FAMILY = Family("engagement", log="usage")
feature = FAMILY.feature
UP = (("voluntary", 1),)
NO_USE = "No use in the last <span>"
NEVER_USED = "No use of the product on record"
NOT_WATCHED = "The first weeks after signing up are not on record"


def daily(known: Known) -> Integers:
    """Rows' gains in distinct days of use: they add up to active days over any window."""
    return known.log("usage").gains("days", np.bitwise_or, np.bitwise_count)


def weekly(known: Known) -> Integers:
    """Rows' gains in periods with use: they add up to active periods over any window."""
    return known.log("usage").gains("days", np.bitwise_or, np.sign)


def squared_uses(known: Known) -> Integers:
    """Rows' gains in squared uses per period."""
    return known.log("usage").gains("uses", np.add, np.square)


def uses_by_feature(known: Known, w: int) -> Numbers:
    """Uses of each leading feature and of the rest over the window, shape (features, cells)."""
    usage = known.log("usage")
    leading = [usage.sum(f"uses_{i}", w) for i in range(LEADING) if f"uses_{i}" in usage.columns]
    rest = usage.sum("uses", w) - sum(leading, np.zeros(known.cells, dtype=np.int64))
    return np.array([*leading, rest], dtype=np.float64)


# How often and how much

declare_total(
    FAMILY, "active_days", "{value} active [day/days]", "active days", daily, unit="days",
    group="usage_decline",
)  # fmt: skip
declare_total(
    FAMILY, "uses", "{value} [use/uses]", "uses", "uses", unit="count", group="usage_decline"
)
declare_total(
    FAMILY, "minutes", "{value} of use", "minutes of use", "seconds", unit="minutes",
    group="usage_decline", scale=60,
)  # fmt: skip


def active_days(known: Known, w: int) -> Numbers:
    """Distinct days with use in the window."""
    return known.log("usage").sum(known.once(daily), w).astype(np.float64)


@feature(
    "active_days_slope_<w>", "Active days rose by {value} a <period> over the last <span>",
    zero="Active days held steady over the last <span>",
    negative="Active days fell by {value} a <period> over the last <span>",
    missing="Too short a history to tell a trend of active days",
    over="trend long", unit="slope", empty=0.0, group="usage_decline",
)  # fmt: skip
def active_days_slope(known: Known, w: int) -> Numbers:
    """Least-squares slope of active days per period."""
    return slope(known, "usage", known.once(daily), w)


@feature(
    "active_periods_share_<w>",
    "Used the product in [every <period>/{value} of the <periods>] on record in the last <span>",
    zero="Did not use the product in the last <span>",
    missing="Too short a history to tell how steady the use is", over="wide", unit="share",
    empty=0.0, group="usage_habit", norm="active_periods_share_<long>",
)  # fmt: skip
def active_periods_share(known: Known, w: int) -> Numbers:
    """Periods with any use over the periods that customer and log were there."""
    periods = known.log("usage").sum(known.once(weekly), w)
    return np.minimum(ratio(periods, known.observed("usage", w)), 1)


@feature(
    "uses_slope_<w>_relative",
    "Uses rose by {value} of their average a <period> over the last <span>",
    zero="Uses held steady over the last <span>",
    negative="Uses fell by {value} of their average a <period> over the last <span>",
    missing="Too little use in the last <span> to tell a trend",
    over="trend long", unit="share", group="usage_decline",
)  # fmt: skip
def relative_uses_slope(known: Known, w: int) -> Numbers:
    """Least-squares slope of uses per period over their mean; NaN without use."""
    mean = ratio(known.log("usage").sum("uses", w), known.observed("usage", w))
    return ratio(slope(known, "usage", "uses", w), mean)


@feature(
    "uses_volatility_<w>",
    "Use varied by {value} of its average from <period> to <period> over the last <span>",
    zero="Use was the same in every <period> of the last <span>",
    missing="Too little use in the last <span> to tell how steady it is",
    over="trend long", unit="share", group="usage_habit",
)  # fmt: skip
def uses_volatility(known: Known, w: int) -> Numbers:
    """Coefficient of variation of uses per period."""
    return volatility(known, "usage", "uses", known.once(squared_uses), w)


@feature(
    "longest_session_<w>",
    "The longest entry of use in the last <span> took {value}",
    zero="No entry of use with a duration in the last <span>",
    over="short long", unit="minutes", empty=0.0, group="usage_decline",
)  # fmt: skip
def longest_session(known: Known, w: int) -> Numbers:
    """Largest duration of one row of the log."""
    return np.maximum(known.log("usage").max("longest_s", w), 0) / 60


@feature(
    "uses_per_active_day_<w>", "{value} [use/uses] on an active day in the last <span>",
    missing="No active day in the last <span>", over="short long", unit="ratio",
    group="usage_decline", norm="uses_per_active_day_<long>",
)  # fmt: skip
def uses_per_active_day(known: Known, w: int) -> Numbers:
    """Uses over active days; NaN without use."""
    return ratio(known.log("usage").sum("uses", w), active_days(known, w))


@feature(
    "minutes_per_active_day_<w>",
    "{value} of use on an active day in the last <span>",
    missing="No active day in the last <span>", over="short long", unit="minutes",
    group="usage_decline", norm="minutes_per_active_day_<long>",
)  # fmt: skip
def minutes_per_active_day(known: Known, w: int) -> Numbers:
    """Minutes over active days; NaN without use."""
    return ratio(known.log("usage").sum("seconds", w) / 60, active_days(known, w))


@feature(
    "weekend_use_share_<w>", "[All/{value}] of the uses of the last <span> fell on a weekend",
    zero="No use of the last <span> fell on a weekend", missing=NO_USE,
    over="short long", unit="share", group="usage_habit", norm="weekend_use_share_<long>",
)  # fmt: skip
def weekend_use_share(known: Known, w: int) -> Numbers:
    """Uses on Saturdays and Sundays (UTC) over all uses; NaN without use."""
    usage = known.log("usage")
    return ratio(usage.sum("weekend_uses", w), usage.sum("uses", w))


# How recently


@feature(
    "days_since_last_use", "Last used the product {value} [day/days] ago",
    zero="Used the product within the last day", missing=NEVER_USED, unit="whole_days",
    group="usage_absence", norm="usual_gap_<long>",
    norm_clause=", usually active every [day/{norm} days]", monotone=UP,
)  # fmt: skip
def days_since_last_use(known: Known) -> Numbers:
    """Days from the last visible use ever to the cutoff; NaN without any."""
    return known.days_since(known.log("usage").max("last_us"))


@feature(
    "usual_gap_<w>",
    "{value} [day/days] from one active day to the next over the last <span>",
    missing="No active day in the last <span>", over="long", unit="days", group="usage_habit",
)  # fmt: skip
def usual_gap(known: Known, w: int) -> Numbers:
    """Days of the window over active days in it; NaN without use."""
    days = known.observed("usage", w) * known.clock.period_days
    return ratio(days, active_days(known, w))


@feature(
    "days_since_last_use_vs_<long>",
    "The time since the last use is [as long as/{value}] the usual gap between active days",
    missing="No active day in the last <longspan>", unit="multiple", group="usage_absence",
)  # fmt: skip
def absence_against_usual(known: Known) -> Numbers:
    """Days since the last use over the usual gap; NaN without use in the long window."""
    return ratio(days_since_last_use(known), usual_gap(known, known.settings.long))


@feature(
    "periods_of_silence", "{value} whole [<period>/<periods>] without use up to now",
    zero="Used the product within the last <period>", missing=NEVER_USED, unit="count",
    group="usage_absence", monotone=UP,
)  # fmt: skip
def periods_of_silence(known: Known) -> Numbers:
    """Whole periods since the last visible use; NaN without any."""
    return np.floor(days_since_last_use(known) / known.clock.period_days)


# How broadly


@feature(
    "features_used_<w>", "{value} different [feature/features] used in the last <span>",
    zero="No feature used in the last <span>", over="each",
    unit="count", empty=0.0, group="usage_breadth", norm="features_used_usual_<short>",
)  # fmt: skip
def features_used(known: Known, w: int) -> Numbers:
    """Distinct features used (all from the 63rd on count as one)."""
    return bit_count(known.log("usage"), "features", w)


@feature(
    "features_used_usual_<w>", "Usually {value} different [feature/features] used in <span>",
    zero="Usually no feature used in <span>",
    missing="Too short a history to tell the usual number of features", over="short",
    unit="count", empty=0.0, group="usage_breadth",
)  # fmt: skip
def features_used_usual(known: Known, w: int) -> Numbers:
    """Mean of the features used in each of the earlier windows of that length."""
    return usual_bit_count(known, "usage", "features", w)


@feature(
    "features_used_<w>_vs_<long>",
    "[As many features as usual/{value} the usual number of features] in the last <span>",
    zero="No feature used in the last <span>",
    missing="No usual number of features to compare the last <span> with",
    over="short", unit="multiple", group="usage_breadth",
)  # fmt: skip
def features_used_against_usual(known: Known, w: int) -> Numbers:
    """Features used over their norm; NaN where the norm is 0 or unknown."""
    return ratio(features_used(known, w), features_used_usual(known, w))


@feature(
    "features_used_ever", "{value} different [feature/features] ever used",
    zero="No feature ever used", unit="count", empty=0.0,
    group="usage_breadth",
)  # fmt: skip
def features_used_ever(known: Known) -> Numbers:
    """Distinct features used in the whole visible history."""
    return bit_count(known.log("usage"), "features", None)


@feature(
    "features_given_up_<w>",
    "{value} [feature/features] used in the last <longspan> lay idle in the last <span>",
    zero="No feature used in the last <longspan> lay idle in the last <span>",
    over="short trend", unit="count", empty=0.0, group="usage_breadth",
)  # fmt: skip
def features_given_up(known: Known, w: int) -> Numbers:
    """Features used in the long window and not in this one."""
    return features_used(known, known.settings.long) - features_used(known, w)


@feature(
    "features_new_<w>", "{value} [feature/features] used for the first time in the last <span>",
    zero="No feature used for the first time in the last <span>",
    over="short trend", unit="count", empty=0.0, group="usage_breadth",
)  # fmt: skip
def features_new(known: Known, w: int) -> Numbers:
    """Features used in the window and never before it."""
    usage = known.log("usage")
    new = usage.bits("features") & ~usage.bits("features", ago=w)
    return np.asarray(np.bitwise_count(new), dtype=np.float64)


@feature(
    "core_features_used_<w>", "{value} core [feature/features] used in the last <span>",
    zero="No core feature used in the last <span>", over="each",
    unit="count", empty=0.0, group="usage_breadth", norm="core_features_used_usual_<short>",
)  # fmt: skip
def core_features_used(known: Known, w: int) -> Numbers:
    """Distinct core features used."""
    return bit_count(known.log("usage"), "core", w)


@feature(
    "core_features_used_usual_<w>", "Usually {value} core [feature/features] used in <span>",
    zero="Usually no core feature used in <span>",
    missing="Too short a history to tell the usual number of core features", over="short",
    unit="count", empty=0.0, group="usage_breadth",
)  # fmt: skip
def core_features_used_usual(known: Known, w: int) -> Numbers:
    """Mean of the core features used in each of the earlier windows of that length."""
    return usual_bit_count(known, "usage", "core", w)


@feature(
    "core_features_used_ever", "{value} core [feature/features] ever used",
    zero="No core feature ever used", unit="count", empty=0.0,
    group="usage_breadth",
)  # fmt: skip
def core_features_used_ever(known: Known) -> Numbers:
    """Distinct core features used in the whole visible history."""
    return bit_count(known.log("usage"), "core", None)


@feature(
    "use_concentration_<w>",
    "Use in the last <span> was concentrated at {value} on a scale up to 1 (all on one feature)",
    missing=NO_USE,
    over="short long", unit="ratio", group="usage_breadth", norm="use_concentration_<long>",
)  # fmt: skip
def use_concentration(known: Known, w: int) -> Numbers:
    """Herfindahl-Hirschman index: the sum of squared shares of the features in the uses."""
    by_feature = uses_by_feature(known, w)
    return ratio(np.square(by_feature).sum(axis=0), np.square(by_feature.sum(axis=0)))


@feature(
    "top_feature_share_<w>",
    "[A single feature/The most used feature] made up {value} of the uses of the last <span>",
    missing=NO_USE,
    over="short long", unit="share", group="usage_breadth", norm="top_feature_share_<long>",
)  # fmt: skip
def top_feature_share(known: Known, w: int) -> Numbers:
    """Largest share of one leading feature in the uses; NaN without use."""
    by_feature = uses_by_feature(known, w)
    return ratio(by_feature.max(axis=0), by_feature.sum(axis=0))


@feature(
    "uses_of_<core>_<w>", "{value} [use/uses] of <core> in the last <span>",
    zero="No use of <core> in the last <span>", over="short", unit="count",
    empty=0.0, group="usage_decline", norm="uses_of_<core>_usual_<short>", adds_up=True,
)  # fmt: skip
def core_uses(known: Known, w: int, core: int) -> Numbers:
    """Uses of one core feature."""
    return known.log("usage").sum(f"core_uses_{core}", w).astype(np.float64)


@feature(
    "uses_of_<core>_usual_<w>", "Usually {value} [use/uses] of <core> in <span>",
    zero="Usually no use of <core> in <span>",
    missing="Too short a history to tell the usual number of uses of <core>", over="short",
    unit="count", empty=0.0, group="usage_decline",
)  # fmt: skip
def core_uses_usual(known: Known, w: int, core: int) -> Numbers:
    """Norm of the uses of one core feature, from before the window."""
    return usual(known, "usage", f"core_uses_{core}", w)


@feature(
    "days_since_<core>", "Last used <core> {value} [day/days] ago",
    zero="Used <core> within the last day", missing="No use of <core> on record",
    unit="whole_days", group="usage_absence",
)  # fmt: skip
def days_since_core(known: Known, core: int) -> Numbers:
    """Days from the last visible use of one core feature; NaN without any."""
    return known.days_since(known.log("usage").max(f"core_last_us_{core}"))


# The first weeks


def _first_weeks(known: Known, w: int) -> Integers:
    """Rows of the first ``w`` periods from sign-up on, as a mark of shape (rows,)."""
    usage = known.log("usage")
    signed_up = np.zeros(known.customers, dtype=np.int64)
    signed_up[known.cell_customer] = known.clock.period_of(
        np.where(known.signed_up_us == NOTHING, 0, known.signed_up_us)
    )
    start = signed_up[usage.group]
    return ((usage.event >= start) & (usage.event < start + w)).astype(np.int64)


def _watched(known: Known, values: Numbers) -> Numbers:
    return np.where(known.joined_under_watch("usage"), values, np.nan)


@feature(
    "first_<w>_active_days", "{value} active [day/days] in the first <span> after signing up",
    zero="No active day in the first <span> after signing up", missing=NOT_WATCHED,
    over="short", unit="days", empty=0.0, group="onboarding", sources=("usage", "customers"),
)  # fmt: skip
def first_active_days(known: Known, w: int) -> Numbers:
    """Active days in the first periods; NaN where the log began after sign-up."""
    gained = known.once(daily) * _first_weeks(known, w)
    return _watched(known, known.log("usage").sum(gained).astype(np.float64))


@feature(
    "first_<w>_uses", "{value} [use/uses] in the first <span> after signing up",
    zero="No use in the first <span> after signing up", missing=NOT_WATCHED, over="short",
    unit="count", empty=0.0, group="onboarding", sources=("usage", "customers"),
)  # fmt: skip
def first_uses(known: Known, w: int) -> Numbers:
    """Uses in the first periods; NaN where the log began after sign-up."""
    usage = known.log("usage")
    return _watched(known, usage.sum(usage["uses"] * _first_weeks(known, w)).astype(np.float64))


@feature(
    "first_<w>_features",
    "{value} different [feature/features] tried in the first <span> after signing up",
    zero="No feature tried in the first <span> after signing up", missing=NOT_WATCHED,
    over="short", unit="count", empty=0.0, group="onboarding", sources=("usage", "customers"),
)  # fmt: skip
def first_features(known: Known, w: int) -> Numbers:
    """Distinct features in the first periods; NaN where the log began after sign-up."""
    usage = known.log("usage")
    masks = usage.bits(usage["features"] * _first_weeks(known, w))
    return _watched(known, np.bitwise_count(masks).astype(np.float64))


@feature(
    "first_<w>_core_features",
    "{value} core [feature/features] used in the first <span> after signing up",
    zero="No core feature used in the first <span> after signing up", missing=NOT_WATCHED,
    over="short", unit="count", empty=0.0, group="onboarding", sources=("usage", "customers"),
)  # fmt: skip
def first_core_features(known: Known, w: int) -> Numbers:
    """Core features in the first periods; NaN where the log began after sign-up."""
    usage = known.log("usage")
    masks = usage.bits(usage["core"] * _first_weeks(known, w))
    return _watched(known, np.bitwise_count(masks).astype(np.float64))


def _days_from_sign_up(known: Known, minus_instant_us: Integers) -> Numbers:
    there = (minus_instant_us != NOTHING) & (known.signed_up_us != NOTHING)
    days = (-minus_instant_us - known.signed_up_us) / MICROSECONDS_PER_DAY
    return _watched(known, np.where(there, np.maximum(days, 0), np.nan))


@feature(
    "days_to_first_use", "The first use came {value} [day/days] after signing up",
    zero="The first use came within a day of signing up",
    missing="No first use after signing up on record", unit="whole_days",
    group="onboarding", sources=("usage", "customers"),
)  # fmt: skip
def days_to_first_use(known: Known) -> Numbers:
    """Days from sign-up to the first visible use; NaN without, or unwatched."""
    return _days_from_sign_up(known, known.log("usage").max("minus_first_us"))


@feature(
    "days_to_first_core_use",
    "The first use of a core feature came {value} [day/days] after signing up",
    zero="The first use of a core feature came within a day of signing up",
    missing="No first use of a core feature after signing up on record", unit="whole_days",
    group="onboarding", sources=("usage", "customers"),
)  # fmt: skip
def days_to_first_core_use(known: Known) -> Numbers:
    """Days from sign-up to the first core use; NaN without, or unwatched."""
    return _days_from_sign_up(known, known.log("usage").max("minus_first_core_us"))
