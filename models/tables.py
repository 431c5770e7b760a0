"""The results of a backtest for readers: tables, and flat figures for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data.contracts import CAUSES
from data.markdown import PLAIN, RIGHT, markdown_table
from models.evaluation import CONTRACTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# The true risks of a simulated world, scored like a model, have this name in a report.
ORACLE = "oracle"
SHOWN = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier",
    "calibration_slope": "calibration slope",
    "calibration_error": "calibration error",
    "lift_at_capacity": "lift at capacity",
    "mrr_caught_at_capacity": "MRR caught at capacity",
    "expected_profit": "EMPC",
}
COMPARED = ("log_loss", "mrr_caught_at_capacity")
ATTAINABLE = {"log_loss": "log loss", "average_precision": "average precision"}


def markdown_tables(report: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Write one table per cause and horizon: a row per model, each figure with its 95 % interval.

    Parameters
    ----------
    report
        From ``models.evaluation.evaluation_report``.
    labels
        Names of the horizons.
    """
    lines = []
    for cause in CAUSES:
        for label in labels:
            cells = {model: pooled[cause][label] for model, pooled in report["pooled"].items()}
            some = next(iter(cells.values()))
            lines += [
                f"### {cause.capitalize()} churn within {label}",
                "",
                f"{some['rows']:,} test snapshots, {some['events']:,} of them churned.",
                "",
            ]
            if some["events"]:
                lines += [*_model_table(cells, SHOWN), ""]
    return "\n".join(lines)


def verdict_table(report: Mapping[str, Any], label: str) -> str:
    """Write which rivals the first model is ahead of, level with or behind, by the whole interval.

    Parameters
    ----------
    report
        From ``models.evaluation.evaluation_report``.
    label
        Name of the horizon.
    """
    first = next(iter(report["pooled"]))
    columns = [(cause, metric) for cause in CAUSES for metric in COMPARED]
    header = ["rival", *(f"{SHOWN[metric]}, {cause}" for cause, metric in columns)]
    rows = [
        [
            rival.replace("_", " "),
            *(_verdict(cells[cause][label][metric], metric) for cause, metric in columns),
        ]
        for rival, cells in report["differences"].items()
    ]
    title = f"### {first.replace('_', ' ').capitalize()} minus each rival, within {label}"
    return "\n".join([title, "", *_figures(header, rows), ""])


def _verdict(difference: Mapping[str, float | None], metric: str) -> str:
    """Write a difference with its interval, and whether it is clearly above or below 0."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None:
        return "-"
    better, worse = (high < 0, low > 0) if metric == "log_loss" else (low > 0, high < 0)
    word = "ahead" if better else "behind" if worse else "level"
    return f"{word}: {with_interval(difference, metric)}"


def contraction_table(contraction: Mapping[str, Any]) -> str:
    """Write the metrics of the risk of staying and paying less, a row per model.

    Parameters
    ----------
    contraction
        From ``models.evaluation.evaluation_report``.
    """
    metrics = [metric for metric in SHOWN if metric in CONTRACTION]
    one = next(iter(contraction.values()))
    lines = [
        "### Contraction: stays, and pays less at the last horizon",
        "",
        f"{one['rows']:,} test snapshots, {one['events']:,} of them contracted.",
        "",
        *_model_table(contraction, metrics),
        "",
    ]
    return "\n".join(lines)


def _model_table(cells: Mapping[str, Mapping[str, Any]], metrics: Iterable[str]) -> list[str]:
    """Lines of a table of metrics with intervals, a row per model."""
    metrics = list(metrics)
    rows = [
        [model.replace("_", " "), *(with_interval(cell[metric], metric) for metric in metrics)]
        for model, cell in cells.items()
    ]
    return _figures(["model", *(SHOWN[metric] for metric in metrics)], rows)


def _figures(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column names what the others measure."""
    return markdown_table(header, rows, [PLAIN, *[RIGHT] * (len(header) - 1)])


def attainable_table(shares: Mapping[str, Any]) -> str:
    """Write the share of the attainable skill that the model reaches, per cause and horizon.

    Parameters
    ----------
    shares
        Ceiling -> cause -> horizon -> metric, from ``models.attainable.attainable_shares``.
    """
    columns = [(ceiling, metric) for ceiling in shares for metric in ATTAINABLE]
    header = [f"{ATTAINABLE[metric]}, {ceiling.replace('_', ' ')}" for ceiling, metric in columns]
    rows = []
    for cause in CAUSES:
        for label in next(iter(shares.values()))[cause]:
            values = [shares[ceiling][cause][label][metric] for ceiling, metric in columns]
            cells = ["-" if value is None else f"{value:.0%}" for value in values]
            rows.append([f"{cause} {label}", *cells])
    table = _figures(["cause, horizon", *header], rows)
    return "\n".join(["### Share of the attainable skill", "", *table, ""])


def with_interval(estimate: Mapping[str, float | None], metric: str) -> str:
    """Write an estimate with its interval, with the digits that suit the metric."""
    digits = {"brier": 5, "log_loss": 5, "calibration_error": 5, "expected_profit": 1}.get(
        metric, 3
    )
    value, low, high = (
        "-" if estimate[key] is None else f"{estimate[key]:.{digits}f}"
        for key in ("value", "low", "high")
    )
    return value if "-" in (value, low) else f"{value} ({low} to {high})"


def flat_metrics(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures to compare runs by: cause -> horizon -> metric of the model and its rivals.

    Parameters
    ----------
    report
        From ``models.evaluation.evaluation_report``; its first model is the one that serves.
    """
    first, *rivals = report["pooled"]
    values: dict[str, Any] = {}
    for cause in CAUSES:
        values[cause] = {}
        for label, cell in report["pooled"][first][cause].items():
            figures = {metric: cell[metric]["value"] for metric in SHOWN}
            figures |= {"rows": cell["rows"], "events": cell["events"]}
            for rival in rivals:
                gain = report["differences"][rival][cause][label]["log_loss"]["value"]
                figures[f"log_loss_minus_{rival}"] = gain
            values[cause][label] = figures
    return values
