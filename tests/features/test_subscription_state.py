"""What a subscription is: snapshots, features and overview agree, and agree with plain Python.

The logs are a thousand small worlds side by side, which share no row: at random, over every kind
and column of the contract, and in sequences as billing systems write them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.atomic import write_table
from data.clock import EPOCH, MICROSECONDS_PER_DAY, Clock
from data.contracts import BILLING_INTERVALS
from data.outcomes import OutcomeSettings
from data.population import PopulationSettings, observe_population
from data.subscriptions import read_subscriptions
from features.build import build_features
from features.feature_settings import FeatureSettings
from retention.overview import revenue_steps
from worlds.handmade import at, contract_table
from worlds.random_logs import START_US, random_logs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

    from data.engine import Engine

CLOCK = Clock()
WORLDS = 1000
AS_OF = CLOCK.cutoff_on(at(35).date())
POPULATION = PopulationSettings(
    rule="contract",
    silent_periods=4,
    as_of=AS_OF,
    history_periods=4,
    thin_every=3,
    salt="test",
    outcome=OutcomeSettings((2, 4), 7, 7),
)
STARTS = ("activated", "reactivated")
STOPS = ("cancel_scheduled", "cancelled", "ended")
# Of events at the same instant the last one names the state that is left.
ORDER = (
    "trial_started", "renewed", "plan_changed", "interval_changed", "price_changed", "paused",
    "resumed", "activated", "cancel_scheduled", "cancelled", "ended", "reactivated",
    "cancel_revoked",
)  # fmt: skip
DAYS = {"week": 7, "month": 30, "quarter": 91, "year": 365}


@dataclass
class Subscription:
    """One subscription by the definitions, from its visible rows in the order of events."""

    rows: list[dict[str, Any]]
    cutoff_us: int

    def last(self, column: str) -> Any:
        """Return the last value given; values of a stop describe the ended subscription."""
        given = [
            row[column] for row in self.rows if row[column] is not None and row["kind"] not in STOPS
        ]
        return given[-1] if given else None

    @property
    def live(self) -> bool:
        started, live = False, False
        for row in self.rows:
            started |= row["kind"] in STARTS
            if row["kind"] in STARTS or row["kind"] == "cancel_revoked":
                live = started
            elif row["kind"] in STOPS:
                live = False
        return live

    @property
    def paused(self) -> bool:
        kinds = [row["kind"] for row in self.rows if row["kind"] in ("paused", "resumed", *STARTS)]
        return bool(kinds) and kinds[-1] == "paused"

    @property
    def renews_us(self) -> int | None:
        """Return the end of the term; none if it is over; one that ends today lies ahead."""
        renews = self.last("renews_at")
        return renews if renews is not None and renews >= self.cutoff_us else None


def account(rows: list[dict[str, Any]], cutoff_us: int) -> dict[str, Any] | None:
    """Describe a customer at a cutoff from all rows, sorted; None if nothing is live."""
    visible = [row for row in rows if row["available_at"] <= cutoff_us]
    every = [
        Subscription(list(group), cutoff_us)
        for _, group in groupby(visible, key=lambda row: row["subscription_id"])
    ]
    live = [subscription for subscription in every if subscription.live]
    if not live:
        return None
    main = max(live, key=lambda subscription: subscription.last("mrr") or 0)
    renewals = [item.renews_us for item in live if item.renews_us is not None]
    return {
        "live": len(live),
        "mrr": sum(subscription.last("mrr") or 0 for subscription in live),
        "plan": main.last("plan"),
        "billing_interval": main.last("billing_interval"),
        "paused": all(subscription.paused for subscription in live),
        "renews_us": min(renewals, default=None),
    }


def accounts(log: pa.Table) -> dict[tuple[str, int], dict[str, Any]]:
    """Describe every customer with something live at every cutoff, microseconds."""
    instants = ("event_at", "available_at", "renews_at")
    for name in instants:
        place = log.column_names.index(name)
        log = log.set_column(place, name, log[name].cast(pa.int64()))
    rows = sorted(
        log.to_pylist(),
        key=lambda row: (
            row["customer_id"], row["subscription_id"], row["event_at"], ORDER.index(row["kind"]),
            row["event_id"],
        ),
    )  # fmt: skip
    by_cell = {}
    for customer, group in groupby(rows, key=lambda row: row["customer_id"]):
        own_rows = list(group)
        for cutoff in range(CLOCK.period_of(START_US), AS_OF + 1):
            cutoff_us = CLOCK.cutoff_us(cutoff)
            described = account(own_rows, cutoff_us)
            if described:
                by_cell[customer, cutoff_us] = described
    return by_cell


# The logs


def random_subscriptions() -> pa.Table:
    """All kinds and columns at random, three customers per world, within the contract."""
    log = random_logs(5, customers=3 * WORLDS, rows={"subscriptions": 36 * WORLDS})["subscriptions"]
    kind = np.array(log["kind"].to_pylist())
    invalid = (kind == "activated") & np.array(log["mrr"].is_null())
    invalid |= (kind == "cancelled") & np.array(log["cause"].is_null())
    return log.filter(pa.array(~invalid))


def billed_subscriptions() -> pa.Table:
    """Sequences as billing systems export them, one customer per world."""
    random = np.random.default_rng(7)
    rows = [row for number in range(WORLDS) for row in billed(f"B{number:04d}", random)]
    return contract_table("subscriptions", rows)


def billed(customer: str, random: Generator) -> list[dict[str, Any]]:
    """One to three subscriptions of a customer, an add-on trial perhaps among them.

    Half of the customers come from a source that gives only dates.
    """
    rows: list[dict[str, Any]] = []
    dates_only = random.random() < 0.5
    for number in range(random.integers(1, 4)):
        hours = 0 if dates_only else int(random.integers(0, 24))
        moment = at(days=int(random.integers(0, 120)), hours=hours)
        for kind, values in walk(random, moment, addon=number > 0):
            event_at = values.pop("at")
            late = int(random.integers(1, 6)) if random.random() < 0.1 else 0
            known = event_at + days(late + dates_only)
            rows.append(
                {
                    "customer_id": customer, "subscription_id": f"{customer}-{number}",
                    "kind": kind, "cause": "voluntary", "event_at": event_at, "available_at": known,
                }
                | values
            )  # fmt: skip
    return rows


def walk(
    random: Generator, moment: dt.datetime, *, addon: bool
) -> list[tuple[str, dict[str, Any]]]:
    """Simulate one subscription: kind and values of each event."""
    price = int(random.choice([0, 1500, 4900]))
    events: list[tuple[str, dict[str, Any]]] = []
    if addon and random.random() < 0.5:
        events.append(("trial_started", {"at": moment, "mrr": price}))
        if random.random() < 0.7:  # cancelled in the trial, taken back, and perhaps never activated
            events.append(("cancel_scheduled", {"at": moment, "mrr": 0}))
            moment += days(random.integers(0, 4))
            events.append(("cancel_revoked", {"at": moment}))
        if random.random() < 0.5:
            return events
    events.append(("activated", {"at": moment} | terms("activated", moment, price, random)))
    live = True
    for _ in range(random.integers(0, 9)):
        if random.random() < 0.8:  # else at the same instant as the one before
            moment += days(random.integers(1, 30))
        kind = str(random.choice(NEXT[live]))
        events.append((kind, {"at": moment} | terms(kind, moment, price, random)))
        live = kind not in STOPS and (live or kind in ("reactivated", "cancel_revoked"))
    return events


# What may follow while live, and after a stop.
NEXT = {
    True: (
        "renewed", "price_changed", "plan_changed", "interval_changed", "paused", "resumed",
        "cancel_scheduled", "cancelled", "ended",
    ),
    False: ("cancelled", "cancel_revoked", "cancel_revoked", "reactivated"),
}  # fmt: skip


def terms(kind: str, moment: dt.datetime, price: int, random: Generator) -> dict[str, Any]:
    """Values of an event; those of a cancellation hold after it, so nothing is paid."""
    renews_at = moment + days(random.choice([7, 28, 91]))
    plan = str(random.choice(["basic", "pro", "max"]))
    billing_interval = str(random.choice(BILLING_INTERVALS))
    values: dict[str, dict[str, Any]] = {
        "activated": {"plan": plan, "billing_interval": billing_interval, "renews_at": renews_at},
        "renewed": {"renews_at": renews_at},
        "price_changed": {"mrr": int(random.choice([1500, 4900, 9900]))},
        "plan_changed": {"plan": plan, "mrr": price},
        "interval_changed": {"billing_interval": billing_interval},
        "cancel_scheduled": {"plan": "none", "renews_at": moment},
        "reactivated": {"renews_at": renews_at},
    }
    paid = {"mrr": 0 if kind in STOPS else price}
    given = kind in ("activated", *STOPS) or (kind == "reactivated" and random.random() < 0.5)
    return (paid if given else {}) | values.get(kind, {})


def days(number: Any) -> dt.timedelta:
    """Turn a number of days into a difference."""
    return at(days=float(number)) - at()


# Results of the stages


@dataclass(frozen=True)
class Stages:
    """Snapshots and features row by row, and the MRR of the overview, of one log."""

    snapshots: list[dict[str, Any]]
    features: list[dict[str, Any]]
    revenue: dict[tuple[str, int], int]


def stages(log: pa.Table, folder: Path, engine: Engine, payments: pa.Table | None = None) -> Stages:
    """Run the code of the stages; the overview as of the newest cutoff and of some before it."""
    names = sorted(set(log["customer_id"].to_pylist()))
    people = [{"customer_id": name, "signed_up_at": at()} for name in names]
    paths = {"customers": folder / "customers.parquet", "subscriptions": folder / "log.parquet"}
    write_table(contract_table("customers", people), paths["customers"])
    keys = ("customer_id", "event_at", "available_at", "event_id")
    write_table(log.sort_by([(key, "ascending") for key in keys]), paths["subscriptions"])
    if payments is not None:
        paths["payments"] = folder / "payments.parquet"
        write_table(payments, paths["payments"])
    tables = {name: engine.read(path) for name, path in paths.items()}
    snapshots = observe_population(tables, CLOCK, POPULATION, engine).snapshots
    write_table(snapshots, folder / "snapshots.parquet")
    build_features(
        paths, folder / "snapshots.parquet", folder / "features", folder / "periods", engine,
        CLOCK, FeatureSettings((1, 2, 4)),
    )  # fmt: skip
    revenue: dict[tuple[str, int], int] = {}
    for cutoff in (AS_OF, AS_OF - 7, AS_OF - 16):
        until_us = CLOCK.cutoff_us(cutoff)
        everybody = np.array(names, dtype=object)
        events = read_subscriptions(tables["subscriptions"], everybody, until_us, engine)
        mrr = revenue_steps(events).of(np.arange(len(names)), until_us)
        revenue |= {(name, until_us): int(paid) for name, paid in zip(names, mrr, strict=True)}
    place = snapshots.column_names.index("cutoff")
    snapshots = snapshots.set_column(place, "cutoff_us", snapshots["cutoff"].cast(pa.int64()))
    features = pq.read_table(folder / "features" / "features.parquet")
    return Stages(snapshots.to_pylist(), features.to_pylist(), revenue)


def assert_agreed(log: pa.Table, folder: Path, engine: Engine) -> None:
    """Compare the stages with the definitions, and so with each other, in every customer."""
    expected, staged = accounts(log), stages(log, folder, engine)
    newest = {customer for customer, cutoff_us in expected if cutoff_us == CLOCK.cutoff_us(AS_OF)}
    assert {row["customer_id"] for row in staged.snapshots if row["newest"]} == newest
    wrong: dict[str, list[Any]] = {}
    for snapshot, features in zip(staged.snapshots, staged.features, strict=True):
        key = snapshot["customer_id"], snapshot["cutoff_us"]
        assert features["customer_id"] == key[0]
        for name, both in compared(expected[key], snapshot, features, key[1]).items():
            if both[0] != both[1]:
                wrong.setdefault(name, []).append((key, both))
    # Of a customer without anything live the overview keeps the last MRR: no spell counts it.
    for key, mrr in staged.revenue.items():
        if key in expected and expected[key]["mrr"] != mrr:
            wrong.setdefault("overview", []).append((key, (expected[key]["mrr"], mrr)))
    assert not wrong, {name: (len(cases), cases[0]) for name, cases in wrong.items()}


def compared(
    expected: dict[str, Any], snapshot: dict[str, Any], features: dict[str, Any], cutoff_us: int
) -> dict[str, tuple[Any, Any]]:
    """Pairs of expected and actual values."""
    renews_us, interval = expected["renews_us"], expected["billing_interval"]
    renews_at = snapshot["renews_at"]
    ahead = None
    if renews_us is not None:
        ahead = float(np.float32((renews_us - cutoff_us) / MICROSECONDS_PER_DAY))
    shown = None if renews_at is None else (renews_at - EPOCH) // dt.timedelta(microseconds=1)
    return {
        f"snapshot {name}": (expected[name], snapshot[name])
        for name in ("mrr", "plan", "billing_interval", "paused")
    } | {
        "snapshot renews_at": (renews_us, shown),
        "feature mrr": (expected["mrr"], features["mrr"]),
        "feature subscriptions_live": (expected["live"], features["subscriptions_live"]),
        "feature paused_now": (expected["paused"], features["paused_now"]),
        "feature billing_interval_days": (
            DAYS.get(interval), number(features["billing_interval_days"]),
        ),
        "feature days_to_renewal": (ahead, number(features["days_to_renewal"])),
    }  # fmt: skip


def number(value: float) -> float | None:
    """Return None for "no such number"."""
    return None if np.isnan(value) else value


@pytest.mark.parametrize("log", [random_subscriptions, billed_subscriptions])
def test_snapshots_features_and_overview_agree_in_every_customer(
    log: Any, tmp_path: Path, engine: Engine
) -> None:
    assert_agreed(log(), tmp_path, engine)


# By hand


def event(kind: str, day: float, subscription: str = "s", **values: Any) -> dict[str, Any]:
    row = {"customer_id": "a", "subscription_id": subscription, "kind": kind, "cause": "voluntary"}
    return row | {"event_at": at(days=day)} | values


# Others, so that somebody has left and the logs reach to the newest cutoff.
COMPANY = [
    event("activated", 0, "b-s", customer_id="b", mrr=100),
    event("cancelled", 60, "b-s", customer_id="b"),
    event("trial_started", 245, "c-s", customer_id="c"),
]
ACTIVATED = event("activated", 0, mrr=4900, plan="pro", billing_interval="month")
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "a cancellation that says nothing is paid after it, taken back": (
        [ACTIVATED, event("cancel_scheduled", 30, mrr=0, plan="none"), event("cancel_revoked", 33)],
        {"live": 1, "mrr": 4900, "plan": "pro"},
    ),
    "an add-on's trial cancelled and taken back, never activated": (
        [
            ACTIVATED, event("trial_started", 20, "add-on", mrr=1500),
            event("cancel_scheduled", 22, "add-on"), event("cancel_revoked", 23, "add-on"),
        ],
        {"live": 1, "mrr": 4900, "plan": "pro"},
    ),
    "a renewal date that has passed": (
        [ACTIVATED | {"renews_at": at(days=28)}],
        {"live": 1, "mrr": 4900, "renews_us": None},
    ),
    "of two that pay the same, the first by its id": (
        [
            ACTIVATED | {"renews_at": at(days=400)},
            event("activated", 0, "r", mrr=4900, plan="basic", renews_at=at(days=300)),
        ],
        {"live": 2, "mrr": 9800, "plan": "basic", "renews_us": 300},
    ),
    "paused when all that are live are": (
        [
            ACTIVATED, event("paused", 9), event("activated", 2, "r", mrr=900),
            event("cancelled", 40, "r", mrr=900),
        ],
        {"live": 1, "mrr": 4900, "paused": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_subscription_by_hand(case: str, tmp_path: Path, engine: Engine) -> None:
    rows, expected = CASES[case]
    log = contract_table("subscriptions", [*rows, *COMPANY])
    described = accounts(log)["a", CLOCK.cutoff_us(AS_OF)]
    if expected.get("renews_us"):
        days_us = int(expected["renews_us"]) * MICROSECONDS_PER_DAY
        expected = expected | {"renews_us": START_US + days_us}
    assert {name: described[name] for name in expected} == expected
    assert_agreed(log, tmp_path, engine)


def test_a_source_of_dates_shows_what_is_planned_for_the_day_of_the_list_as_todays(
    tmp_path: Path, engine: Engine
) -> None:
    """Events at 00:00, known the next day; the list's day is a Monday, the cutoff 00:00 of it."""
    today, yesterday = at(35), at(34, days=6)

    def known_next_day(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"available_at": row["event_at"] + days(1)}

    subscriptions = [
        ACTIVATED | {"renews_at": today, "discount_ends_at": today},
        event("activated", 0, "gone", mrr=100, renews_at=yesterday),
        *COMPANY,
    ]
    rows = {"customer_id": "a", "invoice_id": "i", "amount": 4900}
    payments = [
        rows | {"kind": "due", "event_at": at(33), "due_at": at(33)},
        rows | {"kind": "failed", "event_at": at(33), "next_attempt_at": today},
        rows | {"kind": "due", "event_at": at(34), "due_at": today, "invoice_id": "next"},
        rows | {"kind": "method_updated", "event_at": at(1), "method": "card", "invoice_id": None,
                "amount": None, "card_expires_on": today},
    ]  # fmt: skip
    staged = stages(
        contract_table("subscriptions", [known_next_day(row) for row in subscriptions]),
        tmp_path,
        engine,
        contract_table("payments", [known_next_day(row) for row in payments]),
    )
    place = [row["customer_id"] == "a" and row["newest"] for row in staged.snapshots].index(True)
    assert staged.snapshots[place]["renews_at"] == today
    row = staged.features[place]
    todays = {
        "days_to_renewal": 0, "renews_within_4w": 1, "days_to_next_attempt": 0,
        "no_attempt_planned": 0, "days_to_next_due": 0, "invoices_past_due": 1,
        "failed_invoice_share_2w": 1, "days_to_discount_end": 0, "discounted_now": 1,
        "discount_ended_2w": 0, "discount_ends_within_2w": 1, "days_to_card_expiry": 0,
        "card_expired": 0, "card_expires_within_4w": 1, "card_expires_before_renewal": 1,
    }  # fmt: skip
    assert {name: row[name] for name in todays if name in row} == {
        name: value for name, value in todays.items() if name in row
    }
    assert len(todays.keys() & row.keys()) > 10
