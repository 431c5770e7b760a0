"""Where the pipeline keeps its files, relative to the project's folder."""

from __future__ import annotations

from pathlib import Path

from data.errors import BadInputError

RAW = Path("data/raw")
TRUTH = Path("data/truth")
CLEAN = Path("data/clean")
QUARANTINE = Path("data/quarantine")
SNAPSHOTS = Path("data/snapshots")
PERIODS = Path("data/periods")
FEATURES = Path("data/features")
MODEL = Path("data/model")
BACKTEST = Path("data/backtest")
SCORES = Path("data/scores")
# Tracked by git: the promoted model.
CHAMPION = Path("champion")
REPORTS = Path("reports")
# What each stage runs, listed by the stage `code`.
CODE = Path("build/code")
# Released lists: no stage writes here.
LISTS = Path("lists")
# Bad rows of a run that stopped; the quarantine still belongs to the last successful run.
REFUSED = REPORTS / "refused"

# What the stage `tune` found: `lightgbm` (empty: the parameters are used) and all `trials`.
TUNED_FILE = REPORTS / "tuning.json"
PARAMS_FILE = Path("params.yaml")
PIPELINE_FILE = Path("dvc.yaml")
LOCK_FILE = Path("dvc.lock")


def tables_in(folder: Path) -> dict[str, Path]:
    """Tables in a folder, by name; BadInputError if there are none."""
    tables = {path.stem: path for path in sorted(folder.glob("*.parquet"))}
    if not tables:
        raise BadInputError(missing(str(folder)))
    return tables


def needed(path: Path) -> Path:
    """Return the path of an earlier output; BadInputError if it does not exist."""
    if not path.exists():
        raise BadInputError(missing(str(path)))
    return path


def missing(output: str) -> str:
    """Message for an earlier stage's output that does not exist."""
    return f"{output} is missing: run the stages before this one (dvc repro runs what is missing)."
