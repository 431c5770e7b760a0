"""Features recomputed from the raw rows in plain Python, by the definitions and nothing else."""

from __future__ import annotations

import datetime as dt
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from data.contracts import BILLING_INTERVALS, TABLES
from data.engine import Engine
from worlds.handmade_features import features_of

WINDOWS = (1, 2, 4)
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)  # a Monday
WEEK, DAY, MICROSECOND = dt.timedelta(days=7), dt.timedelta(days=1), dt.timedelta(microseconds=1)
CUTOFFS = [START + k * WEEK for k in range(8)]
CUSTOMERS = ("a", "b")
# Of a subscription's events at the same instant, the one that names its final state comes last: a
# customer who signs up and cancels at once has left.
STATUS_ORDER = (
    "trial_started", "renewed", "price_changed", "paused", "activated", "cancel_scheduled",
    "cancelled", "reactivated", "cancel_revoked",
)  # fmt: skip
STARTS, STOPS = ("activated", "reactivated"), ("cancel_scheduled", "cancelled")


# Instants at edges (a cutoff, and a microsecond after it) and anywhere between.
instants = st.builds(
    lambda week, beyond: START + week * WEEK + beyond,
    st.integers(-2, 7),
    st.one_of(
        st.sampled_from([0 * DAY, MICROSECOND, -MICROSECOND]),
        st.timedeltas(0 * DAY, WEEK),
    ),
)
lateness = st.one_of(st.just(0 * DAY), st.timedeltas(0 * DAY, 3 * WEEK))


def rows_of(**columns: Any) -> Any:
    times = {"customer_id": st.sampled_from(CUSTOMERS), "event_at": instants, "late": lateness}
    return st.lists(st.fixed_dictionaries(times | columns), min_size=1, max_size=25)


counts, maybe = st.integers(0, 50), lambda values: st.one_of(st.none(), values)
worlds = st.fixed_dictionaries(
    {
        "usage": rows_of(
            feature=st.sampled_from(("login", "report", "x")), count=counts, duration_s=counts
        ),
        "tickets": rows_of(
            ticket_id=st.sampled_from(("t1", "t2", "t3")),
            kind=st.sampled_from(TABLES["tickets"].kinds),
            author=st.sampled_from(("agent", "customer")),
            score=st.integers(1, 5),
        ),
        "payments": rows_of(
            invoice_id=st.sampled_from(("i1", "i2", "i3")),
            kind=st.sampled_from(TABLES["payments"].kinds),
            amount=counts,
            due_at=maybe(instants),
            next_attempt_at=maybe(instants),
        ),
        "subscriptions": rows_of(
            subscription_id=st.sampled_from(("s1", "s2")),
            kind=st.sampled_from(STATUS_ORDER),
            mrr=maybe(st.integers(1, 50)),
            seats=maybe(counts),
            billing_interval=maybe(st.sampled_from(BILLING_INTERVALS)),
            renews_at=maybe(instants),
        ),
    }
)


def complete(world: dict) -> dict:
    """Give every row its id and the time at which it could be known."""
    return {
        log: [
            row | {"event_id": f"e{i}", "available_at": row["event_at"] + row["late"]}
            for i, row in enumerate(rows)
        ]
        for log, rows in world.items()
    }


def seen(rows: list, customer: str, cutoff: dt.datetime, weeks: int | None = None) -> list:
    """Rows visible at the cutoff and placed in the window, in the order of events."""
    counted = [
        row
        for row in rows
        if row["customer_id"] == customer
        and row["available_at"] <= cutoff
        and row["event_at"] <= cutoff
        and (weeks is None or row["event_at"] > cutoff - weeks * WEEK)
        and row.get("count") != 0  # a count of 0 is not use
    ]
    return sorted(counted, key=lambda row: (row["event_at"], row["event_id"]))


def days(delta: dt.timedelta) -> float:
    return delta / DAY


