"""The stages together, on a small simulated world."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.coded import codes_of
from data.contracts import CAUSES, OUTCOMES, TABLES
from models.boosters import load_model, model_digest
from models.explain import explain
from pipelines import evaluate
from pipelines.commands.summary import summary
from pipelines.load import load_history
from pipelines.modelling import model_settings
from pipelines.params import load_params
from pipelines.review import pictures
from pipelines.review.description import description
from reading.document import Document
from retention.language import ENGLISH
from worlds.project import ROOT, SMALL, STAGES, Project

if TYPE_CHECKING:
    from models.risk_data import RiskData

# MLflow and the libraries below it warn of each other's old names.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def done(tmp_path_factory: Any) -> Project:
    """A project in which every stage has run, on one thread."""
    project = Project(tmp_path_factory.mktemp("one"), SMALL | {"engine.threads": 1})
    project.run(*STAGES)
    return project


def test_every_raw_row_is_clean_or_in_quarantine(done: Project) -> None:
    report = json.loads((done / "reports/quality.json").read_text())
    for name in TABLES:
        rows = {
            folder: pq.read_metadata(done / f"data/{folder}/{name}.parquet").num_rows
            for folder in ("raw", "clean", "quarantine")
        }
        assert rows["raw"] == rows["clean"] + rows["quarantine"] == report[name]["rows"]
        broken = pq.read_table(done / f"data/quarantine/{name}.parquet")["rule"]
        assert sum(report[name]["rules"].values()) == len(broken.drop_null()) == rows["quarantine"]


def test_everyone_eligible_has_a_score_and_the_listed_stand_in_one_queue(done: Project) -> None:
    snapshots = pd.read_parquet(done / "data/snapshots/snapshots.parquet")
    now = snapshots[snapshots["newest"]]
    scores = pd.read_parquet(done / "data/scores/scores.parquet")
    assert sorted(scores["customer_id"]) == sorted(now["customer_id"])
    for cause in CAUSES:
        risks = scores[[f"risk_{cause}_{label}" for label in ("4w", "8w", "13w")]].to_numpy()
        assert (np.diff(risks, axis=1) >= 0).all()
        assert ((risks > 0) & (risks < 1)).all()
    listed = pd.read_parquet(done / "data/scores/list.parquet")
    assert len(listed) > 20
    assert listed["customer_id"].is_unique
    record = pd.read_parquet(done / "data/scores/record.parquet")
    withheld = record[record["status"] == "withheld"]["customer_id"]
    assert len(withheld) > 0
    handed_out = (done / "data/scores/list.csv").read_text() + (
        done / "data/scores/list.html"
    ).read_text()
    assert not any(customer in handed_out for customer in withheld)


def test_the_list_equals_a_recomputation_from_model_and_features(done: Project) -> None:
    model = load_model(done / "data/model")
    features = pd.read_parquet(done / "data/features/features.parquet")
    features = features[features["cutoff"] == features["cutoff"].max()].set_index("customer_id")
    listed = pd.read_parquet(done / "data/scores/list.parquet")
    names = model.feature_names
    X = features.loc[listed["customer_id"], list(names)].to_numpy(dtype=np.float32)
    risks = model.predict(X, names)
    for position, (cause, queue) in enumerate(zip(CAUSES, ("success", "billing"), strict=True)):
        rows = (listed["queue"] == queue).to_numpy()
        assert np.array_equal(listed["risk_4w"].to_numpy()[rows], risks[rows, position, 0])
        base, contributions = explain(model, X[rows], names, cause)
        served = risks[rows, position, 0]
        log_odds = np.log(served / (1 - served))
        assert np.abs(base + contributions.sum(axis=1) - log_odds).max() < 1e-6


def test_evaluation_writes_scored_snapshots_whose_outcomes_were_known_in_time(
    done: Project,
) -> None:
    scored = pd.read_parquet(done / "data/backtest/test_scores.parquet")
    assert set(scored["model"]) == {
        "competing_risks",
        "logistic_regression",
        "recency_rule",
        "base_rate",
    }
    outcomes = pd.read_parquet(done / "data/snapshots/outcomes.parquet")
    both = scored.merge(outcomes, on=["customer_id", "cutoff"], suffixes=("", "_observed"))
    assert len(both) == len(scored)
    assert (both["outcome_4w"] == both["outcome_4w_observed"]).all()
    as_of = outcomes["cutoff"].max()
    assert scored["cutoff"].max() + pd.Timedelta(weeks=13 + 3) <= as_of


def numbers(values: Any, path: str = "") -> dict[str, float]:
    """Every number in nested figures, by its path."""
    if isinstance(values, dict):
        return {
            k: v for name, one in values.items() for k, v in numbers(one, f"{path}/{name}").items()
        }
    return {path[1:]: float(values)} if isinstance(values, int | float) else {}


def test_the_sealed_block_is_scored_on_demand_alone_and_after_the_open_ones(done: Project) -> None:
    stored = pq.read_table(done / "data/backtest/test_scores.parquet")
    with done.inside():
        sealed = evaluate.sealed_scores(load_params())
    assert sealed.schema.names == stored.schema.names
    assert pc.min(sealed["cutoff"]).as_py() > pc.max(stored["cutoff"]).as_py()
    assert set(sealed["block"].to_pylist()) == {1}
    assert set(stored["block"].to_pylist()) == {0}
    keys = sealed.select(["customer_id", "cutoff"]).to_pandas()
    assert not keys.duplicated().any()
    assert keys.equals(keys.sort_values(["customer_id", "cutoff"]))


def test_scores_hold_the_risk_of_contraction_and_the_loss_expected_of_all(done: Project) -> None:
    scores = pd.read_parquet(done / "data/scores/scores.parquet")
    share = load_model(done / "data/model").contraction
    assert share is not None
    leaves = scores["risk_voluntary_13w"] + scores["risk_involuntary_13w"]
    less = scores["risk_contraction_13w"]
    assert (less > 0).all()
    assert (leaves + less < 1).all()
    expected = (leaves + share.lost_share * less) * scores["mrr"]
    assert np.allclose(scores["expected_loss_13w"], expected)
    table = pd.read_parquet(done / "data/backtest/test_scores.parquet")
    assert table["contracted"].dropna().mean() == pytest.approx(less.mean(), rel=0.5)


def test_a_memory_limit_thins_snapshots_by_hash_and_a_lower_one_more(done: Project) -> None:
    with done.inside():
        clock, names = load_params().clock, ("4w", "8w", "13w")
        whole, half, fifth = (load_history(clock, names, limit) for limit in ("1TB", "5MB", "2MB"))

    def keys(data: RiskData) -> set[tuple[str, int]]:
        return set(zip(data.customer_id, data.cutoff, strict=True))

    assert keys(fifth) < keys(half) < keys(whole)
    assert half.X.nbytes == pytest.approx(5e6, rel=0.05)
    known = (whole.outcome[:, 0] > 0).mean()
    assert (half.outcome[:, 0] > 0).mean() == pytest.approx(known, rel=0.3)


def test_tuning_is_off_unless_asked_for_and_then_what_it_finds_is_used(
    done: Project, tmp_path: Any
) -> None:
    with done.inside():
        assert json.loads(Path("reports/tuning.json").read_text()) == {"lightgbm": {}, "trials": []}
    other = Project(tmp_path / "tuned", SMALL | {"tune.trials": 2, "tune.folds": 1})
    for folder in ("snapshots", "features"):
        shutil.copytree(done / f"data/{folder}", other / f"data/{folder}")
    other.run("tune")
    tuning = json.loads((other / "reports/tuning.json").read_text())
    assert len(tuning["trials"]) == 2
    assert tuning["lightgbm"] == min(tuning["trials"], key=lambda one: one["loss"])["params"]
    tuning["lightgbm"] = {"num_leaves": 3}
    (other / "reports/tuning.json").write_text(json.dumps(tuning))
    with other.inside():
        settings = model_settings(load_params(), {})
    assert settings.lightgbm["num_leaves"] == 3


def test_a_planted_leak_and_a_cause_with_too_few_events_are_named_on_the_page(
    done: Project, tmp_path: Any
) -> None:
    leaky = Project(tmp_path / "leaky", SMALL | {"train.min_events": 100})
    for folder in ("clean", "snapshots", "features"):
        shutil.copytree(done / f"data/{folder}", leaky / f"data/{folder}")
    (leaky / "reports").mkdir()
    shutil.copy(done / "reports/snapshots.json", leaky / "reports")
    outcome = pq.read_table(leaky / "data/snapshots/outcomes.parquet")["outcome_4w"]
    path = leaky / "data/features/features.parquet"
    features = pq.read_table(path)
    column = features.schema.get_field_index("uses_1w")
    leak = pa.array(codes_of(outcome, OUTCOMES) == OUTCOMES.index("voluntary"))
    leak = leak.cast(features.schema.field(column).type)
    pq.write_table(features.set_column(column, "uses_1w", leak), path)
    leaky.run("train", "score")
    page = (leaky / "data/scores/list.html").read_text()
    assert "voluntary churn in periods 1 to 4: too good to be true: AUROC" in page
    assert "involuntary churn in periods 1 to 4" in page
    assert "learned from both causes together" in page
    assert "too good to be true" not in (done / "data/scores/list.html").read_text()
    model = load_model(leaky / "data/model")
    evaluation = json.loads((done / "reports/evaluation/evaluation.json").read_text())
    evaluation["notes"] = [{"model": model.name, "note": note} for note in model.notes]
    tags = {"source": "simulated", "cutoff": "2023-12-25"}
    text = description(evaluation, tags, {"snapshot.thin_every": 4}, {}, None, ())
    assert all(f"- {note}" in text for note in model.notes)


def test_page_picture_and_notebook_give_the_same_cohorts_recovery_and_losses(
    done: Project,
) -> None:
    mpl.use("agg")
    page = Document((done / "data/scores/overview.html").read_text(encoding="utf-8")).text
    with done.inside():
        drawn = pictures.retention_by_cohort(load_params())
        notebook = runpy.run_path(str(ROOT / "notebooks/5_churn_in_money.py"))
    assert notebook["cohorts"].equals(drawn)
    assert drawn.notna().sum().sum() > 20
    for quarter, shares in drawn.items():
        year, number = str(quarter).split()
        row = " ".join("—" if pd.isna(share) else ENGLISH.percent(share) for share in shares)
        assert re.search(rf"{number} {year} [\d,]+ {re.escape(row)}", page), quarter
    churn = notebook["churn"]
    recovery = churn.recent_recovery
    assert f"{recovery.recovered:,} of {recovery.failed:,} within 28 days" in page
    assert notebook["rates"].tolist() == [item.rate for _, item in churn.recovery]
    assert notebook["settled"]["recovered"].sum() >= recovery.recovered > 0
    for month, item in churn.recovery:
        assert f"{ENGLISH.month(month)} {item.failed} {item.recovered} " in page
    for month, lost in notebook["lost"].iterrows():
        cents = " ".join(ENGLISH.money(round(100 * lost[cause]), "EUR") for cause in CAUSES)
        assert re.search(rf"{ENGLISH.month(month)} \S+ {re.escape(cents)} ", page), month


def test_mlflow_holds_the_metrics_of_the_metrics_files(done: Project) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(f"sqlite:///{done.folder / 'mlflow.db'}")
    published = json.loads((done / "reports/published.json").read_text())
    parent = client.get_run(published["run_id"])
    runs = client.search_runs([parent.info.experiment_id])
    children = [run for run in runs if run.info.run_id != parent.info.run_id]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    named = {run.data.tags["mlflow.runName"]: run.data.metrics for run in children}
    # Metrics shared by all rivals are logged on the parent as the model's.
    logged = {k: v for metrics in named.values() for k, v in metrics.items()} | parent.data.metrics
    read = {
        name: json.loads((done / f"reports/{name}.json").read_text())
        for name in ("metrics", "quality", "snapshots")
    }
    expected = numbers(read.pop("metrics")) | numbers(read)
    assert len(expected) > 150
    assert {name: logged.get(name) for name in expected} == expected
    evaluation = json.loads((done / "reports/evaluation/evaluation.json").read_text())
    baseline = evaluation["pooled"]["base_rate"]["voluntary"]["4w"]["log_loss"]["value"]
    assert named["baseline base_rate"]["test/voluntary/4w/log_loss"] == baseline
    curve = client.get_metric_history(published["run_id"], "week/voluntary/4w/log_loss")
    weekly = [week["competing_risks"]["voluntary"]["4w"] for week in evaluation["weeks"].values()]
    assert [point.value for point in curve] == [cell["log_loss"] for cell in weekly]
    steps = [point.step for point in curve]
    assert steps == list(range(steps[0], steps[0] + len(weekly)))
    assert parent.data.params["train.lightgbm.num_leaves"] == "5"
    assert parent.data.tags["model_digest"] == model_digest(done / "data/model")
    version = client.get_model_version_by_alias("churn-risk-simulated", "challenger")
    assert str(version.version) == published["model_version"]


def test_the_description_reads_like_a_review(done: Project) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415

    published = json.loads((done / "reports/published.json").read_text())
    client = MlflowClient(f"sqlite:///{done.folder / 'mlflow.db'}")
    note = client.get_run(published["run_id"]).data.tags["mlflow.note.content"]
    headings = [line[4:] for line in note.splitlines() if line.startswith("### ")]
    assert headings == [
        "What changed since the champion",
        "The figures that matter",
        "What to look at",
        "Known limits",
    ]
    assert "There is no champion yet" in note
    figure = json.loads((done / "reports/metrics.json").read_text())["test"]["voluntary"]["4w"]
    assert f"| log loss | {figure['log_loss']:.5f} (" in note
    pictures = {item.path for item in client.list_artifacts(published["run_id"], "pictures")}
    assert len(pictures) == 10


def test_the_registered_model_gives_the_scores_of_the_list(done: Project) -> None:
    import mlflow  # noqa: PLC0415

    with done.inside():
        mlflow.set_tracking_uri(f"sqlite:///{done.folder / 'mlflow.db'}")
        model = mlflow.pyfunc.load_model("models:/churn-risk-simulated@challenger")
    features = pd.read_parquet(done / "data/features/features.parquet")
    newest = features[features["cutoff"] == features["cutoff"].max()]
    X = newest.drop(columns=["customer_id", "cutoff"]).astype(np.float64)
    risks = model.predict(X)
    scores = pd.read_parquet(done / "data/scores/scores.parquet").set_index("customer_id")
    for column in risks.columns:
        served = scores.loc[newest["customer_id"], column].to_numpy()
        assert np.array_equal(risks[column].to_numpy(), served)


def test_the_summary_names_the_list_the_page_and_the_ui(done: Project) -> None:
    with done.inside():
        text = summary("EUR")
    listed = pd.read_parquet(done / "data/scores/list.parquet")
    assert all(customer in text for customer in listed["customer_id"][:5])
    assert all(name in text for name in ("list.csv", "list.html", "make ui"))


@pytest.fixture(scope="module")
def blind(tmp_path_factory: Any) -> tuple[Project, list[str]]:
    """A project run on two threads without the truth; attempts to read it are recorded."""
    project = Project(tmp_path_factory.mktemp("two"), SMALL | {"engine.threads": 2})
    project.run("ingest")
    looked: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"open", "os.listdir", "os.scandir"} and "truth" in str(arguments[0]):
            looked.append(event)

    # Native readers raise no such event: for them the truth is gone altogether.
    truth, elsewhere = project / "data/truth", project / "elsewhere"
    truth.rename(elsewhere)
    truth.mkdir()
    sys.addaudithook(hook)
    project.run("validate", "snapshot", "featurize", "train", "score")
    stages = list(looked)
    assert list(truth.iterdir()) == []
    assert looked, "the hook sees nothing, so that what it found means nothing"
    truth.rmdir()
    elsewhere.rename(truth)
    return project, stages


def test_threads_change_no_byte_of_features_model_and_list(
    done: Project, blind: tuple[Project, list[str]]
) -> None:
    other, _ = blind
    folders = ("data/raw", "data/truth", "data/clean", "data/quarantine", "data/snapshots",
               "data/periods", "data/features", "data/scores")  # fmt: skip
    one, two = done.bytes_below(*folders), other.bytes_below(*folders)
    assert one.keys() == two.keys()
    assert [path for path in one if one[path] != two[path]] == []
    assert model_digest(done / "data/model") == model_digest(other / "data/model")


def test_no_stage_but_evaluate_looks_at_the_truth(blind: tuple[Project, list[str]]) -> None:
    _, looked = blind
    assert looked == []


def test_the_share_of_attainable_skill_is_reported(done: Project) -> None:
    attainable = json.loads((done / "reports/metrics.json").read_text())["attainable"]
    for cause in CAUSES:
        for cell in attainable["full_information"][cause].values():
            assert set(cell) == {"log_loss", "average_precision"}
    # So small a world teaches little, but some of what the oracle knows about payments.
    assert 0 < attainable["full_information"]["involuntary"]["4w"]["log_loss"] < 1
    assert (
        "Share of the attainable skill" in (done / "reports/evaluation/evaluation.md").read_text()
    )


def test_a_week_more_changes_one_number_of_the_parameters(tmp_path: Any) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    project = Project.__new__(Project)
    project.folder = tmp_path
    project.run("commands.advance_week", "commands.advance_week")
    after = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert after == text.replace("    weeks: 156 ", "    weeks: 158 ")
