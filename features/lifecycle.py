"""Lifecycle: tenure, terms of the contract, and how they changed."""

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
# Days per billing interval, by code; the last is for intervals outside the contract.
INTERVAL_DAYS = np.array([{"week": 7, "month": 30, "quarter": 91, "year": 365}[name]
                          for name in BILLING_INTERVALS] + [30])  # fmt: skip


def contracts(known: Known) -> Accounts:
    """Return the accounts at the cutoff, from the subscriptions as known then."""
    pairs = known.events_by_entity("subscriptions")
    state = Subscriptions(pairs.rows.columns, pairs.rows.as_of())
    return Accounts(state, pairs, known.cutoff_us[pairs.cell])


def mrr_before(known: Known, ago: int) -> Numbers:
    """MRR ``ago`` periods before the cutoff, as known now; NaN if no subscription was live then."""
    pairs = known.events_by_entity("subscriptions")
    then_us = known.cutoff_us - ago * known.clock.period_us
    state = Subscriptions(pairs.rows.columns, pairs.rows.as_of(ago))
    account = Accounts(state, pairs, then_us[pairs.cell])
    return np.where(account.live > 0, account.mrr, np.nan)


@dataclass(frozen=True)
class Steps:
    """Ratio of each row's values to those known before it, or NaN; arrays of shape (rows,)."""

    mrr: NDArray[np.float64]
    seats: NDArray[np.float64]
    interval: NDArray[np.float64]


def steps(known: Known) -> Steps:
    """Compare each row's MRR, seats and days of billing interval with those known before."""
    rows, state = known.events_by_entity("subscriptions").rows, known.cached(contracts).state
    code = state.given("interval")
    days = np.where(code == NOTHING, NOTHING, INTERVAL_DAYS[np.clip(code, 0, 4)])
    values = (state.given("mrr"), state.given("seats"), days)
    return Steps(*(_step(rows, column) for column in values))


def _step(rows: Rolled, values: Integers) -> Numbers:
    """Ratio to the group's last earlier value that was visible as early as the row; or NaN."""
    known_rows = np.flatnonzero(values != NOTHING)
    before = np.arange(known_rows.size) - 1
    visible = rows.visible[known_rows]
    unseen = np.flatnonzero(before >= 0)
    while unseen.size:  # skips rows that became visible later; they are rare, so this ends soon
        unseen = unseen[visible[before[unseen]] > visible[unseen]]
        before[unseen] -= 1
        unseen = unseen[before[unseen] >= 0]
    same = before >= 0
    same[same] = rows.group[known_rows[before[same]]] == rows.group[known_rows[same]]
    current, previous = known_rows[same], known_rows[before[same]]
    result = np.full(values.size, np.nan)
    result[current] = ratio(values[current], values[previous])
    return result


def rises(known: Known) -> Flags:
    """Mark price changes after which MRR was higher than known before; shape (rows,)."""
    priced = known.cached(contracts).state.is_kind("price_changed")
    return priced & (known.cached(steps).mrr > 1)


def _changes(known: Known, changed: Flags, window: int | None) -> Numbers:
    """Count the marked rows of the customer's subscriptions in the window."""
    pairs = known.events_by_entity("subscriptions")
    return pairs.total(pairs.rows.sum(changed.astype(np.int64), window))


# Tenure


@feature(
    "tenure_weeks", "A paying customer for {value} [week/weeks]",
    zero="A paying customer for less than a week", missing=NOT_STARTED, unit="weeks",
    group="relationship",
)  # fmt: skip
def tenure_weeks(known: Known) -> Numbers:
    """Weeks from the first visible activation to the cutoff; NaN if there is none."""
    events = known.events_by_customer("subscriptions")
    first = events.max(
        np.where(is_kind(events["kind"], *ACTIVATIONS), -events["event_us"], NOTHING)
    )
    return np.where(first == NOTHING, np.nan, (known.cutoff_us + first) / WEEK_US)


@feature(
    "weeks_since_sign_up", "Signed up {value} [week/weeks] ago",
    zero="Signed up less than a week ago", missing="Sign-up not on record", unit="weeks",
    group="relationship",
    sources=("customers",),
)  # fmt: skip
def weeks_since_sign_up(known: Known) -> Numbers:
    """Weeks from sign-up to the cutoff; NaN if unknown."""
    return known.days_since(known.signed_up_us) / 7


@feature(
    "onboarding_stage", "Stage {value} of the relationship, from 0 (new) to 4 (settled)",
    missing=NOT_STARTED, unit="score", group="relationship",
)  # fmt: skip
def onboarding_stage(known: Known) -> Numbers:
    """Number of the shortest, short, trend and long windows that the tenure exceeds."""
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
    return flag(known.periods("subscriptions").sum("trial_started") > 0)


