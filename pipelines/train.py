"""Stage ``train``: fit the model that scores, up to the newest known outcomes."""

from __future__ import annotations

from models.boosters import NAME, booster_learner, save_model
from models.competing_risks import fit_risk_model
from models.split import refit_block
from pipelines.load import blocks_of, load_catalog, load_history, monotone_signs, newest_cutoff
from pipelines.modelling import model_settings
from pipelines.params import load_params
from pipelines.paths import MODEL
from pipelines.stage import run_stage


def main() -> None:
    """Fit on the history and write the model's folder."""
    params = load_params()
    clock = params.clock
    data = load_history(clock, params.labels, params.train.memory_limit)
    settings = model_settings(params, monotone_signs(load_catalog()))
    blocks_of(data, params)  # refuses a history that is too short for the backtest
    block = refit_block(int(data.cutoff.min()), newest_cutoff(), params.split)
    model = fit_risk_model(NAME, booster_learner(settings), data, block.slices, settings)
    save_model(model, MODEL)


if __name__ == "__main__":
    run_stage(main)
