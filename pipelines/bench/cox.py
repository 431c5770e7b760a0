"""Fit Cox regressions in an environment of their own: `python pipelines/bench/cox.py <folder>`.

Reads ``X.npy`` (n, f), ``periods.npy`` (n,), ``cause.npy`` (n,; 0 censored) and ``task.json`` (the
numbers of the causes, the horizons and lifelines' penalty); writes ``fitted.json``: by cause the
coefficients (f,) and the cumulative baseline hazard at each horizon. Knows nothing of the project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter


def main() -> None:
    """Fit one regression a cause; whoever leaves by another cause is censored then."""
    folder = Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    X, periods, cause = (np.load(folder / f"{name}.npy") for name in ("X", "periods", "cause"))
    frame = pd.DataFrame(X).rename(columns=str).assign(periods=periods)
    fitted = {}
    for number in task["causes"]:
        cox = CoxPHFitter(penalizer=task["penalty"])
        cox.fit(frame.assign(left=cause == number), duration_col="periods", event_col="left")
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
