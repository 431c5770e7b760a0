"""Rolling-origin backtest: fit every model on every block and score its test cutoffs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.contracts import CAUSES, OUTCOMES
from models import baselines, boosters
from models.competing_risks import ModelSettings, RiskModel, fit_risk_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.hazards import Learner
    from models.risk_data import RiskData
    from models.split import Block


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backtest:
    """Scored test snapshots of every model, and the notes of its fits.

    Parameters
    ----------
    table
        One row per model, customer and test cutoff: ``model, block, customer_id, cutoff, mrr,
        segment, tenure_periods``, then ``risk_<cause>_<label>`` (cumulative) for each cause,
        ``risk_contraction_<label>`` of the last horizon, ``contracted`` (whether it came true; null
        where unknown) and ``outcome_<label>`` (a category of ``OUTCOMES``, or null) for each
        horizon. Sorted by model as fitted, block, customer_id, cutoff.
    notes
        Number of the block, name of the model and the sentence.
    """

    table: pd.DataFrame
    notes: tuple[tuple[int, str, str], ...]


def learners(settings: ModelSettings, recency_feature: str | None) -> dict[str, Learner]:
    """Return the learners of the competing-risks model and of its rivals, by name.

    Parameters
    ----------
    settings
        Settings of the boosters.
    recency_feature
        Such as ``days_since_last_use``; None if there is none, and then no recency rule.
    """
    rivals: dict[str, Learner] = {boosters.NAME: boosters.booster_learner(settings)}
    rivals[baselines.LOGISTIC] = baselines.logistic_learner()
    if recency_feature is not None:
        rivals[baselines.RECENCY] = baselines.recency_learner(recency_feature)
    rivals[baselines.BASE_RATE] = None
    return rivals


def backtest(
    data: RiskData,
    blocks: Sequence[Block],
    rivals: Mapping[str, Learner],
    settings: ModelSettings,
) -> Backtest:
    """Fit every model on the slices of every block and score the block's test cutoffs.

    Parameters
    ----------
    data
        All snapshots of the backtest.
    blocks
        From ``rolling_blocks``.
    rivals
        From ``learners``.
    settings
        Settings of the models.
    """
    tables: list[pd.DataFrame] = []
    notes: list[tuple[int, str, str]] = []
    for name, learner in rivals.items():
        for number, block in enumerate(blocks):
            logger.info("Backtest of %s, block %d of %d", name, number + 1, len(blocks))
            model = fit_risk_model(name, learner, data, block.slices, settings)
            tables.append(score_block(model, data, block, number))
            notes.extend((number, name, note) for note in model.notes)
    return Backtest(pd.concat(tables, ignore_index=True), tuple(notes))


def score_block(model: RiskModel, data: RiskData, block: Block, number: int) -> pd.DataFrame:
    """Score the test cutoffs of a block: the rows of ``Backtest.table`` for one model."""
    if block.test is None:
        raise ValueError("This block has no test cutoffs: it is the refit.")
    test = data.take(block.test.holds(data.cutoff))
    test = test.take(np.lexsort((test.cutoff, test.customer_id.astype(str))))
    risks = model.predict(test.X, test.feature_names)
    last = test.outcome[:, -1]
    known = (last > 0) | (test.stayed & (last == 0))
    columns: dict[str, Any] = {
        "model": model.name,
        "block": number,
        "customer_id": test.customer_id,
        "cutoff": test.cutoff,
        "mrr": test.mrr,
        "segment": test.segment,
        "tenure_periods": test.tenure_periods,
    }
    for position, cause in enumerate(CAUSES):
        for horizon, label in enumerate(model.labels):
            columns[f"risk_{cause}_{label}"] = risks[:, position, horizon]
    columns[f"risk_contraction_{model.labels[-1]}"] = model.contraction_risk(test.X, risks)
    columns["contracted"] = pd.array(test.contracted, dtype="boolean")
    columns["contracted"][~known] = pd.NA
    for horizon, label in enumerate(model.labels):
        columns[f"outcome_{label}"] = pd.Categorical.from_codes(
            test.outcome[:, horizon], dtype=pd.CategoricalDtype(list(OUTCOMES))
        )
    return pd.DataFrame(columns, index=range(len(test)))
