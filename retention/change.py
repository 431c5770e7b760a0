"""Changes since the last list: which customers are new, moved or gone, and why.

Only released lists count. A customer who was withheld is on none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from data.contracts import CAUSES
from retention import ranking

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEW: Final = "new"
BACK: Final = "back"
UP: Final = "up"
DOWN: Final = "down"
SAME: Final = "same"
MOVED: Final = "moved"
CHANGES: Final = (NEW, BACK, UP, DOWN, SAME, MOVED)

LEFT: Final = "left"
RISK_FELL: Final = "risk_fell"
WORTH_LESS: Final = "worth_less"
OVERTAKEN: Final = "overtaken"
# Why a customer is gone. A withheld customer is gone without a reason: only the record says so.
WHYS: Final = (LEFT, ranking.CONTACTED, ranking.PAUSED, RISK_FELL, WORTH_LESS, OVERTAKEN)

# Risks are compared in whole basis points (1/100 of a percentage point): differences are exact.
_BASIS_POINTS: Final = 10_000
CHANGE_COLUMNS: Final = ("risk_change_bp", "behaviour_change_bp", "model_change_bp")
GONE_COLUMNS: Final = (
    "queue", "position_before", "customer_id", "owner", "segment", "mrr", "why", "weeks_on_list",
    "risk_before", "risk_now", *CHANGE_COLUMNS,
)  # fmt: skip


@dataclass(frozen=True)
class Past:
    """The lists released before this one.

    Parameters
    ----------
    cutoffs
        Cutoff of each, ascending.
    records
        Listed and withheld rows of each: ``customer_id, queue, position, status``, and of the last
        one also ``owner, segment, mrr``.
    scores
        Every customer who was eligible at the last of them, see ``ranking.scores``.
    rescored
        Risks that the model of the last list gives to today's customers, shape
        ``(n, causes, horizons)``; None where it cannot read today's features.
    """

    cutoffs: tuple[dt.datetime, ...]
    records: tuple[pd.DataFrame, ...]
    scores: pd.DataFrame
    rescored: NDArray[np.float64] | None = None

    def handed_out(self) -> list[pd.DataFrame]:
        """Return the rows of each list without those withheld."""
        return [record[record["status"] == ranking.LISTED] for record in self.records]


@dataclass(frozen=True)
class Totals:
    """The headline of a week; money in minor units.

    Parameters
    ----------
    customers, mrr, expected_loss
        Eligible customers, their MRR, and the MRR expected to be lost by the first horizon.
    listed, listed_mrr, listed_loss, expected_saving
        The same of the customers on the list, and what contacting them is expected to save.
    """

    customers: int
    mrr: int
    expected_loss: int
    listed: int
    listed_mrr: int
    listed_loss: int
    expected_saving: int


def totals(scores: pd.DataFrame) -> Totals:
    """Sum up a week from its scores (see ``ranking.scores``)."""
    listed = scores[scores["status"] == ranking.LISTED]
    savings = [listed.loc[listed["queue"] == q, f"saving_{q}"] for q in ranking.QUEUE_NAMES]
    return Totals(
        customers=len(scores),
        mrr=int(scores["mrr"].sum()),
        expected_loss=round(scores["expected_loss"].sum()),
        listed=len(listed),
        listed_mrr=int(listed["mrr"].sum()),
        listed_loss=round(listed["expected_loss"].sum()),
        expected_saving=round(sum(saving.sum() for saving in savings)),
    )


def movement(listed: pd.DataFrame, past: Past | None) -> pd.DataFrame:
    """Compare positions with those on the earlier lists.

    Parameters
    ----------
    listed
        This week's list: ``customer_id, queue, position``.
    past
        The earlier lists; None if there is none.

    Returns
    -------
    DataFrame
        In the order of ``listed``: ``change`` (one of ``CHANGES``) and ``weeks_on_list``, the
        number of consecutive lists with the customer, up to and including this one.
    """
    customers = listed["customer_id"]
    past = past or _no_past(listed)
    weeks = _unbroken_weeks(past, customers)
    ever = customers.isin(pd.concat([record["customer_id"] for record in past.handed_out()]))
    last = past.handed_out()[-1].set_index("customer_id")
    before = last.reindex(customers)
    step = listed["position"].to_numpy(float) - before["position"].to_numpy(float, na_value=np.nan)
    other_queue = before["queue"].to_numpy() != listed["queue"].to_numpy()
    change = np.select(
        [~ever, weeks == 0, other_queue, step < 0, step > 0], [NEW, BACK, MOVED, UP, DOWN], SAME
    )
    return pd.DataFrame(
        {"change": pd.Series(change, index=listed.index, dtype="str"), "weeks_on_list": weeks + 1}
    )


def _no_past(scores: pd.DataFrame) -> Past:
    """Return an empty last list."""
    empty = scores.head(0).assign(status="")
    return Past((), (empty,), empty)


def _unbroken_weeks(past: Past, customers: pd.Series) -> NDArray[np.int64]:
    """Count the consecutive lists with each customer, up to the last one."""
    weeks = np.zeros(len(customers), dtype=np.int64)
    unbroken = np.ones(len(customers), dtype=bool)
    for listed in reversed(past.handed_out()):
        unbroken &= customers.isin(listed["customer_id"]).to_numpy()
        weeks += unbroken
    return weeks


def split(
    now: NDArray[np.float64], before: NDArray[np.float64], between: NDArray[np.float64]
) -> pd.DataFrame:
    """Split a change of risk into the part due to behaviour and the part due to the model.

    Parameters
    ----------
    now, before
        Today's risk, and the risk on the last list, shape ``(k,)``; NaN if there is none.
    between
        Risk that the last list's model gives to today's features; NaN if it cannot read them.

    Returns
    -------
    DataFrame
        ``risk_change_bp`` = ``behaviour_change_bp`` (same model, new features) +
        ``model_change_bp`` (same features, new model), in whole basis points, null where unknown.
    """
    first, middle, last = (
        pd.Series(np.rint(risk * _BASIS_POINTS), dtype="Int64") for risk in (before, between, now)
    )
    values = (last - first, middle - first, last - middle)
    unknown = values[0].isna()
    return pd.DataFrame(
        {name: value.mask(unknown) for name, value in zip(CHANGE_COLUMNS, values, strict=True)}
    )


def risk_of(scores: pd.DataFrame, cause: NDArray[np.int64], label: str) -> NDArray[np.float64]:
    """Return each row's risk of its cause by the first horizon, ``(k,)``; NaN if there is none."""
    columns = [f"risk_{name}_{label}" for name in CAUSES]
    if not set(columns) <= set(scores.columns):
        return np.full(len(scores), np.nan)
    risks = scores[columns].to_numpy(dtype=np.float64)
    return np.asarray(risks[np.arange(len(scores)), cause], dtype=np.float64)


