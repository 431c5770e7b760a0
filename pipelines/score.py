"""Stage ``score``: risks of every customer now, and the weekly list."""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from data.contracts import CAUSES
from data.files import replaced_folder
from data.outcomes import contacted_between
from data.snapshots import DAYS_PER_MONTH
from features.declare import REASON_GROUPS
from models.explain import explain
from models.scoring import predict_cutoff
from pipelines.catalog import load_catalog
from pipelines.champion import serving_model
from pipelines.dataset import FEATURE_TABLE, load_newest, load_outcomes, newest_cutoff
from pipelines.params import load_params
from pipelines.paths import CLEAN, REPORTS, SCORES, SNAPSHOTS
from pipelines.settings import labels, list_settings
from pipelines.stage import run_stage
from retention.exports import write_csv, write_parquet
from retention.page import write_page
from retention.playbook import load_playbook
from retention.survival import MonthsKept, months_kept
from retention.weekly import MONEY_COLUMNS, Provenance, Scored, weekly_list

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.engine import Engine
    from models.competing_risks import RiskModel
    from pipelines.params import Params

logger = logging.getLogger("score")


def base_rates(outcome: NDArray[np.int8]) -> NDArray[np.float64]:
    """Share of known snapshots lost to each cause by each horizon, shape (causes, horizons)."""
    known = (outcome >= 0).sum(axis=0)
    lost = [(outcome == code).sum(axis=0) for code in range(1, len(CAUSES) + 1)]
    return np.asarray(lost / np.maximum(known, 1), dtype=np.float64)


def kept_by_plan(as_of: dt.datetime, limit: int) -> MonthsKept:
    """Months that a kept customer brings, by plan, from the lifetimes so far."""
    lifetimes = pq.read_table(SNAPSHOTS / "lifetimes.parquet").to_pandas()
    stopped = lifetimes["stopped_at"].fillna(as_of).clip(upper=as_of)
    days = (stopped - lifetimes["started_at"]).dt.total_seconds() / 86400
    churned = lifetimes["cause"].isin(CAUSES)
    return months_kept(lifetimes["plan"], days / DAYS_PER_MONTH, churned, limit)


def recently_contacted(params: Params, as_of: int, engine: Engine) -> set[str]:
    """Customers that were contacted too recently to be called again."""
    path = CLEAN / "interventions.parquet"
    if not path.exists():
        return set()
    clock = params.clock.clock
    after = clock.cutoff_us(as_of - params.score.contact_pause_periods)
    return contacted_between(engine.read(path), after, clock.cutoff_us(as_of), engine)


def provenance(params: Params, model: RiskModel, version: str) -> Provenance:
    """Where the list comes from, for its readers."""
    counts = json.loads((REPORTS / "snapshots.json").read_text(encoding="utf-8"))
    return Provenance(
        source=params.ingest.source,
        model_version=version,
        freshness={
            log: dt.datetime.fromisoformat(newest) for log, newest in counts["newest_row"].items()
        },
        notes=model.notes,
    )


def main() -> None:
    """Score everyone, rank, explain the listed, write list and page."""
    params = load_params()
    clock, horizons = params.clock.clock, labels(params)
    catalog = load_catalog()
    playbook = load_playbook(groups=REASON_GROUPS)
    data, snapshots = load_newest(clock, horizons)
    as_of = newest_cutoff(clock)
    with params.engine.open() as engine:
        model, version = serving_model(params, engine.threads)
        risks = predict_cutoff(model, FEATURE_TABLE, clock.cutoff_us(as_of), engine)
        contacted = recently_contacted(params, as_of, engine)

    def explained(
        rows: NDArray[np.int64], cause: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return explain(model, data.X[rows], data.feature_names, cause)

    contraction = model.contraction_risk(data.X, risks)
    scored = Scored(
        snapshots=snapshots.to_pandas(),
        risks=risks,
        labels=horizons,
        base_rates=base_rates(load_outcomes(horizons)[1]),
        X=data.X,
        catalog=catalog,
        explain=explained,
    )
    kept = kept_by_plan(clock.cutoff_at(as_of), params.score.months_kept)
    week = weekly_list(
        scored,
        kept,
        playbook,
        list_settings(params),
        provenance(params, model, version),
        clock,
        contacted,
    )
    scores = week.scores.assign(
        **{
            f"risk_contraction_{horizons[-1]}": contraction,
            f"expected_loss_{horizons[-1]}": model.expected_loss(risks, contraction, data.mrr),
        }
    )
    with replaced_folder(SCORES) as folder:
        write_parquet(scores, folder / "scores.parquet")
        write_parquet(week.listed, folder / "list.parquet")
        write_parquet(week.record, folder / "record.parquet")
        write_csv(week.listed, folder / "list.csv", MONEY_COLUMNS, params.ingest.currency)
        write_page(week, folder / "list.html")
    logger.info("%d customers scored, %d listed", len(week.scores), len(week.listed))


if __name__ == "__main__":
    run_stage(main)
