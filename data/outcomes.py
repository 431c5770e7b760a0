"""Outcomes: what followed a snapshot, per horizon, or null where that is not known.

Nothing under ``features`` may import this module: an outcome in a feature is a leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.asof import NEVER, customer_numbers, taken
from data.clock import MICROSECONDS_PER_DAY
from data.lifetimes import ENDED, INVOLUNTARY, STAYED, VOLUNTARY
from data.population_settings import OutcomeTerms
from data.visibility import contacts, visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.clock import Clock
    from data.engine import Engine
    from data.lifetimes import Spells

OUTCOMES = {STAYED: "stayed", VOLUNTARY: "voluntary", INVOLUNTARY: "involuntary"}
NULL_REASONS = ("already_gone", "not_finished", "contract_ended", "contacted")


@dataclass(frozen=True)
class OutcomeSettings(OutcomeTerms):
    """How outcomes are read.

    Parameters
    ----------
    lateness_days
        Longest delay between an event and its availability.
    """

    lateness_days: int

    @property
    def follow_up_us(self) -> int:
        """How long after its end an interval's outcome may still change, microseconds."""
        return (self.undo_days + self.lateness_days) * MICROSECONDS_PER_DAY


def first_contacts(
    interventions: Any, customers: NDArray[np.object_], until_us: int, engine: Engine
) -> NDArray[np.int64]:
    """First contact or offer of each customer number, microseconds; NEVER where there is none."""
    acted = contacts(visible(interventions, until_us, engine))
    earliest = acted.group_by("customer_id").agg(first=engine.microseconds(acted.event_at).min())
    frame = engine.to_arrow(earliest).to_pandas()
    first = np.full(len(customers), NEVER)
    number = customer_numbers(frame["customer_id"], customers)
    first[number[number >= 0]] = frame["first"].to_numpy(dtype=np.int64)[number >= 0]
    return first


def contacted_between(interventions: Any, after_us: int, until_us: int, engine: Engine) -> set[str]:
    """Customers contacted or offered something in ``(after, until]``, as visible at ``until``."""
    acted = contacts(visible(interventions, until_us, engine))
    event_us = engine.microseconds(acted.event_at)
    acted = acted.filter((event_us > after_us) & (event_us <= until_us))
    return set(engine.to_arrow(acted.select("customer_id").distinct())["customer_id"].to_pylist())


def observe_outcomes(
    customer: NDArray[np.int64],
    cutoff: NDArray[np.int64],
    spells: Spells,
    contact_us: NDArray[np.int64],
    as_of: int,
    clock: Clock,
    settings: OutcomeSettings,
) -> dict[str, pa.Array]:
    """Say for each snapshot and horizon what happened in ``(cutoff, cutoff + horizon]``.

    Parameters
    ----------
    customer, cutoff
        Customer number and cutoff number of each snapshot, shape (n,).
    spells
        True lifetimes of the customers.
    contact_us
        First contact of each customer number; from then on outcomes are censored.
    as_of
        Newest cutoff: nothing after it is in the log.
    clock, settings
        The clock and the horizons.

    Returns
    -------
    dict
        ``outcome_<label>``: stayed, voluntary or involuntary by the end of the horizon, or null;
        ``null_reason_<label>``: why it is null, or null. An interval is known only when its whole
        follow-up lies in the log: an early churn does not make an unfinished interval known.
    """
    start = clock.cutoff_us(cutoff)
    spell = spells.at(customer, start)
    stop = taken(spells.stop_us, spell)
    cause = taken(spells.cause, spell, STAYED)
    contact = contact_us[customer]
    already_gone = (spell < 0) | (stop <= start)
    log_end = clock.cutoff_us(as_of)
    columns = {}
    for horizon in settings.horizons:
        end = clock.cutoff_us(cutoff + horizon)
        stopped = stop <= end
        reasons = {
            "already_gone": already_gone,
            "not_finished": end + settings.follow_up_us > log_end,
            "contacted": (contact <= start) | ((contact <= end) & (contact < stop)),
            "contract_ended": stopped & (cause == ENDED),
        }
        names = list(reasons)
        reason = np.select(list(reasons.values()), range(len(names)), default=-1)
        outcome = np.where(stopped, cause, STAYED)
        label = clock.label(horizon)
        columns[f"outcome_{label}"] = _named(outcome, list(OUTCOMES.values()), reason < 0)
        columns[f"null_reason_{label}"] = _named(reason, names, reason >= 0)
    return columns


def _named(codes: NDArray[np.int64], names: list[str], known: NDArray[np.bool_]) -> pa.Array:
    """Names of codes as strings, null where not known."""
    indices = pa.array(np.where(known, codes, 0).astype(np.int8), mask=~known)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names)).cast(pa.string())
