"""The parameters: one frozen model of ``params.yaml``, unknown keys refused, cross-checked.

``python -m pipelines.params`` checks the file and says in one sentence what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.clock import ClockSettings
from data.engine import Engine, open_engine
from data.errors import BadInputError
from data.sources.simulated.world_settings import WorldSettings
from features.feature_settings import FeatureSettings
from pipelines.paths import PARAMS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
MemorySize = Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*(MB|GB|TB)$")]
WORKER_PACKAGES = ("data", "features", "models")  # what the functions over blocks are made of


class Section(BaseModel):
    """A section of params.yaml: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineParams(Section):
    """What runs the heavy queries; changes no result."""

    name: Literal["duckdb", "spark"]
    master: Annotated[str, Field(pattern=r"^(local\[\d+\]|spark://\S+|yarn|k8s://\S+)$")] | None
    threads: Positive
    memory_limit: MemorySize

    def open(self) -> Engine:
        """Open the engine of these parameters."""
        return open_engine(self.name, self.threads, self.memory_limit, self.master, WORKER_PACKAGES)

    def open_duckdb(self) -> Engine:
        """Open DuckDB whatever the engine, for what Spark does not do: files of any kind."""
        return open_engine("duckdb", self.threads, self.memory_limit)


class IngestParams(Section):
    """Where the raw logs come from."""

    source: Literal["simulated", "files", "oulad"]
    path: Path
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    money_unit: Literal["minor", "major"]
    columns: dict[str, dict[str, str]]
    simulated: WorldSettings


class ValidateParams(Section):
    """How much dirt stops the run."""

    share_limit: Share
    share_limits: dict[str, Share]


class SnapshotParams(Section):
    """Who is looked at when, and how far ahead."""

    rule: Literal["contract", "inactivity"]
    silent_periods: Positive
    as_of: dt.date | None
    history_periods: NotNegative | None
    horizons: Annotated[tuple[Positive, ...], Field(min_length=1)]
    undo_days: NotNegative
    thin_every: Positive
    salt: str

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.horizons) != sorted(set(self.horizons)):
            raise ValueError(f"snapshot.horizons must ascend, but is {list(self.horizons)}.")
        return self


class LightGBMParams(Section):
    """Parameters of LightGBM, by its own names, and of the regression that it starts from."""

    learning_rate: Annotated[float, Field(gt=0, le=1)]
    num_leaves: Annotated[int, Field(ge=2, le=131072)]
    min_data_in_leaf: Positive
    feature_fraction: Annotated[float, Field(gt=0, le=1)]
    bagging_fraction: Annotated[float, Field(gt=0, le=1)]
    bagging_freq: NotNegative
    lambda_l2: Annotated[float, Field(ge=0)]
    max_bin: Annotated[int, Field(ge=2, le=65535)]
    num_boost_round: Positive
    early_stopping_rounds: Positive
    linear_strength: Annotated[float, Field(ge=0)]


class TooGoodParams(Section):
    """What is too good to be true."""

    voluntary_auroc: Share
    involuntary_auroc: Share
    feature_share: Share


class TrainParams(Section):
    """The slices in time and the risk model."""

    seed: NotNegative
    stop_periods: Positive
    calibrate_periods: Positive
    test_periods: Positive
    test_blocks: Annotated[int, Field(ge=2)]
    train_periods: Positive
    min_events: Positive
    calibration_prior: Annotated[float, Field(gt=0)]
    memory_limit: MemorySize
    too_good_to_be_true: TooGoodParams
    lightgbm: LightGBMParams


class CampaignParams(Section):
    """Terms of the expected maximum profit."""

    value: Positive
    offer_cost: NotNegative
    contact_cost: NotNegative
    alpha: Annotated[float, Field(gt=0)]
    beta: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _worth_it(self) -> Self:
        if self.offer_cost >= self.value:
            raise ValueError("evaluate.campaign: offer_cost must be below the value of a customer.")
        return self


