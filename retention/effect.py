"""The effect of contacting: those who were to be contacted against those withheld by chance."""

from __future__ import annotations

from dataclasses import dataclass


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
