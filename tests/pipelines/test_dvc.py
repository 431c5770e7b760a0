"""The stages under DVC, in a clone: which stages run again, experiments, real input."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reading.oulad_page import changes
from worlds.clone import Clone, stages_run
from worlds.project import ROOT, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

SHARED = Path(os.environ.get("CHURN_RISK_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the pipeline has run once on a small simulated world."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    assert stages_run(made.dvc("repro")) == list(STAGES)
    made.commit()
    return made


@pytest.fixture
def clone(first_run: Clone) -> Iterator[Clone]:
    """The state after the first run, independent of earlier tests."""
    yield first_run
    first_run.restore()


def test_a_second_run_runs_nothing_and_logs_nothing(clone: Clone) -> None:
    assert clone.mlflow_runs() == 1
    output = clone.dvc("repro")
    assert stages_run(output) == []
    assert clone.mlflow_runs() == 1
    assert clone.git("status", "--porcelain") == ""


def test_what_features_read_trains_again_only_if_a_byte_of_them_changed(clone: Clone) -> None:
    """A comment and a new phrase both measure again; only the phrase changes a feature."""
    phrases = clone / "features/phrases.py"
    code = phrases.read_text(encoding="utf-8")
    phrases.write_text(code + "# A remark.\n", encoding="utf-8")
    assert stages_run(clone.dvc("repro")) == ["featurize"]
    assert 'r"frustrat"' in code
    phrases.write_text(code.replace('r"frustrat"', 'r"the"'), encoding="utf-8")
    after = ["featurize", "tune", "train", "evaluate", "score", "publish"]
    assert stages_run(clone.dvc("repro")) == after


def test_a_cached_state_is_published_again_when_told_to(clone: Clone) -> None:
    before = clone.mlflow_runs()
    assert stages_run(clone.dvc("repro", "--single-item", "--force", "publish")) == ["publish"]
    assert clone.mlflow_runs() == before + 1


def test_an_experiment_runs_what_it_changes_and_can_be_compared(clone: Clone) -> None:
    before = json.loads((clone / "reports/metrics.json").read_text())
    runs = clone.mlflow_runs()
    output = clone.dvc("exp", "run", "--name", "leaves", "-S", "train.lightgbm.num_leaves=9")
    assert stages_run(output) == ["tune", "train", "evaluate", "score", "publish"]
    assert clone.mlflow_runs() == runs + 1
    after = json.loads((clone / "reports/metrics.json").read_text())
    assert after != before
    shown = json.loads(clone.dvc("metrics", "show", "--json"))
    assert shown[""]["data"]["reports/metrics.json"]["data"] == after
    difference = json.loads(clone.dvc("metrics", "diff", "--json"))
    logged = difference["reports/metrics.json"]["test.voluntary.4w.log_loss"]
    cells = [metrics["test"]["voluntary"]["4w"]["log_loss"] for metrics in (before, after)]
    assert [logged["old"], logged["new"]] == cells
    table = clone.dvc("exp", "show", "--csv")
    assert "leaves" in table
    assert "train.lightgbm.num_leaves" in table.splitlines()[0]
    clone.dvc("plots", "show", "--out", "plots-page")
    page = (clone / "plots-page/index.html").read_text()
    assert "Calibration on test weeks" in page
    assert "AUROC by test week" in page
    assert "calibration.png" in page
    # Back to the state before: from the cache, without a run.
    shutil.rmtree(clone / "plots-page")
    clone.restore()
    assert json.loads((clone / "reports/metrics.json").read_text()) == before
    assert stages_run(clone.dvc("repro")) == []


def test_new_rows_of_a_folder_outside_alone_make_it_run(clone: Clone, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(clone / "data/raw", logs)
    clone.set({"ingest.source": "files", "ingest.path": logs})
    assert stages_run(clone.dvc("repro", "validate")) == ["ingest", "validate"]
    assert stages_run(clone.dvc("repro", "validate")) == []
    usage = pq.read_table(logs / "usage.parquet")
    clean = pq.read_table(clone / "data/clean/usage.parquet")
    new = [clean.slice(0, 1).to_pylist()[0] | {"event_id": "new"}]
    more = pa.concat_tables([usage, pa.Table.from_pylist(new, usage.schema)])
    pq.write_table(more, logs / "usage.parquet")
    assert stages_run(clone.dvc("repro", "validate")) == ["ingest", "validate"]
    after = pq.read_table(clone / "data/clean/usage.parquet")
    assert set(after["event_id"].to_pylist()) - set(clean["event_id"].to_pylist()) == {"new"}
    assert stages_run(clone.dvc("repro", "validate")) == []


def test_a_stage_that_fails_leaves_earlier_outputs_in_place(clone: Clone) -> None:
    project = clone.set({"snapshot.as_of": "2030-01-07"})
    before = project.bytes_below("data", "reports")
    failed = clone.dvc_done("repro")
    assert failed.returncode != 0
    assert stages_run(failed.stdout + failed.stderr) == ["snapshot"]
    errors = [line for line in failed.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: snapshot.as_of is 2030-01-07, but the logs reach only to")
    assert "Traceback" not in failed.stderr
    assert project.bytes_below("data", "reports") == before
    clone.restore()
    assert stages_run(clone.dvc("repro")) == []


def test_a_week_later_the_last_list_is_as_it_was_and_everyone_on_it_accounted_for(
    clone: Clone,
) -> None:
    lists = clone / "lists/simulated"
    try:
        assert clone.stage("commands.release").returncode == 0
        (first,) = lists.iterdir()
        before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
        # The list reads what was released; the release itself changes nothing.
        assert stages_run(clone.dvc("repro")) == ["score"]
        again = clone.stage("commands.release")
        assert again.returncode == 1
        assert "has been released" in again.stderr
        done = clone.stage("commands.monday")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {path: path.read_bytes() for path in before} == before
        _, second = sorted(lists.iterdir())
        old, new, gone = (
            pd.read_parquet(path)
            for path in (first / "list.parquet", second / "list.parquet", second / "gone.parquet")
        )
        stayed = set(new.loc[~new["change"].isin(["new", "back"]), "customer_id"])
        assert stayed | set(gone["customer_id"]) == set(old["customer_id"])
        assert not stayed & set(gone["customer_id"])
        clone.commit()
        clone.dvc("exp", "run", "--name", "cheap", "-S", "score.contact_cost=1")
        refused = clone.stage("commands.release")
        assert refused.returncode == 1
        assert "result of the experiment cheap" in refused.stderr
        assert len(list(lists.iterdir())) == 2
    finally:
        shutil.rmtree(lists, ignore_errors=True)


def test_oulad_runs_to_a_list_on_real_behaviour(clone: Clone) -> None:
    path = SHARED / "oulad"
    if not path.is_dir():
        pytest.skip(f"There is no {path}: put OULAD there, or set CHURN_RISK_SHARED_DATA.")
    page = [change for change in changes() if not change.startswith("ingest.path=")]
    given = [f"ingest.path={path}", *page]
    clone.dvc("exp", "run", *[part for change in given for part in ("-S", change)])
    listed = pd.read_parquet(clone / "data/scores/list.parquet")
    assert len(listed) > 0
    assert listed["customer_id"].str.match(r"^(AAA|BBB)-").all()
    assert (listed["queue"] == "success").all()
    evaluation = json.loads((clone / "reports/evaluation/evaluation.json").read_text())
    assert len(evaluation["pooled"]) == 4
    for cells in evaluation["pooled"].values():
        for metric in ("auroc", "average_precision", "log_loss", "calibration_slope"):
            assert {"value", "low", "high"} <= cells["voluntary"]["1w"][metric].keys()
