"""MLflow: the only module that talks to it. A pipeline state is logged once, for review."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Set before the import: no telemetry, an unreachable server is given up on soon, and a failure is
# reported once, by us, and not by tracebacks in a log.
for name, value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(name, value)

import mlflow
import mlflow.data.dataset_source_registry
from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from data.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

STORE = Path("mlflow.db")
ARTIFACTS = Path("mlartifacts")
SERVED_MODEL = Path(__file__).with_name("served_model.py")
# What a loaded model needs besides Python, in the versions that it was made with.
REQUIREMENTS = (
    "annotated-types",
    "babel",
    "lightgbm",
    "mlflow-skinny",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
)
# Maximum number of metrics, parameters or tags that MLflow takes in one call.
BATCH = {"metrics": 1000, "params": 100, "tags": 100}


@dataclass(frozen=True)
class Series:
    """A metric over time: its name and (step, milliseconds since 1970, value) points."""

    name: str
    points: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Run:
    """What is logged for a run.

    Parameters
    ----------
    name
        Name in the UI.
    tags, params, metrics
        By name.
    series
        Metrics with steps.
    """

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Sequence[Series] = ()


@dataclass(frozen=True)
class Model:
    """What is registered.

    Parameters
    ----------
    artifacts
        Files and folders it is loaded from, by the names that ``served_model`` uses.
    params
        Defaults of what a caller may ask for, by name.
    packages
        Folders of the packages that load it.
    example
        A few rows of features, float64.
    outputs
        Names of the columns that it returns.
    registered_name
        Name in the registry.
    alias
        Alias that moves to the new version.
    """

    artifacts: Mapping[str, Path]
    params: Mapping[str, int | str]
    packages: tuple[Path, ...]
    example: pd.DataFrame
    outputs: tuple[str, ...]
    registered_name: str
    alias: str


@dataclass(frozen=True)
class Review:
    """One pipeline state: a parent run, its children, data sets, files by folder and the model."""

    parent: Run
    children: Sequence[Run]
    datasets: Mapping[str, tuple[Path, str]]
    artifacts: Mapping[str, Sequence[Path]]
    model: Model


def tracking_uri(chosen: str | None) -> str:
    """Store of the runs: the choice in params, else MLFLOW_TRACKING_URI, else mlflow.db here."""
    return chosen or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE.resolve()}"


def require_store(uri: str, again: str) -> None:
    """Raise BadInputError unless the store answers; MLflow itself would retry for an hour.

    Parameters
    ----------
    uri
        The tracking store.
    again
        The command to run again once it answers.
    """
    fix = "fix the store or set publish.tracking_uri"
    with _one_sentence(uri, f"the weekly list is unaffected: {fix}, then run {again}"):
        if uri.partition(":")[0].partition("+")[0] in DATABASE_ENGINES:
            inspect(create_engine(uri)).get_table_names()
        else:
            MlflowClient(uri, registry_uri=uri).search_experiments(max_results=1)


def log_review(review: Review, uri: str, experiment: str) -> dict[str, str]:
    """Log a pipeline state.

    Parameters
    ----------
    review
        What is logged.
    uri
        The tracking store.
    experiment
        Name of the experiment; created if it does not exist.

    Returns
    -------
    dict
        ``run_id``, ``model_uri`` and ``model_version``.

    Raises
    ------
    BadInputError
        If the store can't be reached or written; the pipeline's files are not touched.
    """
    # MLflow's hints are for authors of this module, not for users of the pipeline.
    warnings.filterwarnings("ignore", message=r"(?s).*multiple ways")
    with _one_sentence(uri, "the weekly list is unaffected: fix the store, then run dvc repro"):
        mlflow.set_tracking_uri(uri)
        client = MlflowClient(uri, registry_uri=uri)
        experiment_id = _experiment(client, experiment, uri)
        with mlflow.start_run(experiment_id=experiment_id, run_name=review.parent.name) as active:
            run_id = active.info.run_id
            _log(client, run_id, review.parent)
            _log_datasets(review.datasets)
            for folder, paths in review.artifacts.items():
                for path in paths:
                    mlflow.log_artifact(str(path), folder)
            for child in review.children:
                with mlflow.start_run(
                    experiment_id=experiment_id, run_name=child.name, nested=True
                ) as nested:
                    _log(client, nested.info.run_id, child)
            version, model_uri = _register(client, review.model)
            client.set_tag(run_id, "model_version", version)
    return {"run_id": run_id, "model_uri": model_uri, "model_version": version}


@contextlib.contextmanager
def _one_sentence(uri: str, after: str) -> Iterator[None]:
    """Turn every failure of the store into one BadInputError."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        # The message of the database driver, without the SQL statement.
        message = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        raise BadInputError(f"MLflow at {uri} can't be used ({message}); {after}.") from error


