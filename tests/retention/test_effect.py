"""Results of lists, and the effect of contacting, against a truth that is known."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from data.clock import Clock
from data.lifetimes import decided_customers
from data.open_engine import open_engine
from data.outcomes import OutcomeSettings
from data.population import (
    PopulationSettings,
    lifetimes_ignoring_contacts,
    read_history,
)
from data.sources.simulated.world import simulate
from data.sources.simulated.world_settings import WorldSettings
from data.subscriptions import read_subscriptions
from retention.effect import Effect, effects, first_listings, newcombe
from retention.ranking import LISTED, WITHHELD, is_withheld
from retention.realised import outcome_after, realised
from worlds.handmade import at, write_logs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from data.engine import Engine

CLOCK = Clock()
MONDAY = pd.Timestamp("2024-01-01", tz="UTC")
WEEK = dt.timedelta(weeks=1)
POPULATION = PopulationSettings(
    rule="contract",
    silent_periods=4,
    as_of=None,
    history_periods=26,
    thin_every=4,
    salt="test",
    outcome=OutcomeSettings((4,), 14, 7),
)


def lifetimes(*rows: tuple[str, float, float | None, str | None]) -> pd.DataFrame:
    """Customer, start and stop in weeks from MONDAY, cause."""
    frame = pd.DataFrame(rows, columns=["customer_id", "start", "stop", "cause"])
    return pd.DataFrame(
        {
            "customer_id": frame["customer_id"],
            "started_at": MONDAY + pd.to_timedelta(frame["start"] * 7, unit="D"),
            "stopped_at": MONDAY + pd.to_timedelta(frame["stop"].astype(float) * 7, unit="D"),
            "cause": frame["cause"].astype("str"),
        }
    )


LIVES = lifetimes(
    ("stays", -9, None, None),
    ("decides", -9, 2, "voluntary"),
    ("on the last instant", -9, 4, "involuntary"),
    ("later", -9, 4.1, "voluntary"),
    ("runs out", -9, 3, "ended"),
    ("had gone", -9, 0, "voluntary"),
    ("comes later", 1, 2, "voluntary"),
    ("twice", -9, -5, "voluntary"),
    ("twice", -2, 1, "involuntary"),
)


def test_outcomes_are_read_within_the_horizon_only() -> None:
    names = pd.Series([*LIVES["customer_id"].unique(), "nobody"], dtype="str")
    when = pd.Series([MONDAY] * len(names))
    outcome = outcome_after(names, when, LIVES, 4 * WEEK)
    outcomes = {n: None if pd.isna(o) else o for n, o in zip(names, outcome, strict=True)}
    assert outcomes == {
        "stays": "stayed", "decides": "voluntary", "on the last instant": "involuntary",
        "later": "stayed", "runs out": None, "had gone": None, "comes later": None,
        "twice": "involuntary", "nobody": None,
    }  # fmt: skip


def test_a_list_is_compared_with_what_happened_by_hand() -> None:
    names = ["stays", "decides", "later", "runs out", "on the last instant", "twice"]
    scores = pd.DataFrame(
        {
            "customer_id": names,
            "cutoff": MONDAY,
            "mrr": [100, 200, 300, 400, 500, 1000],
            "risk_voluntary_4w": [0.1, 0.5, 0.2, 0.3, 0.1, 0.0],
            "risk_involuntary_4w": [0.0, 0.0, 0.0, 0.0, 0.4, 0.2],
            "queue": "success",
            "status": "",
        }
    )
    record = pd.DataFrame(
        {
            "customer_id": names[:5],
            "queue": ["success"] * 4 + ["billing"],
            "status": [LISTED, LISTED, WITHHELD, LISTED, LISTED],
        }
    )
    success, billing = realised(record, scores, LIVES, "4w", 4 * WEEK)
    assert (success.listed, success.known, success.churned) == (3, 2, 1)
    assert success.promised == pytest.approx(0.6)
    assert success.precision == 0.5
    assert success.promised_precision == pytest.approx(0.3)
    assert (success.promised_mrr, success.lost_mrr, success.caught_mrr_share) == (110, 200, 1.0)
    assert (success.withheld, success.withheld_promised, success.withheld_churned) == (1, 0.2, 0)
    assert (billing.churned, billing.lost_mrr) == (1, 500)
    assert billing.caught_mrr_share == pytest.approx(500 / 1500)


def test_only_the_first_listing_of_an_epoch_counts() -> None:
    start = CLOCK.cutoff_at(CLOCK.cutoff_on(MONDAY.date()) // 26 * 26)
    records = [
        pd.DataFrame(
            {
                "customer_id": ["a", "b"], "cutoff": pd.Timestamp(start) + weeks * WEEK,
                "queue": ["success", "billing"], "status": [LISTED, WITHHELD],
            }
        )
        for weeks in (3, 1, 26)
    ]  # fmt: skip
    first = first_listings(records, CLOCK, 26)
    weeks = ((first["cutoff"] - start) / WEEK).tolist()
    assert list(zip(first["customer_id"], weeks, first["treated"], strict=True)) == [
        ("a", 1, True), ("b", 1, False), ("a", 26, True), ("b", 26, False),
    ]  # fmt: skip


def test_the_interval_is_that_of_newcombe() -> None:
    # Newcombe (1998), table II, method 10.
    for (a, m, b, n), low, high in (
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
    ):
        difference, *ends = newcombe(a, m, b, n)
        assert difference == pytest.approx(a / m - b / n)
        assert ends == pytest.approx([low, high], abs=6e-5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw logs and truth of a world in which many leave."""
    folder = tmp_path_factory.mktemp("world")
    settings = WorldSettings(
        seed=5, customers=6000, weeks=90, start=dt.date(2022, 1, 3), voluntary_per_month=0.06
    )
    simulate(settings, CLOCK, folder / "raw", folder / "truth")
    return folder


