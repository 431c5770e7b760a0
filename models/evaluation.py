"""Measure scored test snapshots: pooled with intervals, and by block, week, segment and tenure."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from data.contracts import CAUSES
from models.metrics import ScoredRows, all_metrics, reliability_bins
from models.model_settings import EvaluationTerms
from models.resampling import calibration_error_limit, estimate, resample, resampled_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

# Metrics of contraction: those that need no list, as no list is ranked by it.
CONTRACTION = ("auroc", "average_precision", "log_loss", "calibration_slope", "calibration_error")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(EvaluationTerms):
    """How scored snapshots are measured.

    Parameters
    ----------
    capacity
        For a cause, the share of eligible customers that its team can contact in a week.
    newcomer_periods
        A customer is new for this many periods after the first activation.
    threads
        Threads of the resampling; change no result.
    """

    capacity: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0.1))
    newcomer_periods: int = 13
    threads: int = 1


def evaluation_report(
    table: pd.DataFrame, labels: Sequence[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """Measure scored test snapshots.

    Parameters
    ----------
    table
        ``Backtest.table``, or some of its rows; ``cutoff`` may be numbers or instants.
    labels
        Names of the horizons.
    settings
        How to measure.

    Returns
    -------
    dict
        Serialisable as JSON; undefined numbers are None. A *cell* is cause -> label -> content.

        - ``pooled``: model -> cell -> ``rows``, ``events`` and each metric as ``value, low, high``
        - ``differences``: rival -> cell -> metric of the first model minus that of the rival,
          ``value, low, high``, on the same resamples
        - ``reliability``: model -> cell -> list of bins
        - ``calibration_error_limit``: model -> cell -> 99 % limit if its risks were true
        - ``contraction``: model -> ``rows``, ``events`` and each metric as ``value, low, high``, of
          the risk of paying less at the last horizon; absent if none is known
        - ``blocks``, ``weeks``, ``segments``: name -> model -> cell -> ``rows``, ``events`` and
          each metric's value; ``newcomers``: model -> cell -> the same
    """
    names = list(dict.fromkeys(table["model"]))
    parts = {name: _part(table, name) for name in names}
    _require_same_rows(parts)
    first = parts[names[0]]
    groups = {
        "blocks": first["block"].astype(str).to_numpy(dtype=object),
        "weeks": first["cutoff"].astype(str).to_numpy(dtype=object),
        "segments": first["segment"].fillna("none").astype(str).to_numpy(dtype=object),
    }
    newcomers = first["tenure_periods"].to_numpy() < settings.newcomer_periods
    result = _pooled(parts, labels, settings)
    for kind, values in groups.items():
        result[kind] = {
            value: _values(parts, labels, settings, values == value) for value in np.unique(values)
        }
    result["newcomers"] = _values(parts, labels, settings, newcomers)
    if first["contracted"].notna().any():
        result["contraction"] = _contraction(parts, labels[-1], settings)
    return result


def _part(table: pd.DataFrame, name: str) -> pd.DataFrame:
    rows = table[table["model"] == name]
    return rows.sort_values(["customer_id", "cutoff"], kind="stable", ignore_index=True)


def _require_same_rows(parts: Mapping[str, pd.DataFrame]) -> None:
    """Raise ValueError unless every model scored the same snapshots: differences are paired."""
    first, *others = (part[["customer_id", "cutoff", "block"]] for part in parts.values())
    if not all(first.equals(other) for other in others):
        raise ValueError("The models did not score the same snapshots.")


def _cells(
    part: pd.DataFrame,
    labels: Sequence[str],
    settings: EvaluationSettings,
    mask: NDArray[np.bool_],
) -> Iterator[tuple[str, str, NDArray[np.int64], ScoredRows]]:
    """Yield cause, label, positions of the rows whose outcome is known, and those rows."""
    for cause in CAUSES:
        for label in labels:
            outcome = part[f"outcome_{label}"]
            rows = np.flatnonzero(mask & outcome.notna().to_numpy())
            scored = ScoredRows(
                y=(outcome == cause).to_numpy(dtype=bool)[rows],
                risk=part[f"risk_{cause}_{label}"].to_numpy(dtype=np.float64)[rows],
                mrr=part["mrr"].to_numpy()[rows],
                week=part["cutoff"].to_numpy()[rows],
                capacity=settings.capacity[cause],
                bins=settings.bins,
                campaign=settings.campaign,
            )
            yield cause, label, rows, scored


def _pooled(
    parts: Mapping[str, pd.DataFrame], labels: Sequence[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """Measure the sections of the report that use all rows together."""
    first = next(iter(parts))
    customer = np.unique(parts[first]["customer_id"].astype(str), return_inverse=True)[1]
    counts = resampled_counts(customer.max(initial=-1) + 1, settings.resamples, settings.seed)
    result: dict[str, Any] = {
        section: {name: {cause: {} for cause in CAUSES} for name in parts}
        for section in ("pooled", "differences", "reliability", "calibration_error_limit")
    }
    del result["differences"][first]
    reference = {}
    for name, part in parts.items():
        logger.info("Measuring %s: %d rows, %d resamples", name, len(part), settings.resamples)
        for cause, label, rows, scored in _cells(part, labels, settings, np.ones(len(part), bool)):
            values = all_metrics(scored)
            drawn = resample(scored, customer[rows], counts, settings.threads)
            result["pooled"][name][cause][label] = _counts(scored) | {
                metric: estimate(values[metric], drawn[metric]) for metric in values
            }
            result["reliability"][name][cause][label] = reliability_bins(scored)
            limit = calibration_error_limit(scored, customer[rows], seed=settings.seed)
            result["calibration_error_limit"][name][cause][label] = _finite(limit)
            if name == first:
                reference[cause, label] = values, drawn
                continue
            best, best_drawn = reference[cause, label]
            result["differences"][name][cause][label] = {
                metric: estimate(best[metric] - values[metric], best_drawn[metric] - drawn[metric])
                for metric in values
            }
    return result


def _contraction(
    parts: Mapping[str, pd.DataFrame], label: str, settings: EvaluationSettings
) -> dict[str, Any]:
    """Measure the risk of contraction: model -> rows, events and metrics with intervals."""
    result = {}
    for name, part in parts.items():
        known = part[part["contracted"].notna() & part[f"risk_contraction_{label}"].notna()]
        if known.empty:
            continue
        scored = ScoredRows(
            y=known["contracted"].to_numpy(dtype=bool),
            risk=known[f"risk_contraction_{label}"].to_numpy(dtype=np.float64),
            mrr=known["mrr"].to_numpy(),
            week=known["cutoff"].to_numpy(),
            bins=settings.bins,
        )
        values = all_metrics(scored)
        customer = np.unique(known["customer_id"].astype(str), return_inverse=True)[1]
        counts = resampled_counts(customer.max(initial=-1) + 1, settings.resamples, settings.seed)
        drawn = resample(scored, customer, counts, settings.threads)
        shown = {metric: estimate(values[metric], drawn[metric]) for metric in CONTRACTION}
        result[name] = _counts(scored) | shown
    return result


def _values(
    parts: Mapping[str, pd.DataFrame],
    labels: Sequence[str],
    settings: EvaluationSettings,
    mask: NDArray[np.bool_],
) -> dict[str, Any]:
    """Measure the rows of a mask: model -> cause -> label -> values without intervals."""
    result: dict[str, Any] = {name: {cause: {} for cause in CAUSES} for name in parts}
    for name, part in parts.items():
        for cause, label, _, scored in _cells(part, labels, settings, mask):
            values = {metric: _finite(value) for metric, value in all_metrics(scored).items()}
            result[name][cause][label] = _counts(scored) | values
    return result


def _counts(scored: ScoredRows) -> dict[str, Any]:
    return {"rows": len(scored.y), "events": int(scored.y.sum())}


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None
