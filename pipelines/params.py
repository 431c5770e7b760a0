"""The parameters: one frozen model of ``params.yaml``, cross-checked; unknown keys are refused.

Each section is composed of the settings of the rooms, so that a parameter is one line of the file
and one field, which says what it means.

``python -m pipelines.params`` checks the file and reports in one sentence what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.clock import ClockSettings
from data.errors import BadInputError
from data.memory import SIZE
from data.population_settings import OutcomeTerms, PopulationTerms, QualityTerms
from data.ranges import NotNegative, Positive
from data.sources.simulated.world_settings import WorldSettings
from features.feature_settings import FeatureSettings
from models.model_settings import (
    EvaluationTerms,
    FitTerms,
    GateTerms,
    LightGBMTerms,
    LimitTerms,
    SplitSettings,
    SplitTerms,
)
from pipelines.paths import PARAMS_FILE
from retention.list_settings import ListTerms

if TYPE_CHECKING:
    from collections.abc import Mapping

MemorySize = Annotated[str, Field(pattern=SIZE)]


class Section(BaseModel):
    """A section of params.yaml: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineParams(Section):
    """What runs the heavy queries; does not change any result.

    Parameters
    ----------
    name
        ``spark`` runs snapshot, featurize and score; the other stages use DuckDB.
    master
        Spark's master; None: this machine.
    threads
        Threads of the engine and of the models.
    memory_limit
        Memory beyond which the engine spills to disk.
    """

    name: Literal["duckdb", "spark"]
    master: Annotated[str, Field(pattern=r"^(local\[\d+\]|spark://\S+|yarn|k8s://\S+)$")] | None
    threads: Positive
    memory_limit: MemorySize


class IngestParams(Section):
    """Where the raw logs come from.

    Parameters
    ----------
    source
        ``simulated``, ``files`` (a folder in the contract) or ``oulad``.
    path
        Folder to read, a dependency of DVC.
    currency
        ISO 4217 code of the one reporting currency.
    money_unit
        Files: whether amounts are in minor units (4990) or major ones (49.90).
    columns
        Files: table to contract column to name in the source.
    simulated
        The world that the source ``simulated`` simulates.
    """

    source: Literal["simulated", "files", "oulad"]
    path: Path
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    money_unit: Literal["minor", "major"]
    columns: dict[str, dict[str, str]]
    simulated: WorldSettings


@dataclass(frozen=True, kw_only=True)
class SnapshotParams(PopulationTerms, OutcomeTerms):
    """Which customers are observed when, and how far ahead.

    Parameters
    ----------
    as_of
        Newest cutoff; None: the last one that the logs cover.
    history_periods
        Periods from the start of the logs to the first cutoff; None: the longest window.
    """

    as_of: dt.date | None
    history_periods: NotNegative | None


class TuneParams(Section):
    """The search of the boosters' parameters.

    Parameters
    ----------
    trials
        Parameter sets to try; 0: none.
    folds
        Number of folds, weeks before every test block.
    seed
        Seed of the search.
    """

    trials: NotNegative
    folds: Positive
    seed: NotNegative


@dataclass(frozen=True, kw_only=True)
class TrainParams(FitTerms, SplitTerms):
    """The slices in time and the risk model.

    Parameters
    ----------
    memory_limit
        Maximum size of the feature matrix; beyond it, snapshots are drawn by hash.
    too_good_to_be_true
        Limits beyond which a warning is given.
    lightgbm
        The boosters.
    """

    memory_limit: MemorySize
    too_good_to_be_true: LimitTerms
    lightgbm: LightGBMTerms


@dataclass(frozen=True, kw_only=True)
class ScoreParams(ListTerms):
    """Which model scores, and what the list holds.

    Parameters
    ----------
    model
        ``fresh`` (the one just trained) or ``champion`` (the promoted one).
    contact_pause_periods
        A customer contacted within this many periods is left out.
    crm
        Files to import: name to header to column of the list.
    """

    model: Literal["fresh", "champion"]
    contact_pause_periods: NotNegative
    crm: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], dict[str, str]]


class PublishParams(Section):
    """Where MLflow is.

    Parameters
    ----------
    experiment
        Name of the experiment.
    tracking_uri
        The tracking store; None: MLFLOW_TRACKING_URI, else mlflow.db in the project's folder.
    """

    experiment: Annotated[str, Field(min_length=1)]
    tracking_uri: str | None