def truth_of(world: Path) -> pd.DataFrame:
    return pd.read_parquet(world / "truth/truth.parquet")


def test_contacting_the_list_of_a_world_is_measured_as_its_true_effect(world: Path) -> None:
    """Weekly lists of the riskiest; the contacted follow the true risk after a contact."""
    truth = truth_of(world)
    weeks = sorted(truth["cutoff"].unique())[30:82:2]
    truth = truth[truth["cutoff"].isin(weeks)]
    top = truth.sort_values("risk_voluntary_4w", ascending=False).groupby("cutoff").head(150)
    epoch = (top["cutoff"].astype("datetime64[us, UTC]").astype("int64")).map(
        lambda instant: CLOCK.period_of(instant) // 26
    )
    withheld = [
        is_withheld(customer, number, "test", 0.2)
        for customer, number in zip(top["customer_id"], epoch, strict=True)
    ]
    record = top.assign(queue="success", status=np.where(withheld, WITHHELD, LISTED))
    # A year of lists: each customer's first listing of an epoch.
    first = first_listings([record], CLOCK, 26)
    units = first.merge(top, on=["customer_id", "cutoff"])
    # One life per unit, so that the draws of one customer's epochs do not meet.
    names = pd.Series([f"u{i}" for i in range(len(units))], dtype="str")
    listings = first.assign(customer_id=names)
    expected = units["effect_4w"].mean()
    assert expected < -0.01  # contacting saves in this world
    generator = np.random.default_rng(8)
    chance = units["risk_voluntary_4w"] + np.where(units["treated"], units["effect_4w"], 0.0)
    measured: list[Effect] = []
    for _ in range(200):
        leaves = generator.random(len(units)) < chance
        lives = pd.DataFrame(
            {
                "customer_id": names,
                "started_at": units["cutoff"] - WEEK,
                "stopped_at": (units["cutoff"] + 2 * WEEK).where(leaves),
                "cause": pd.Series(np.where(leaves, "voluntary", None), dtype="str"),
            }
        )
        measured += effects(listings, lives, "4w", 4 * WEEK)
    assert len(measured) == 200
    differences = np.array([effect.difference for effect in measured])
    assert abs(differences.mean() - expected) < 4 * differences.std() / np.sqrt(200) + 0.003
    covered = np.mean([effect.low <= expected <= effect.high for effect in measured])
    assert 0.90 <= covered <= 0.99


def lives_of(
    logs: Mapping[str, Any], settings: PopulationSettings, engine: Engine, end: int
) -> pd.DataFrame:
    """Lifetimes of all customers of some logs."""
    names = engine.to_arrow(logs["customers"])["customer_id"].to_pandas().sort_values()
    customers = names.to_numpy(dtype=object)
    history = read_history(logs, customers, CLOCK, settings, engine, end)
    return lifetimes_ignoring_contacts(history, customers, CLOCK, settings, end).to_pandas()


