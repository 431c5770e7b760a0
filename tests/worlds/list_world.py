"""A weekly list of a made-up business, whose reasons are exact by construction."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from data.clock import Clock
from features.declare import Feature
from retention.change import Past
from retention.detail import CustomerDetail, Ticket, Week
from retention.effect import Effect
from retention.kaplan_meier import MonthsKept
from retention.list_page import PageExtras
from retention.playbook import load_playbook
from retention.ranking import ListSettings
from retention.realised import RealisedQueue
from retention.weekly_list import Policy, Provenance, Scored, WeeklyList, weekly_list

CLOCK = Clock()
CUTOFF = dt.datetime(2024, 12, 30, tzinfo=dt.UTC)
SETTINGS = ListSettings(
    success_capacity=20,
    billing_capacity=10,
    voluntary_save_rate=0.15,
    involuntary_save_rate=0.4,
    margin=0.8,
    contact_cost=2500,
    months_kept=12,
    reasons=3,
    holdout_share=0.2,
    salt="test",
    currency="EUR",
)
NAN = float("nan")


def feature(name: str, group: str, sentence: str, unit: Any = "count", **terms: Any) -> Feature:
    given = {"family": "engagement", "sources": ("usage",)} | terms
    return Feature(name=name, group=group, sentence=sentence, unit=unit, **given)


CATALOG = (
    feature("active_days_4w", "usage_decline",
            "{value} active [day/days] in the last 4 weeks", "days",
            norm="active_days_usual_4w"),
    feature("active_days_usual_4w", "usage_habit", "Usually {value} active days in 4 weeks",
            "days"),
    feature("days_since_last_use", "usage_absence", "Last used the product {value} [day/days] ago",
            "days"),
    feature("features_used_4w", "usage_breadth", "{value} features used in the last 4 weeks"),
    feature("tickets_waiting", "support_waiting", "{value} tickets wait for a first reply",
            family="support"),
    feature("failed_payments_13w", "payment_failures", "{value} failed attempts in 13 weeks",
            family="payments"),
    feature("card_expires_before_renewal", "payment_method",
            "The card expires before the next renewal", "flag", family="payments",
            zero="No card that expires before the next renewal"),
    feature("mrr_change_26w", "price", "The price changed by {value} in the last 26 weeks", "cents",
            family="lifecycle"),
    feature("days_to_renewal", "renewal", "The contract renews in {value} days", "days",
            family="lifecycle"),
)  # fmt: skip


def snapshots(customers: int, generator: np.random.Generator) -> pd.DataFrame:
    first, last = ("Anna", "Bram", "Chiara", "Dag"), ("de Vries", "Lindqvist", "Rossi", "Smith")
    owners = [f"{a} {b}" for a, b in zip(first, last, strict=True)] + [None]
    renews = pd.Series(CUTOFF + pd.to_timedelta(generator.integers(1, 365, customers), unit="D"))
    return pd.DataFrame(
        {
            "customer_id": [f"customer-{i:05d}" for i in range(customers)],
            "cutoff": pd.Series([CUTOFF] * customers, dtype="datetime64[us, UTC]"),
            "cutoff_number": CLOCK.cutoff_on(CUTOFF.date()),
            "mrr": generator.integers(20, 2000, customers) * 100,
            "paused": generator.random(customers) < 0.03,
            "plan": generator.choice(["starter", "team", "business"], customers),
            "billing_interval": generator.choice(["month", "year"], customers),
            "renews_at": renews.where(generator.random(customers) < 0.9).dt.as_unit("us"),
            "activated_at": pd.Series(
                CUTOFF - pd.to_timedelta(generator.integers(10, 900, customers), unit="D")
            ).dt.as_unit("us"),
            "segment": generator.choice(["small business", "enterprise"], customers),
            "country": generator.choice(["NL", "SE", "IT"], customers),
            "channel": generator.choice(["ads", "partner"], customers),
            "owner": pd.Series(generator.choice(owners, customers), dtype="str"),
        }
    )


def world(customers: int = 600, seed: int = 1) -> Scored:
    """An additive model of two causes in log-odds: its contributions are exact by construction."""
    generator = np.random.default_rng(seed)
    n, f = customers, len(CATALOG)
    X = np.column_stack(
        [
            generator.poisson(5, n), generator.poisson(9, n), generator.exponential(9, n).round(),
            generator.poisson(3, n), generator.poisson(0.3, n), generator.poisson(0.3, n),
            generator.random(n) < 0.1, generator.normal(0, 2000, n), generator.integers(0, 365, n),
        ]
    ).astype(np.float32)  # fmt: skip
    X[generator.random(n) < 0.2, 2] = np.nan
    weights = np.array(
        [[-0.35, 0.02, 0.06, -0.2, 0.9, 0.1, 0.1, 3e-4, -0.002], [0, 0, 0, 0, 0, 1.6, 1.9, 0, 0]]
    )
    center = np.array([5, 9, 9, 3, 0.3, 0.3, 0.1, 0, 180])
    parts = np.nan_to_num(X.astype(float) - center)[:, None, :] * weights[None]
    parts += generator.normal(0, 0.2, (n, 2, f))
    base = np.array([-3.5, -4.6])
    first = 1 / (1 + np.exp(-(base + parts.sum(axis=2))))
    first /= max(1.0, float(first.sum(axis=1).max()) / 0.99)
    logit = np.log(first / (1 - first))
    parts[:, :, 1] += logit - base - parts.sum(axis=2)
    risks = np.stack([1 - (1 - first / 2) ** k for k in (2, 4, 6.5)], axis=2)
    risks[:, :, 0] = first
    risks[:, :, 1:] = np.maximum(risks[:, :, 1:], first[:, :, None])
    causes = {"voluntary": 0, "involuntary": 1}

    def explain(rows: np.ndarray, cause: str) -> tuple[np.ndarray, np.ndarray]:
        c = causes[cause]
        return np.full(len(rows), base[c]), parts[rows, c]

    return Scored(
        snapshots(n, generator), risks, ("4w", "8w", "13w"), risks.mean(axis=0), X, CATALOG, explain
    )


PROVENANCE = Provenance(
    source="simulated",
    model_version="2f6a90c1",
    freshness={
        "usage": dt.datetime(2024, 12, 29, 23, 59, tzinfo=dt.UTC),
        "tickets": dt.datetime(2024, 12, 18, 9, 5, tzinfo=dt.UTC),
    },
    notes=("Few payment failures so far: billing risks are pooled with those of both causes.",),
)
KEPT = MonthsKept({"starter": 8.0, "team": 10.5, "business": 20.0}, 9.0)


def make(scored: Scored, settings: ListSettings = SETTINGS, **more: Any) -> WeeklyList:
    policy = Policy(settings, load_playbook(), KEPT)
    return weekly_list(scored, policy, PROVENANCE, **more)


def nobody(scored: Scored) -> WeeklyList:
    return make(scored, dataclasses.replace(SETTINGS, contact_cost=10**12))


def earlier(week: WeeklyList, seed: int = 5) -> Past:
    """Two lists before a week's own: most of its customers, in other places and at other risks."""
    generator = np.random.default_rng(seed)
    columns = ["customer_id", "queue", "position", "status", "owner", "segment", "mrr"]
    stayed = week.record[columns].iloc[::-1].iloc[: int(0.8 * len(week.record))]
    others = week.scores[week.scores["status"] == "beyond_capacity"].head(5)
    others = others.assign(status="listed", owner="Anna Smith", segment="enterprise")
    left = others.head(1).assign(customer_id="customer-gone")
    record = pd.concat([stayed, others[columns], left[columns]], ignore_index=True)
    record["position"] = pd.Series(np.arange(1, len(record) + 1), dtype="Int64")
    risks = [name for name in week.scores.columns if name.startswith("risk_")]
    scores = week.scores.copy()
    factor = generator.uniform(0.6, 1.3, (len(scores), 1))
    scores[risks] = np.minimum(scores[risks] * factor, 0.99)
    cutoffs = (CUTOFF - dt.timedelta(weeks=2), CUTOFF - dt.timedelta(weeks=1))
    return Past(cutoffs, (record.head(15), record), scores)


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "\u202egnp.exe",
    "=cmd|' /C calc'!A0",
    "a, b\nc;=1+1",
    "x" * 10_000,
    "{{ 7 * 7 }}{% raw %}",
    "\x00\x1b[31m&lt;b&gt;",
    "</title></style><h1>",
]


