"""Failed invoices, and when they were paid after all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.contracts import INSTANT
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
        One row per invoice, sorted by first failure and id: ``invoice_id``, ``failed_at``
        (first failure), ``paid_at`` (first success from then on; null if there is none),
        ``amount`` (largest of its rows, minor units; 0 if none is known).
    """
    known = visible(payments, until_us, engine)
    attempts = known.filter(known.kind.isin(["failed", "succeeded"]))
    attempts = attempts.mutate(event_us=engine.microseconds(attempts.event_at))
    failed = attempts.filter(attempts.kind == "failed")
    first = failed.group_by("invoice_id").agg(failed_us=failed.event_us.min())
    rows = attempts.join(first, "invoice_id")
    late = (rows.kind == "succeeded") & (rows.event_us >= rows.failed_us)
    invoices = rows.group_by("invoice_id").agg(
        failed_us=rows.failed_us.min(),
        paid_us=rows.event_us.min(where=late),
        amount=rows.amount.max().fill_null(0),
    )
    # As integers: engines differ in the time zone of an instant that was aggregated.
    found = engine.to_arrow(invoices.order_by(["failed_us", "invoice_id"]))
    columns = {"invoice_id": found["invoice_id"]}
    for name in ("failed", "paid"):
        columns[f"{name}_at"] = found[f"{name}_us"].cast(pa.int64()).cast(INSTANT)
    columns["amount"] = found["amount"].cast(pa.int64())
    frame: pd.DataFrame = pa.table(columns).to_pandas()
    return frame
