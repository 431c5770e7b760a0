"""Invoices whose payment failed, and when they were paid after all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data.visibility import visible

if TYPE_CHECKING:
    import pandas as pd

    from data.engine import Engine


def failed_invoices(payments: Any, until_us: int, engine: Engine) -> pd.DataFrame:
    """Find the invoices whose payment failed at least once, and when they were paid after all.

    Parameters
    ----------
    payments
        Clean payments, a lazy Ibis table.
    until_us
        Rows that became available after this instant are not read.
    engine
        Runs the query.

    Returns
    -------
    DataFrame
        One row per invoice, by its first failure and then by its id: ``invoice_id``, ``failed_at``
        (first failure), ``paid_at`` (first success from then on; null if there is none),
        ``amount`` (largest of its rows, minor units; 0 if none is known).
    """
    known = visible(payments, until_us, engine)
    attempts = known.filter(known.kind.isin(["failed", "succeeded"]))
    failed = attempts.filter(attempts.kind == "failed")
    first = failed.group_by("invoice_id").agg(failed_at=failed.event_at.min())
    rows = attempts.join(first, "invoice_id")
    late = (rows.kind == "succeeded") & (rows.event_at >= rows.failed_at)
    invoices = rows.group_by("invoice_id").agg(
        failed_at=rows.failed_at.min(),
        paid_at=rows.event_at.min(where=late),
        amount=rows.amount.max().fill_null(0),
    )
    frame: pd.DataFrame = engine.to_arrow(
        invoices.order_by(["failed_at", "invoice_id"])
    ).to_pandas()
    return frame.astype(
        {"failed_at": "datetime64[us, UTC]", "paid_at": "datetime64[us, UTC]", "amount": "int64"}
    )