def risk_change(
    scores: pd.DataFrame,
    rows: NDArray[np.int64],
    queue: NDArray[np.int64],
    label: str,
    past: Past | None,
) -> pd.DataFrame:
    """Compare rows of today's scores with the last list's scores; see ``split``.

    Parameters
    ----------
    scores
        Today's scores, see ``ranking.scores``.
    rows, queue
        Positions in it, and the number of the queue whose cause is compared, shape ``(k,)``.
    label
        Name of the first horizon.
    past
        The earlier lists; without any, all is null.
    """
    unknown = np.full(rows.size, np.nan)
    if past is None:
        return split(unknown, unknown, unknown)
    chosen = scores.iloc[rows]
    last = past.scores.set_index("customer_id").reindex(chosen["customer_id"])
    between = unknown if past.rescored is None else past.rescored[rows, queue, 0]
    return split(risk_of(chosen, queue, label), risk_of(last, queue, label), between)


def gone(scores: pd.DataFrame, label: str, past: Past | None) -> pd.DataFrame:
    """Return the customers of the last list that are not on this one, and why.

    Parameters
    ----------
    scores
        Today's scores, see ``ranking.scores``.
    label
        Name of the first horizon.
    past
        The earlier lists; without any, no customer is gone.

    Returns
    -------
    DataFrame
        Sorted by queue and former position: ``queue, position_before, customer_id, owner, segment,
        mrr, why`` (one of ``WHYS``, or withheld: not to be shown), ``weeks_on_list`` (until then),
        ``risk_before, risk_now`` and the columns of ``split``; null where the customer left.
    """
    if past is None:
        past = _no_past(scores.assign(owner="", segment="", status=""))
    last = past.handed_out()[-1]
    last = last.assign(weeks_on_list=_unbroken_weeks(past, last["customer_id"]))
    status = scores.set_index("customer_id")["status"]
    last = last.assign(status=last["customer_id"].map(status))
    last = last[last["status"] != ranking.LISTED].reset_index(drop=True)
    cause = last["queue"].map(ranking.QUEUE_NAMES.index).to_numpy(dtype=np.int64)
    row = pd.Index(scores["customer_id"]).get_indexer(last["customer_id"])
    scored = row >= 0
    before = past.scores.set_index("customer_id").reindex(last["customer_id"])
    risk_now, between = (np.full(len(last), np.nan) for _ in range(2))
    risk_now[scored] = risk_of(scores.iloc[row[scored]], cause[scored], label)
    if past.rescored is not None:
        between[scored] = past.rescored[row[scored], cause[scored], 0]
    risk_before = risk_of(before, cause, label)
    changes = split(risk_now, risk_before, between)
    frame = pd.concat([last, changes], axis=1).assign(
        why=_whys(last["status"], changes), risk_before=risk_before, risk_now=risk_now
    )
    order = np.lexsort((last["position"].to_numpy(dtype=np.int64), cause))
    frame = frame.iloc[order].rename(columns={"position": "position_before"})
    return frame[list(GONE_COLUMNS)].reset_index(drop=True)


def _whys(status: pd.Series, changes: pd.DataFrame) -> pd.Series:
    """Return why each customer is gone, by today's status (null: no longer a customer)."""
    fell = (changes["risk_change_bp"] < 0).fillna(value=False).to_numpy(dtype=bool)
    left_out = status.isin([ranking.CONTACTED, ranking.PAUSED, ranking.WITHHELD])
    why = np.select(
        [status.isna(), left_out, fell, status == ranking.NOT_WORTH_A_CALL],
        [np.full(len(status), LEFT, dtype=object), status, RISK_FELL, WORTH_LESS],
        OVERTAKEN,
    )
    return pd.Series(why, index=status.index, dtype="str")


def counts(frame: pd.DataFrame, queues: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the customers who are gone by queue and reason, without those withheld."""
    tally = frame.groupby(["queue", "why"]).size()
    return {q: {why: int(tally.get((q, why), 0)) for why in WHYS} for q in queues}
