"""The gate: whether a challenger replaces the champion, by both predictions for a sealed block.

Both are judged on the same customers at the same cutoffs by the log loss of the outcome within the
first horizon (stayed, or left by one of the causes), a proper score of all risks at once.
Differences are paired, and their interval comes from resampling customers, not rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from data.contracts import CAUSES
from models.model_settings import GateTerms
from models.resampling import estimate, resampled_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

KEYS = ["customer_id", "cutoff"]
_SMALLEST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True)
class GateSettings(GateTerms):
    """Terms of the gate, and the seed of its resampling."""

    seed: int = 11


@dataclass(frozen=True)
class Decision:
    """Verdict of the gate.

    Parameters
    ----------
    promote
        Whether the challenger replaces the champion.
    reason
        Why, in one sentence.
    figures
        Figures that it is based on, by name.
    """

    promote: bool
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)


def outcome_log_loss(scored: pd.DataFrame, label: str) -> NDArray[np.float64]:
    """Minus the logarithm of the probability given to the outcome at a horizon, in nats.

    Parameters
    ----------
    scored
        n rows with ``risk_<cause>_<label>`` and a known ``outcome_<label>``.
    label
        Name of the horizon.

    Returns
    -------
    ndarray
        float64 (n,).
    """
    risks = [scored[f"risk_{cause}_{label}"].to_numpy(np.float64) for cause in CAUSES]
    given = 1 - np.sum(risks, axis=0)
    for cause, risk in zip(CAUSES, risks, strict=True):
        given = np.where((scored[f"outcome_{label}"] == cause).to_numpy(dtype=bool), risk, given)
    return np.asarray(-np.log(np.clip(given, _SMALLEST, 1.0)))


def judge(
    champion: pd.DataFrame,
    challenger: pd.DataFrame,
    label: str,
    settings: GateSettings,
    *,
    refresh: bool,
) -> Decision:
    """Decide from paired predictions whether the challenger replaces the champion.

    Parameters
    ----------
    champion, challenger
        Scored snapshots of sealed blocks: ``customer_id, cutoff``, ``risk_<cause>_<label>`` and
        ``outcome_<label>``. Outcomes are read from the challenger's.
    label
        Name of the first horizon.
    settings
        Terms of the gate.
    refresh
        Whether both have the same configuration, so that the challenger may be worse by the margin.

    Returns
    -------
    Decision
        A challenger of another configuration must be better by the whole interval; a tie keeps
        the champion.
    """
    risks = [f"risk_{cause}_{label}" for cause in CAUSES]
    before, now = (side[side[f"outcome_{label}"].notna()] for side in (champion, challenger))
    both = now.merge(
        before[KEYS + risks], on=KEYS, suffixes=("", "_champion"), validate="one_to_one"
    )
    share = len(both) / max(len(before), len(now), 1)
    if not len(both) or share < settings.common_share:
        return Decision(
            promote=False,
            reason=f"Not comparable: the sealed blocks have {share:.0%} of their snapshots in "
            f"common, and at least {settings.common_share:.0%} are needed.",
            figures={"common_share": share},
        )
    champions = both.assign(**{name: both[f"{name}_champion"] for name in risks})
    losses = {
        "champion": outcome_log_loss(champions, label),
        "challenger": outcome_log_loss(both, label),
    }
    figures = _paired(both["customer_id"], losses, settings) | {"common_share": share}
    if figures["customers"] < 2:
        return Decision(
            promote=False, reason="Not comparable: one customer alone.", figures=figures
        )
    return _decide(figures, settings, refresh=refresh)


def _paired(
    customer_id: Any, losses: Mapping[str, NDArray[np.float64]], settings: GateSettings
) -> dict[str, float]:
    """Return mean losses, and their difference with its interval, drawing whole customers."""
    customer = np.unique(customer_id.astype(str), return_inverse=True)[1]
    rows = np.bincount(customer).astype(np.float64)
    gaps = np.bincount(customer, weights=losses["challenger"] - losses["champion"])
    counts = resampled_counts(len(rows), settings.resamples, settings.seed).astype(np.float64)
    interval = estimate(float(gaps.sum() / rows.sum()), counts @ gaps / (counts @ rows))
    figures = {f"{name}_log_loss": float(loss.mean()) for name, loss in losses.items()}
    figures |= {"difference": interval["value"] or 0.0}
    figures |= {f"difference_{end}": interval[end] or 0.0 for end in ("low", "high")}
    return figures | {"snapshots": float(len(customer)), "customers": float(len(rows))}


def _decide(figures: Mapping[str, float], settings: GateSettings, *, refresh: bool) -> Decision:
    finding = (
        f"the challenger's log loss minus the champion's is {figures['difference']:+.5f} "
        f"({figures['difference_low']:+.5f} to {figures['difference_high']:+.5f}) on "
        f"{figures['snapshots']:,.0f} sealed snapshots"
    )
    if refresh:
        limit = settings.margin * figures["champion_log_loss"]
        within = figures["difference_high"] <= limit
        verdict = f"{'within' if within else 'not within'} the margin of {limit:+.5f}"
        return Decision(within, f"A refresh {verdict}: {finding}.", figures)
    better = figures["difference_high"] < 0
    verdict = "Better by the whole interval" if better else "Not better by the whole interval"
    return Decision(better, f"{verdict}: {finding}.", figures)
