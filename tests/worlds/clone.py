"""A clone of this repository as it stands, in which DVC runs as people run it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worlds.project import ROOT, SMALL, STAGES, Project

if TYPE_CHECKING:
    from collections.abc import Mapping


class Clone:
    """A clone with its own git history, in which DVC runs as people run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Files that are not committed yet are tested too.
        listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in self._run(*listing, at=ROOT).stdout.split("\0"):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.set({})
        self.git("init", "--quiet")
        self.git("config", "user.name", "Tester")  # DVC asks git for it, too
        self.git("config", "user.email", "tester@example.com")
        self.commit()

    def set(self, overrides: Mapping[str, Any]) -> Project:
        """Write params.yaml of a small world with some values changed."""
        return Project(self.folder, SMALL | dict(overrides))

    def restore(self) -> None:
        """Go back to the committed state."""
        self.git("checkout", "--force", "--quiet", ".")
        self.dvc("checkout", "--force")

    def git(self, *arguments: str) -> str:
        return self._run("git", *arguments).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A state")

    def dvc(self, *arguments: str) -> str:
        """Run DVC and return the output of it and of the stages; they must succeed."""
        done = self.dvc_done(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def dvc_done(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(sys.executable, "-m", "dvc", *arguments, check=False)

    def stage(self, module: str) -> subprocess.CompletedProcess[str]:
        """Run a module of the pipeline that is not a stage, as make does."""
        return self._run(sys.executable, "-m", f"pipelines.{module}", check=False)

    def _run(
        self, *command: str, check: bool = True, at: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        # The stages import from the clone, whatever run surrounds this one.
        outside = ("PYTHON", "DVC_", "MLFLOW_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
        beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(  # noqa: S603 - the command is ours
            command,
            cwd=at or self.folder,
            env=kept | {"PATH": beside, "OMP_WAIT_POLICY": "passive"},
            capture_output=True,
            text=True,
            check=check,
        )

    def mlflow_runs(self) -> int:
        """Count the pipeline states in MLflow: with experiments, without child runs."""
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as store:
            (runs,) = store.execute(
                "select count(*) from runs where run_uuid not in "
                "(select run_uuid from tags where key = 'mlflow.parentRunId')"
            ).fetchone()
        return int(runs)

    def __truediv__(self, path: str) -> Path:
        return self.folder / path


def stages_run(output: str) -> list[str]:
    """Stages that DVC ran, in order."""
    return [stage for stage in STAGES if f"Running stage '{stage}'" in output]
