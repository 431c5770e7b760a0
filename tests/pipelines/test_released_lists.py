"""Weeks in a row on a small world: lists are released, compared and looked back on."""

from __future__ import annotations

import json
import os
import shutil
import threading
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from data.clock import Clock
from data.contracts import CAUSES
from data.errors import BadInputError
from models.boosters import load_model
from models.explain import explain
from pipelines.commands import release
from pipelines.load import load_newest
from retention.change import CHANGE_COLUMNS
from retention.ranking import LISTED, WITHHELD
from worlds.project import SMALL, Project

if TYPE_CHECKING:
    from pathlib import Path

    from retention.list_page import PageExtras
    from retention.weekly_list import WeeklyList

pytestmark = pytest.mark.filterwarnings("default")

WEEKLY = ("ingest", "validate", "snapshot", "featurize", "train", "score")
QUEUES = ("success", "billing")
SETTINGS = SMALL | {"score.holdout_share": 0.25, "score.contact_cost": 500}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Lists of three weeks: the second one week after the first, the third eight weeks later."""
    made = Project(tmp_path_factory.mktemp("weeks"), SETTINGS)
    made.run(*WEEKLY, "commands.release")
    first = made.bytes_below("lists")
    made.run("commands.advance_week", *WEEKLY, "commands.release")
    after = made.bytes_below("lists")
    assert first.items() <= after.items(), "the first list was touched"
    # Contacts cost more by then, so that some customers are no longer worth a call.
    made.set(SETTINGS | {"ingest.simulated.weeks": 112, "score.contact_cost": 4000})
    made.run(*WEEKLY, "commands.release")
    return made


def folders(project: Project) -> list[Path]:
    return sorted((project / "lists/simulated").glob("cutoff=*"))


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet")


def listed(folder: Path) -> pd.DataFrame:
    record = read(folder, "record")
    return record[record["status"] == LISTED].set_index("customer_id")


def test_a_release_holds_the_candidate_the_model_and_where_they_come_from(project: Project) -> None:
    assert [folder.name for folder in folders(project)] == [
        "cutoff=2024-01-01", "cutoff=2024-01-08", "cutoff=2024-02-26",
    ]  # fmt: skip
    newest = folders(project)[-1]
    about = json.loads((newest / "release.json").read_text())
    assert about["cutoff"] == "2024-02-26"
    assert about["source"] == "simulated"
    assert len(about["params_digest"]) == 64
    assert set(about["freshness"]) >= {"usage", "payments"}
    assert about["model_version"] == read(newest, "list")["model_version"].iloc[0]
    inside = {p.name for p in newest.iterdir()} - {"model", "release.json"}
    assert inside == set(about["files"])
    for name in inside:
        assert (newest / name).read_bytes() == (project / "data/scores" / name).read_bytes()
    assert (newest / "list.csv").stat().st_mode & 0o222 == 0


def test_a_list_is_released_once(project: Project) -> None:
    before = project.bytes_below("lists")
    with pytest.raises(BadInputError, match="cutoff=2024-02-26 exists"):
        project.run("commands.release")
    assert project.bytes_below("lists") == before


def test_only_one_of_two_simultaneous_releases_succeeds(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "two", SETTINGS)
    (other / "data").symlink_to(project / "data")
    errors: list[str] = []

    def attempt() -> None:
        try:
            release.main()
        except BadInputError as error:
            errors.append(str(error))

    with other.inside():
        threads = [threading.Thread(target=attempt) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(errors) == 1
    assert "exists: the list of that week has been released" in errors[0]
    whole = {path.name for path in folders(project)[-1].rglob("*")}
    assert [{p.name for p in f.rglob("*")} for f in folders(other)] == [whole]
    assert [p.name for p in (other / "lists/simulated").iterdir()] == ["cutoff=2024-02-26"]


@pytest.mark.parametrize("name", ["DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"])
def test_no_list_is_released_in_an_experiment(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "leaves")
    for command in ("commands.release", "commands.monday"):
        monkeypatch.setattr("sys.argv", [command])
        with pytest.raises(BadInputError, match="experiment"):
            project.run(command)


def test_a_candidate_of_another_run_is_refused(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other", SETTINGS | {"ingest.source": "oulad"})
    (other / "data").symlink_to(project / "data")
    with pytest.raises(BadInputError, match=r"source simulated, but .* oulad"):
        other.run("commands.release")
    assert not (other / "lists").exists()


def test_the_first_list_is_all_new(project: Project) -> None:
    first = listed(folders(project)[0])
    assert set(first["change"]) == {"new"}
    assert set(first["weeks_on_list"]) == {1}
    assert first[list(CHANGE_COLUMNS)].isna().all(axis=None)
    assert read(folders(project)[0], "gone").empty


def test_every_customer_of_the_last_list_is_accounted_for(project: Project) -> None:
    for before, now in zip(folders(project), folders(project)[1:], strict=False):
        last, this, gone = listed(before), listed(now), read(now, "gone")
        assert set(last.index) - set(this.index) == set(gone["customer_id"])
        assert gone["customer_id"].is_unique
        scores = read(now, "scores").set_index("customer_id")
        for row in gone.itertuples():
            old = last.loc[row.customer_id]
            assert (row.queue, row.position_before) == (old["queue"], old["position"])
            if row.why == "left":
                assert row.customer_id not in scores.index
                continue
            status = scores.loc[row.customer_id, "status"]
            risk = scores.loc[row.customer_id, f"risk_{CAUSES[QUEUES.index(row.queue)]}_4w"]
            assert row.risk_now == risk
            assert row.risk_before == old["risk_4w"]
            if row.why in {"contacted", "paused", "withheld"}:
                assert row.why == status
            elif row.why == "risk_fell":
                assert risk < old["risk_4w"]
            elif row.why == "worth_less":
                assert status == "not_worth_a_call"
            else:
                assert (row.why, status) == ("overtaken", "beyond_capacity")
    assert read(folders(project)[-1], "gone")["why"].nunique() >= 3


def test_places_are_compared_with_the_released_lists(project: Project) -> None:
    one, two, three = map(listed, folders(project))
    for now, earlier in ((two, [one]), (three, [one, two])):
        for customer, row in now.iterrows():
            was_listed = [customer in past.index for past in earlier]
            run = 1
            for present in reversed(was_listed):
                if not present:
                    break
                run += 1
            assert row["weeks_on_list"] == run
            if not was_listed[-1]:
                expected = "back" if any(was_listed) else "new"
            else:
                old = earlier[-1].loc[customer]
                step = row["position"] - old["position"]
                expected = "up" if step < 0 else "down" if step > 0 else "same"
                if old["queue"] != row["queue"]:
                    expected = "moved"
            assert row["change"] == expected
    assert {"new", "up", "down"} <= set(two["change"])


def test_a_change_of_risk_splits_into_behaviour_and_model_exactly(project: Project) -> None:
    before, now = folders(project)[-2:]
    clock = Clock()
    with project.inside():
        data, _ = load_newest(clock, ("4w", "8w", "13w"))
    models = [load_model(folder / "model") for folder in (before, now)]
    assert (
        read(before, "list")["model_version"].iloc[0] != read(now, "list")["model_version"].iloc[0]
    )
    old_model, new_model = (model.predict(data.X, data.feature_names) for model in models)
    row_of = {customer: row for row, customer in enumerate(data.customer_id)}
    last = read(before, "scores").set_index("customer_id")
    frames = [read(now, "record"), read(now, "gone")]
    checked = 0
    for frame in frames:
        known = frame[frame["risk_change_bp"].notna()]
        for row in known.itertuples():
            cause = CAUSES[QUEUES.index(row.queue)]
            here = (row_of[row.customer_id], CAUSES.index(cause), 0)
            steps = [
                last.loc[row.customer_id, f"risk_{cause}_4w"],
                old_model[here],
                new_model[here],
            ]
            a, b, c = np.rint(np.array(steps) * 10_000).astype(int)
            assert row.risk_change_bp == c - a == row.behaviour_change_bp + row.model_change_bp
            assert row.behaviour_change_bp == b - a
            assert row.model_change_bp == c - b
            checked += 1
        absent = frame.loc[frame["risk_change_bp"].isna(), "customer_id"]
        assert not set(absent) & set(last.index) & set(row_of)
    assert checked > 20
    changed = pd.concat(frames)[list(CHANGE_COLUMNS)]
    assert (changed.abs().sum() > 0).all()


def test_reasons_reconcile_with_the_model_on_every_row_of_every_record(project: Project) -> None:
    newest = folders(project)[-1]
    model, record = load_model(newest / "model"), read(newest, "record")
    with project.inside():
        data, _ = load_newest(Clock(), ("4w", "8w", "13w"))
    rows = pd.Index(data.customer_id).get_indexer(record["customer_id"])
    risks = model.predict(data.X[rows], data.feature_names)
    cause = record["queue"].map(QUEUES.index).to_numpy()
    served = risks[np.arange(len(record)), cause, 0]
    assert np.array_equal(record["risk_4w"], served)
    total = record["base_log_odds"] + record.filter(like="contribution_").sum(axis=1)
    assert np.abs(total - np.log(served / (1 - served))).max() < 1e-6
    for number, name in enumerate(CAUSES):
        of_cause = cause == number
        base, parts = explain(model, data.X[rows[of_cause]], data.feature_names, name)
        assert np.allclose(record.loc[of_cause, "base_log_odds"], base, atol=1e-9)
        assert np.allclose(
            record[of_cause].filter(like="contribution_").sum(axis=1), parts.sum(axis=1), atol=1e-6
        )


def test_withheld_customers_are_in_nothing_that_is_handed_out(project: Project) -> None:
    for folder in folders(project):
        record = read(folder, "record")
        withheld = set(record.loc[record["status"] == WITHHELD, "customer_id"])
        assert withheld
        handed_out = [
            (folder / name).read_text(encoding="utf-8")
            for name in ("list.csv", "crm_salesforce.csv", "crm_hubspot.csv", "summary.md",
                         "list.html")
        ]  # fmt: skip
        handed_out.append(pd.read_excel(folder / "list.xlsx").to_csv())
        assert not [name for name in withheld if any(name in text for text in handed_out)]


def test_a_withheld_customer_stays_withheld_through_the_epoch(project: Project) -> None:
    one, two = (read(folder, "record").set_index("customer_id") for folder in folders(project)[:2])
    both = one.join(two.add_suffix("_later"), how="inner")
    assert (both["status"] == both["status_later"]).all()
    assert (both["status"] == WITHHELD).any()


def test_crm_files_have_one_row_per_customer_with_its_id_and_iso_dates(project: Project) -> None:
    newest = folders(project)[-1]
    rows = read(newest, "list")
    for name, key, due in (
        ("salesforce", "External_ID__c", "Action_Due__c"),
        ("hubspot", "customer_external_id", "action_due_date"),
    ):
        crm = pd.read_csv(newest / f"crm_{name}.csv", dtype=str)
        assert crm[key].tolist() == rows["customer_id"].tolist()
        assert crm[key].is_unique
        assert crm[due].tolist() == [day.isoformat() for day in rows["due_on"]]


def test_results_of_the_first_lists_equal_a_recomputation(project: Project) -> None:
    """Recomputed from the raw cancellations, the slow way."""
    with project.inside():
        _, extras = written(project)
    first, second = folders(project)[:2]
    assert [(str(q.cutoff.date()), q.queue) for q in extras.realised] == [
        (folder.name.removeprefix("cutoff="), queue)
        for folder in (first, second)
        for queue in QUEUES
    ]
    assert {effect.horizon for effect in extras.effects} == {"4w"}
    lives = pd.read_parquet(project / "data/snapshots/lifetimes.parquet")
    for queue in extras.realised:
        record = read(first if queue.cutoff.day == 1 else second, "record")
        listed = record[(record["queue"] == queue.queue) & (record["status"] == LISTED)]
        assert queue.listed == len(listed)
        end = queue.cutoff + pd.Timedelta(weeks=4)
        lost = lives[
            (lives["cause"] == CAUSES[QUEUES.index(queue.queue)])
            & (lives["stopped_at"] > queue.cutoff) & (lives["stopped_at"] <= end)
        ]  # fmt: skip
        assert queue.churned == listed["customer_id"].isin(lost["customer_id"]).sum()
        assert queue.promised == pytest.approx(listed["risk_4w"].sum(), abs=0.5)
    assert sum(queue.churned for queue in extras.realised) > 0


def written(project: Project) -> tuple[WeeklyList, PageExtras]:
    """Output of ``score``, before it is written."""
    from pipelines import score  # noqa: PLC0415
    from pipelines.params import load_params  # noqa: PLC0415

    handed: list[tuple[WeeklyList, PageExtras]] = []
    original = score.write
    score.write = lambda params, week, extras, churn: handed.append((week, extras))  # type: ignore[assignment]
    try:
        score.main()
    finally:
        score.write = original
    assert load_params().ingest.source == "simulated"
    return handed[0]


def test_with_changed_horizons_the_past_is_unknown_and_nothing_fails(
    project: Project, tmp_path: Path
) -> None:
    other = Project(
        tmp_path / "other",
        SETTINGS | {"ingest.simulated.weeks": 112, "snapshot.horizons": [3, 8, 13]},
    )
    (other / "lists").symlink_to(project / "lists")
    # The same rows: stages replace files and never edit them, so links suffice.
    for folder in ("data", "reports"):
        shutil.copytree(project / folder, other / folder, copy_function=os.link)
    other.run("snapshot", "featurize", "train", "score")
    record = pd.read_parquet(other / "data/scores/record.parquet")
    assert record[list(CHANGE_COLUMNS)].isna().all(axis=None)
    assert set(record["change"].dropna()) > {"new"}
    assert json.loads((other / "data/scores/realised.json").read_text()) == []


def test_details_of_a_customer_are_those_of_the_logs(project: Project) -> None:
    with project.inside():
        week, extras = written(project)
    clean = {
        name: pd.read_parquet(project / f"data/clean/{name}.parquet")
        for name in ("usage", "payments", "tickets", "subscriptions")
    }
    assert set(extras.details) == set(week.listed["customer_id"])
    as_of = pd.Timestamp(week.cutoff)
    for customer in list(extras.details)[::9]:
        detail = extras.details[customer]
        assert len(detail.weeks) == 26
        assert detail.risks[-1][0] == week.cutoff.date()
        own = week.listed.set_index("customer_id").loc[customer]
        assert detail.risks[-1][1] == own["risk_4w"]
        use, money, tickets = (
            frame[(frame["customer_id"] == customer) & (frame["available_at"] <= as_of)]
            for frame in (clean["usage"], clean["payments"], clean["tickets"])
        )
        for item in detail.weeks:
            end = pd.Timestamp(item.ends_on, tz="UTC")
            rows = use[(use["event_at"] > end - pd.Timedelta(weeks=1)) & (use["event_at"] <= end)]
            assert item.active_days == rows["event_at"].dt.date.nunique()
            assert item.uses == rows["count"].sum()
            paid = money[
                (money["event_at"] > end - pd.Timedelta(weeks=1)) & (money["event_at"] <= end)
            ]
            assert item.paid == paid.loc[paid["kind"] == "succeeded", "amount"].sum()
            assert item.failed == (paid["kind"] == "failed").sum()
        opened = tickets[tickets["kind"] == "opened"].sort_values("event_at", ascending=False)
        assert [t.text for t in detail.tickets] == [
            None if pd.isna(text) else text for text in opened["text"].head(10)
        ]
    log = clean["subscriptions"]
    log = log[log["available_at"] <= as_of].sort_values("event_at", kind="stable")
    status = log[~log["kind"].isin(["renewed", "plan_changed", "interval_changed", "price_changed",
                                    "paused", "resumed", "trial_started"])]  # fmt: skip
    last = status.drop_duplicates("subscription_id", keep="last")
    scheduled = set(last.loc[last["kind"] == "cancel_scheduled", "customer_id"])
    assert extras.decided == len(scheduled - set(week.scores["customer_id"])) > 0
