"""Pictures for reviewers of a model: lists of any length, risks, SHAP values, drift, cohorts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from data.contracts import CAUSES
from models.backtest_plots import COLOURS, DPI, save_figure
from models.drift import LARGE, MODERATE
from models.explain import grouped
from models.metrics import Sample, ScoredRows, lift_at_capacity, mrr_caught_at_capacity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# MLflow shows a picture about 800 pixels wide and shrinks larger ones until they are unreadable.
WIDTH = 8.0
LISTED_SHARES = np.geomspace(0.002, 0.5, 25)
GREY = "#8a8a8a"
RIVALS = ("#c9c9c9", "#d9a441", "#6b5b95", "#3f3f3f", "#9fb8ad", "#b0b0b0")


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def _percent(axis: Any) -> None:
    axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    axis.set_minor_formatter(mpl.ticker.NullFormatter())


def capacity_curves(
    table: pd.DataFrame, cause: str, label: str, shares: NDArray[np.float64] = LISTED_SHARES
) -> dict[str, NDArray[np.float64]]:
    """Lift and share of lost MRR caught, by the share of customers contacted each week.

    Parameters
    ----------
    table
        Rows of one model, as in ``models.backtest.Backtest.table``.
    cause, label
        Cause and horizon of the risk.
    shares
        (k,) shares of a week's customers.

    Returns
    -------
    dict
        ``lift`` (ranked by risk) and ``mrr`` (ranked by risk times MRR), float64 (k,) each.
    """
    known = table[table[f"outcome_{label}"].notna()]
    scored = ScoredRows(
        y=(known[f"outcome_{label}"] == cause).to_numpy(dtype=bool),
        risk=known[f"risk_{cause}_{label}"].to_numpy(dtype=np.float64),
        mrr=known["mrr"].to_numpy(dtype=np.float64),
        week=known["cutoff"].to_numpy(),
    )
    samples = [replace(Sample.whole(scored), capacity=float(share)) for share in shares]
    return {
        "lift": np.array([lift_at_capacity(sample) for sample in samples]),
        "mrr": np.array([mrr_caught_at_capacity(sample) for sample in samples]),
    }


def capacity_picture(
    table: pd.DataFrame, label: str, capacity: Mapping[str, float], path: Path
) -> None:
    """Draw lift and MRR caught against the share of customers contacted, one column per cause.

    Parameters
    ----------
    table
        ``models.backtest.Backtest.table``; its first model is drawn on top.
    label
        Name of the horizon.
    capacity
        For a cause, the share that the team can contact: a vertical line.
    path
        PNG file to write.
    """
    figure = _figure(7.0)
    panels = figure.subplots(2, len(CAUSES), sharex=True, squeeze=False)
    first, *_ = names = list(dict.fromkeys(table["model"]))
    for column, cause in enumerate(CAUSES):
        for name, shade in zip(reversed(names), RIVALS, strict=False):
            curves = capacity_curves(table[table["model"] == name], cause, label)
            style: dict[str, Any] = {"color": shade, "linewidth": 1.2}
            if name == first:
                style = {"color": COLOURS[cause], "linewidth": 2.4}
            for row, what in enumerate(("lift", "mrr")):
                panels[row, column].plot(
                    LISTED_SHARES, curves[what], label=name.replace("_", " "), **style
                )
        for row in range(2):
            panels[row, column].axvline(capacity[cause], color=GREY, linestyle="--", linewidth=1)
            panels[row, column].set_xscale("log")
            _percent(panels[row, column].xaxis)
        panels[0, column].axhline(1, color=GREY, linewidth=1)
        panels[0, column].set_title(f"{cause} churn within {label}")
        _percent(panels[1, column].yaxis)
    figure.supxlabel("customers contacted each week (dashed: what the team can do)", fontsize=10)
    panels[0, 0].set_ylabel("lift, ranked by risk")
    panels[1, 0].set_ylabel("lost MRR caught, ranked by risk x MRR")
    panels[0, 0].legend(frameon=False, fontsize=9)
    save_figure(figure, path)


def risk_picture(
    risks: NDArray[np.float64], labels: Sequence[str], capacity: Mapping[str, float], path: Path
) -> None:
    """Draw how the risks of today's customers are distributed, one panel per cause.

    Parameters
    ----------
    risks
        (n, causes, horizons).
    labels
        Names of the horizons.
    capacity
        For a cause, the share that the team can contact: a vertical line.
    path
        PNG file to write.
    """
    figure = _figure(3.8)
    panels = figure.subplots(1, len(CAUSES), sharey=True)
    edges = np.geomspace(max(risks.min(), 1e-5), 1.0, 60)
    for position, (panel, cause) in enumerate(zip(panels, CAUSES, strict=True)):
        for horizon, label in enumerate(labels):
            fill = {"alpha": 0.35, "histtype": "stepfilled"} if horizon == 0 else {"alpha": 1}
            shade = 1 - 0.6 * horizon / max(len(labels) - 1, 1)
            panel.hist(
                risks[:, position, horizon], edges, label=f"within {label}",
                color=(*mpl.colors.to_rgb(COLOURS[cause]), shade), **{"histtype": "step"} | fill,
            )  # fmt: skip
        listed = float(np.quantile(risks[:, position, 0], 1 - capacity[cause]))
        panel.axvline(listed, color=GREY, linestyle="--", linewidth=1)
        panel.set_title(f"{cause} churn")
        panel.annotate(
            f"{listed:.1%}: the team's\nreach within {labels[0]}", (listed, 0.98), xytext=(4, 0),
            xycoords=("data", "axes fraction"), textcoords="offset points", va="top", fontsize=8,
        )  # fmt: skip
        panel.set_xscale("log")
        _percent(panel.xaxis)
        panel.legend(frameon=False, fontsize=9, loc="center right")
    panels[0].set_ylabel("customers")
    figure.supxlabel("risk if nobody acts", fontsize=10)
    save_figure(figure, path)


def beeswarm_picture(
    contributions: NDArray[np.float64],
    X: NDArray[np.float32],
    feature_names: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Draw SHAP values of the features that affect the risk most, one point per customer.

    Parameters
    ----------
    contributions
        (n, f) log-odds, from ``models.explain.explain``.
    X
        (n, f) the features.
    feature_names
        The f names.
    title
        Title of the picture.
    path
        PNG file to write.
    """
    import shap  # noqa: PLC0415 - slow to import
    from matplotlib import pyplot as plt  # noqa: PLC0415 - shap draws with it

    explanation = shap.Explanation(
        contributions, data=X.astype(np.float64), feature_names=list(feature_names)
    )
    with plt.rc_context({"backend": "agg"}):
        figure = plt.figure()
        shap.plots.beeswarm(explanation, max_display=13, show=False, plot_size=(WIDTH, 5.6))
        axes = figure.axes[0]
        axes.set_title(title)
        axes.set_xlabel("contribution to the log-odds of the risk within the first horizon")
        for item in (axes.xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
            item.set_fontsize(10)
        save_figure(figure, path, bbox_inches="tight")
        plt.close(figure)


def dependence_picture(
    contributions: NDArray[np.float64],
    X: NDArray[np.float32],
    feature_names: tuple[str, ...],
    groups: Mapping[str, str],
    cause: str,
    path: Path,
    limit: int = 6,
) -> None:
    """Draw how the leading feature of each top reason group affects the risk.

    Parameters
    ----------
    contributions, X, feature_names
        As in ``beeswarm_picture``.
    groups
        Reason group of each feature.
    cause
        Cause of churn; sets the colour.
    path
        PNG file to write.
    most
        Maximum number of groups, ranked by the mean size of their sum.
    """
    names, sums = grouped(contributions, feature_names, groups)
    ranked = np.argsort(-np.abs(sums).mean(axis=0))[:limit]
    size = np.abs(contributions).mean(axis=0)
    figure = _figure(5.4)
    panels = figure.subplots(2, (limit + 1) // 2, squeeze=False).ravel()
    for panel, position in zip(panels, ranked, strict=False):
        members = [j for j, name in enumerate(feature_names) if groups[name] == names[position]]
        column = members[int(np.argmax(size[members]))]
        _dependence(panel, X[:, column], contributions[:, column], COLOURS[cause])
        panel.set_title(names[position].replace("_", " "), fontsize=10)
        panel.set_xlabel(feature_names[column], fontsize=9)
    for panel in panels[len(ranked) :]:
        panel.remove()
    figure.supylabel("contribution, log-odds", fontsize=10)
    figure.suptitle(f"{cause} churn: the leading feature of each top reason group", fontsize=11)
    save_figure(figure, path)


def _dependence(
    panel: Axes, values: NDArray[np.float32], shap_values: NDArray[np.float64], colour: str
) -> None:
    """Scatter a feature against its contribution, with missing values on the left in grey."""
    seen = ~np.isnan(values)
    panel.axhline(0, color=GREY, linewidth=1)
    panel.plot(values[seen], shap_values[seen], ".", color=colour, alpha=0.35, markersize=4)
    if not seen.all():
        span = np.ptp(values[seen]) if seen.any() else 1.0
        left = (values[seen].min() if seen.any() else 0.0) - 0.08 * (span or 1.0)
        missing = np.full((~seen).sum(), left)
        panel.plot(missing, shap_values[~seen], ".", color=GREY, alpha=0.35, markersize=4)
    panel.tick_params(labelsize=8)


def drift_picture(indices: Mapping[str, float], path: Path, most: int = 20) -> None:
    """Draw the features that drifted most between training and today.

    Parameters
    ----------
    indices
        Population stability index of each feature.
    path
        PNG file to write.
    most
        Maximum number of bars.
    """
    ranked = sorted(indices.items(), key=lambda item: -item[1])[:most][::-1]
    figure = _figure(5.6)
    panel = figure.subplots()
    moved, still = COLOURS["involuntary"], COLOURS["voluntary"]
    colours = [moved if value >= LARGE else still for _, value in ranked]
    panel.barh([name for name, _ in ranked], [value for _, value in ranked], color=colours)
    for limit, advice in ((MODERATE, "look at it"), (LARGE, "act on it")):
        panel.axvline(limit, color=GREY, linestyle="--", linewidth=1)
        panel.annotate(advice, (limit, 0), xytext=(3, 2), textcoords="offset points", fontsize=9)
    panel.tick_params(labelsize=9)
    panel.set_xlabel("population stability index, training against the newest cutoff")
    save_figure(figure, path)


def cohort_picture(retention: pd.DataFrame, path: Path) -> None:
    """Draw the share kept by age, a line per cohort: the newer, the darker.

    Parameters
    ----------
    retention
        Share still there (NaN where too few were observed that long): index age in months, one
        column per cohort. A cohort of which no share is known is not drawn.
    path
        PNG file to write.
    """
    figure = _figure(4.2)
    panel = figure.subplots()
    known = retention.dropna(axis="columns", how="all")
    shades = mpl.colormaps["viridis_r"](np.linspace(0.1, 1, known.shape[1]))
    for shade, name in zip(shades, known.columns, strict=True):
        panel.plot([0, *known.index], [1.0, *known[name]], color=shade, marker=".", label=name)
    panel.set_xlabel("months since the customer started")
    panel.set_ylabel("share still there")
    panel.set_ylim(0, 1.02)
    _percent(panel.yaxis)
    if known.shape[1]:
        panel.legend(title="started in", frameon=False, fontsize=8, ncols=2)
    save_figure(figure, path)
