"""Lifecycle: what lies ahead in a contract, namely the end of its discount and its renewal.

An event exactly at the cutoff still lies ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.asof import NOTHING
from features.derive import flag, ratio
from features.lifecycle import FAMILY, contracts, feature

if TYPE_CHECKING:
    from data.asof import Integers
    from features.declare import Numbers
    from features.known import Known

__all__ = ["FAMILY"]

NO_DISCOUNT = "No discount on record"


def discount_us(known: Known) -> Integers:
    """End of the main subscription's discount as last known; ``NOTHING`` if there is none."""
    account = known.cached(contracts)
    return account.of_main(account.state.known("discount_us"))


def term_started_us(known: Known) -> Integers:
    """Start of the main subscription's current term; ``NOTHING`` if unknown."""
    account, rows = known.cached(contracts), known.events_by_entity("subscriptions").rows
    starts = account.state.is_kind("activated", "renewed", "reactivated", "interval_changed")
    return account.of_main(rows.at(rows.last(starts), "event_us"))


@feature(
    "days_to_discount_end", "The discount ends in {value} [day/days]",
    zero="The discount ends today", negative="The discount ended {value} [day/days] ago",
    missing=NO_DISCOUNT, unit="whole_days", group="price",
)  # fmt: skip
def days_to_discount_end(known: Known) -> Numbers:
    """Days to the end of the discount last known, negative after it; NaN if none."""
    return known.days_until(known.cached(discount_us))


@feature(
    "discounted_now", "Has a discount now", zero="Has no discount now", unit="flag", empty=0.0,
    group="price",
)  # fmt: skip
def discounted_now(known: Known) -> Numbers:
    """Whether the discount last known ends at or after the cutoff."""
    return flag(known.cached(discount_us) >= known.cutoff_us)


@feature(
    "discount_ended_<w>", "A discount ended in the last <span>",
    zero="No discount ended in the last <span>", over="short trend",
    unit="flag", empty=0.0, group="price",
)  # fmt: skip
def discount_ended(known: Known, w: int) -> Numbers:
    """Whether the discount last known ended in ``[cutoff - w, cutoff)``."""
    ends = known.cached(discount_us)
    start = known.cutoff_us - w * known.clock.period_us
    return flag((ends >= start) & (ends < known.cutoff_us))


@feature(
    "discount_ends_within_<w>", "A discount ends in the next <span>",
    zero="No discount ends in the next <span>", over="short trend",
    unit="flag", empty=0.0, group="price",
)  # fmt: skip
def discount_ends_within(known: Known, w: int) -> Numbers:
    """Whether the discount last known ends in ``[cutoff, cutoff + w]``."""
    ends = known.cached(discount_us)
    stop = known.cutoff_us + w * known.clock.period_us
    return flag((ends >= known.cutoff_us) & (ends <= stop))


# When they renew


@feature(
    "days_to_renewal", "The contract renews in {value} [day/days]",
    zero="The contract renews today", missing="No coming renewal on record", unit="whole_days",
    group="renewal",
)  # fmt: skip
def days_to_renewal(known: Known) -> Numbers:
    """Days to the next renewal of a live subscription; NaN if there is none."""
    return known.days_until(known.cached(contracts).renews_us)


@feature(
    "renews_within_<w>", "The contract renews in the next <span>",
    zero="The contract is not known to renew in the next <span>", over="short trend",
    unit="flag", empty=0.0, group="renewal",
)  # fmt: skip
def renews_within(known: Known, w: int) -> Numbers:
    """Whether the next renewal is in ``[cutoff, cutoff + w]``."""
    renews = known.cached(contracts).renews_us
    return flag((renews != NOTHING) & (renews <= known.cutoff_us + w * known.clock.period_us))


@feature(
    "term_elapsed", "[All/{value}] of the current term has passed",
    zero="The current term has just begun",
    missing="Start or end of the current term not on record", unit="share", group="renewal",
)  # fmt: skip
def term_elapsed(known: Known) -> Numbers:
    """Elapsed share of the time from the term's start to the renewal; NaN if either is unknown."""
    renews, started = known.cached(contracts).renews_us, known.cached(term_started_us)
    length = np.where((renews != NOTHING) & (started != NOTHING), renews - started, 0)
    return np.clip(ratio(known.cutoff_us - started, length), 0, 1)
