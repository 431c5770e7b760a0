"""Why a customer is on the list: SHAP values grouped by reason, in plain words.

Contributions are SHAP values of the calibrated log-odds of the risk that the row shows for its
queue's cause at the first horizon, so that base + contributions = log-odds of the served risk.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from features.declare import REASON_GROUPS
from retention.language import ENGLISH
from retention.sentences import render, sentence_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from features.declare import Feature
    from retention.sentences import Sentence

# Largest difference in log-odds. LightGBM's explanations agree with its predictions far better.
RECONCILED_TO: Final = 1e-6


@dataclass(frozen=True)
class Reason:
    """A group of features and its contribution to the risk.

    Parameters
    ----------
    group
        Key of the reason group.
    heading
        Title of the group.
    sentence
        The quoted feature's value, with the customer's own norm where it has one, in any language.
    english
        That sentence in English.
    contribution
        Contribution of the whole group, log-odds: above 0 it raises the risk, below 0 it lowers it.
    feature
        Name of the quoted feature: the largest contribution with the sign of the group's. Never
        shown.
    """

    group: str
    heading: str
    sentence: Sentence
    english: str
    contribution: float
    feature: str

    @property
    def text(self) -> str:
        """Heading and sentence in one line, for a cell."""
        return f"{self.heading}: {self.english}"


@dataclass(frozen=True)
class Explanation:
    """A row's risk split by group: ``base + sum(groups.values())`` is its log-odds.

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


def groups_of(catalog: Sequence[Feature]) -> list[str]:
    """Return the distinct reason groups, in the order of their first features."""
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
        Contribution of each feature, log-odds, shape ``(k, f)``.
    X
        Values of the features, shape ``(k, f)``, NaN where absent.
    catalog
        The features, in the order of the columns.
    count
        Maximum number of groups that raise the risk.
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
        """Quote the feature with the largest contribution of the group's own sign."""
        total = float(sums[group][row])
        members = columns[group]
        j = int(members[np.argmax(contributions[row, members] * math.copysign(1.0, total))])
        sentence = sentence_for(catalog[j], float(X[row, j]), float(norms[row, j]))
        english = render(sentence, ENGLISH, currency)
        return Reason(group, REASON_GROUPS[group], sentence, english, total, catalog[j].name)

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
    """Return each feature's norm for its own window, NaN if it has none; shape of ``X``."""
    position = {feature.name: j for j, feature in enumerate(catalog)}
    norms = np.full(X.shape, np.nan)
    for j, feature in enumerate(catalog):
        if feature.norm in position:
            norms[:, j] = X[:, position[feature.norm]] * feature.norm_scale
    return norms


def check_reconciled(explained: Sequence[Explanation], risk: NDArray[np.float64]) -> None:
    """Check that explanations add up to the served risks.

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
    differs = ~(gap <= RECONCILED_TO)
    if differs.any():
        raise ValueError(
            f"Reasons do not add up to the served risk on {differs.sum()} of {gap.size} rows; the "
            f"largest gap is {gap.max()} in log-odds."
        )


def frequencies(explained: Iterable[Explanation]) -> Counter[str]:
    """Count, for each reason group, the rows where it is shown as raising the risk."""
    return Counter(reason.group for item in explained for reason in item.raising)
