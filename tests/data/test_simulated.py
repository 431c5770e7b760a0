"""The simulated world: honest to its contract, its switches, its rates and its own truth."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data.clock import Clock
from data.contracts import CAUSES, LOGS, TABLES
from data.errors import BadInputError
from data.sources.simulated.draws import Draws, Topic, pick, whole
from data.sources.simulated.logs import identifiers
from data.sources.simulated.satisfaction import STATES, fall, fallen_state, transition_matrices
from data.sources.simulated.terms import LOOKAHEAD, Timetable, draw_campaigns
from data.sources.simulated.traits import (
    MONTH,
    NEVER,
    QUARTER,
    SEGMENTS,
    YEAR,
    arrival_weeks,
)
from data.sources.simulated.world import simulate
from data.sources.simulated.world_settings import Switches, WorldSettings
from docs.draw_world import draw_world

START = dt.date(2022, 1, 3)
ORIGIN = pd.Timestamp(START, tz="UTC")
WEEK = pd.Timedelta(weeks=1)
UNDO = pd.Timedelta(days=14)
# Small, but long enough for a first price rise, a shock and the first yearly terms to end.
SMALL = WorldSettings(seed=3, customers=3000, weeks=60, start=START)


@dataclass
class World:
    """Where a world was written, and its tables on demand."""

    folder: Path
    rows: dict[str, int]

    @cache  # noqa: B019 - a world lives as long as the tests
    def table(self, name: str) -> pd.DataFrame:
        return pq.read_table(self.folder / f"{name}.parquet").to_pandas()

    @cache  # noqa: B019
    def log(self, name: str) -> pd.DataFrame:
        """A log without its duplicates, in the order of its events."""
        if not (self.folder / f"{name}.parquet").exists():
            return TABLES[name].schema.empty_table().to_pandas()
        return self.table(name).drop_duplicates("event_id")

    def __hash__(self) -> int:
        return hash(self.folder)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    """Simulate a world, once for each setting."""

    @cache
    def world(setting: WorldSettings, truth: bool = True, block: int = 8192) -> World:
        folder = tmp_path_factory.mktemp("world")
        rows = simulate(setting, Clock(), folder, folder if truth else None, block=block)
        return World(folder, rows)

    return world


@pytest.fixture(scope="session")
def small(build: Callable[..., World]) -> World:
    return build(SMALL)


@pytest.fixture(scope="session")
def large(build: Callable[..., World]) -> World:
    """A world without contacts, in which the risks hold as they are."""
    quiet = Switches(interventions=False)
    return build(WorldSettings(seed=5, customers=12_000, weeks=100, start=START, switches=quiet))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def departures(world: World) -> pd.DataFrame:
    """When each customer first left for good, and why; plain Python, straight from the rule."""
    log = world.log("subscriptions").sort_values(["customer_id", "event_at"], kind="stable")
    log = log[log["subscription_id"].str.endswith("-1")]
    departed: list[tuple[str, pd.Timestamp, str]] = []
    for customer, events in log.groupby("customer_id", sort=False):
        left: tuple[str, pd.Timestamp, str] | None = None
        for kind, at, cause in zip(
            events["kind"], events["event_at"], events["cause"], strict=True
        ):
            if kind in {"cancel_scheduled", "cancelled"} and left is None:
                left = (str(customer), at, "voluntary" if kind == "cancel_scheduled" else cause)
            elif kind in {"cancel_revoked", "reactivated"} and left is not None:
                if at - left[1] > UNDO:
                    departed.append(left)
                left = None
        if left is not None:
            departed.append(left)
    return pd.DataFrame(departed, columns=["customer_id", "left_at", "left_by"])


def outcomes(world: World, weeks: int) -> pd.DataFrame:
    """Join truth with what happened within ``weeks`` weeks, where that is known."""
    truth = world.table("truth")
    horizon = weeks * WEEK
    known = truth[truth["cutoff"] <= truth["cutoff"].max() - horizon - 2 * WEEK]
    left = departures(world).sort_values("left_at")
    joined = pd.merge_asof(
        known.sort_values("cutoff", kind="stable"), left, left_on="cutoff", right_on="left_at",
        by="customer_id", direction="forward",
    )  # fmt: skip
    within = joined["left_at"] <= joined["cutoff"] + horizon
    return joined.assign(
        **{cause: (within & (joined["left_by"] == cause)).astype(int) for cause in CAUSES}
    )


def excess(errors: pd.Series, customers: pd.Series) -> float:
    """Mean error in standard errors; a customer's rows count as one draw."""
    sums = errors.groupby(customers.to_numpy()).sum()
    return float(sums.sum() / np.sqrt((sums**2).sum()))


