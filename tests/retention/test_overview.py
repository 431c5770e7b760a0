"""The overview of churn, counted again in plain Python."""

from __future__ import annotations

import datetime as dt
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.atomic import write_table
from data.contracts import INSTANT
from data.invoices import failed_invoices
from data.open_engine import open_engine
from data.subscriptions import read_subscriptions
from reading.document import Document
from retention import overview_page
from retention.kaplan_meier import kaplan_meier, restricted_mean
from retention.language import ENGLISH, LANGUAGES
from retention.overview import (
    Group,
    Overview,
    Records,
    Revenue,
    churn_by_month,
    month_starts,
    overview,
    revenue_steps,
)
from retention.recovery import recovery_by_month
from worlds.overview_world import AS_OF, business


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def us(text: str) -> int:
    return int(at(text).timestamp()) * 1_000_000


def instants(*texts: str | None) -> pd.Series:
    return pd.Series(pd.to_datetime(pd.Series(texts), utc=True)).dt.as_unit("us")


def stored(frame: pd.DataFrame, folder: Path) -> Path:
    zoned = frame.select_dtypes("datetimetz").columns
    table = pa.Table.from_pandas(frame.astype(dict.fromkeys(zoned, pd.ArrowDtype(INSTANT))))
    write_table(table, folder / "log.parquet")
    return folder / "log.parquet"


# Kaplan-Meier, by hand: six customers, leaving after 1, 3, 3 and 5, last seen at 2 and 6.
DURATION = np.array([1.0, 2.0, 3.0, 3.0, 5.0, 6.0])
EVENT = np.array([True, False, True, True, True, False])


def test_kaplan_meier_by_hand() -> None:
    curve = kaplan_meier(DURATION, EVENT)
    assert curve.times.tolist() == [1, 2, 3, 5, 6]
    assert curve.at_risk.tolist() == [6, 5, 4, 2, 1]
    steps = [5 / 6, 5 / 6, 5 / 6 * 2 / 4, 5 / 6 * 2 / 4 * 1 / 2, 5 / 6 * 2 / 4 * 1 / 2]
    np.testing.assert_allclose(curve.survival, steps)
    assert curve.at(0.5) == 1.0
    assert curve.at(1.0) == pytest.approx(5 / 6)
    assert curve.at(4.9) == pytest.approx(5 / 12)
    assert [curve.at_risk_at(time) for time in (0, 1, 1.5, 6, 7)] == [6, 6, 5, 1, 0]
    # 1 to t = 1, then 5/6 to 3, 5/12 to 5, 5/24 to 6.
    area = 1 + 2 * 5 / 6 + 2 * 5 / 12 + 5 / 24
    assert restricted_mean(DURATION, EVENT, 6.0) == pytest.approx(area)


def test_kaplan_meier_equals_lifelines() -> None:
    lifelines = pytest.importorskip("lifelines", reason="lifelines is not installed")
    generator = np.random.default_rng(1)
    duration = generator.exponential(10, 400).round(1)
    event = generator.random(400) < 0.6
    fitted = lifelines.KaplanMeierFitter().fit(duration, event)
    curve = kaplan_meier(duration, event)
    expected = fitted.survival_function_at_times(curve.times).to_numpy()
    np.testing.assert_allclose(curve.survival, expected, atol=1e-12)
    mean = lifelines.utils.restricted_mean_survival_time(fitted, t=12.0)
    assert restricted_mean(duration, event, 12.0) == pytest.approx(mean)


def test_only_complete_months_are_reported() -> None:
    starts = month_starts(at("2024-01-15"), at("2024-04-08"), 24)
    assert [start.date().isoformat() for start in starts] == [
        "2024-02-01", "2024-03-01", "2024-04-01",
    ]  # fmt: skip
    assert month_starts(at("2020-01-01"), at("2024-01-01"), 2)[0] == at("2023-11-01")
    assert len(month_starts(at("2024-04-02"), at("2024-04-08"), 24)) < 2


