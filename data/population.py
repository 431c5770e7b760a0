"""The population: every customer observed, and the outcome, from the clean logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.asof import NEVER
from data.clock import MICROSECONDS_PER_DAY
from data.contracts import CAUSES, INSTANT
from data.cutoffs import Coverage, CutoffRange, choose_as_of, choose_cutoffs, log_coverage
from data.errors import BadInputError
from data.lifetimes import (
    INVOLUNTARY,
    STAYED,
    VOLUNTARY,
    Spells,
    contract_spans,
    contract_spells,
    decided_customers,
    inactivity_spans,
    inactivity_spells,
    last_plans,
    read_use_periods,
)
from data.outcomes import OutcomeSettings, first_contacts, observe_outcomes
from data.population_settings import PopulationTerms
from data.snapshots import (
    contract_snapshots,
    later_mrr,
    payment_revenue,
    snapshot_cells,
    snapshot_table,
    thinning_phase,
    usage_snapshots,
)
from data.subscriptions import SubscriptionEvents, read_subscriptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from data.clock import Clock
    from data.engine import Engine
    from data.lifetimes import UsePeriods


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
        Settings of outcomes.
    """

    as_of: int | None
    history_periods: int
    outcome: OutcomeSettings

    @property
    def outcome_log(self) -> str:
        """Name of the log that decides who left."""
        return "subscriptions" if self.rule == "contract" else "usage"


@dataclass(frozen=True)
class Population:
    """Every customer observed, and the outcome.

    Parameters
    ----------
    snapshots, outcomes
        One row per (customer_id, cutoff), in the same sorted order. Besides the outcome of each
        horizon, ``mrr_<label>`` is the MRR at the end of the last horizon, null unless the customer
        is known to have stayed.
    lifetimes
        True lifetimes as of the newest cutoff, without churn that was undone: ``customer_id``,
        ``plan`` (the last one), ``started_at``, ``stopped_at`` and ``cause`` (voluntary,
        involuntary, ended; both null while live).
    cutoffs, coverage
        Cutoffs at which customers are observed, and the time span of the logs.
    already_decided
        Number of customers with a cancellation scheduled and not carried out at the newest cutoff
        who are not in its snapshots.
    """

    snapshots: pa.Table
    outcomes: pa.Table
    lifetimes: pa.Table
    cutoffs: CutoffRange
    coverage: Coverage
    already_decided: int


def observe_population(
    tables: Mapping[str, Any], clock: Clock, settings: PopulationSettings, engine: Engine
) -> Population:
    """Take the snapshots and read their outcomes.

    Parameters
    ----------
    tables
        Clean tables of the contract by name, lazy Ibis tables; optional logs may be absent.
    clock, settings
        The clock, and which customers are observed.
    engine
        Runs the queries.

    Raises
    ------
    BadInputError
        If the log that decides who left is absent, the history is too short, there are no customers
        at the newest cutoff, or no customer ever churned.
    """
    outcome_log = settings.outcome_log
    if outcome_log not in tables:
        raise BadInputError(
            f"snapshot.rule is {settings.rule}, which needs the {outcome_log} log to see who left, "
            "but there is none: add it, or choose the other rule."
        )
    logs = {name: table for name, table in tables.items() if name != "customers"}
    everything = log_coverage(logs, engine)
    as_of = choose_as_of(
        everything, clock, settings.as_of, outcome_log, settings.outcome.lateness_days
    )
    until = clock.cutoff_us(as_of)
    coverage = log_coverage(logs, engine, until)
    cutoffs = choose_cutoffs(coverage, clock, as_of, settings.history_periods, settings.thin_every)
    customers = engine.to_arrow(tables["customers"].order_by("customer_id")).to_pandas()
    names = customers["customer_id"].to_numpy(dtype=object)
    phase = thinning_phase(names, settings.thin_every, settings.salt)
    contacts = np.full(len(names), NEVER)
    if "interventions" in tables:
        contacts = first_contacts(tables["interventions"], names, until, engine)
    history = read_history(tables, names, clock, settings, engine, as_of)
    reader = _Reader(tables, customers, cutoffs, phase, contacts, clock, settings, engine)
    if isinstance(history, SubscriptionEvents):
        observed = reader.by_contracts(history)
    else:
        observed = reader.by_usage(history)
    cells, spells = observed.cells, observed.spells
    _check_customers(cells, spells, cutoffs, clock, settings)
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
    outcomes[f"mrr_{last}"] = _mrr_if_stayed(cells["mrr_later"], outcomes[f"outcome_{last}"])
    keys = snapshots.select(["customer_id", "cutoff"])
    outcome_table = pa.table({name: keys[name] for name in keys.column_names} | outcomes)
    lifetimes = _lifetime_table(spells, names, observed.plans)
    now = cells.loc[cells["cutoff"] == cutoffs.as_of, "customer"].to_numpy()
    decided = np.setdiff1d(observed.decided, now).size
    return Population(snapshots, outcome_table, lifetimes, cutoffs, coverage, decided)


def read_history(
    tables: Mapping[str, Any],
    customers: NDArray[np.object_],
    clock: Clock,
    settings: PopulationSettings,
    engine: Engine,
    as_of: int,
) -> SubscriptionEvents | UsePeriods:
    """Read the log that decides who left: subscriptions, or under the inactivity rule use.

    Parameters
    ----------
    tables, clock, settings, engine
        As for ``observe_population``.
    customers
        Sorted ids of all customers.
    as_of
        Number of a cutoff; rows that became available later are not read.
    """
    until = clock.cutoff_us(as_of)
    if settings.rule == "contract":
        return read_subscriptions(tables["subscriptions"], customers, until, engine)
    return read_use_periods(tables["usage"], customers, clock, until, engine)


