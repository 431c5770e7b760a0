"""The end of ``make``: the top of the list, and where to find list, page and UI."""

from __future__ import annotations

import sys

import pandas as pd

from pipelines.params import load_params
from pipelines.paths import SCORES
from pipelines.stage import run_stage
from retention.language import ENGLISH

TOP = 5


def summary(currency: str) -> str:
    """Write the top rows of the list and where to find the rest.

    Parameters
    ----------
    currency
        ISO 4217 code of the list's money.
    """
    listed = pd.read_parquet(SCORES / "list.parquet")
    when = f" as of {listed['cutoff'].iloc[0].date()}" if len(listed) else ""
    risk = next(name for name in listed.columns if name.startswith("risk_"))
    span = risk.removeprefix("risk_")
    lines = ["", f"The weekly list{when}: {len(listed)} customers to contact."]
    for row in listed.head(TOP).to_dict("records"):
        owner = f"owner {row['owner']}" if isinstance(row["owner"], str) else "no owner"
        lines += [
            "",
            f"{row['position']}. {row['customer_id']} ({row['queue']} queue, {owner})",
            f"   {row[risk]:.0%} risk within {span}, MRR {ENGLISH.money(row['mrr'], currency)}",
            f"   why: {row['reason_1'] or 'nothing raises it above the base rate'}",
            f"   do:  {row['action']} by {row['due_on']}",
        ]
    lines += [
        "",
        f"The list:      {SCORES / 'list.csv'}",
        f"The page:      {(SCORES / 'list.html').resolve().as_uri()}",
        "The MLflow UI: make ui, then http://127.0.0.1:5000",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the summary."""
    sys.stdout.write(summary(load_params().ingest.currency))


if __name__ == "__main__":
    run_stage(main)