SPELLS = pd.DataFrame(
    {
        "customer": [0, 1, 2, 3, 4, 5],
        "started_at": instants(*["2024-01-10"] * 4, "2024-02-05", "2024-01-20"),
        # 0 decides in February, 1 is lost in it, 2 stays, 3's contract runs out, 4 comes and
        # leaves within it, 5 leaves at the very end of February.
        "stopped_at": instants(
            "2024-02-10", "2024-02-20", "2024-04-08", "2024-02-15", "2024-02-25", "2024-03-01"
        ),
        "cause": ["voluntary", "involuntary", "", "ended", "voluntary", "voluntary"],
    }
)
REVENUE = Revenue(
    np.array([0, 0, 1, 2, 3, 5]),
    np.array([us(d) for d in ("2024-01-10", "2024-02-03", *["2024-01-10"] * 3, "2024-01-20")]),
    np.array([1000, 9999, 2000, 4000, 8000, 500]),
)


def test_churn_of_a_month_by_hand() -> None:
    starts = [at("2024-02-01"), at("2024-03-01"), at("2024-04-01")]
    months = churn_by_month(SPELLS, REVENUE, starts)
    february, march = months.to_dict("records")
    assert february == {
        "month": dt.date(2024, 2, 1), "customers": 5, "voluntary": 2, "involuntary": 1, "ended": 1,
        # What they paid on the 1st: customer 0 still 1000.
        "mrr": 1000 + 2000 + 4000 + 8000 + 500, "voluntary_mrr": 1500, "involuntary_mrr": 2000,
    }  # fmt: skip
    assert (march["customers"], march["voluntary"], march["mrr"]) == (1, 0, 4000)
    assert churn_by_month(SPELLS, None, starts)["mrr"].tolist() == [0, 0]
    assert len(churn_by_month(SPELLS, REVENUE, starts[:1])) == 0


def test_mrr_steps_add_up_subscriptions_and_outlast_a_gap(tmp_path: Path) -> None:
    rows = [
        ("a", "a1", "trial_started", "2024-01-01", 500),
        ("a", "a1", "activated", "2024-01-05", 1000),
        ("a", "a2", "activated", "2024-01-10", 200),
        ("a", "a1", "price_changed", "2024-02-01", 1100),
        ("a", "a2", "cancelled", "2024-02-10", 200),
        ("a", "a1", "cancel_scheduled", "2024-03-01", None),
        ("a", "a1", "cancel_revoked", "2024-03-05", None),
        ("b", "b1", "activated", "2024-01-07", 300),
        ("b", "b1", "cancelled", "2024-01-20", 0),
        ("b", "b1", "reactivated", "2024-02-20", 250),
    ]
    frame = pd.DataFrame(rows, columns=["customer_id", "subscription_id", "kind", "day", "mrr"])
    when = instants(*frame["day"])
    log = frame.assign(
        event_id=[f"e{i}" for i in range(len(frame))], event_at=when, available_at=when,
        mrr=frame["mrr"].astype("Int64"), cause=None, plan=None, billing_interval=None,
        renews_at=instants(*[None] * len(frame)),
    ).drop(columns="day")  # fmt: skip
    for column in ("cause", "plan", "billing_interval"):
        log[column] = log[column].astype("str").where(log[column].notna())
    with open_engine() as engine:
        table = engine.read(stored(log, tmp_path))
        names = np.array(["a", "b"], dtype=object)
        revenue = revenue_steps(read_subscriptions(table, names, us("2025-01-01"), engine))
    both = np.array([0, 1])
    for day, expected in (
        ("2024-01-04", [0, 0]), ("2024-01-05", [1000, 0]), ("2024-01-31", [1200, 300]),
        ("2024-02-11", [1100, 300]), ("2024-03-02", [1100, 250]), ("2024-03-06", [1100, 250]),
    ):  # fmt: skip
        assert revenue.of(both, us(day)).tolist() == expected, day


def test_recovery_follows_every_invoice_equally_long() -> None:
    failed = pd.DataFrame(
        {
            "failed_at": instants(
                "2024-01-05", "2024-01-06", "2024-01-07", "2024-02-20", "2024-03-20"
            ),
            # In time, too late, never, on the last day; the last one has not settled yet.
            "paid_at": instants("2024-01-15", "2024-02-15", None, "2024-03-19", "2024-03-21"),
            "amount": [100, 200, 400, 800, 1600],
        }
    )
    starts = [at(f"2024-0{month}-01") for month in (1, 2, 3, 4)]
    recovery = dict(recovery_by_month(failed, at("2024-04-08"), starts))
    january, february = recovery[dt.date(2024, 1, 1)], recovery[dt.date(2024, 2, 1)]
    assert (january.failed, january.recovered, january.rate) == (3, 1, pytest.approx(1 / 3))
    assert (january.amount, january.recovered_amount) == (700, 100)
    assert (february.failed, february.recovered) == (1, 1)
    assert dt.date(2024, 3, 1) not in recovery


