"""A stage runs again when code that it can load changes, and no other stage does.

In a scratch clone whose stages only write their outputs, one module at a time is edited; DVC runs
for real, and so does the stage ``code``. An output that stays the same stops what follows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from worlds.clone import Clone, stages_run
from worlds.project import STAGES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

STAND_IN = '''
"""Stand in for a stage: write what it should write, always the same."""
import sys
from pathlib import Path

import yaml

stage = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][sys.argv[1]]
for output in [*stage.get("outs", []), *stage.get("metrics", [])]:
    (name,) = output
    path = Path(name) if Path(name).suffix else Path(name) / "bytes"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
'''

ALL = set(STAGES)
# File that is edited -> stages that must run, beside ``code``.
CASES: dict[str, set[str]] = {
    # not run by any stage: studies, commands, pages for people
    "studies/scoreboard.py": set(),
    "studies/bench/peers.py": set(),
    "pipelines/commands/release.py": set(),
    "README.md": set(),
    # the stages themselves
    "pipelines/ingest.py": {"ingest"},
    "pipelines/validate.py": {"validate"},
    "pipelines/snapshot.py": {"snapshot", "score"},  # which looks back on lifetimes
    "pipelines/featurize.py": {"featurize"},
    "pipelines/tune.py": {"tune"},
    "pipelines/train.py": {"train"},
    "pipelines/evaluate.py": {"evaluate"},
    "pipelines/score.py": {"score"},
    "pipelines/publish.py": {"publish"},
    # rooms
    "data/clock.py": ALL,
    "pipelines/params.py": ALL,
    "data/sources/simulated/usage.py": {"ingest"},
    "data/quality.py": {"validate"},
    "features/phrases.py": {"featurize"},
    "models/metrics.py": {"tune", "train", "evaluate", "score", "publish"},
    "models/drift.py": {"publish"},
    "models/tuning.py": {"tune"},
    "models/backtest.py": {"evaluate"},
    "retention/ranking.py": {"score"},
    "retention/playbook.yaml": {"score"},
    "retention/locale/nl.po": {"score"},
    "pipelines/review/tracking.py": {"publish"},
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which stand-ins of all stages have run once."""
    clone = Clone(tmp_path_factory.mktemp("scratch"))
    (clone / "stand_in.py").write_text(STAND_IN)
    pipeline = clone / "dvc.yaml"
    stages = "|".join(STAGES)
    text = re.sub(
        rf"python -m pipelines\.({stages})\b", r"python stand_in.py \1", pipeline.read_text()
    )
    pipeline.write_text(text)
    assert stages_run(clone.dvc("repro")) == list(STAGES)
    clone.commit()
    return clone


def edit(path: Path) -> None:
    """Add a comment at the end of a file, in the syntax of its type."""
    with path.open("a", encoding="utf-8") as file:
        file.write("\n# A remark.\n")


@pytest.mark.parametrize("path", CASES)
def test_exactly_the_stages_that_can_load_a_file_run(scratch: Clone, path: str) -> None:
    edit(scratch / path)
    try:
        assert set(stages_run(scratch.dvc("repro"))) == CASES[path]
    finally:
        scratch.git("checkout", "--force", "--quiet", ".")


def test_every_stage_is_among_the_cases() -> None:
    assert set().union(*(stages for stages in CASES.values() if stages != ALL)) == ALL
