"""Stage ``evaluate``: the same procedure in the past, measured against what then happened."""

from __future__ import annotations

import csv
import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.contracts import INSTANT
from data.files import replaced_folder, write_table, write_text
from models.backtest import backtest, learners
from models.evaluation import report
from models.pictures import calibration_picture, weekly_picture
from models.scoreboard import flat_metrics, markdown_tables
from models.split import rolling_blocks
from pipelines.catalog import load_catalog, monotone_signs
from pipelines.dataset import customers_now, load_history, newest_cutoff
from pipelines.params import load_params
from pipelines.paths import BACKTEST, REPORTS
from pipelines.settings import evaluation_settings, labels, model_settings, split_settings
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from data.clock import Clock

logger = logging.getLogger("evaluate")
RECENCY_FEATURE = "days_since_last_use"


def scored_table(table: pd.DataFrame, clock: Clock) -> pa.Table:
    """Scored test snapshots as they are stored: cutoffs as instants."""
    stored = pa.Table.from_pandas(table, preserve_index=False)
    instants = pa.array(clock.cutoff_us(table["cutoff"].to_numpy()), pa.int64()).cast(INSTANT)
    return stored.set_column(stored.schema.get_field_index("cutoff"), "cutoff", instants)


def write_plots(measured: Mapping[str, Any], horizons: tuple[str, ...], folder: Path) -> None:
    """Write what ``dvc plots`` draws, and the pictures."""
    model = next(iter(measured["pooled"]))
    rows = [
        {"cause": cause, "horizon": label, **one}
        for cause, by_label in measured["reliability"][model].items()
        for label, bins in by_label.items()
        for one in bins
    ]
    write_text(_csv(rows), folder / "calibration.csv")
    rows = [
        {"week": week, "series": f"{cause} {label}", **_shown(figures)}
        for week, models in sorted(measured["weeks"].items())
        for cause, by_label in models[model].items()
        for label, figures in by_label.items()
    ]
    write_text(_csv(rows), folder / "weeks.csv")
    calibration_picture(measured, horizons, folder / "calibration.png")
    weekly_picture(measured, horizons[0], folder / "weeks.png")


def _shown(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures[name] for name in ("auroc", "log_loss", "lift_at_capacity")}


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main() -> None:
    """Backtest the model and its rivals, write scores, measures and pictures."""
    params = load_params()
    clock, horizons = params.clock.clock, labels(params)
    data = load_history(clock, horizons)
    settings = model_settings(params, monotone_signs(load_catalog()))
    blocks = rolling_blocks(int(data.cutoff.min()), newest_cutoff(clock), split_settings(params))
    recency = RECENCY_FEATURE if RECENCY_FEATURE in data.feature_names else None
    result = backtest(data, blocks, learners(settings, recency), settings)
    table = scored_table(result.table, clock)
    named = result.table.assign(cutoff=[clock.cutoff_at(k).date() for k in result.table["cutoff"]])
    measured = report(named, horizons, evaluation_settings(params, customers_now()))
    measured["notes"] = [
        {"block": block, "model": model, "note": note} for block, model, note in result.notes
    ]
    tables = markdown_tables(measured, horizons)
    with replaced_folder(BACKTEST) as folder:
        write_table(table, folder / "test_scores.parquet")
    with replaced_folder(REPORTS / "evaluation") as folder:
        write_text(json.dumps(measured, indent=1) + "\n", folder / "evaluation.json")
        write_text(tables, folder / "evaluation.md")
        write_plots(measured, horizons, folder)
    write_text(
        json.dumps({"test": flat_metrics(measured)}, indent=2) + "\n", REPORTS / "metrics.json"
    )
    logger.info("Test weeks of %d block(s):\n\n%s", len(blocks), tables)


if __name__ == "__main__":
    run_stage(main)
