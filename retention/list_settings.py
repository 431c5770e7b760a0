"""What a business can set of its weekly list; imports nothing heavy, as every stage reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from data.ranges import NotNegative, Share


@dataclass(frozen=True)
class ListTerms:
    """What a contact is worth, and how many contacts the teams can make.

    Parameters
    ----------
    success_capacity, billing_capacity
        Customers that each team can contact in a period.
    voluntary_save_rate, involuntary_save_rate
        Share of contacted churners of that cause who stay.
    margin
        Share of revenue that remains after its direct costs.
    contact_cost
        Cost of one contact, minor units.
    months_kept
        Maximum months of revenue counted when a customer is saved.
    reasons
        Reasons that raise the risk, per row.
    holdout_share
        Share of would-be listed customers withheld, in [0, 0.5].
    """

    success_capacity: NotNegative
    billing_capacity: NotNegative
    voluntary_save_rate: Share
    involuntary_save_rate: Share
    margin: Share
    contact_cost: NotNegative
    months_kept: Annotated[int, Interval(gt=0, le=12)]
    reasons: Annotated[int, Interval(ge=1, le=5)]
    holdout_share: Annotated[float, Interval(ge=0, le=0.5)]
