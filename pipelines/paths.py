"""Where the bytes of the pipeline lie, relative to the project's folder."""

from __future__ import annotations

from pathlib import Path

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
REPORTS = Path("reports")

PARAMS_FILE = Path("params.yaml")
LOCK_FILE = Path("dvc.lock")


def tables_in(folder: Path) -> dict[str, Path]:
    """Tables that lie in a folder, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.parquet"))}