# --- the contract -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_tables_keep_the_contract(small: World, name: str) -> None:
    contract = TABLES[name]
    table = pq.read_table(small.folder / f"{name}.parquet")
    assert table.schema.equals(contract.schema)
    assert table.num_rows == small.rows[name] > 0
    for column in contract.columns:
        values = table[column.name]
        assert not (column.required and values.null_count)
        if column.minimum is not None and values.null_count < len(values):
            assert pc.min(values).as_py() >= column.minimum
    if contract.kinds:
        frame = small.table(name)
        assert set(frame["kind"]) <= set(contract.kinds)
        for kind, required in contract.kind_requires:
            assert frame.loc[frame["kind"] == kind, list(required)].notna().all(axis=None)


def test_every_kind_of_event_happens(small: World) -> None:
    for log in LOGS:
        missing = set(log.kinds) - set(small.table(log.name)["kind"]) if log.kinds else set()
        assert missing <= {"csat"}


@pytest.mark.parametrize("log", [log.name for log in LOGS])
def test_a_log_holds_what_was_known_at_its_end_in_the_order_of_becoming_known(
    small: World, log: str
) -> None:
    frame = small.table(log)
    end = ORIGIN + SMALL.weeks * WEEK
    assert (frame["available_at"] > frame["event_at"]).all()
    assert (frame["available_at"] <= end).all()
    assert (frame["available_at"] - frame["event_at"] < pd.Timedelta(days=7)).all()
    week = -((end - frame["available_at"]) // WEEK)
    assert week.is_monotonic_increasing
    assert frame.groupby(week)["event_at"].is_monotonic_increasing.all()


def test_late_and_dirty_rows_are_few_but_there(small: World) -> None:
    usage, customers = small.table("usage"), small.table("customers")
    late = (usage["available_at"] - usage["event_at"] > pd.Timedelta(hours=2)).mean()
    assert 0.008 < late < 0.015
    assert 0.001 < usage["event_id"].duplicated().mean() < 0.003
    signed_up = usage["customer_id"].map(customers.set_index("customer_id")["signed_up_at"])
    early = usage["event_at"] < signed_up
    assert 0 < early.sum() < 0.001 * len(usage)
    for log in ("subscriptions", "payments", "tickets"):
        frame = small.table(log)
        known = frame["customer_id"].map(customers.set_index("customer_id")["signed_up_at"])
        assert (frame["event_at"] >= known).all()


def test_involuntary_churn_follows_four_failed_attempts(small: World) -> None:
    log, payments = small.log("subscriptions"), small.log("payments")
    lost = log[(log["cause"] == "involuntary") & log["subscription_id"].str.endswith("-1")]
    failed = payments[payments["kind"] == "failed"]
    pairs = lost.merge(failed, on="customer_id", suffixes=("", "_failed"))
    before = pairs["event_at"] - pairs["event_at_failed"]
    pairs = pairs[(before > pd.Timedelta(0)) & (before < pd.Timedelta(days=22))]
    assert len(lost) > 50
    assert (pairs.groupby("event_id").size() == 4).all()
    assert pairs["event_id"].nunique() == len(lost)
    assert sorted(pairs["attempt"].unique()) == [1, 2, 3, 4]


def test_lost_customers_return_within_the_grace_period_and_long_after(small: World) -> None:
    log = small.log("subscriptions").sort_values("event_at", kind="stable")
    ends_or_returns = {"cancel_scheduled", "cancelled", "cancel_revoked", "reactivated"}
    log = log[log["subscription_id"].str.endswith("-1") & log["kind"].isin(ends_or_returns)]
    before = log.groupby("customer_id")[["kind", "event_at"]].shift()
    back = log["kind"] == "reactivated"
    assert (before.loc[back, "kind"] == "cancelled").all()
    gap = log.loc[back, "event_at"] - before.loc[back, "event_at"]
    assert (gap < UNDO).sum() > 10
    assert (gap > 4 * WEEK).sum() > 10
    assert not ((gap > UNDO) & (gap < 3 * WEEK)).any()
    revoked = log["kind"] == "cancel_revoked"
    assert (before.loc[revoked, "kind"] == "cancel_scheduled").all()
    assert (log.loc[revoked, "event_at"] - before.loc[revoked, "event_at"] < UNDO).all()


# --- seeds, blocks, weeks -----------------------------------------------------------------------

TINY = WorldSettings(seed=3, customers=600, weeks=30, start=START)


def test_neither_repetition_nor_block_size_changes_a_byte(build: Callable[..., World]) -> None:
    once = build(TINY)
    again = build(replace(TINY), True, 8191)
    blocks = build(TINY, True, 37)
    names = sorted(path.name for path in once.folder.iterdir())
    assert len(names) == 8
    for name in names:
        assert digest(once.folder / name) == digest(again.folder / name)
        assert digest(once.folder / name) == digest(blocks.folder / name)


def test_another_seed_is_another_world(build: Callable[..., World]) -> None:
    one, other = build(TINY), build(replace(TINY, seed=4))
    same = set(one.table("usage")["event_at"]) & set(other.table("usage")["event_at"])
    assert len(same) < 10


@pytest.mark.parametrize("weeks", [1, 27])
def test_a_longer_history_repeats_a_shorter_one(build: Callable[..., World], weeks: int) -> None:
    short, long = build(replace(TINY, weeks=weeks)), build(TINY)
    for path in sorted(short.folder.iterdir()):
        shorter, longer = pq.read_table(path), pq.read_table(long.folder / path.name)
        assert 0 < shorter.num_rows < longer.num_rows
        assert longer.slice(0, shorter.num_rows).equals(shorter)


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.integers(0, 10**7), min_size=1, max_size=20, unique=True),
    st.integers(0, 5000),
)
def test_a_number_depends_on_its_own_customer_alone(
    seed: int, customers: list[int], week: int
) -> None:
    numbers = np.array(customers)
    together = Draws(seed).uniform(Topic.USAGE, week, numbers, 3)
    assert ((together > 0) & (together < 1)).all()
    alone = Draws(seed).uniform(Topic.USAGE, week, numbers[-1:], 5)
    assert (together[:, -1] == alone[:3, 0]).all()
    assert (Draws(seed).uniform(Topic.TICKETS, week, numbers[-1:], 5) != alone).all()
    assert (Draws(seed).uniform(Topic.USAGE, week + 1, numbers[-1:], 5) != alone).all()
    assert (Draws(seed).uniform(Topic.USAGE, week, numbers[-1:], 5, 1) != alone).all()


