"""Metrics that compare risks with outcomes, weighted, so that customers can be resampled.

Every metric maps a ``Sample``, scored rows with a weight each, to a float: NaN where it is not
defined (one class only). Ties never depend on the order of rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import betainc, logit

from models.calibration import logistic_fit
from models.model_settings import Campaign
from models.weekly_ranking import Ties, WeeklyRanking

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class ScoredRows:
    """Risks of one cause and horizon beside the outcomes, all of them known.

    Parameters
    ----------
    y
        bool (n,) whether the customer left by the cause within the horizon.
    risk
        float64 (n,) predicted probability of it.
    mrr
        (n,) monthly recurring revenue, minor units.
    week
        (n,) the cutoff: each has a list of its own.
    capacity
        Share of a week's rows that the team can contact.
    bins
        Number of bins of the calibration error.
    campaign
        Terms of the expected profit.
    """

    y: NDArray[np.bool_]
    risk: NDArray[np.float64]
    mrr: NDArray[Any]
    week: NDArray[Any]
    capacity: float = 0.1
    bins: int = 10
    campaign: Campaign = field(default_factory=Campaign)

    @functools.cached_property
    def by_risk(self) -> Ties:
        """Rows by ascending risk."""
        return Ties.by(self.risk)

    @functools.cached_property
    def clipped(self) -> NDArray[np.float64]:
        """Risk within what logarithms can take, as scikit-learn clips it."""
        return np.clip(self.risk, _SMALLEST, 1 - _SMALLEST)

    @functools.cached_property
    def log_odds(self) -> NDArray[np.float64]:
        """Log-odds of the clipped risk."""
        return np.asarray(logit(self.clipped))

    @functools.cached_property
    def losses(self) -> NDArray[np.float64]:
        """Log loss of each row."""
        return -np.log(np.where(self.y, self.clipped, 1 - self.clipped))

    @functools.cached_property
    def bin(self) -> NDArray[np.int64]:
        """Number of the row's equal-mass bin by risk; equal risks share a bin."""
        edges = np.quantile(self.risk, np.linspace(0, 1, self.bins + 1)[1:-1])
        return np.searchsorted(np.unique(edges), self.risk)

    @functools.cached_property
    def ranked_by_risk(self) -> WeeklyRanking:
        """Rows of each week by descending risk."""
        return WeeklyRanking.of(self.week, self.risk)

    @functools.cached_property
    def ranked_by_loss(self) -> WeeklyRanking:
        """Rows of each week by descending risk times MRR, the revenue expected to be lost."""
        return WeeklyRanking.of(self.week, self.risk * self.mrr)

    @functools.cached_property
    def calibration_start(self) -> tuple[float, float]:
        """Unweighted calibration intercept and slope: those of resamples are close to them."""
        return logistic_fit(self.log_odds, self.y)


@dataclass(frozen=True)
class Sample:
    """Scored rows, weighted.

    Parameters
    ----------
    scored
        n rows.
    weight
        (n,) weight of each: 1, or how often its customer was drawn.
    capacity
        Share of a week's rows that the team can contact, if not that of the rows.
    """

    scored: ScoredRows
    weight: NDArray[np.float64]
    capacity: float | None = None

    @classmethod
    def whole(cls, scored: ScoredRows) -> Sample:
        """Count every row once."""
        return cls(scored, np.ones(len(scored.y)))

    @classmethod
    def of_risks(cls, y: NDArray[np.bool_], risk: NDArray[np.float64]) -> Sample:
        """Count every row once, for metrics that read neither lists nor revenue."""
        nothing = np.zeros(len(y), np.int64)
        return cls.whole(ScoredRows(y=y, risk=risk, mrr=nothing, week=nothing))

    @functools.cached_property
    def events(self) -> NDArray[np.float64]:
        """Weight of the churners, (n,)."""
        return self.weight * self.scored.y

    @functools.cached_property
    def contacted(self) -> NDArray[np.float64]:
        """Weight of the rows on the weekly lists by risk, (n,)."""
        return self._on_lists(self.scored.ranked_by_risk)

    @functools.cached_property
    def contacted_by_loss(self) -> NDArray[np.float64]:
        """Weight of the rows on the weekly lists by risk times MRR, (n,)."""
        return self._on_lists(self.scored.ranked_by_loss)

    def _on_lists(self, ranking: WeeklyRanking) -> NDArray[np.float64]:
        capacity = self.scored.capacity if self.capacity is None else self.capacity
        return ranking.contacted(self.weight, capacity)

    @property
    def both_classes(self) -> bool:
        """Whether some left and some did not."""
        return bool(0 < self.events.sum() < self.weight.sum())


