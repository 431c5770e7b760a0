"""The reviewers' desk in a real browser: experiments compared, a run, its pictures, the model."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from worlds.clone import Clone
from worlds.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with a champion and two experiments with other parameters."""
    made = Clone(tmp_path_factory.mktemp("desk"))
    made.dvc("repro")
    made.commit()
    run = json.loads((made / "reports/published.json").read_text())["run_id"]
    promote = [sys.executable, "-m", "pipelines.commands.promote", "--run", run]
    subprocess.run(promote, cwd=made.folder, env=environment(made), check=True)  # noqa: S603
    made.commit()
    for name, leaves in (("bushier", 15), ("sparser", 4)):
        made.dvc("exp", "run", "--name", name, "-S", f"train.lightgbm.num_leaves={leaves}")
    return made


def environment(clone: Clone) -> dict[str, str]:
    """Environment of a command in the clone, which runs the clone's code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return kept | QUIET | {"PYTHONPATH": str(clone.folder)}


@pytest.fixture(scope="module")
def ui(clone: Clone) -> Iterator[str]:
    """The MLflow UI of the clone, on this machine alone."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(  # noqa: S603 - the command is ours
        [
            *(sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{clone.folder / 'mlflow.db'}", "--workers", "1"),
        ],
        env=environment(clone),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urlopen(f"{address}/health").close()  # noqa: S310 - this machine
                break
            except OSError:
                time.sleep(1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)


def test_every_page_of_the_guide_shows_what_a_reviewer_needs(
    ui: str, clone: Clone, tmp_path: Path
) -> None:
    script = str(ROOT / "docs/take_screenshots.py")
    taken = subprocess.run(  # noqa: S603 - the command is ours
        [
            *(sys.executable, script, "--uri", ui, "--folder", str(tmp_path)),
            *("--list", str(clone.folder / "data/scores/list.html")),
        ],
        env=os.environ | QUIET,
        capture_output=True,
        text=True,
        check=False,
    )
    assert taken.returncode == 0, taken.stderr[-3000:]
    guide = (ROOT / "docs/reviewing.md").read_text(encoding="utf-8")
    pictures = sorted(path.name for path in (tmp_path / "reviewing").glob("*.png"))
    assert len(pictures) == 6
    assert (tmp_path / "pictures/list.png").is_file()
    assert all(f"(reviewing/{name})" in guide for name in pictures)
    assert pictures == sorted(path.name for path in (ROOT / "docs/reviewing").glob("*.png"))


def test_a_run_leads_back_to_commit_and_data(clone: Clone) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    states = client.search_runs(["1"], order_by=["start_time DESC"])
    runs = {
        run.data.tags.get("dvc_exp_name", ""): run for run in states if run.inputs.dataset_inputs
    }
    assert set(runs) == {"", "bushier", "sparser"}
    commits = clone.git("rev-list", "HEAD").split()
    for name, run in runs.items():
        assert run.data.tags["git_commit"] in commits
        if name:
            assert run.data.tags["dvc_exp_baseline_rev"] == commits[0]
        names = {inputs.dataset.name for inputs in run.inputs.dataset_inputs}
        assert names == {"clean", "snapshots", "features"}
        note = run.data.tags["mlflow.note.content"]
        before, now = (of.data.params["train.lightgbm.num_leaves"] for of in (runs[""], run))
        assert (f"`train.lightgbm.num_leaves`: {before} → {now}." in note) == bool(name)
    # The data are those that DVC locked.
    lock = (clone / "dvc.lock").read_text()
    digests = [inputs.dataset.digest for inputs in runs["sparser"].inputs.dataset_inputs]
    assert all(digest in lock for digest in digests)
