"""`make promote`: what it asks for, what it decides, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest

from data.errors import BadInputError
from models.boosters import booster_learner, load_model, model_digest, save_model
from models.competing_risks import fit_risk_model
from models.split import refit_block
from pipelines.commands import promote
from pipelines.params import load_params
from pipelines.review.champion import load_champion, serving_model
from pipelines.review.lineage import lineage
from pipelines.review.tracking import tracking_uri
from worlds.project import SMALL, Project
from worlds.risk_world import MODEL, SPLIT, risk_world
from worlds.sealed_scores import sealed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("default")
NAME = "churn-risk-simulated"


def client() -> Any:
    """Client of the store in the folder, whichever store other tests set."""
    from mlflow import MlflowClient  # noqa: PLC0415

    uri = tracking_uri(None)
    return MlflowClient(uri, registry_uri=uri)


class Desk:
    """A project with a model, an MLflow store, and a sealed block whose scores the test chooses."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.project = Project(folder, SMALL | {"snapshot.horizons": [2, 4, 6]})
        shutil.copytree(store, folder, dirs_exist_ok=True)
        self.scores = sealed()

    def publish(self, **changed: str) -> str:
        """Log a run of this state with what the gate reads; return its id."""
        with self.project.inside():
            store = client()
            version = store.create_model_version(NAME, str(self.project / "data/model"))
            run = store.create_run("0")
            tags = lineage(load_params()) | {"model_version": version.version} | changed
            for name, value in tags.items():
                store.set_tag(run.info.run_id, name, value)
            store.log_metric(run.info.run_id, "test/voluntary/2w/log_loss", 0.1)
        return str(run.info.run_id)

    def promote(self, monkeypatch: pytest.MonkeyPatch, run: str, *force: str) -> bool:
        """Whether the gate moved the champion."""
        arguments = ["promote", "--run", run, *(("--force", *force) if force else ())]
        monkeypatch.setattr("sys.argv", arguments)
        table = self.scores.rename(columns=lambda name: name.replace("4w", "2w"))
        try:
            with self.project.inside():
                promote.main(open_block=lambda params: pa.Table.from_pandas(table))
        except SystemExit as stopped:
            return stopped.code != 1
        return True

    def champion(self) -> tuple[str, str]:
        """Run of the champion in the folder, and version under the alias."""
        with self.project.inside():
            stored = load_champion()
            version = client().get_model_version_by_alias(NAME, "champion")
        assert stored is not None
        assert stored.model_version == str(version.version)
        return stored.run_id, str(version.version)

    def run(self, run_id: str) -> Any:
        with self.project.inside():
            return client().get_run(run_id).data

    def configure(self) -> None:
        """Switch to another configuration."""
        self.project.set({"train.lightgbm.num_leaves": 9})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, and a store in which it is registered."""
    project = Project(tmp_path_factory.mktemp("store"), SMALL)
    data = risk_world(customers=100)
    block = refit_block(0, int(data.cutoff.max()), SPLIT)
    model = fit_risk_model("tiny", booster_learner(MODEL), data, block.slices, MODEL)
    save_model(model, project / "data/model")
    (project / "reports").mkdir()
    (project / "reports/snapshots.json").write_text(json.dumps({"as_of": "2024-12-30"}))
    with project.inside():
        client().create_registered_model(NAME)
    (project / "params.yaml").unlink()
    return project.folder


@pytest.fixture
def desk(store: Path, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "project", store)


@pytest.fixture
def crowned(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with a first champion, whose risks are noisy."""
    desk.scores = sealed(noise=1.0)
    assert desk.promote(monkeypatch, desk.publish())
    return desk


def test_the_first_run_becomes_champion_and_its_model_is_tracked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = desk.publish()
    assert desk.promote(monkeypatch, run)
    assert desk.champion() == (run, "1")
    digests = [model_digest(desk.project / path) for path in ("data/model", "champion/model")]
    assert digests[0] == digests[1]
    assert desk.run(run).tags["gate.decision"] == "promoted"
    kept = pd.read_parquet(desk.project / "champion/sealed_scores.parquet")
    assert len(kept) == len(desk.scores)
    # No name of a person is kept in git.
    assert not set(kept["customer_id"]) & set(desk.scores["customer_id"])


