"""Change since the last list, case by case, and withholding over weeks."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from data.contracts import CAUSES
from retention import ranking
from retention.change import CHANGE_COLUMNS, WHYS, Past, gone, movement, split
from retention.ranking import LISTED, WITHHELD
from worlds.list_world import CLOCK, CUTOFF, SETTINGS, earlier, make, world

WEEK = dt.timedelta(weeks=1)


def record(*rows: tuple[str, str, int | None]) -> pd.DataFrame:
    """Customer, queue, and the position or None where withheld."""
    return pd.DataFrame(
        {
            "customer_id": pd.Series([row[0] for row in rows], dtype="str"),
            "queue": pd.Series([row[1] for row in rows], dtype="str"),
            "position": pd.Series([row[2] for row in rows], dtype="Int64"),
            "status": [WITHHELD if row[2] is None else LISTED for row in rows],
            "owner": "Anna",
            "segment": "smb",
            "mrr": 100,
        }
    )


def scores(**statuses: tuple[str, float]) -> pd.DataFrame:
    """Status and risk of both causes by customer."""
    frame = pd.DataFrame({"customer_id": pd.Series(list(statuses), dtype="str")})
    for cause in CAUSES:
        frame[f"risk_{cause}_4w"] = [risk for _, risk in statuses.values()]
    return frame.assign(status=[status for status, _ in statuses.values()], queue="success")


PAST = Past(
    cutoffs=(CUTOFF - 3 * WEEK, CUTOFF - 2 * WEEK, CUTOFF - WEEK),
    records=(
        record(("back", "success", 1), ("stays", "success", 2), ("broken", "success", 3)),
        record(("stays", "success", 1), ("secret", "success", None)),
        record(("up", "success", 4), ("down", "success", 1), ("same", "success", 3),
               ("moved", "success", 2), ("stays", "billing", 1), ("broken", "success", 5),
               ("secret", "success", None)),
    ),
    scores=scores(up=(LISTED, 0.2)),
)  # fmt: skip


def test_each_kind_of_movement() -> None:
    listed = record(
        ("new", "success", 1), ("back", "success", 2), ("up", "success", 3), ("down", "success", 4),
        ("same", "success", 3), ("moved", "billing", 2), ("stays", "billing", 1),
        ("broken", "success", 6), ("secret", "success", 7),
    )  # fmt: skip
    moves = movement(listed, PAST).set_index(listed["customer_id"])
    assert moves["change"].to_dict() == {
        "new": "new", "back": "back", "up": "up", "down": "down", "same": "same",
        "moved": "moved", "stays": "same", "broken": "down",
        "secret": "new",  # withheld until now: the team has never seen it
    }  # fmt: skip
    assert moves["weeks_on_list"].to_dict() == {
        "new": 1, "back": 1, "up": 2, "down": 2, "same": 2, "moved": 2, "stays": 4, "broken": 2,
        "secret": 1,
    }  # fmt: skip


def test_each_reason_to_be_gone() -> None:
    names = ("called", "resting", "calmer", "cheaper", "passed", "departed", "drawn", "here")
    last = record(*((name, "success", place) for place, name in enumerate(names, start=1)))
    before = scores(**dict.fromkeys(names, (LISTED, 0.2)))
    now = scores(
        called=(ranking.CONTACTED, 0.3),
        resting=(ranking.PAUSED, 0.1),
        calmer=(ranking.NOT_WORTH_A_CALL, 0.1),
        cheaper=(ranking.NOT_WORTH_A_CALL, 0.2),
        passed=(ranking.BEYOND_CAPACITY, 0.25),
        drawn=(WITHHELD, 0.3),
        here=(LISTED, 0.3),
    )
    departures = gone(now, "4w", Past((CUTOFF - WEEK,), (last,), before)).set_index("customer_id")
    assert departures["why"].to_dict() == {
        "called": "contacted", "resting": "paused", "calmer": "risk_fell", "cheaper": "worth_less",
        "passed": "overtaken", "departed": "left", "drawn": "withheld",
    }  # fmt: skip
    assert set(departures["why"]) == {*WHYS, WITHHELD}
    assert departures.loc["calmer", "risk_change_bp"] == -1000
    assert departures.loc["departed", list(CHANGE_COLUMNS)].isna().all()
    # The last model is missing: the change is known, its parts are not.
    assert departures["behaviour_change_bp"].isna().all()


def test_a_customer_who_is_now_withheld_is_gone_without_explanation() -> None:
    week = make(world())
    withheld = week.record[week.record["status"] == WITHHELD]
    columns = ["customer_id", "queue", "position", "status", "owner", "segment", "mrr"]
    # They were on the list of the epoch before.
    last = pd.concat([week.record[columns].assign(status=LISTED)], ignore_index=True)
    last["position"] = pd.Series(np.arange(1, len(last) + 1), dtype="Int64")
    now = make(world(), past=Past((CUTOFF - WEEK,), (last,), week.scores))
    assert set(now.gone_record["customer_id"]) == set(withheld["customer_id"])
    assert now.gone.empty
    assert sum(n for by_why in now.gone_counts.values() for n in by_why.values()) == 0


@pytest.mark.parametrize("seed", range(20))
def test_parts_sum_exactly(seed: int) -> None:
    generator = np.random.default_rng(seed)
    now, before, between = generator.random((3, 500))
    between[generator.random(500) < 0.1] = np.nan
    before[generator.random(500) < 0.1] = np.nan
    frame = split(now, before, between)
    whole = frame.dropna()
    assert len(whole) > 300
    parts = whole["behaviour_change_bp"] + whole["model_change_bp"]
    assert (parts == whole["risk_change_bp"]).all()
    assert (frame["risk_change_bp"].isna() == np.isnan(before)).all()
    assert frame.loc[np.isnan(before)].isna().all(axis=None)
    assert np.abs(whole["risk_change_bp"] / 1e4 - (now - before)[whole.index]).max() <= 1e-4


def test_a_list_with_a_past_counts_everyone_of_it() -> None:
    first = make(world())
    past = earlier(first)
    week = make(world(), past=past)
    last = past.handed_out()[-1]
    still = last["customer_id"].isin(week.listed["customer_id"]).sum()
    counted = sum(n for by_why in week.gone_counts.values() for n in by_why.values())
    silent = (week.gone_record["why"] == WITHHELD).sum()
    assert still + counted + silent == len(last)
    assert week.previous == past.cutoffs[-1]
    assert week.totals_before is not None
    assert week.totals.listed == len(week.listed)
    assert week.totals.listed_mrr == week.listed["mrr"].sum()


def test_a_customer_listed_for_six_weeks_is_withheld_in_all_or_in_none() -> None:
    start = CLOCK.cutoff_on(CUTOFF.date()) // SETTINGS.epoch_periods * SETTINGS.epoch_periods
    base = world()
    seen: dict[str, list[str]] = {}
    for step in range(6):
        noise = np.random.default_rng(step).uniform(0.7, 1.0, len(base.X))
        # Ranks differ each week: a customer's neighbours do not matter.
        snapshots = base.snapshots.assign(
            cutoff=pd.Series(CLOCK.cutoff_at(start + step), index=base.snapshots.index),
            mrr=(base.snapshots["mrr"] * noise).astype("int64"),
        )
        made = make(dataclasses.replace(base, snapshots=snapshots)).record
        for row in made.itertuples():
            seen.setdefault(row.customer_id, []).append(row.status)
    assert all(len(set(statuses)) == 1 for statuses in seen.values())
    often = [statuses[0] for statuses in seen.values() if len(statuses) == 6]
    assert {LISTED, WITHHELD} == set(often)
