"""What a cutoff may see of a clean log, and what counts in it: the one place that filters by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.engine import Engine


def visible(log: Any, until_us: int, engine: Engine) -> Any:
    """Rows that became available at or before an instant, microseconds; a lazy Ibis table."""
    return log.filter(engine.microseconds(log.available_at) <= until_us)


def uses(usage: Any) -> Any:
    """Rows of the usage log that are use: a count of 0, as daily exports contain it, is not."""
    return usage.filter(usage["count"] > 0)


def contacts(interventions: Any) -> Any:
    """Rows of the interventions log in which somebody acted.

    The control arm of an experiment is assigned but not contacted.
    """
    return interventions.filter(interventions.kind.isin(["contacted", "offer_made"]))