def test_numbers_are_uniform_and_unrelated() -> None:
    u = Draws(1).uniform(Topic.USAGE, 7, np.arange(20_000), 4)
    # Kolmogorov's distance exceeds 1.95 / sqrt(n) with a chance of 0.1 %.
    for row in np.sort(u, axis=1):
        assert np.abs(row - np.arange(0.5, len(row)) / len(row)).max() < 1.95 / np.sqrt(len(row))
    assert np.abs(np.corrcoef(u) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(u[0, 1:], u[0, :-1])[0, 1]) < 0.03


@given(st.lists(st.integers(0, 99_999), min_size=1, max_size=30))
def test_identifiers_are_the_numbers_with_leading_zeros(numbers: list[int]) -> None:
    values = np.array(numbers)
    made = identifiers("U", (values, 5), (values % 7, 1)).to_pylist()
    assert made == [f"U{number:05d}-{number % 7}" for number in numbers]


@given(st.floats(1e-9, 1 - 1e-9), st.integers(-50, 50), st.integers(0, 50))
def test_choices_stay_within_their_bounds(u: float, low: int, span: int) -> None:
    assert low <= whole(np.array([u]), low, low + span)[0] <= low + span
    weights = [0.0, 1.0, 2.0, 0.0]
    assert pick(np.array([u]), weights)[0] == (1 if u <= 1 / 3 else 2)


# --- rates and truth ----------------------------------------------------------------------------


def monthly(world: World, cause: str) -> tuple[float, float]:
    """Monthly rate of a cause after the first half year, and its standard error."""
    live = world.table("truth")
    first = ORIGIN + 26 * WEEK
    months = (live["cutoff"] >= first).sum() * 7 / 30.4
    left = departures(world)
    count = ((left["left_at"] > first) & (left["left_by"] == cause)).sum()
    return count / months, np.sqrt(count) / months


