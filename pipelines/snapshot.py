"""Stage ``snapshot``: which customers are observed when, and the outcomes."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from data.atomic import replaced_folder, write_table, write_text
from data.outcomes import OutcomeSettings
from data.population import Population, PopulationSettings, observe_population
from data.population_settings import PopulationTerms
from pipelines.engines import chosen_engine
from pipelines.params import load_params, terms
from pipelines.paths import CLEAN, REPORTS, SNAPSHOTS, tables_in
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from data.clock import Clock
    from pipelines.params import Params

logger = logging.getLogger("snapshot")


def report(population: Population, clock: Clock, horizons: tuple[int, ...]) -> dict[str, Any]:
    """Counts for readers: snapshots, outcomes, why some are null, and how fresh each log is."""
    outcomes: dict[str, dict[str, int]] = {}
    for label in map(clock.label, horizons):
        counts: dict[str, int] = {}
        for column in (f"outcome_{label}", f"null_reason_{label}"):
            for pair in pc.value_counts(population.outcomes[column].drop_null()).to_pylist():
                counts[pair["values"]] = pair["counts"]
        outcomes[label] = dict(sorted(counts.items()))
    return {
        "as_of": clock.cutoff_at(population.cutoffs.as_of).date().isoformat(),
        "first_cutoff": clock.cutoff_at(population.cutoffs.first).date().isoformat(),
        "snapshots": population.snapshots.num_rows,
        "customers_now": pc.sum(population.snapshots["newest"]).as_py(),
        "already_decided": population.already_decided,
        "outcomes": outcomes,
        "newest_row": {
            name: clock.instant(newest).isoformat()
            for name, newest in population.coverage.newest_us.items()
        },
    }


def population_settings(params: Params) -> PopulationSettings:
    """Which customers are observed, when, and how far ahead."""
    section = params.snapshot
    return PopulationSettings(
        **terms(PopulationTerms, section),
        as_of=None if section.as_of is None else params.clock.cutoff_on(section.as_of),
        history_periods=params.history_periods,
        outcome=OutcomeSettings(section.horizons, section.undo_days, params.clock.lateness_days),
    )


def main() -> None:
    """Read the clean tables, write snapshots and outcomes."""
    params = load_params()
    clock = params.clock
    with chosen_engine(params) as engine:
        tables = {name: engine.read(path) for name, path in tables_in(CLEAN).items()}
        population = observe_population(tables, clock, population_settings(params), engine)
    counts = report(population, clock, params.snapshot.horizons)
    with replaced_folder(SNAPSHOTS) as folder:
        write_table(population.snapshots, folder / "snapshots.parquet")
        write_table(population.outcomes, folder / "outcomes.parquet")
        write_table(population.lifetimes, folder / "lifetimes.parquet")
    write_text(json.dumps(counts, indent=2) + "\n", REPORTS / "snapshots.json")
    logger.info(
        "%(snapshots)d snapshots from %(first_cutoff)s to %(as_of)s, %(customers_now)d current",
        counts,
    )


if __name__ == "__main__":
    run_stage(main)
