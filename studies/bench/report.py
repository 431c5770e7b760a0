"""The report of the benchmarks: a table per section, and whether the bars are met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data.markdown import LEFT, RIGHT, markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Row = dict[str, Any]
    Results = Mapping[str, Sequence[Row]]

# Bars: how many times slower than ours a peer must be, and how many scans ours may take.
SLOWER = {"pandas": 10, "polars": 10, "sql": 50, "featuretools": 100}
MOST_SCANS = 8
LARGE = 90_000_000  # rows of usage from which on a world counts as one of 100 million

TITLES = {
    "peers": "Six aggregates over four windows at 27 cutoffs, beside what one would write instead",
    "events": "Cost by events",
    "windows": "Cost by windows",
    "week": "One week more, on top of 52 (measures of all logs)",
    "families": "Every feature of every customer at the newest cutoff",
    "training": "Training beside bare LightGBM on the same rows; scoring, with reasons",
    "simulated": "The simulated world",
}
NOTES = {
    "peers": "Each contender runs in a process of its own with the same number of threads, reads "
    "the same Parquet file, and is timed from before reading to the last sum, without interpreter "
    "and imports; medians of runs in turns. Featuretools runs on a tenth of the customers: its "
    "seconds are times ten. The scan is one query that aggregates every column that the measures "
    "read. *polars* and *sql* are as one would write them; *polars_tuned* and *sql_masks* do the "
    "same with an eye to what that costs, and have no bar.",
    "events": "Customers grow with the events; seconds include writing the columns.",
    "windows": "The same usage; seconds by stage.",
}


class Bar(NamedTuple):
    """A bar, the measurement, and whether it holds (None: measured on too little to tell)."""

    what: str
    measured: str
    bar: str
    holds: bool | None


def bars(results: Results) -> list[Bar]:
    """Return every bar of the sections measured so far."""
    judges = {
        "peers": _peers,
        "events": _events,
        "windows": _windows,
        "week": _week,
        "families": _families,
        "training": _training,
    }
    return [
        bar for name, judge in judges.items() if name in results for bar in judge(results[name])
    ]


def _peers(rows: Sequence[Row]) -> Iterator[Bar]:
    seconds = {row["contender"]: row["seconds"] for row in rows}
    for name, bar in SLOWER.items():
        times = seconds[name] / seconds["ours"]
        yield Bar(f"times as fast as {name}", f"{times:.1f}", f"at least {bar}", times >= bar)
    scans = seconds["ours"] / seconds["scan"]
    yield Bar(
        "times the scan of the file", f"{scans:.1f}", f"at most {MOST_SCANS}", scans <= MOST_SCANS
    )
    different = [row["contender"] for row in rows if not row["equal_sums"]]
    yield Bar("different sums", ", ".join(different) or "none", "none", not different)


def _events(rows: Sequence[Row]) -> Iterator[Bar]:
    exponent, off = power(rows)
    largest = max(rows, key=lambda row: row["usage_rows"])
    large = largest["usage_rows"] >= LARGE
    yield Bar(
        "power of the events that seconds follow",
        f"{exponent:.2f} (fit off by at most {off - 1:.0%})",
        "at most 1.1",
        exponent <= 1.1 if large else None,
    )
    yield Bar(
        f"GiB at the peak with {largest['usage_rows']:,} rows of usage",
        f"{largest['peak_gib']:.2f}",
        "at most 4 with 100 million",
        largest["peak_gib"] <= 4 if large else None,
    )


def power(rows: Sequence[Row]) -> tuple[float, float]:
    """Fit the exponent of seconds over rows of usage; also return the largest error as a factor."""
    x = np.log([row["usage_rows"] for row in rows])
    y = np.log([row["seconds"] for row in rows])
    exponent, offset = np.polyfit(x, y, 1)
    return float(exponent), float(np.exp(np.abs(exponent * x + offset - y).max()))


def _windows(rows: Sequence[Row]) -> Iterator[Bar]:
    few, many = rows
    cells = many["windows"] / few["windows"]
    for stage, bar in (("measure", 1.1), ("roll", 1.1 * cells), ("write", 1.1 * cells)):
        times = many[stage] / few[stage]
        what = f"times the {stage} stage with {cells:.0f} times the output"
        yield Bar(what, f"{times:.2f}", f"at most {bar:.1f}", times <= bar)


def _week(rows: Sequence[Row]) -> Iterator[Bar]:
    seconds = {row["what"]: row["seconds"] for row in rows}
    share = seconds["added"] / seconds["rebuilt"]
    yield Bar(
        "share of a rebuild that a week more costs", f"{share:.1%}", "at most 10%", share <= 0.1
    )


def _families(rows: Sequence[Row]) -> Iterator[Bar]:
    (row,) = rows
    large = row["customers"] >= 1_000_000
    yield Bar(
        f"minutes for {row['features']} features of {row['customers']:,} customers",
        f"{row['seconds'] / 60:.1f}",
        "minutes, not hours, for 1,000,000",
        row["seconds"] < 3600 if large else None,
    )


def _training(rows: Sequence[Row]) -> Iterator[Bar]:
    large = min(row["rows"] for row in rows) >= 1_000_000
    figures = {name: value for row in rows for name, value in row.items()}
    for name, what, bar in (
        ("seconds_over_bare", "times the seconds of bare LightGBM", 1.25),
        ("peak_gib_over_bare", "times the memory of bare LightGBM", 1.25),
        ("reasons_over_scoring", "times the scoring that reasons of the listed cost", 0.1),
    ):
        holds = figures[name] <= bar if large else None
        yield Bar(what, f"{figures[name]:.2f}", f"at most {bar} with 1,000,000 rows", holds)


def bench_report(results: Results) -> str:
    """Write the report in Markdown."""
    verdicts = {True: "yes", False: "**no**", None: "measured on too little to tell"}
    judged = [bar._asdict() | {"holds": verdicts[bar.holds]} for bar in bars(results)]
    parts = ["# Bench", "Measured by `make bench` (`FULL=1` for all sizes)."]
    parts += ["## Bars", table(judged)] if judged else []
    for name, title in TITLES.items():
        if name in results:
            parts += [f"## {title}", *filter(None, [NOTES.get(name)]), table(results[name])]
    return "\n\n".join(parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table."""
    example = {name: value for row in rows for name, value in row.items()}
    header = [name.replace("_", " ") for name in example]
    sides = [LEFT if isinstance(value, str) else RIGHT for value in example.values()]
    cells = [[_cell(row.get(name, "")) for name in example] for row in rows]
    return "\n".join(markdown_table(header, cells, sides))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
