"""What can be set about the simulated world."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from data.errors import BadInputError

STOCK_SHARE = 0.3  # of the customers are there from the first weeks
STOCK_WEEKS = 4
MOST_CUSTOMERS = 9_999_999  # what the digits of a customer_id hold


@dataclass(frozen=True)
class Switches:
    """The patterns of the world; turned off, a pattern disappears from the logs.

    Parameters
    ----------
    trials
        Some customers start with a trial, and some of these never pay.
    onboarding
        The first weeks succeed or fail; where they fail, use stays low and churn comes early.
    seasonality
        Weekends, summers and Christmas are quiet.
    decline
        Use follows satisfaction.
    sudden_decline
        A key user leaves: satisfaction, and with it use, falls within a week.
    breadth
        Unhappy customers give up the deeper features first.
    trouble
        Spells of product trouble that cause tickets and wear satisfaction down.
    tone
        Texts and ratings follow satisfaction.
    price_rises
        Yearly campaigns that raise the price for a part of the customers.
    discounts
        Discounts for new customers that end.
    plan_changes
        Upgrades, downgrades, more and fewer seats.
    second_subscriptions
        An add-on of its own, taken and dropped without leaving.
    interval_changes
        Unhappy customers go from paying by year or quarter to paying by month.
    pauses
        Subscriptions rest for some weeks.
    renewals
        Customers on long terms leave before the term ends rather than at any time.
    fixed_contracts
        A few contracts that end on their day.
    competitor_shock
        A competitor courts one segment for some weeks.
    card_expiry
        Cards die on their day unless renewed.
    failed_payments
        Payments on living cards fail now and then.
    revocations
        Some who cancel think better of it within days.
    reactivations
        Some who were lost come back, within the grace period or much later.
    surveys
        Customers are asked how likely they are to recommend.
    interventions
        A randomised programme of contacts.
    late_rows
        A small share of rows becomes known days late.
    dirt
        Duplicates, and rows before sign-up.
    """

    trials: bool = True
    onboarding: bool = True
    seasonality: bool = True
    decline: bool = True
    sudden_decline: bool = True
    breadth: bool = True
    trouble: bool = True
    tone: bool = True
    price_rises: bool = True
    discounts: bool = True
    plan_changes: bool = True
    second_subscriptions: bool = True
    interval_changes: bool = True
    pauses: bool = True
    renewals: bool = True
    fixed_contracts: bool = True
    competitor_shock: bool = True
    card_expiry: bool = True
    failed_payments: bool = True
    revocations: bool = True
    reactivations: bool = True
    surveys: bool = True
    interventions: bool = True
    late_rows: bool = True
    dirt: bool = True


@dataclass(frozen=True)
class WorldSettings:
    """Size, length and rates of the simulated world.

    Parameters
    ----------
    seed
        Same seed, same bytes; another seed, another world.
    customers
        Customers that sign up in the first ``arrival_weeks`` weeks. They keep arriving at the same
        pace afterwards, so that a longer history repeats a shorter one.
    weeks
        Length of the history.
    start
        First day of the world, a cutoff.
    voluntary_per_month, involuntary_per_month
        Share of the live customers who decide to leave, or are lost to failed payments, in a
        month (30.4 days), averaged over the history with all switches on.
    currency
        ISO 4217 code of all money.
    arrival_weeks
        Weeks in which ``customers`` sign up; more than 4.
    switches
        Which patterns the world has.

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
    currency: str = "EUR"
    arrival_weeks: int = 156
    switches: Switches = field(default_factory=Switches)

    def __post_init__(self) -> None:
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("customers", self.customers, 2, MOST_CUSTOMERS)
        _within("weeks", self.weeks, 1, 5200)
        _within("voluntary_per_month", self.voluntary_per_month, 0.0, 0.2)
        _within("involuntary_per_month", self.involuntary_per_month, 0.0, 0.05)
        _within("arrival_weeks", self.arrival_weeks, STOCK_WEEKS + 1, 5200)
        _within("customers signing up by the end", self.signed_up, 1, MOST_CUSTOMERS)

    @property
    def stock(self) -> int:
        """Number of customers that sign up in the first weeks."""
        return max(1, round(STOCK_SHARE * self.customers))

    @property
    def signed_up(self) -> int:
        """Number of customers that sign up before the history ends."""
        if self.weeks <= STOCK_WEEKS:
            return -(-self.weeks * self.stock // STOCK_WEEKS)
        arriving, span = self.customers - self.stock, self.arrival_weeks - STOCK_WEEKS
        return self.stock - (-(self.weeks - STOCK_WEEKS) * arriving // span)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInputError(
            f"params.yaml: ingest.simulated: {name} is {value}, but must lie between {low} and "
            f"{high}."
        )
