"""The quality stage: which raw rows are kept, which are quarantined, and by which rule.

Every raw row ends in exactly one of two places: ``clean`` if it breaks no rule, or ``quarantine``
with the first rule that it breaks. No row is repaired or dropped.

Whether a row is kept is a function of the row itself, of the customers' dimension, and of rows that
became available no later than it. Row rules look at one row. Duplicates are sought among the rows
that break no row rule, and the first available one is kept: a later copy never changes what was
known before. A broken row does not count as a delivery of its event, so a corrected row counts from
its own arrival instead of being discarded as a duplicate of the broken one.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from data.arrivals import arrivals, write_arrivals
from data.atomic import replaced_folder, write_table, write_text
from data.clock import EPOCH, Clock
from data.contracts import BILLING_INTERVALS, CAUSES, CUSTOMERS, LOGS, PRIORITIES, TABLES, Table
from data.errors import BadInputError
from data.population_settings import QualityTerms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.engine import Engine

# Without contracts, silence decides who left; so either log is a source of outcomes.
OUTCOME_SOURCES = ("subscriptions", "usage")
# Instants outside are errors of unit (milliseconds read as seconds) or stand for "never".
EARLIEST = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
ALLOWED_VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "subscriptions": {"billing_interval": BILLING_INTERVALS, "cause": CAUSES},
    "tickets": {"priority": PRIORITIES},
}


@dataclass(frozen=True)
class QualitySettings(QualityTerms):
    """Limits of the quality stage.

    Parameters
    ----------
    lateness_days
        Longest delay between ``event_at`` and ``available_at``, in days.
    """

    lateness_days: int = 7


@dataclass(frozen=True)
class Rule:
    """A rule that a row can break.

    Parameters
    ----------
    name
        Name under which a row is quarantined.
    sentence
        What is wrong with a row that breaks the rule, in plain words.
    broken
        Deferred Ibis boolean over the columns of the table and, for a log, ``signed_up_at`` of its
        customer (null if there is no such customer). True breaks the rule, null does not. None for
        the rule on duplicates, which compares rows.
    """

    name: str
    sentence: str
    broken: Any


def rules(table: Table, lateness_days: int) -> tuple[Rule, ...]:
    """Return the rules of a table in the order in which they are checked.

    Rules that follow from the contract come first, the rule on duplicates last. ``lateness_days``
    is the longest delay allowed between the two times of a row.
    """
    key = "event_id" if table.is_log else "customer_id"
    duplicate = Rule(
        f"duplicate_{key}", f"an earlier available row has the same {key} and is kept", None
    )
    timing = _log_rules(lateness_days) if table.is_log else ()
    return (*_contract_rules(table), *timing, duplicate)


def _contract_rules(table: Table) -> tuple[Rule, ...]:
    missing = [
        Rule(f"missing_{c.name}", f"{c.name} is null", ibis._[c.name].isnull())
        for c in table.columns
        if c.required
    ]
    allowed = {"kind": table.kinds} if table.kinds else {}
    unknown = [
        Rule(f"unknown_{c}", f"{c} is none of {', '.join(values)}", ibis._[c].notin(values))
        for c, values in (allowed | ALLOWED_VALUES.get(table.name, {})).items()
    ]
    by_kind = [
        Rule(
            f"{kind}_without_{c}",
            f"{c} is null on a row of kind {kind}",
            (ibis._.kind == kind) & ibis._[c].isnull(),
        )
        for kind, columns in table.kind_requires
        for c in columns
    ]
    minimum = [
        Rule(
            f"{c.name}_below_{c.minimum}",
            f"{c.name} is below {c.minimum}",
            ibis._[c.name] < c.minimum,
        )
        for c in table.columns
        if c.minimum is not None
    ]
    implausible = [
        Rule(
            f"implausible_{c.name}",
            f"{c.name} is outside the years {EARLIEST.year} to {LATEST.year - 1}",
            (ibis._[c.name] < EARLIEST) | (ibis._[c.name] >= LATEST),
        )
        for c in table.columns
        if c.required and c.type == "instant"
    ]
    return (*missing, *unknown, *by_kind, *minimum, *implausible)


def _log_rules(lateness_days: int) -> tuple[Rule, ...]:
    event_at, available_at, signed_up_at = ibis._.event_at, ibis._.available_at, ibis._.signed_up_at
    late = available_at > event_at + ibis.interval(days=lateness_days)
    return (
        Rule(
            "unknown_customer",
            "customer_id has no clean customer row",
            signed_up_at.isnull(),
        ),
        Rule(
            "before_sign_up",
            "event_at is before the customer signed up",
            event_at < signed_up_at,
        ),
        Rule(
            "available_before_event",
            "available_at is before event_at",
            available_at < event_at,
        ),
        Rule("too_late", f"available_at is more than {lateness_days} days after event_at", late),
    )


def validate(
    raw: Path,
    clean: Path,
    quarantine: Path,
    engine: Engine,
    clock: Clock,
    settings: QualitySettings,
) -> dict[str, Any]:
    """Split the raw rows into clean and quarantined ones.

    The quarantine is written first, together with the report (``report.json``), so that it can be
    inspected when the run then stops; the clean folder is replaced only if no limit is exceeded.

    Parameters
    ----------
    raw
        Folder of ``<table>.parquet`` in the contract's schemas; a log may be absent.
    clean
        Folder replaced by ``<table>.parquet`` of the rows that break no rule, sorted by (period of
        available_at, customer_id, event_at, available_at, event_id), customers by customer_id,
        and ``arrivals.json``, which shows the periods that a change of the source affects.
    quarantine
        Folder replaced by ``<table>.parquet`` of the other rows, with the column ``rule``.
    engine
        Runs the scans; the number of its threads does not change a byte.
    clock
        Numbers the periods and cutoffs.
    settings
        Limits.

    Returns
    -------
    dict
        Table to ``rows``, ``clean``, ``quarantined`` (``rows = clean + quarantined``) and ``rules``
        (rule to number of rows, broken rules only); for logs also ``first_event_at`` and
        ``last_available_at`` of the clean rows (ISO 8601, null if there are none) and
        ``newest_cutoff``, the date of the last cutoff at or before ``last_available_at``.

    Raises
    ------
    BadInputError
        If a file or a source of outcomes is missing, a schema is not the contract's, a table has no
        rows (or no clean rows), a limit has an unknown name, or the share of a table's rows that
        break a rule exceeds its limit.
    """
    tables = _tables(raw)
    _check_limit_names(settings)
    with tempfile.TemporaryDirectory(prefix="churn-risk-") as scratch:
        judged = _judged_tables(raw, tables, engine, Path(scratch), settings)
        report = {t.name: _summary(judged[t.name], t, engine, clock) for t in tables}
        with replaced_folder(quarantine) as folder:
            for table in tables:
                _write_broken(judged[table.name], table, report, engine, folder)
            write_text(json.dumps(report, indent=2) + "\n", folder / "report.json")
        for table in tables:
            _check_shares(table, report[table.name], quarantine, settings)
        with replaced_folder(clean) as folder:
            for table in tables:
                kept = _kept(judged[table.name]).select(table.schema.names)
                engine.write(kept, folder / f"{table.name}.parquet", _order(table, engine, clock))
            arrived = {
                table.name: arrivals(engine.read(folder / f"{table.name}.parquet"), engine, clock)
                for table in tables
                if table.is_log
            }
            write_arrivals(arrived, folder)
    return report


def _order(table: Table, engine: Engine, clock: Clock) -> list[Any]:
    """Return the order of a clean table: arrivals of a period are adjacent, to be read alone."""
    if not table.is_log:
        return ["customer_id"]
    arrived = clock.period_column(engine.microseconds(ibis._.available_at))
    return [arrived, "customer_id", "event_at", "available_at", "event_id"]


def _tables(raw: Path) -> list[Table]:
    """Return the tables in ``raw``, customers first; checks their files."""
    present = [CUSTOMERS, *(t for t in LOGS if (raw / f"{t.name}.parquet").exists())]
    for table in present:
        _check_file(raw / f"{table.name}.parquet", table)
    if not any(table.name in OUTCOME_SOURCES for table in present):
        raise BadInputError(
            f"{raw} has no source of outcomes: add subscriptions.parquet (who cancelled) or "
            "usage.parquet (who fell silent)."
        )
    return present


def _check_file(path: Path, table: Table) -> None:
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except FileNotFoundError:
        raise BadInputError(f"{path} is missing: run the ingest stage.") from None
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"{path} cannot be read as Parquet: export it again.") from error
    for column in table.schema:
        if column.name not in schema.names:
            raise BadInputError(f"{path} lacks the column {column.name} ({column.type}): add it.")
        if (actual := schema.field(column.name).type) != column.type:
            raise BadInputError(
                f"Column {column.name} of {path} is of type {actual} in all {rows:,} rows where "
                f"the contract says {column.type}: convert it."
            )
    if schema.names != table.schema.names:
        raise BadInputError(
            f"{path} has the columns {', '.join(schema.names)} where the contract says, in this "
            f"order, {', '.join(table.schema.names)}."
        )
    if rows == 0:
        raise BadInputError(f"{path} has no rows: export it again, or remove the file.")


def _check_limit_names(settings: QualitySettings) -> None:
    known = {f"{t.name}.{r.name}" for t in TABLES.values() for r in rules(t, 0)}
    for name in sorted(set(settings.share_limits) - known):
        raise BadInputError(
            f"validate.share_limits has no rule {name!r}: use table.rule, e.g. "
            "usage.unknown_customer."
        )


def _judged_tables(
    raw: Path, tables: Sequence[Table], engine: Engine, scratch: Path, settings: QualitySettings
) -> dict[str, Any]:
    """Return the judged rows of every table, lazily; logs are checked against clean customers."""
    judged: dict[str, Any] = {}
    for table in tables:
        rows = engine.read(raw / f"{table.name}.parquet")
        if table.is_log:
            known = _kept(judged["customers"]).select("customer_id", "signed_up_at")
            rows = rows.left_join(known, "customer_id")
        judged[table.name] = _judged(rows, table, engine, scratch, settings)
    return judged


def _judged(
    rows: Any, table: Table, engine: Engine, scratch: Path, settings: QualitySettings
) -> Any:
    """Add ``rule``: the first rule that a row breaks, null for a clean row.

    ``rows`` are the rows of the table, for a log joined to ``signed_up_at``. Copies are ranked only
    among repeated IDs: sorting every row to find none would cost more than all other rules
    together.
    """
    *row_rules, duplicate = rules(table, settings.lateness_days)
    cases = [(rule.broken, rule.name) for rule in row_rules]
    flagged = rows.mutate(rule=ibis.cases(*cases))
    key, first = ("event_id", "available_at") if table.is_log else ("customer_id", "signed_up_at")
    repeated = rows.group_by(key).agg(copies=ibis._.count()).filter(ibis._.copies > 1)
    path = scratch / f"repeated_{table.name}.parquet"
    engine.write(repeated, path, [key])
    if pq.read_metadata(path).num_rows == 0:
        return flagged
    repeated = engine.read(path)
    # Broken rows rank last; identical rows are interchangeable, so this order is total.
    order = [flagged.rule.notnull(), first, *table.schema.names]
    rank = ibis.row_number().over(group_by=key, order_by=order)
    later = (rank > 0).ifelse(duplicate.name, ibis.null(str))
    ranked = flagged.semi_join(repeated, key).mutate(rule=ibis.coalesce(ibis._.rule, later))
    return flagged.anti_join(repeated, key).union(ranked)


def _kept(judged: Any) -> Any:
    return judged.filter(judged.rule.isnull())


def _summary(judged: Any, table: Table, engine: Engine, clock: Clock) -> dict[str, Any]:
    """Count the rows of a table by rule in one scan; for a log, add the time that it covers."""
    measures = {"rows": judged.count()}
    if table.is_log:
        measures["first"] = engine.microseconds(judged.event_at).min()
        measures["last"] = engine.microseconds(judged.available_at).max()
    counts = engine.to_arrow(judged.group_by("rule").agg(**measures)).to_pylist()
    groups = {group["rule"]: group for group in counts}
    kept = groups.pop(None, {"rows": 0, "first": None, "last": None})
    # In the order in which the rules are checked.
    broken = {r.name: groups[r.name]["rows"] for r in rules(table, 0) if r.name in groups}
    quarantined = sum(broken.values())
    summary = {
        "rows": kept["rows"] + quarantined,
        "clean": kept["rows"],
        "quarantined": quarantined,
        "rules": broken,
    }
    if table.is_log:
        first, last = kept["first"], kept["last"]
        summary["first_event_at"] = _instant(first)
        summary["last_available_at"] = _instant(last)
        newest = None if last is None else clock.cutoff_at(clock.last_cutoff(last))
        summary["newest_cutoff"] = newest and newest.date().isoformat()
    return summary


def _instant(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    return (EPOCH + dt.timedelta(microseconds=microseconds)).isoformat()


def _write_broken(
    judged: Any, table: Table, report: dict[str, Any], engine: Engine, folder: Path
) -> None:
    path = folder / f"{table.name}.parquet"
    schema = table.schema.append(pa.field("rule", pa.string()))
    if report[table.name]["quarantined"] == 0:
        write_table(schema.empty_table(), path)
    else:
        broken = judged.filter(judged.rule.notnull()).select(schema.names)
        engine.write(broken, path, schema.names)


def _check_shares(
    table: Table, summary: dict[str, Any], quarantine: Path, settings: QualitySettings
) -> None:
    sentences = {rule.name: rule.sentence for rule in rules(table, settings.lateness_days)}
    for rule, rows in summary["rules"].items():
        name = f"{table.name}.{rule}"
        limit = settings.share_limits.get(name, settings.share_limit)
        if rows > limit * summary["rows"]:
            raise BadInputError(
                f"In {rows:,} of the {summary['rows']:,} rows of {table.name} "
                f"({rows / summary['rows']:.1%}, limit {limit:.1%}) {sentences[rule]} (rule "
                f"{rule}): inspect them in {quarantine / table.name}.parquet, then fix the "
                f"source or raise validate.share_limits for {name}."
            )
    if summary["clean"] == 0:
        raise BadInputError(
            f"All {summary['rows']:,} rows of {table.name} break a rule: inspect them in "
            f"{quarantine / table.name}.parquet and fix the source."
        )
