"""The champion: the promoted model in the tracked folder ``champion/``, and its record."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from data.atomic import write_text
from data.errors import BadInputError
from models.boosters import load_model, model_digest
from pipelines.paths import CHAMPION, MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from models.competing_risks import RiskModel
    from pipelines.params import Params

MODEL_FOLDER = CHAMPION / "model"
RECORD = CHAMPION / "champion.json"
SEALED_SCORES = CHAMPION / "sealed_scores.parquet"


@dataclass(frozen=True)
class Champion:
    """Record of a promoted model, for the gate and for reviewers.

    Parameters
    ----------
    run_id, model_version
        In MLflow.
    tags
        Lineage of its run: source, cutoff, commit, digests.
    params
        Parameters of its run, flat.
    metrics
        Metrics of its run, by name.
    features
        Names of the model's features.
    decision
        Why it was promoted.
    """

    run_id: str
    model_version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    features: Sequence[str] = ()
    decision: str = ""

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", path)


def load_champion() -> Champion | None:
    """Read the champion; None before the first promotion."""
    if not RECORD.exists():
        return None
    return Champion(**json.loads(RECORD.read_text(encoding="utf-8")))


def serving_model(params: Params, threads: int) -> tuple[RiskModel, str]:
    """Model that scores, and its version: the one just trained, or the champion if chosen.

    Raises
    ------
    BadInputError
        If the champion is chosen and there is none, or it has another source or other horizons.
    """
    if params.score.model == "fresh":
        return load_model(MODEL, threads), _version(serving_folder(params))
    champion, source = load_champion(), params.ingest.source
    if champion is None:
        raise BadInputError(
            f"score.model is champion, but {RECORD} is missing: promote a run with "
            "make promote RUN=..., or set score.model to fresh."
        )
    model = load_model(MODEL_FOLDER, threads)
    if champion.tags["source"] != source or model.horizons != params.snapshot.horizons:
        raise BadInputError(
            f"score.model is champion, but the champion has the source {champion.tags['source']} "
            f"and the horizons {list(model.horizons)}, and params.yaml has {source} and "
            f"{list(params.snapshot.horizons)}: set score.model to fresh."
        )
    return model, _version(serving_folder(params))


def serving_folder(params: Params) -> Path:
    """Folder of the model that scores."""
    return MODEL if params.score.model == "fresh" else MODEL_FOLDER


def _version(folder: Path) -> str:
    return model_digest(folder)[:12]
