"""The effect of contacting: customers to be contacted against those withheld by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from data.contracts import CAUSES
from retention.ranking import LISTED, QUEUE_NAMES
from retention.realised import outcome_after

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from data.clock import Clock


@dataclass(frozen=True)
class Effect:
    """Difference in churn between two groups drawn by chance, by intention to treat.

    Parameters
    ----------
    queue, horizon
        Queue whose cause is compared, and label of the horizon.
    listed, withheld
        Customers of each group, from the first list that would have held them.
    churn_listed, churn_withheld
        Share of each who churned within the horizon.
    difference, low, high
        Listed minus withheld with its 95 % interval; below 0, contacting saves customers.
    lists
        Number of released lists that it was read from.
    """

    queue: str
    horizon: str
    listed: int
    withheld: int
    churn_listed: float
    churn_withheld: float
    difference: float
    low: float
    high: float
    lists: int


def first_listings(
    records: Sequence[pd.DataFrame], clock: Clock, epoch_periods: int
) -> pd.DataFrame:
    """Take each customer's first listing of an epoch: to be contacted, or withheld.

    The draw is made once per customer and epoch, so that the two groups differ by nothing else.
    Later listings depend on the effect of the contact, and are left out.

    Parameters
    ----------
    records
        Rows of the released lists, in any order: ``customer_id, cutoff, queue, status``.
    clock, epoch_periods
        They number the cutoffs and epochs.

    Returns
    -------
    DataFrame
        ``customer_id, cutoff, queue, treated``.
    """
    rows = pd.concat(records, ignore_index=True).sort_values("cutoff", kind="stable")
    instants = rows["cutoff"].astype("datetime64[us, UTC]").astype("int64")
    epoch = clock.period_of(np.asarray(instants, dtype=np.int64)) // epoch_periods
    rows = rows.assign(epoch=epoch, treated=rows["status"] == LISTED)
    first = rows.drop_duplicates(["customer_id", "epoch"])
    return first[["customer_id", "cutoff", "queue", "treated"]].reset_index(drop=True)


def effects(
    listings: pd.DataFrame, lifetimes: pd.DataFrame, label: str, horizon: dt.timedelta
) -> list[Effect]:
    """Compare churn by each queue's cause, by intention to treat.

    A customer who was listed counts as contacted, reached or not.

    Parameters
    ----------
    listings
        See ``first_listings``; the follow-up of the horizon of each must have passed.
    lifetimes
        Lifetimes in which a return undoes a churn for both groups alike, see
        ``realised.outcome_after``.
    label, horizon
        Name and length of the horizon.

    Returns
    -------
    list
        One per queue in which both groups have a customer with a known outcome.
    """
    outcome = outcome_after(listings["customer_id"], listings["cutoff"], lifetimes, horizon)
    known = listings.assign(outcome=outcome)[outcome.notna()]
    measured = []
    for queue, cause in zip(QUEUE_NAMES, CAUSES, strict=True):
        listed = known[known["queue"] == queue]
        arms = [listed[listed["treated"] == arm]["outcome"] for arm in (True, False)]
        size, size_withheld = map(len, arms)
        if not size or not size_withheld:
            continue
        lost, lost_withheld = (int((arm == cause).sum()) for arm in arms)
        difference, low, high = newcombe(lost, size, lost_withheld, size_withheld)
        measured.append(
            Effect(
                queue, label, size, size_withheld, lost / size, lost_withheld / size_withheld,
                difference, low, high, listed["cutoff"].nunique(),
            )
        )  # fmt: skip
    return measured


def newcombe(
    events: int, size: int, other_events: int, other_size: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Compute the difference of two shares with its interval.

    Returns
    -------
    tuple
        ``events / size - other_events / other_size``, and both ends of the interval.

    References
    ----------
    Newcombe (1998), "Interval estimation for the difference between independent proportions",
    method 10: it stays accurate for rare events in a small group, such as the withheld.
    """
    share, other = events / size, other_events / other_size
    own = binomtest(events, size).proportion_ci(level, method="wilson")
    others = binomtest(other_events, other_size).proportion_ci(level, method="wilson")
    difference = share - other
    return (
        difference,
        difference - math.hypot(share - own.low, others.high - other),
        difference + math.hypot(own.high - share, other - others.low),
    )