Metric = Callable[[Sample], float]


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else np.nan


def auroc(sample: Sample) -> float:
    """Probability that a churner has a higher risk than a stayer, ties counting half.

    Source: Hanley & McNeil (1982), "The meaning and use of the area under a ROC curve".
    """
    events = sample.scored.by_risk.sums(sample.events)
    others = sample.scored.by_risk.sums(sample.weight - sample.events)
    below = np.cumsum(others) - others
    return _ratio(np.sum(events * (below + others / 2)), events.sum() * others.sum())


def average_precision(sample: Sample) -> float:
    """Precision at each distinct risk, weighted by the gain in recall; no interpolation.

    Source: Manning, Raghavan & Schütze (2008), "Introduction to Information Retrieval", section
    8.4, as in scikit-learn's ``average_precision_score``.
    """
    events = sample.scored.by_risk.sums(sample.events)[::-1]
    rows = np.cumsum(sample.scored.by_risk.sums(sample.weight)[::-1])
    precision = np.divide(np.cumsum(events), rows, out=np.zeros_like(rows), where=rows > 0)
    return _ratio(np.sum(events * precision), events.sum())


def log_loss(sample: Sample) -> float:
    """Mean of minus the logarithm of the probability given to the outcome, in nats.

    Source: Good (1952), "Rational decisions"; risks are clipped as in scikit-learn.
    """
    return _ratio(np.sum(sample.weight * sample.scored.losses), sample.weight.sum())