def detail(number: int, text: str = "The export failed again.") -> CustomerDetail:
    generator = np.random.default_rng(number)
    last = CUTOFF.date()
    weeks = tuple(
        Week(
            ends_on=last - dt.timedelta(weeks=25 - k),
            active_days=min(7, int(generator.poisson(5 - k / 6))),
            uses=int(generator.poisson(20)),
            due=4900 if k % 4 == 0 else 0,
            paid=4900 if k % 4 == 0 and k < 20 else 0,
            failed=1 if k in (20, 21, 24) else 0,
        )
        for k in range(26)
    )
    risks = tuple((last - dt.timedelta(weeks=2 - k), 0.1 + 0.05 * k) for k in range(3))
    ticket = Ticket(last - dt.timedelta(days=3), "technical", "high", "open", None, text)
    rated = Ticket(last - dt.timedelta(days=30), None, None, "solved", 2, None)
    return CustomerDetail(risks, weeks, (ticket, rated) if number % 2 else ())


def later(
    scored: Scored, text: str = "The export failed again.", settings: ListSettings = SETTINGS
) -> tuple[WeeklyList, PageExtras]:
    """A week with a past, details and results of earlier lists."""
    week = make(scored, settings, past=earlier(make(scored, settings)))
    realised = tuple(
        RealisedQueue(CUTOFF - dt.timedelta(weeks=5), *terms)
        for terms in (
            ("success", 20, 19, 2.4, 2, 120000, 90000, 0.34, 3, 0.4, 1),
            ("billing", 0, 0, 0.0, 0, 0, 0, float("nan"), 0, 0.0, 0),
        )
    )
    effects = (Effect("success", "4w", 140, 15, 0.081, 0.133, -0.052, -0.21, 0.08, 6),)
    details = {name: detail(n, text) for n, name in enumerate(week.listed["customer_id"])}
    return week, PageExtras(details, realised, effects, decided=12)
