"""Invoices, failed payments and dunning: how customers are lost who never decided to leave.

An invoice falls due at the start of each term. The first attempt fails if the card on file has
expired, and now and then otherwise. Retries follow after 3, 7 and 14 days; after 21 days the
subscription is cancelled. After a *soft* decline (no funds) any retry may succeed; after a *hard*
one (an expired or lost card) the customer has to replace the payment method first. At most one
invoice is open at a time, since a term lasts at least 30 days. The truth uses the same chances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from data.contracts import PAYMENTS
from data.sources.simulated.careers import lose
from data.sources.simulated.draws import Topic, whole
from data.sources.simulated.logs import MISSING, pack
from data.sources.simulated.satisfaction import satisfaction
from data.sources.simulated.state import ACTIVE
from data.sources.simulated.traits import METHODS, MONTH, NEVER

if TYPE_CHECKING:
    from data.sources.simulated.draws import BoolArray, IntArray
    from data.sources.simulated.scene import Scene

RETRY_DAYS = (0, 3, 7, 14, 21)  # attempts 1 to 4, and the end of dunning, after the invoice
LAST_STAGE = 5  # of State.attempt: all attempts failed, cancelled on the last of RETRY_DAYS
SOFT_SHARE = 0.7  # share of soft declines of valid cards
SOFT_RETRY = 0.45  # chance that a retry succeeds after a soft decline
DECLINE_CODES = (
    "insufficient_funds", "do_not_honor", "processing_error", "lost_card", "stolen_card",
    "expired_card", "account_closed", "not_paid",
)  # fmt: skip
_KINDS = {kind: code for code, kind in enumerate(PAYMENTS.kinds)}
_CARD, _INVOICE = METHODS.index("card"), METHODS.index("invoice")
_REFUNDED = 0.08  # share of the customers who leave
_DISPUTED = 0.0008  # share of the card payments of a customer of average satisfaction


def invoice_columns(scene: Scene, rows: IntArray, kind: str) -> dict[str, Any]:
    """Return the columns of rows about the open invoices of the customers at ``rows``."""
    state, traits = scene.state, scene.traits
    due = state.due_day[rows]
    return {
        "kind": _KINDS[kind],
        "invoice_id": pack(traits.customers[rows], (due, 5)),
        "amount": state.amount[rows],
        "currency": 0,
        "due_at": scene.midnight(due),
        "method": traits.method[rows],
        "card_expires_on": scene.midnight(state.card_expires_day[rows]),
        "decline_code": -1,
    }


def drop_invoice(scene: Scene, rows: IntArray, when: IntArray) -> None:
    """Write off the open invoices of customers who leave."""
    still_open = scene.state.attempt[rows] > 0
    dropped = rows[still_open]
    columns = invoice_columns(scene, dropped, "written_off")
    scene.write("payments", dropped, 90, when[still_open], **columns)
    scene.state.attempt[dropped] = 0


def refund(scene: Scene, rows: IntArray, when: IntArray) -> None:
    """Refund part of the last payment to some of the customers who leave."""
    u = scene.uniform(Topic.REFUNDS, rows, 2)
    chosen = u[0] < _REFUNDED
    some = rows[chosen]
    columns = invoice_columns(scene, some, "refunded")
    columns["amount"] = np.floor(columns["amount"] * 0.5 * u[1][chosen]).astype(np.int64)
    scene.write("payments", some, 96, when[chosen] + scene.hours(1.0), **columns)


def charge_start(scene: Scene) -> None:
    """Charge subscriptions that started this week; the first payment always succeeds."""
    state = scene.state
    rows = scene.rows((state.status == ACTIVE) & (state.start_day >= scene.monday))
    state.due_day[rows] = day = state.start_day[rows]
    state.amount[rows] = state.invoice(rows)
    hour = scene.traits.signup_hour[rows] + 0.35
    scene.write(
        "payments", rows, 0, scene.instant(day, hour), **invoice_columns(scene, rows, "due")
    )
    columns = invoice_columns(scene, rows, "succeeded") | {"attempt": 1}
    scene.write("payments", rows, 1, scene.instant(day, hour + 0.01), **columns)


def bill(scene: Scene) -> None:
    """Renew terms, charge for them, retry failed payments, and cancel unpaid subscriptions."""
    _renew_cards(scene)
    state, settled, timetable = scene.state, scene.settled, scene.timetable
    here = (state.status[settled] == ACTIVE) & (state.return_kind[settled] == 0)
    for stage, days_later in enumerate(RETRY_DAYS, start=1):
        due, meets = timetable.due_in_week(scene.week, days_later)
        if stage == 1:
            chosen = meets & here
            _renew(scene, settled[chosen], due[chosen])
        else:
            chosen = meets & here & (state.attempt[settled] == stage)
        rows, day = settled[chosen], due[chosen] + days_later
        state.busy_day[rows] = np.maximum(state.busy_day[rows], day)
        if stage == LAST_STAGE:
            drop_invoice(scene, rows, scene.instant(day, 6.9))
            lose(scene, rows, day)
            _replace_method(scene, rows[state.return_kind[rows] > 0], stage)
        else:
            _attempt(scene, rows, day, stage)


def _renew_cards(scene: Scene) -> None:
    """Replace some of the cards that expire next week."""
    state, settled = scene.state, scene.settled
    rows = settled[state.card_expires_day[settled] // 7 == scene.week + 1]
    u = scene.uniform(Topic.BILLING, rows, 3)
    renewed = u[0] < scene.traits.renews_card[rows]
    rows, u = rows[renewed], u[:, renewed]
    state.card_expires_day[rows] += whole(u[1], 700, 1400)
    _write_new_method(scene, rows, scene.instant(scene.monday, 24.0 * 6.5 * u[2]), slot=91)


def _write_new_method(scene: Scene, rows: IntArray, when: IntArray, slot: int) -> None:
    columns = invoice_columns(scene, rows, "method_updated") | {
        "invoice_id": MISSING, "amount": MISSING, "due_at": MISSING, "currency": -1,
    }  # fmt: skip
    scene.write("payments", rows, slot, when, **columns)


def _renew(scene: Scene, rows: IntArray, day: IntArray) -> None:
    """Begin a term: renew or make the planned switch to monthly terms, and issue the invoice."""
    state = scene.state
    switches = state.switch_day[rows] == day
    turned = rows[switches]
    state.term_days[turned] = MONTH
    state.anchor_day[turned] = day[switches]
    when = scene.instant(day, 0.15)
    scene.write_subscription("interval_changed", turned, when[switches])
    scene.write_subscription("renewed", rows[~switches], when[~switches])
    state.due_day[rows] = day
    state.amount[rows] = state.invoice(rows)
    state.broken[rows] = False
    state.attempt[rows] = 1
    scene.write(
        "payments", rows, 10, scene.instant(day, 0.2), **invoice_columns(scene, rows, "due")
    )


def _attempt(scene: Scene, rows: IntArray, day: IntArray, number: int) -> None:
    """Make attempt ``number`` (1 to 4) to collect the open invoices."""
    state, traits = scene.state, scene.traits
    u = scene.draws.uniform(Topic.BILLING * 100 + number, scene.week, traits.customers[rows], 4)
    hour = 1.0 + 4.0 * u[3]
    dead = state.card_expires_day[rows] <= day
    if number == 1:
        fails = (u[0] < traits.first_fail[rows]) | dead
        state.broken[rows] = fails & (dead | (u[1] > SOFT_SHARE))
    else:
        broken = state.broken[rows]
        fails = u[0] >= np.where(broken, traits.careful[rows], SOFT_RETRY)
        _replace_method(scene, rows[broken & ~fails], number)
    columns = invoice_columns(scene, rows, "succeeded") | {"attempt": number}
    # Customers who pay by invoice pay some days later.
    patience = np.where(traits.method[rows] == _INVOICE, 24.0 * 8.0 * u[2], 0.0)
    paid, late = ~fails, scene.instant(day, hour + patience)
    scene.write("payments", rows[paid], 10 * number + 1, late[paid], **_chosen(columns, paid))
    _dispute(scene, rows, paid & (traits.method[rows] == _CARD), late, columns)
    again = min(number, len(RETRY_DAYS) - 2)
    next_day = state.due_day[rows] + RETRY_DAYS[again]
    columns |= {
        "kind": _KINDS["failed"],
        "decline_code": _decline_codes(scene, rows, dead, u[2]),
        "next_attempt_at": scene.midnight(next_day) if again == number else MISSING,
    }
    scene.write(
        "payments", rows[fails], 10 * number + 2, scene.instant(day, hour)[fails],
        **_chosen(columns, fails),
    )  # fmt: skip
    state.attempt[rows] = np.where(fails, number + 1, 0)


def _dispute(
    scene: Scene, rows: IntArray, paid: BoolArray, when: IntArray, columns: dict[str, Any]
) -> None:
    """Let unhappy customers dispute a payment with their bank, days after it."""
    u = scene.uniform(Topic.DISPUTES, rows, 2)
    mood = satisfaction(scene.state.hidden[rows])
    chosen = paid & (u[0] < _DISPUTED * np.exp(-mood))
    columns = _chosen(columns | {"kind": _KINDS["disputed"], "attempt": MISSING}, chosen)
    later = when[chosen] + scene.hours(24.0 * (2.0 + 18.0 * u[1][chosen]))
    scene.write("payments", rows[chosen], 97, later, **columns)


def _replace_method(scene: Scene, rows: IntArray, number: int) -> None:
    """Replace broken payment methods: before the retry that succeeds, or on return."""
    state = scene.state
    due = state.due_day[rows] + RETRY_DAYS[number - 1]
    day = np.where(state.return_kind[rows] > 0, state.return_day[rows], due)
    u = scene.draws.uniform(
        Topic.BILLING * 100 + 10 + number, scene.week, scene.traits.customers[rows], 1
    )
    carded = state.card_expires_day[rows] < NEVER
    state.broken[rows] = False
    state.card_expires_day[rows] = np.where(carded, day + whole(u[0], 700, 1400), NEVER)
    _write_new_method(scene, rows, scene.instant(day, 0.3 + 0.5 * u[0]), slot=91 + number)


def _decline_codes(scene: Scene, rows: IntArray, dead: BoolArray, uniform: np.ndarray) -> IntArray:
    method, broken = scene.traits.method[rows], scene.state.broken[rows]
    soft = np.searchsorted([0.5, 0.85], uniform)
    lost = np.where(method == 0, 3 + (uniform > 0.6), DECLINE_CODES.index("account_closed"))
    hard = np.where(dead, DECLINE_CODES.index("expired_card"), lost)
    code = np.where(broken, hard, soft)
    return np.where(method == _INVOICE, DECLINE_CODES.index("not_paid"), code)


def _chosen(columns: dict[str, Any], chosen: BoolArray) -> dict[str, Any]:
    return {
        name: value[chosen] if isinstance(value, np.ndarray) else value
        for name, value in columns.items()
    }
