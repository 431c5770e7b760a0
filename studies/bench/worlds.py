"""Simulated worlds for the benchmarks: created once and kept in ``tmp/bench``."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from data.arrivals import arrivals, write_arrivals
from data.atomic import replaced, replaced_folder
from data.contracts import INSTANT
from data.engine import PARQUET
from data.population_settings import QualityTerms
from data.quality import QualitySettings, validate
from data.sources.simulated.world import simulate
from features.measures import MEASURES
from pipelines.engines import chosen_engine
from pipelines.params import terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.engine import Engine
    from pipelines.params import Params

logger = logging.getLogger("bench")

FOLDER = Path("tmp/bench")
# Larger worlds keep their simulated dirt: removing it would take longer than the measurement.
VALIDATED_CUSTOMERS = 200_000


@dataclass(frozen=True)
class World:
    """The clean logs of a simulated business.

    Parameters
    ----------
    folder
        Folder of the clean tables, one Parquet file each.
    newest
        Number of the cutoff at which its history ends.
    """

    folder: Path
    newest: int

    @property
    def tables(self) -> dict[str, Path]:
        """Files of the tables, by name."""
        return {path.stem: path for path in sorted(self.folder.glob("*.parquet"))}

    def rows(self, table: str) -> int:
        """Count the rows of a table."""
        return int(pq.read_metadata(self.tables[table]).num_rows)


def world(customers: int, weeks: int, params: Params) -> World:
    """Return a world, which is simulated and (unless large) validated if it does not exist yet.

    Customers sign up throughout the history, so a shorter history is not a part of a longer one.
    """
    newest = params.clock.cutoff_on(params.ingest.simulated.start) + weeks
    made = World(FOLDER / f"{customers}x{weeks}" / "clean", newest)
    if not made.folder.exists():
        logger.info("simulating %d customers over %d weeks, once", customers, weeks)
        with replaced_folder(made.folder.parent) as folder:
            _make(customers, weeks, folder, params)
    return made


def _make(customers: int, weeks: int, folder: Path, params: Params) -> None:
    settings = replace(
        params.ingest.simulated, customers=customers, weeks=weeks, arrival_weeks=weeks
    )
    clock, raw, clean = params.clock, folder / "raw", folder / "clean"
    simulate(settings, clock, raw, None, currency=params.ingest.currency)
    if customers > VALIDATED_CUSTOMERS:
        raw.rename(clean)
        _write_arrivals(clean, params)
        return
    quality = QualitySettings(
        **terms(QualityTerms, params.validate_), lateness_days=params.clock.lateness_days
    )
    with chosen_engine(params) as engine:
        validate(raw, clean, folder / "quarantine", engine, clock, quality)
    shutil.rmtree(raw)


def tenth(whole: World, params: Params) -> World:
    """Return the world of a tenth of the customers: those whose id ends in 0."""
    return _part(whole, "tenth", lambda table: table.customer_id.endswith("0"), params)


def until(whole: World, cutoff: int, params: Params) -> World:
    """Return the world as it was known at a cutoff."""
    instant = params.clock.cutoff_at(cutoff)

    def known(table: Any) -> Any:
        column = table.available_at if "available_at" in table.columns else table.signed_up_at
        return column <= ibis.literal(instant)

    return replace(_part(whole, f"until-{cutoff}", known, params), newest=cutoff)


def _part(whole: World, name: str, chosen: Callable[[Any], Any], params: Params) -> World:
    """Write the chosen rows of every table, in their order."""
    part = replace(whole, folder=whole.folder.parent / name)
    if not part.folder.exists():
        with replaced_folder(part.folder) as folder, chosen_engine(params) as engine:
            for table, path in whole.tables.items():
                rows = engine.read(path)
                _write(rows.filter(chosen(rows)), folder / f"{table}.parquet", engine)
            _write_arrivals(folder, params)
    return part


def _write_arrivals(folder: Path, params: Params) -> None:
    clock = params.clock
    with chosen_engine(params) as engine:
        logs = {log: engine.read(folder / f"{log}.parquet") for log in MEASURES}
        write_arrivals({n: arrivals(rows, engine, clock) for n, rows in logs.items()}, folder)


def _write(rows: Any, path: Path, engine: Engine) -> None:
    """Write rows in their order."""
    engine.connection.raw_sql("SET preserve_insertion_order = true")
    with replaced(path) as temporary:
        engine.connection.to_parquet(rows, str(temporary), **PARQUET)


def snapshots(of: World, cutoffs: int, params: Params) -> Path:
    """Write the snapshots of the newest cutoffs, as customer_id and cutoff, sorted by both.

    There is one for every customer who had signed up by the cutoff.
    """
    path = of.folder.parent / f"{of.folder.name}-snapshots-{cutoffs}.parquet"
    if not path.exists():
        clock = params.clock
        newest = range(of.newest - cutoffs + 1, of.newest + 1)
        instants = pa.array([clock.cutoff_at(number) for number in newest], INSTANT)
        at = ibis.memtable(pa.table({"cutoff": instants}))
        with chosen_engine(params) as engine:
            customers = engine.read(of.tables["customers"])
            pairs = customers.join(at, customers.signed_up_at <= at.cutoff)
            engine.write(pairs.select("customer_id", "cutoff"), path, ("customer_id", "cutoff"))
    return path
