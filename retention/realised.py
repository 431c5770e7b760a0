"""Results of the lists: what was promised, and what happened within the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from data.contracts import CAUSES, OUTCOMES
from retention.ranking import LISTED, QUEUE_NAMES, WITHHELD

if TYPE_CHECKING:
    import datetime as dt


@dataclass(frozen=True)
class RealisedQueue:
    """One queue of one released list, its first horizon passed.

    Parameters
    ----------
    cutoff, queue
        Cutoff of the list, and name of the queue.
    listed, known
        Number of customers listed, and of those whose outcome is known.
    promised, churned
        Churners of the queue's cause among the known: expected if nobody acted, and counted.
    promised_mrr, lost_mrr
        MRR of the known expected to be lost to the cause, and lost; minor units.
    caught_mrr_share
        Share of all MRR that the cause took from the customers scored then that was on the list;
        NaN if it took none.
    withheld, withheld_promised, withheld_churned
        Number of those withheld with a known outcome, churners expected and counted.
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
        """Share of the known who churned by the queue's cause; NaN if there are none."""
        return self.churned / self.known if self.known else float("nan")

    @property
    def promised_precision(self) -> float:
        """Share of the known expected to churn, if nobody acted; NaN if there are none."""
        return self.promised / self.known if self.known else float("nan")


def outcome_after(
    customers: pd.Series, cutoffs: pd.Series, lifetimes: pd.DataFrame, horizon: dt.timedelta
) -> pd.Series:
    """Return what happened to customers in ``(cutoff, cutoff + horizon]``.

    Parameters
    ----------
    customers, cutoffs
        Who and from when on (UTC), shape ``(k,)``, with one index.
    lifetimes
        ``customer_id, started_at, stopped_at`` (null while live) and ``cause``; of one customer
        they do not overlap.
    horizon
        Its whole follow-up must have passed when the lifetimes were read.

    Returns
    -------
    Series
        Categories ``OUTCOMES`` (k,); null where the customer had gone by the cutoff, or a contract
        ran out within the horizon.
    """
    keys = pd.DataFrame({"customer_id": customers, "cutoff": cutoffs}).rename_axis("row")
    both = keys.reset_index().merge(lifetimes, on="customer_id")
    live = (both["started_at"] <= both["cutoff"]) & ~(both["stopped_at"] <= both["cutoff"])
    both = both[live].set_index("row")
    stopped = both["stopped_at"] <= both["cutoff"] + horizon
    outcome = both["cause"].where(stopped, OUTCOMES[0])
    outcome = outcome.where(outcome.isin(OUTCOMES)).astype(pd.CategoricalDtype(list(OUTCOMES)))
    return outcome.reindex(customers.index)


def realised(
    record: pd.DataFrame,
    scores: pd.DataFrame,
    lifetimes: pd.DataFrame,
    label: str,
    horizon: dt.timedelta,
) -> list[RealisedQueue]:
    """Compare a released list with what happened.

    Parameters
    ----------
    record
        Its listed and withheld rows: ``customer_id, queue, status``.
    scores
        All that was scored then, see ``ranking.scores``; not empty.
    lifetimes
        See ``outcome_after``.
    label, horizon
        Name and length of the first horizon, its whole follow-up passed.
    """
    outcome = outcome_after(scores["customer_id"], scores["cutoff"], lifetimes, horizon)
    scores = scores.assign(outcome=outcome).drop(columns=["queue", "status"])
    rows = record[["customer_id", "queue", "status"]].merge(scores, on="customer_id")
    cutoff = pd.Timestamp(scores["cutoff"].iloc[0]).to_pydatetime()
    return [
        _queue(cutoff, name, cause, rows[rows["queue"] == name], scores, f"risk_{cause}_{label}")
        for name, cause in zip(QUEUE_NAMES, CAUSES, strict=True)
    ]


def _queue(
    cutoff: dt.datetime,
    name: str,
    cause: str,
    rows: pd.DataFrame,
    scores: pd.DataFrame,
    risk: str,
) -> RealisedQueue:
    listed = rows[rows["status"] == LISTED]
    known = listed[listed["outcome"].notna()]
    withheld = rows[(rows["status"] == WITHHELD) & rows["outcome"].notna()]
    churned = known[known["outcome"] == cause]
    lost_by_all = int(scores.loc[scores["outcome"] == cause, "mrr"].sum())
    lost = int(churned["mrr"].sum())
    return RealisedQueue(
        cutoff=cutoff,
        queue=name,
        listed=len(listed),
        known=len(known),
        promised=float(known[risk].sum()),
        churned=len(churned),
        promised_mrr=round((known[risk] * known["mrr"]).sum()),
        lost_mrr=lost,
        caught_mrr_share=lost / lost_by_all if lost_by_all else float("nan"),
        withheld=len(withheld),
        withheld_promised=float(withheld[risk].sum()),
        withheld_churned=int((withheld["outcome"] == cause).sum()),
    )
