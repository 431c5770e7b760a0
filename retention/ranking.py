"""Which customers are worth a call, in which queue and order, and which are withheld.

A contact is expected to save
``risk at the first horizon x save rate of the cause x MRR x margin x months kept - its cost``.
Each customer is in the queue where that is larger; a contact that saves nothing is not listed.
Some are withheld by chance, to measure the effect of contacting.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from data.contracts import CAUSES
from retention.list_settings import ListTerms

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from retention.kaplan_meier import MonthsKept

LISTED: Final = "listed"
WITHHELD: Final = "withheld"
BEYOND_CAPACITY: Final = "beyond_capacity"
NOT_WORTH_A_CALL: Final = "not_worth_a_call"
PAUSED: Final = "paused"
CONTACTED: Final = "contacted"
STATUSES: Final = (LISTED, WITHHELD, BEYOND_CAPACITY, NOT_WORTH_A_CALL, PAUSED, CONTACTED)

QUEUE_NAMES: Final = ("success", "billing")


@dataclass(frozen=True)
class Queue:
    """One team's queue.

    Parameters
    ----------
    name
        ``success`` or ``billing``.
    cause
        Cause of churn that it prevents: ``voluntary`` or ``involuntary``.
    capacity
        Customers that the team can contact in a period.
    save_rate
        Share of contacted churners that stay.
    """

    name: str
    cause: str
    capacity: int
    save_rate: float


@dataclass(frozen=True)
class ListSettings(ListTerms):
    """Terms of the ranking.

    Parameters
    ----------
    salt
        Salt of the hash that withholds.
    currency
        ISO 4217 code of all money.
    epoch_periods
        Length of an epoch: within one, a customer is withheld at every listing or at none.
    """

    salt: str
    currency: str
    epoch_periods: int = 26

    @property
    def queues(self) -> tuple[Queue, ...]:
        """The queues, in the order of ``CAUSES``."""
        capacities = (self.success_capacity, self.billing_capacity)
        save_rates = (self.voluntary_save_rate, self.involuntary_save_rate)
        return tuple(
            Queue(*terms) for terms in zip(QUEUE_NAMES, CAUSES, capacities, save_rates, strict=True)
        )


def is_withheld(customer_id: str, epoch: int, salt: str, share: float) -> bool:
    """Whether chance withholds a customer throughout an epoch.

    A function of its arguments alone (SHA-256), so that the draw is equal on every machine and at
    every listing of the epoch, whatever else is on the list.
    """
    key = json.dumps(["holdout", salt, customer_id, int(epoch)])
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2.0**64


def drawn(withheld: NDArray[np.bool_], capacity: int, share: float) -> NDArray[np.bool_]:
    """Mark the ranks that take part: each is listed, or withheld if it was drawn.

    A rank takes part when it lies among the first ``capacity / (1 - share)`` and the ranks before
    it leave room on the list. So whether a customer takes part depends on the draws of others and
    never on its own: the withheld and the listed differ only by chance.

    Parameters
    ----------
    withheld
        The draw of each customer, in rank order, shape ``(n,)``.
    capacity
        Maximum number of customers on the list.
    share
        Share withheld, in [0, 1).

    Returns
    -------
    ndarray of bool, shape ``(n,)``
    """
    listed = (~withheld).astype(np.int64)
    listed_before = np.cumsum(listed) - listed
    # Rounded first: 90 / (1 - 0.1) must not become 101 ranks through a float's last bit.
    pool = math.ceil(round(capacity / (1.0 - share), 9))
    return (listed_before < capacity) & (np.arange(withheld.size) < pool)


def scores(
    snapshots: pd.DataFrame,
    risks: NDArray[np.float64],
    labels: Sequence[str],
    kept: MonthsKept,
    settings: ListSettings,
    epoch: int,
    contacted: Collection[str] = (),
) -> pd.DataFrame:
    """Score and place every eligible customer.

    Parameters
    ----------
    snapshots
        One row per customer at the newest cutoff: ``customer_id, cutoff, mrr, paused, plan``.
    risks
        Cumulative risks if nobody acts, shape ``(n, causes, horizons)``, in the order of
        ``snapshots``, of ``CAUSES`` and of ``labels``.
    labels
        Names of the horizons, e.g. ``("4w", "8w", "13w")``. The first one ranks.
    kept
        Months kept by plan.
    settings
        Terms of the ranking.
    epoch
        Number of the epoch in which customers are withheld.
    contacted
        Customers contacted too recently to be called again.

    Returns
    -------
    DataFrame
        In the order of ``snapshots``: ``customer_id, cutoff, mrr`` (minor units),
        ``risk_<cause>_<label>``, ``months_kept``, ``expected_loss`` (MRR lost by the first horizon,
        minor units), ``saving_<queue>`` (of a contact, minor units), ``queue``, ``other_queue``
        (where a contact would pay as well, else null), ``status`` (one of ``STATUSES``), ``rank``
        (in the whole queue; null unless a contact is possible and worth it; ties are broken by
        customer_id) and ``position`` (on the list; null unless listed).
    """
    queues = settings.queues
    frame = snapshots[["customer_id", "cutoff", "mrr"]].reset_index(drop=True)
    for c, cause in enumerate(CAUSES):
        for h, label in enumerate(labels):
            frame[f"risk_{cause}_{label}"] = risks[:, c, h]
    mrr = frame["mrr"].to_numpy(dtype=np.float64)
    months = np.minimum(kept.of(snapshots["plan"]), settings.months_kept)
    rates = np.array([queue.save_rate for queue in queues])
    value = mrr * settings.margin * months
    savings = risks[:, :, 0] * rates * value[:, None] - settings.contact_cost
    names = np.array([queue.name for queue in queues], dtype=object)
    best = savings.argmax(axis=1)  # a tie goes to success: a conversation before an invoice
    rows = np.arange(len(frame))
    frame["months_kept"] = months
    frame["expected_loss"] = risks[:, :, 0].sum(axis=1) * mrr
    for q, queue in enumerate(queues):
        frame[f"saving_{queue.name}"] = savings[:, q]
    frame["queue"] = names[best]
    other_pays = savings[rows, 1 - best] > 0.0
    frame["other_queue"] = pd.Series(np.where(other_pays, names[1 - best], None), dtype="str")
    paused = snapshots["paused"].to_numpy(dtype=bool)
    called = frame["customer_id"].isin(list(contacted)).to_numpy()
    status = np.select(
        [paused, called, savings[rows, best] <= 0.0],
        [PAUSED, CONTACTED, NOT_WORTH_A_CALL],
        default=BEYOND_CAPACITY,
    )
    return _placed(frame.assign(status=status), settings, epoch)


def _placed(frame: pd.DataFrame, settings: ListSettings, epoch: int) -> pd.DataFrame:
    """Rank the customers of each queue that are worth a call, and list or withhold the first."""
    status = frame["status"].to_numpy(dtype=object, copy=True)
    rank = np.zeros(len(frame), dtype=np.int64)
    position = np.zeros(len(frame), dtype=np.int64)
    for queue in settings.queues:
        own = frame[(frame["queue"] == queue.name) & (status == BEYOND_CAPACITY)]
        own = own.sort_values([f"saving_{queue.name}", "customer_id"], ascending=[False, True])
        rows = own.index.to_numpy()
        rank[rows] = np.arange(1, rows.size + 1)
        withheld = np.array(
            [
                is_withheld(customer, epoch, settings.salt, settings.holdout_share)
                for customer in own["customer_id"]
            ],
            dtype=bool,
        )
        takes_part = drawn(withheld, queue.capacity, settings.holdout_share)
        listed = rows[takes_part & ~withheld]
        status[rows[takes_part & withheld]] = WITHHELD
        status[listed] = LISTED
        position[listed] = np.arange(1, listed.size + 1)
    return frame.assign(
        status=pd.Series(status, dtype="str"), rank=_positive(rank), position=_positive(position)
    )


def _positive(numbers: NDArray[np.int64]) -> pd.Series:
    """Turn 0 into null; other numbers are kept."""
    return pd.Series(numbers, dtype="Int64").replace(0, pd.NA)
