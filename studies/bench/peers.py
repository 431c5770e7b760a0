"""The usual alternatives: the same six aggregates with pandas, Polars, SQL and Featuretools.

``python peers.py NAME TASK`` runs one of them, in an environment that has them, and prints its cost
and result as JSON. Imports nothing of ours: Featuretools needs an older pandas than we do.

A task is JSON: ``usage`` (Parquet file of the contract), ``snapshots`` (Parquet file of
``customer_id`` and ``cutoff``: the cells), ``windows`` (periods), ``period_us``, ``threads``. For
each window a cell gets, of the rows available by its cutoff whose event lies in
``(cutoff - window, cutoff]``: uses, seconds, active days, distinct features, the last use (whole
seconds since 1970) and the longest duration. A correct implementation has the same sum of each over
all cells, and the same number of cells with any use.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import tempfile
import time
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Task = dict[str, Any]
    Sums = dict[str, int]

AGGREGATES = ("uses", "seconds", "active_days", "features", "last_use_s", "longest_s")
READ = ["customer_id", "event_at", "available_at", "feature", "count", "duration_s"]
# Counting distinct values uses all of it; without a limit DuckDB would fill the machine.
SQL_MEMORY = "12GB"
SECOND = 1_000_000
DAY = 86_400 * SECOND


def scan(task: Task) -> Sums:
    """Run the floor: one query that reads every column that the measures read, without groups."""
    import duckdb

    with duckdb.connect(config={"threads": task["threads"]}) as connection:
        query = (
            "SELECT max(customer_id), max(event_at), max(available_at), max(feature), "
            "sum(count), sum(duration_s) FROM read_parquet(?)"
        )
        connection.execute(query, [task["usage"]]).fetchall()
    return {}


def pandas_per_cutoff(task: Task) -> Sums:
    """Slice a frame in memory to each window of each cutoff, and group it by customer."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(task["threads"])
    texts = ["customer_id", "feature"]
    table = pq.read_table(task["usage"], columns=READ, read_dictionary=texts).unify_dictionaries()
    usage = table.to_pandas(split_blocks=True, self_destruct=True)
    snapshots = pd.read_parquet(task["snapshots"])
    snapshots["cutoff"] = snapshots["cutoff"].astype("int64")
    # Numbers instead of names and instants, and in time order, so that a window is a slice.
    ids = pd.Index(snapshots["customer_id"].unique())
    snapshots["customer_id"] = ids.get_indexer(snapshots["customer_id"])
    usage["customer_id"] = usage["customer_id"].cat.set_categories(ids).cat.codes
    usage["feature"] = usage["feature"].cat.codes
    usage["event_at"] = usage["event_at"].astype("int64")
    usage["available_at"] = usage["available_at"].astype("int64")
    usage["day"] = (usage["event_at"] // DAY).astype("int32")
    usage = usage.sort_values("event_at", ignore_index=True)
    event = usage["event_at"].to_numpy()
    parts = []
    for cutoff, live in snapshots.groupby("cutoff")["customer_id"]:
        wide = {}
        for window in task["windows"]:
            span = [cutoff - window * task["period_us"], cutoff]
            rows = usage.iloc[slice(*np.searchsorted(event, span, side="right"))]
            rows = rows[rows["available_at"] <= cutoff]
            wide[window] = rows.groupby("customer_id", sort=False).agg(
                uses=("count", "sum"),
                seconds=("duration_s", "sum"),
                active_days=("day", "nunique"),
                features=("feature", "nunique"),
                last_use_s=("event_at", "max"),
                longest_s=("duration_s", "max"),
            )
        parts.append(pd.concat(wide, axis=1).reindex(live))
    return _sums(task, pd.concat(parts))


def _sums(task: Task, features: Any) -> Sums:
    """Sum a pandas frame with columns (window, aggregate); the last use is in microseconds."""
    sums: Sums = {}
    for window in task["windows"]:
        cells = features[window]
        cells = cells.assign(last_use_s=cells["last_use_s"] // SECOND)
        # Without use there are gaps, so these are floats: whole, and exact below 2**53.
        sums |= {f"{name}_{window}": int(cells[name].sum()) for name in AGGREGATES}
        sums[f"cells_{window}"] = int(cells["last_use_s"].count())
    return sums


def polars_per_cutoff(task: Task) -> Sums:
    """Filter a frame in memory for each window of each cutoff, and group it by customer."""
    import polars as pl

    event = pl.col("event_at")
    usage = pl.read_parquet(task["usage"], columns=READ).with_columns(day=event.dt.date())
    snapshots = pl.read_parquet(task["snapshots"])
    parts = []
    for (cutoff,), live in snapshots.group_by("cutoff"):
        wide = live
        for window in task["windows"]:
            start = cutoff - timedelta(microseconds=window * task["period_us"])
            rows = usage.filter(event > start, event <= cutoff, pl.col("available_at") <= cutoff)
            part = rows.group_by("customer_id").agg(
                pl.col("count").sum().alias(f"uses_{window}"),
                pl.col("duration_s").sum().alias(f"seconds_{window}"),
                pl.col("day").n_unique().alias(f"active_days_{window}"),
                pl.col("feature").n_unique().alias(f"features_{window}"),
                event.max().dt.epoch("s").alias(f"last_use_s_{window}"),
                pl.col("duration_s").max().alias(f"longest_s_{window}"),
            )
            wide = wide.join(part, on="customer_id", how="left")
        parts.append(wide)
    return _polars_sums(task, pl.concat(parts))


def _polars_sums(task: Task, features: Any) -> Sums:
    """Sum a Polars frame with a column for each aggregate and window."""
    import polars as pl

    names = [f"{name}_{window}" for window in task["windows"] for name in AGGREGATES]
    sums: Sums = features.select(pl.col(names).cast(pl.Int64).sum()).row(0, named=True)
    return sums | {f"cells_{w}": features[f"last_use_s_{w}"].count() for w in task["windows"]}


def polars_tuned(task: Task) -> Sums:
    """Do the same, tuned: ids as integers, rows sorted, all windows in one plan."""
    import polars as pl

    event, day = pl.col("event_at"), (pl.col("event_at") // DAY).cast(pl.Int32)
    snapshots = pl.scan_parquet(task["snapshots"]).with_columns(pl.col("cutoff").dt.epoch("us"))
    cells = snapshots.collect()
    numbers = cells.select(pl.col("customer_id").unique(maintain_order=True)).with_row_index(
        "number"
    )
    usage = (
        pl.scan_parquet(task["usage"])
        .select(READ)
        .with_columns(event.dt.epoch("us"), pl.col("available_at").dt.epoch("us"))
        .with_columns(pl.col("feature").cast(pl.Categorical).to_physical(), day=day)
        .join(numbers.lazy(), on="customer_id")
        .drop("customer_id")
        .with_columns(pl.col("count", "duration_s").cast(pl.Int32))
        .collect(engine="streaming")
        .sort("number", "event_at")
        .lazy()
    )
    cells = cells.join(numbers, on="customer_id").select("cutoff", "number")
    parts = []
    for (cutoff,), live in cells.group_by("cutoff"):
        known = usage.filter(event <= cutoff, pl.col("available_at") <= cutoff)
        windows = [
            known.filter(event > cutoff - window * task["period_us"])
            .group_by("number")
            .agg(
                pl.col("count").sum().cast(pl.Int64).alias(f"uses_{window}"),
                pl.col("duration_s").cast(pl.Int64).sum().alias(f"seconds_{window}"),
                pl.col("day").n_unique().alias(f"active_days_{window}"),
                pl.col("feature").n_unique().alias(f"features_{window}"),
                (event.max() // SECOND).alias(f"last_use_s_{window}"),
                pl.col("duration_s").max().alias(f"longest_s_{window}"),
            )
            for window in task["windows"]
        ]
        wide = live
        for part in pl.collect_all(windows):
            wide = wide.join(part, on="number", how="left")
        parts.append(wide)
    return _polars_sums(task, pl.concat(parts))


def sql_join(task: Task) -> Sums:
    """Join snapshots to events once in DuckDB, one group per snapshot, the windows as filters."""
    return _sql_join(
        task, "count(DISTINCT day) FILTER ({0})", "count(DISTINCT feature) FILTER ({0})"
    )


def sql_masks(task: Task) -> Sums:
    """Do the same join without the cost of DISTINCT: days and features as bits."""
    days = "bit_count(bit_or(1::HUGEINT << (last_day - day)::INTEGER) FILTER ({0}))"
    return _sql_join(task, days, "bit_count(bit_or(1::BIGINT << feature_code) FILTER ({0}))")


def _sql_join(task: Task, days: str, features: str) -> Sums:
    """Run the join, with expressions for distinct days and features where a filter holds."""
    import duckdb

    columns = ",".join(
        f"""
        sum(count) FILTER ({inside}) AS uses_{window},
        sum(duration_s) FILTER ({inside}) AS seconds_{window},
        {days.format(inside)} AS active_days_{window},
        {features.format(inside)} AS features_{window},
        epoch_us(max(event_at) FILTER ({inside})) // {SECOND} AS last_use_s_{window},
        max(duration_s) FILTER ({inside}) AS longest_s_{window}"""
        for window in task["windows"]
        for inside in [f"WHERE event_at > cutoff - to_microseconds({window * task['period_us']})"]
    )
    longest = max(task["windows"]) * task["period_us"]
    with (
        tempfile.TemporaryDirectory(prefix="churn-risk-") as scratch,
        duckdb.connect(
            config={
                "threads": task["threads"],
                "memory_limit": SQL_MEMORY,
                "temp_directory": scratch,
            }
        ) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"""
            CREATE TABLE result AS
            WITH codes AS (
                SELECT feature, (row_number() OVER ())::INTEGER AS feature_code
                FROM (SELECT DISTINCT feature FROM read_parquet($usage))
            ),
            usage AS (
                SELECT *, epoch_us(event_at) // {DAY} AS day
                FROM read_parquet($usage) JOIN codes USING (feature)
            ),
            snapshots AS (
                SELECT *, epoch_us(cutoff) // {DAY} AS last_day FROM read_parquet($snapshots)
            )
            SELECT snapshots.customer_id, cutoff, {columns}
            FROM snapshots LEFT JOIN usage
              ON usage.customer_id = snapshots.customer_id AND available_at <= cutoff
             AND event_at <= cutoff AND event_at > cutoff - to_microseconds({longest})
            GROUP BY ALL
            """,
            {"usage": task["usage"], "snapshots": task["snapshots"]},
        )
        asked = [f"sum({n}_{w}) AS {n}_{w}" for w in task["windows"] for n in AGGREGATES]
        asked += [f"count(last_use_s_{w}) AS cells_{w}" for w in task["windows"]]
        result = connection.execute(f"SELECT {', '.join(asked)} FROM result")
        (row,) = result.fetchall()
        names = [column[0] for column in result.description]
        return {name: int(value) for name, value in zip(names, row, strict=True)}


def featuretools(task: Task) -> Sums:
    """Run Featuretools with cutoff times, a training window and a time index of late rows."""
    import featuretools as ft
    import pandas as pd
    from featuretools.primitives import Max, NumUnique, Sum

    usage = pd.read_parquet(task["usage"], columns=READ)
    snapshots = pd.read_parquet(task["snapshots"])
    for frame in (usage, snapshots):  # Featuretools does not support time zones
        for name in {"event_at", "available_at", "cutoff"} & {*frame}:
            frame[name] = frame[name].dt.tz_localize(None)
    usage["event_us"] = usage["event_at"].astype("datetime64[us]").astype("int64")
    usage["day"] = usage["event_us"] // DAY
    usage["row"] = range(len(usage))
    known_late = ["event_us", "day", "feature", "count", "duration_s"]
    entities = ft.EntitySet("business")
    customers = snapshots[["customer_id"]].drop_duplicates()
    entities.add_dataframe(customers, "customers", index="customer_id")
    entities.add_dataframe(
        usage,
        "usage",
        index="row",
        time_index="event_at",
        secondary_time_index={"available_at": known_late},
        logical_types={"day": "Categorical", "feature": "Categorical"},
    )
    entities.add_relationship("customers", "customer_id", "usage", "customer_id")
    terms = (
        ("count", Sum), ("duration_s", Sum), ("day", NumUnique), ("feature", NumUnique),
        ("event_us", Max), ("duration_s", Max),
    )  # fmt: skip
    wanted = [
        ft.Feature(entities["usage"].ww[column], parent_dataframe_name="customers", primitive=how)
        for column, how in terms
    ]
    times = snapshots.rename(columns={"cutoff": "time"})
    wide = {}
    for window in task["windows"]:
        span = ft.Timedelta(window * task["period_us"] // SECOND, "s")
        matrix = ft.calculate_feature_matrix(wanted, entities, times, training_window=span)
        wide[window] = matrix.set_axis(AGGREGATES, axis=1)
    return _sums(task, pd.concat(wide, axis=1))


PEERS: dict[str, Callable[[Task], Sums]] = {
    "scan": scan,
    "pandas": pandas_per_cutoff,
    "polars": polars_per_cutoff,
    "polars_tuned": polars_tuned,
    "sql": sql_join,
    "sql_masks": sql_masks,
    "featuretools": featuretools,
}
LIBRARIES = {
    "scan": ("duckdb",),
    "pandas": ("pandas", "pyarrow.parquet"),
    "polars": ("polars",),
    "polars_tuned": ("polars",),
    "sql": ("duckdb",),
    "sql_masks": ("duckdb",),
    "featuretools": ("featuretools",),
}


def measured(run: Callable[[], Any]) -> dict[str, Any]:
    """Run something; return elapsed and processor seconds, peak memory and its result."""
    began, used = time.perf_counter(), time.process_time()
    result = run()
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "result": result,
    }


def main(name: str, task: Task) -> None:
    """Run one of them and print its cost and result; imports are not counted."""
    warnings.simplefilter("ignore")  # of libraries about each other
    os.environ["POLARS_MAX_THREADS"] = str(task["threads"])
    for library in LIBRARIES[name]:
        importlib.import_module(library)
    sys.stdout.write(json.dumps(measured(lambda: PEERS[name](task))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