class TuneParams(Section):
    """The search of the boosters' parameters."""

    trials: NotNegative
    folds: Positive
    seed: NotNegative


class EvaluateParams(Section):
    """Intervals and bins of the metrics."""

    campaign: CampaignParams
    resamples: Annotated[int, Field(ge=20)]
    bins: Annotated[int, Field(ge=2)]
    seed: NotNegative


class ScoreParams(Section):
    """Which model scores, what a contact is worth and how many the teams can make."""

    model: Literal["fresh", "champion"]
    success_capacity: NotNegative
    billing_capacity: NotNegative
    voluntary_save_rate: Share
    involuntary_save_rate: Share
    margin: Share
    contact_cost: NotNegative
    months_kept: Annotated[int, Field(gt=0, le=12)]
    reasons: Annotated[int, Field(ge=1, le=5)]
    contact_pause_periods: NotNegative
    holdout_share: Annotated[float, Field(ge=0, le=0.5)]
    crm: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], dict[str, str]]


class PublishParams(Section):
    """Where MLflow is."""

    experiment: Annotated[str, Field(min_length=1)]
    tracking_uri: str | None


class PromoteParams(Section):
    """Terms of the gate."""

    margin: Share
    common_share: Annotated[float, Field(gt=0, le=1)]
    resamples: Annotated[int, Field(ge=100)]


class Params(Section):
    """All of params.yaml."""

    clock: ClockSettings
    engine: EngineParams
    ingest: IngestParams
    validate_: Annotated[ValidateParams, Field(alias="validate")]
    snapshot: SnapshotParams
    featurize: FeatureSettings
    tune: TuneParams
    train: TrainParams
    evaluate: EvaluateParams
    score: ScoreParams
    publish: PublishParams
    promote: PromoteParams

    @property
    def history_periods(self) -> int:
        """Periods between the start of the logs and the first cutoff."""
        chosen = self.snapshot.history_periods
        return self.featurize.windows[-1] if chosen is None else chosen

    @property
    def embargo_periods(self) -> tuple[int, ...]:
        """Per interval, the periods from a cutoff until its outcome is known for good.

        Interval end + ``undo_days`` + the longest lateness, in whole periods.
        """
        follow_up = self.snapshot.undo_days + self.clock.lateness_days
        extra = self.clock.periods_covering(follow_up)
        return tuple(horizon + extra for horizon in self.snapshot.horizons)

    @property
    def needed_periods(self) -> int:
        """Periods of history that the slices, their gaps and the test blocks take, at least."""
        train = self.train
        return (
            self.history_periods
            + train.train_periods
            + 2 * self.embargo_periods[-1]  # before the stop slice, and before the test blocks
            + train.stop_periods
            + train.calibrate_periods
            + train.test_blocks * train.test_periods
            + self.embargo_periods[-1]  # until the last test outcome is known
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
        world = self.ingest.simulated
        if self.ingest.source == "simulated" and world.weeks < self.needed_periods:
            raise ValueError(
                f"ingest.simulated.weeks is {world.weeks}, but the windows, slices, gaps and test "
                f"blocks need {self.needed_periods} periods: raise it, or lower "
                "snapshot.history_periods, snapshot.horizons or the train.*_periods."
            )
        if self.ingest.source == "simulated" and self.clock.period_days != 7:
            raise ValueError("The simulated world lives in weeks: clock.period_days must be 7.")
        return self


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
        If the file is missing, no YAML, or breaks a rule.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInputError(f"{path} is missing: run from the project's folder.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise BadInputError(f"{path} is no valid YAML: {problem}.") from error
    if not isinstance(values, dict):
        raise BadInputError(f"{path} holds no sections: bring back the one of the repository.")
    return parse_params(values)


if __name__ == "__main__":
    from pipelines.stage import run_stage

    run_stage(load_params)
