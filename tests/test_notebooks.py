"""Notebooks run from start to end on what the pipeline wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from project import ROOT, SMALL, Project

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: Any) -> Project:
    project = Project(tmp_path_factory.mktemp("notebooks"), SMALL)
    project.run("ingest", "validate", "snapshot")
    return project


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Any, done: Project) -> None:
    run = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-W", "ignore", str(notebook)],
        cwd=done.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_notebooks_define_no_logic_of_the_pipeline() -> None:
    assert NOTEBOOKS
    for notebook in NOTEBOOKS:
        text = notebook.read_text(encoding="utf-8")
        assert "\ndef " not in text
        assert "\nclass " not in text
