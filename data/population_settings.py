"""What a business can set of its population, outcomes and quality.

Terms are parameters; the settings of ``data.quality``, ``data.outcomes`` and ``data.population``
add what follows from other parameters. Imports nothing heavy, as every stage reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import MinLen

from data.errors import BadInputError
from data.ranges import NotNegative, Positive, Share


@dataclass(frozen=True)
class QualityTerms:
    """How many bad rows stop the run.

    Parameters
    ----------
    share_limit
        Largest share of a table's rows, in [0, 1], that may break one rule.
    share_limits
        Exceptions: ``"table.rule"`` to its own share.
    """

    share_limit: Share = 0.02
    share_limits: Mapping[str, Share] = field(default_factory=dict)


@dataclass(frozen=True)
class OutcomeTerms:
    """How far ahead outcomes are read.

    Parameters
    ----------
    horizons
        Ends of the intervals, in periods, ascending.
    undo_days
        A return within this many days undoes a churn.

    Raises
    ------
    BadInputError
        If the horizons do not ascend.
    """

    horizons: Annotated[tuple[Positive, ...], MinLen(1)]
    undo_days: NotNegative

    def __post_init__(self) -> None:
        if list(self.horizons) != sorted(set(self.horizons)):
            raise BadInputError(f"snapshot.horizons must ascend, but is {list(self.horizons)}.")


@dataclass(frozen=True, kw_only=True)
class PopulationTerms:
    """Which customers are observed, and how often.

    Parameters
    ----------
    rule
        ``contract`` (cancellations end a customer) or ``inactivity`` (silence does).
    silent_periods
        Inactivity rule: periods without use that complete a churn.
    thin_every
        Before the newest cutoff, each customer is observed at every ``thin_every``-th cutoff.
    salt
        Salt of the thinning hash.
    """

    rule: Literal["contract", "inactivity"]
    silent_periods: Positive
    thin_every: Positive
    salt: str