def test_monthly_churn_is_near_its_setting(large: World) -> None:
    for cause, rate in (("voluntary", 0.03), ("involuntary", 0.01)):
        measured, error = monthly(large, cause)
        # A tenth of the rate for seeds and lengths of history, besides chance.
        assert abs(measured - rate) < 4 * error + 0.1 * rate


@pytest.mark.parametrize(("voluntary", "involuntary"), [(0.015, 0.005), (0.05, 0.02)])
def test_monthly_churn_can_be_set(
    build: Callable[..., World], voluntary: float, involuntary: float
) -> None:
    rates = {"voluntary": voluntary, "involuntary": involuntary}
    world = build(replace(SMALL, weeks=70, **{f"{k}_per_month": v for k, v in rates.items()}))
    for cause, rate in rates.items():
        measured, error = monthly(world, cause)
        assert abs(measured - rate) < 4 * error + 0.2 * rate


def test_no_churn_when_the_rates_are_zero(build: Callable[..., World]) -> None:
    still = Switches(card_expiry=False)
    world = build(replace(TINY, voluntary_per_month=0.0, involuntary_per_month=0.0, switches=still))
    kinds = set(world.log("subscriptions")["kind"])
    assert not kinds & {"cancel_scheduled", "cancel_revoked"}
    assert world.table("truth").filter(like="risk_").to_numpy().max() < 1e-6


def test_voluntary_churn_is_neither_a_toy_nor_noise(large: World) -> None:
    truth = outcomes(large, 4)
    assert 0.78 < roc_auc_score(truth["voluntary"], truth["risk_voluntary_4w"]) < 0.86
    inside = truth["in_dunning"]
    for part in (truth[inside], truth[~inside]):
        assert roc_auc_score(part["involuntary"], part["risk_involuntary_4w"]) > 0.7
    assert truth.loc[inside, "involuntary"].mean() > 20 * truth.loc[~inside, "involuntary"].mean()


@pytest.mark.parametrize("weeks", [4, 8, 13])
@pytest.mark.parametrize("cause", CAUSES)
def test_the_oracle_is_calibrated(large: World, cause: str, weeks: int) -> None:
    truth = outcomes(large, weeks)
    risk = truth[f"risk_{cause}_{weeks}w"].clip(1e-9, 1 - 1e-9)
    assert truth[cause].sum() > 500
    assert abs(excess(truth[cause] - risk, truth["customer_id"])) < 3.5
    # The slope's score: zero in the mean where risk is calibrated in the log-odds.
    log_odds = np.log(risk / (1 - risk))
    score = (truth[cause] - risk) * (log_odds - log_odds.mean())
    assert abs(excess(score, truth["customer_id"])) < 3.5
    slope = LogisticRegression(C=1e9).fit(log_odds.to_frame(), truth[cause]).coef_[0, 0]
    assert 0.9 < slope < 1.1


@pytest.mark.parametrize("cause", CAUSES)
def test_no_model_beats_the_oracle_beyond_chance(large: World, cause: str) -> None:
    truth = outcomes(large, 8)
    risk = truth[f"risk_{cause}_8w"].clip(1e-9, 1 - 1e-9)
    other = CAUSES[1 - CAUSES.index(cause)]
    seen = np.column_stack(
        [
            np.log(risk / (1 - risk)), truth["satisfaction"], truth["in_dunning"],
            truth[f"risk_{other}_8w"], truth["effect_8w"], truth["satisfaction"] ** 2,
        ]
    )  # fmt: skip
    half = truth["customer_id"].str[-1].isin(list("02468"))
    fitted = LogisticRegression(max_iter=1000).fit(seen[half], truth.loc[half, cause])
    rival = pd.Series(fitted.predict_proba(seen[~half])[:, 1], index=truth.index[~half])
    y, oracle = truth.loc[~half, cause], risk[~half]

    def loss(chance: pd.Series) -> pd.Series:
        return -(y * np.log(chance) + (1 - y) * np.log(1 - chance))

    assert excess(loss(oracle) - loss(rival), truth.loc[~half, "customer_id"]) < 3.0
    # The test has power: a constant is beaten by far.
    constant = pd.Series(y.mean(), index=y.index)
    assert excess(loss(constant) - loss(oracle), truth.loc[~half, "customer_id"]) > 5.0


