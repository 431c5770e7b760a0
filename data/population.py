"""The population: everybody who is looked at, and what followed, from the clean logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.asof import NEVER
from data.clock import MICROSECONDS_PER_DAY
from data.contracts import CAUSES, INSTANT
from data.errors import BadInputError
from data.lifetimes import (
    INVOLUNTARY,
    KINDS,
    LIVE_KINDS,
    STOP_KINDS,
    VOLUNTARY,
    LiveSpans,
    Spells,
    contract_spans,
    contract_spells,
    inactivity_spans,
    inactivity_spells,
    last_plans,
    read_subscriptions,
    read_use_periods,
)
from data.outcomes import OutcomeSettings, first_contacts, observe_outcomes
from data.population_settings import PopulationTerms
from data.snapshots import (
    Coverage,
    CutoffRange,
    choose_as_of,
    choose_cutoffs,
    contract_snapshots,
    later_mrr,
    log_coverage,
    payment_revenue,
    snapshot_cells,
    snapshot_table,
    thinning_phase,
    usage_snapshots,
)
from data.visibility import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from data.clock import Clock
    from data.engine import Engine


@dataclass(frozen=True, kw_only=True)
class PopulationSettings(PopulationTerms):
    """Which customers are observed, when, and how far ahead.

    Parameters
    ----------
    as_of
        Newest cutoff number, or None for the newest that the logs cover.
    history_periods
        Periods between the start of the logs and the first cutoff.
    outcome
        How outcomes are read.
    """

    as_of: int | None
    history_periods: int
    outcome: OutcomeSettings


@dataclass(frozen=True)
class Population:
    """Everybody who is looked at, and what followed.

    Parameters
    ----------
    snapshots, outcomes
        Row for row the same (customer_id, cutoff), sorted by it. Beside the outcome of each
        horizon, ``mrr_<label>`` is the MRR at the end of the last one of who stayed until then.
    lifetimes
        True lifetimes as of the newest cutoff, churn undone where it was: ``customer_id``, ``plan``
        (the last one), ``started_at``, ``stopped_at`` and ``cause`` (voluntary, involuntary, ended;
        both null while live).
    cutoffs, coverage
        Which cutoffs are looked at, in which stretch of time.
    """

    snapshots: pa.Table
    outcomes: pa.Table
    lifetimes: pa.Table
    cutoffs: CutoffRange
    coverage: Coverage


def observe_population(
    tables: Mapping[str, Any], clock: Clock, settings: PopulationSettings, engine: Engine
) -> Population:
    """Take the snapshots and read their outcomes.

    Parameters
    ----------
    tables
        Clean tables of the contract by name, lazy Ibis tables; optional logs may be absent.
    clock, settings
        The clock and who is looked at.
    engine
        Runs the queries.

    Raises
    ------
    BadInputError
        If the log that tells who left is absent, the history is too short, nobody is a customer at
        the newest cutoff, or nobody ever left.
    """
    teller = "subscriptions" if settings.rule == "contract" else "usage"
    if teller not in tables:
        raise BadInputError(
            f"snapshot.rule is {settings.rule}, which reads who left from the {teller} log, but "
            f"there is no {teller} log: bring it, or choose the other rule."
        )
    logs = {name: table for name, table in tables.items() if name != "customers"}
    everything = log_coverage(logs, engine)
    as_of = choose_as_of(everything, clock, settings.as_of, teller, settings.outcome.lateness_days)
    until = clock.cutoff_us(as_of)
    coverage = log_coverage(logs, engine, until)
    cutoffs = choose_cutoffs(coverage, clock, as_of, settings.history_periods, settings.thin_every)
    customers = engine.to_arrow(tables["customers"].order_by("customer_id")).to_pandas()
    names = customers["customer_id"].to_numpy(dtype=object)
    phase = thinning_phase(names, settings.thin_every, settings.salt)
    contacts = np.full(len(names), NEVER)
    if "interventions" in tables:
        contacts = first_contacts(tables["interventions"], names, until, engine)
    read = _read_contracts if settings.rule == "contract" else _read_usage
    cells, spells, plans = read(
        tables, customers, cutoffs, phase, contacts, clock, settings, engine
    )
    _check_somebody(cells, spells, cutoffs, clock, settings)
    snapshots = snapshot_table(cells, customers, clock, cutoffs.as_of)
    outcomes = observe_outcomes(
        cells["customer"].to_numpy(),
        cells["cutoff"].to_numpy(),
        spells,
        contacts,
        cutoffs.as_of,
        clock,
        settings.outcome,
    )
    last = clock.label(settings.outcome.horizons[-1])
    outcomes[f"mrr_{last}"] = _of_those_who_stayed(cells["mrr_later"], outcomes[f"outcome_{last}"])
    keys = snapshots.select(["customer_id", "cutoff"])
    outcome_table = pa.table({name: keys[name] for name in keys.column_names} | outcomes)
    lifetimes = _lifetime_table(spells, names, plans)
    return Population(snapshots, outcome_table, lifetimes, cutoffs, coverage)


def lifetimes_whoever_was_contacted(
    tables: Mapping[str, Any],
    clock: Clock,
    settings: PopulationSettings,
    engine: Engine,
    as_of: int,
) -> pa.Table:
    """True lifetimes as of a cutoff in which a return undoes a churn after a contact as well.

    ``Population.lifetimes`` do not let a contact undo a churn, as outcomes are those if nobody
    acts. Whoever compares the contacted with others must treat them alike.

    Parameters
    ----------
    tables, clock, settings, engine
        As for ``observe_population``.
    as_of
        Number of the cutoff; rows that became available later are not read.
    """
    customers = tables["customers"].select("customer_id").order_by("customer_id")
    names = engine.to_arrow(customers)["customer_id"].to_pandas().to_numpy(dtype=object)
    until = clock.cutoff_us(as_of)
    if settings.rule == "contract":
        events = read_subscriptions(tables["subscriptions"], names, until, engine)
        undo_us = settings.outcome.undo_days * MICROSECONDS_PER_DAY
        return _lifetime_table(
            contract_spells(events, undo_us), names, last_plans(events, len(names))
        )
    use = read_use_periods(tables["usage"], names, clock, until, engine)
    spells = inactivity_spells(use, settings.silent_periods, as_of, clock)
    return _lifetime_table(spells, names, np.full(len(names), None, dtype=object))


def already_decided(subscriptions: Any, until_us: int, engine: Engine) -> set[str]:
    """Customers with a cancellation scheduled and not yet carried out, by the rows visible then.

    Parameters
    ----------
    subscriptions
        Clean subscriptions as a lazy Ibis table.
    until_us
        The cutoff, microseconds.
    engine
        Runs the query.
    """
    log = visible(subscriptions, until_us, engine)
    log = log.filter(log.kind.isin([*LIVE_KINDS, *STOP_KINDS]))
    log = log.select("customer_id", "subscription_id", "event_at", "kind", "event_id")
    rows = engine.to_arrow(log).to_pandas()
    rows["code"] = rows["kind"].map(KINDS.index)
    last = rows.sort_values(["event_at", "code", "event_id"]).drop_duplicates(
        ["customer_id", "subscription_id"], keep="last"
    )
    return set(last.loc[last["kind"] == "cancel_scheduled", "customer_id"])


def _of_those_who_stayed(mrr: pd.Series, outcome: pa.Array) -> pa.Array:
    """MRR (n,) at the end of a horizon, null but for who is known to have stayed until then."""
    known = pc.fill_null(pc.equal(outcome, "stayed"), fill_value=False)
    return pc.if_else(known, pa.array(mrr, pa.int64(), from_pandas=True), None)


def _lifetime_table(
    spells: Spells, names: NDArray[np.object_], plans: NDArray[np.object_]
) -> pa.Table:
    live = spells.stop_us == NEVER
    cause_names = np.array(["", *CAUSES, "ended"], dtype=object)
    return pa.table(
        {
            "customer_id": pa.array(names[spells.customer], pa.string()),
            "plan": pa.array(plans[spells.customer], pa.string()),
            "started_at": pa.array(spells.start_us, pa.int64()).cast(INSTANT),
            "stopped_at": pa.array(spells.stop_us, pa.int64(), mask=live).cast(INSTANT),
            "cause": pa.array(cause_names[spells.cause], pa.string(), mask=live),
        }
    )


def _read_contracts(
    tables: Mapping[str, Any],
    customers: pd.DataFrame,
    cutoffs: CutoffRange,
    phase: NDArray[np.int64],
    contacts: NDArray[np.int64],
    clock: Clock,
    settings: PopulationSettings,
    engine: Engine,
) -> tuple[pd.DataFrame, Spells, NDArray[np.object_]]:
    names = customers["customer_id"].to_numpy(dtype=object)
    until = clock.cutoff_us(cutoffs.as_of)
    events = read_subscriptions(tables["subscriptions"], names, until, engine)
    spans = contract_spans(events, clock, cutoffs.as_of)
    cells = contract_snapshots(events, spans, snapshot_cells(spans, cutoffs, phase), clock)
    horizon = settings.outcome.horizons[-1]
    later = later_mrr(events, spans, cutoffs, phase, horizon, clock)
    cells = cells.merge(later, how="left", on=["customer", "cutoff"])
    undo_us = settings.outcome.undo_days * MICROSECONDS_PER_DAY
    return cells, contract_spells(events, undo_us, contacts), last_plans(events, len(names))


def _read_usage(
    tables: Mapping[str, Any],
    customers: pd.DataFrame,
    cutoffs: CutoffRange,
    phase: NDArray[np.int64],
    contacts: NDArray[np.int64],
    clock: Clock,
    settings: PopulationSettings,
    engine: Engine,
) -> tuple[pd.DataFrame, Spells, NDArray[np.object_]]:
    names = customers["customer_id"].to_numpy(dtype=object)
    until = clock.cutoff_us(cutoffs.as_of)
    use = read_use_periods(tables["usage"], names, clock, until, engine)
    spans: LiveSpans = inactivity_spans(use, settings.silent_periods, cutoffs.as_of)
    span, cutoff = snapshot_cells(spans, cutoffs, phase)
    revenue = np.zeros(len(span), dtype=np.int64)
    if "payments" in tables:
        cells = (spans.customer[span], cutoff)
        revenue = payment_revenue(tables["payments"], names, cells, clock, engine)
    signed_up = np.asarray(customers["signed_up_at"].astype("int64"), dtype=np.int64)
    described = usage_snapshots(spans, (span, cutoff), revenue, signed_up)
    # Revenue read from payments goes up and down with the billing dates: no sign of contraction.
    described = described.assign(mrr_later=np.nan)
    spells = inactivity_spells(use, settings.silent_periods, cutoffs.as_of, clock)
    return described, spells, np.full(len(names), None, dtype=object)


def _check_somebody(
    cells: pd.DataFrame,
    spells: Spells,
    cutoffs: CutoffRange,
    clock: Clock,
    settings: PopulationSettings,
) -> None:
    log = "subscriptions" if settings.rule == "contract" else "usage"
    if not (cells["cutoff"] == cutoffs.as_of).any():
        raise BadInputError(
            f"Nobody is a customer on {clock.cutoff_at(cutoffs.as_of).date()}, the newest cutoff, "
            f"by the {log} log: check that the log is complete, or set snapshot.as_of earlier."
        )
    # A contract that ran out is no churn.
    if not np.isin(spells.cause, (VOLUNTARY, INVOLUNTARY)).any():
        advice = {
            "contract": "check that it holds the cancellations of past customers (kinds "
            "cancel_scheduled and cancelled), or choose snapshot.rule: inactivity",
            "inactivity": "bring a longer history, or lower snapshot.silent_periods",
        }
        raise BadInputError(
            f"Nobody churned in the whole {log} log, in {len(spells.cause):,} lifetimes, so there "
            f"is nothing to learn from: {advice[settings.rule]}."
        )
