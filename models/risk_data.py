"""Snapshots with their outcomes as arrays, on which every model is trained and tested."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.coded import UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RiskData:
    """``n`` snapshots, one per row, with ``f`` features and outcomes at ``H`` horizons.

    Parameters
    ----------
    X
        float32 (n, f), C-contiguous; NaN where a feature has no value.
    feature_names
        The f names, in the order of the columns.
    customer_id
        (n,) customer.
    cutoff
        int64 (n,) number of the cutoff.
    outcome
        int8 (n, H): position in ``data.contracts.OUTCOMES`` of what had happened in
        ``(cutoff, cutoff + h]`` (0 stayed, 1 voluntary, 2 involuntary), or ``UNKNOWN``. Unknown is
        never "stayed".
    mrr
        int64 (n,) monthly recurring revenue at the cutoff, minor units.
    mrr_later
        int64 (n,) the same at the last horizon, ``UNKNOWN`` unless the customer is known to have
        stayed.
    segment
        (n,) market segment.
    tenure_periods
        int64 (n,) whole periods since the first activation.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """

    X: NDArray[np.float32]
    feature_names: tuple[str, ...]
    customer_id: NDArray[Any]
    cutoff: NDArray[np.int64]
    outcome: NDArray[np.int8]
    mrr: NDArray[np.int64]
    mrr_later: NDArray[np.int64]
    segment: NDArray[Any]
    tenure_periods: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.X.dtype != np.float32 or self.X.shape[1:] != (len(self.feature_names),):
            raise ValueError(
                f"X must be float32 with {len(self.feature_names)} columns, one per feature name, "
                f"not {self.X.dtype} of shape {self.X.shape}."
            )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "feature_names" and len(value) != len(self.X):
                raise ValueError(f"{field.name} has {len(value)} rows, X has {len(self.X)}.")

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: NDArray[Any]) -> RiskData:
        """Return the rows chosen by a mask or by positions, in that order."""
        chosen = {
            field.name: getattr(self, field.name)[rows]
            for field in dataclasses.fields(self)
            if field.name != "feature_names"
        }
        return RiskData(feature_names=self.feature_names, **chosen)

    @property
    def stayed(self) -> NDArray[np.bool_]:
        """Mask (n,) of customers known to have stayed to the last horizon, and with what MRR."""
        known: NDArray[np.bool_] = self.mrr_later != UNKNOWN
        return known

    @property
    def contracted(self) -> NDArray[np.bool_]:
        """Mask (n,) of customers who stayed to the last horizon and pay less there."""
        return self.stayed & (self.mrr_later < self.mrr)

    def shuffled(self, seed: int) -> RiskData:
        """Shuffle outcomes among the snapshots of each cutoff, which makes them unpredictable."""
        random = np.random.default_rng(seed)
        other = np.lexsort((random.random(len(self)), self.cutoff))
        rows = np.empty(len(self), np.int64)
        rows[np.argsort(self.cutoff, kind="stable")] = other
        unknown = np.full(len(self), UNKNOWN, np.int64)
        return dataclasses.replace(self, outcome=self.outcome[rows], mrr_later=unknown)

    def at_risk(self, interval: int) -> NDArray[np.bool_]:
        """Mask (n,) of the snapshots that a hazard of one interval is learned from.

        The customer stayed until the interval began, and what happened by its end is known.
        """
        known: NDArray[np.bool_] = self.outcome[:, interval] != UNKNOWN
        return known if interval == 0 else known & (self.outcome[:, interval - 1] == 0)


@dataclass(frozen=True)
class Selection:
    """Some rows of a matrix, not yet copied, that a learner is trained on.

    Parameters
    ----------
    X
        float32 (n, f).
    rows
        int64 (m,) positions, rising.
    """

    X: NDArray[np.float32]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def copy(self) -> NDArray[np.float32]:
        """Return the rows (m, f) as a matrix of their own."""
        return self.X[self.rows]
