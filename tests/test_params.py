"""params.yaml: what it says is checked, and what is wrong is said in one sentence."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.clock import Clock
from data.errors import BadInputError
from pipelines.params import load_params, parse_params

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
VALUES = yaml.safe_load(TEXT)


def changed(key: str, value: Any) -> Any:
    values = copy.deepcopy(VALUES)
    *path, last = key.split(".")
    section = values
    for part in path:
        section = section[part]
    section[last] = value
    return values


def test_the_file_in_the_project_is_valid_and_frozen() -> None:
    params = parse_params(VALUES)
    with pytest.raises(ValueError, match="frozen"):
        params.clock = Clock()  # type: ignore[misc, assignment]
    with pytest.raises(dataclasses.FrozenInstanceError):
        params.clock.period_days = 1  # type: ignore[misc]


def test_the_clock_of_the_parameters_is_a_clock_that_numbers_the_same_periods() -> None:
    params = parse_params(VALUES)
    assert isinstance(params.clock, Clock)
    assert params.clock.lateness_days == VALUES["clock"]["lateness_days"]
    assert repr(params.clock) == repr(Clock()), "kept measures are keyed by it"


def test_every_line_of_the_file_has_a_comment() -> None:
    bare = [line for line in TEXT.splitlines() if line.strip() and "#" not in line]
    assert bare == []


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("trian", {}, "there is no parameter trian: correct the name"),
        ("train.depth", 3, "there is no parameter train.depth: correct the name"),
        ("snapshot.horizons", [8, 4], r"snapshot.horizons must ascend, but is \[8, 4\]"),
        (
            "featurize.windows",
            [4, 4],
            "featurize.windows must be .* whole numbers that ascend .* but is",
        ),
        ("snapshot.history_periods", 20, "featurize.windows reaches 26 periods back, but"),
        ("ingest.simulated.weeks", 60, r"ingest.simulated.weeks is 60, but .* need \d+ periods"),
        ("score.holdout_share", 0.6, "score.holdout_share is 0.6, but input should be less"),
        ("snapshot.as_of", "2024-01-03", "2024-01-03 is no cutoff: cutoffs fall on a Monday"),
        ("clock.period_days", 30, "clock.period_days must be 7"),
        ("engine.memory_limit", "much", "engine.memory_limit is 'much', but string should match"),
        ("ingest.source", "kafka", "ingest.source is 'kafka', but input should be 'simulated'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(key: str, value: Any, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence) as caught:
        parse_params(changed(key, value))
    assert "\n" not in str(caught.value)


def test_a_missing_section_a_missing_file_and_broken_yaml_say_so(tmp_path: Path) -> None:
    values = copy.deepcopy(VALUES)
    del values["train"]
    with pytest.raises(BadInputError, match=r"the parameter train is missing: add it"):
        parse_params(values)
    with pytest.raises(BadInputError, match="is missing: run from the project's folder"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("train: [")
    with pytest.raises(BadInputError, match="is no valid YAML"):
        load_params(tmp_path / "params.yaml")


def test_the_embargo_is_interval_end_undo_and_lateness_in_whole_periods() -> None:
    assert parse_params(VALUES).embargo_periods == (7, 11, 16)
    assert parse_params(changed("snapshot.undo_days", 15)).embargo_periods == (8, 12, 17)
    assert parse_params(changed("clock.lateness_days", 0)).embargo_periods == (6, 10, 15)
