"""scikit-learn's gradient boosting as a peer: what it learns, and that it repeats."""

from __future__ import annotations

import dataclasses

import numpy as np

from models.competing_risks import fit_risk_model
from models.split import rolling_blocks
from studies.trees_learner import trees_learner
from worlds.risk_world import LAST, MODEL, NAMES, SPLIT, risk_world, true_risks


def test_gradient_boosting_of_scikit_learn_learns_repeats_and_reads_missing_values() -> None:
    data = risk_world()
    X = data.X.copy()
    X[:, NAMES.index("noise_2")] = np.nan
    data = dataclasses.replace(data, X=X)
    slices = rolling_blocks(0, LAST, SPLIT)[0].slices
    learner = trees_learner({"learning_rate": 0.1, "max_leaf_nodes": 7}, seed=1)
    models = [fit_risk_model("trees", learner, data, slices, MODEL) for _ in range(2)]
    risks, again = (model.predict(X, NAMES) for model in models)
    assert (risks == again).all()
    for cause in range(2):
        assert np.corrcoef(risks[:, cause, 0], true_risks(X)[:, cause, 0])[0, 1] > 0.9