def test_risks_rise_with_the_horizon_and_leave_room_to_stay(small: World) -> None:
    truth = small.table("truth")
    for cause in CAUSES:
        risks = truth[[f"risk_{cause}_{label}" for label in ("4w", "8w", "13w")]].to_numpy()
        assert (np.diff(risks, axis=1) >= 0).all()
        assert (risks >= 0).all()
    total = truth["risk_voluntary_13w"] + truth["risk_involuntary_13w"]
    assert (total <= 1).all()
    assert not truth.duplicated(["customer_id", "cutoff"]).any()
    assert truth["cutoff"].is_monotonic_increasing


def test_a_contact_saves_some_and_loses_some(small: World) -> None:
    truth = small.table("truth")
    effect = truth.groupby("customer_id")["effect_4w"].agg(["min", "max"])
    saved, lost = effect["min"] < 0, effect["max"] > 0
    assert not (saved & lost).any()
    assert 0.3 < saved.mean() < 0.55
    assert 0.08 < lost.mean() < 0.25
    assert truth["effect_4w"].mean() < 0


def test_contacts_are_assigned_at_random(small: World) -> None:
    log, truth = small.log("interventions"), small.table("truth")
    assigned = log[log["kind"] == "assigned"]
    assert (assigned["event_at"] > assigned["list_cutoff"]).all()
    treated = assigned["arm"] == "treated"
    assert abs(treated.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(treated))
    known = assigned.merge(
        truth, left_on=["customer_id", "list_cutoff"], right_on=["customer_id", "cutoff"]
    )
    arms = known.groupby("arm")["risk_voluntary_13w"].agg(["mean", "sem"])
    assert abs(arms["mean"].diff().iloc[-1]) < 4 * np.hypot(*arms["sem"])
    contacted = set(log.loc[log["kind"] == "contacted", "customer_id"])
    assert contacted <= set(assigned.loc[treated, "customer_id"])


# --- the parts of the truth ---------------------------------------------------------------------


def test_satisfaction_moves_between_its_states() -> None:
    for switches in (Switches(), Switches(trouble=False, sudden_decline=False)):
        matrices = transition_matrices(switches)
        assert matrices.shape == (3, STATES, STATES)
        assert np.allclose(matrices.sum(axis=2), 1.0)
        assert (matrices >= 0).all()


@given(st.integers(0, STATES - 1), st.integers(1, 6))
def test_a_fall_of_the_distribution_is_a_fall_of_the_state(state: int, levels: int) -> None:
    certain = np.eye(STATES)[[state]]
    fallen = fallen_state(np.array([state]), levels)
    assert (fall(certain, levels) == np.eye(STATES)[fallen]).all()


