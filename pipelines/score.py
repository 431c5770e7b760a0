"""Stage ``score``: risks of every customer now, and the weekly list."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data.atomic import replaced_folder, write_text
from data.contracts import CAUSES
from data.lifetimes import read_subscriptions
from data.outcomes import contacted_between
from data.population import already_decided
from features.declare import REASON_GROUPS
from models.explain import explain
from models.scoring import predict_cutoff
from pipelines.catalog import load_catalog
from pipelines.dataset import FEATURE_TABLE, load_newest, load_outcomes, newest_cutoff
from pipelines.lookback import look_back
from pipelines.params import load_params
from pipelines.paths import CLEAN, REPORTS, SCORES, SNAPSHOTS, tables_in
from pipelines.released_lists import past_risks, read_past
from pipelines.review.champion import serving_model
from pipelines.settings import labels, list_settings
from pipelines.stage import run_stage
from retention.chat import summary
from retention.detail import PERIODS, details
from retention.exports import crm_frame, write_csv, write_parquet, write_xlsx
from retention.kaplan_meier import MonthsKept, ages, months_kept
from retention.list_page import write_page
from retention.overview import failed_invoices, overview, revenue_steps
from retention.overview_page import write_overview
from retention.playbook import load_playbook
from retention.ranking import QUEUE_NAMES
from retention.weekly_list import MONEY_COLUMNS, Provenance, Scored, weekly_list

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.engine import Engine
    from models.competing_risks import RiskModel
    from pipelines.params import Params
    from retention.overview import Overview
    from retention.weekly_list import WeeklyList

logger = logging.getLogger("score")


def base_rates(outcome: NDArray[np.int8]) -> NDArray[np.float64]:
    """Share of known snapshots lost to each cause by each horizon, shape (causes, horizons)."""
    known = (outcome >= 0).sum(axis=0)
    lost = [(outcome == code).sum(axis=0) for code in range(1, len(CAUSES) + 1)]
    return np.asarray(lost / np.maximum(known, 1), dtype=np.float64)


def kept_by_plan(as_of: dt.datetime, limit: int) -> MonthsKept:
    """Months that a kept customer brings, by plan, from the lifetimes so far."""
    lifetimes = pq.read_table(SNAPSHOTS / "lifetimes.parquet").to_pandas()
    return months_kept(lifetimes["plan"], *ages(lifetimes, as_of), limit)


def recently_contacted(params: Params, as_of: int, engine: Engine) -> set[str]:
    """Customers that were contacted too recently to be called again."""
    path = CLEAN / "interventions.parquet"
    if not path.exists():
        return set()
    clock = params.clock
    after = clock.cutoff_us(as_of - params.score.contact_pause_periods)
    return contacted_between(engine.read(path), after, clock.cutoff_us(as_of), engine)


def looked_closer(params: Params, week: WeeklyList, as_of: int) -> WeeklyList:
    """Add what the page shows of each listed customer, and how many have already decided."""
    clock, label = params.clock, week.labels[0]
    causes = dict(zip(QUEUE_NAMES, CAUSES, strict=True))
    risks = past_risks(params.ingest.source, week.listed, causes, label, PERIODS)
    with params.engine.open_duckdb() as engine:
        tables = {name: engine.read(path) for name, path in tables_in(CLEAN).items()}
        closer = details(week.listed["customer_id"].tolist(), risks, tables, as_of, clock, engine)
        decided: set[str] = set()
        if params.snapshot.rule == "contract":
            decided = already_decided(tables["subscriptions"], clock.cutoff_us(as_of), engine)
    decided -= set(week.scores["customer_id"])
    return dataclasses.replace(week, details=closer, decided=len(decided))


def churn_overview(params: Params, as_of: int) -> Overview:
    """Compute the second page from lifetimes, subscriptions and payments."""
    until = params.clock.cutoff_us(as_of)
    customers = pq.read_table(CLEAN / "customers.parquet", columns=["customer_id", "segment"])
    customers = customers.sort_by("customer_id").to_pandas()
    revenue, failed = None, None
    with params.engine.open_duckdb() as engine:
        tables = {name: engine.read(path) for name, path in tables_in(CLEAN).items()}
        if params.snapshot.rule == "contract":
            names = customers["customer_id"].to_numpy(dtype=object)
            events = read_subscriptions(tables["subscriptions"], names, until, engine)
            revenue = revenue_steps(events)
        if "payments" in tables:
            failed = failed_invoices(tables["payments"], until, engine)
    return overview(
        pq.read_table(SNAPSHOTS / "lifetimes.parquet").to_pandas(),
        customers,
        revenue,
        failed,
        params.clock.cutoff_at(as_of),
        params.score.margin,
        params.ingest.currency,
    )


def write(params: Params, week: WeeklyList, churn: Overview) -> None:
    """Write the candidate: what is handed out, and the record."""
    currency = params.ingest.currency
    with replaced_folder(SCORES) as folder:
        write_parquet(week.scores, folder / "scores.parquet")
        write_parquet(week.listed, folder / "list.parquet")
        write_parquet(week.record, folder / "record.parquet")
        write_parquet(week.gone_record, folder / "gone.parquet")
        write_csv(week.listed, folder / "list.csv", MONEY_COLUMNS, currency)
        write_xlsx(week.listed, folder / "list.xlsx", MONEY_COLUMNS, currency)
        # A CRM has one field for the risk, whatever the first horizon is.
        crm = week.listed.assign(risk=week.listed[f"risk_{week.labels[0]}"])
        for name, columns in params.score.crm.items():
            write_csv(crm_frame(crm, columns, MONEY_COLUMNS), folder / f"crm_{name}.csv")
        write_text(summary(week), folder / "summary.md")
        for name, rows in (("realised", week.realised), ("effects", week.effects)):
            text = pd.DataFrame(rows).to_json(orient="records", date_format="iso", indent=2)
            write_text(text + "\n", folder / f"{name}.json")
        write_page(week, folder / "list.html")
        write_overview(churn, folder / "overview.html")
        about = {
            "source": week.provenance.source,
            "cutoff": week.cutoff.date().isoformat(),
            "model_version": week.provenance.model_version,
            "freshness": {
                log: newest.isoformat() for log, newest in week.provenance.freshness.items()
            },
            "listed": len(week.listed),
        }
        write_text(json.dumps(about, indent=2) + "\n", folder / "provenance.json")


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
    clock, horizons = params.clock, labels(params)
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
        read_past(
            params.ingest.source,
            clock.cutoff_at(as_of),
            data.X,
            data.feature_names,
            horizons,
            params.engine.threads,
        ),
    )
    became, measured = look_back(params, as_of)
    scores = week.scores.assign(
        **{
            f"risk_contraction_{horizons[-1]}": contraction,
            f"expected_loss_{horizons[-1]}": model.expected_loss(risks, contraction, data.mrr),
        }
    )
    week = dataclasses.replace(
        looked_closer(params, week, as_of), scores=scores, realised=became, effects=measured
    )
    write(params, week, churn_overview(params, as_of))
    logger.info("%d customers scored, %d listed", len(week.scores), len(week.listed))


if __name__ == "__main__":
    run_stage(main)
