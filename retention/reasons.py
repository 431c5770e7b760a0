"""Why a customer is on the list: SHAP values grouped by reason and put into plain words.

Contributions are SHAP values of the calibrated log-odds of the risk that the row shows for its
queue's cause at the first horizon, so that base + contributions = log-odds of the served risk.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from retention.wording import quantity, singular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from features.catalog import Feature

# Floats of a LightGBM explanation agree with its prediction far closer than that.
RECONCILED_TO: Final = 1e-6

# The part of a sentence that speaks of the norm alone: ", usually {norm}" or "(usually {norm})".
_NORM_CLAUSE: Final = re.compile(r"\s*[,;(][^,;(){}]*\{norm\}[^,;(){}]*\)?")
_ABSENT: Final = {
    "engagement": "no use seen that gives a figure",
    "support": "no contact with support seen that gives a figure",
    "payments": "no payment seen that gives a figure",
}
_ABSENT_ELSEWHERE: Final = "nothing on record that gives a figure"
_AGAINST_NORM: Final = {-1: ", below usual", 0: ", as usual", 1: ", above usual", None: ""}

# The list shows groups whichever way they push the risk and whatever their values are. So their
# names claim nothing: "Uses the product less" would be false on half of the rows.
TOPICS: Final = {
    "usage_decline": "Amount of use",
    "usage_absence": "Time since last use",
    "usage_breadth": "Breadth of use",
    "usage_habit": "Habit of use",
    "onboarding": "Start with the product",
    "support_load": "Need for support",
    "support_waiting": "Waiting for support",
    "support_quality": "Quality of support",
    "support_tone": "Tone towards support",
    "payment_failures": "Success of payments",
    "payment_arrears": "Payment on time",
    "payment_method": "Card or payment method",
    "refunds": "Refunds",
    "price": "Price and discounts",
    "plan": "Size and shape of the plan",
    "renewal": "Renewal of the contract",
    "relationship": "Stage of the relationship",
}


def topic(group: str) -> str:
    """Name a reason group without claiming a direction."""
    return TOPICS.get(group, group.replace("_", " ").capitalize())


@dataclass(frozen=True)
class Reason:
    """One group of features and what it does to the risk.

    Parameters
    ----------
    group
        Key of the reason group.
    heading
        The group in plain words, and how the value compares with the customer's own norm.
    sentence
        The quoted feature's value in plain words, with the customer's own norm where it has one.
    contribution
        Of the whole group, in log-odds: above 0 it raises the risk, below 0 it lowers it.
    feature
        The quoted feature, whose contribution of that sign is its group's largest. Never shown.
    """

    group: str
    heading: str
    sentence: str
    contribution: float
    feature: str

    @property
    def text(self) -> str:
        """Heading and sentence in one line, for a cell."""
        return f"{self.heading}: {self.sentence}"


@dataclass(frozen=True)
class Explanation:
    """One row's risk, taken apart: ``base + sum(groups.values())`` is its log-odds.

    Parameters
    ----------
    base
        Log-odds of the average customer that the model was explained against.
    groups
        Contribution of every group, log-odds, in the order of the catalog.
    raising
        The groups that raise the risk most, the strongest first.
    lowering
        The group that lowers it most; None if none does.
    """

    base: float
    groups: Mapping[str, float]
    raising: tuple[Reason, ...]
    lowering: Reason | None

    @property
    def log_odds(self) -> float:
        """Log-odds of the served risk."""
        return self.base + math.fsum(self.groups.values())

    @property
    def others(self) -> float:
        """Contribution of the groups that are not shown, log-odds."""
        shown = {reason.group for reason in self.raising}
        if self.lowering:
            shown.add(self.lowering.group)
        return math.fsum(value for name, value in self.groups.items() if name not in shown)


def sentence(feature: Feature, value: float, norm: float, currency: str) -> str:
    """Put a feature's value into its sentence.

    Parameters
    ----------
    feature
        Whose sentence; ``{value}`` and ``{norm}`` are filled.
    value
        Of the customer. Absent (not finite, or a negative number that stands for an empty window)
        it is not quoted: the words then say that there is too little to go by.
    norm
        The customer's own norm in the same unit. Absent, the clause about it is left out.
    currency
        ISO 4217 code of amounts.
    """
    if _is_absent(feature, value):
        return _ABSENT.get(feature.family, _ABSENT_ELSEWHERE)
    template = feature.sentence
    filled = {"value": quantity(value, feature.unit, currency)}
    if math.isfinite(norm):
        filled["norm"] = quantity(norm, feature.unit, currency)
    else:
        template = _NORM_CLAUSE.sub("", template)
        filled["norm"] = "not known yet"
    return singular(template.format(**filled))


def _is_absent(feature: Feature, value: float) -> bool:
    return not math.isfinite(value) or (value == feature.empty and value < 0.0)


def against_norm(feature: Feature, value: float, norm: float, currency: str) -> int | None:
    """-1, 0 or 1: the value lies below, at or above the norm as both are written; else None."""
    if _is_absent(feature, value) or not math.isfinite(norm):
        return None
    if quantity(value, feature.unit, currency) == quantity(norm, feature.unit, currency):
        return 0
    return 1 if value > norm else -1


def groups_of(catalog: Sequence[Feature]) -> list[str]:
    """Reason groups of the features, each once, in the order of its first feature."""
    return list(dict.fromkeys(feature.group for feature in catalog))


def explanations(
    base: NDArray[np.float64],
    contributions: NDArray[np.float64],
    X: NDArray[np.float32],
    catalog: Sequence[Feature],
    count: int,
    currency: str,
) -> list[Explanation]:
    """Explain rows: the groups that raise each risk most, and the one that lowers it most.

    Parameters
    ----------
    base
        Log-odds that each row starts from, shape ``(k,)``.
    contributions
        Of each feature, log-odds, shape ``(k, f)``.
    X
        Values of the features, shape ``(k, f)``, NaN where absent.
    catalog
        The features, in the order of the columns.
    count
        Groups that raise the risk, at most.
    currency
        ISO 4217 code of amounts.
    """
    columns = {
        group: np.flatnonzero([feature.group == group for feature in catalog])
        for group in groups_of(catalog)
    }
    norms = _norms(X, catalog)
    sums = {group: contributions[:, members].sum(axis=1) for group, members in columns.items()}

    def reason(row: int, group: str) -> Reason:
        """Quote the group's largest contribution of the group's own sign."""
        total = float(sums[group][row])
        members = columns[group]
        j = int(members[np.argmax(contributions[row, members] * math.copysign(1.0, total))])
        value, norm = float(X[row, j]), float(norms[row, j])
        place = against_norm(catalog[j], value, norm, currency)
        return Reason(
            group,
            topic(group) + _AGAINST_NORM[place],
            sentence(catalog[j], value, norm, currency),
            total,
            catalog[j].name,
        )

    def explanation(row: int) -> Explanation:
        groups = {group: float(totals[row]) for group, totals in sums.items()}
        upward = sorted(groups, key=lambda group: -groups[group])
        raising = [group for group in upward if groups[group] > 0.0][:count]
        lowest = min(groups, key=lambda group: groups[group], default=None)
        lowers = lowest is not None and groups[lowest] < 0.0
        return Explanation(
            float(base[row]),
            groups,
            tuple(reason(row, group) for group in raising),
            reason(row, lowest) if lowest is not None and lowers else None,
        )

    return [explanation(row) for row in range(len(base))]


def _norms(X: NDArray[np.float32], catalog: Sequence[Feature]) -> NDArray[np.float64]:
    """Values of each feature's norm, NaN where it has none; shape of ``X``."""
    position = {feature.name: j for j, feature in enumerate(catalog)}
    norms = np.full(X.shape, np.nan)
    for j, feature in enumerate(catalog):
        if feature.norm in position:
            norms[:, j] = X[:, position[feature.norm]]
    return norms


def check_reconciled(explained: Sequence[Explanation], risk: NDArray[np.float64]) -> None:
    """Hold the explanations to the served risks.

    Raises
    ------
    ValueError
        If base plus contributions differ from the log-odds of a risk by more than
        ``RECONCILED_TO``.
    """
    with np.errstate(divide="ignore"):
        served = np.log(risk) - np.log1p(-risk)
    gap = np.abs(np.array([item.log_odds for item in explained]) - served)
    # Not "gap > ...": a risk of 0 or 1 has no finite log-odds, and NaN must not pass either.
    apart = ~(gap <= RECONCILED_TO)
    if apart.any():
        raise ValueError(
            f"Reasons do not add up to the served risk on {apart.sum()} of {gap.size} rows; the "
            f"largest gap is {gap.max()} in log-odds."
        )


def frequencies(explained: Iterable[Explanation]) -> Counter[str]:
    """Count the rows on which each reason group stands among those that raise the risk."""
    return Counter(reason.group for item in explained for reason in item.raising)
