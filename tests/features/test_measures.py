"""Measures: one pass over a log to exact integers by customer, event period and visible period."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.clock import Clock
from data.contracts import TABLES
from data.engine import Engine
from data.errors import BadInputError
from features import phrases
from features.measures import (
    DECLINES,
    EVENTS,
    KINDS,
    MEASURES,
    OTHER_BIT,
    Manifest,
    event_table,
    first_seen,
    period_table,
)

NEW_YEAR = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)  # a Monday
MICROSECOND, DAY = dt.timedelta(microseconds=1), dt.timedelta(days=1)
# In microseconds since 1970.
YEAR_1700, YEAR_2200 = -8_520_336_000_000_000, 7_258_118_400_000_000


def log(name: str, *rows: dict) -> pa.Table:
    """Rows of a log, with what the test does not care about filled in."""
    common = {"customer_id": "c1", "event_at": NEW_YEAR, "feature": "login", "count": 1}
    filled = []
    for number, given_row in enumerate(rows):
        values = common | {"event_id": f"e{number}"} | given_row
        values.setdefault("available_at", values["event_at"])
        filled.append({c.name: values.get(c.name) for c in TABLES[name].columns})
    return pa.Table.from_pylist(filled, schema=TABLES[name].schema)


def measured(
    engine: Engine, name: str, *rows: dict, manifest: Manifest | None = None, clock: Any = None
) -> list:
    table = ibis.memtable(log(name, *rows))
    reduced = period_table(name, table, engine, clock or Clock(), manifest or Manifest())
    return engine.to_arrow(
        reduced.order_by(["customer_id", "event_period", "visible_period"])
    ).to_pylist()


def seen_in_order(table: pa.Table, engine: Engine) -> tuple[str, ...]:
    return tuple(first_seen(ibis.memtable(table), "feature", engine))


@given(
    st.lists(st.integers(YEAR_1700, YEAR_2200), min_size=1, max_size=50),
    st.sampled_from([Clock(), Clock(3, 7), Clock(0, 1), Clock(6, 5), Clock(0, 60)]),
)
def test_periods_are_those_of_the_clock_to_the_microsecond(
    engine: Engine, instants: Any, clock: Any
) -> None:
    cutoffs = np.arange(clock.period_of(YEAR_1700), clock.period_of(YEAR_2200))
    edges = clock.cutoff_us(cutoffs)
    instants = np.concatenate([instants, edges - 1, edges, edges + 1])
    table = ibis.memtable({"us": instants})
    columns = {"period": clock.period_column(table.us), "day": clock.day_column(table.us)}
    rows = engine.to_arrow(table.select(**columns))
    periods, daily = clock.period_of(instants), Clock(clock.anchor_weekday, 1)
    assert np.array_equal(rows["period"].to_numpy(), periods)
    into_period = daily.period_of(instants) - daily.period_of(clock.cutoff_us(periods - 1)) - 1
    assert np.array_equal(rows["day"].to_numpy(), periods * clock.period_days + into_period)


@pytest.mark.parametrize("name", list(MEASURES))
def test_every_measure_is_a_64_bit_integer_without_nulls(name: str, engine: Engine) -> None:
    manifest = Manifest(("login", "report"), ("login",))
    kind = next(iter(TABLES[name].kinds), None)
    table = ibis.memtable(log(name, {"kind": kind}))
    expressions = [period_table(name, table, engine, Clock(), manifest)]
    if name in EVENTS:
        expressions.append(event_table(name, table, engine, Clock()))
    for expression in expressions:
        rows = engine.to_arrow(expression)
        for field in rows.schema:
            if field.name not in ("customer_id", "event_id", "entity"):
                assert field.type == pa.int64(), field
            assert rows[field.name].null_count == 0, field


def test_sums_are_stored_as_integers_beyond_float_precision(engine: Engine, tmp_path: Path) -> None:
    big = (1 << 60) + 1
    table = ibis.memtable(log("usage", {"count": big}, {"count": 1}))
    reduced = period_table("usage", table, engine, Clock(), Manifest())
    engine.write(reduced, tmp_path / "u", ["uses"])
    stored = engine.to_arrow(engine.read(tmp_path / "u"))
    assert stored["uses"].to_pylist() == [big + 1]


def test_a_row_is_placed_by_its_event_and_seen_from_its_availability(engine: Engine) -> None:
    rows = measured(
        engine,
        "usage",
        {"event_at": NEW_YEAR, "count": 1},
        {"event_at": NEW_YEAR + MICROSECOND, "count": 2},
        {"event_at": NEW_YEAR, "available_at": NEW_YEAR + MICROSECOND, "count": 4},
        {"event_at": NEW_YEAR + MICROSECOND, "available_at": NEW_YEAR + 3 * DAY, "count": 8},
    )
    k = Clock().cutoff_on(NEW_YEAR.date())
    placed = [(r["event_period"], r["visible_period"], r["uses"]) for r in rows]
    assert placed == [(k, k, 1), (k, k + 1, 4), (k + 1, k + 1, 10)]


def test_days_are_bits_counted_from_the_period_start(engine: Engine) -> None:
    hours = [dt.timedelta(hours=h) for h in (1, 2, 24, 24 * 7)]
    rows = measured(engine, "usage", *({"event_at": NEW_YEAR + h} for h in hours))
    assert [row["days"] for row in rows] == [0b1000001]  # exactly 24 h still ends the first day


def test_weekends_are_saturday_and_sunday(engine: Engine) -> None:
    rows = [{"event_at": NEW_YEAR + day * DAY, "count": 10**day} for day in range(1, 8)]
    assert sum(row["weekend_uses"] for row in measured(engine, "usage", *rows)) == 1_100_000


def test_categories_come_in_order_of_first_availability_ties_by_name(engine: Engine) -> None:
    table = log(
        "usage",
        {"feature": "b", "available_at": NEW_YEAR + DAY},
        {"feature": "z", "available_at": NEW_YEAR},
        {"feature": "a", "available_at": NEW_YEAR + DAY},
        {"feature": "b", "event_at": NEW_YEAR - DAY, "available_at": NEW_YEAR + 2 * DAY},
    )
    assert seen_in_order(table, engine) == ("z", "a", "b")


def test_categories_beyond_the_bits_share_the_last_one(engine: Engine) -> None:
    rows = [{"feature": f"f{i:03}", "available_at": NEW_YEAR + i * MICROSECOND} for i in range(70)]
    order = seen_in_order(log("usage", *rows), engine)
    assert order == tuple(f"f{i:03}" for i in range(OTHER_BIT))
    table = measured(engine, "usage", *rows, manifest=Manifest(order))
    mask = np.bitwise_or.reduce([row["features"] for row in table])
    assert mask == (1 << 63) - 1  # 62 of their own and one for the eight others
    # A category that appears later renumbers none of the earlier ones.
    later = [*rows, {"feature": "aaa", "available_at": NEW_YEAR + DAY}]
    assert seen_in_order(log("usage", *later), engine) == order


def test_concentration_and_core_columns_follow_the_manifest(engine: Engine) -> None:
    manifest = Manifest(("login", "report"), ("report",))
    rows = ({"count": 3}, {"feature": "report", "count": 5}, {"feature": "new", "count": 7})
    (row,) = measured(engine, "usage", *rows, manifest=manifest)
    assert (row["uses_0"], row["uses_1"], row["uses"]) == (3, 5, 15)
    assert (row["core_uses_0"], row["core"], row["features"]) == (5, 1, 0b11 | 1 << OTHER_BIT)


def test_a_period_with_more_days_than_a_mask_has_bits_is_refused(engine: Engine) -> None:
    with pytest.raises(BadInputError, match="period_days"):
        measured(engine, "usage", {}, clock=Clock(0, 90))


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("insufficient_funds", "funds"),
        ("EXPIRED_CARD", "card"),
        ("mandate_revoked", "hard"),
        ("try_again_later", "soft"),
        ("never_heard_of", "soft"),
        (None, "soft"),
    ],
)
def test_a_failure_belongs_to_exactly_one_decline_family(
    code: str, family: str, engine: Engine
) -> None:
    (row,) = measured(engine, "payments", {"kind": "failed", "decline_code": code})
    families = {name: row[f"failed_{name}"] for name in ("soft", *DECLINES)}
    assert families == dict.fromkeys(families, 0) | {family: 1}
    assert row["failed"] == 1


def test_no_decline_code_is_in_two_families() -> None:
    codes = [code for family in DECLINES.values() for code in family]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("text", "leaving", "frustrated"),
    [
        ("Please cancel our subscription.", True, False),
        ("We are switching to a competitor", True, False),
        ("This is unacceptable, the third time!", False, True),
        ("Wij willen ons abonnement opzeggen", True, False),
        ("Ik ben erg teleurgesteld", False, True),
        ("Vi vill säga upp avtalet", True, False),
        ("JAG ÄR BESVIKEN", False, True),
        ("Vorrei disdire l'abbonamento", True, False),
        ("È inaccettabile", False, True),
        ("If this goes on we will leave", True, False),
        ("Als dit zo blijft gaan we weg", True, False),
        ("Hur avslutar jag vårt abonnemang?", True, False),
        ("Così ce ne andiamo", True, False),
        ("How do I add a colleague?", False, False),
        ("I leave on Friday, who can help on Monday?", False, False),
        ("Vorremmo passare al piano più grande", False, False),
        ("Can I export a report as PDF?", False, False),
        ("Hoe voeg ik een gebruiker toe?", False, False),
        ("Hur lägger jag till en användare?", False, False),
        ("Come posso aggiungere un utente?", False, False),
        (None, False, False),
    ],
)
def test_phrases_of_leaving_and_frustration_in_four_languages(
    text: str, leaving: Any, frustrated: Any, engine: Engine
) -> None:
    written = {"kind": "replied", "author": "customer", "text": text}
    (row,) = measured(engine, "tickets", written)
    assert (row["leaving"], row["frustrated"]) == (leaving, frustrated)
    (row,) = measured(engine, "tickets", written | {"author": "agent"})
    assert (row["leaving"], row["frustrated"]) == (0, 0)


def test_phrases_stay_in_the_syntax_that_all_engines_share() -> None:
    for pattern in (phrases.LEAVING, phrases.FRUSTRATION, *phrases.TOPICS.values()):
        re.compile(pattern)
        # Engines differ in which letters \b knows and in which line ends a dot matches.
        assert not re.search(r"\(\?|\\[1-9pPkKbBwW]|\.", pattern)
        assert pattern == pattern.lower()


def test_of_events_at_the_same_instant_the_kind_decides_then_the_id(engine: Engine) -> None:
    rows = log(
        "tickets",
        {"kind": "solved", "ticket_id": "t", "event_id": "a"},
        {"kind": "replied", "ticket_id": "t", "event_id": "b", "author": "agent"},
        {"kind": "opened", "ticket_id": "t", "event_id": "c"},
    )
    events = event_table("tickets", ibis.memtable(rows), engine, Clock())
    ordered = events.order_by(["customer_id", "event_us", "kind", "event_id"])
    kinds = engine.to_arrow(ordered)["kind"].to_pylist()
    assert [KINDS["tickets"][kind] for kind in kinds] == ["opened", "replied", "solved"]
