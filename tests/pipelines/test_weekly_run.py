"""``make weekly``: one run at a time, and the next one continues where a failed one stopped."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from data.errors import BadInputError
from pipelines.commands import monday, release
from worlds.project import SMALL, Project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STEPS: list[str] = []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose commands are recorded instead of run."""
    STEPS.clear()

    def run(command: Sequence[str], what: str) -> None:
        STEPS.append(" ".join(command[-2:]))

    monkeypatch.setattr(monday, "run", run)
    monkeypatch.setattr(release, "main", lambda: STEPS.append("release"))
    monkeypatch.setattr("sys.argv", ["weekly"])
    return Project(tmp_path / "p", SMALL)


def weeks(project: Project) -> int:
    text = (project / "params.yaml").read_text()
    return int(yaml.safe_load(text)["ingest"]["simulated"]["weeks"])


def test_the_world_lives_on_only_when_its_last_list_was_handed_out(project: Project) -> None:
    project.run("commands.monday")
    assert STEPS == ["dvc repro", "release"]
    assert weeks(project) == 104
    (project / "lists/simulated/cutoff=2024-01-01").mkdir(parents=True)
    project.run("commands.monday")
    assert weeks(project) == 105
    # This list was not released, for example because dvc repro failed.
    project.run("commands.monday")
    assert weeks(project) == 105
    assert STEPS == ["dvc repro", "release"] * 3


def test_other_sources_fetch_their_rows_by_a_command(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.set({"ingest.source": "files", "ingest.path": "logs"})
    monkeypatch.setattr("sys.argv", ["weekly", "--bring", "copy the rows"])
    project.run("commands.monday")
    assert STEPS == ["-c copy the rows", "dvc repro", "release"]


def test_a_second_run_at_the_same_time_is_refused_and_does_nothing(project: Project) -> None:
    with project.inside():
        monday.LOCK.parent.mkdir()
        hold = (
            "import fcntl, sys; f = open('tmp/weekly.lock', 'a'); "
            "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
        )
        holder = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(BadInputError, match="Another weekly run holds"):
                monday.main()
            assert STEPS == []
            holder.kill()
        # The process that held the lock was killed, so it is free.
        monday.main()
    assert STEPS == ["dvc repro", "release"]


def test_a_failing_step_is_reported_and_nothing_is_released(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("sys.argv", ["weekly"])
    failing = ("/bin/sh", "-c", "exit 3")
    with pytest.raises(BadInputError, match="dvc repro failed with exit code 3: fix the problem"):
        monday.run(failing, "dvc repro")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.commands.monday"],
        cwd=project.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1  # there is no dvc.yaml here
    assert done.stderr.splitlines()[-1].startswith("Error: dvc repro failed with exit code")
    assert not (project / "lists").exists()


def test_what_an_experiment_left_in_the_workspace_is_not_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    project = Project(tmp_path / "p", SMALL)

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com")
        done = subprocess.run(  # noqa: S603 - ours
            ["git", *identity, *arguments],  # noqa: S607
            cwd=project.folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    lock = project / "dvc.lock"
    git("init", "--quiet")
    commits = []
    for text in ("the project", "the experiment"):
        lock.write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--message", text)
        commits.append(git("rev-parse", "HEAD"))
    git("reset", "--quiet", "--hard", commits[0])
    git("update-ref", f"refs/exps/{commits[0][:2]}/{commits[0][2:]}/leaves", commits[1])
    with project.inside():
        release.refuse_experiments()
        lock.write_text("a week later")  # make week and dvc repro
        release.refuse_experiments()
        lock.write_text("the experiment")  # dvc exp run
        with pytest.raises(BadInputError, match="result of the experiment leaves"):
            release.refuse_experiments()
        git("commit", "--quiet", "--all", "--message", "It stays")
        release.refuse_experiments()
