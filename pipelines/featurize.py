"""Stage ``featurize``: measure the logs, roll them over windows, derive the features."""

from __future__ import annotations

from data.atomic import replaced_folder
from features.build import build_features
from pipelines.engines import chosen_engine
from pipelines.params import load_params
from pipelines.paths import CLEAN, FEATURES, PERIODS, SNAPSHOTS, needed, tables_in
from pipelines.stage import run_stage


def main() -> None:
    """Write the features of every snapshot, and the measures that they are derived from."""
    params = load_params()
    with (
        chosen_engine(params) as engine,
        replaced_folder(FEATURES) as target,
        replaced_folder(PERIODS) as periods,
    ):
        build_features(
            tables_in(CLEAN),
            needed(SNAPSHOTS / "snapshots.parquet"),
            target,
            periods,
            engine,
            params.clock,
            params.featurize,
            earlier=PERIODS,
        )


if __name__ == "__main__":
    run_stage(main)