def lifetimes_ignoring_contacts(
    history: SubscriptionEvents | UsePeriods,
    customers: NDArray[np.object_],
    clock: Clock,
    settings: PopulationSettings,
    as_of: int,
) -> pa.Table:
    """Compute true lifetimes as of a cutoff where a return undoes a churn even after a contact.

    In ``Population.lifetimes`` a return after a contact does not undo a churn, as outcomes are
    those without contact. To compare contacted and withheld customers, treat both alike.

    Parameters
    ----------
    history, customers
        What ``read_history`` read as of that cutoff, and the sorted ids of all customers.
    clock, settings
        As for ``observe_population``.
    as_of
        Number of the cutoff.
    """
    if isinstance(history, SubscriptionEvents):
        spells = contract_spells(history, settings.outcome.undo_days * MICROSECONDS_PER_DAY)
        plans = last_plans(history, len(customers))
    else:
        spells = inactivity_spells(history, settings.silent_periods, as_of, clock)
        plans = np.full(len(customers), None, dtype=object)
    return _lifetime_table(spells, customers, plans)


def _mrr_if_stayed(mrr: pd.Series, outcome: pa.DictionaryArray) -> pa.Array:
    """Return the MRR (n,) at a horizon's end, null unless the customer is known to have stayed."""
    known = pc.fill_null(pc.equal(outcome.indices, STAYED), fill_value=False)
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


@dataclass(frozen=True)
class _Observed:
    """Cells that are observed; of all customers, true lifetimes, last plans and who has decided."""

    cells: pd.DataFrame
    spells: Spells
    plans: NDArray[np.object_]
    decided: NDArray[np.int64]


@dataclass(frozen=True)
class _Reader:
    """Reads the logs up to the newest cutoff, by either rule."""

    tables: Mapping[str, Any]
    customers: pd.DataFrame
    cutoffs: CutoffRange
    phase: NDArray[np.int64]
    contacts: NDArray[np.int64]
    clock: Clock
    settings: PopulationSettings
    engine: Engine

    @property
    def names(self) -> NDArray[np.object_]:
        return self.customers["customer_id"].to_numpy(dtype=object)

    def by_contracts(self, events: SubscriptionEvents) -> _Observed:
        clock, cutoffs, outcome = self.clock, self.cutoffs, self.settings.outcome
        spans = contract_spans(events, clock, cutoffs.as_of)
        cells = snapshot_cells(spans, cutoffs, self.phase)
        described = contract_snapshots(events, spans, cells, clock)
        later = later_mrr(events, spans, cutoffs, self.phase, outcome.horizons[-1], clock)
        return _Observed(
            described.merge(later, how="left", on=["customer", "cutoff"]),
            contract_spells(events, outcome.undo_days * MICROSECONDS_PER_DAY, self.contacts),
            last_plans(events, len(self.names)),
            decided_customers(events, clock, cutoffs.as_of),
        )

    def by_usage(self, use: UsePeriods) -> _Observed:
        clock, cutoffs, silent = self.clock, self.cutoffs, self.settings.silent_periods
        spans = inactivity_spans(use, silent, cutoffs.as_of)
        span, cutoff = snapshot_cells(spans, cutoffs, self.phase)
        revenue = np.zeros(len(span), dtype=np.int64)
        if "payments" in self.tables:
            cells = (spans.customer[span], cutoff)
            payments = self.tables["payments"]
            revenue = payment_revenue(payments, self.names, cells, clock, self.engine)
        signed_up = np.asarray(self.customers["signed_up_at"].astype("int64"), dtype=np.int64)
        described = usage_snapshots(spans, (span, cutoff), revenue, signed_up)
        return _Observed(
            # Revenue read from payments varies with the billing dates; a fall is not a contraction.
            described.assign(mrr_later=np.nan),
            inactivity_spells(use, silent, cutoffs.as_of, clock),
            np.full(len(self.names), None, dtype=object),
            np.array([], dtype=np.int64),
        )


def _check_customers(
    cells: pd.DataFrame,
    spells: Spells,
    cutoffs: CutoffRange,
    clock: Clock,
    settings: PopulationSettings,
) -> None:
    log = settings.outcome_log
    if not (cells["cutoff"] == cutoffs.as_of).any():
        raise BadInputError(
            f"The {log} log shows no customer on {clock.cutoff_at(cutoffs.as_of).date()}, the "
            "newest cutoff: check that the log is complete, or set snapshot.as_of earlier."
        )
    # A contract that ran out is not churn.
    if not np.isin(spells.cause, (VOLUNTARY, INVOLUNTARY)).any():
        advice = {
            "contract": "check that it has the cancellations of past customers (kinds "
            "cancel_scheduled and cancelled), or choose snapshot.rule: inactivity",
            "inactivity": "provide a longer history, or lower snapshot.silent_periods",
        }
        raise BadInputError(
            f"No customer in the {log} log ever churned, in {len(spells.cause):,} lifetimes, so "
            f"there is nothing to learn from: {advice[settings.rule]}."
        )