@feature(
    "trial_days", "Had a trial of {value} [day/days]", zero="Had a trial of less than a day",
    missing="No trial on record", unit="whole_days", group="profile",
)  # fmt: skip
def trial_days(known: Known) -> Numbers:
    """Days from the start of the latest trial to its planned end; NaN without a trial."""
    events = known.events_by_customer("subscriptions")
    row = events.last(is_kind(events["kind"], "trial_started") & (events["trial_us"] != NOTHING))
    days = (events.at(row, "trial_us") - events.at(row, "event_us")) / MICROSECONDS_PER_DAY
    return np.where(row >= 0, days, np.nan)


# Terms of the contract


@feature(
    "mrr", "Pays {value} a month", zero="Pays nothing a month", unit="cents", empty=0.0,
    group="profile",
)  # fmt: skip
def mrr(known: Known) -> Numbers:
    """Monthly recurring revenue over live subscriptions, minor units."""
    return known.cached(contracts).mrr.astype(np.float64)


@feature(
    "subscriptions_live", "Has {value} [subscription/subscriptions] in force",
    zero="No subscription in force", unit="count", empty=0.0, group="profile",
)  # fmt: skip
def subscriptions_live(known: Known) -> Numbers:
    """Subscriptions that are live at the cutoff."""
    return known.cached(contracts).live.astype(np.float64)


def seats_now(known: Known) -> Numbers:
    """Seats over live subscriptions; NaN where unknown."""
    account = known.cached(contracts)
    seats = account.state.known("seats")
    counted = account.state.live & (seats != NOTHING)
    return np.where(account.parts.count(counted) > 0, account.parts.total(seats, counted), np.nan)


@feature(
    "seats", "Has {value} [seat/seats]", zero="Has no seats", missing=NO_SEATS, unit="count",
    group="profile",
)  # fmt: skip
def seats(known: Known) -> Numbers:
    """Seats over live subscriptions; NaN where unknown."""
    return known.cached(seats_now)


@feature(
    "mrr_per_seat", "Pays {value} a month for each seat", zero="Pays nothing a month",
    missing="No seats on record", unit="cents", group="profile",
)  # fmt: skip
def mrr_per_seat(known: Known) -> Numbers:
    """MRR over seats; NaN where seats are unknown or 0."""
    return ratio(mrr(known), known.cached(seats_now))


@feature(
    "uses_per_seat_<w>", "{value} [use/uses] for each seat in the last <span>",
    zero="No uses in the last <span>", missing="No seats on record", over="short long",
    unit="ratio", group="usage_decline", sources=("subscriptions", "usage"),
)  # fmt: skip
def uses_per_seat(known: Known, w: int) -> Numbers:
    """Uses over seats; NaN where seats are unknown or 0."""
    return ratio(known.periods("usage").sum("uses", w), known.cached(seats_now))


@feature(
    "billing_interval_days", "Billed every {value} days", missing="Billing interval not on record",
    unit="whole_days", group="profile",
)  # fmt: skip
def billing_interval_days(known: Known) -> Numbers:
    """Days of the main subscription's billing interval; NaN where unknown."""
    account = known.cached(contracts)
    code = account.of_main(account.state.known("interval"))
    return np.where(code == NOTHING, np.nan, INTERVAL_DAYS[np.clip(code, 0, 4)])


@feature(
    "paused_now", "Paused now", zero="Not paused now", unit="flag", empty=0.0, group="relationship"
)
def paused_now(known: Known) -> Numbers:
    """Whether all live subscriptions are paused."""
    return flag(known.cached(contracts).paused)


# Changes of the terms

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
        return known.periods("subscriptions").sum(kind).astype(np.float64)


@feature(
    "mrr_change_<w>", "Pays [as much as/{value} what] was paid before the last <span>",
    zero="Pays nothing now", missing="Paid nothing when the last <span> began", over="wide",
    unit="multiple", group="price",
)  # fmt: skip
def mrr_change(known: Known, w: int) -> Numbers:
    """MRR over that of ``w`` periods earlier, as known now; NaN if none was live then."""
    return ratio(mrr(known), mrr_before(known, w))


