"""Outcomes: whether a customer churned after a snapshot, per horizon, or null if not known.

Definition of churn, for a snapshot at the cutoff ``t`` and a horizon ``h``:

1. A customer stops at ``s``: when the last live subscription is cancelled, ends or is scheduled to
   be cancelled, whichever is first (by the inactivity rule: when n silent periods are complete).
2. By the contract rule, a return within ``undo_days`` of ``s`` undoes the stop, unless the customer
   was contacted in between.
3. The customer churned, by the cause of the stop, if ``s`` is in ``(t, t + h]``, and stayed if it
   is later.
4. This is known only if the whole follow-up is in the log: an early churn does not make an
   unfinished horizon known, as that would keep only the customers who churned.
5. A contact or offer at ``c`` censors what follows it: the risk is the one without contact.
6. What is not known is null, never "stayed"; of the cases below, the first that holds counts::

    null: already_gone      s <= t (not yet visible at t), or not yet live at t
    null: not_finished      t + h + undo_days + lateness_days > end of the log
    null: contacted         c <= t, or c <= t + h and c < s
    null: contract_ended    t < s <= t + h, as the contract ran out
    voluntary, involuntary  t < s <= t + h
    stayed                  t + h < s

``data.lifetimes`` computes ``s`` and its cause. Nothing under ``features`` may import this module:
an outcome in a feature is a leak.
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

# Why an outcome is null; if several reasons hold, the first is given.
NULL_REASONS = ("already_gone", "not_finished", "contacted", "contract_ended")


@dataclass(frozen=True)
class OutcomeSettings(OutcomeTerms):
    """Settings of outcomes.

    Parameters
    ----------
    lateness_days
        Longest delay between an event and its availability.
    """

    lateness_days: int

    @property
    def follow_up_us(self) -> int:
        """Time after the end of a horizon during which its outcome may change, microseconds."""
        return (self.undo_days + self.lateness_days) * MICROSECONDS_PER_DAY


def observe_outcomes(
    customer: NDArray[np.int64],
    cutoff: NDArray[np.int64],
    spells: Spells,
    contact_us: NDArray[np.int64],
    as_of: int,
    clock: Clock,
    settings: OutcomeSettings,
) -> dict[str, pa.Array]:
    """Observe each snapshot's outcome in ``(cutoff, cutoff + horizon]``, for each horizon.

    Parameters
    ----------
    customer, cutoff
        Customer number and cutoff number of each snapshot, shape (n,).
    spells
        True lifetimes of the customers.
    contact_us
        First contact of each customer number, microseconds; later outcomes are censored.
    as_of
        Number of the newest cutoff, where the log ends.
    clock, settings
        The clock and the horizons.

    Returns
    -------
    dict
        ``outcome_<label>``: one of ``OUTCOMES``, or null; ``null_reason_<label>``: one of
        ``NULL_REASONS``, or null. Shape (n,), both as ``coded``.
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
        # Causes of spells are positions in OUTCOMES, except ENDED, whose outcome is null.
        outcome = np.where(reason == UNKNOWN, np.where(stopped, cause, STAYED), UNKNOWN)
        label = clock.label(horizon)
        columns[f"outcome_{label}"] = coded(outcome, OUTCOMES)
        columns[f"null_reason_{label}"] = coded(reason, NULL_REASONS)
    return columns


def first_contacts(
    interventions: Any, customers: NDArray[np.object_], until_us: int, engine: Engine
) -> NDArray[np.int64]:
    """Find the first contact or offer of each customer number, microseconds; NEVER if none."""
    acted = contacts(visible(interventions, until_us, engine))
    earliest = acted.group_by("customer_id").agg(first=engine.microseconds(acted.event_at).min())
    frame = engine.to_arrow(earliest).to_pandas()
    first = np.full(len(customers), NEVER)
    number = customer_numbers(frame["customer_id"], customers)
    first[number[number >= 0]] = frame["first"].to_numpy(dtype=np.int64)[number >= 0]
    return first


def contacted_between(interventions: Any, after_us: int, until_us: int, engine: Engine) -> set[str]:
    """Return the customers contacted or offered something in ``(after, until]``, visible then."""
    acted = contacts(visible(interventions, until_us, engine))
    event_us = engine.microseconds(acted.event_at)
    acted = acted.filter((event_us > after_us) & (event_us <= until_us))
    return set(engine.to_arrow(acted.select("customer_id").distinct())["customer_id"].to_pylist())
