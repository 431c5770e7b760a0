"""The weekly list: the rows of each queue, their reasons, and the files."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from retention import ranking
from retention.exports import csv_text, write_csv, write_parquet
from retention.list_page import NO_EXTRAS, page, write_page
from retention.playbook import load_playbook
from retention.weekly_list import MONEY_COLUMNS, Scored, WeeklyList
from worlds.list_world import CATALOG, CLOCK, CUTOFF, make, nobody, world

# The list


def test_a_list_row_by_row_equals_a_recomputation(scored: Scored, week: WeeklyList) -> None:
    months = {"starter": 8.0, "team": 10.5, "business": 12.0}
    by_queue: dict[str, list[tuple[float, str, int]]] = {"success": [], "billing": []}
    for i, row in enumerate(scored.snapshots.itertuples()):
        value = row.mrr * 0.8 * months[row.plan]
        success = scored.risks[i, 0, 0] * 0.15 * value - 2500
        billing = scored.risks[i, 1, 0] * 0.4 * value - 2500
        if not row.paused and max(success, billing) > 0:
            queue = "success" if success >= billing else "billing"
            by_queue[queue].append((-max(success, billing), row.customer_id, i))
    epoch = CLOCK.cutoff_on(CUTOFF.date()) // 26
    for queue, capacity in (("success", 20), ("billing", 10)):
        expected = []
        for _, customer, i in sorted(by_queue[queue])[: round(capacity / 0.8)]:
            if len(expected) < capacity and not ranking.is_withheld(customer, epoch, "test", 0.2):
                expected.append((customer, i))
        listed = week.listed[week.listed["queue"] == queue]
        assert listed["customer_id"].tolist() == [customer for customer, _ in expected]
        assert listed["position"].tolist() == list(range(1, len(expected) + 1))
        c = ("success", "billing").index(queue)
        rows = [i for _, i in expected]
        for h, label in enumerate(scored.labels):
            np.testing.assert_array_equal(listed[f"risk_{label}"], scored.risks[rows, c, h])
        savings = [-minus for minus, _, i in sorted(by_queue[queue]) if i in rows]
        assert listed["expected_saving"].tolist() == np.rint(savings).tolist()
        times = scored.risks[rows, c, 0] / scored.base_rates[c, 0]
        np.testing.assert_allclose(listed["times_base"], times)


def test_reasons_reconcile_on_every_row_of_the_record(scored: Scored, week: WeeklyList) -> None:
    contributions = week.record.filter(like="contribution_").sum(axis=1)
    risk = week.record["risk_4w"]
    served = np.log(risk / (1 - risk))
    assert (week.record["base_log_odds"] + contributions - served).abs().max() < 1e-6
    assert len(week.record) == sum(
        week.counts[q][s] for q in week.counts for s in (ranking.LISTED, ranking.WITHHELD)
    )


def test_reasons_that_do_not_add_up_to_the_served_risk_stop_the_run(scored: Scored) -> None:
    wrong = dataclasses.replace(scored, risks=scored.risks * 0.99)
    with pytest.raises(ValueError, match="do not add up"):
        make(wrong)


def test_only_listed_and_withheld_rows_are_explained_once_per_queue(scored: Scored) -> None:
    asked: list[tuple[str, int]] = []

    def explain(rows: np.ndarray, cause: str) -> tuple[np.ndarray, np.ndarray]:
        asked.append((cause, len(rows)))
        return scored.explain(rows, cause)

    week = make(dataclasses.replace(scored, explain=explain))
    sizes = week.record["queue"].value_counts()
    assert asked == [("voluntary", sizes["success"]), ("involuntary", sizes["billing"])]


def test_different_customers_get_different_reasons(week: WeeklyList) -> None:
    reasons = week.listed[["reason_1", "reason_2", "reason_3"]]
    assert len(reasons.drop_duplicates()) > 0.8 * len(reasons)
    assert reasons["reason_1"].str.split(":").str[0].nunique() >= 4


def test_reasons_quote_the_customers_own_values(scored: Scored, week: WeeklyList) -> None:
    absent_for = {
        customer: float(days)
        for customer, days in zip(scored.snapshots["customer_id"], scored.X[:, 2], strict=True)
    }
    quoted = 0
    for row in week.listed.itertuples():
        for text in (row.reason_1, row.reason_2, row.reason_3, row.lowering_reason):
            mention = re.fullmatch(
                r"Time since last use: Last used the product (\d+) days? ago", text
            )
            if mention:
                assert float(mention[1]) == absent_for[row.customer_id]
                quoted += 1
    assert quoted >= 5


def test_no_feature_name_reaches_the_reader(week: WeeklyList) -> None:
    out = csv_text(week.listed, MONEY_COLUMNS, "EUR") + page(week)
    assert [item.name for item in CATALOG if item.name in out] == []


def test_every_customer_counts_once(scored: Scored, week: WeeklyList) -> None:
    assert sum(n for by_status in week.counts.values() for n in by_status.values()) == 600
    assert len(week.scores) == 600
    paused = sum(by_status[ranking.PAUSED] for by_status in week.counts.values())
    assert paused == scored.snapshots["paused"].sum() > 0
    assert week.listed["customer_id"].is_unique


def test_withheld_customers_are_in_the_record_and_nowhere_else(week: WeeklyList) -> None:
    withheld = week.record[week.record["status"] == ranking.WITHHELD]
    assert len(withheld) >= 2
    assert withheld["position"].isna().all()
    assert withheld["reason_1"].notna().all()
    handed_out = csv_text(week.listed, MONEY_COLUMNS, "EUR") + page(week)
    for customer in withheld["customer_id"]:
        assert customer not in handed_out
    assert not {"status", "rank"} & set(week.listed.columns)


def test_a_customer_is_withheld_in_all_weeks_of_an_epoch_or_in_none(scored: Scored) -> None:
    first = CLOCK.cutoff_on(CUTOFF.date()) // 26 * 26
    draws: dict[str, set[str]] = {}
    for cutoff in (first, first + 7, first + 25):
        moved = scored.snapshots.assign(
            cutoff=pd.Series(CLOCK.cutoff_at(cutoff), index=scored.snapshots.index),
            cutoff_number=cutoff,
        )
        record = make(dataclasses.replace(scored, snapshots=moved)).record
        for customer, status in zip(record["customer_id"], record["status"], strict=True):
            draws.setdefault(customer, set()).add(status)
    assert all(len(statuses) == 1 for statuses in draws.values())


def test_the_contacted_are_left_out_and_counted(scored: Scored, week: WeeklyList) -> None:
    first = week.listed["customer_id"].iloc[0]
    again = make(scored, contacted=[first])
    assert first not in set(again.listed["customer_id"])
    assert again.counts["success"][ranking.CONTACTED] == 1


def test_due_dates_count_from_the_cutoff(week: WeeklyList) -> None:
    due = {action.text: action.due_days for action in load_playbook().actions.values()}
    for row in week.listed.itertuples():
        assert row.due_on == CUTOFF.date() + dt.timedelta(days=due[row.action])


def test_snapshots_of_two_cutoffs_are_refused(scored: Scored) -> None:
    mixed = scored.snapshots.copy()
    mixed.loc[0, "cutoff"] = CUTOFF - dt.timedelta(days=7)
    with pytest.raises(ValueError, match="have 2"):
        make(dataclasses.replace(scored, snapshots=mixed))


def test_additional_scores_follow_those_that_make_the_list(
    scored: Scored, week: WeeklyList
) -> None:
    contraction = np.linspace(0, 1, len(scored.X))
    more = make(dataclasses.replace(scored, more_scores={"risk_contraction_13w": contraction}))
    assert more.scores.columns[-1] == "risk_contraction_13w"
    assert np.array_equal(more.scores["risk_contraction_13w"], contraction)
    assert more.scores.drop(columns="risk_contraction_13w").equals(week.scores)
    assert more.listed.equals(week.listed)
    assert more.record.equals(week.record)


def test_an_empty_list_keeps_its_columns_and_types(
    scored: Scored, week: WeeklyList, tmp_path: Any
) -> None:
    empty = nobody(scored)
    for name in ("scores", "listed", "record"):
        frames = [getattr(item, name) for item in (week, empty)]
        for number, frame in enumerate(frames):
            write_parquet(frame, tmp_path / f"{number}.parquet")
        full_schema, empty_schema = (pq.read_schema(tmp_path / f"{i}.parquet") for i in (0, 1))
        assert full_schema == empty_schema
    assert len(empty.listed) == len(empty.record) == 0
    assert csv_text(empty.listed, MONEY_COLUMNS, "EUR").count("\r\n") == 1


def test_two_runs_give_equal_bytes(scored: Scored, week: WeeklyList, tmp_path: Any) -> None:
    for number, item in enumerate((week, make(world()))):
        write_parquet(item.scores, tmp_path / f"{number}-scores.parquet")
        write_parquet(item.record, tmp_path / f"{number}-record.parquet")
        write_csv(item.listed, tmp_path / f"{number}-list.csv", MONEY_COLUMNS, "EUR")
        write_page(item, NO_EXTRAS, tmp_path / f"{number}-list.html")
    for one in sorted(tmp_path.glob("0-*")):
        assert one.read_bytes() == one.with_name(one.name.replace("0-", "1-")).read_bytes()
