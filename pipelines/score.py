"""Stage ``score``: current risks of all customers, and the weekly list."""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from data.atomic import replaced_folder, write_text
from data.contracts import CAUSES
from data.invoices import failed_invoices
from data.outcomes import contacted_between
from features.declare import REASON_GROUPS
from models.explain import explain
from pipelines.clean_logs import CleanLogs
from pipelines.engines import chosen_engine
from pipelines.load import load_catalog, load_newest, load_outcomes
from pipelines.lookback import look_back
from pipelines.params import load_params, terms
from pipelines.paths import REPORTS, SCORES, SNAPSHOTS
from pipelines.released_lists import past_risks, read_past
from pipelines.review.champion import serving_model
from pipelines.stage import run_stage
from retention.chat import chat_message
from retention.detail import PERIODS, details
from retention.exports import crm_frame, write_csv, write_parquet, write_xlsx
from retention.kaplan_meier import ages, months_kept
from retention.list_page import PageExtras, write_page
from retention.list_settings import ListTerms
from retention.overview import Records, overview, revenue_steps
from retention.overview_page import write_overview
from retention.playbook import load_playbook
from retention.ranking import QUEUE_NAMES, ListSettings
from retention.weekly_list import MONEY_COLUMNS, Policy, Provenance, Scored, weekly_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from data.subscriptions import SubscriptionEvents
    from models.competing_risks import RiskModel
    from models.risk_data import RiskData
    from pipelines.params import Params
    from retention.overview import Overview
    from retention.weekly_list import WeeklyList

logger = logging.getLogger("score")


