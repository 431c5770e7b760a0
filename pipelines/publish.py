"""Stage ``publish``: log this pipeline state to MLflow, once, as a review."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from data.contracts import CAUSES
from data.files import write_text
from models.attainable import ORACLE
from models.boosters import model_digest
from models.scoreboard import SHOWN, with_interval
from pipelines.dataset import load_newest
from pipelines.params import load_params
from pipelines.paths import (
    CLEAN,
    FEATURES,
    LOCK_FILE,
    MODEL,
    PARAMS_FILE,
    REPORTS,
    SCORES,
    SNAPSHOTS,
)
from pipelines.settings import labels
from pipelines.stage import run_stage
from pipelines.tracking import Model, Review, Run, Series, log_review, tracking_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from data.clock import Clock
    from pipelines.params import Params

logger = logging.getLogger("publish")
PACKAGES = (Path("data"), Path("models"))
EXAMPLE_ROWS = 5


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested parameters, named by their path with dots."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def metrics_of(cells: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Figures of one model as ``<prefix>/<cause>/<horizon>/<metric>``, with their intervals."""
    metrics = {}
    for cause, by_label in cells.items():
        for label, cell in by_label.items():
            for metric, figure in cell.items():
                bounds = figure if isinstance(figure, dict) else {"value": figure}
                for bound, value in bounds.items():
                    if value is not None:
                        ending = "" if bound == "value" else f"_{bound}"
                        metrics[f"{prefix}/{cause}/{label}/{metric}{ending}"] = float(value)
    return metrics


def weekly_series(weeks: Mapping[str, Any], model: str, clock: Clock) -> list[Series]:
    """Metrics of each test week as curves: the step is the number of the cutoff."""
    points: dict[str, list[tuple[int, int, float]]] = {}
    for week, models in sorted(weeks.items()):
        instant = int(pd.Timestamp(week[:10], tz="UTC").timestamp())
        step = clock.period_of(instant * 1_000_000)
        for name, value in metrics_of(models[model], "week").items():
            points.setdefault(name, []).append((step, instant * 1000, value))
    return [Series(name, tuple(found)) for name, found in points.items()]


def lineage(params: Params) -> dict[str, str]:
    """Tags that lead back to the code, the data and the parameters."""
    lock = yaml.safe_load(LOCK_FILE.read_text(encoding="utf-8")) if LOCK_FILE.exists() else {}
    upstream = {name: stage for name, stage in lock.get("stages", {}).items() if name != "publish"}
    tags = {
        "source": params.ingest.source,
        "as_of": json.loads((REPORTS / "snapshots.json").read_text(encoding="utf-8"))["as_of"],
        "engine": params.engine.name,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": _dirty(),
        "dvc_lock_digest": hashlib.sha256(
            json.dumps(upstream, sort_keys=True).encode()
        ).hexdigest(),
        "model_digest": model_digest(MODEL),
    }
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        if os.environ.get(name):
            tags[name.lower()] = os.environ[name]
    return {name: value for name, value in tags.items() if value}


def _dirty() -> str:
    """Whether code or parameters differ from the commit; what a run itself writes aside."""
    if not _git("rev-parse", "HEAD"):
        return ""
    changed = _git("status", "--porcelain", "--", ".", ":!dvc.lock", ":!reports")
    return "yes" if changed else "no"


def _git(*arguments: str) -> str:
    """What git says, or nothing where there is no git or no repository."""
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def datasets() -> dict[str, tuple[Path, str]]:
    """Data sets by name: where they lie and DVC's hash of them."""
    lock = yaml.safe_load(LOCK_FILE.read_text(encoding="utf-8")) if LOCK_FILE.exists() else {}
    hashes = {
        out["path"]: out["md5"]
        for stage in lock.get("stages", {}).values()
        for out in stage.get("outs", [])
    }
    chosen = {folder.name: folder for folder in (CLEAN, SNAPSHOTS, FEATURES)}
    return {
        name: (folder, hashes[str(folder)])
        for name, folder in chosen.items()
        if str(folder) in hashes
    }


def description(evaluation: Mapping[str, Any], tags: Mapping[str, str], first: str) -> str:
    """Write the review: the figures that matter, with their intervals, and what limits them."""
    model, *rivals = evaluation["pooled"]
    lines = [
        f"Weekly churn risks of **{tags['source']}** as of {tags['as_of']}.",
        "",
        f"| within {first} | " + " | ".join(CAUSES) + " |",
        "| --- |" + " --- |" * len(CAUSES),
    ]
    cells = [evaluation["pooled"][model][cause][first] for cause in CAUSES]
    for metric, title in SHOWN.items():
        figures = " | ".join(with_interval(cell[metric], metric) for cell in cells)
        lines.append(f"| {title} | {figures} |")
    for rival in rivals:
        gains = [
            with_interval(evaluation["differences"][rival][cause][first]["log_loss"], "log_loss")
            for cause in CAUSES
        ]
        lines.append(f"| log loss minus {rival.replace('_', ' ')} | {' | '.join(gains)} |")
    notes = sorted({note["note"] for note in evaluation["notes"] if note["model"] == model})
    lines += ["", "Notes:" if notes else "No notes.", *(f"- {note}" for note in notes)]
    return "\n".join(lines)


def review(params: Params) -> Review:
    """Gather what the stages wrote."""
    clock, horizons = params.clock.clock, labels(params)
    path = REPORTS / "evaluation" / "evaluation.json"
    evaluation = json.loads(path.read_text(encoding="utf-8"))
    model, *rivals = evaluation["pooled"]
    tags = lineage(params)
    newest, _ = load_newest(clock, horizons)
    example = pd.DataFrame(newest.X[:EXAMPLE_ROWS].astype(np.float64), columns=newest.feature_names)
    parent = Run(
        name=f"{tags['source']} {tags['as_of']} {tags.get('dvc_exp_name', '')}".strip(),
        tags=tags | {"mlflow.note.content": description(evaluation, tags, horizons[0])},
        params=dict(flattened(yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8")))),
        metrics=metrics_of(evaluation["pooled"][model], "test"),
        series=weekly_series(evaluation["weeks"], model, clock),
    )
    children = [
        Run(
            f"{'ceiling' if rival == ORACLE else 'baseline'} {rival}",
            metrics=metrics_of(evaluation["pooled"][rival], "test"),
        )
        for rival in rivals
    ] + [
        Run(f"block {number}", metrics=metrics_of(models[model], "test"))
        for number, models in evaluation["blocks"].items()
    ]
    return Review(
        parent,
        children,
        datasets(),
        [REPORTS / "evaluation", REPORTS / "quality.json", SCORES / "list.html"],
        Model(
            folder=MODEL,
            packages=PACKAGES,
            example=example,
            outputs=tuple(f"risk_{cause}_{label}" for cause in CAUSES for label in horizons),
            registered_name=f"churn-risk-{params.ingest.source}",
            alias="challenger",
        ),
    )


def main() -> None:
    """Log the run, register the model, write down where."""
    params = load_params()
    uri = tracking_uri(params.publish.tracking_uri)
    logged = log_review(review(params), uri, params.publish.experiment)
    write_text(json.dumps(logged, indent=2) + "\n", REPORTS / "published.json")
    logger.info("MLflow run %(run_id)s, model version %(model_version)s", logged)


if __name__ == "__main__":
    run_stage(main)
