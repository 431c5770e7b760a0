"""Details of a listed customer: risk on past lists, use and payments week by week, tickets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from data.engine import total
from data.visibility import uses, visible

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from data.clock import Clock
    from data.engine import Engine

PERIODS: Final = 26
TICKETS: Final = 10
OPEN: Final = "open"
SOLVED: Final = "solved"


@dataclass(frozen=True)
class Week:
    """A period of a customer; values are None without the log.

    Parameters
    ----------
    ends_on
        Day of the cutoff at its end.
    active_days, uses
        Days with any use, and the sum of counts.
    due, paid
        Amounts due and paid, minor units.
    failed
        Failed attempts to pay.
    """

    ends_on: dt.date
    active_days: int | None
    uses: int | None
    due: int | None
    paid: int | None
    failed: int | None


@dataclass(frozen=True)
class Ticket:
    """A ticket as it stood at the cutoff. ``text`` was written by the customer: escape it."""

    opened_on: dt.date
    category: str | None
    priority: str | None
    state: str
    score: int | None
    text: str | None


@dataclass(frozen=True)
class CustomerDetail:
    """Details that the page shows when a row is opened.

    Parameters
    ----------
    risks
        (day of the cutoff, risk of the queue's cause by the first horizon) on the lists released
        so far, oldest first, and on this one.
    weeks
        The last periods, oldest first.
    tickets
        Newest first.
    """

    risks: tuple[tuple[dt.date, float], ...]
    weeks: tuple[Week, ...]
    tickets: tuple[Ticket, ...]


def details(
    customers: Sequence[str],
    risks: pd.DataFrame,
    tables: Mapping[str, Any],
    cutoff: int,
    clock: Clock,
    engine: Engine,
) -> dict[str, CustomerDetail]:
    """Read the details of some customers from the rows visible at a cutoff.

    Parameters
    ----------
    customers
        The customers; only their rows are read.
    risks
        ``customer_id, cutoff, risk``, oldest first.
    tables
        Clean logs by name, lazy Ibis tables; ``usage``, ``payments`` and ``tickets`` may be absent.
    cutoff
        Number of the cutoff.
    clock, engine
        Place rows in periods and run the queries.
    """
    logs = {
        name: _rows_of(customers, visible(tables[name], clock.cutoff_us(cutoff), engine))
        for name in ("usage", "payments", "tickets")
        if name in tables
    }
    weeks = _weeks(customers, logs, cutoff, clock, engine)
    tickets: dict[str, tuple[Ticket, ...]] = {}
    if "tickets" in logs:
        tickets = _tickets(engine.to_arrow(logs["tickets"]).to_pandas())
    curves = {
        str(customer): tuple(zip(rows["cutoff"].dt.date, rows["risk"], strict=True))
        for customer, rows in risks.groupby("customer_id")
    }
    return {
        customer: CustomerDetail(
            curves.get(customer, ()), weeks[customer], tickets.get(customer, ())
        )
        for customer in customers
    }


def _rows_of(customers: Sequence[str], log: Any) -> Any:
    return log.filter(log.customer_id.isin(list(customers)))


def _weeks(
    customers: Sequence[str], logs: Mapping[str, Any], cutoff: int, clock: Clock, engine: Engine
) -> dict[str, tuple[Week, ...]]:
    """Sum use and payments by period; a period without rows has zeros."""
    periods = range(cutoff - PERIODS + 1, cutoff + 1)
    cells = pd.MultiIndex.from_product([customers, periods], names=["customer_id", "period"])
    frame = pd.DataFrame(index=cells)
    for name, log in logs.items():
        if name == "tickets":
            continue
        event_us = engine.microseconds(log.event_at)
        rows = log.mutate(day=clock.day_column(event_us), period=clock.period_column(event_us))
        rows = rows.filter(rows.period > cutoff - PERIODS)
        columns = _COLUMNS[name]
        sums = engine.to_arrow(_BY_PERIOD[name](rows)).to_pandas()
        frame = frame.join(sums.set_index(["customer_id", "period"])[columns])
        frame[columns] = frame[columns].fillna(0).astype("int64")
    frame = frame.reindex(columns=[name for names in _COLUMNS.values() for name in names])
    days = [clock.cutoff_at(period).date() for period in periods]
    values = [
        tuple(None if pd.isna(value) else int(value) for value in row)
        for row in frame.itertuples(index=False, name=None)
    ]
    return {
        customer: tuple(
            Week(day, *row)
            for day, row in zip(days, values[n * PERIODS : (n + 1) * PERIODS], strict=True)
        )
        for n, customer in enumerate(customers)
    }


_COLUMNS: Final = {"usage": ["active_days", "uses"], "payments": ["due", "paid", "failed"]}


def _use(rows: Any) -> Any:
    rows = uses(rows)
    return rows.group_by("customer_id", "period").agg(
        active_days=rows.day.nunique(), uses=total(rows["count"])
    )


def _money(rows: Any) -> Any:
    def amount(kind: str) -> Any:
        return total((rows.kind == kind).ifelse(rows.amount, 0))

    return rows.group_by("customer_id", "period").agg(
        due=amount("due"),
        paid=amount("succeeded"),
        failed=total((rows.kind == "failed").cast("int64")),
    )


_BY_PERIOD: Final = {"usage": _use, "payments": _money}


def _tickets(rows: pd.DataFrame) -> dict[str, tuple[Ticket, ...]]:
    """Combine the events of each ticket; tickets whose opening is not visible are left out."""
    rows = rows.sort_values(["event_at", "event_id"])
    tickets: dict[str, list[Ticket]] = {}
    newest_first = rows[rows["kind"] == "opened"].drop_duplicates("ticket_id").iloc[::-1]
    by_ticket = dict(iter(rows.groupby("ticket_id")))
    for opening in newest_first.to_dict("records"):
        own = tickets.setdefault(opening["customer_id"], [])
        if len(own) < TICKETS:
            own.append(_ticket(opening, by_ticket[opening["ticket_id"]]))
    return {customer: tuple(own) for customer, own in tickets.items()}


def _ticket(opening: dict[Any, Any], events: pd.DataFrame) -> Ticket:
    """Return the state of a ticket after its events, which are in order."""
    states = events.loc[events["kind"].isin(["opened", "solved", "reopened"]), "kind"]
    priorities, scores = events["priority"].dropna(), events["score"].dropna()
    return Ticket(
        opened_on=opening["event_at"].date(),
        category=_text(opening["category"]),
        priority=None if priorities.empty else str(priorities.iloc[-1]),
        state=SOLVED if states.iloc[-1] == "solved" else OPEN,
        score=None if scores.empty else int(scores.iloc[-1]),
        text=_text(opening["text"]),
    )


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)
