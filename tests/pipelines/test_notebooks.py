"""Notebooks run from start to end, as in Jupyter, in a clone with the outputs of its stages."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import jupytext
import pytest
from nbclient import NotebookClient

from worlds.project import ROOT, SMALL, STAGES, Project

if TYPE_CHECKING:
    from pathlib import Path

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what is committed, in which the stages have run."""
    folder = tmp_path_factory.mktemp("notebooks") / "clone"
    clone = ("git", "clone", "--quiet", str(ROOT), str(folder))
    subprocess.run(clone, check=True, capture_output=True)  # noqa: S603 - the command is ours
    project = Project(folder, SMALL)
    for stage in STAGES[:-1]:
        done = project.command(stage, code=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_draws(
    notebook: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(clone))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    pair = jupytext.read(clone / "notebooks" / notebook.name)
    # A kernel starts beside its notebook.
    where = {"metadata": {"path": str(clone / "notebooks")}}
    NotebookClient(pair, timeout=600, kernel_name="python3", resources=where).execute()
    outputs = [output for cell in pair.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]


def test_notebooks_are_text_without_outputs_and_define_no_logic_of_the_pipeline() -> None:
    assert [path.name[0] for path in NOTEBOOKS] == list("12345")
    tracked = _git("ls-files", "notebooks").splitlines()
    assert not [path for path in tracked if path.endswith(".ipynb")]
    assert "notebooks/any.ipynb" in _git("check-ignore", "notebooks/any.ipynb")
    for notebook in NOTEBOOKS:
        text = notebook.read_text(encoding="utf-8")
        assert "\ndef " not in text
        assert "\nclass " not in text
        # The text is what jupytext would write: nothing is lost on the way to a notebook.
        assert jupytext.writes(jupytext.reads(text, "py:percent"), "py:percent").endswith(text)


def _git(*arguments: str) -> Any:
    done = subprocess.run(  # noqa: S603 - the command is ours
        ["git", *arguments],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
