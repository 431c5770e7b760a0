"""The simulated world: runs week by week and writes the raw logs and the true risks."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from data.atomic import replaced
from data.clock import MICROSECONDS_PER_DAY, Clock
from data.contracts import (
    CAUSES,
    INSTANT,
    INTERVENTIONS,
    PAYMENTS,
    PRIORITIES,
    SUBSCRIPTIONS,
    SURVEYS,
    TABLES,
    TICKETS,
)
from data.errors import BadInputError
from data.progress import progress
from data.sources.simulated import careers, programme
from data.sources.simulated.billing import DECLINE_CODES, bill, charge_start
from data.sources.simulated.changes import change
from data.sources.simulated.decisions import decide, drift
from data.sources.simulated.draws import Draws, IntArray
from data.sources.simulated.logs import Log, TableFile, identifiers, joined, words
from data.sources.simulated.satisfaction import satisfaction, transition_matrices
from data.sources.simulated.scene import TERMS, Scene
from data.sources.simulated.state import ACTIVE, State
from data.sources.simulated.terms import LOOKAHEAD, draw_campaigns
from data.sources.simulated.texts import CATEGORIES, TICKET_TEXTS
from data.sources.simulated.tickets import AUTHORS, TICKET_CHANNELS, open_tickets
from data.sources.simulated.traits import (
    CHANNELS,
    COUNTRIES,
    FEATURES,
    METHODS,
    OWNERS,
    PLANS,
    SEGMENTS,
    Traits,
    draw_traits,
)
from data.sources.simulated.truth import risks
from data.sources.simulated.usage import use

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from data.sources.simulated.draws import FloatArray
    from data.sources.simulated.terms import Campaigns
    from data.sources.simulated.world_settings import WorldSettings

# Power of the monthly rate that gives the chance of a failed payment, fitted by trial: the more
# customers are lost, the more careful those who remain.
_SELECTION = 1.3

logger = logging.getLogger(__name__)

BLOCK = 8192  # customers simulated at once; does not change any result


def simulate(
    settings: WorldSettings,
    clock: Clock,
    target: Path,
    truth: Path | None,
    horizons: tuple[int, ...] = (4, 8, 13),
    *,
    currency: str = "EUR",
    block: int = BLOCK,
) -> dict[str, int]:
    """Simulate the world and write its raw logs and its true risks.

    Parameters
    ----------
    settings
        Settings of the world.
    clock
        Numbers the cutoffs; its periods must be weeks, and the world must start at a cutoff.
    target
        Folder for one Parquet file per table of the contract. A file holds the rows available by
        the end of the history, in the order of (week first available, event_at, event_id). A log
        without rows has no file.
    truth
        Folder for ``truth.parquet``, or None. The file has one row per cutoff and customer with an
        active subscription: ``risk_<cause>_<horizon>`` (the chance of churn with that cause by the
        end of the horizon if no one acts), ``effect_<horizon>`` (what a contact at the cutoff adds
        to the voluntary risk; negative if it prevents churn), ``satisfaction`` and ``in_dunning``,
        sorted by (cutoff, customer_id).
    horizons
        Ends of the horizons in weeks after a cutoff, at most 26.
    currency
        ISO 4217 code of all money.
    block
        Customers simulated at once; changes the memory used, but no result.

    Returns
    -------
    dict
        Table to number of rows.

    Raises
    ------
    BadInputError
        If the clock or the horizons do not fit the world.
    """
    _check_clock(settings, clock, horizons)
    world = _World(settings, clock, currency, block)
    names = ["customers", *world.logs]
    with contextlib.ExitStack() as stack, threadpool_limits(1):
        files = {
            name: stack.enter_context(
                TableFile(
                    stack.enter_context(replaced(target / f"{name}.parquet")), TABLES[name].schema
                )
            )
            for name in names
        }
        if truth is not None:
            path = stack.enter_context(replaced(truth / "truth.parquet"))
            schema = _truth_schema(clock, horizons)
            files["truth"] = stack.enter_context(TableFile(path, schema))
        for week in progress(range(settings.weeks), "simulated weeks", logger):
            world.run_week(week, files, horizons)
    counts = {name: file.rows for name, file in files.items()}
    for name in names:
        if not counts[name]:
            (target / f"{name}.parquet").unlink()
    return counts


def _check_clock(settings: WorldSettings, clock: Clock, horizons: tuple[int, ...]) -> None:
    if clock.period_days != 7:
        raise BadInputError(
            f"params.yaml: clock.period_days is {clock.period_days}, but the simulated world "
            "runs by weeks: set it to 7."
        )
    try:
        clock.cutoff_on(settings.start)
    except ValueError as error:
        raise BadInputError(
            f"params.yaml: ingest.simulated.start does not fit clock.anchor_weekday: {error}"
        ) from error
    if not horizons or min(horizons) < 1 or max(horizons) > LOOKAHEAD:
        raise BadInputError(
            f"params.yaml: snapshot.horizons is {list(horizons)}, but the true risks of the "
            f"simulated world are known for 1 to {LOOKAHEAD} weeks: choose horizons in this range."
        )


def _truth_schema(clock: Clock, horizons: tuple[int, ...]) -> pa.Schema:
    labels = [clock.label(horizon) for horizon in horizons]
    return pa.schema(
        [("customer_id", pa.string()), ("cutoff", INSTANT)]
        + [(f"risk_{cause}_{label}", pa.float64()) for cause in CAUSES for label in labels]
        + [(f"effect_{label}", pa.float64()) for label in labels]
        + [("satisfaction", pa.float64()), ("in_dunning", pa.bool_())]
    )


def _logs(currency: str) -> dict[str, Log]:
    """Create the empty logs of a world, with the vocabularies of their columns."""
    money = words((currency,))
    return {
        "subscriptions": Log("subscriptions", "S", {
            "subscription_id": joined("S", 7, 1), "kind": words(SUBSCRIPTIONS.kinds),
            "plan": words(PLANS), "billing_interval": words(tuple(TERMS)), "currency": money,
            "cause": words(CAUSES),
        }),
        "usage": Log("usage", "U", {"feature": words(FEATURES)}),
        "tickets": Log("tickets", "T", {
            "ticket_id": joined("T", 7, 4, 1), "kind": words(TICKETS.kinds),
            "author": words(AUTHORS), "category": words(CATEGORIES),
            "priority": words(PRIORITIES), "channel": words(TICKET_CHANNELS),
            "text": words(TICKET_TEXTS),
        }),
        "payments": Log("payments", "P", {
            "invoice_id": joined("I", 7, 5), "kind": words(PAYMENTS.kinds), "currency": money,
            "decline_code": words(DECLINE_CODES), "method": words(METHODS),
        }),
        "surveys": Log("surveys", "N", {"kind": words(SURVEYS.kinds), "text": words(("",))}),
        "interventions": Log("interventions", "A", {
            "kind": words(INTERVENTIONS.kinds), "channel": words(programme.CONTACT_CHANNELS),
            "arm": words(programme.ARMS),
        }),
    }  # fmt: skip


class _World:
    """All blocks of a world, and its logs."""

    def __init__(self, settings: WorldSettings, clock: Clock, currency: str, block: int) -> None:
        self.settings = settings
        self.clock = clock
        self.draws = Draws(settings.seed)
        self.first_cutoff = clock.cutoff_on(settings.start)
        self.start_us = clock.cutoff_us(self.first_cutoff)
        self.matrices = transition_matrices(settings.switches)
        self.logs = _logs(currency)
        self.blocks = [
            self._block(np.arange(first, min(first + block, settings.signed_up), dtype=np.int64))
            for first in range(0, settings.signed_up, block)
        ]

    def _block(self, customers: IntArray) -> tuple[Traits, State, Campaigns]:
        scale = (self.settings.involuntary_per_month / 0.01) ** _SELECTION
        traits = draw_traits(self.settings, self.draws, customers, scale)
        campaigns = draw_campaigns(self.settings, self.draws, customers)
        return traits, State.before_sign_up(traits), campaigns

    def run_week(
        self, week: int, files: Mapping[str, TableFile], horizons: tuple[int, ...]
    ) -> None:
        """Simulate a week for all customers and write the rows available at its end."""
        for traits, state, campaigns in self.blocks:
            if traits.arrival_week[0] > week:
                break
            scene = Scene(
                self.settings, week, self.start_us, self.draws, traits, state, campaigns, self.logs
            )
            _advance(scene, self.matrices)
            for log in self.logs.values():
                log.close_block(
                    self.draws, self.settings.switches.late_rows, self.settings.switches.dirt
                )
            files["customers"].write(_customers(scene))
            if "truth" in files:
                files["truth"].write(self._truth(scene, horizons))
        end_us = self.start_us + (week + 1) * 7 * MICROSECONDS_PER_DAY
        for name, log in self.logs.items():
            files[name].write(log.table_until(end_us))

    def _truth(self, scene: Scene, horizons: tuple[int, ...]) -> pa.Table:
        rows = scene.rows(scene.state.status == ACTIVE)
        voluntary, involuntary, contacted = risks(scene, rows, max(horizons), self.matrices)
        ends = np.array(horizons) - 1
        cutoff = self.clock.cutoff_us(self.first_cutoff + scene.week + 1)
        columns: list[FloatArray] = [*voluntary[ends], *involuntary[ends]]
        columns += list(contacted[ends] - voluntary[ends])
        return pa.table(
            [
                identifiers("C", (scene.traits.customers[rows], 7)),
                pa.array(np.full(len(rows), cutoff)).cast(INSTANT),
                *columns,
                satisfaction(scene.state.hidden[rows]),
                scene.state.attempt[rows] > 0,
            ],
            schema=_truth_schema(self.clock, horizons),
        )


def _advance(scene: Scene, matrices: FloatArray) -> None:
    """Simulate a week of a block; the order of the steps is part of the world."""
    drift(scene, matrices)
    careers.end_contracts(scene)
    careers.reprice(scene)
    careers.resume(scene)
    careers.come_back(scene)
    bill(scene)
    decide(scene)
    careers.leave(scene)
    change(scene)
    programme.contact(scene)
    careers.win_back(scene)
    careers.arrive(scene)
    charge_start(scene)
    use(scene)
    open_tickets(scene)
    programme.survey(scene)


def _customers(scene: Scene) -> pa.Table:
    """Return the customers who signed up in a week as rows of the contract."""
    traits = scene.traits
    rows = scene.rows(traits.arrival_week == scene.week)
    signed_up = scene.instant(traits.signup_day[rows], traits.signup_hour[rows])
    return pa.table(
        [
            identifiers("C", (traits.customers[rows], 7)),
            pa.array(signed_up).cast(INSTANT),
            words(COUNTRIES)(traits.country[rows]),
            words(SEGMENTS)(traits.segment[rows]),
            words(CHANNELS)(traits.channel[rows]),
            words(OWNERS)(traits.owner[rows]),
        ],
        schema=TABLES["customers"].schema,
    )
