"""Filters of clean logs: rows visible at a cutoff, rows that are use, rows that are contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.engine import Engine


def visible(log: Any, until_us: int, engine: Engine) -> Any:
    """Return the rows available at or before an instant, microseconds; a lazy Ibis table."""
    return log.filter(engine.microseconds(log.available_at) <= until_us)


def uses(usage: Any) -> Any:
    """Return the usage rows that are use; daily exports contain zero rows, and 0 is not use."""
    return usage.filter(usage["count"] > 0)


def contacts(interventions: Any) -> Any:
    """Return the interventions in which the business acted: contacts and offers.

    The control arm of an experiment is assigned but not contacted.
    """
    return interventions.filter(interventions.kind.isin(["contacted", "offer_made"]))
