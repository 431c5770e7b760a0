"""The description of a run: a review to read before the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data.contracts import CAUSES
from data.markdown import markdown_table
from models.drift import LARGE
from models.tables import ORACLE, SHOWN, with_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipelines.review.champion import Champion

FIGURES = (
    "lift_at_capacity",
    "mrr_caught_at_capacity",
    "average_precision",
    "log_loss",
    "calibration_slope",
)
NAMED = 3


def description(
    evaluation: Mapping[str, Any],
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    drift: Mapping[str, float],
    champion: Champion | None,
    features: Sequence[str],
) -> str:
    """Write the review in Markdown.

    Parameters
    ----------
    evaluation
        Measures of the open test blocks, as ``evaluate`` wrote them.
    tags
        Lineage of the run.
    params
        Parameters, flat.
    drift
        Population stability index of each feature.
    champion
        Model to compare with, if there is one.
    features
        Names of this model's features.
    """
    first = next(iter(next(iter(evaluation["pooled"].values()))[CAUSES[0]]))
    parts = {
        "": [f"Weekly churn risks of **{tags['source']}** as of {tags['cutoff']}."],
        "What changed since the champion": list(_changes(tags, params, champion, features)),
        "The figures that matter": _figures(evaluation, first, _rival(champion, tags)),
        "What to look at": list(_look_at(evaluation, first, drift)) or ["- Nothing stands out."],
        "Known limits": list(_limits(evaluation, params)),
    }
    return "\n\n".join(
        (f"### {title}\n\n" if title else "") + "\n".join(lines) for title, lines in parts.items()
    )


def _rival(champion: Champion | None, tags: Mapping[str, str]) -> Champion | None:
    """The champion, if it has the same source."""
    return champion if champion and champion.tags["source"] == tags["source"] else None


def _changes(
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    champion: Champion | None,
    features: Sequence[str],
) -> Iterator[str]:
    if champion is None:
        yield "- There is no champion yet."
        return
    yield f"- Champion: model version {champion.model_version}, run {champion.run_id}."
    if _rival(champion, tags) is None:
        yield f"- Its source is {champion.tags['source']}: not comparable."
        return
    if champion.tags["cutoff"] != tags["cutoff"]:
        yield f"- Newest cutoff: {champion.tags['cutoff']} → {tags['cutoff']}."
    if champion.tags.get("git_commit") != tags.get("git_commit"):
        before, now = (str(of.get("git_commit", "none"))[:10] for of in (champion.tags, tags))
        yield f"- Commit: {before} → {now}."
    for name in sorted({*params, *champion.params}):
        before, now = (str(of.get(name, "absent")) for of in (champion.params, params))
        if before != now:
            yield f"- `{name}`: {before} → {now}."
    for verb, names in (
        ("New", sorted(set(features) - set(champion.features))),
        ("Dropped", sorted(set(champion.features) - set(features))),
    ):
        if names:
            yield f"- {verb} features: {_some(names)}."
    if champion.tags["model_digest"] == tags["model_digest"]:
        yield "- The model is byte for byte the champion's."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:NAMED]) + more


def _figures(evaluation: Mapping[str, Any], first: str, rival: Champion | None) -> list[str]:
    model, *others = evaluation["pooled"]
    heads = [head for cause in CAUSES for head in ([cause, "champion"] if rival else [cause])]
    rows = []
    for metric in FIGURES:
        cells = []
        for cause in CAUSES:
            cells.append(with_interval(evaluation["pooled"][model][cause][first][metric], metric))
            if rival:
                before = rival.metrics.get(f"test/{cause}/{first}/{metric}")
                cells.append("-" if before is None else f"{before:.3g}")
        rows.append([SHOWN[metric], *cells])
    for other in others:
        gains = []
        for cause in CAUSES:
            gain = evaluation["differences"][other][cause][first]["log_loss"]
            gains += [with_interval(gain, "log_loss"), *([""] if rival else [])]
        rows.append([f"log loss minus {other.replace('_', ' ')}", *gains])
    return markdown_table([f"churn within {first}", *heads], rows)


def _look_at(
    evaluation: Mapping[str, Any], first: str, drift: Mapping[str, float]
) -> Iterator[str]:
    model, *rivals = evaluation["pooled"]
    for cause in CAUSES:
        slope = evaluation["pooled"][model][cause][first]["calibration_slope"]
        if slope["low"] is not None and not slope["low"] <= 1 <= slope["high"]:
            said = "timid" if slope["low"] > 1 else "extreme"
            yield (
                f"- The risks of {cause} churn are too {said}: calibration slope "
                f"{with_interval(slope, 'calibration_slope')}; see calibration.png."
            )
        for rival in rivals:
            gain = evaluation["differences"][rival][cause][first]["log_loss"]
            if rival != ORACLE and gain["high"] is not None and gain["high"] >= 0:
                yield (
                    f"- The {rival.replace('_', ' ')} may be as good on {cause} churn: log loss "
                    f"difference {with_interval(gain, 'log_loss')}."
                )
        found = {
            week: models[model][cause][first]["auroc"]
            for week, models in evaluation["weeks"].items()
            if models[model][cause][first]["auroc"] is not None
        }
        if found:
            worst = min(found, key=lambda week: found[week])
            yield f"- The weakest week on {cause} churn: {worst}, AUROC {found[worst]:.3f}."
    moved = sorted((name for name in drift if drift[name] >= LARGE), key=lambda name: -drift[name])
    if moved:
        yield f"- {len(moved)} features drifted far since training: {_some(moved)}; see drift.png."


def _limits(evaluation: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[str]:
    model = next(iter(evaluation["pooled"]))
    yield "- Measured on the open test blocks, which experiments see; one block stays sealed."
    yield "- Risks hold if nobody acts: customers are censored from their first contact on."
    yield f"- The backtest observes one customer in {params['snapshot.thin_every']} each week."
    for note in sorted({one["note"] for one in evaluation["notes"] if one["model"] == model}):
        yield f"- {note}"
