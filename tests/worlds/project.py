"""A small project in a folder of its own, whose stages run in this process or as commands."""

from __future__ import annotations

import contextlib
import copy
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
STAGES = (
    "ingest", "validate", "snapshot", "featurize", "tune", "train", "evaluate", "score", "publish",
)  # fmt: skip
# Small enough for a test, large enough for every booster to learn.
SMALL = {
    "ingest.simulated.customers": 1500,
    "ingest.simulated.weeks": 104,
    "train.test_blocks": 2,
    "train.test_periods": 4,
    "train.min_events": 15,
    "train.lightgbm.num_boost_round": 40,
    "train.lightgbm.min_data_in_leaf": 40,
    "evaluate.resamples": 20,
}


class Project:
    """A folder with params.yaml in which the stages write."""

    def __init__(self, folder: Path, overrides: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        self.set(overrides)

    def set(self, overrides: Mapping[str, Any]) -> None:
        """Change parameters, by their path with dots."""
        self._values = copy.deepcopy(self._values)
        for key, value in overrides.items():
            *path, last = key.split(".")
            section = self._values
            for part in path:
                section = section[part]
            section[last] = str(value) if isinstance(value, Path) else value
        text = yaml.safe_dump(self._values, sort_keys=False)
        (self.folder / "params.yaml").write_text(text, encoding="utf-8")

    def run(self, *stages: str) -> None:
        """Run stages in this process."""
        with self.inside():
            for stage in stages:
                importlib.import_module(f"pipelines.{stage}").main()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Change to the project's folder."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(before)

    def command(self, stage: str, code: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run a stage as DVC does, with the code in a folder."""
        return subprocess.run(  # noqa: S603 - the command is ours
            [sys.executable, "-m", f"pipelines.{stage}"],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(code)},
            capture_output=True,
            text=True,
            check=False,
        )

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    def bytes_below(self, *folders: str) -> dict[str, bytes]:
        """Every file below some folders, by its path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for folder in folders
            for path in sorted((self.folder / folder).rglob("*"))
            if path.is_file()
        }
