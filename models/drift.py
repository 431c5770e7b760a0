"""Drift: how far today's features have moved from those that a model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Conventional limits of a shift to look at and one to act on (Siddiqi 2006, section 9.1).
MODERATE, LARGE = 0.10, 0.25


def stability_index(
    reference: NDArray[np.float32], current: NDArray[np.float32], bins: int = 10
) -> NDArray[np.float64]:
    """Population stability index of each feature: the sum of (q - p) ln(q / p) over its bins.

    Parameters
    ----------
    reference
        (n, f) features of the training; their quantiles are the bin edges.
    current
        (m, f) today's features.
    bins
        Maximum number of bins; equal values share a bin, missing values have their own.

    Returns
    -------
    ndarray
        float64 (f,), 0 if there is no shift. Half a row is added to each bin to keep it finite.

    Notes
    -----
    Siddiqi (2006), "Credit Risk Scorecards"; the symmetric divergence of Jeffreys (1946).
    """
    quantiles = np.linspace(0, 1, bins + 1)[1:-1]
    indices = np.zeros(reference.shape[1])
    for column in range(reference.shape[1]):
        before, now = reference[:, column], current[:, column]
        seen = before[~np.isnan(before)]
        edges = (
            np.unique(np.quantile(seen.astype(np.float64), quantiles)) if len(seen) else np.empty(0)
        )
        p, q = _shares(before, edges), _shares(now, edges)
        indices[column] = np.sum((q - p) * np.log(q / p))
    return indices


def _shares(values: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    number = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values))
    rows = np.bincount(number, minlength=len(edges) + 2) + 0.5
    return np.asarray(rows / rows.sum())