def base_rates(outcome: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the share of known snapshots lost by cause and horizon, shape (causes, horizons)."""
    known = (outcome >= 0).sum(axis=0)
    lost = [(outcome == code).sum(axis=0) for code in range(1, len(CAUSES) + 1)]
    return np.asarray(lost / np.maximum(known, 1), dtype=np.float64)


def score(
    model: RiskModel, data: RiskData, snapshots: pa.Table, horizons: tuple[str, ...]
) -> Scored:
    """Predict the risks of the current customers.

    Parameters
    ----------
    model
        The serving model.
    data, snapshots
        The current customers as arrays, and their snapshots, in the same order.
    horizons
        Names of the horizons.
    """
    risks = model.predict(data.X, data.feature_names)
    contraction = model.contraction_risk(data.X, risks)
    last = horizons[-1]

    def explained(
        rows: NDArray[np.int64], cause: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return explain(model, data.X[rows], data.feature_names, cause)

    return Scored(
        snapshots=snapshots.to_pandas(),
        risks=risks,
        labels=horizons,
        base_rates=base_rates(load_outcomes(horizons)[1]),
        X=data.X,
        catalog=load_catalog(),
        explain=explained,
        more_scores={
            f"risk_contraction_{last}": contraction,
            f"expected_loss_{last}": model.expected_loss(risks, contraction, data.mrr),
        },
    )


def policy(params: Params, lifetimes: pd.DataFrame, as_of: dt.datetime) -> Policy:
    """Read how the business acts on risks; months kept are estimated from the lifetimes so far."""
    return Policy(
        ListSettings(
            **terms(ListTerms, params.score),
            salt=params.snapshot.salt,
            currency=params.ingest.currency,
        ),
        load_playbook(groups=REASON_GROUPS),
        months_kept(lifetimes["plan"], *ages(lifetimes, as_of), params.score.months_kept),
    )


def recently_contacted(params: Params, logs: CleanLogs) -> set[str]:
    """Customers who were contacted too recently to be called again."""
    if "interventions" not in logs.tables:
        return set()
    clock, as_of = params.clock, logs.as_of
    after = clock.cutoff_us(as_of - params.score.contact_pause_periods)
    log = logs.tables["interventions"]
    return contacted_between(log, after, clock.cutoff_us(as_of), logs.engine)


def page_extras(params: Params, week: WeeklyList, logs: CleanLogs, decided: int) -> PageExtras:
    """Gather what the page shows beside the list; ``decided`` is the number who are leaving."""
    causes = dict(zip(QUEUE_NAMES, CAUSES, strict=True))
    risks = past_risks(params.ingest.source, week.listed, causes, week.labels[0], PERIODS)
    listed = week.listed["customer_id"].tolist()
    realised, effects = look_back(params, logs)
    return PageExtras(
        details=details(listed, risks, logs.tables, logs.as_of, params.clock, logs.engine),
        realised=realised,
        effects=effects,
        decided=decided,
    )


def churn_overview(params: Params, lifetimes: pd.DataFrame, logs: CleanLogs) -> Overview:
    """Compute the second page from lifetimes, subscriptions and payments."""
    revenue, failed = None, None
    if params.snapshot.rule == "contract":
        revenue = revenue_steps(cast("SubscriptionEvents", logs.history))
    if "payments" in logs.tables:
        until = params.clock.cutoff_us(logs.as_of)
        failed = failed_invoices(logs.tables["payments"], until, logs.engine)
    return overview(
        Records(lifetimes, logs.customers, revenue, failed),
        params.clock.cutoff_at(logs.as_of),
        params.score.margin,
        params.ingest.currency,
    )


def write(params: Params, week: WeeklyList, extras: PageExtras, churn: Overview) -> None:
    """Write the candidate: the list in all formats, the pages and the record."""
    currency = params.ingest.currency
    with replaced_folder(SCORES) as folder:
        write_parquet(week.scores, folder / "scores.parquet")
        write_parquet(week.listed, folder / "list.parquet")
        write_parquet(week.record, folder / "record.parquet")
        write_parquet(week.gone_record, folder / "gone.parquet")
        write_csv(week.listed, folder / "list.csv", MONEY_COLUMNS, currency)
        write_xlsx(week.listed, folder / "list.xlsx", MONEY_COLUMNS, currency)
        # A CRM has one field for the risk: that of the first horizon.
        crm = week.listed.assign(risk=week.listed[f"risk_{week.labels[0]}"])
        for name, columns in params.score.crm.items():
            write_csv(crm_frame(crm, columns, MONEY_COLUMNS), folder / f"crm_{name}.csv")
        write_text(chat_message(week), folder / "summary.md")
        for name, rows in (("realised", extras.realised), ("effects", extras.effects)):
            text = pd.DataFrame(rows).to_json(orient="records", date_format="iso", indent=2)
            write_text(text + "\n", folder / f"{name}.json")
        write_page(week, extras, folder / "list.html")
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


def provenance(
    params: Params, model: RiskModel, version: str, counts: Mapping[str, Any]
) -> Provenance:
    """Return the provenance of the list; ``counts`` are those of the stage ``snapshot``."""
    return Provenance(
        source=params.ingest.source,
        model_version=version,
        freshness={
            log: dt.datetime.fromisoformat(newest) for log, newest in counts["newest_row"].items()
        },
        notes=model.notes,
    )


def main() -> None:
    """Score every customer, rank, explain the listed, write list and pages."""
    params = load_params()
    clock, horizons = params.clock, params.labels
    data, snapshots = load_newest(clock, horizons)
    as_of = int(data.cutoff.max())
    cutoff = clock.cutoff_at(as_of)
    model, version = serving_model(params, params.engine.threads)
    scored = score(model, data, snapshots, horizons)
    lifetimes = pd.read_parquet(SNAPSHOTS / "lifetimes.parquet")
    counts = json.loads((REPORTS / "snapshots.json").read_text(encoding="utf-8"))
    past = read_past(
        params.ingest.source, cutoff, data.X, data.feature_names, horizons, params.engine.threads
    )
    with chosen_engine(params) as engine:
        logs = CleanLogs(params, as_of, engine)
        week = weekly_list(
            scored,
            policy(params, lifetimes, cutoff),
            provenance(params, model, version, counts),
            recently_contacted(params, logs),
            past,
        )
        extras = page_extras(params, week, logs, counts["already_decided"])
        churn = churn_overview(params, lifetimes, logs)
    write(params, week, extras, churn)
    logger.info("%d customers scored, %d listed", len(week.scores), len(week.listed))


if __name__ == "__main__":
    run_stage(main)
