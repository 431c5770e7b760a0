"""What a business can set of its models, their measures and their gate.

Terms are parameters; the settings that extend them add what follows from other parameters. Imports
nothing heavy, as every stage reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Interval

from data.errors import BadInputError
from data.ranges import NotNegative, Positive, Share


@dataclass(frozen=True, kw_only=True)
class SplitTerms:
    """Lengths of the slices, in periods.

    Parameters
    ----------
    stop_periods, calibrate_periods, test_periods
        Lengths of the slices; a test block is ``test_periods`` long.
    test_blocks
        Number of test blocks; they follow each other without a gap, and the newest is sealed.
    train_periods
        Shortest train slice that is still worth training on.
    """

    stop_periods: Positive = 8
    calibrate_periods: Positive = 8
    test_periods: Positive = 8
    test_blocks: Annotated[int, Ge(2)]
    train_periods: Positive = 4


@dataclass(frozen=True)
class SplitSettings(SplitTerms):
    """The slices, and the outcomes that set the gaps between them.

    Parameters
    ----------
    horizons
        Ends of the intervals, ascending.
    follow_up_periods
        Whole periods that cover ``undo_days`` + ``lateness_days``.
    """

    horizons: tuple[int, ...] = (4, 8, 13)
    follow_up_periods: int = 3

    def embargo(self, interval: int) -> int:
        """Periods from a cutoff until its outcome at the end of an interval is known."""
        return self.horizons[interval] + self.follow_up_periods

    @property
    def longest_embargo(self) -> int:
        """Periods from a cutoff until all of its outcomes are known."""
        return max(self.horizons) + self.follow_up_periods

    @property
    def tested_periods(self) -> int:
        """Periods of all test blocks together."""
        return self.test_blocks * self.test_periods

    def needed_cutoffs(self, after: int) -> int:
        """Cutoffs that the slices of the longest interval take, with their gaps.

        Parameters
        ----------
        after
            Number of periods from the (first) origin to the newest cutoff.
        """
        slices = self.train_periods + self.stop_periods + self.calibrate_periods
        # Before the origin: the slices and two gaps, of which the origin itself closes the second.
        return slices + 2 * self.longest_embargo - 1 + after

    @property
    def needed_for_tests(self) -> int:
        """Number of cutoffs that the slices, their gaps and all test blocks need."""
        return self.needed_cutoffs(self.longest_embargo + self.tested_periods - 1)


@dataclass(frozen=True, kw_only=True)
class BoostingTerms:
    """What the boosters grow on, and for how long.

    Parameters
    ----------
    num_boost_round, early_stopping_rounds
        Maximum number of trees; trees without progress on the stop slice before boosting ends.
    linear_strength
        ``C`` of the regressions that the boosters start from; 0: they start from the rate.
    """

    num_boost_round: Positive = 600
    early_stopping_rounds: Positive = 40
    linear_strength: Annotated[float, Ge(0)] = 0.0


@dataclass(frozen=True, kw_only=True)
class LightGBMTerms(BoostingTerms):
    """Parameters of LightGBM, by its own names and with its own meanings."""

    learning_rate: Annotated[float, Interval(gt=0, le=1)]
    num_leaves: Annotated[int, Interval(ge=2, le=131072)]
    min_data_in_leaf: Positive
    feature_fraction: Annotated[float, Interval(gt=0, le=1)]
    bagging_fraction: Annotated[float, Interval(gt=0, le=1)]
    bagging_freq: NotNegative
    lambda_l2: Annotated[float, Ge(0)]
    max_bin: Annotated[int, Interval(ge=2, le=65535)]


@dataclass(frozen=True, kw_only=True)
class FitTerms:
    """How hazards are fitted and calibrated, whatever learns them.

    Parameters
    ----------
    seed
        Seed of everything random in LightGBM.
    min_events
        A hazard with fewer churners of its cause in the train slice is learned from both causes.
    calibration_prior
        Shrinkage of the calibration towards the identity, in events.
    """

    seed: NotNegative = 7
    min_events: Positive = 50
    calibration_prior: Annotated[float, Gt(0)] = 50.0


@dataclass(frozen=True, kw_only=True)
class LimitTerms:
    """What is too good to be true, measured on weeks that were not learned from.

    Parameters
    ----------
    voluntary_auroc, involuntary_auroc
        AUROC of a cause above which a model is suspicious.
    feature_share
        Share of the skill that one feature may carry.
    """

    voluntary_auroc: Share
    involuntary_auroc: Share
    feature_share: Share

    def auroc(self, cause: str) -> float:
        """Limit for the AUROC of a cause."""
        return {"voluntary": self.voluntary_auroc, "involuntary": self.involuntary_auroc}[cause]


@dataclass(frozen=True)
class Campaign:
    """What contacting a customer yields and costs, money in minor units.

    Parameters
    ----------
    value
        Value of a customer who is kept.
    offer_cost
        Cost of the offer, paid when it is taken; less than ``value``.
    contact_cost
        Cost of a contact.
    alpha, beta
        Beta distribution of the share of contacted churners who take the offer and stay.

    Raises
    ------
    BadInputError
        If the offer costs as much as the customer is worth.
    """

    value: Positive = 20_000
    offer_cost: NotNegative = 1_000
    contact_cost: NotNegative = 100
    alpha: Annotated[float, Gt(0)] = 6
    beta: Annotated[float, Gt(0)] = 14

    def __post_init__(self) -> None:
        if self.offer_cost >= self.value:
            raise BadInputError(
                f"evaluate.campaign: offer_cost is {self.offer_cost}, but must be below value "
                f"{self.value}."
            )


@dataclass(frozen=True, kw_only=True)
class EvaluationTerms:
    """How scored snapshots are measured.

    Parameters
    ----------
    resamples
        Customer bootstraps for the intervals.
    bins
        Equal-mass bins of the calibration error.
    seed
        Seed of the resampling.
    campaign
        Terms of the expected profit.
    """

    resamples: Annotated[int, Ge(20)] = 200
    bins: Annotated[int, Ge(2)] = 10
    seed: NotNegative = 11
    campaign: Campaign = field(default_factory=Campaign)


@dataclass(frozen=True, kw_only=True)
class GateTerms:
    """When a challenger takes the champion's place.

    Parameters
    ----------
    margin
        How much worse a refresh may be, as a share of the champion's log loss.
    common_share
        Least share of the snapshots of the larger side that the other side scored too.
    resamples
        Customer bootstraps of the interval.
    """

    margin: Share = 0.02
    common_share: Annotated[float, Interval(gt=0, le=1)] = 0.8
    resamples: Annotated[int, Ge(100)] = 1000
