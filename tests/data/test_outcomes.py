"""Snapshots and outcomes: who was a customer when, and what is known of what followed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.asof import NEVER
from data.clock import MICROSECONDS_PER_DAY, Clock
from data.cutoffs import Coverage, CutoffRange, choose_as_of, choose_cutoffs
from data.errors import BadInputError
from data.lifetimes import (
    contract_spans,
    contract_spells,
    inactivity_spans,
    inactivity_spells,
    read_use_periods,
)
from data.outcomes import OutcomeSettings, first_contacts, observe_outcomes
from data.snapshots import (
    contract_snapshots,
    later_mrr,
    payment_revenue,
    snapshot_cells,
    thinning_phase,
)
from data.subscriptions import KINDS, LIVE_KINDS, STOP_KINDS, read_subscriptions
from worlds.handmade import at, write_logs

if TYPE_CHECKING:
    from pathlib import Path

    from data.engine import Engine

CLOCK = Clock()
HORIZONS = OutcomeSettings(horizons=(4, 8, 13), undo_days=14, lateness_days=7)


def k(weeks: int) -> int:
    """Number of the cutoff this many weeks after Monday 2024-01-01."""
    return CLOCK.cutoff_on(at(weeks).date())


def event(
    kind: str, weeks: float, customer: str = "a", subscription: str = "s", **more: Any
) -> Any:
    row = {"customer_id": customer, "subscription_id": subscription, "kind": kind}
    return row | {"event_at": at(weeks)} | more


class World:
    """A few logs, read as the snapshot stage reads them."""

    def __init__(
        self, folder: Path, engine: Engine, events: list[Any], weeks: int, **logs: list[Any]
    ) -> None:
        paths = write_logs(folder, {"subscriptions": events, **logs})
        self.names = np.array(sorted({row["customer_id"] for row in events}), dtype=object)
        self.as_of = k(weeks)
        until = CLOCK.cutoff_us(self.as_of)
        log = engine.read(paths["subscriptions"])
        self.events = read_subscriptions(log, self.names, until, engine)
        self.contacts = np.full(len(self.names), NEVER)
        if "interventions" in logs:
            log = engine.read(paths["interventions"])
            self.contacts = first_contacts(log, self.names, until, engine)

    def eligible(self) -> set[tuple[str, int]]:
        spans = contract_spans(self.events, CLOCK, self.as_of)
        phase = np.zeros(len(self.names), dtype=np.int64)
        span, cutoff = snapshot_cells(spans, CutoffRange(k(0), self.as_of, 1), phase)
        pairs = zip(self.names[spans.customer[span]], cutoff - k(0), strict=True)
        return {(name, int(week)) for name, week in pairs}

    def outcome(self, weeks: int, customer: str = "a") -> dict[str, str | None]:
        number = np.flatnonzero(self.names == customer)
        undo_us = HORIZONS.undo_days * MICROSECONDS_PER_DAY
        spells = contract_spells(self.events, undo_us, self.contacts)
        columns = observe_outcomes(
            number, np.array([k(weeks)]), spells, self.contacts, self.as_of, CLOCK, HORIZONS
        )
        return {name: column[0].as_py() for name, column in columns.items()}

    def outcomes(self, weeks: int, customer: str = "a") -> list[str | None]:
        row = self.outcome(weeks, customer)
        return [row[f"outcome_{x}"] or row[f"null_reason_{x}"] for x in ("4w", "8w", "13w")]

    def later(self, weeks: int, periods: int) -> int | None:
        """MRR this many periods after a cutoff of customer a."""
        spans = contract_spans(self.events, CLOCK, self.as_of)
        phase = np.zeros(len(self.names), dtype=np.int64)
        cutoffs = CutoffRange(k(0), self.as_of, 1)
        mrr = later_mrr(self.events, spans, cutoffs, phase, periods, CLOCK)
        row = mrr[(mrr["customer"] == 0) & (mrr["cutoff"] == k(weeks))]
        return int(row["mrr_later"].iloc[0]) if len(row) else None


@pytest.fixture
def world(tmp_path: Path, engine: Engine) -> Any:
    return lambda events, weeks=60, **logs: World(tmp_path, engine, events, weeks, **logs)


def test_a_live_customer_is_eligible_until_the_decision_is_visible(world: Any) -> None:
    events = [
        event("trial_started", 0),
        event("activated", 2.5),
        event("cancel_scheduled", 6.5),
        event("cancelled", 9, cause="voluntary"),
    ]
    assert world(events, 12).eligible() == {("a", week) for week in (3, 4, 5, 6)}


def test_an_event_at_the_cutoff_is_visible_there_and_a_microsecond_later_is_not(world: Any) -> None:
    later = at(2, microseconds=1)
    assert ("a", 2) in world([event("activated", 2)], 4).eligible()
    assert ("a", 2) not in world([event("activated", 2, event_at=later)], 4).eligible()
    late = [event("activated", 1, available_at=later)]
    assert world(late, 4).eligible() == {("a", 3), ("a", 4)}


def test_a_late_cancellation_keeps_the_snapshot_but_its_outcome_is_already_gone(world: Any) -> None:
    made = world(
        [event("activated", 0), event("cancelled", 9.5, cause="voluntary", available_at=at(10.5))]
    )
    assert ("a", 10) in made.eligible()
    assert made.outcomes(10) == ["already_gone"] * 3
    assert made.outcomes(9) == ["voluntary"] * 3


def test_no_decision_after_the_cutoff_changes_who_is_eligible(world: Any) -> None:
    before = [event("activated", 0), event("activated", 0, "b", "t")]
    after = [
        event("cancelled", 5.1, cause="voluntary"),
        event("cancel_scheduled", 5, "b", "t", event_at=at(5, microseconds=1)),
        event("activated", 5.2, "c", "u"),
    ]
    until = {pair for pair in world(before, 12).eligible() if pair[1] <= 5}
    assert {pair for pair in world(before + after, 12).eligible() if pair[1] <= 5} == until


def test_voluntary_churn_is_dated_by_the_decision(world: Any) -> None:
    made = world(
        [
            event("activated", 0),
            event("cancel_scheduled", 14),
            event("cancelled", 40, cause="voluntary"),
        ]
    )
    assert made.outcomes(10) == ["voluntary"] * 3
    assert made.outcomes(9) == ["stayed", "voluntary", "voluntary"]


def test_churn_at_the_end_of_the_horizon_counts_and_a_microsecond_later_does_not(
    world: Any,
) -> None:
    exactly = [event("activated", 0), event("cancelled", 14, cause="involuntary")]
    assert world(exactly).outcomes(10)[0] == "involuntary"
    exactly[1]["event_at"] = at(14, microseconds=1)
    assert world(exactly).outcomes(10)[:2] == ["stayed", "involuntary"]


@pytest.mark.parametrize("kind", ["cancel_revoked", "reactivated"])
@pytest.mark.parametrize(("days", "undone"), [(14, True), (14.01, False)])
def test_a_return_within_undo_days_undoes_the_churn(
    world: Any, kind: str, days: float, undone: bool
) -> None:
    stop = "cancel_scheduled" if kind == "cancel_revoked" else "cancelled"
    events = [event("activated", 0), event(stop, 12), event(kind, 12 + days / 7)]
    assert world(events).outcomes(10) == (["stayed"] * 3 if undone else ["voluntary"] * 3)


def test_the_last_live_subscription_decides(world: Any) -> None:
    events = [
        event("activated", 0),
        event("activated", 0, subscription="t"),
        event("cancelled", 11, cause="voluntary"),
        event("cancelled", 19, subscription="t", cause="involuntary"),
    ]
    made = world(events)
    assert made.outcomes(10) == ["stayed", "stayed", "involuntary"]
    assert ("a", 18) in made.eligible()


def test_moving_to_another_subscription_is_not_churn(world: Any) -> None:
    events = [
        event("activated", 0),
        event("cancelled", 12, cause="voluntary"),
        event("activated", 12, subscription="t"),
    ]
    assert world(events).outcomes(10) == ["stayed"] * 3


def test_a_contract_that_ran_out_censors_and_never_counts_as_stayed(world: Any) -> None:
    made = world([event("activated", 0), event("ended", 16)])
    assert made.outcomes(10) == ["stayed", "contract_ended", "contract_ended"]
    assert made.outcomes(12) == ["contract_ended"] * 3


def test_an_early_churn_does_not_make_an_unfinished_interval_known(world: Any) -> None:
    churned = [event("activated", 0), event("cancelled", 11, cause="voluntary")]
    stayed = [event("activated", 0)]
    # Follow-up is 3 weeks: the 4-week outcome of a snapshot at week 10 is known at week 17.
    for weeks, known in ((16, 0), (17, 1), (20, 1), (21, 2), (25, 2), (26, 3)):
        for events, name in ((churned, "voluntary"), (stayed, "stayed")):
            expected = [name] * known + ["not_finished"] * (3 - known)
            assert world(events, weeks).outcomes(10) == expected


def test_a_contact_censors_from_then_on_and_the_control_arm_does_not(world: Any) -> None:
    events = [
        event(kind, weeks, who, who, cause="voluntary")
        for who in "abc"
        for kind, weeks in (("activated", 0), ("cancelled", 19))
    ]
    acts = [
        {"customer_id": "a", "kind": "assigned", "arm": "treated", "event_at": at(15)},
        {"customer_id": "a", "kind": "contacted", "event_at": at(15.5)},
        {"customer_id": "b", "kind": "assigned", "arm": "control", "event_at": at(15)},
        {"customer_id": "c", "kind": "offer_made", "event_at": at(19.5)},
    ]
    made = world(events, interventions=acts)
    assert made.outcomes(10, "a") == ["stayed", "contacted", "contacted"]
    assert made.outcomes(16, "a") == ["contacted"] * 3
    assert made.outcomes(10, "b") == ["stayed", "stayed", "voluntary"]
    # The churn came before the contact: it is known.
    assert made.outcomes(10, "c") == ["stayed", "stayed", "voluntary"]


def test_snapshots_describe_the_live_subscriptions_as_visible(world: Any) -> None:
    events = [
        event("activated", 0, mrr=1000, plan="basic", billing_interval="year", renews_at=at(52)),
        event("activated", 1, subscription="t", mrr=5000, plan="pro", renews_at=at(9)),
        event("plan_changed", 2.5, mrr=2000, plan="plus", available_at=at(4)),
        event("price_changed", 3.5, mrr=2500),
        event("paused", 5.5),
        event("paused", 6.5, subscription="t"),
        event("cancelled", 7.5, subscription="t", cause="voluntary"),
    ]
    made = world(events, 9)
    spans = contract_spans(made.events, CLOCK, made.as_of)
    cells = snapshot_cells(spans, CutoffRange(k(0), made.as_of, 1), np.array([0]))
    snapshots = contract_snapshots(made.events, spans, cells, CLOCK).set_index("cutoff")
    weeks = {week: snapshots.loc[k(week)] for week in range(10)}
    # The late change of plan was followed by the price: it never overwrites the newer MRR.
    assert [int(weeks[w]["mrr"]) for w in range(10)] == [1000] + [6000] * 2 + [6000] + [
        7500
    ] * 4 + [2500] * 2
    assert [weeks[w]["plan"] for w in (0, 1, 3, 8)] == ["basic", "pro", "pro", "plus"]
    assert [bool(weeks[w]["paused"]) for w in (5, 6, 7, 8)] == [False, False, True, True]
    assert weeks[1]["renews_us"] == at(9).timestamp() * 1e6
    assert weeks[8]["renews_us"] == at(52).timestamp() * 1e6
    assert (snapshots["activated_us"] == int(at(0).timestamp() * 1e6)).all()


def test_thinning_keeps_one_cutoff_in_four_and_all_customers_at_the_newest() -> None:
    names = np.array([f"c{number}" for number in range(400)], dtype=object)
    phase = thinning_phase(names, 4, "salt")
    assert set(phase) == {0, 1, 2, 3}
    customers = np.arange(400)
    spans = contract_like_spans(customers, first=100, past=141)
    span, cutoff = snapshot_cells(spans, CutoffRange(110, 140, 4), phase)
    newest = cutoff == 140
    assert sorted(span[newest]) == list(range(400))
    before = pd.Series(cutoff[~newest]).groupby(span[~newest])
    assert set(before.diff().dropna()) == {4}
    assert set(before.min()) == {110, 111, 112, 113}


def contract_like_spans(customers: Any, first: int, past: int) -> Any:
    from data.lifetimes import LiveSpans  # noqa: PLC0415

    size = len(customers)
    return LiveSpans(customers, customers, np.full(size, first), np.full(size, past))


kinds = st.sampled_from([*LIVE_KINDS, *STOP_KINDS, "paused", "renewed"])
days = st.integers(0, 120)
histories = st.lists(st.tuples(kinds, st.sampled_from("st"), days, st.integers(0, 7)), max_size=14)


@given(history=histories)
def test_spans_and_spells_equal_an_oracle_in_plain_python(
    history: list[Any], tmp_path_factory: Any, engine: Engine
) -> None:
    events = [event("activated", 0, subscription="first")]
    for kind, subscription, day, late in history:
        when = at(days=day)
        arrives = when + dt.timedelta(days=late)
        events.append(
            event(kind, 0, subscription=subscription, event_at=when, available_at=arrives)
        )
    made = World(tmp_path_factory.mktemp("world"), engine, events, 24)
    expected = {("a", week) for week in range(25) if _live(events, at(week), by="available_at")}
    assert made.eligible() == expected
    # Even a return at the same instant is a return, so the gap allowed is less than none.
    spells = contract_spells(made.events, -1)
    for hour in range(0, 24 * 7 * 24, 24):
        moment = at(hours=hour)
        now = np.array([int(moment.timestamp() * 1e6)])
        spell = spells.at(np.array([0]), now)[0]
        alive = spell >= 0 and spells.stop_us[spell] > now[0]
        assert alive == _live(events, moment, by="event_at")


def _live(events: list[Any], moment: dt.datetime, by: str) -> bool:
    """Whether some subscription is live at a moment, by the rows that count there."""
    order = [kind for kind in KINDS if kind in (*STOP_KINDS, *LIVE_KINDS)]
    state: dict[str, str] = {}
    numbered = [(row["event_at"], order.index(row["kind"]), number, row)
                for number, row in enumerate(events) if row["kind"] in order]  # fmt: skip
    for _, _, _, row in sorted(numbered, key=lambda item: item[:3]):
        if row.get(by, row["event_at"]) <= moment:
            state[row["subscription_id"]] = row["kind"]
    return any(kind in LIVE_KINDS for kind in state.values())


def test_inactivity_churn_is_the_completion_of_n_silent_periods(
    tmp_path: Path, engine: Engine
) -> None:
    used = [0.5, 1.5, 2.5, 10.5]
    rows = [{"customer_id": "a", "feature": "login", "count": 1, "event_at": at(w)} for w in used]
    paths = write_logs(tmp_path, {"usage": rows})
    names = np.array(["a"], dtype=object)
    as_of = k(30)
    use = read_use_periods(
        engine.read(paths["usage"]), names, CLOCK, CLOCK.cutoff_us(as_of), engine
    )
    spans = inactivity_spans(use, 4, as_of)
    _, cutoff = snapshot_cells(spans, CutoffRange(k(0), as_of, 1), np.array([0]))
    # Use in weeks 1, 2, 3 and 11: the fourth silent week is complete at 7 and at 15.
    assert sorted(cutoff - k(0)) == [1, 2, 3, 4, 5, 6, 11, 12, 13, 14]
    spells = inactivity_spells(use, 4, as_of, CLOCK)
    assert list(spells.stop_us) == [CLOCK.cutoff_us(k(7)), CLOCK.cutoff_us(k(15))]
    assert list(spells.start_us) == [CLOCK.cutoff_us(k(1)), CLOCK.cutoff_us(k(11))]


def test_without_contracts_revenue_is_what_was_paid_and_visible(
    tmp_path: Path, engine: Engine
) -> None:
    paid = [(0.5, 0.5, 1200), (3.5, 5.5, 600), (4.0, 4.0, 60)]
    rows = [
        {"customer_id": "a", "invoice_id": str(n), "kind": "succeeded", "amount": amount,
         "event_at": at(when), "available_at": at(known)}
        for n, (when, known, amount) in enumerate(paid)
    ]  # fmt: skip
    log = engine.read(write_logs(tmp_path, {"payments": rows})["payments"])
    weeks = np.array([0, 1, 4, 5, 6, 13, 14, 17])
    cells = (np.zeros(len(weeks), dtype=np.int64), weeks + k(0))
    revenue = payment_revenue(log, np.array(["a"], dtype=object), cells, CLOCK, engine)
    sums = np.array([0, 1200, 1260, 1260, 1860, 1860, 660, 0])
    assert list(revenue) == list(np.rint(sums / (13 * 7 / (365.25 / 12))).astype(int))


def us(weeks: float) -> int:
    return int(at(weeks).timestamp() * 1e6)


def test_a_history_that_is_too_short_and_a_date_without_data_say_so() -> None:
    coverage = Coverage(us(0.1), {"usage": us(19.9)})
    assert coverage.newest_cutoff(CLOCK) == k(20)
    assert Coverage(us(0.1), {"usage": us(19.8)}).newest_cutoff(CLOCK) == k(19)
    assert choose_as_of(coverage, CLOCK, None, "usage", 7) == k(20)
    with pytest.raises(BadInputError, match="The logs cover 19 periods up to 2024-05-20, fewer"):
        choose_cutoffs(coverage, CLOCK, k(20), 26, 4)
    with pytest.raises(BadInputError, match=r"snapshot\.as_of is 2024-06-03, but the logs reach"):
        choose_as_of(coverage, CLOCK, k(22), "usage", 7)
    assert choose_cutoffs(coverage, CLOCK, k(18), 4, 4) == CutoffRange(k(5), k(18), 4)


def test_a_log_of_outcomes_that_ends_long_before_the_others_is_refused() -> None:
    # Else the weeks that it does not cover would count as "stayed".
    coverage = Coverage(us(0), {"subscriptions": us(20), "payments": us(22.1)})
    with pytest.raises(BadInputError, match="The subscriptions log, which decides who left, ends"):
        choose_as_of(coverage, CLOCK, None, "subscriptions", 7)
    assert choose_as_of(coverage, CLOCK, k(20), "subscriptions", 7) == k(20)
    near = Coverage(us(0), {"subscriptions": us(20), "payments": us(21.9)})
    assert choose_as_of(near, CLOCK, None, "subscriptions", 7) == k(22)


def test_a_customer_who_signs_up_and_cancels_at_the_same_instant_has_left(world: Any) -> None:
    events = [event("activated", 3.5), event("cancelled", 3.5, cause="voluntary")]
    assert world(events, 12).eligible() == set()
    back = [*events, event("reactivated", 3.5)]
    assert world(back, 5).eligible() == {("a", 4), ("a", 5)}


def test_a_cancellation_revoked_within_a_trial_does_not_activate(world: Any) -> None:
    events = [
        event("trial_started", 1),
        event("cancel_scheduled", 1.2),
        event("cancel_revoked", 1.4),
        event("activated", 4.5, available_at=at(5.5)),
        event("cancel_scheduled", 4.6),
        event("cancel_revoked", 4.7),
    ]
    made = world(events, 7)
    # The revocation of week 5 counts once the late activation is known too.
    assert made.eligible() == {("a", 6), ("a", 7)}
    assert world(events[:3], 7).eligible() == set()


def test_a_return_after_a_contact_does_not_undo_the_churn(world: Any) -> None:
    events = [event("activated", 0), event("cancelled", 13.5), event("reactivated", 15)]
    act = {"customer_id": "a", "kind": "contacted"}
    won_back = world(events, interventions=[act | {"event_at": at(14.5)}])
    assert won_back.outcomes(10) == ["voluntary"] * 3
    afterwards = world(events, interventions=[act | {"event_at": at(20)}])
    assert afterwards.outcomes(10)[0] == "stayed"


def test_expired_terms_and_amounts_of_ended_subscriptions_are_ignored(world: Any) -> None:
    events = [
        event("activated", 0, mrr=900, renews_at=at(2)),
        event("cancelled", 3.2, mrr=0),
        event("reactivated", 4.2),
    ]
    made = world(events, 6)
    spans = contract_spans(made.events, CLOCK, made.as_of)
    cells = snapshot_cells(spans, CutoffRange(k(0), made.as_of, 1), np.array([0]))
    snapshots = contract_snapshots(made.events, spans, cells, CLOCK).set_index("cutoff")
    assert snapshots.loc[k(1), "renews_us"] == us(2)
    assert snapshots.loc[k(2), "renews_us"] == us(
        2
    )  # what is planned for the cutoff lies ahead of it
    assert pd.isna(snapshots.loc[k(3), "renews_us"])
    assert snapshots.loc[k(6), "mrr"] == 900


def test_a_log_without_live_customers_does_not_crash(world: Any) -> None:
    made = world([event("trial_started", 1), event("renewed", 2)], 6)
    assert made.eligible() == set()
    assert len(contract_spells(made.events, 0).customer) == 0


def test_rows_with_count_0_are_silence(tmp_path: Path, engine: Engine) -> None:
    row = {"customer_id": "a", "feature": "login"}
    rows = [row | {"count": 1, "event_at": at(0.5)}, row | {"count": 0, "event_at": at(1.5)}]
    log = engine.read(write_logs(tmp_path, {"usage": rows})["usage"])
    use = read_use_periods(log, np.array(["a"], dtype=object), CLOCK, us(9), engine)
    assert list(use.period) == [k(1)]


def test_later_mrr_is_that_of_all_subscriptions_live_at_the_end_of_the_horizon(world: Any) -> None:
    made = world(
        [
            event("activated", 0, mrr=1000),
            event("activated", 0, "a", "add-on", mrr=300),
            event("plan_changed", 10.5, mrr=800),
            event("cancelled", 12.5, "a", "add-on", cause="voluntary"),
            event("cancelled", 20.5, cause="voluntary"),
        ],
        30,
    )
    # 13 weeks after weeks 0, 5 and 10 the plan is cheaper and the add-on gone; before, neither.
    assert made.later(5, 4) == 1300
    assert made.later(5, 6) == 1100
    assert made.later(5, 13) == made.later(0, 13) == 800
    # A customer who has left has no later MRR, and there is none after the end of the log.
    assert made.later(10, 13) is None
    assert made.later(20, 13) is None
