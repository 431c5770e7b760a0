"""The reasons add up to the served number."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from scipy.special import logit

from data.errors import BadInputError
from models.boosters import NAME, booster_learner
from models.calibration import LogisticMap
from models.competing_risks import Hazard, RiskModel, compose, fit_risk_model
from models.explain import explain, grouped
from models.split import refit_block
from worlds.risk_world import LAST, MODEL, NAMES, SPLIT, risk_world

CAUSES = ("voluntary", "involuntary")
X = risk_world(100, seed=1).X[:300]


@cache
def model(min_events: int = 50, involuntary: bool = True) -> RiskModel:
    data = risk_world(200)
    if not involuntary:
        kept = data.outcome * (np.arange(len(data)) % 40 == 0)[:, None]
        data = dataclasses.replace(
            data, outcome=np.where(data.outcome == 2, kept, data.outcome).astype(np.int8)
        )
    settings = dataclasses.replace(MODEL, min_events=min_events)
    slices = refit_block(0, LAST, SPLIT).slices
    return fit_risk_model(NAME, booster_learner(settings), data, slices, settings)


def with_calibration(model: RiskModel, calibration: LogisticMap) -> RiskModel:
    hazards = tuple(
        tuple(dataclasses.replace(hazard, calibration=calibration) for hazard in by_interval)
        for by_interval in model.hazards
    )
    return dataclasses.replace(model, hazards=hazards)


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize(
    "explained",
    [
        model(),
        model(involuntary=False),
        model(min_events=100_000),
        with_calibration(model(), LogisticMap(-0.7, 0.6)),
        # Hazards near 1 for both causes: scaled to sum below 1.
        with_calibration(model(), LogisticMap(4.0, 1.1)),
    ],
    ids=["own", "pooled", "base rate", "calibrated", "scaled"],
)
def test_reasons_add_up_to_the_served_risk(explained: RiskModel, position: int) -> None:
    base, contributions = explain(explained, X, NAMES, CAUSES[position])
    served = explained.predict(X, NAMES)[:, position, 0]
    assert contributions.shape == X.shape
    assert base + contributions.sum(axis=1) == pytest.approx(logit(served), abs=1e-6)


def test_the_cases_are_what_they_are_called() -> None:
    assert any("involuntary" in note for note in model(involuntary=False).notes)
    assert isinstance(model(min_events=100_000).hazards[0][0], Hazard)
    assert model(min_events=100_000).hazards[0][0].scorer is None
    scaled = with_calibration(model(), LogisticMap(4.0, 1.1))
    marked = compose(scaled.predict_hazards(X, NAMES))[1]
    assert 0 < marked.sum() < len(marked)
    assert not compose(model().predict_hazards(X, NAMES))[1].any()


def test_the_slope_scales_the_reasons_and_the_base_takes_the_rest() -> None:
    base, contributions = explain(with_calibration(model(), LogisticMap()), X, NAMES, "voluntary")
    other, scaled = explain(
        with_calibration(model(), LogisticMap(-0.7, 0.6)), X, NAMES, "voluntary"
    )
    assert scaled == pytest.approx(0.6 * contributions)
    assert other == pytest.approx(-0.7 + 0.6 * base)
    assert np.ptp(base) == 0


def test_what_drives_a_cause_is_what_its_reasons_name() -> None:
    for cause, feature in zip(CAUSES, NAMES, strict=False):
        _, contributions = explain(model(), X, NAMES, cause)
        column = NAMES.index(feature)
        assert np.abs(contributions).mean(axis=0).argmax() == column
        assert np.corrcoef(contributions[:, column], X[:, column])[0, 1] > 0.8


def test_reasons_are_summed_by_group() -> None:
    contributions = np.array([[1.0, 2.0, 4.0], [0.5, -1.0, 0.0]])
    names, sums = grouped(contributions, ("a", "b", "c"), {"a": "use", "b": "price", "c": "use"})
    assert names == ("use", "price")
    assert sums.tolist() == [[5.0, 2.0], [0.5, -1.0]]


def test_no_rows_have_no_reasons() -> None:
    base, contributions = explain(model(), X[:0], NAMES, "voluntary")
    assert base.shape == (0,)
    assert contributions.shape == (0, len(NAMES))


def test_only_known_features_and_boosters_are_explained() -> None:
    with pytest.raises(BadInputError, match="trained on"):
        explain(model(), X, NAMES[::-1], "voluntary")

    class Other:
        size = "other"

        def log_odds(self, X: np.ndarray) -> np.ndarray:
            return np.zeros(len(X))

    other = dataclasses.replace(model(), hazards=((Hazard(Other()),) * 3,) * 2)
    with pytest.raises(ValueError, match="no contributions"):
        explain(other, X, NAMES, "voluntary")
