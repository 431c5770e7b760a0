"""The effect of contacting: those who were to be contacted against those withheld by chance."""

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
        Of which queue's cause, and the label of the horizon.
    listed, withheld
        Customers of each group, from the first list that would have held them.
    churn_listed, churn_withheld
        Share of each who churned within the horizon.
    difference, low, high
        Listed minus withheld with its 95 % interval; below 0 contacting saves.
    lists
        Released lists that it was read from.
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
    """Take each customer's first listing of an epoch: who was to be contacted, who was withheld.

    Chance is drawn once a customer and epoch, so that the two groups differ by nothing else. Later
    listings depend on what the contact did, and are left out.

    Parameters
    ----------
    records
        Of the released lists, in any order: ``customer_id, cutoff, queue, status``.
    clock, epoch_periods
        Number the cutoffs, and so the epochs.

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

    Whoever was listed counts as contacted, whether or not anybody reached them.

    Parameters
    ----------
    listings
        See ``first_listings``; of each, the follow-up of the horizon must have passed.
    lifetimes
        Lifetimes in which a return undoes a churn for both groups alike, see
        ``realised.outcome_after``.
    label, horizon
        Name and length of the horizon.

    Returns
    -------
    list
        One a queue in which both groups have a customer with a known outcome.
    """
    outcome = outcome_after(listings["customer_id"], listings["cutoff"], lifetimes, horizon)
    known = listings.assign(outcome=outcome)[outcome.notna()]
    found = []
    for queue, cause in zip(QUEUE_NAMES, CAUSES, strict=True):
        mine = known[known["queue"] == queue]
        arms = [mine[mine["treated"] == arm]["outcome"] for arm in (True, False)]
        size, size_withheld = map(len, arms)
        if not size or not size_withheld:
            continue
        lost, lost_withheld = (int((arm == cause).sum()) for arm in arms)
        difference, low, high = newcombe(lost, size, lost_withheld, size_withheld)
        found.append(
            Effect(
                queue, label, size, size_withheld, lost / size, lost_withheld / size_withheld,
                difference, low, high, mine["cutoff"].nunique(),
            )
        )  # fmt: skip
    return found


def newcombe(
    events: int, size: int, other_events: int, other_size: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Difference of two shares with its interval.

    Returns
    -------
    tuple
        ``events / size - other_events / other_size``, and both ends of the interval.

    References
    ----------
    Newcombe (1998), "Interval estimation for the difference between independent proportions",
    method 10: it stays honest for rare events in a small group, as the withheld are.
    """
    share, other = events / size, other_events / other_size
    mine = binomtest(events, size).proportion_ci(level, method="wilson")
    theirs = binomtest(other_events, other_size).proportion_ci(level, method="wilson")
    difference = share - other
    return (
        difference,
        difference - math.hypot(share - mine.low, theirs.high - other),
        difference + math.hypot(mine.high - share, other - theirs.low),
    )