@given(
    term=st.sampled_from([MONTH, QUARTER, YEAR]),
    start=st.integers(0, 40),
    switched_after=st.integers(1, 3) | st.none(),
    days_later=st.sampled_from([0, 3, 7, 14, 21]),
)
def test_the_timetable_meets_each_invoice_once(
    term: int, start: int, switched_after: int | None, days_later: int
) -> None:
    switch = NEVER if switched_after is None else start + switched_after * term
    last = 900
    days, day = set(), start
    while day + days_later < last:
        day += MONTH if day >= switch else term
        days.add(day + days_later)
    timetable = _timetable(start, term, switch)
    charged = set()
    for week in range(last // 7):
        due, meets = timetable.due_in_week(week, days_later)
        if meets[0]:
            assert (due[0] + days_later) // 7 == week
            charged.add(int(due[0]) + days_later)
    assert charged == {day for day in days if day < last // 7 * 7}
    assert timetable.next_term_day(start)[0] == start + term


def _timetable(start: int, term: int, switch: int) -> Timetable:
    integers = {
        "start_day": start, "anchor_day": start, "term_days": term, "switch_day": switch,
        "end_day": NEVER, "discount_end_day": NEVER, "contact_week": -NEVER, "segment": 0,
        "card_expires_day": NEVER,
    }  # fmt: skip
    return Timetable(
        **{name: np.array([value]) for name, value in integers.items()},
        contact_effect=np.zeros(1),
        onboarded=np.ones(1, dtype=bool),
        frailty=np.zeros(1),
        rise_week=np.full((1, 1), -1000),
        rise_size=np.zeros(1),
        shocks=(),
    )


# --- switches -----------------------------------------------------------------------------------


def kinds(log: str, *names: str) -> Callable[[World], float]:
    return lambda world: float(world.log(log)["kind"].isin(names).sum())


def filled(log: str, column: str) -> Callable[[World], float]:
    return lambda world: float(world.log(log)[column].notna().sum())


def rows(log: str) -> Callable[[World], float]:
    return lambda world: float(len(world.log(log)))


def codes(*names: str) -> Callable[[World], float]:
    return lambda world: float(world.log("payments")["decline_code"].isin(names).sum())


def weekend(world: World) -> float:
    """One minus the use on a day of the weekend as a share of that on a working day."""
    day = world.log("usage")["event_at"].dt.day_of_week
    return 1.0 - (day >= 5).sum() / 2 / ((day < 5).sum() / 5)


def weekly(world: World, chosen: pd.Series) -> pd.DataFrame:
    """Truth beside the number of chosen usage rows in the week that ended at its cutoff."""
    usage = world.log("usage")[chosen]
    cutoff = usage["event_at"].dt.floor("D") + pd.to_timedelta(
        7 - usage["event_at"].dt.day_of_week, unit="D"
    )
    count = usage.groupby([usage["customer_id"], cutoff.rename("cutoff")]).size().rename("n")
    truth = world.table("truth")
    return truth.join(count, on=["customer_id", "cutoff"]).fillna({"n": 0})


def by_satisfaction(world: World, *features: str) -> float:
    """Use of features by the contented over use by the discontented, minus one, capped at 3."""
    weeks = weekly(world, world.log("usage")["feature"].isin(features))
    weeks = weeks[weeks["cutoff"] > ORIGIN + 10 * WEEK]
    # Within a customer, so that a better fit, which makes people happy, does not count as use.
    own = weeks.groupby("customer_id")["satisfaction"].transform("mean")
    gap = weeks["satisfaction"] - own
    high, low = weeks.loc[gap > 0.4, "n"].mean(), weeks.loc[gap < -0.4, "n"].mean()
    return min(3.0, high / low - 1.0)


def early_use(world: World) -> float:
    """How far use in the second week of a subscription is below that in the tenth to 13th."""
    usage, log = world.log("usage"), world.log("subscriptions")
    start = log[log["kind"] == "activated"].groupby("customer_id")["event_at"].min()
    age = (usage["event_at"] - usage["customer_id"].map(start)).dt.days
    lived = start[start < ORIGIN + (SMALL.weeks - 14) * WEEK].index
    stayed = set(usage.loc[age >= 91, "customer_id"]) & set(lived)
    age = age[usage["customer_id"].isin(stayed)]
    return 1.0 - age.between(1, 7).sum() / (age.between(63, 90).sum() / 4)


def sudden_falls(world: World) -> float:
    """Falls within a week that neither noise nor price nor a competitor can cause."""
    change = world.table("truth").groupby("customer_id")[["satisfaction", "cutoff"]].diff()
    return float(((change["satisfaction"] < -1.4) & (change["cutoff"] == WEEK)).sum())


def bursts(world: World) -> float:
    """Customers who opened four tickets or more within five weeks after their first quarter."""
    tickets = world.log("tickets")
    tickets = tickets[tickets["kind"] == "opened"]
    log = world.log("subscriptions")
    start = log[log["kind"] == "activated"].groupby("customer_id")["event_at"].min()
    tickets = tickets[tickets["event_at"] > tickets["customer_id"].map(start) + 13 * WEEK]
    third = tickets.sort_values("event_at").groupby("customer_id")["event_at"].diff(3)
    return float((third < 5 * WEEK).sum())


def threats(world: World) -> float:
    phrases = "cancel|switch to a competitor|opzeg|overstappen|säga upp|leverantör|disdire|annull"
    return float(world.log("tickets")["text"].str.contains(phrases, na=False).sum())


def rises(world: World) -> float:
    log = world.log("subscriptions")
    discounted = set(log.loc[log["discount_ends_at"].notna(), "customer_id"])
    changed = log[log["kind"] == "price_changed"]
    return float((~changed["customer_id"].isin(discounted)).sum())


def late_decisions(world: World) -> float:
    """Share of the decisions on yearly terms in the last 9 weeks of the term, above 9 in 52."""
    log = world.log("subscriptions")
    decided = log[(log["kind"] == "cancel_scheduled") & (log["billing_interval"] == "year")]
    left = decided["renews_at"] - decided["event_at"]
    return float((left <= 9 * WEEK).mean()) - 9 / 52


def shock(world: World) -> float:
    """How far the courted segment's use falls behind the others' in the weeks of the shock."""
    campaigns = draw_campaigns(SMALL, Draws(SMALL.seed), np.arange(1))
    week, segment = campaigns.shocks[0]
    assert week + 8 <= SMALL.weeks
    customers = world.table("customers").set_index("customer_id")["segment"]
    usage, truth = world.log("usage"), world.table("truth")

    def use(frame: pd.DataFrame, instant: str) -> pd.DataFrame:
        number = (frame[instant] - ORIGIN) // WEEK - (instant == "cutoff")
        courted = frame["customer_id"].map(customers) == SEGMENTS[segment]
        during = number.between(week, week + 7)
        before = number.between(week - 8, week - 1)
        return pd.DataFrame(
            [[(courted & during).sum(), (courted & before).sum()],
             [(~courted & during).sum(), (~courted & before).sum()]]
        )  # fmt: skip

    rate = use(usage, "event_at") / use(truth, "cutoff")
    return 1.0 - float((rate[0] / rate[1]).iloc[0] / (rate[0] / rate[1]).iloc[1])


def delays(world: World) -> float:
    usage = world.table("usage").drop_duplicates("event_id")
    return float((usage["available_at"] - usage["event_at"] > pd.Timedelta(hours=1)).sum())


def dirt(world: World) -> float:
    usage = world.table("usage")
    signed_up = world.table("customers").set_index("customer_id")["signed_up_at"]
    early = usage["event_at"] < usage["customer_id"].map(signed_up)
    return float(usage["event_id"].duplicated().sum() * early.sum() + early.sum())


# What shows each pattern: a measure, its least value when on, and its largest when off.
PATTERNS: dict[str, tuple[Callable[[World], float], float, float]] = {
    "trials": (kinds("subscriptions", "trial_started"), 100, 0),
    "onboarding": (early_use, 0.08, 0.0),
    "seasonality": (weekend, 0.6, 0.05),
    "decline": (lambda world: by_satisfaction(world, "login"), 0.5, 0.25),
    "sudden_decline": (sudden_falls, 50, 0),
    "breadth": (lambda world: by_satisfaction(world, "api", "automation"), 2.0, 1.6),
    "trouble": (bursts, 100, 30),
    "tone": (threats, 50, 0),
    "price_rises": (rises, 100, 0),
    "discounts": (filled("subscriptions", "discount_ends_at"), 100, 0),
    "plan_changes": (kinds("subscriptions", "plan_changed"), 100, 0),
    "second_subscriptions": (
        lambda world: float(
            world.log("subscriptions")["subscription_id"].str.endswith("-2").sum()
        ), 20, 0,
    ),
    "interval_changes": (kinds("subscriptions", "interval_changed"), 10, 0),
    "pauses": (kinds("subscriptions", "paused", "resumed"), 50, 0),
    "renewals": (late_decisions, 0.25, 0.05),
    "fixed_contracts": (kinds("subscriptions", "ended"), 2, 0),
    "competitor_shock": (shock, 0.1, 0.06),
    "card_expiry": (codes("expired_card"), 50, 0),
    "failed_payments": (codes("insufficient_funds", "do_not_honor", "lost_card"), 50, 0),
    "revocations": (kinds("subscriptions", "cancel_revoked"), 10, 0),
    "reactivations": (kinds("subscriptions", "reactivated"), 10, 0),
    "surveys": (rows("surveys"), 100, 0),
    "interventions": (rows("interventions"), 100, 0),
    "late_rows": (delays, 100, 0),
    "dirt": (dirt, 1, 0),
}  # fmt: skip


def test_each_switch_has_a_pattern() -> None:
    assert set(PATTERNS) == {field.name for field in fields(Switches)}


NEED_TRUTH = ("decline", "breadth", "sudden_decline", "competitor_shock")
OTHERS = [name for name in PATTERNS if name not in NEED_TRUTH]


def without(build: Callable[..., World], *names: str) -> World:
    """The small world with some switches off; with the truth where a measure asks for it."""
    switches = Switches(**dict.fromkeys(names, False))
    return build(replace(SMALL, switches=switches), bool(set(names) & set(NEED_TRUTH)))


@pytest.mark.parametrize("names", [NEED_TRUTH, OTHERS[::3], OTHERS[1::3], OTHERS[2::3]])
def test_patterns_are_there_and_disappear_when_turned_off(
    small: World, build: Callable[..., World], names: Sequence[str]
) -> None:
    changed = without(build, *names)
    for name in names:
        measure, least_on, most_off = PATTERNS[name]
        assert measure(small) >= least_on, name
        assert measure(changed) <= most_off, name


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_disappears_when_it_alone_is_turned_off(
    build: Callable[..., World], name: str
) -> None:
    measure, _, most_off = PATTERNS[name]
    assert measure(without(build, name)) <= most_off


def test_onboarding_that_fails_ends_in_early_churn(
    small: World, build: Callable[..., World]
) -> None:
    def early(world: World) -> float:
        log = world.log("subscriptions")
        start = log[log["kind"] == "activated"].groupby("customer_id")["event_at"].min()
        left = departures(world).query("left_by == 'voluntary'")
        age = left["left_at"] - left["customer_id"].map(start)
        return float((age < 13 * WEEK).sum() / len(start))

    without = build(replace(SMALL, switches=Switches(onboarding=False)), False)
    assert early(small) > 1.3 * early(without)


def test_use_falls_before_a_decision_to_leave(small: World) -> None:
    usage, left = small.log("usage"), departures(small)
    left = left[left["left_by"] == "voluntary"].drop_duplicates("customer_id")
    left = left[left["left_at"] > ORIGIN + 30 * WEEK]
    before = (left.set_index("customer_id")["left_at"].reindex(usage["customer_id"])).to_numpy()
    weeks = (pd.Series(before, index=usage.index) - usage["event_at"]) // WEEK
    recent, earlier = weeks.between(0, 3).sum() / 4, weeks.between(14, 25).sum() / 12
    assert recent < 0.8 * earlier


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"customers": 1}, "customers is 1"),
        ({"weeks": 0}, "weeks is 0"),
        ({"voluntary_per_month": 0.5}, r"voluntary_per_month is 0\.5"),
        ({"involuntary_per_month": -0.1}, r"involuntary_per_month is -0\.1"),
        ({"arrival_weeks": 4}, "arrival_weeks is 4"),
        ({"customers": 9_000_000, "weeks": 500}, "signing up by the end is"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, int], sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        replace(SMALL, **changed)