def day_of(instant: dt.datetime) -> int:
    """Day that an instant belongs to, closed at 00:00 as periods are."""
    return math.ceil((instant - START) / DAY)


def windowed(world: dict[str, Any], customer: str, cutoff: dt.datetime, w: int) -> dict:
    """Sum, count, max, distinct and days over one window."""
    usage = seen(world["usage"], customer, cutoff, w)
    tickets = seen(world["tickets"], customer, cutoff, w)
    payments = seen(world["payments"], customer, cutoff, w)
    ratings = [row["score"] for row in tickets if row["kind"] == "rated"]
    uses = [row["count"] for row in usage]
    by_feature = {}
    for row in usage:
        by_feature[row["feature"]] = by_feature.get(row["feature"], 0) + row["count"]
    return {
        f"uses_{w}w": sum(uses),
        f"minutes_{w}w": sum(row["duration_s"] for row in usage) / 60,
        f"active_days_{w}w": len({day_of(row["event_at"]) for row in usage}),
        f"features_used_{w}w": len({row["feature"] for row in usage}),
        f"core_features_used_{w}w": len({row["feature"] for row in usage} & {"login", "report"}),
        f"uses_of_login_{w}w": by_feature.get("login", 0),
        f"longest_session_{w}w": max((row["duration_s"] for row in usage), default=0) / 60,
        f"use_concentration_{w}w": sum(n * n for n in by_feature.values()) / sum(uses) ** 2
        if sum(uses)
        else math.nan,
        f"weekend_use_share_{w}w": sum(
            row["count"] for row in usage if row["event_at"].weekday() >= 5
        )
        / sum(uses)
        if sum(uses)
        else math.nan,
        f"tickets_opened_{w}w": sum(row["kind"] == "opened" for row in tickets),
        f"mean_rating_{w}w": sum(ratings) / len(ratings) if ratings else math.nan,
        f"failed_payments_{w}w": sum(row["kind"] == "failed" for row in payments),
        f"paid_amount_{w}w": sum(row["amount"] for row in payments if row["kind"] == "succeeded"),
    }


def last(rows: list, column: str) -> Any:
    """Last known value of a column, None if there is none."""
    values = [row[column] for row in rows if row[column] is not None]
    return values[-1] if values else None


def by(rows: list, name: str) -> dict:
    grouped = {}
    for row in rows:
        grouped.setdefault(row[name], []).append(row)
    return dict(sorted(grouped.items()))


def ordered(log: str, rows: list) -> list:
    """Sort rows of the same instant by the place of their kind in the contract."""
    kinds = TABLES[log].kinds
    return sorted(rows, key=lambda r: (r["event_at"], kinds.index(r["kind"]), r["event_id"]))


def support_state(world: dict[str, Any], customer: str, cutoff: dt.datetime) -> dict:
    rows = ordered("tickets", seen(world["tickets"], customer, cutoff))
    standing, waiting, oldest = 0, 0, 0.0
    for ticket in by(rows, "ticket_id").values():
        moves = [row["kind"] for row in ticket if row["kind"] in ("opened", "solved", "reopened")]
        if not moves or moves[-1] == "solved":
            continue
        standing += 1
        answered = any(row["kind"] == "replied" and row["author"] == "agent" for row in ticket)
        waiting += not answered
        opened = [row["event_at"] for row in ticket if row["kind"] == "opened"]
        if opened:
            oldest = max(oldest, days(cutoff - opened[-1]))
    ratings = [row["score"] for row in rows if row["kind"] == "rated"]
    return {
        "tickets_open_now": standing,
        "tickets_awaiting_first_reply": waiting,
        "oldest_open_ticket_days": oldest,
        "last_rating": ratings[-1] if ratings else math.nan,
    }


