"""What became of the lists: what was promised, and what happened within the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt


@dataclass(frozen=True)
class RealisedQueue:
    """One queue of one released list, its first horizon passed.

    Parameters
    ----------
    cutoff, queue
        Which.
    listed, known
        Customers handed out, and those of them whose outcome is known.
    promised, churned
        Of the known: churners of the queue's cause expected if nobody acted, and counted.
    promised_mrr, lost_mrr
        Of the known: MRR expected to be lost to the cause, and lost; minor units.
    caught_mrr_share
        Of all MRR that the cause took from the customers then scored, the share that stood on the
        list; NaN where it took none.
    withheld, withheld_promised, withheld_churned
        Of those withheld with a known outcome: how many, churners expected, and counted.
    """

    cutoff: dt.datetime
    queue: str
    listed: int
    known: int
    promised: float
    churned: int
    promised_mrr: int
    lost_mrr: int
    caught_mrr_share: float
    withheld: int
    withheld_promised: float
    withheld_churned: int

    @property
    def precision(self) -> float:
        """Share of the known who churned by the queue's cause; NaN of nobody."""
        return self.churned / self.known if self.known else float("nan")

    @property
    def promised_precision(self) -> float:
        """Share of the known expected to churn, if nobody acted; NaN of nobody."""
        return self.promised / self.known if self.known else float("nan")
