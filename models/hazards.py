"""A hazard: learned log-odds, an offset, and the map that calibrates them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from models.calibration import LogisticMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.risk_data import Selection


class Scorer(ABC):
    """What a learner learned: log-odds of a hazard from features."""

    @property
    @abstractmethod
    def size(self) -> str:
        """How large it grew, in words for the log."""

    @property
    def strongest(self) -> int | None:
        """Position of the feature that contributes most; None if it cannot be singled out."""
        return None

    @abstractmethod
    def log_odds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Uncalibrated log-odds (n,) of rows X (n, f)."""


# Maps y of the train slice, y of the stop slice and the cause (None: both) to a scorer. Each y
# has both classes.
Fit = Callable[["NDArray[np.bool_]", "NDArray[np.bool_]", str | None], Scorer]
# Maps the train slice, the stop slice and the feature names to a fit. What all causes share (bins,
# imputation, scaling) is prepared once per interval. None stands for the base rate.
Learner = Callable[["Selection", "Selection", tuple[str, ...]], Fit] | None


@dataclass(frozen=True)
class Hazard:
    """Hazard of one cause in one interval: ``expit(map(scorer's log-odds + offset))``.

    Parameters
    ----------
    scorer
        Learned log-odds; None if the offset is all.
    offset
        Without a scorer the base rate; with a scorer of both causes the cause's share.
    calibration
        Logistic map of the log-odds.
    """

    scorer: Scorer | None
    offset: float = 0.0
    calibration: LogisticMap = field(default_factory=LogisticMap)

    def raw_log_odds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds (n,) before calibration."""
        if self.scorer is None or not len(X):
            return np.full(len(X), self.offset)
        return self.scorer.log_odds(X) + self.offset

    def log_odds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated log-odds (n,)."""
        return self.calibration(self.raw_log_odds(X))


def can_learn(train: NDArray[np.bool_], stop: NDArray[np.bool_], min_events: int) -> bool:
    """Whether a hazard can be learned: enough events to train on, both classes in both slices."""
    return (
        train.sum() >= max(min_events, 1)
        and not train.all()
        and bool(stop.any())
        and not stop.all()
    )


def log_odds_of_rate(events: NDArray[np.bool_]) -> float:
    """Log-odds of a rate; half an event added to each class (Haldane 1956) keeps them finite."""
    return float(logit((events.sum() + 0.5) / (len(events) + 1)))
