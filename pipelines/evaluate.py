"""Stage ``evaluate``: the same procedure in the past, measured against the outcomes."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.atomic import replaced_folder, write_table, write_text
from data.coded import coded
from data.contracts import INSTANT, OUTCOMES
from data.imports import ROOT
from models.attainable import attainable_shares, ceiling_figures, with_oracle
from models.backtest import backtest, learners, score_block
from models.backtest_plots import calibration_picture, weekly_picture
from models.baselines import BASE_RATE
from models.boosters import NAME, booster_learner
from models.competing_risks import fit_risk_model
from models.evaluation import EvaluationSettings, evaluation_report
from models.model_settings import EvaluationTerms
from models.split import open_and_sealed
from models.tables import ORACLE, attainable_table, contraction_table, flat_metrics, markdown_tables
from pipelines.load import blocks_of, customers_now, load_catalog, load_history, monotone_signs
from pipelines.modelling import capacity_shares, model_settings
from pipelines.params import load_params, terms
from pipelines.paths import BACKTEST, REPORTS, TRUTH
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from data.clock import Clock
    from pipelines.params import Params

logger = logging.getLogger("evaluate")
# Measured once, by `make ceiling`.
OBSERVABLE_CEILING = ROOT / "models" / "observable_ceiling.json"
RECENCY_FEATURE = "days_since_last_use"


def evaluation_settings(params: Params, customers: int) -> EvaluationSettings:
    """How scored snapshots are measured; ``customers`` is the number of customers now."""
    return EvaluationSettings(
        **terms(EvaluationTerms, params.evaluate),
        capacity=capacity_shares(params, customers),
        threads=params.engine.threads,
    )


def scored_table(table: pd.DataFrame, clock: Clock) -> pa.Table:
    """Scored test snapshots as they are stored: cutoffs as instants, outcomes coded."""
    stored = pa.Table.from_pandas(table, preserve_index=False)
    instants = pa.array(clock.cutoff_us(table["cutoff"].to_numpy()), pa.int64()).cast(INSTANT)
    columns = {"cutoff": instants} | {
        name: coded(table[name].cat.codes.to_numpy(), OUTCOMES)
        for name in table.columns
        if name.startswith("outcome_")
    }
    for name, column in columns.items():
        stored = stored.set_column(stored.schema.get_field_index(name), name, column)
    return stored


def sealed_scores(params: Params) -> pa.Table:
    """Fit the model before the sealed block and score its test weeks; only promotion calls this.

    Calling this opens the sealed block; callers must record it.

    Parameters
    ----------
    params
        Parameters of the model to fit on the features and snapshots in the current folder.

    Returns
    -------
    Table
        As ``data/backtest/test_scores.parquet``, sorted by ``customer_id, cutoff``, on which the
        rows of two models pair. ``block`` is the number of the sealed block, the newest.
    """
    clock = params.clock
    data = load_history(clock, params.labels, params.train.memory_limit)
    settings = model_settings(params, monotone_signs(load_catalog()))
    blocks = blocks_of(data, params)
    _, sealed = open_and_sealed(blocks)
    model = fit_risk_model(NAME, booster_learner(settings), data, sealed.slices, settings)
    return scored_table(score_block(model, data, sealed, len(blocks) - 1), clock)


def read_truth(clock: Clock) -> pd.DataFrame | None:
    """True risks of snapshots in a simulated world, with cutoff numbers; None for other sources."""
    path = TRUTH / "truth.parquet"
    if not path.exists():
        return None
    truth = pd.read_parquet(path)
    cutoff = clock.period_of(np.asarray(truth["cutoff"].astype("int64"), dtype=np.int64))
    return truth.assign(cutoff=cutoff)


def world_of(params: Params) -> dict[str, Any]:
    """Settings that determine the difficulty of the world: all but its size, dates and seed."""
    world = dataclasses.asdict(params.ingest.simulated)
    size = {"seed", "customers", "arrival_weeks", "weeks", "start"}
    return {name: value for name, value in world.items() if name not in size}


def attainable(pooled: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Share of the attainable skill that the model reaches, per ceiling."""
    reached = ceiling_figures(pooled, NAME, BASE_RATE)
    full = ceiling_figures(pooled, ORACLE, BASE_RATE)
    shares = {"full_information": attainable_shares(reached, full)}
    observable = json.loads(OBSERVABLE_CEILING.read_text(encoding="utf-8"))
    if observable["world"] == world_of(params):
        shares["observable"] = attainable_shares(reached, observable["skill"])
    return shares


def write_plots(measured: Mapping[str, Any], horizons: tuple[str, ...], folder: Path) -> None:
    """Write the data of ``dvc plots``, and the pictures."""
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
    """Backtest the model and its rivals; write scores, measures and plots."""
    params = load_params()
    clock, horizons = params.clock, params.labels
    data = load_history(clock, horizons, params.train.memory_limit)
    settings = model_settings(params, monotone_signs(load_catalog()))
    blocks, _ = open_and_sealed(blocks_of(data, params))
    recency = RECENCY_FEATURE if RECENCY_FEATURE in data.feature_names else None
    result = backtest(data, blocks, learners(settings, recency), settings)
    table = scored_table(result.table, clock)
    truth = read_truth(clock)
    scored = result.table if truth is None else with_oracle(result.table, truth)
    named = scored.assign(cutoff=[clock.cutoff_at(k).date() for k in scored["cutoff"]])
    measured = evaluation_report(named, horizons, evaluation_settings(params, customers_now()))
    measured["notes"] = [
        {"block": block, "model": model, "note": note} for block, model, note in result.notes
    ]
    tables = markdown_tables(measured, horizons)
    if "contraction" in measured:
        tables += "\n" + contraction_table(measured["contraction"])
    if truth is not None:
        measured["attainable"] = attainable(measured["pooled"], params)
        tables += "\n" + attainable_table(measured["attainable"])
    with replaced_folder(BACKTEST) as folder:
        write_table(table, folder / "test_scores.parquet")
    with replaced_folder(REPORTS / "evaluation") as folder:
        write_text(json.dumps(measured, indent=1) + "\n", folder / "evaluation.json")
        write_text(tables, folder / "evaluation.md")
        write_plots(measured, horizons, folder)
    figures = {"test": flat_metrics(measured)}
    if truth is not None:
        figures["attainable"] = measured["attainable"]
    write_text(json.dumps(figures, indent=2) + "\n", REPORTS / "metrics.json")
    logger.info("Test weeks of %d block(s):\n\n%s", len(blocks), tables)


if __name__ == "__main__":
    run_stage(main)
