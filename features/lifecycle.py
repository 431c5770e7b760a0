"""Lifecycle: how long, on what terms, and what changed in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.asof import NOTHING
from data.clock import MICROSECONDS_PER_DAY
from data.contracts import BILLING_INTERVALS
from data.subscriptions import ACTIVATIONS, Accounts, Subscriptions, is_kind
from features.declare import Family
from features.derive import declare_sums, flag, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.asof import Flags, Integers
    from features.declare import Numbers
    from features.known import Known
    from features.roll import Rolled

FAMILY = Family("lifecycle", log="subscriptions")
feature = FAMILY.feature
WEEK_US = 7 * MICROSECONDS_PER_DAY
NOT_STARTED = "No start of a paid subscription on record"
NO_SEATS = "Number of seats not on record"
# Days of a billing interval, in the order of their codes; the last stands for an unheard-of one.
INTERVAL_DAYS = np.array([{"week": 7, "month": 30, "quarter": 91, "year": 365}[name]
                          for name in BILLING_INTERVALS] + [30])  # fmt: skip


def contracts(known: Known) -> Accounts:
    """Accounts at the cutoff, by the subscriptions as they are known there."""
    pairs = known.entities("subscriptions")
    state = Subscriptions(pairs.rows.columns, pairs.rows.as_of())
    return Accounts(state, pairs, known.cutoff_us[pairs.cell])


def mrr_before(known: Known, ago: int) -> Numbers:
    """MRR ``ago`` periods back, as known now; NaN where no subscription was live then."""
    pairs = known.entities("subscriptions")
    then_us = known.cutoff_us - ago * known.clock.period_us
    state = Subscriptions(pairs.rows.columns, pairs.rows.as_of(ago))
    account = Accounts(state, pairs, then_us[pairs.cell])
    return np.where(account.live > 0, account.mrr, np.nan)


@dataclass(frozen=True)
class Steps:
    """What each row changed against the value known before it; arrays of shape (rows,)."""

    mrr: NDArray[np.float64]
    seats: NDArray[np.float64]
    interval: NDArray[np.float64]


def steps(known: Known) -> Steps:
    """Ratio of each row's MRR, seats and days of billing interval to those known before; or NaN."""
    rows, state = known.entities("subscriptions").rows, known.once(contracts).state
    code = state.given("interval")
    days = np.where(code == NOTHING, NOTHING, INTERVAL_DAYS[np.clip(code, 0, 4)])
    values = (state.given("mrr"), state.given("seats"), days)
    return Steps(*(_step(rows, column) for column in values))


def _step(rows: Rolled, values: Integers) -> Numbers:
    """Ratio to the last earlier value of the group that was visible when the row was."""
    there = np.flatnonzero(values != NOTHING)
    before = np.arange(there.size) - 1
    visible = rows.visible[there]
    unseen = np.flatnonzero(before >= 0)
    while unseen.size:  # steps over rows that became known later: rare, so this ends soon
        unseen = unseen[visible[before[unseen]] > visible[unseen]]
        before[unseen] -= 1
        unseen = unseen[before[unseen] >= 0]
    same = before >= 0
    same[same] = rows.group[there[before[same]]] == rows.group[there[same]]
    result = np.full(values.size, np.nan)
    result[there[same]] = ratio(values[there[same]], values[there[before[same]]])
    return result


def rises(known: Known) -> Flags:
    """Rows of a change of price after which MRR was higher than known before; shape (rows,)."""
    priced = known.once(contracts).state.is_kind("price_changed")
    return priced & (known.once(steps).mrr > 1)


def _changes(known: Known, changed: Flags, window: int | None) -> Numbers:
    """Sum over the customer's subscriptions of the rows marked, in the window."""
    pairs = known.entities("subscriptions")
    return pairs.total(pairs.rows.sum(changed.astype(np.int64), window))


# How long


