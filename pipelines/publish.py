"""Stage ``publish``: log this pipeline state to MLflow once, as a review."""

from __future__ import annotations

import datetime as dt
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from data.atomic import replaced_folder, write_text
from data.contracts import CAUSES
from features.declare import CATALOG_FILE
from models.boosters import load_model
from models.drift import LARGE
from models.tables import ORACLE
from pipelines.load import load_newest
from pipelines.params import load_params
from pipelines.paths import FEATURES, MODEL, PARAMS_FILE, REPORTS, SCORES, TUNED_FILE
from pipelines.review.champion import load_champion
from pipelines.review.description import description
from pipelines.review.lineage import datasets, flattened, lineage
from pipelines.review.pictures import draw_pictures
from pipelines.review.tracking import (
    Model,
    Review,
    Run,
    Series,
    log_review,
    require_store,
    tracking_uri,
)
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.clock import Clock
    from pipelines.params import Params

logger = logging.getLogger("publish")
EVALUATION = REPORTS / "evaluation"
PICTURES = REPORTS / "review"
# The model's own code, which a clean environment needs besides its requirements.
PACKAGES = tuple(
    Path(__file__).parent.parent / room for room in ("data", "features", "models", "retention")
)
EXAMPLE_ROWS = 5


def dvc_metrics(name: str) -> dict[str, float]:
    """Every number in one of DVC's metrics files, by its path."""
    read = json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))
    return {
        path: float(value) for path, value in flattened(read, "/") if isinstance(value, int | float)
    }


def metrics_of(cells: Mapping[str, Any], prefix: str, bound: str = "value") -> dict[str, float]:
    """Figures of a model or ends of their intervals: ``<prefix>/<cause>/<horizon>/<metric>``."""
    metrics = {}
    for name, figure in flattened(cells, "/"):
        path, _, end = name.rpartition("/")
        if end not in {"value", "low", "high"}:
            path, end = name, "value"
        if figure is not None and end == bound:
            metrics[f"{prefix}/{path}"] = float(figure)
    return metrics


def weekly_series(weeks: Mapping[str, Any], model: str, clock: Clock) -> list[Series]:
    """Metrics of each test week, named by its day, as curves over the numbers of the cutoffs."""
    points: dict[str, list[tuple[int, int, float]]] = {}
    for week, models in sorted(weeks.items()):
        step = clock.cutoff_on(dt.date.fromisoformat(week))
        milliseconds = clock.cutoff_us(step) // 1000
        for name, value in metrics_of(models[model], "week").items():
            points.setdefault(name, []).append((step, milliseconds, value))
    return [Series(name, tuple(found)) for name, found in points.items()]


def children(evaluation: Mapping[str, Any]) -> list[Run]:
    """Child runs: rivals, test blocks, trials, and figures that would crowd the parent."""
    model, *rivals = evaluation["pooled"]
    trials = json.loads(TUNED_FILE.read_text(encoding="utf-8"))["trials"]
    figures = dvc_metrics("metrics")
    ends = {
        name: value
        for bound in ("low", "high")
        for name, value in metrics_of(evaluation["pooled"][model], f"test-{bound}", bound).items()
    }
    data = {
        f"{name}/{path}": value
        for name in ("quality", "snapshots")
        for path, value in dvc_metrics(name).items()
    }
    found = [Run("intervals", metrics=ends), Run("data", metrics=data)]
    for rival in rivals:
        metrics = metrics_of(evaluation["pooled"][rival], "test")
        metrics |= {name: value for name, value in figures.items() if name.endswith(f"_{rival}")}
        if rival == ORACLE:
            metrics |= {name: figures[name] for name in figures if name.startswith("attainable/")}
        found.append(
            Run(f"{'ceiling' if rival == ORACLE else 'baseline'} {rival}", metrics=metrics)
        )
    for number, models in evaluation["blocks"].items():
        found.append(Run(f"block {number}", metrics=metrics_of(models[model], "test")))
    for number, trial in enumerate(trials):
        metrics = {"tune/loss": trial["loss"]}
        found.append(Run(f"trial {number}", params=trial["params"], metrics=metrics))
    return found


def parent(evaluation: Mapping[str, Any], drift: Mapping[str, float], params: Params) -> Run:
    """Run of this state, with its description."""
    model = next(iter(evaluation["pooled"]))
    cells = dict(evaluation["pooled"][model])
    if "contraction" in evaluation:
        cells["contraction"] = {params.labels[-1]: evaluation["contraction"][model]}
    tested = {
        name: value
        for name, value in dvc_metrics("metrics").items()
        if name.startswith("test/") and "_minus_" not in name
    }
    tags = lineage(params)
    flat = dict(flattened(yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))))
    champion = load_champion()
    features = load_model(MODEL).feature_names
    note = description(evaluation, tags, flat, drift, champion, features)
    drifted = {
        "drift/largest_stability_index": max(drift.values()),
        "drift/features_moved_far": float(sum(index >= LARGE for index in drift.values())),
    }
    return Run(
        name=f"{tags.get('dvc_exp_name', '')} {tags['source']} {tags['cutoff']}".strip(),
        tags=tags | {"mlflow.note.content": note},
        params=flat,
        metrics=metrics_of(cells, "test") | tested | drifted,
        series=weekly_series(evaluation["weeks"], model, params.clock),
    )


def served(params: Params) -> Model:
    """The model as it is registered."""
    horizons = params.labels
    newest, _ = load_newest(params.clock, horizons)
    example = pd.DataFrame(newest.X[:EXAMPLE_ROWS].astype(np.float64), columns=newest.feature_names)
    return Model(
        artifacts={"model": MODEL, "catalog": FEATURES / CATALOG_FILE},
        params={"reasons": 0, "currency": params.ingest.currency},
        packages=PACKAGES,
        example=example,
        outputs=(
            *(f"risk_{cause}_{label}" for cause in CAUSES for label in horizons),
            f"risk_contraction_{horizons[-1]}",
        ),
        registered_name=f"churn-risk-{params.ingest.source}",
        alias="challenger",
    )


def review(params: Params) -> Review:
    """Collect the outputs of the stages and draw the plots of the review."""
    text = (EVALUATION / "evaluation.json").read_text(encoding="utf-8")
    evaluation = json.loads(text)
    with replaced_folder(PICTURES) as folder:
        drift = draw_pictures(params, folder)
    return Review(
        parent(evaluation, drift, params),
        children(evaluation),
        datasets(),
        artifacts={
            "pictures": (*sorted(EVALUATION.glob("*.png")), *sorted(PICTURES.glob("*.png"))),
            "tables": (
                EVALUATION / "evaluation.md",
                EVALUATION / "evaluation.json",
                PICTURES / "drift.csv",
                REPORTS / "quality.json",
            ),
            "list": (SCORES / "list.html",),
        },
        model=served(params),
    )


def main() -> None:
    """Log the run, register the model and record both."""
    params = load_params()
    uri = tracking_uri(params.publish.tracking_uri)
    require_store(uri, "dvc repro publish")
    logged = log_review(review(params), uri, params.publish.experiment)
    write_text(json.dumps(logged, indent=2) + "\n", REPORTS / "published.json")
    logger.info("MLflow run %(run_id)s, model version %(model_version)s", logged)


if __name__ == "__main__":
    run_stage(main)
