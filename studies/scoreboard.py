"""``make scoreboard``: compare the model with its rivals, each tuned with the same budget.

Measures on the current state of the pipeline; then, with the parameters chosen there, on the same
simulated world with many times the customers and on more such worlds; and on OULAD if its folder is
given. Writes ``reports/scoreboard.md``. Every rival has the same slices, calibration, test weeks
and number of trials on the same inner folds.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import subprocess
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from optuna.distributions import FloatDistribution, IntDistribution

from data.atomic import write_text
from data.contracts import CAUSES
from data.errors import BadInputError
from models import baselines
from models.attainable import with_oracle
from models.backtest import score_block
from models.boosters import NAME
from models.evaluation import evaluation_report
from models.split import open_and_sealed
from models.tables import markdown_tables, verdict_table, with_interval
from models.tuning import BOOSTER_SPACE, at_first_horizon, best, inner_folds, learned, search
from pipelines import featurize, ingest, snapshot, validate
from pipelines.evaluate import RECENCY_FEATURE, evaluation_settings, read_truth
from pipelines.load import blocks_of, customers_now, load_catalog, load_history, monotone_signs
from pipelines.modelling import model_settings
from pipelines.params import Params, load_params
from pipelines.paths import REPORTS
from pipelines.stage import run_stage
from pipelines.tune import booster_model
from studies import cox_learner, trees_learner
from studies.scaled_world import scaled_world
from studies.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from models.competing_risks import ModelSettings
    from models.evaluation import EvaluationSettings
    from models.hazards import Learner
    from models.risk_data import RiskData
    from models.split import Block
    from models.tuning import Fitted, Folds

logger = logging.getLogger("scoreboard")
ROOT = Path(__file__).resolve().parent.parent
# lifelines needs an older pandas than ours, so it has an environment of its own.
COX = (ROOT / ".venv-survival" / "bin" / "python", ROOT / "studies" / "bench" / "cox.py")
TRIALS = 8
TIMES = 16
WORLDS = 3
LARGER_MEMORY = "6GB"
# What docs/oulad.md runs.
OULAD: Mapping[str, Mapping[str, Any]] = {
    "ingest": {"source": "oulad"},
    "snapshot": {"as_of": "2014-05-19", "horizons": [1, 2, 4], "undo_days": 0, "thin_every": 1},
    "featurize": {"windows": [1, 2, 4]},
    "train": {
        "stop_periods": 4, "calibrate_periods": 4, "test_periods": 2, "test_blocks": 2,
        "min_events": 30,
    },
    "tune": {"folds": 1},
}  # fmt: skip
TREES = {
    "learning_rate": FloatDistribution(0.03, 0.2, log=True),
    "max_leaf_nodes": IntDistribution(3, 31, log=True),
    "min_samples_leaf": IntDistribution(20, 1000, log=True),
    "max_features": FloatDistribution(0.1, 1.0),
    "l2_regularization": FloatDistribution(0.1, 100.0, log=True),
}
TREES_START = {
    "learning_rate": 0.05, "max_leaf_nodes": 5, "min_samples_leaf": 60, "max_features": 0.65,
    "l2_regularization": 3.0,
}  # fmt: skip


def solve_cox(
    X: NDArray[np.float64],
    periods: NDArray[np.int64],
    cause: NDArray[np.int64],
    horizons: Sequence[int],
    penalty: float,
) -> list[cox_learner.Regression]:
    """Fit Cox regressions with lifelines, in its environment; see ``studies.cox_learner.Solve``."""
    present = [number for number in range(1, len(CAUSES) + 1) if np.any(cause == number)]
    with tempfile.TemporaryDirectory(prefix="churn-risk-") as name:
        folder = Path(name)
        for file, values in (("X", X), ("periods", periods), ("cause", cause)):
            np.save(folder / f"{file}.npy", values)
        task = {"causes": present, "horizons": [int(end) for end in horizons], "penalty": penalty}
        write_text(json.dumps(task), folder / "task.json")
        done = subprocess.run(  # noqa: S603
            [*map(str, (COX[0], "-W", "ignore", COX[1])), name], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise BadInputError(f"The Cox regression failed: {done.stderr.strip()[-200:]}.")
        fitted = json.loads((folder / "fitted.json").read_text(encoding="utf-8"))
    nothing = cox_learner.Regression(np.zeros(X.shape[1]), np.zeros(len(horizons)))
    return [
        cox_learner.Regression(*map(np.asarray, fitted[str(number)].values()))
        if number in present
        else nothing
        for number in range(1, len(CAUSES) + 1)
    ]


def fitted_by(name: str, settings: ModelSettings, params: Mapping[str, Any]) -> Fitted:
    """Return how a rival with these parameters is fitted."""
    if name == NAME:
        return booster_model(settings, params)
    if name == cox_learner.NAME:

        def fit(data: RiskData, slices: Any, model: ModelSettings) -> Any:
            solve = partial(solve_cox, horizons=model.horizons, penalty=params["penalty"])
            return cox_learner.fit_cox_model(solve, data, slices, model)

        return fit
    learners: dict[str, Callable[[], Learner]] = {
        baselines.LOGISTIC: lambda: baselines.logistic_learner((params["C"],)),
        trees_learner.NAME: lambda: trees_learner.trees_learner(params, settings.seed),
        baselines.RECENCY: lambda: baselines.recency_learner(RECENCY_FEATURE, params["bins"]),
        baselines.BASE_RATE: lambda: None,
    }
    return learned(name, learners[name]())


def contenders(params: Params, data: RiskData) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Return search space and first trial of the model and every rival that can run here."""
    penalty = FloatDistribution(1e-4, 1.0, log=True)
    all_of_them: dict[str, tuple[Any, Mapping[str, Any]]] = {
        NAME: (BOOSTER_SPACE, dataclasses.asdict(params.train.lightgbm)),
        trees_learner.NAME: (TREES, TREES_START),
        baselines.LOGISTIC: ({"C": penalty}, {"C": 1e-2}),
        cox_learner.NAME: ({"penalty": penalty}, {"penalty": 1e-2}),
        baselines.RECENCY: ({"bins": IntDistribution(3, 40)}, {"bins": 10}),
        baselines.BASE_RATE: ({}, {}),
    }
    if not COX[0].exists():
        logger.warning("no survival model: run make .venv-survival")
        del all_of_them[cox_learner.NAME]
    if RECENCY_FEATURE not in data.feature_names:
        del all_of_them[baselines.RECENCY]
    return all_of_them


