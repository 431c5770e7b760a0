"""Share of the attainable skill that a model reaches, in a simulated world.

Where the truth is known, the skill of a model has two ceilings. *Full information*: the oracle,
which knows everything that the world knows at the cutoff, unobservable satisfaction included.
*Observable*: this procedure trained on many times the customers, measured once and stored; more
data of the same kind would not help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.contracts import CAUSES
from models.tables import ORACLE

if TYPE_CHECKING:
    from collections.abc import Mapping

# Metrics, and whether lower is better.
METRICS = {"log_loss": True, "average_precision": False}
KEYS = ["customer_id", "cutoff"]


def with_oracle(table: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Add the true risks to scored test snapshots, as one more model.

    Parameters
    ----------
    table
        ``models.backtest.Backtest.table``.
    truth
        ``customer_id``, ``cutoff`` (as in ``table``) and ``risk_<cause>_<label>``.

    Returns
    -------
    DataFrame
        The table with the rows of the model ``oracle`` at its end. Snapshots without a truth are
        removed from every model, so that all are measured on the same snapshots.
    """
    risks = [name for name in truth.columns if name.startswith("risk_")]
    known = table.merge(truth[KEYS], on=KEYS)
    snapshots = known[known["model"] == known["model"].iloc[0]]
    oracle = snapshots.drop(columns=risks).merge(truth[KEYS + risks], on=KEYS).assign(model=ORACLE)
    # The truth does not cover contraction.
    oracle[oracle.columns[oracle.columns.str.startswith("risk_contraction_")]] = np.nan
    both: pd.DataFrame = pd.concat([known, oracle[known.columns]], ignore_index=True)
    return both


def skill(value: float, base: float, *, less_is_better: bool) -> float:
    """Improvement over the base rate; as a share of the base rate if lower is better."""
    return (base - value) / base if less_is_better else value - base


def ceiling_figures(pooled: Mapping[str, Any], model: str, base: str) -> dict[str, Any]:
    """Return the skill of one model: cause -> horizon -> metric; None where it is not defined.

    Parameters
    ----------
    pooled
        ``pooled`` of ``models.evaluation.evaluation_report``.
    model, base
        Names of the model and of the base rate in ``pooled``.
    """
    figures: dict[str, Any] = {cause: {} for cause in CAUSES}
    for cause in CAUSES:
        for label, cell in pooled[model][cause].items():
            figures[cause][label] = {}
            for metric, less_is_better in METRICS.items():
                value = cell[metric]["value"]
                floor = pooled[base][cause][label][metric]["value"]
                known = value is not None and floor is not None
                figures[cause][label][metric] = (
                    skill(value, floor, less_is_better=less_is_better) if known else None
                )
    return figures


def attainable_shares(reached: Mapping[str, Any], ceiling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the share of a ceiling's skill that a model reaches: cause -> horizon -> metric.

    Parameters
    ----------
    reached, ceiling
        From ``ceiling_figures``. The share of a ceiling without skill is None.
    """
    return {
        cause: {
            label: {
                metric: _share(value, ceiling[cause].get(label, {}).get(metric))
                for metric, value in cell.items()
            }
            for label, cell in by_label.items()
        }
        for cause, by_label in reached.items()
    }


def _share(value: float | None, ceiling: float | None) -> float | None:
    return None if value is None or ceiling is None or ceiling <= 0 else value / ceiling
