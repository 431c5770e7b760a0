"""The competing-risks model: each hazard a regression and LightGBM trees grown on it.

Models are stored as text files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np

from data.atomic import replaced_folder
from data.contracts import CAUSES
from data.errors import BadInputError
from models.calibration import LogisticMap
from models.competing_risks import ModelSettings, RiskModel
from models.contraction import Contraction
from models.hazards import Fit, Hazard, Learner, Scorer
from models.linear import FITTED_ROWS, LinearPart, linear_learner
from models.split import Slices, Span

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from models.risk_data import Selection

NAME = "competing_risks"
FORMAT = 3
# Rows that are handed to LightGBM at a time, and rows that its bins are cut by (its own default).
BATCH_ROWS = 8192
BINNED_ROWS = 200_000
# Weights for rare classes bias the probabilities; more cutoffs help instead.
_CLASS_WEIGHTS = ("is_unbalance", "unbalance", "unbalanced_sets", "scale_pos_weight")


@dataclass(frozen=True)
class BoosterScorer(Scorer):
    """Log-odds of a LightGBM booster, and of the regression that it was grown on.

    Parameters
    ----------
    booster
        Read from its own text, so that a trained model and a loaded one are identical.
    start
        The regression; None if the booster starts from the rate.
    threads
        Threads to predict with; changes no result.
    """

    booster: lgb.Booster
    start: LinearPart | None = None
    threads: int = 1

    @property
    def size(self) -> str:
        """Number of trees, in words."""
        return f"{self.booster.num_trees()} trees"

    @property
    def strongest(self) -> int | None:
        """Position of the feature whose splits gain most; None without splits."""
        gains = self.booster.feature_importance("gain")
        return int(np.argmax(gains)) if np.any(gains > 0) else None

    def log_odds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds (n,) of rows X (n, f)."""
        grown = self.booster.predict(
            X, raw_score=True, num_threads=self.threads, validate_features=True
        )
        log_odds = np.asarray(grown, dtype=np.float64)
        return log_odds if self.start is None else log_odds + self.start.log_odds(X)

    def contributions(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """SHAP values (n, f + 1) in log-odds, the base last; each row sums to its log-odds."""
        grown = self.booster.predict(
            X, pred_contrib=True, num_threads=self.threads, validate_features=True
        )
        values = np.asarray(grown, dtype=np.float64)
        return values if self.start is None else values + self.start.contributions(X)


class _Stream(lgb.Sequence):  # type: ignore[misc]
    """Rows that LightGBM reads in batches, so that no full copy of them is needed."""

    def __init__(self, selection: Selection, batch_rows: int) -> None:
        self._selection = selection
        self.batch_size = batch_rows

    def __len__(self) -> int:
        return len(self._selection)

    def __getitem__(self, index: int | slice | list[int]) -> NDArray[np.float32]:
        return self._selection.X[self._selection.rows[index]]


def _binned(
    selection: Selection, stream: _Stream, names: list[str], params: dict[str, Any], most: int
) -> lgb.Dataset:
    """Bin rows by at most ``most`` of them: all if few, else every n-th."""
    step = _step(len(selection), most)
    chosen = dataclasses.replace(selection, rows=selection.rows[::step])
    by = lgb.Dataset(chosen.copy(), feature_name=names, params=params)
    if step == 1:
        return by
    return lgb.Dataset(stream, feature_name=names, params=params, reference=by)


def _step(rows: int, most: int) -> int:
    """Stride that keeps at most ``most`` of ``rows``."""
    return max(-(-rows // most), 1)


def booster_learner(
    settings: ModelSettings,
    *,
    batch_rows: int = BATCH_ROWS,
    binned_rows: int = BINNED_ROWS,
    fitted_rows: int = FITTED_ROWS,
) -> Learner:
    """Return the learner of the competing-risks model.

    Parameters
    ----------
    settings
        Settings of the model.
    batch_rows, binned_rows, fitted_rows
        Number of rows per batch for LightGBM, and the most rows that its bins and the regression
        are fitted on. They bound time and memory.

    Raises
    ------
    BadInputError
        If the settings ask for class weights.
    """
    weights = sorted(set(_CLASS_WEIGHTS) & set(settings.lightgbm))
    if weights:
        raise BadInputError(
            f"The LightGBM parameter {weights[0]} is refused: class weights bias the "
            "probabilities; remove it."
        )

    def prepare(train_rows: Selection, stop_rows: Selection, feature_names: tuple[str, ...]) -> Fit:
        params = lightgbm_parameters(settings)
        names = list(feature_names)
        start = _start_of(train_rows, settings.linear_strength, fitted_rows)
        streams = _Stream(train_rows, batch_rows), _Stream(stop_rows, batch_rows)
        train = _binned(train_rows, streams[0], names, params, binned_rows)
        stop = lgb.Dataset(streams[1], feature_name=names, params=params, reference=train)

        def fit(
            y_train: NDArray[np.bool_], y_stop: NDArray[np.bool_], cause: str | None
        ) -> BoosterScorer:
            signs = _signs(settings, cause, feature_names)
            part = start and start(y_train, signs)
            for dataset, rows, y in zip((train, stop), streams, (y_train, y_stop), strict=True):
                dataset.set_label(y)
                if part:
                    dataset.set_init_score(part.log_odds(rows))
            booster = lgb.train(
                params | ({"monotone_constraints": signs.tolist()} if signs.any() else {}),
                train,
                num_boost_round=settings.num_boost_round,
                valid_sets=[stop],
                callbacks=[lgb.early_stopping(settings.early_stopping_rounds, verbose=False)],
            )
            text = booster.model_to_string(num_iteration=booster.best_iteration)
            return BoosterScorer(lgb.Booster(model_str=text), part, settings.threads)

        return fit

    return prepare


def lightgbm_parameters(settings: ModelSettings) -> dict[str, Any]:
    """Return the user's parameters of LightGBM, and those fixed for repeatable, correct results."""
    return {
        **settings.lightgbm,
        "objective": "binary",
        "metric": "binary_logloss",
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "seed": settings.seed,
        "num_threads": settings.threads,
        "verbosity": -1,
    }


def _signs(
    settings: ModelSettings, cause: str | None, feature_names: tuple[str, ...]
) -> NDArray[np.int64]:
    """Monotone constraints (f,) of a cause; there are none for both causes together."""
    signs = settings.monotone.get(cause, {}) if cause else {}
    return np.array([signs.get(name, 0) for name in feature_names], dtype=np.int64)


def _start_of(selection: Selection, strength: float, most: int) -> Callable[..., LinearPart] | None:
    """Return the fit of the regressions that trees start from, by y and signs; None: no start."""
    if not strength:
        return None
    step = _step(len(selection), most)
    fit = linear_learner(selection.X[selection.rows[::step]], strength)
    return lambda y, signs: fit(y[::step], signs)


def save_model(model: RiskModel, folder: Path) -> None:
    """Write a model of boosters as a folder of text files, replacing ``folder``.

    ``model.json`` holds everything but the trees; ``model_<cause>_<label>.txt`` is the LightGBM
    text of a hazard that has a booster.
    """
    with replaced_folder(folder) as target:
        hazards = [
            _save_hazard(hazard, cause, label, target)
            for cause, by_interval in zip(CAUSES, model.hazards, strict=True)
            for label, hazard in zip(model.labels, by_interval, strict=True)
        ]
        contraction = model.contraction and {
            "lost_share": model.contraction.lost_share,
            **_save_hazard(model.contraction.hazard, "contraction", model.labels[-1], target),
        }
        document = {
            "format": FORMAT,
            "name": model.name,
            "horizons": model.horizons,
            "labels": model.labels,
            "hazards": hazards,
            "contraction": contraction,
            "slices": [dataclasses.asdict(slices) for slices in model.slices],
            "notes": model.notes,
            "feature_names": model.feature_names,
        }
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (target / "model.json").write_text(text, encoding="utf-8")


def _save_hazard(hazard: Hazard, cause: str, label: str, folder: Path) -> dict[str, Any]:
    """Write the trees of a hazard, if it has any; return the rest of it."""
    trees = start = None
    if isinstance(hazard.scorer, BoosterScorer):
        trees = f"model_{cause}_{label}.txt"
        text = hazard.scorer.booster.model_to_string(num_iteration=-1)
        (folder / trees).write_text(text, encoding="utf-8")
        start = hazard.scorer.start and dataclasses.asdict(hazard.scorer.start)
    return {
        "cause": cause,
        "label": label,
        "offset": hazard.offset,
        "calibration": dataclasses.asdict(hazard.calibration),
        "trees": trees,
        "start": start and {name: np.asarray(value).tolist() for name, value in start.items()},
    }


def load_model(folder: Path, threads: int = 1) -> RiskModel:
    """Read a model that ``save_model`` wrote; its risks are identical to the bit.

    Raises
    ------
    BadInputError
        If there is no model in the folder, or one of another format.
    """
    path = folder / "model.json"
    if not path.is_file():
        raise BadInputError(f"There is no model at {path}: train one first.")
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise BadInputError(
            f"The model at {path} has format {document.get('format')}, this code reads {FORMAT}: "
            "retrain it."
        )
    hazards = {
        (entry["cause"], entry["label"]): _load_hazard(folder, entry, threads)
        for entry in document["hazards"]
    }
    labels = tuple(document["labels"])
    less = document["contraction"]
    return RiskModel(
        name=document["name"],
        hazards=tuple(tuple(hazards[cause, label] for label in labels) for cause in CAUSES),
        feature_names=tuple(document["feature_names"]),
        horizons=tuple(document["horizons"]),
        labels=labels,
        slices=tuple(
            Slices(**{name: Span(**span) for name, span in spans.items()})
            for spans in document["slices"]
        ),
        notes=tuple(document["notes"]),
        contraction=less and Contraction(_load_hazard(folder, less, threads), less["lost_share"]),
    )


def _load_hazard(folder: Path, entry: dict[str, Any], threads: int) -> Hazard:
    scorer = None
    if entry["trees"]:
        text = (folder / entry["trees"]).read_text(encoding="utf-8")
        start = entry["start"] and LinearPart(
            intercept=entry["start"].pop("intercept"),
            **{name: np.asarray(values) for name, values in entry["start"].items()},
        )
        scorer = BoosterScorer(lgb.Booster(model_str=text), start, threads)
    return Hazard(scorer, entry["offset"], LogisticMap(**entry["calibration"]))


def model_digest(folder: Path) -> str:
    """Hash a saved model: SHA-256 over the names and text of its files, in hexadecimal.

    The line that names LightGBM's number of threads is left out: it changes no result.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("model*")):
        digest.update(path.name.encode())
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.startswith("[num_threads:"):
                digest.update(line.encode())
    return digest.hexdigest()
