"""Engagement: how often, how much and how recently the product is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.declare import Family
from features.derive import declare_total, ratio, slope, volatility

if TYPE_CHECKING:
    from data.asof import Integers
    from features.declare import Numbers
    from features.known import Known

FAMILY = Family("engagement", log="usage")
amount = FAMILY.section("usage_decline")
habit = FAMILY.section("usage_habit")
absence = FAMILY.section("usage_absence")
UP = (("voluntary", 1),)
NO_USE = "No use in the last <span>"
NEVER_USED = "No use of the product on record"


def gained_days(known: Known) -> Integers:
    """Return what each row adds to the active days of any window; shape (rows,)."""
    return known.periods("usage").gains("days", np.bitwise_or, np.bitwise_count)


def gained_periods(known: Known) -> Integers:
    """Return what each row adds to the periods with use of any window; shape (rows,)."""
    return known.periods("usage").gains("days", np.bitwise_or, np.sign)


def gained_squares(known: Known) -> Integers:
    """Return what each row adds to the sum of squared uses per period; shape (rows,)."""
    return known.periods("usage").gains("uses", np.add, np.square)


# How often and how much

declare_total(
    FAMILY,
    "active_days",
    "{value} active [day/days]",
    "active days",
    gained_days,
    unit="days",
    group="usage_decline",
)
declare_total(
    FAMILY, "uses", "{value} [use/uses]", "uses", "uses", unit="count", group="usage_decline"
)
declare_total(
    FAMILY,
    "minutes",
    "{value} of use",
    "minutes of use",
    "seconds",
    unit="minutes",
    group="usage_decline",
    scale=60,
)


def active_days(known: Known, w: int) -> Numbers:
    """Distinct days with use in the window."""
    return known.periods("usage").sum(known.cached(gained_days), w).astype(np.float64)


@amount(
    "active_days_slope_<w>",
    "Active days rose by {value} a <period> over the last <span>",
    zero="Active days held steady over the last <span>",
    negative="Active days fell by {value} a <period> over the last <span>",
    missing="Too short a history to tell a trend of active days",
    over="trend long",
    unit="slope",
    empty=0.0,
)
def active_days_slope(known: Known, w: int) -> Numbers:
    """Least-squares slope of active days per period."""
    return slope(known, "usage", known.cached(gained_days), w)


@habit(
    "active_periods_share_<w>",
    "Used the product in [every <period>/{value} of the <periods>] on record in the last <span>",
    zero="Did not use the product in the last <span>",
    missing="Too short a history to tell how steady the use is",
    over="wide",
    unit="share",
    empty=0.0,
    norm="active_periods_share_<long>",
)
def active_periods_share(known: Known, w: int) -> Numbers:
    """Periods with any use over the periods in which customer and log existed."""
    active = known.periods("usage").sum(known.cached(gained_periods), w)
    return np.minimum(ratio(active, known.observed("usage", w)), 1)


@amount(
    "uses_slope_<w>_relative",
    "Uses rose by {value} of their average a <period> over the last <span>",
    zero="Uses held steady over the last <span>",
    negative="Uses fell by {value} of their average a <period> over the last <span>",
    missing="Too little use in the last <span> to tell a trend",
    over="trend long",
    unit="share",
)
def relative_uses_slope(known: Known, w: int) -> Numbers:
    """Least-squares slope of uses per period over their mean; NaN without use."""
    mean = ratio(known.periods("usage").sum("uses", w), known.observed("usage", w))
    return ratio(slope(known, "usage", "uses", w), mean)


@habit(
    "uses_volatility_<w>",
    "Use varied by {value} of its average from <period> to <period> over the last <span>",
    zero="Use was the same in every <period> of the last <span>",
    missing="Too little use in the last <span> to tell how steady it is",
    over="trend long",
    unit="share",
)
def uses_volatility(known: Known, w: int) -> Numbers:
    """Coefficient of variation of uses per period."""
    return volatility(known, "usage", "uses", known.cached(gained_squares), w)


@amount(
    "longest_session_<w>",
    "The longest entry of use in the last <span> took {value}",
    zero="No entry of use with a duration in the last <span>",
    over="short long",
    unit="minutes",
    empty=0.0,
)
def longest_session(known: Known, w: int) -> Numbers:
    """Longest duration of a single row of the log."""
    return np.maximum(known.periods("usage").max("longest_s", w), 0) / 60


@amount(
    "uses_per_active_day_<w>",
    "{value} [use/uses] on an active day in the last <span>",
    missing="No active day in the last <span>",
    over="short long",
    unit="ratio",
    norm="uses_per_active_day_<long>",
)
def uses_per_active_day(known: Known, w: int) -> Numbers:
    """Uses over active days; NaN without use."""
    return ratio(known.periods("usage").sum("uses", w), active_days(known, w))


@amount(
    "minutes_per_active_day_<w>",
    "{value} of use on an active day in the last <span>",
    missing="No active day in the last <span>",
    over="short long",
    unit="minutes",
    norm="minutes_per_active_day_<long>",
)
def minutes_per_active_day(known: Known, w: int) -> Numbers:
    """Minutes over active days; NaN without use."""
    return ratio(known.periods("usage").sum("seconds", w) / 60, active_days(known, w))


@habit(
    "weekend_use_share_<w>",
    "[All/{value}] of the uses of the last <span> fell on a weekend",
    zero="No use of the last <span> fell on a weekend",
    missing=NO_USE,
    over="short long",
    unit="share",
    norm="weekend_use_share_<long>",
)
def weekend_use_share(known: Known, w: int) -> Numbers:
    """Uses on Saturdays and Sundays (UTC) over all uses; NaN without use."""
    usage = known.periods("usage")
    return ratio(usage.sum("weekend_uses", w), usage.sum("uses", w))


# How recently


@absence(
    "days_since_last_use",
    "Last used the product {value} [day/days] ago",
    zero="Used the product within the last day",
    missing=NEVER_USED,
    unit="whole_days",
    norm="usual_gap_<long>",
    norm_clause=", usually active every [day/{norm} days]",
    monotone=UP,
)
def days_since_last_use(known: Known) -> Numbers:
    """Days from the last visible use to the cutoff; NaN if there is none."""
    return known.days_since(known.periods("usage").max("last_us"))


@habit(
    "usual_gap_<w>",
    "{value} [day/days] from one active day to the next over the last <span>",
    missing="No active day in the last <span>",
    over="long",
    unit="days",
)
def usual_gap(known: Known, w: int) -> Numbers:
    """Days of the window over active days in it; NaN without use."""
    days = known.observed("usage", w) * known.clock.period_days
    return ratio(days, active_days(known, w))


@absence(
    "days_since_last_use_vs_<long>",
    "The time since the last use is [as long as/{value}] the usual gap between active days",
    missing="No active day in the last <longspan>",
    unit="multiple",
)
def absence_against_usual(known: Known) -> Numbers:
    """Days since the last use over the usual gap; NaN without use in the long window."""
    return ratio(days_since_last_use(known), usual_gap(known, known.settings.long))


@absence(
    "periods_of_silence",
    "{value} whole [<period>/<periods>] without use up to now",
    zero="Used the product within the last <period>",
    missing=NEVER_USED,
    unit="count",
    monotone=UP,
)
def periods_of_silence(known: Known) -> Numbers:
    """Whole periods since the last visible use; NaN if there is none."""
    return np.floor(days_since_last_use(known) / known.clock.period_days)