class Params(Section):
    """All of params.yaml."""

    clock: ClockSettings
    engine: EngineParams
    ingest: IngestParams
    validate_: Annotated[QualityTerms, Field(alias="validate")]
    snapshot: SnapshotParams
    featurize: FeatureSettings
    tune: TuneParams
    train: TrainParams
    evaluate: EvaluationTerms
    score: ScoreParams
    publish: PublishParams
    promote: GateTerms

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the horizons in files and columns, e.g. 4w."""
        return tuple(self.clock.label(horizon) for horizon in self.snapshot.horizons)

    @property
    def history_periods(self) -> int:
        """Periods between the start of the logs and the first cutoff."""
        chosen = self.snapshot.history_periods
        return self.featurize.windows[-1] if chosen is None else chosen

    @property
    def split(self) -> SplitSettings:
        """Lengths of the slices and of the gaps between them."""
        follow_up_days = self.snapshot.undo_days + self.clock.lateness_days
        return SplitSettings(
            self.snapshot.horizons,
            self.clock.periods_covering(follow_up_days),
            **terms(SplitTerms, self.train),
        )

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.featurize.windows[-1] > self.history_periods:
            raise ValueError(
                f"featurize.windows reaches {self.featurize.windows[-1]} periods back, but "
                f"snapshot.history_periods leaves only {self.history_periods} before the "
                "first cutoff: shorten the window or raise history_periods."
            )
        if self.snapshot.as_of is not None:
            self.clock.cutoff_on(self.snapshot.as_of)  # refuses a day without a cutoff
        if self.ingest.source == "simulated":
            self._world_suits()
        return self

    def _world_suits(self) -> None:
        """Refuse a simulated world that is too short or does not live in weeks."""
        weeks = self.ingest.simulated.weeks
        needed = self.history_periods + self.split.needed_for_tests
        if weeks < needed:
            raise ValueError(
                f"ingest.simulated.weeks is {weeks}, but the windows, slices, gaps and test blocks "
                f"need {needed} periods: raise it, or lower snapshot.history_periods, "
                "snapshot.horizons or the train.*_periods."
            )
        if self.clock.period_days != 7:
            raise ValueError("The simulated world lives in weeks: clock.period_days must be 7.")


def terms(kind: type[Any], section: Any) -> dict[str, Any]:
    """Fields of ``kind``, a class that ``section`` extends, by name."""
    return {field.name: getattr(section, field.name) for field in dataclasses.fields(kind)}


def parse_params(values: Any) -> Params:
    """Check parameters.

    Raises
    ------
    BadInputError
        One sentence that names the first key at fault, the rule and how many more there are.
    """
    try:
        params = Params.model_validate(values)
        errors: list[Any] = _left_to_defaults(params, values)
    except ValidationError as error:
        errors = error.errors()
    if errors:
        first, *others = errors
        more = f" ({len(others)} more after this one)" if others else ""
        raise BadInputError(f"{PARAMS_FILE}: {_sentence(first)}.{more}")
    return params


def _sentence(error: Mapping[str, Any]) -> str:
    """What is wrong with one parameter, in words, without the full stop."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"there is no parameter {key}: correct the name or remove the line"
    if error["type"] == "missing":
        return f"the parameter {key} is missing: add it"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]).rstrip(".")
    return f"{key} is {error['input']!r}, but {error['msg'][:1].lower()}{error['msg'][1:]}"


def _left_to_defaults(
    section: Any, values: Mapping[str, Any], path: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Errors for parameters that a room's settings have defaults for and the file does not name."""
    if isinstance(section, Section):
        names = {name: field.alias or name for name, field in type(section).model_fields.items()}
    else:
        names = {field.name: field.name for field in dataclasses.fields(section)}
    errors = []
    for name, key in names.items():
        if key not in values:
            errors.append({"type": "missing", "loc": (*path, key)})
            continue
        inner = getattr(section, name)
        if isinstance(inner, Section) or dataclasses.is_dataclass(inner):
            errors += _left_to_defaults(inner, values[key], (*path, key))
    return errors


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the parameters file.

    Raises
    ------
    BadInputError
        If the file is missing, is not YAML, or breaks a rule.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInputError(f"{path} is missing: run from the project's folder.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise BadInputError(f"{path} is not valid YAML: {problem}.") from error
    if not isinstance(values, dict):
        raise BadInputError(f"{path} has no sections: restore the one from the repository.")
    return parse_params(values)


if __name__ == "__main__":
    from pipelines.stage import run_stage

    run_stage(load_params)