def brier(sample: Sample) -> float:
    """Mean squared difference of risk and outcome.

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    squares = (sample.scored.risk - sample.scored.y) ** 2
    return _ratio(np.sum(sample.weight * squares), sample.weight.sum())


def calibration_slope(sample: Sample) -> float:
    """Slope of a logistic regression of the outcome on the log-odds of the risk; 1 is right.

    Below 1 the risks are too extreme, above 1 too timid. Source: Cox (1958), "Two further
    applications of a model for binary regression".
    """
    scored = sample.scored
    start = scored.calibration_start
    if not sample.both_classes or not np.all(np.isfinite(start)):
        return np.nan
    return logistic_fit(scored.log_odds, scored.y, sample.weight, start=start)[1]


def calibration_intercept(sample: Sample) -> float:
    """Log-odds by which risks are too low overall (calibration in the large); 0 is right.

    The intercept of a logistic regression with the log-odds of the risk as an offset. Source: Van
    Calster et al. (2019), "Calibration: the Achilles heel of predictive analytics".
    """
    if not sample.both_classes:
        return np.nan
    level, churned = 0.0, sample.scored.y
    odds = sample.scored.clipped / (1 - sample.scored.clipped)
    for _ in range(100):
        # Newton's method on the level: the churners expected must equal those counted. Risks and
        # their complements are summed separately: near 1 their difference loses its digits.
        safe = 1 / (1 + odds * np.exp(level))
        risk = odds * np.exp(level) * safe
        gap = np.sum(sample.weight * np.where(churned, safe, -risk))
        step = float(gap / np.sum(sample.weight * risk * safe))
        level += float(np.clip(step, -0.5, 0.5))
        if abs(step) < 1e-7:
            return level
    return np.nan


def calibration_error(sample: Sample) -> float:
    """Expected calibration error: mean distance of mean risk and rate over equal-mass bins.

    Source: Naeini, Cooper & Hauskrecht (2015), "Obtaining well calibrated probabilities using
    Bayesian binning"; bins by quantiles as in Nixon et al. (2019), "Measuring calibration in deep
    learning". Bins are cut once, on the unweighted rows; equal risks share a bin.
    """
    scored, weight = sample.scored, sample.weight
    gaps = np.bincount(scored.bin, weights=weight * (scored.risk - scored.y))
    return _ratio(np.sum(np.abs(gaps)), weight.sum())


def precision_at_capacity(sample: Sample) -> float:
    """Share of churners among the contacted, ranked by risk within the week.

    Source: Manning et al. (2008), section 8.4, precision at k; ties as in ``WeeklyRanking``.
    """
    return _ratio(np.sum(sample.contacted * sample.scored.y), sample.contacted.sum())


def recall_at_capacity(sample: Sample) -> float:
    """Share of the churners that are contacted, ranked by risk within the week.

    Source: Manning et al. (2008), section 8.4, recall at k; ties as in ``WeeklyRanking``.
    """
    return _ratio(np.sum(sample.contacted * sample.scored.y), sample.events.sum())


def lift_at_capacity(sample: Sample) -> float:
    """Precision at capacity over the rate of all rows; 1 is chance.

    Source: Neslin et al. (2006), "Defection detection", top-decile lift at another share.
    """
    rate = _ratio(sample.events.sum(), sample.weight.sum())
    return _ratio(precision_at_capacity(sample), rate)


def mrr_caught_at_capacity(sample: Sample) -> float:
    """Share of the churners' MRR that is contacted, ranked by risk times MRR within the week.

    Recall at k weighted by revenue, after Lemmens & Gupta (2020), "Managing churn to maximize
    profits", who rank by the revenue at stake and not by risk alone; ties as in ``WeeklyRanking``.
    """
    lost = sample.scored.y * sample.scored.mrr
    return _ratio(np.sum(sample.contacted_by_loss * lost), np.sum(sample.weight * lost))


def expected_profit(sample: Sample) -> float:
    """Expected maximum profit per customer (EMPC), minor units: the best share is contacted.

    Source: Verbraken, Verbeke & Baesens (2013), "A novel profit maximizing metric for measuring
    classification performance of customer churn prediction models". With ``g`` the uncertain share
    of contacted churners who stay, contacting ``e`` churners and ``o`` others brings
    ``e * (g * (value - offer) - contact) - o * (offer + contact)``. The corners of the ROC hull, at
    which the best share changes, are the blocks of an isotonic regression of the outcome on the
    risk (Fawcett & Niculescu-Mizil 2007), each of which pays for all ``g`` above some ``least``.
    """
    campaign, by_risk = sample.scored.campaign, sample.scored.by_risk
    events, rows = by_risk.sums(sample.events), by_risk.sums(sample.weight)
    events, rows = events[rows > 0], rows[rows > 0]
    if not len(rows):
        return np.nan
    starts = isotonic_regression(events / rows, weights=rows).blocks[:-1]
    churners = np.add.reduceat(events, starts)
    others = np.add.reduceat(rows, starts) - churners
    others, churners = others[churners > 0], churners[churners > 0]
    gain = campaign.value - campaign.offer_cost
    cost = churners * campaign.contact_cost + others * (campaign.offer_cost + campaign.contact_cost)
    least = np.clip(cost / (churners * gain), 0, 1)
    alpha, beta = campaign.alpha, campaign.beta
    mean = alpha / (alpha + beta) * (1 - betainc(alpha + 1, beta, least))
    profit = gain * churners * mean - cost * (1 - betainc(alpha, beta, least))
    return _ratio(np.sum(profit), sample.weight.sum())


METRICS: Mapping[str, Metric] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
    "calibration_error": calibration_error,
    "precision_at_capacity": precision_at_capacity,
    "recall_at_capacity": recall_at_capacity,
    "lift_at_capacity": lift_at_capacity,
    "mrr_caught_at_capacity": mrr_caught_at_capacity,
    "expected_profit": expected_profit,
}


def all_metrics(scored: ScoredRows) -> dict[str, float]:
    """Compute every metric on the rows, unweighted; NaN where it is not defined."""
    if not len(scored.y):
        return dict.fromkeys(METRICS, np.nan)
    sample = Sample.whole(scored)
    return {name: metric(sample) for name, metric in METRICS.items()}


def reliability_bins(scored: ScoredRows) -> list[dict[str, float]]:
    """Rows, churners, mean risk and rate of each equal-mass bin, by ascending risk."""
    if not len(scored.y):
        return []
    rows = np.bincount(scored.bin)
    events = np.bincount(scored.bin, weights=scored.y)
    risk = np.bincount(scored.bin, weights=scored.risk)
    return [
        {
            "rows": int(rows[number]),
            "events": int(events[number]),
            "mean_risk": float(risk[number] / rows[number]),
            "rate": float(events[number] / rows[number]),
        }
        for number in np.flatnonzero(rows)
    ]
