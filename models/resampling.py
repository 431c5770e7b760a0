"""What chance could have made of a metric: intervals by resampling customers, and error limits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from models.metrics import METRICS, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.metrics import ScoredRows


def resampled_counts(customers: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """Count how often each customer is drawn in each resample, (resamples, customers).

    Source: Field & Welsh (2007), "Bootstrapping clustered data": whole customers are drawn with
    replacement, since the rows of one are not independent.
    """
    random = np.random.default_rng(seed)
    counts = np.empty((resamples, customers), np.uint16)
    for row in counts:
        row[:] = np.bincount(random.integers(customers, size=customers), minlength=customers)
    return counts


def resample(
    scored: ScoredRows, customer: NDArray[np.int64], counts: NDArray[np.uint16], threads: int = 1
) -> dict[str, NDArray[np.float64]]:
    """Compute every metric on every resample.

    Parameters
    ----------
    scored
        n rows.
    customer
        int (n,) each row's customer, as a column of ``counts``.
    counts
        From ``resampled_counts``; use the same for all models, so that differences are paired.
    threads
        Number of threads; changes no result.

    Returns
    -------
    dict
        Name of the metric -> float64 (resamples,).
    """

    def on_one(count: NDArray[np.uint16]) -> list[float]:
        sample = Sample(scored, count[customer].astype(np.float64))
        return [metric(sample) for metric in METRICS.values()]

    if not len(scored.y):
        return {name: np.full(len(counts), np.nan) for name in METRICS}
    # NumPy releases the GIL while it works on long arrays.
    with ThreadPoolExecutor(threads) as pool:
        values = np.array(list(pool.map(on_one, counts)))
    return dict(zip(METRICS, values.T, strict=True))


def estimate(value: float, resampled: NDArray[np.float64]) -> dict[str, float | None]:
    """Add the 95 % percentile interval to a value (Efron & Tibshirani 1993, chapter 13).

    Undefined resamples are left out. Undefined numbers become None, as JSON has no NaN.
    """
    defined = resampled[np.isfinite(resampled)]
    low, high = np.quantile(defined, [0.025, 0.975]) if len(defined) else (np.nan, np.nan)
    named = {"value": value, "low": float(low), "high": float(high)}
    return {name: number if np.isfinite(number) else None for name, number in named.items()}


def calibration_error_limit(
    scored: ScoredRows,
    customer: NDArray[np.int64],
    simulations: int = 1000,
    seed: int = 0,
    level: float = 0.99,
) -> float:
    """Calibration error that perfectly calibrated risks stay below with probability ``level``.

    Outcomes are simulated from the risks with one uniform number per customer, so that a customer's
    rows churn together as often as they can. This is the consistency resampling of Bröcker & Smith
    (2007), "Increasing the reliability of reliability diagrams".
    """
    if not len(scored.y):
        return np.nan
    random = np.random.default_rng(seed)
    errors = np.empty(simulations)
    for number in range(simulations):
        y = random.random(int(customer.max()) + 1)[customer] < scored.risk
        errors[number] = np.abs(np.bincount(scored.bin, weights=scored.risk - y)).sum()
    return float(np.quantile(errors, level) / len(scored.y))
