"""Ranking: savings, queues, ties and withheld customers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.contracts import CAUSES
from retention import ranking
from retention.kaplan_meier import MonthsKept, months_kept, restricted_mean
from retention.ranking import drawn, is_withheld, scores
from worlds import list_world

SETTINGS = dataclasses.replace(
    list_world.SETTINGS, success_capacity=2, billing_capacity=2, holdout_share=0.0
)
KEPT = MonthsKept({"team": 10.0, "eternal": 40.0}, 6.0)


def customers(ids: list[str], mrr: list[int], plan: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": pd.Series(ids, dtype="str"),
            "cutoff": pd.Timestamp("2024-12-30", tz="UTC"),
            "mrr": np.array(mrr, dtype=np.int64),
            "paused": False,
            "plan": pd.Series(plan, dtype="str"),
        }
    )


def risks(voluntary: list[float], involuntary: list[float]) -> np.ndarray:
    return np.array([voluntary, involuntary], dtype=float).T[:, :, None]


# Months kept


def test_restricted_mean_by_hand() -> None:
    duration = np.array([1.0, 2.0, 2.0, 3.0, 5.0])
    event = np.array([True, True, False, True, False])
    # Survival: 4/5 after 1, times 3/4 after 2 (the censored one was still at risk), times 1/2
    # after 3, and flat from there.
    assert restricted_mean(duration, event, 4.0) == pytest.approx(1.0 + 0.8 + 0.6 + 0.3)
    assert restricted_mean(duration, event, 12.0) == pytest.approx(1.0 + 0.8 + 0.6 + 9 * 0.3)
    assert restricted_mean(duration, event, 2.5) == pytest.approx(1.0 + 0.8 + 0.5 * 0.6)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=30), st.floats(0.1, 50))
def test_restricted_mean_lies_between_the_shortest_life_and_the_limit(
    lives: list[tuple[float, bool]], limit: float
) -> None:
    duration = np.array([life for life, _ in lives], dtype=float)
    event = np.array([churned for _, churned in lives], dtype=bool)
    mean = restricted_mean(duration, event, limit)
    shortest = min((life for life, churned in lives if churned), default=limit)
    assert min(shortest, limit) - 1e-9 <= mean <= limit + 1e-9
    if not event.any():
        assert mean == pytest.approx(limit)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_without_censoring_the_restricted_mean_is_the_mean(lives: list[float]) -> None:
    duration = np.array(lives)
    mean = restricted_mean(duration, np.ones(duration.size, dtype=bool), 50.0)
    assert mean == pytest.approx(np.minimum(duration, 50.0).mean(), abs=1e-9)


def test_small_and_missing_plans_take_the_pooled_months() -> None:
    plan = ["team"] * 3 + ["rare", None]
    kept = months_kept(plan, [2.0, 2.0, 2.0, 8.0, 8.0], [True] * 5, limit=12, min_customers=3)
    assert kept.by_plan == {"team": 2.0}
    assert kept.pooled == pytest.approx(4.4)
    of = kept.of(pd.Series(["rare", "team", None, "unheard of"], dtype="str"))
    np.testing.assert_allclose(of, [4.4, 2.0, 4.4, 4.4])


# Saving and queue


def test_expected_saving_by_hand() -> None:
    frame = scores(
        customers(["a", "b"], [10_000, 10_000], ["team", "eternal"]),
        risks([0.5, 0.5], [0.1, 0.4]),
        ("4w",),
        KEPT,
        SETTINGS,
        epoch=0,
    )
    # a: 0.5 * 0.15 * 100.00 * 0.8 * 10 months - 25.00, and 12 months at most for b.
    assert frame["saving_success"].tolist() == pytest.approx([3500.0, 4700.0])
    assert frame["saving_billing"].tolist() == pytest.approx([700.0, 12860.0])
    assert frame["queue"].tolist() == ["success", "billing"]
    assert frame["other_queue"].tolist() == ["billing", "success"]
    assert frame["expected_loss"].tolist() == pytest.approx([6000.0, 9000.0])
    assert frame["months_kept"].tolist() == [10.0, 12.0]
    assert frame["risk_involuntary_4w"].tolist() == [0.1, 0.4]


def test_every_customer_is_scored_and_has_a_reason_if_not_listed() -> None:
    frame = customers(["a", "b", "c", "d", "e", "f"], [9_000] * 6, ["team"] * 6)
    frame["paused"] = [True, False, False, False, False, False]
    voluntary = [0.9, 0.9, 0.01, 0.7, 0.8, 0.6]
    placed = scores(
        frame, risks(voluntary, [0.0] * 6), ("4w",), KEPT, SETTINGS, epoch=0, contacted={"b"}
    )
    assert placed["status"].tolist() == [
        "paused", "contacted", "not_worth_a_call", "listed", "listed", "beyond_capacity",
    ]  # fmt: skip
    assert placed["rank"].fillna(0).tolist() == [0, 0, 0, 2, 1, 3]
    assert placed["position"].fillna(0).tolist() == [0, 0, 0, 2, 1, 0]
    assert placed["other_queue"].isna().all()


def test_a_contact_that_just_pays_for_itself_is_not_worth_a_call() -> None:
    placed = scores(
        customers(["a"], [0], ["team"]),
        risks([1.0], [0.0]),
        ("4w",),
        KEPT,
        dataclasses.replace(SETTINGS, contact_cost=0),
        epoch=0,
    )
    assert placed["status"].tolist() == ["not_worth_a_call"]


def test_ties_go_by_customer_id_whatever_the_order_of_rows() -> None:
    ids = ["b", "c", "a", "10", "9"]
    placed = scores(
        customers(ids, [9_000] * 5, ["team"] * 5),
        risks([0.5] * 5, [0.0] * 5),
        ("4w",),
        KEPT,
        SETTINGS,
        epoch=0,
    ).set_index("customer_id")
    assert placed["rank"].sort_values().index.tolist() == ["10", "9", "a", "b", "c"]


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_change_the_ranking(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = 40
    frame = customers(
        [f"c{i}" for i in range(n)], generator.integers(0, 9, n).tolist(), ["team"] * n
    )
    frame["mrr"] *= 10_000
    numbers = risks(*generator.choice([0.0, 0.1, 0.3], (2, n)).tolist())
    settings = dataclasses.replace(
        SETTINGS, success_capacity=5, billing_capacity=5, holdout_share=0.3
    )
    order = generator.permutation(n)
    one = scores(frame, numbers, ("4w",), KEPT, settings, epoch=3)
    two = scores(frame.iloc[order], numbers[order], ("4w",), KEPT, settings, epoch=3)
    two = two.sort_values("customer_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(one.sort_values("customer_id").reset_index(drop=True), two)
    for queue in settings.queues:
        listed = one[(one["queue"] == queue.name) & (one["status"] == ranking.LISTED)]
        assert sorted(listed["position"]) == list(range(1, len(listed) + 1))
        assert len(listed) <= queue.capacity
        assert (listed[f"saving_{queue.name}"] > 0).all()


def test_queues_follow_the_causes_of_the_contract() -> None:
    assert tuple(queue.cause for queue in SETTINGS.queues) == CAUSES


def test_without_eligible_customers_the_frame_is_empty_with_all_columns() -> None:
    empty = scores(customers([], [], []), np.empty((0, 2, 1)), ("4w",), KEPT, SETTINGS, epoch=0)
    assert len(empty) == 0
    assert {"status", "rank", "position", "saving_billing"} <= set(empty.columns)


# Holdout


def test_withholding_never_changes() -> None:
    # Pinned: a change of the hash would withhold other customers in the middle of an epoch.
    names = [f"customer-{i}" for i in range(40)]
    assert [name for name in names if is_withheld(name, 107, "churn-risk", 0.1)] == [
        "customer-1", "customer-18", "customer-19", "customer-28", "customer-34", "customer-39",
    ]  # fmt: skip


def test_the_share_withheld_is_right_within_chance_and_changes_with_epoch_and_salt() -> None:
    names = [f"customer-{i}" for i in range(20_000)]
    draws = {
        key: np.array([is_withheld(name, key[0], key[1], 0.1) for name in names])
        for key in [(1, "a"), (2, "a"), (1, "b")]
    }
    for draw in draws.values():
        assert abs(draw.mean() - 0.1) < 4 * math.sqrt(0.1 * 0.9 / len(names))
    # Independent draws agree on a hundredth.
    assert abs((draws[1, "a"] & draws[2, "a"]).mean() - 0.01) < 0.003
    assert abs((draws[1, "a"] & draws[1, "b"]).mean() - 0.01) < 0.003
    assert not any(is_withheld(name, 1, "a", 0.0) for name in names[:1000])


@given(
    st.lists(st.booleans(), max_size=60), st.integers(1, 20), st.floats(0.0, 0.5), st.integers(0)
)
def test_whether_a_customer_takes_part_never_depends_on_its_own_draw(
    draw: list[bool], capacity: int, share: float, which: int
) -> None:
    withheld = np.array(draw, dtype=bool)
    part = drawn(withheld, capacity, share)
    assert int(np.sum(part & ~withheld)) <= capacity
    assert not np.any(np.diff(part.astype(int)) > 0), "the first ranks take part"
    assert part.sum() <= math.ceil(capacity / (1 - share) + 1e-6)
    if draw:
        i = which % len(draw)
        withheld[i] = not withheld[i]
        assert drawn(withheld, capacity, share)[i] == part[i]


def test_withheld_customers_come_from_the_first_ranks_only() -> None:
    nobody = np.zeros(200, dtype=bool)
    assert drawn(nobody, 90, 0.1).sum() == 90
    everybody = np.ones(200, dtype=bool)
    assert drawn(everybody, 90, 0.1).sum() == 100