def test_the_worlds_own_programme_is_measured_as_its_true_effect(world: Path) -> None:
    """Its contacts are in the logs, and so is what followed them."""
    tables = ("customers", "subscriptions")
    with open_engine() as engine:
        logs = {name: engine.read(world / f"raw/{name}.parquet") for name in tables}
        end = CLOCK.cutoff_on(dt.date(2022, 1, 3)) + 90
        lives = lives_of(logs, POPULATION, engine, end)
    programme = pd.read_parquet(world / "raw/interventions.parquet")
    assigned = programme[programme["kind"] == "assigned"].rename(columns={"list_cutoff": "cutoff"})
    last = pd.Timestamp(CLOCK.cutoff_at(end)) - 8 * WEEK
    assigned = assigned[assigned["cutoff"] <= last].drop_duplicates(["customer_id", "cutoff"])
    treated = assigned["arm"] == "treated"
    record = assigned.assign(queue="success", status=np.where(treated, LISTED, WITHHELD))
    # A contact works from the next cutoff on.
    measured = effects(first_listings([record], CLOCK, 26), lives, "5w", 5 * WEEK)
    assert [effect.queue for effect in measured] == ["success"]
    control = assigned[~treated].assign(cutoff=lambda rows: rows["cutoff"] + WEEK)
    effect = control.merge(truth_of(world), on=["customer_id", "cutoff"])["effect_4w"]
    expected = 0.9 * effect.mean()  # nine in ten are reached
    assert measured[0].low <= expected <= measured[0].high
    assert measured[0].listed + measured[0].withheld > 500


def visible_logs(folder: Path, engine: Engine, **logs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: engine.read(path) for name, path in write_logs(folder, logs).items()}


def event(kind: str, weeks: float, customer: str, subscription: str = "s", **more: Any) -> Any:
    row = {"kind": kind, "event_at": at(weeks), "customer_id": customer}
    return row | {"subscription_id": f"{customer}-{subscription}"} | more


CUSTOMERS = [
    {"customer_id": name, "signed_up_at": at(0)} for name in ("back", "gone", "late", "two")
]
SUBSCRIPTIONS = [
    event("activated", 1, "back"), event("cancel_scheduled", 10, "back"),
    event("cancel_revoked", 11, "back"),
    event("activated", 1, "gone"), event("cancel_scheduled", 10, "gone"),
    event("activated", 1, "late"), event("cancel_scheduled", 19.9, "late", available_at=at(20.1)),
    event("activated", 1, "two"), event("activated", 2, "two", "t"),
    event("cancelled", 10, "two", cause="voluntary"),
]  # fmt: skip


def test_a_return_undoes_a_churn_for_the_contacted_as_well(tmp_path: Path) -> None:
    end = CLOCK.cutoff_on(at(20).date())
    with open_engine() as engine:
        called = [{"customer_id": "back", "kind": "contacted", "event_at": at(10.5)}]
        logs = visible_logs(
            tmp_path, engine, customers=CUSTOMERS, subscriptions=SUBSCRIPTIONS, interventions=called
        )
        lives = lives_of(logs, POPULATION, engine, end)
    stopped = lives.set_index("customer_id")["stopped_at"]
    assert stopped.isna().to_dict() == {"back": True, "gone": False, "late": True, "two": True}
    assert stopped["gone"] == at(10)


def test_lifetimes_without_contracts_end_with_silence(tmp_path: Path) -> None:
    end = CLOCK.cutoff_on(at(20).date())
    use = [
        {"customer_id": name, "feature": "login", "count": 1, "event_at": at(week + 0.5)}
        for name, weeks in (("back", range(20)), ("gone", range(5)))
        for week in weeks
    ]
    settings = dataclasses.replace(POPULATION, rule="inactivity")
    with open_engine() as engine:
        logs = visible_logs(tmp_path, engine, customers=CUSTOMERS, usage=use)
        lives = lives_of(logs, settings, engine, end)
    stopped = lives.set_index("customer_id")["stopped_at"]
    assert pd.isna(stopped["back"])
    assert stopped["gone"] == at(5 + 4)


def test_decisions_are_read_from_visible_rows(tmp_path: Path) -> None:
    names = np.array(sorted({row["customer_id"] for row in SUBSCRIPTIONS}), dtype=object)
    decided = {}
    with open_engine() as engine:
        log = visible_logs(tmp_path, engine, subscriptions=SUBSCRIPTIONS)["subscriptions"]
        for weeks in (9, 10, 20, 21):
            cutoff = CLOCK.cutoff_on(at(weeks).date())
            events = read_subscriptions(log, names, CLOCK.cutoff_us(cutoff), engine)
            decided[weeks] = set(names[decided_customers(events, CLOCK, cutoff)])
    assert decided == {9: set(), 10: {"back", "gone"}, 20: {"gone"}, 21: {"gone", "late"}}