@feature(
    "mrr_vs_first", "Pays [as much as/{value} what] was paid at first", zero="Pays nothing now",
    missing="No first price on record", unit="multiple", group="price",
)  # fmt: skip
def mrr_against_first(known: Known) -> Numbers:
    """Main subscription's MRR over its first MRR above 0; NaN if there is none."""
    account, rows = known.cached(contracts), known.events_by_entity("subscriptions").rows
    # The first row in event order is the one with the largest negated row number.
    paid = account.state.given("mrr") > 0
    negated = rows.max(np.where(paid, -np.arange(rows.group.size), NOTHING))
    first = rows.at(np.where(negated == NOTHING, -1, -negated), "mrr", 0)
    now = np.maximum(account.of_main(account.state.mrr), 0)
    return np.where(account.main >= 0, ratio(now, np.maximum(account.of_main(first), 0)), np.nan)


@feature(
    "price_rises_<w>", "Price went up [once/{value} times] in the last <span>",
    zero="No rise in price in the last <span>", over="wide", unit="count",
    empty=0.0, group="price",
)  # fmt: skip
def price_rises(known: Known, w: int) -> Numbers:
    """Price changes after which MRR was higher than known before."""
    return _changes(known, known.cached(rises), w)


def last_price_rise(known: Known) -> Integers:
    """Row of the main subscription's last rise in price, -1 if there is none; shape (cells,)."""
    rise = known.events_by_entity("subscriptions").rows.last(known.cached(rises))
    return np.asarray(np.maximum(known.cached(contracts).of_main(rise), -1), dtype=np.int64)


@feature(
    "last_price_rise_size", "The last rise in price was by {value}",
    zero="No rise in price on record", unit="share", empty=0.0,
    group="price",
)  # fmt: skip
def last_price_rise_size(known: Known) -> Numbers:
    """Share by which the last rise in price raised MRR; 0 if there is none."""
    row, step = known.cached(last_price_rise), known.cached(steps).mrr
    if not step.size:
        return np.zeros(known.cells)
    return np.where(row >= 0, step[row] - 1, 0.0)


@feature(
    "days_since_price_rise", "The price last went up {value} [day/days] ago",
    zero="The price went up within the last day", missing="No rise in price on record",
    unit="whole_days", group="price",
)  # fmt: skip
def days_since_price_rise(known: Known) -> Numbers:
    """Days from the main subscription's last rise in price to the cutoff; NaN if there is none."""
    rows = known.events_by_entity("subscriptions").rows
    return known.days_since(rows.at(known.cached(last_price_rise), "event_us"))


@feature(
    "downgrades_<w>", "Moved to a cheaper plan [once/{value} times] in the last <span>",
    zero="No move to a cheaper plan in the last <span>", over="wide",
    unit="count", empty=0.0, group="plan",
)  # fmt: skip
def downgrades(known: Known, w: int) -> Numbers:
    """Plan changes after which MRR was lower than known before."""
    plan_changed = known.cached(contracts).state.is_kind("plan_changed")
    return _changes(known, plan_changed & (known.cached(steps).mrr < 1), w)


@feature(
    "upgrades_<w>", "Moved to a dearer plan [once/{value} times] in the last <span>",
    zero="No move to a dearer plan in the last <span>", over="wide",
    unit="count", empty=0.0, group="plan",
)  # fmt: skip
def upgrades(known: Known, w: int) -> Numbers:
    """Plan changes after which MRR was higher than known before."""
    plan_changed = known.cached(contracts).state.is_kind("plan_changed")
    return _changes(known, plan_changed & (known.cached(steps).mrr > 1), w)


@feature(
    "seat_cuts_<w>", "Reduced seats [once/{value} times] in the last <span>",
    zero="No seats given up in the last <span>", over="trend long",
    unit="count", empty=0.0, group="plan",
)  # fmt: skip
def seat_cuts(known: Known, w: int) -> Numbers:
    """Rows after which seats were fewer than known before."""
    return _changes(known, known.cached(steps).seats < 1, w)


@feature(
    "interval_shortened_<w>",
    "Moved to a shorter billing interval [once/{value} times] in the last <span>",
    zero="No move to a shorter billing interval in the last <span>",
    over="trend long", unit="count", empty=0.0, group="plan",
)  # fmt: skip
def interval_shortened(known: Known, w: int) -> Numbers:
    """Rows after which the billing interval was shorter than known before."""
    return _changes(known, known.cached(steps).interval < 1, w)


@feature(
    "days_since_contract_event", "The contract last changed or renewed {value} [day/days] ago",
    zero="The contract changed or renewed within the last day",
    missing="No change of the contract on record", unit="whole_days", group="relationship",
)  # fmt: skip
def days_since_contract_event(known: Known) -> Numbers:
    """Days from the newest visible row of the log to the cutoff; NaN if there is none."""
    return known.days_since(known.periods("subscriptions").max("last_us"))
