"""Drift of features: nothing where nothing moved, the textbook's sum where something did."""

from __future__ import annotations

import numpy as np
import pytest

from models.drift import LARGE, MODERATE, stability_index


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_the_same_sample_has_not_moved() -> None:
    X = np.random.default_rng(1).normal(size=(2000, 3)).astype(np.float32)
    assert stability_index(X, X) == pytest.approx([0, 0, 0])


def test_it_is_the_sum_over_bins_by_hand() -> None:
    # Two bins and one for missing values, each with half a row more.
    before, now = column(0, 0, 0, 1), column(0, 1, 1, 1)
    p, q = np.array([3.5, 1.5, 0.5]) / 5.5, np.array([1.5, 3.5, 0.5]) / 5.5
    expected = np.sum((q - p) * np.log(q / p))
    assert stability_index(before, now, bins=2) == pytest.approx([expected])


def test_noise_stays_below_the_limits_and_a_shift_does_not() -> None:
    random = np.random.default_rng(2)
    before, now = (random.normal(size=(4000, 1)).astype(np.float32) for _ in range(2))
    assert stability_index(before, now)[0] < MODERATE / 4
    assert stability_index(before, now + 1)[0] > LARGE
    missing = np.where(random.random((4000, 1)) < 0.3, np.nan, now).astype(np.float32)
    assert stability_index(before, missing)[0] > LARGE


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_feature_that_never_varies_is_finite(value: float) -> None:
    constant = np.full((50, 1), value, dtype=np.float32)
    assert stability_index(constant, constant) == pytest.approx([0])
    assert np.isfinite(stability_index(constant, constant + 1)).all()
