"""What can be set about the simulated world; imports nothing heavy, as every stage reads it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from data.errors import BadInputError

STOCK_SHARE = 0.3  # share of the customers who sign up in the first weeks
STOCK_WEEKS = 4
MAX_CUSTOMERS = 9_999_999  # largest number that fits a customer_id


@dataclass(frozen=True)
class Switches:
    """The patterns of the world; turned off, a pattern disappears from the logs."""

    trials: bool = True  # some customers start with a trial, and some of these never pay
    onboarding: bool = True  # the first weeks succeed, or fail: low use and early churn
    seasonality: bool = True  # weekends, summers and Christmas are quiet
    decline: bool = True  # use follows satisfaction
    sudden_decline: bool = True  # a key user leaves: satisfaction and use fall within a week
    breadth: bool = True  # unhappy customers give up the deeper features first
    trouble: bool = True  # spells of product trouble that cause tickets and lower satisfaction
    tone: bool = True  # texts and ratings follow satisfaction
    price_rises: bool = True  # yearly campaigns that raise the price for some customers
    discounts: bool = True  # discounts for new customers that end
    plan_changes: bool = True  # upgrades, downgrades, more and fewer seats
    second_subscriptions: bool = True  # an add-on of its own, taken and dropped without leaving
    interval_changes: bool = True  # unhappy customers change from yearly or quarterly to monthly
    pauses: bool = True  # subscriptions pause for some weeks
    renewals: bool = True  # customers on long terms leave before the term ends
    fixed_contracts: bool = True  # a few contracts that end on their day
    competitor_shock: bool = True  # a competitor courts one segment for some weeks
    card_expiry: bool = True  # cards expire on their day unless renewed
    failed_payments: bool = True  # payments on valid cards fail now and then
    revocations: bool = True  # some cancellations are taken back within days
    reactivations: bool = True  # some lost customers return, in the grace period or later
    surveys: bool = True  # customers are asked how likely they are to recommend
    interventions: bool = True  # a randomised programme of contacts
    late_rows: bool = True  # a small share of rows becomes known days late
    dirt: bool = True  # duplicates, and rows before sign-up


@dataclass(frozen=True)
class WorldSettings:
    """Size, length and rates of the simulated world.

    Parameters
    ----------
    seed
        Seed; the same seed gives the same bytes, another seed another world.
    customers
        Number of customers who sign up in the first ``arrival_weeks`` weeks. Sign-ups continue at
        the same pace afterwards, so that a longer history begins with a shorter one.
    weeks
        Length of the history.
    start
        First day of the world, a cutoff.
    voluntary_per_month, involuntary_per_month
        Share of the live customers who decide to leave, or are lost to failed payments, in a
        month (30.4 days), averaged over the history with all switches on.
    arrival_weeks
        Number of weeks in which ``customers`` sign up; more than 4.
    switches
        Patterns of the world.

    Raises
    ------
    BadInputError
        If a number is out of range.
    """

    seed: int
    customers: int
    weeks: int
    start: dt.date
    voluntary_per_month: float = 0.03
    involuntary_per_month: float = 0.01
    arrival_weeks: int = 156
    switches: Switches = field(default_factory=Switches)

    def __post_init__(self) -> None:
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("customers", self.customers, 2, MAX_CUSTOMERS)
        _within("weeks", self.weeks, 1, 5200)
        _within("voluntary_per_month", self.voluntary_per_month, 0.0, 0.2)
        _within("involuntary_per_month", self.involuntary_per_month, 0.0, 0.05)
        _within("arrival_weeks", self.arrival_weeks, STOCK_WEEKS + 1, 5200)
        _within("customers signing up by the end", self.signed_up, 1, MAX_CUSTOMERS)

    @property
    def stock(self) -> int:
        """Number of customers who sign up in the first weeks."""
        return max(1, round(STOCK_SHARE * self.customers))

    @property
    def signed_up(self) -> int:
        """Number of customers who sign up before the history ends."""
        if self.weeks <= STOCK_WEEKS:
            return -(-self.weeks * self.stock // STOCK_WEEKS)
        arriving, span = self.customers - self.stock, self.arrival_weeks - STOCK_WEEKS
        return self.stock - (-(self.weeks - STOCK_WEEKS) * arriving // span)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInputError(
            f"ingest.simulated: {name} is {value}, but must be between {low} and {high}."
        )
