"""Recovery: failed invoices that were paid after all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

# An invoice not paid within this many days of its first failure counts as lost.
SETTLE_DAYS: Final = 28


@dataclass(frozen=True)
class Recovery:
    """Invoices whose payment failed, and those paid after all within ``SETTLE_DAYS``.

    ``failed`` and ``recovered`` count invoices; ``amount`` and ``recovered_amount`` are minor
    units.
    """

    failed: int
    recovered: int
    amount: int
    recovered_amount: int

    @property
    def rate(self) -> float:
        """Share of the failed invoices recovered; NaN if there are none."""
        return self.recovered / self.failed if self.failed else float("nan")


def settled_invoices(failed: pd.DataFrame, as_of: dt.datetime) -> pd.DataFrame:
    """Return the failed invoices observed for ``SETTLE_DAYS``, and whether they were recovered.

    All are followed for the same time: an invoice paid later is not recovered.

    Parameters
    ----------
    failed
        See ``data.invoices.failed_invoices``.
    as_of
        Newest cutoff, UTC.

    Returns
    -------
    DataFrame
        The settled rows of ``failed``, with ``recovered`` (bool): paid within ``SETTLE_DAYS`` of
        the first failure.
    """
    settle = pd.Timedelta(days=SETTLE_DAYS)
    settled = failed[failed["failed_at"] + settle <= as_of]
    return settled.assign(recovered=settled["paid_at"] - settled["failed_at"] <= settle)


def recovery_by_month(
    failed: pd.DataFrame, as_of: dt.datetime, starts: Sequence[dt.datetime]
) -> tuple[tuple[dt.date, Recovery], ...]:
    """Count the invoices that failed in each month, and those recovered.

    Recovery rate = paid within ``SETTLE_DAYS`` of the first failure / failed and settled (see
    ``settled_invoices``).

    Parameters
    ----------
    failed
        See ``data.invoices.failed_invoices``.
    as_of
        Newest cutoff, UTC.
    starts
        Bounds of the months, see ``retention.overview.month_starts``.

    Returns
    -------
    tuple
        First day and counts of each month with settled invoices; oldest first.
    """
    settled = settled_invoices(failed, as_of)
    failed_at = settled["failed_at"]
    recovered = settled["recovered"].to_numpy(dtype=bool)
    amount = settled["amount"].to_numpy(dtype=np.int64)
    months = []
    for begin, end in pairwise(starts):
        inside = ((failed_at >= begin) & (failed_at < end)).to_numpy(dtype=bool)
        paid = inside & recovered
        if inside.any():
            counts = int(inside.sum()), int(paid.sum())
            months.append(
                (
                    begin.date(),
                    Recovery(*counts, int(amount[inside].sum()), int(amount[paid].sum())),
                )
            )
    return tuple(months)