@pytest.mark.parametrize(
    ("clock", "horizons", "sentence"),
    [
        (Clock(period_days=14), (4,), "period_days is 14"),
        (Clock(anchor_weekday=2), (4,), "is not a cutoff"),
        (Clock(), (4, LOOKAHEAD + 1), r"horizons is \[4, 27\]"),
        (Clock(), (), r"horizons is \[\]"),
    ],
)
def test_unsuited_clocks_and_horizons_are_refused(
    tmp_path: Path, clock: Clock, horizons: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(BadInputError, match=sentence):
        simulate(SMALL, clock, tmp_path, tmp_path, horizons)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weeks", [1, 3, 4, 5, 156])
@pytest.mark.parametrize("customers", [2, 7, 1000])
def test_the_number_of_sign_ups_is_that_of_the_settings(customers: int, weeks: int) -> None:
    setting = replace(SMALL, customers=customers, weeks=weeks)
    arrivals = arrival_weeks(setting, np.arange(setting.signed_up + 5))
    assert (np.diff(arrivals) >= 0).all()
    assert (arrivals < weeks).sum() == setting.signed_up
    if weeks == setting.arrival_weeks:
        assert setting.signed_up == customers


def test_the_pictures_of_the_world_can_be_drawn(small: World, tmp_path: Path) -> None:
    draw_world(small.folder, small.folder, tmp_path)
    picture = (tmp_path / "patterns.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert 20_000 < len(picture) < 200_000


def test_the_page_names_every_switch() -> None:
    page = (Path(__file__).parents[2] / "docs" / "world.md").read_text(encoding="utf-8")
    assert [name for name in PATTERNS if f"`{name}`" not in page] == []
