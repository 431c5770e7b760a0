"""Fit Cox regressions in an environment of their own: `python studies/bench/cox.py <folder>`.

Reads ``X.npy`` (n, f), ``periods.npy`` (n,), ``cause.npy`` (n,; 0 censored) and ``task.json`` (the
numbers of the causes, the horizons and lifelines' penalty); writes ``fitted.json``: by cause the
coefficients (f,) and the cumulative baseline hazard at each horizon. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError

# Where a covariate almost decides who leaves, long steps of Newton's method diverge.
STEPS = (0.5, 0.1, 0.02)


def fitted_cox(frame: pd.DataFrame, penalty: float) -> CoxPHFitter:
    """Fit with shorter and shorter steps until it converges; ConvergenceError if it never does."""
    for step in STEPS:
        cox = CoxPHFitter(penalizer=penalty)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="Newton-Raphson failed")
            try:
                cox.fit(frame, "periods", "left", fit_options={"step_size": step})
            except (ConvergenceError, Warning):
                continue
        return cox
    raise ConvergenceError(f"no convergence at steps of {STEPS}")


def main() -> None:
    """Fit one regression per cause; leaving by another cause censors."""
    folder = Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    X, periods, cause = (np.load(folder / f"{name}.npy") for name in ("X", "periods", "cause"))
    frame = pd.DataFrame(X).rename(columns=str).assign(periods=periods)
    fitted = {}
    for number in task["causes"]:
        cox = fitted_cox(frame.assign(left=cause == number), task["penalty"])
        # lifelines centres the covariates before it measures the baseline.
        hazard = cox.baseline_cumulative_hazard_.iloc[:, 0]
        level = float(np.exp(-X.mean(axis=0) @ cox.params_.to_numpy()))
        fitted[number] = {
            "coefficients": cox.params_.tolist(),
            "baseline": [
                float(hazard[hazard.index <= h].iloc[-1]) * level for h in task["horizons"]
            ],
        }
    (folder / "fitted.json").write_text(json.dumps(fitted), encoding="utf-8")


if __name__ == "__main__":
    main()
