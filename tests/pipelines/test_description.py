"""The description of a run: what changed, what matters, what to look at."""

from __future__ import annotations

from typing import Any

from data.contracts import CAUSES
from pipelines.review.champion import Champion
from pipelines.review.description import FIGURES, description

TAGS = {"source": "files", "cutoff": "2024-12-30", "git_commit": "b" * 40, "model_digest": "2"}
PARAMS = {"snapshot.thin_every": 4, "train.lightgbm.num_leaves": 9}
CHAMPION = Champion(
    run_id="r1",
    model_version="3",
    tags=TAGS | {"cutoff": "2024-12-23", "git_commit": "a" * 40, "model_digest": "1"},
    params={"snapshot.thin_every": "4", "train.lightgbm.num_leaves": "7"},
    metrics={"test/voluntary/4w/log_loss": 0.1234},
    features=("old", "both"),
)


def cells(figure: Any) -> dict[str, Any]:
    return {cause: {"4w": dict.fromkeys((*FIGURES, "auroc"), figure)} for cause in CAUSES}


def evaluation(slope: tuple[float, float], gain: tuple[float, float]) -> dict[str, Any]:
    figure = {"value": sum(slope) / 2, "low": slope[0], "high": slope[1]}
    difference = {"value": sum(gain) / 2, "low": gain[0], "high": gain[1]}
    return {
        "pooled": {"competing_risks": cells(figure), "base_rate": cells(figure)},
        "differences": {"base_rate": cells(difference)},
        "weeks": {"2024-07-01": {"competing_risks": cells(0.7)},
                  "2024-07-08": {"competing_risks": cells(0.6)}},
        "notes": [{"model": "competing_risks", "note": "few churners", "block": 0}],
    }  # fmt: skip


def described(champion: Champion | None, **changed: Any) -> str:
    terms = {"slope": (0.9, 1.1), "gain": (-0.02, -0.01)} | changed
    return description(
        evaluation(**terms), TAGS, PARAMS, {"still": 0.01}, champion, ("both", "new")
    )


def test_every_change_since_the_champion_is_named() -> None:
    note = described(CHAMPION)
    for line in (
        "- Champion: model version 3, run r1.",
        "- Newest cutoff: 2024-12-23 → 2024-12-30.",
        "- Commit: aaaaaaaaaa → bbbbbbbbbb.",
        "- `train.lightgbm.num_leaves`: 7 → 9.",
        "- New features: `new`.",
        "- Dropped features: `old`.",
    ):
        assert line in note
    assert "thin_every`:" not in note
    assert "| 0.123 |" in note


def test_a_champion_of_another_source_is_not_compared_with() -> None:
    other = Champion("r1", "3", CHAMPION.tags | {"source": "oulad"})
    note = described(other)
    assert "- Its source is oulad: not comparable." in note
    assert "| churn within 4w | voluntary | involuntary |" in note


def test_only_what_stands_out_is_mentioned() -> None:
    calm = described(None)
    assert "too timid" not in calm
    assert "may be as good" not in calm
    assert "drifted far" not in calm
    assert "- The weakest week on voluntary churn: 2024-07-08, AUROC 0.600." in calm
    assert "- few churners" in calm
    loud = described(None, slope=(1.2, 1.4), gain=(-0.01, 0.01))
    assert "- The risks of voluntary churn are too timid: calibration slope" in loud
    assert "- The base rate may be as good on involuntary churn" in loud
    assert "too extreme" in described(None, slope=(0.4, 0.8))