def payment_state(world: dict[str, Any], customer: str, cutoff: dt.datetime) -> dict:
    rows = ordered("payments", seen(world["payments"], customer, cutoff))
    past, days_past, amount, dunning = 0, 0.0, 0, False
    attempts, coming = [], []  # what lies ahead, that of the cutoff's own instant included
    for invoice in by(rows, "invoice_id").values():
        kinds = {row["kind"] for row in invoice}
        if kinds & {"succeeded", "written_off"}:
            continue
        due = last(invoice, "due_at")
        dunning |= "failed" in kinds
        failures = [row for row in invoice if row["kind"] == "failed"]
        planned = failures[-1]["next_attempt_at"] if failures else None
        attempts += [planned] if planned and planned >= cutoff else []
        owed = failures or due is not None
        coming += [due] if owed and due and due >= cutoff else []
        if due is not None and due < cutoff:
            past += 1
            days_past = max(days_past, days(cutoff - due))
            amount += last(invoice, "amount")
    return {
        "invoices_past_due": past,
        "days_past_due": days_past,
        "amount_past_due": amount,
        "in_dunning": dunning,
        "days_to_next_attempt": days(min(attempts) - cutoff) if attempts else math.nan,
        "days_to_next_due": days(min(coming) - cutoff) if coming else math.nan,
    }


def contract_state(world: dict[str, Any], customer: str, cutoff: dt.datetime) -> dict:
    def live_at(instant: dt.datetime) -> Any:
        rows = seen(world["subscriptions"], customer, cutoff)
        rows = [row for row in rows if row["event_at"] <= instant]
        rows.sort(key=lambda r: (r["event_at"], STATUS_ORDER.index(r["kind"]), r["event_id"]))
        live = {}
        for name, contract in by(rows, "subscription_id").items():
            started = standing = False
            for kind in (row["kind"] for row in contract):
                started |= kind in STARTS
                if kind in STOPS:
                    standing = False
                elif kind in (*STARTS, "cancel_revoked"):
                    standing = started  # a revocation makes live only what was activated
            if standing:  # values of a stop describe the ended subscription
                live[name] = [row for row in contract if row["kind"] not in STOPS]
        return live

    now = live_at(cutoff)
    mrr = sum(last(contract, "mrr") or 0 for contract in now.values())
    before = live_at(cutoff - 2 * WEEK)
    old = sum(last(contract, "mrr") or 0 for contract in before.values())
    renewals = [r for c in now.values() if (r := last(c, "renews_at")) and r >= cutoff]
    activations = [
        row["event_at"]
        for row in seen(world["subscriptions"], customer, cutoff)
        if row["kind"] in STARTS
    ]
    return {
        "mrr": mrr,
        "subscriptions_live": len(now),
        "mrr_change_2w": mrr / old if old else math.nan,
        "days_to_renewal": days(min(renewals) - cutoff) if renewals else math.nan,
        "tenure_weeks": (cutoff - min(activations)) / WEEK if activations else math.nan,
    }


def assert_counted_by_hand(engine: Engine, raw: dict[str, Any]) -> Any:
    """Check that features of random rows are those that the definitions give."""
    world = complete(raw)
    with tempfile.TemporaryDirectory() as folder:
        computed = features_of(world, CUTOFFS, Path(folder), engine)
    for (customer, cutoff), row in computed.items():
        expected = {}
        for w in WINDOWS:
            expected |= windowed(world, customer, cutoff, w)
        usage = seen(world["usage"], customer, cutoff)
        expected["features_used_ever"] = len({r["feature"] for r in usage})
        expected["days_since_last_use"] = (
            days(cutoff - usage[-1]["event_at"]) if usage else math.nan
        )
        expected |= support_state(world, customer, cutoff)
        expected |= payment_state(world, customer, cutoff)
        expected |= contract_state(world, customer, cutoff)
        compared = sorted(expected.keys() & row.keys())
        assert len(compared) > 45
        for name in compared:
            assert row[name] == pytest.approx(np.float32(expected[name]), rel=1e-6, nan_ok=True), (
                f"{name} of {customer} at {cutoff}"
            )
