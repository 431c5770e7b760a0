"""Pictures of a backtest, for reviewers: calibration, and skill week by week."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from data.contracts import CAUSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

COLOURS = {"voluntary": "#0f6e84", "involuntary": "#b4532a"}
# Without date and version in the file, equal figures give equal bytes.
METADATA = {"Software": None, "Creation Time": None}
DPI = 100


def save_figure(figure: Figure, path: Path, **options: Any) -> None:
    """Write a figure as PNG, with equal bytes for equal figures; options of ``savefig``."""
    figure.savefig(path, dpi=DPI, metadata=METADATA, **options)


def calibration_picture(report: Mapping[str, Any], labels: Sequence[str], path: Path) -> None:
    """Draw predicted against observed churn in equal-mass bins, one panel per horizon.

    Parameters
    ----------
    report
        From ``models.evaluation.evaluation_report``.
    labels
        Names of the horizons.
    path
        PNG file to write.
    """
    model = next(iter(report["pooled"]))
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, len(labels), squeeze=False)[0]
    for panel, label in zip(panels, labels, strict=True):
        top = 0.0
        for cause in CAUSES:
            bins = report["reliability"][model][cause][label]
            predicted = [cell["mean_risk"] for cell in bins]
            observed = [cell["rate"] for cell in bins]
            panel.plot(predicted, observed, "o-", color=COLOURS[cause], label=cause, markersize=4)
            top = max(top, *predicted, *observed, 0.001)
        panel.plot([0, top], [0, top], color="#999999", linewidth=1, linestyle="--", zorder=0)
        panel.set_title(f"churn within {label}")
        panel.set_xlabel("predicted")
        panel.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
        panel.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    panels[0].set_ylabel("observed")
    panels[0].legend(frameon=False)
    figure.suptitle("Calibration on test weeks, equal-mass bins")
    save_figure(figure, path)


def weekly_picture(report: Mapping[str, Any], label: str, path: Path) -> None:
    """Draw AUROC and lift at capacity of each test week at one horizon.

    Parameters
    ----------
    report
        From ``models.evaluation.evaluation_report``.
    label
        Name of the horizon.
    path
        PNG file to write.
    """
    model = next(iter(report["pooled"]))
    weeks = sorted(report["weeks"])
    figure = Figure(figsize=(8, 4), layout="constrained")
    for panel, metric, title in zip(
        figure.subplots(1, 2),
        ("auroc", "lift_at_capacity"),
        ("AUROC", "lift at the team's capacity"),
        strict=True,
    ):
        for cause in CAUSES:
            values = [report["weeks"][week][model][cause][label][metric] for week in weeks]
            drawn = [float("nan") if value is None else value for value in values]
            panel.plot(range(len(weeks)), drawn, "o-", color=COLOURS[cause], label=cause)
        panel.axhline(0.5 if metric == "auroc" else 1, color="#999999", linestyle="--", linewidth=1)
        panel.set_xticks(range(len(weeks)), weeks, rotation=60, fontsize=8)
        panel.set_title(f"{title}, churn within {label}")
        panel.legend(frameon=False)
    save_figure(figure, path)