@dataclass(frozen=True)
class LoggedRun:
    """A logged run: tags, parameters as text, and the last value of each metric."""

    run_id: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def find_run(run_id: str, uri: str) -> LoggedRun:
    """Read a run.

    Raises
    ------
    BadInputError
        If there is no run with that id, or the store can't be read.
    """
    with _one_sentence(uri, "take the run id from the run's page, in the store that holds it"):
        run = MlflowClient(uri, registry_uri=uri).get_run(run_id)
    return LoggedRun(run_id, dict(run.data.tags), dict(run.data.params), dict(run.data.metrics))


def record(run_id: str, tags: Mapping[str, str], metrics: Mapping[str, float], uri: str) -> None:
    """Add tags and metrics to a finished run; BadInputError if the store can't be written."""
    with _one_sentence(uri, "nothing was promoted"):
        _log(MlflowClient(uri, registry_uri=uri), run_id, Run("", tags=tags, metrics=metrics))


def move_alias(registered_name: str, alias: str, version: str, uri: str) -> None:
    """Move an alias to a version; BadInputError if the store can't be written."""
    with _one_sentence(uri, "nothing was promoted"):
        MlflowClient(uri, registry_uri=uri).set_registered_model_alias(
            registered_name, alias, version
        )


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A local store keeps its artifacts beside it; a server knows where its own go.
    here = ARTIFACTS.resolve().as_uri() if uri.startswith("sqlite:") else None
    # The kind makes the UI open with runs, not traces.
    kind = {"mlflow.experimentKind": "custom_model_development"}
    return str(client.create_experiment(name, artifact_location=here, tags=kind))


def _log(client: MlflowClient, run_id: str, run: Run) -> None:
    metrics = [Metric(name, value, 0, 0) for name, value in run.metrics.items()]
    metrics += [
        Metric(series.name, value, instant, step)
        for series in run.series
        for step, instant, value in series.points
    ]
    entries: dict[str, list[Any]] = {
        "metrics": metrics,
        "params": [Param(name, str(value)) for name, value in run.params.items()],
        "tags": [RunTag(name, value) for name, value in run.tags.items()],
    }
    for kind, values in entries.items():
        for start in range(0, len(values), BATCH[kind]):
            client.log_batch(run_id, **{kind: values[start : start + BATCH[kind]]})


def _log_datasets(datasets: Mapping[str, tuple[Path, str]]) -> None:
    for name, (path, digest) in datasets.items():
        source = mlflow.data.dataset_source_registry.resolve_dataset_source(str(path))
        mlflow.log_input(MetaDataset(source, name=name, digest=digest), context="pipeline")


def _register(client: MlflowClient, model: Model) -> tuple[str, str]:
    """Log the model from code, register it and move its alias; return its version and URI."""
    inputs = Schema([ColSpec(DataType.double, name) for name in model.example.columns])
    outputs = Schema([ColSpec(DataType.double, name) for name in model.outputs])
    kinds = {int: DataType.long, str: DataType.string}
    asked = ParamSchema(
        [ParamSpec(name, kinds[type(value)], value) for name, value in model.params.items()]
    )
    requirements = [f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS]
    with tempfile.TemporaryDirectory() as scratch:
        code = [_code_only(package, Path(scratch)) for package in model.packages]
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVED_MODEL),
            artifacts={name: str(path) for name, path in model.artifacts.items()},
            code_paths=[str(path) for path in code],
            signature=ModelSignature(inputs, outputs, asked),
            input_example=model.example,
            pip_requirements=requirements,
        )
    version = mlflow.register_model(logged.model_uri, model.registered_name)
    client.set_registered_model_alias(model.registered_name, model.alias, version.version)
    return str(version.version), str(logged.model_uri)


def _code_only(package: Path, scratch: Path) -> Path:
    """Copy the modules of a package, without the data in its folder."""
    copy = scratch / package.name
    copy.mkdir()
    for module in package.glob("*.py"):
        shutil.copy(module, copy)
    return copy