@pytest.mark.parametrize(("noise", "moves"), [(2.0, False), (0.0, True)])
def test_another_configuration_must_be_better_by_the_whole_interval(
    crowned: Desk, monkeypatch: pytest.MonkeyPatch, noise: float, moves: bool
) -> None:
    before = crowned.champion()
    crowned.configure()
    crowned.scores = sealed(noise=noise)
    run = crowned.publish()
    assert crowned.promote(monkeypatch, run) is moves
    assert crowned.champion() == ((run, "2") if moves else before)
    logged = crowned.run(run)
    assert logged.tags["gate.decision"] == ("promoted" if moves else "kept the champion")
    assert "Better by the whole interval" in logged.tags["gate.reason"] or not moves
    assert (logged.metrics["gate/difference_high"] < 0) is moves
    assert logged.metrics["gate/common_share"] == 1


def test_a_tie_keeps_the_champion_but_a_refresh_that_ties_moves_it(
    crowned: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = crowned.publish()
    assert crowned.promote(monkeypatch, refresh)
    assert "A refresh within the margin" in crowned.run(refresh).tags["gate.reason"]
    crowned.configure()
    assert not crowned.promote(monkeypatch, crowned.publish())
    assert crowned.champion()[0] == refresh


def test_another_source_is_not_comparable_and_opens_nothing(
    crowned: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, openings = crowned.champion(), (crowned.project / "champion/openings.json").read_text()
    crowned.project.set({"ingest.source": "files"})
    run = crowned.publish()
    assert not crowned.promote(monkeypatch, run)
    assert crowned.run(run).tags["gate.reason"].startswith("Not comparable: the champion is of")
    assert (crowned.project / "champion/openings.json").read_text() == openings
    assert crowned.champion() == before


def test_openings_are_counted_whatever_comes_of_them(
    crowned: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowned.configure()
    crowned.scores = sealed(noise=2.0)
    run = crowned.publish()
    for count in (2, 3):
        assert not crowned.promote(monkeypatch, run)
        assert crowned.run(run).metrics["gate/openings"] == count

    def broken(params: Any) -> Any:
        raise BadInputError("No such weeks.")

    with pytest.raises(BadInputError), crowned.project.inside():
        promote.main(open_block=broken)
    assert len(json.loads((crowned.project / "champion/openings.json").read_text())) == 4


def test_force_overrules_with_a_reason_in_words(
    crowned: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowned.configure()
    crowned.scores = sealed(noise=2.0)
    run = crowned.publish()
    for no_reason in ("1", "", "yes"):
        with pytest.raises(BadInputError, match="needs a reason in words"):
            crowned.promote(monkeypatch, run, no_reason)
    assert crowned.promote(monkeypatch, run, "the old model reads a log that is gone")
    reason = crowned.run(run).tags["gate.reason"]
    assert reason.startswith("Not better by the whole interval")
    assert reason.endswith("Forced: the old model reads a log that is gone")
    assert crowned.champion()[0] == run


def test_a_run_that_is_not_the_state_of_the_folder_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = desk.publish(git_commit="0123456789abcdef")
    desk.configure()
    sentence = r"configuration_digest differ.*git checkout 0123456789 and dvc checkout"
    with pytest.raises(BadInputError, match=sentence):
        desk.promote(monkeypatch, run)
    with pytest.raises(BadInputError, match="needs RUN="):
        desk.promote(monkeypatch, "")
    with pytest.raises(BadInputError, match="take the run id from the run's page"):
        desk.promote(monkeypatch, "0" * 32)
    assert not (desk.project / "champion").exists()


def test_a_store_that_fails_half_way_leaves_the_champion(
    crowned: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = crowned.project.bytes_below("champion")
    run = crowned.publish()

    def full(*arguments: Any) -> None:
        raise BadInputError("MLflow can't be used (database or disk is full).")

    monkeypatch.setattr(promote, "move_alias", full)
    with pytest.raises(BadInputError, match="disk is full"):
        crowned.promote(monkeypatch, run)
    after = crowned.project.bytes_below("champion")
    del before["champion/openings.json"], after["champion/openings.json"]
    assert after == before


def test_the_champion_scores_when_it_is_chosen(
    crowned: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crowned.project.inside():
        _, fresh = serving_model(load_params(), 1)
        crowned.project.set({"score.model": "champion"})
        model, version = serving_model(load_params(), 1)
        assert version == fresh
        assert model.notes == load_model(crowned.project / "champion/model").notes
        crowned.project.set({"ingest.source": "files"})
        with pytest.raises(BadInputError, match="has the source simulated"):
            serving_model(load_params(), 1)
        shutil.rmtree("champion")
        with pytest.raises(BadInputError, match=r"champion\.json is missing: promote a run"):
            serving_model(load_params(), 1)