@feature(
    "tenure_weeks", "A paying customer for {value} [week/weeks]",
    zero="A paying customer for less than a week", missing=NOT_STARTED, unit="weeks",
    group="relationship",
)  # fmt: skip
def tenure_weeks(known: Known) -> Numbers:
    """Weeks from the first visible activation to the cutoff; NaN without one."""
    log = known.history("subscriptions")
    first = log.max(np.where(is_kind(log["kind"], *ACTIVATIONS), -log["event_us"], NOTHING))
    return np.where(first == NOTHING, np.nan, (known.cutoff_us + first) / WEEK_US)


@feature(
    "weeks_since_sign_up", "Signed up {value} [week/weeks] ago",
    zero="Signed up less than a week ago", missing="Sign-up not on record", unit="weeks",
    group="relationship",
    sources=("customers",),
)  # fmt: skip
def weeks_since_sign_up(known: Known) -> Numbers:
    """Weeks from sign-up to the cutoff; NaN where unknown."""
    return known.days_since(known.signed_up_us) / 7


@feature(
    "onboarding_stage", "Stage {value} of the relationship, from 0 (new) to 4 (settled)",
    missing=NOT_STARTED, unit="score", group="relationship",
)  # fmt: skip
def onboarding_stage(known: Known) -> Numbers:
    """How many of the shortest, short, trend and long windows the tenure has outlasted."""
    weeks = tenure_weeks(known)
    settings = known.settings
    limits = (settings.windows[0], settings.short, settings.trend, settings.long)
    stage = sum(flag(weeks * WEEK_US > limit * known.clock.period_us) for limit in limits)
    return np.where(np.isnan(weeks), np.nan, stage)


@feature(
    "had_trial", "Began with a trial", zero="No trial on record", unit="flag", empty=0.0,
    group="profile",
)  # fmt: skip
def had_trial(known: Known) -> Numbers:
    """Whether a trial was ever started."""
    return flag(known.log("subscriptions").sum("trial_started") > 0)


@feature(
    "trial_days", "Had a trial of {value} [day/days]", zero="Had a trial of less than a day",
    missing="No trial on record", unit="whole_days", group="profile",
)  # fmt: skip
def trial_days(known: Known) -> Numbers:
    """Days from the newest start of a trial to its planned end; NaN without a trial."""
    log = known.history("subscriptions")
    row = log.last(is_kind(log["kind"], "trial_started") & (log["trial_us"] != NOTHING))
    days = (log.at(row, "trial_us") - log.at(row, "event_us")) / MICROSECONDS_PER_DAY
    return np.where(row >= 0, days, np.nan)


# On what terms


@feature(
    "mrr", "Pays {value} a month", zero="Pays nothing a month", unit="cents", empty=0.0,
    group="profile",
)  # fmt: skip
def mrr(known: Known) -> Numbers:
    """Monthly recurring revenue over live subscriptions, minor units."""
    return known.once(contracts).mrr.astype(np.float64)


@feature(
    "subscriptions_live", "Has {value} [subscription/subscriptions] in force",
    zero="No subscription in force", unit="count", empty=0.0, group="profile",
)  # fmt: skip
def subscriptions_live(known: Known) -> Numbers:
    """Subscriptions that are live at the cutoff."""
    return known.once(contracts).live.astype(np.float64)


def seats_now(known: Known) -> Numbers:
    """Seats over live subscriptions; NaN where unknown."""
    account = known.once(contracts)
    seats = account.state.known("seats")
    there = account.state.live & (seats != NOTHING)
    return np.where(account.parts.count(there) > 0, account.parts.total(seats, there), np.nan)


@feature(
    "seats", "Has {value} [seat/seats]", zero="Has no seats", missing=NO_SEATS, unit="count",
    group="profile",
)  # fmt: skip
def seats(known: Known) -> Numbers:
    """Seats over live subscriptions; NaN where unknown."""
    return known.once(seats_now)


@feature(
    "mrr_per_seat", "Pays {value} a month for each seat", zero="Pays nothing a month",
    missing="No seats on record", unit="cents", group="profile",
)  # fmt: skip
def mrr_per_seat(known: Known) -> Numbers:
    """MRR over seats; NaN where seats are unknown or 0."""
    return ratio(mrr(known), known.once(seats_now))