def test_failed_invoices_are_paid_by_a_later_success_only(tmp_path: Path) -> None:
    rows = [
        ("i1", "due", "2024-01-01", 100), ("i1", "failed", "2024-01-02", None),
        ("i1", "failed", "2024-01-05", None), ("i1", "succeeded", "2024-01-09", 100),
        ("i2", "succeeded", "2024-01-03", 50), ("i3", "failed", "2024-01-04", 70),
        ("i4", "failed", "2024-02-01", 10), ("i4", "succeeded", "2024-03-01", 10),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["invoice_id", "kind", "day", "amount"])
    when = instants(*frame["day"])
    log = frame.assign(event_at=when, available_at=when, amount=frame["amount"].astype("Int64"))
    with open_engine() as engine:
        table = engine.read(stored(log, tmp_path))
        invoices = failed_invoices(table, us("2024-02-15"), engine)
    assert invoices["failed_at"].tolist() == [at("2024-01-02"), at("2024-01-04"), at("2024-02-01")]
    assert invoices["paid_at"].isna().tolist() == [False, True, True]
    assert invoices["paid_at"][0] == at("2024-01-09")
    assert invoices["amount"].tolist() == [100, 70, 10]
    assert invoices["invoice_id"].tolist() == ["i1", "i3", "i4"]


def test_a_group_divides_by_customer_months_and_values_a_lifetime() -> None:
    group = Group("team", 50, 100_000, 600, (12, 6), 20.0, 0.8)
    assert group.monthly_churn == (0.02, 0.01)
    assert group.arpu == 2000.0
    assert group.lifetime_value == pytest.approx(2000 * 0.8 * 20)
    assert math.isnan(Group("new", 0, 0, 0, (0, 0), math.nan, 0.8).monthly_churn[0])


def test_groups_add_up_to_all_customers() -> None:
    overview = business()
    for groups in (overview.segments, overview.plans):
        assert sum(group.customers for group in groups) == overview.everybody.customers > 100
        assert sum(group.mrr or 0 for group in groups) == overview.everybody.mrr
        assert sum(group.at_risk for group in groups) == overview.everybody.at_risk
        for c in (0, 1):
            assert sum(group.churned[c] for group in groups) == overview.everybody.churned[c] > 0
    assert overview.recent["voluntary"].sum() == overview.everybody.churned[0]
    assert sum(cohort.customers for cohort in overview.cohorts) == 800


def small() -> Overview:
    """Return the overview of one customer who signed up a week ago."""
    lifetimes = pd.DataFrame(
        {
            "customer_id": ["c1"], "plan": pd.Series([None], dtype="str"),
            "started_at": instants("2024-12-23"), "stopped_at": instants(None),
            "cause": pd.Series([None], dtype="str"),
        }
    )  # fmt: skip
    customers = pd.DataFrame({"customer_id": ["c1"], "segment": pd.Series([None], dtype="str")})
    return overview(Records(lifetimes, customers), AS_OF, margin=0.8, currency="EUR")


def test_the_overview_prints_rates_with_their_denominators() -> None:
    overview = business()
    text = Document(overview_page.page(overview)).text
    recovery, recent = overview.recent_recovery, overview.recent
    assert f"{recovery.recovered} of {recovery.failed} within 28 days" in text
    lost = recent["voluntary"].sum() + recent["involuntary"].sum()
    assert f"{recent['involuntary'].sum()} of {lost} lost customers" in text
    assert ENGLISH.percent(lost / recent["customers"].sum()) in text
    assert ENGLISH.money(overview.everybody.lifetime_value, "EUR") in text
    for group in (*overview.segments, *overview.plans):
        assert group.name in text


def test_a_business_without_payments_subscriptions_or_a_past_has_a_sensible_overview() -> None:
    for language in LANGUAGES:
        text = Document(overview_page.page(small(), [language])).text
        assert language.gettext("No complete month yet: come back when one has passed.") in text
        assert not re.search(r"\b(nan|NaT|None)\b", text)
