"""Cutoffs: the time span that the logs cover, and the cutoffs in it at which customers are seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.clock import MICROSECONDS_PER_DAY
from data.errors import BadInputError
from data.visibility import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.clock import Clock
    from data.engine import Engine


@dataclass(frozen=True)
class Coverage:
    """The time span that the logs cover.

    Parameters
    ----------
    first_event_us
        Oldest ``event_at`` of any log, microseconds.
    newest_us
        Newest ``available_at`` of each log, microseconds.
    """

    first_event_us: int
    newest_us: dict[str, int]

    def newest_cutoff(self, clock: Clock) -> int:
        """Return the newest cutoff that the logs cover.

        A period counts as covered if some log reaches into its last day: an export taken on Monday
        morning has no row at exactly 00:00.
        """
        return clock.last_cutoff(max(self.newest_us.values()) + MICROSECONDS_PER_DAY)


def log_coverage(logs: Mapping[str, Any], engine: Engine, until_us: int | None = None) -> Coverage:
    """Find the time span that clean logs cover.

    Parameters
    ----------
    logs
        Name of each log and its lazy Ibis table.
    engine
        Runs the queries.
    until_us
        Rows that became available after this instant are left out.
    """
    first, newest = [], {}
    for name, table in sorted(logs.items()):
        log = table if until_us is None else visible(table, until_us, engine)
        bounds = log.agg(
            first=engine.microseconds(log.event_at).min(),
            newest=engine.microseconds(log.available_at).max(),
        )
        (instants,) = engine.to_arrow(bounds).to_pylist()
        if instants["newest"] is not None:
            first.append(instants["first"])
            newest[name] = instants["newest"]
    return Coverage(min(first, default=until_us or 0), newest)


@dataclass(frozen=True)
class CutoffRange:
    """Cutoffs at which customers are observed.

    Parameters
    ----------
    first, as_of
        First and newest cutoff number, both included.
    thin_every
        Before ``as_of``, each customer is observed at every ``thin_every``-th cutoff.
    """

    first: int
    as_of: int
    thin_every: int


def choose_as_of(
    coverage: Coverage, clock: Clock, as_of: int | None, outcome_log: str, lateness_days: int
) -> int:
    """Choose the newest cutoff: the given one, else the newest that the logs cover.

    Parameters
    ----------
    coverage, clock
        Time span of the logs, and the clock.
    as_of
        The given cutoff, or None.
    outcome_log
        The log that decides who left. If it ends long before another, it is not known who stayed
        in between.
    lateness_days
        Longest delay of a row; the log may end this and one period before the newest.

    Raises
    ------
    BadInputError
        If ``as_of`` is after the last row, or the outcome log ends too early for a choice.
    """
    newest = coverage.newest_cutoff(clock)
    if as_of is not None:
        if as_of > newest:
            raise BadInputError(
                f"snapshot.as_of is {clock.cutoff_at(as_of).date()}, but the logs reach only to "
                f"the cutoff of {clock.cutoff_at(newest).date()}: provide newer rows or choose "
                "that date."
            )
        return as_of
    latest = max(coverage.newest_us, key=lambda name: coverage.newest_us[name])
    outcome_end, latest_end = coverage.newest_us[outcome_log], coverage.newest_us[latest]
    if latest_end - outcome_end > lateness_days * MICROSECONDS_PER_DAY + clock.period_us:
        raise BadInputError(
            f"The {outcome_log} log, which decides who left, ends on "
            f"{clock.instant(outcome_end).date()}, but the {latest} log on "
            f"{clock.instant(latest_end).date()}: add the missing rows, remove rows dated in the "
            "future, or set snapshot.as_of to the cutoff up to which both are complete."
        )
    return newest


def choose_cutoffs(
    coverage: Coverage,
    clock: Clock,
    as_of: int,
    history_periods: int,
    thin_every: int,
) -> CutoffRange:
    """Place the cutoffs between the start of the logs and ``as_of``.

    Raises
    ------
    BadInputError
        If the history is shorter than ``history_periods``.
    """
    begin = clock.period_of(coverage.first_event_us)
    first = begin + history_periods
    if first >= as_of:
        covered = max(0, as_of - begin)
        raise BadInputError(
            f"The logs cover {covered} periods up to {clock.cutoff_at(as_of).date()}, fewer "
            f"than the {history_periods + 1} that snapshot.history_periods = {history_periods} "
            "needs: provide a longer history or lower it (and featurize.windows)."
        )
    return CutoffRange(first, as_of, thin_every)