def tuned(
    name: str, space: Any, start: Mapping[str, Any], folds: Folds, trials: int, seed: int
) -> Mapping[str, Any]:
    """Search the parameters of a rival, and return the best."""
    if not space:
        return start
    build = partial(fitted_by, name, folds.settings)
    return best(search(name, build, space, start, folds, trials, seed)).params


def scored(
    fits: Mapping[str, Fitted], data: RiskData, blocks: Sequence[Block], settings: ModelSettings
) -> pd.DataFrame:
    """Score the test weeks with every model, as ``models.backtest.Backtest.table``."""
    tables = []
    for name, fit in fits.items():
        for number, block in enumerate(blocks):
            logger.info("%s, block %d of %d", name, number + 1, len(blocks))
            model = fit(data, block.slices, settings)
            tables.append(score_block(model, data, block, number))
    return pd.concat(tables, ignore_index=True)


def section(title: str, trials: int) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """Tune and measure on the pipeline in the current folder; also return the parameters chosen."""
    params = load_params()
    clock, horizons = params.clock, params.labels
    data = load_history(clock, horizons, params.train.memory_limit)
    settings = model_settings(params, monotone_signs(load_catalog()))
    split = params.split
    blocks, _ = open_and_sealed(blocks_of(data, params))
    assert blocks[0].test is not None  # noqa: S101 - a block of the backtest has test weeks
    folds = inner_folds(data, blocks[0].test.first, split, settings, params.tune.folds)
    chosen = {
        name: tuned(name, space, start, folds, trials, params.tune.seed)
        for name, (space, start) in contenders(params, data).items()
    }
    fits = {name: fitted_by(name, settings, values) for name, values in chosen.items()}
    table = scored(fits, data, blocks, settings)
    truth = read_truth(clock)
    table = table if truth is None else with_oracle(table, truth)
    measured = evaluation_report(table, horizons, evaluation_settings(params, customers_now()))
    control = shuffled_control(fits[NAME], data, blocks[-1], settings, params)
    text = [
        f"## {title}",
        "",
        f"{len(blocks)} open test block(s) of {split.test_periods} periods.",
        f"Each model was tuned with {trials} trials on weeks before them:",
        "",
        *(f"- {name.replace('_', ' ')}: {_in_words(values)}" for name, values in chosen.items()),
        "",
        verdict_table(measured, horizons[0]),
        markdown_tables(measured, horizons),
        control,
    ]
    return "\n".join(text), chosen


def larger_section(chosen: Mapping[str, Mapping[str, Any]], times: int) -> str:
    """Measure the parameters chosen at the first horizon, with ``times`` the customers."""
    rivals = {name: values for name, values in chosen.items() if name != cox_learner.NAME}
    table, settings = larger_table(rivals, times)
    text = [
        f"## The same with {times} times the customers",
        "",
        "Where few customers decide, chance hides who is ahead: the same world, grown, and teams",
        "grown with it; parameters as chosen above, first horizon. The survival model is left out:",
        "it takes hours there.",
        "",
        at_first_horizon_tables(table, settings),
    ]
    return "\n".join(text)


