"""Outcomes: what followed a snapshot, per horizon, or null where that is not known.

Nothing under ``features`` may import this module: an outcome in a feature is a leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.asof import NEVER, customer_numbers, taken
from data.clock import MICROSECONDS_PER_DAY
from data.coded import UNKNOWN, coded
from data.contracts import OUTCOMES
from data.lifetimes import ENDED, STAYED
from data.population_settings import OutcomeTerms
from data.visibility import contacts, visible

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from data.clock import Clock
    from data.engine import Engine
    from data.lifetimes import Spells

# Why an outcome is null; of several that hold, the first one is given.
NULL_REASONS = ("already_gone", "not_finished", "contacted", "contract_ended")


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
        ``outcome_<label>``: what of ``OUTCOMES`` had happened by the end of the horizon, or null;
        ``null_reason_<label>``: which of ``NULL_REASONS`` holds, or null. Both are ``coded``. An
        interval is known only when its whole follow-up lies in the log: an early churn does not
        make an unfinished interval known.
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
        holds = {
            "already_gone": already_gone,
            "not_finished": end + settings.follow_up_us > log_end,
            "contacted": (contact <= start) | ((contact <= end) & (contact < stop)),
            "contract_ended": stopped & (cause == ENDED),
        }
        codes = range(len(NULL_REASONS))
        reason = np.select([holds[name] for name in NULL_REASONS], codes, default=UNKNOWN)
        # Causes of spells are positions in OUTCOMES, but for ENDED, which is null.
        outcome = np.where(reason == UNKNOWN, np.where(stopped, cause, STAYED), UNKNOWN)
        label = clock.label(horizon)
        columns[f"outcome_{label}"] = coded(outcome, OUTCOMES)
        columns[f"null_reason_{label}"] = coded(reason, NULL_REASONS)
    return columns