@feature(
    "uses_per_seat_<w>", "{value} [use/uses] for each seat in the last <span>",
    zero="No uses in the last <span>", missing="No seats on record", over="short long",
    unit="ratio", group="usage_decline", sources=("subscriptions", "usage"),
)  # fmt: skip
def uses_per_seat(known: Known, w: int) -> Numbers:
    """Uses over seats; NaN where seats are unknown or 0."""
    return ratio(known.log("usage").sum("uses", w), known.once(seats_now))


@feature(
    "billing_interval_days", "Billed every {value} days", missing="Billing interval not on record",
    unit="whole_days", group="profile",
)  # fmt: skip
def billing_interval_days(known: Known) -> Numbers:
    """Days of the main subscription's billing interval; NaN where unknown."""
    account = known.once(contracts)
    code = account.of_main(account.state.known("interval"))
    return np.where(code == NOTHING, np.nan, INTERVAL_DAYS[np.clip(code, 0, 4)])


@feature(
    "paused_now", "Paused now", zero="Not paused now", unit="flag", empty=0.0, group="relationship"
)
def paused_now(known: Known) -> Numbers:
    """Whether all live subscriptions are paused."""
    return flag(known.once(contracts).paused)


# What changed in them

declare_sums(
    FAMILY,
    "trend long",
    ("plan_changes", "plan_changed", "Plan changed [once/{value} times] in the last <span>",
     "No change of plan in the last <span>", "plan"),
    ("price_changes", "price_changed", "Price changed [once/{value} times] in the last <span>",
     "No change of price in the last <span>", "price"),
    ("interval_changes", "interval_changed",
     "Billing interval changed [once/{value} times] in the last <span>",
     "No change of billing interval in the last <span>", "plan"),
    ("pauses", "paused", "Paused [once/{value} times] in the last <span>",
     "No pause begun in the last <span>", "relationship"),
    ("cancellations_revoked", "cancel_revoked",
     "Took back a cancellation [once/{value} times] in the last <span>",
     "No cancellation taken back in the last <span>", "leaving_intent"),
    ("renewals", "renewed", "Renewed [once/{value} times] in the last <span>",
     "No renewal in the last <span>", "renewal"),
)  # fmt: skip

for _name, _kind, _sentence, _zero, _group in (
    ("pauses_ever", "paused", "Has paused [once/{value} times] in all", "Has never paused",
     "relationship"),
    ("cancellations_revoked_ever", "cancel_revoked",
     "Has taken back {value} [cancellation/cancellations] in all",
     "Has never taken back a cancellation", "leaving_intent"),
    ("reactivations_ever", "reactivated", "Has come back [once/{value} times] after leaving",
     "Has never left and come back", "relationship"),
    ("renewals_ever", "renewed", "Has renewed [once/{value} times] in all", "No renewal so far",
     "relationship"),
):  # fmt: skip

    @feature(_name, _sentence, zero=_zero, unit="count", empty=0.0, group=_group)
    def happened_ever(known: Known, kind: str = _kind) -> Numbers:
        """Rows of one kind in the whole visible history."""
        return known.log("subscriptions").sum(kind).astype(np.float64)


@feature(
    "mrr_change_<w>", "Pays [as much as/{value} what] was paid before the last <span>",
    zero="Pays nothing now", missing="Paid nothing when the last <span> began", over="wide",
    unit="multiple", group="price",
)  # fmt: skip
def mrr_change(known: Known, w: int) -> Numbers:
    """MRR over that of ``w`` periods back as known now; NaN where nothing was live then."""
    return ratio(mrr(known), mrr_before(known, w))


@feature(
    "mrr_vs_first", "Pays [as much as/{value} what] was paid at first", zero="Pays nothing now",
    missing="No first price on record", unit="multiple", group="price",
)  # fmt: skip
def mrr_against_first(known: Known) -> Numbers:
    """Main subscription's MRR over its first one above 0; NaN without one."""
    account, rows = known.once(contracts), known.entities("subscriptions").rows
    # The first row by the order of events is the one with the largest negative row number.
    paid = account.state.given("mrr") > 0
    back = rows.max(np.where(paid, -np.arange(rows.group.size), NOTHING))
    first = rows.at(np.where(back == NOTHING, -1, -back), "mrr", 0)
    now = np.maximum(account.of_main(account.state.mrr), 0)
    return np.where(account.main >= 0, ratio(now, np.maximum(account.of_main(first), 0)), np.nan)


