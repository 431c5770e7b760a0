"""params.yaml: every value is checked, and an error is one sentence."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from data.clock import Clock
from data.errors import BadInputError
from data.imports import reached, source_of
from models.split import rolling_blocks
from pipelines.params import load_params, parse_params

ROOT = Path(__file__).parents[2]
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
        ("snapshot.as_of", "2024-01-03", "2024-01-03 is not a cutoff: cutoffs fall on Mondays"),
        ("clock.period_days", 30, "clock.period_days must be 7"),
        ("engine.memory_limit", "much", "engine.memory_limit is 'much', but string should match"),
        ("ingest.source", "kafka", "ingest.source is 'kafka', but input should be 'simulated'"),
    ],
)
def test_an_error_is_reported_in_one_sentence(key: str, value: Any, sentence: str) -> None:
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
    with pytest.raises(BadInputError, match="is not valid YAML"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_parameter_is_an_error_although_the_rooms_settings_have_a_default() -> None:
    for key in leaves(VALUES):
        values = copy.deepcopy(VALUES)
        *path, last = key.split(".")
        section = values
        for part in path:
            section = section[part]
        del section[last]
        with pytest.raises(BadInputError, match=rf"the parameter {re.escape(key)} is missing: add"):
            parse_params(values)


def test_a_misspelled_parameter_is_an_error_in_every_section() -> None:
    for section in {key.rpartition(".")[0] for key in leaves(VALUES)}:
        unknown = f"{section}.unknown"
        with pytest.raises(BadInputError, match=rf"there is no parameter {re.escape(unknown)}:"):
            parse_params(changed(unknown, 1))


def leaves(values: Any, prefix: str = "") -> list[str]:
    """Paths of the parameters; a mapping from names that users choose is one parameter."""
    chosen = {"ingest.columns", "validate.share_limits", "score.crm"}
    paths = []
    for name, value in values.items():
        path = f"{prefix}{name}"
        inner = isinstance(value, dict) and path not in chosen
        paths += leaves(value, f"{path}.") if inner else [path]
    return paths


def fields_of(section: Any, prefix: str = "") -> list[tuple[str, type]]:
    """Paths of the fields of settings, each with the class that declares it."""
    paths = []
    if isinstance(section, BaseModel):
        names = {field.alias or name: name for name, field in type(section).model_fields.items()}
    else:
        names = {field.name: field.name for field in dataclasses.fields(section)}
    for key, name in names.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel) or dataclasses.is_dataclass(value):
            paths += fields_of(value, f"{prefix}{key}.")
            continue
        declaring = [
            kind for kind in type(section).__mro__ if name in inspect.get_annotations(kind)
        ]
        paths += [(f"{prefix}{key}", kind) for kind in declaring]
    return paths


def test_every_parameter_is_one_line_and_one_field() -> None:
    fields = fields_of(parse_params(VALUES))
    assert sorted(path for path, _ in fields) == sorted(leaves(VALUES))


def test_the_embargo_is_interval_end_undo_and_lateness_in_whole_periods() -> None:
    for key, value, expected in [
        ("snapshot.undo_days", 14, [7, 11, 16]),
        ("snapshot.undo_days", 15, [8, 12, 17]),
        ("clock.lateness_days", 0, [6, 10, 15]),
    ]:
        split = parse_params(changed(key, value)).split
        assert [split.embargo(interval) for interval in range(3)] == expected


def test_a_world_that_is_just_long_enough_has_room_for_every_test_block() -> None:
    with pytest.raises(BadInputError) as caught:
        parse_params(changed("ingest.simulated.weeks", 1))
    needed = int(re.search(r"need (\d+) periods", str(caught.value))[1])  # type: ignore[index]
    params = parse_params(changed("ingest.simulated.weeks", needed))
    blocks = rolling_blocks(params.history_periods, needed, params.split)
    assert len(blocks) == params.split.test_blocks
    assert not blocks[0].slices[-1].train.first > blocks[0].slices[-1].train.last


def test_reading_the_parameters_loads_settings_and_nothing_heavier() -> None:
    light = {"clock", "errors", "memory", "ranges"}
    for module in reached("pipelines.params"):
        room, _, name = module.rpartition(".")
        allowed = name in light or name.endswith("_settings") or is_package(module)
        assert allowed or room == "pipelines", module


def is_package(module: str) -> bool:
    path = source_of(module)
    return path is not None and path.name == "__init__.py"


@pytest.mark.parametrize("stage", ["tune", "train", "evaluate"])
def test_no_stage_that_models_depends_on_how_features_are_computed(stage: str) -> None:
    loaded = {module for module in reached(f"pipelines.{stage}") if module.startswith("features.")}
    assert loaded == {"features.declare", "features.feature_settings"}
    assert "data.engine" not in reached(f"pipelines.{stage}")
