"""Payments: which failed and why, what is owed, and how invoices were paid before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.asof import NOTHING
from data.clock import MICROSECONDS_PER_DAY
from features.declare import Family
from features.derive import declare_sums, flag, ratio
from features.measures import KINDS

if TYPE_CHECKING:
    from data.asof import Flags, Integers
    from features.declare import Numbers
    from features.known import Entities, Known

FAMILY = Family("payments", log="payments")
failures = FAMILY.section("payment_failures")
money_back = FAMILY.section("refunds")
arrears = FAMILY.section("payment_arrears")
UP = (("involuntary", 1),)
KIND = {kind: code for code, kind in enumerate(KINDS["payments"])}


@dataclass(frozen=True)
class Invoices:
    """State of every invoice at every cutoff of its customer; arrays of shape (pairs,).

    Instants are in microseconds, amounts in minor units, ``NOTHING`` if there is none.
    """

    pairs: Entities
    cutoff_us: Integers
    due_us: Integers
    amount: Integers
    paid_us: Integers
    failures: Integers
    attempt: Integers
    next_attempt_us: Integers
    outstanding: Flags

    @property
    def past_due(self) -> Flags:
        """Outstanding, with a due date before the cutoff."""
        return self.outstanding & (self.due_us < self.cutoff_us)

    @property
    def in_dunning(self) -> Flags:
        """Outstanding after at least one failed attempt."""
        return self.outstanding & (self.failures > 0)

    def due_within(self, window_us: int) -> Flags:
        """Due in ``[cutoff - window_us, cutoff)``; what is due at the cutoff lies ahead."""
        return (self.due_us >= self.cutoff_us - window_us) & (self.due_us < self.cutoff_us)


def invoices(known: Known) -> Invoices:
    """Return the state of every invoice, from its rows visible at the cutoff, in event order."""
    pairs = known.events_by_entity("payments")
    rows = pairs.rows
    kind = rows["kind"]
    failed = kind == KIND["failed"]
    last_failure = rows.last(failed)
    paid_us = rows.at(rows.last(kind == KIND["succeeded"]), "event_us")
    written_off = rows.last(kind == KIND["written_off"]) >= 0
    due_us = rows.known("due_us")
    failures = rows.sum(failed.astype(np.int64))
    owed = (due_us != NOTHING) | (failures > 0)
    return Invoices(
        pairs=pairs,
        cutoff_us=known.cutoff_us[pairs.cell],
        due_us=due_us,
        amount=rows.known("amount"),
        paid_us=paid_us,
        failures=failures,
        attempt=rows.at(last_failure, "attempt"),
        next_attempt_us=rows.at(last_failure, "next_attempt_us"),
        outstanding=owed & (paid_us == NOTHING) & ~written_off,
    )


# Failures

declare_sums(
    FAMILY,
    "each",
    ("failed_payments", "failed", "{value} failed [attempt/attempts] to pay in the last <span>",
     "No failed attempt to pay in the last <span>", "payment_failures"),
    monotone=UP,
)  # fmt: skip
declare_sums(
    FAMILY,
    "short long",
    ("failed_payments_soft", "failed_soft",
     "{value} [attempt/attempts] to pay failed for a passing cause in the last <span>",
     "No attempt to pay failed for a passing cause in the last <span>", "payment_failures"),
    ("failed_payments_hard", "failed_hard",
     "{value} [attempt/attempts] to pay refused for good in the last <span>",
     "No attempt to pay refused for good in the last <span>", "payment_failures"),
    ("failed_payments_card", "failed_card",
     "{value} [attempt/attempts] to pay failed because of the card in the last <span>",
     "No attempt to pay failed because of the card in the last <span>", "payment_failures"),
    ("failed_payments_funds", "failed_funds",
     "{value} [attempt/attempts] to pay failed for lack of funds in the last <span>",
     "No attempt to pay failed for lack of funds in the last <span>", "payment_failures"),
    ("retries_failed", "retried",
     "{value} repeated [attempt/attempts] to pay failed in the last <span>",
     "No repeated attempt to pay failed in the last <span>", "payment_failures"),
    ("payments_made", "paid", "{value} [payment/payments] went through in the last <span>",
     "No payment went through in the last <span>", "payment_arrears"),
    ("invoices_due", "due", "{value} [invoice/invoices] issued in the last <span>",
     "No invoice issued in the last <span>", "profile"),
    ("refunds", "refunds", "{value} [refund/refunds] in the last <span>",
     "No refund in the last <span>", "refunds"),
    ("disputes", "disputes", "{value} disputed [payment/payments] in the last <span>",
     "No disputed payment in the last <span>", "refunds"),
    ("method_updates", "method_updates",
     "Payment method updated [once/{value} times] in the last <span>",
     "Payment method not updated in the last <span>", "payment_method"),
)  # fmt: skip
declare_sums(
    FAMILY,
    "long",
    ("written_off", "written_off", "{value} [invoice/invoices] written off in the last <span>",
     "No invoice written off in the last <span>", "payment_arrears"),
)  # fmt: skip
# Over the short window it shows whether they pay, over the long one how large they are.
for _over, _group in (("short", "payment_arrears"), ("long", "profile")):
    declare_sums(
        FAMILY,
        _over,
        ("paid_amount", "paid_amount", "{value} paid in the last <span>",
         "Nothing paid in the last <span>", _group),
        unit="cents",
    )  # fmt: skip


@failures(
    "days_since_failed_payment", "A payment last failed {value} [day/days] ago",
    zero="A payment failed within the last day", missing="No failed payment on record",
    unit="whole_days",
)  # fmt: skip
def days_since_failed_payment(known: Known) -> Numbers:
    """Days from the last failed attempt to the cutoff; NaN if there is none."""
    return known.days_since(known.periods("payments").max("last_failed_us"))


@failures(
    "failed_attempt_share_<w>", "[All/{value}] of the attempts to pay in the last <span> failed",
    zero="No attempt to pay in the last <span> failed",
    missing="No attempt to pay in the last <span>", over="trend long", unit="share",
    norm="failed_attempt_share_<long>",
)  # fmt: skip
def failed_attempt_share(known: Known, w: int) -> Numbers:
    """Failed attempts over all attempts; NaN without attempts."""
    periods = known.periods("payments")
    failed = periods.sum("failed", w)
    return ratio(failed, failed + periods.sum("paid", w))


@failures(
    "failed_invoice_share_<w>",
    "[All/{value}] of the invoices that fell due in the last <span> failed at least once",
    zero="No invoice that fell due in the last <span> failed",
    missing="No invoice fell due in the last <span>", over="long", unit="share",
)  # fmt: skip
def failed_invoice_share(known: Known, w: int) -> Numbers:
    """Share of the invoices due in the window with a failed attempt; NaN if none was due."""
    state = known.cached(invoices)
    due = state.due_within(w * known.clock.period_us)
    return ratio(state.pairs.count(due & (state.failures > 0)), state.pairs.count(due))


@money_back(
    "refund_share_<w>", "Refunds came to {value} of the money paid in the last <span>",
    zero="No money refunded in the last <span>", missing="Nothing paid in the last <span>",
    over="long", unit="share",
)  # fmt: skip
def refund_share(known: Known, w: int) -> Numbers:
    """Amount refunded over amount paid; NaN if nothing was paid."""
    periods = known.periods("payments")
    return ratio(periods.sum("refund_amount", w), periods.sum("paid_amount", w))


# Owed now


@failures(
    "in_dunning", "A failed payment is still owed", zero="No failed payment is owed", unit="flag",
    empty=0.0, monotone=UP,
)  # fmt: skip
def in_dunning(known: Known) -> Numbers:
    """Whether any invoice is outstanding after a failed attempt."""
    state = known.cached(invoices)
    return flag(state.pairs.count(state.in_dunning) > 0)


@failures(
    "dunning_attempt", "A payment that is still owed has failed at attempt {value}",
    zero="No failed payment is owed", unit="count", empty=0.0,
)  # fmt: skip
def dunning_attempt(known: Known) -> Numbers:
    """Largest attempt number (or count of failures) of an invoice in dunning; 0 if none is."""
    state = known.cached(invoices)
    attempts = np.maximum(state.attempt, state.failures)
    return np.maximum(state.pairs.largest(attempts, state.in_dunning), 0).astype(np.float64)


@failures(
    "days_to_next_attempt", "The next attempt to collect is in {value} [day/days]",
    zero="The next attempt to collect is today", missing="No attempt to collect lies ahead",
    unit="whole_days",
)  # fmt: skip
def days_to_next_attempt(known: Known) -> Numbers:
    """Days to the next planned attempt on an invoice in dunning; NaN if there is none."""
    state = known.cached(invoices)
    planned = state.in_dunning & (state.next_attempt_us >= state.cutoff_us)
    return known.days_until(state.pairs.smallest(state.next_attempt_us, planned))


@failures(
    "no_attempt_planned", "A failed payment is owed and no further attempt is planned",
    zero="No failed payment is owed without a further attempt planned", unit="flag", empty=0.0,
)  # fmt: skip
def no_attempt_planned(known: Known) -> Numbers:
    """Whether an invoice in dunning has no next attempt."""
    state = known.cached(invoices)
    return flag(state.pairs.count(state.in_dunning & (state.next_attempt_us == NOTHING)) > 0)


@failures(
    "days_in_dunning", "A failed payment has been due for {value} [day/days]",
    zero="No failed payment is past its due date", unit="days", empty=0.0,
)  # fmt: skip
def days_in_dunning(known: Known) -> Numbers:
    """Days since the earliest due date of an invoice in dunning; 0 if none or not yet due."""
    state = known.cached(invoices)
    dated = state.in_dunning & (state.due_us != NOTHING)
    days = known.days_since(state.pairs.smallest(state.due_us, dated))
    return np.maximum(np.nan_to_num(days), 0)


@arrears(
    "invoices_past_due", "{value} unpaid [invoice/invoices] past the due date",
    zero="No unpaid invoice past its due date", unit="count", empty=0.0, monotone=UP,
)  # fmt: skip
def invoices_past_due(known: Known) -> Numbers:
    """Number of outstanding invoices with a due date before the cutoff."""
    state = known.cached(invoices)
    return state.pairs.count(state.past_due & (state.due_us != NOTHING))


@arrears(
    "days_past_due", "The oldest unpaid invoice is {value} [day/days] past due",
    zero="No unpaid invoice past its due date", unit="days", empty=0.0, monotone=UP,
)  # fmt: skip
def days_past_due(known: Known) -> Numbers:
    """Days since the earliest due date of an invoice past due; 0 if there is none."""
    state = known.cached(invoices)
    dated = state.past_due & (state.due_us != NOTHING)
    return np.nan_to_num(known.days_since(state.pairs.smallest(state.due_us, dated)))


@arrears(
    "amount_past_due", "Owes {value} past the due date", zero="Owes nothing past the due date",
    unit="cents", empty=0.0,
)  # fmt: skip
def amount_past_due(known: Known) -> Numbers:
    """Sum of the amounts of invoices past due, in minor units."""
    state = known.cached(invoices)
    counted = state.past_due & (state.due_us != NOTHING) & (state.amount != NOTHING)
    return state.pairs.total(state.amount, counted)


@arrears(
    "days_to_next_due", "The next unpaid invoice falls due in {value} [day/days]",
    zero="An unpaid invoice falls due today", missing="No unpaid invoice is yet to fall due",
    unit="whole_days",
)  # fmt: skip
def days_to_next_due(known: Known) -> Numbers:
    """Days to the next due date of an outstanding invoice; NaN if there is none."""
    state = known.cached(invoices)
    ahead = state.outstanding & (state.due_us >= state.cutoff_us)
    return known.days_until(state.pairs.smallest(state.due_us, ahead))


# Paid before


@arrears(
    "paid_late_<w>",
    "{value} [invoice/invoices] due in the last <span> [was/were] paid a day late or more",
    zero="No invoice due in the last <span> was paid a day late or more", over="short long",
    unit="count", empty=0.0,
)  # fmt: skip
def paid_late(known: Known, w: int) -> Numbers:
    """Invoices due in the window and paid a day or more after the due date."""
    state = known.cached(invoices)
    late = (state.paid_us != NOTHING) & (state.paid_us - state.due_us >= MICROSECONDS_PER_DAY)
    return state.pairs.count(late & state.due_within(w * known.clock.period_us))


@arrears(
    "mean_days_late_<w>",
    "Paid {value} [day/days] after the due date on average in the last <span>",
    zero="Paid less than a day late in the last <span>",
    missing="No paid invoice fell due in the last <span>", over="trend long", unit="days",
    norm="mean_days_late_<long>", norm_clause=", usually {norm} [day/days]",
)  # fmt: skip
def mean_days_late(known: Known, w: int) -> Numbers:
    """Mean whole days from due date to payment, 0 if paid early; NaN if none due was paid."""
    state = known.cached(invoices)
    paid = (state.paid_us != NOTHING) & state.due_within(w * known.clock.period_us)
    days = np.maximum(state.paid_us - state.due_us, 0) // MICROSECONDS_PER_DAY
    return ratio(state.pairs.total(days, paid), state.pairs.count(paid))


@failures(
    "recovered_<w>", "{value} [invoice/invoices] paid in the last <span> that had failed before",
    zero="No invoice paid in the last <span> had failed before", over="long", unit="count",
    empty=0.0,
)  # fmt: skip
def recovered(known: Known, w: int) -> Numbers:
    """Invoices paid in the window after at least one failed attempt."""
    state = known.cached(invoices)
    recent = state.paid_us > state.cutoff_us - w * known.clock.period_us
    return state.pairs.count(recent & (state.failures > 0))


@failures(
    "recovered_ever", "Has paid {value} [invoice/invoices] in all that had failed before",
    zero="No invoice paid so far had failed before", unit="count", empty=0.0,
)  # fmt: skip
def recovered_ever(known: Known) -> Numbers:
    """Invoices paid after at least one failed attempt, over the whole visible history."""
    state = known.cached(invoices)
    return state.pairs.count((state.paid_us != NOTHING) & (state.failures > 0))