@feature(
    "price_rises_<w>", "Price went up [once/{value} times] in the last <span>",
    zero="No rise in price in the last <span>", over="wide", unit="count",
    empty=0.0, group="price",
)  # fmt: skip
def price_rises(known: Known, w: int) -> Numbers:
    """Price changes after which MRR was higher than known before."""
    return _changes(known, known.once(rises), w)


def last_price_rise(known: Known) -> Integers:
    """Row of the main subscription's last rise in price, -1 without one; shape (cells,)."""
    rise = known.entities("subscriptions").rows.last(known.once(rises))
    return np.asarray(np.maximum(known.once(contracts).of_main(rise), -1), dtype=np.int64)


@feature(
    "last_price_rise_size", "The last rise in price was by {value}",
    zero="No rise in price on record", unit="share", empty=0.0,
    group="price",
)  # fmt: skip
def last_price_rise_size(known: Known) -> Numbers:
    """Share by which the last rise in price raised MRR; 0 without one."""
    row, step = known.once(last_price_rise), known.once(steps).mrr
    if not step.size:
        return np.zeros(known.cells)
    return np.where(row >= 0, step[row] - 1, 0.0)


@feature(
    "days_since_price_rise", "The price last went up {value} [day/days] ago",
    zero="The price went up within the last day", missing="No rise in price on record",
    unit="whole_days", group="price",
)  # fmt: skip
def days_since_price_rise(known: Known) -> Numbers:
    """Days from the main subscription's last rise in price to the cutoff; NaN without one."""
    rows = known.entities("subscriptions").rows
    return known.days_since(rows.at(known.once(last_price_rise), "event_us"))


@feature(
    "downgrades_<w>", "Moved to a cheaper plan [once/{value} times] in the last <span>",
    zero="No move to a cheaper plan in the last <span>", over="wide",
    unit="count", empty=0.0, group="plan",
)  # fmt: skip
def downgrades(known: Known, w: int) -> Numbers:
    """Plan changes after which MRR was lower than known before."""
    moved = known.once(contracts).state.is_kind("plan_changed")
    return _changes(known, moved & (known.once(steps).mrr < 1), w)


@feature(
    "upgrades_<w>", "Moved to a dearer plan [once/{value} times] in the last <span>",
    zero="No move to a dearer plan in the last <span>", over="wide",
    unit="count", empty=0.0, group="plan",
)  # fmt: skip
def upgrades(known: Known, w: int) -> Numbers:
    """Plan changes after which MRR was higher than known before."""
    moved = known.once(contracts).state.is_kind("plan_changed")
    return _changes(known, moved & (known.once(steps).mrr > 1), w)


@feature(
    "seat_cuts_<w>", "Reduced seats [once/{value} times] in the last <span>",
    zero="No seats given up in the last <span>", over="trend long",
    unit="count", empty=0.0, group="plan",
)  # fmt: skip
def seat_cuts(known: Known, w: int) -> Numbers:
    """Rows after which seats were fewer than known before."""
    return _changes(known, known.once(steps).seats < 1, w)


@feature(
    "interval_shortened_<w>",
    "Moved to a shorter billing interval [once/{value} times] in the last <span>",
    zero="No move to a shorter billing interval in the last <span>",
    over="trend long", unit="count", empty=0.0, group="plan",
)  # fmt: skip
def interval_shortened(known: Known, w: int) -> Numbers:
    """Rows after which the billing interval was shorter than known before."""
    return _changes(known, known.once(steps).interval < 1, w)


@feature(
    "days_since_contract_event", "The contract last changed or renewed {value} [day/days] ago",
    zero="The contract changed or renewed within the last day",
    missing="No change of the contract on record", unit="whole_days", group="relationship",
)  # fmt: skip
def days_since_contract_event(known: Known) -> Numbers:
    """Days from the newest visible row of the log to the cutoff; NaN if there is none."""
    return known.days_since(known.log("subscriptions").max("last_us"))
