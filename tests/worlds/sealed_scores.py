"""Scores of a sealed block whose true risks are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit

CUSTOMERS, CUTOFFS = 400, 4


def sealed(noise: float = 0.0, seed: int = 0, first: int = 0) -> pd.DataFrame:
    """Scored snapshots of customers whose true risks are known; noise makes a model worse."""
    random = np.random.default_rng(7)
    spread = random.normal(-1.5, 1.0, size=(CUSTOMERS, 2))
    true = 0.45 * expit(spread)
    chance = random.random((CUTOFFS + 8, CUSTOMERS))
    rows = []
    for cutoff in range(first, first + CUTOFFS):
        left = np.where(chance[cutoff] < true[:, 0], "voluntary", "stayed").astype(object)
        left[(chance[cutoff] >= true[:, 0]) & (chance[cutoff] < true.sum(axis=1))] = "involuntary"
        wrong = np.random.default_rng([seed, cutoff]).normal(0, noise, size=true.shape)
        risk = 0.5 * expit(logit(true / 0.5) + wrong)
        rows.append(
            pd.DataFrame(
                {
                    "customer_id": [f"C{number:03d}" for number in range(CUSTOMERS)],
                    "cutoff": pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(weeks=cutoff),
                    "risk_voluntary_4w": risk[:, 0],
                    "risk_involuntary_4w": risk[:, 1],
                    "outcome_4w": left,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)
