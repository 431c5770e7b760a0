"""Stage ``ingest``: turn the raw records of any source into tables of the contract."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from data.atomic import replaced_folder
from pipelines.engines import duckdb_engine
from pipelines.params import load_params
from pipelines.paths import RAW, TRUTH
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.params import Params

logger = logging.getLogger("ingest")


def read_source(params: Params, target: Path, truth: Path) -> dict[str, int]:
    """Write the source's tables into ``target`` and return the number of rows per table.

    Only the simulated source writes into ``truth``.
    """
    section = params.ingest
    # Each source is imported only where it is used: they need different libraries.
    if section.source == "files":
        from data.sources.folder import read_files  # noqa: PLC0415

        with duckdb_engine(params) as engine:
            return read_files(
                section.path, target, section.columns, section.money_unit, section.currency, engine
            )
    if section.source == "oulad":
        from data.sources.oulad import read_oulad  # noqa: PLC0415

        return read_oulad(section.path, target, params.clock)
    from data.sources.simulated.world import simulate  # noqa: PLC0415

    return simulate(
        section.simulated,
        params.clock,
        target,
        truth,
        params.snapshot.horizons,
        currency=section.currency,
    )


def main() -> None:
    """Read the source that ``ingest.source`` names."""
    params = load_params()
    with replaced_folder(RAW) as target, replaced_folder(TRUTH) as truth:
        rows = read_source(params, target, truth)
    for name, count in rows.items():
        logger.info("%s: %d rows of %s", params.ingest.source, count, name)


if __name__ == "__main__":
    run_stage(main)