def more_worlds_section(chosen: Mapping[str, Mapping[str, Any]], times: int, worlds: int) -> str:
    """Measure the parameters chosen in other worlds of that size, all their customers together.

    The share of customers that a team can contact is that of the first world.
    """
    slow = (cox_learner.NAME, trees_learner.NAME)
    rivals = {name: values for name, values in chosen.items() if name not in slow}
    tables, settings = zip(
        *(larger_table(rivals, times, number) for number in range(1, worlds + 1)), strict=True
    )
    text = [
        f"## {worlds} other worlds of that size",
        "",
        f"Chance is less once more: {worlds} worlds like the one above, told apart from it by",
        "their seeds alone. Each has its own models; what they scored is measured together, as if",
        "it were one business. Scikit-learn's booster is left out too: it takes as long as all the",
        "others.",
        "",
        at_first_horizon_tables(pd.concat(tables, ignore_index=True), settings[0]),
    ]
    return "\n".join(text)


def larger_table(
    chosen: Mapping[str, Mapping[str, Any]], times: int, number: int = 0
) -> tuple[pd.DataFrame, EvaluationSettings]:
    """Score the test weeks of a larger world at the first horizon; also return how to measure them.

    Customer ids include the number of the world.
    """
    with scaled_world(times, LARGER_MEMORY, number) as params:
        data = load_history(params.clock, params.labels, params.train.memory_limit)
        blocks, _ = open_and_sealed(blocks_of(data, params))
        settings = model_settings(params, monotone_signs(load_catalog()))
        data, settings = at_first_horizon(data, settings)
        fits = {name: fitted_by(name, settings, values) for name, values in chosen.items()}
        first = [replace(block, slices=block.slices[:1]) for block in blocks]
        table = scored(fits, data, first, settings)
        table["customer_id"] = f"{number}:" + table["customer_id"].astype("str")
        return table, evaluation_settings(params, customers_now())


def at_first_horizon_tables(table: pd.DataFrame, settings: EvaluationSettings) -> str:
    """Write the tables of snapshots scored at the first horizon."""
    label = load_params().labels[0]
    measured = evaluation_report(table, [label], settings)
    return "\n".join([verdict_table(measured, label), markdown_tables(measured, [label])])


def _in_words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value:.3g}" for key, value in values.items()) or "nothing to tune"


def shuffled_control(
    fit: Fitted, data: RiskData, block: Block, settings: ModelSettings, params: Params
) -> str:
    """Evaluate the model on unpredictable outcomes: unless AUROC is 0.5, something leaks."""
    shuffled = data.shuffled(params.evaluate.seed)
    table = score_block(fit(shuffled, block.slices, settings), shuffled, block, 0)
    measured = evaluation_report(table, params.labels, evaluation_settings(params, customers_now()))
    lines = ["### Control: shuffled outcomes", "", "AUROC of the model, to hold 0.5:", ""]
    for cause, by_label in measured["pooled"][NAME].items():
        for label, cell in by_label.items():
            lines.append(f"- {cause} {label}: {with_interval(cell['auroc'], 'auroc')}")
    return "\n".join([*lines, ""])


@contextlib.contextmanager
def oulad_world(path: Path) -> Any:
    """Enter a scratch folder in which the stages up to the features have run on OULAD."""

    def change(values: dict[str, Any]) -> None:
        for name, changed in OULAD.items():
            values[name] |= changed
        values["ingest"]["path"] = str(path.resolve())

    with scratch_folder(change):
        for stage in (ingest, validate, snapshot, featurize):
            stage.main()
        yield


def main() -> None:
    """Write the scoreboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oulad", type=Path, help="folder of OULAD's CSV files")
    parser.add_argument("--times", type=int, default=TIMES, help="customers of the larger world")
    parser.add_argument("--worlds", type=int, default=WORLDS, help="other worlds of that size")
    parser.add_argument("--trials", type=int, default=TRIALS, help="budget of each model's search")
    chosen = parser.parse_args()
    source = load_params().ingest.source
    text, best_of_all = section(f"The pipeline's state, source {source}", chosen.trials)
    sections = [text]
    if source == "simulated" and chosen.times > 1:
        sections.append(larger_section(best_of_all, chosen.times))
        if chosen.worlds:
            sections.append(more_worlds_section(best_of_all, chosen.times, chosen.worlds))
    if chosen.oulad:
        with oulad_world(chosen.oulad):
            sections.append(section("OULAD: students who withdraw", chosen.trials)[0])
    text = "\n".join(["# Scoreboard", "", *sections])
    write_text(text, REPORTS / "scoreboard.md")
    logger.info("\n%s", text)


if __name__ == "__main__":
    run_stage(main)
