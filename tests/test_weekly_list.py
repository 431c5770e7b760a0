from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import html.parser
import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data.clock import Clock
from features.declare import Feature
from retention import ranking
from retention.exports import csv_text, write_csv, write_parquet
from retention.page import page, write_page
from retention.playbook import load_playbook
from retention.ranking import ListSettings
from retention.survival import MonthsKept
from retention.weekly import MONEY_COLUMNS, Provenance, Scored, WeeklyList, weekly_list
from retention.wording import percent

CLOCK = Clock()
CUTOFF = dt.datetime(2024, 12, 30, tzinfo=dt.UTC)
SETTINGS = ListSettings(
    success_capacity=20,
    billing_capacity=10,
    voluntary_save_rate=0.15,
    involuntary_save_rate=0.4,
    margin=0.8,
    contact_cost=2500,
    months_kept=12,
    reasons=3,
    holdout_share=0.2,
    salt="test",
    currency="EUR",
)
NAN = float("nan")


def feature(name: str, group: str, sentence: str, unit: Any = "count", **terms: Any) -> Feature:
    given = {"family": "engagement", "sources": ("usage",)} | terms
    return Feature(name=name, group=group, sentence=sentence, unit=unit, **given)


CATALOG = (
    feature("active_days_4w", "usage_decline",
            "{value} active [day/days] in the last 4 weeks", "days",
            norm="active_days_usual_4w"),
    feature("active_days_usual_4w", "usage_habit", "Usually {value} active days in 4 weeks",
            "days"),
    feature("days_since_last_use", "usage_absence", "Last used the product {value} [day/days] ago",
            "days"),
    feature("features_used_4w", "usage_breadth", "{value} features used in the last 4 weeks"),
    feature("tickets_waiting", "support_waiting", "{value} tickets wait for a first reply",
            family="support"),
    feature("failed_payments_13w", "payment_failures", "{value} failed attempts in 13 weeks",
            family="payments"),
    feature("card_expires_before_renewal", "payment_method",
            "The card expires before the next renewal", "flag", family="payments",
            zero="No card that expires before the next renewal"),
    feature("mrr_change_26w", "price", "The price changed by {value} in the last 26 weeks", "cents",
            family="lifecycle"),
    feature("days_to_renewal", "renewal", "The contract renews in {value} days", "days",
            family="lifecycle"),
)  # fmt: skip


def snapshots(customers: int, generator: np.random.Generator) -> pd.DataFrame:
    first, last = ("Anna", "Bram", "Chiara", "Dag"), ("de Vries", "Lindqvist", "Rossi", "Smith")
    owners = [f"{a} {b}" for a, b in zip(first, last, strict=True)] + [None]
    renews = pd.Series(CUTOFF + pd.to_timedelta(generator.integers(1, 365, customers), unit="D"))
    return pd.DataFrame(
        {
            "customer_id": [f"customer-{i:05d}" for i in range(customers)],
            "cutoff": pd.Series([CUTOFF] * customers, dtype="datetime64[us, UTC]"),
            "mrr": generator.integers(20, 2000, customers) * 100,
            "paused": generator.random(customers) < 0.03,
            "plan": generator.choice(["starter", "team", "business"], customers),
            "billing_interval": generator.choice(["month", "year"], customers),
            "renews_at": renews.where(generator.random(customers) < 0.9).dt.as_unit("us"),
            "activated_at": pd.Series(
                CUTOFF - pd.to_timedelta(generator.integers(10, 900, customers), unit="D")
            ).dt.as_unit("us"),
            "segment": generator.choice(["small business", "enterprise"], customers),
            "country": generator.choice(["NL", "SE", "IT"], customers),
            "channel": generator.choice(["ads", "partner"], customers),
            "owner": pd.Series(generator.choice(owners, customers), dtype="str"),
        }
    )


def world(customers: int = 600, seed: int = 1) -> Scored:
    """An additive model of two causes in log-odds: its contributions are exact by construction."""
    generator = np.random.default_rng(seed)
    n, f = customers, len(CATALOG)
    X = np.column_stack(
        [
            generator.poisson(5, n), generator.poisson(9, n), generator.exponential(9, n).round(),
            generator.poisson(3, n), generator.poisson(0.3, n), generator.poisson(0.3, n),
            generator.random(n) < 0.1, generator.normal(0, 2000, n), generator.integers(0, 365, n),
        ]
    ).astype(np.float32)  # fmt: skip
    X[generator.random(n) < 0.2, 2] = np.nan
    weights = np.array(
        [[-0.35, 0.02, 0.06, -0.2, 0.9, 0.1, 0.1, 3e-4, -0.002], [0, 0, 0, 0, 0, 1.6, 1.9, 0, 0]]
    )
    center = np.array([5, 9, 9, 3, 0.3, 0.3, 0.1, 0, 180])
    parts = np.nan_to_num(X.astype(float) - center)[:, None, :] * weights[None]
    parts += generator.normal(0, 0.2, (n, 2, f))
    base = np.array([-3.5, -4.6])
    first = 1 / (1 + np.exp(-(base + parts.sum(axis=2))))
    first /= max(1.0, float(first.sum(axis=1).max()) / 0.99)
    logit = np.log(first / (1 - first))
    parts[:, :, 1] += logit - base - parts.sum(axis=2)
    risks = np.stack([1 - (1 - first / 2) ** k for k in (2, 4, 6.5)], axis=2)
    risks[:, :, 0] = first
    risks[:, :, 1:] = np.maximum(risks[:, :, 1:], first[:, :, None])
    causes = {"voluntary": 0, "involuntary": 1}

    def explain(rows: np.ndarray, cause: str) -> tuple[np.ndarray, np.ndarray]:
        c = causes[cause]
        return np.full(len(rows), base[c]), parts[rows, c]

    return Scored(
        snapshots(n, generator), risks, ("4w", "8w", "13w"), risks.mean(axis=0), X, CATALOG, explain
    )


PROVENANCE = Provenance(
    source="simulated",
    model_version="2f6a90c1",
    freshness={
        "usage": dt.datetime(2024, 12, 29, 23, 59, tzinfo=dt.UTC),
        "tickets": dt.datetime(2024, 12, 18, 9, 5, tzinfo=dt.UTC),
    },
    notes=("Few payment failures so far: billing risks are pooled with those of both causes.",),
)
KEPT = MonthsKept({"starter": 8.0, "team": 10.5, "business": 20.0}, 9.0)


def make(scored: Scored, settings: ListSettings = SETTINGS, **more: Any) -> WeeklyList:
    return weekly_list(scored, KEPT, load_playbook(), settings, PROVENANCE, CLOCK, **more)


@pytest.fixture(scope="module")
def scored() -> Scored:
    return world()


@pytest.fixture(scope="module")
def week(scored: Scored) -> WeeklyList:
    return make(scored)


# The list


def test_a_list_row_by_row_equals_a_recomputation(scored: Scored, week: WeeklyList) -> None:
    months = {"starter": 8.0, "team": 10.5, "business": 12.0}
    by_queue: dict[str, list[tuple[float, str, int]]] = {"success": [], "billing": []}
    for i, row in enumerate(scored.snapshots.itertuples()):
        value = row.mrr * 0.8 * months[row.plan]
        success = scored.risks[i, 0, 0] * 0.15 * value - 2500
        billing = scored.risks[i, 1, 0] * 0.4 * value - 2500
        if not row.paused and max(success, billing) > 0:
            queue = "success" if success >= billing else "billing"
            by_queue[queue].append((-max(success, billing), row.customer_id, i))
    epoch = CLOCK.cutoff_on(CUTOFF.date()) // 26
    for queue, capacity in (("success", 20), ("billing", 10)):
        expected = []
        for _, customer, i in sorted(by_queue[queue])[: round(capacity / 0.8)]:
            if len(expected) < capacity and not ranking.is_withheld(customer, epoch, "test", 0.2):
                expected.append((customer, i))
        listed = week.listed[week.listed["queue"] == queue]
        assert listed["customer_id"].tolist() == [customer for customer, _ in expected]
        assert listed["position"].tolist() == list(range(1, len(expected) + 1))
        c = ("success", "billing").index(queue)
        rows = [i for _, i in expected]
        for h, label in enumerate(scored.labels):
            np.testing.assert_array_equal(listed[f"risk_{label}"], scored.risks[rows, c, h])
        savings = [-minus for minus, _, i in sorted(by_queue[queue]) if i in rows]
        assert listed["expected_saving"].tolist() == np.rint(savings).tolist()
        times = scored.risks[rows, c, 0] / scored.base_rates[c, 0]
        np.testing.assert_allclose(listed["times_base"], times)


def test_reasons_reconcile_on_every_row_of_the_record(scored: Scored, week: WeeklyList) -> None:
    contributions = week.record.filter(like="contribution_").sum(axis=1)
    risk = week.record["risk_4w"]
    served = np.log(risk / (1 - risk))
    assert (week.record["base_log_odds"] + contributions - served).abs().max() < 1e-6
    assert len(week.record) == sum(
        week.counts[q][s] for q in week.counts for s in (ranking.LISTED, ranking.WITHHELD)
    )


def test_reasons_that_are_not_of_the_served_risk_stop_the_run(scored: Scored) -> None:
    wrong = dataclasses.replace(scored, risks=scored.risks * 0.99)
    with pytest.raises(ValueError, match="do not add up"):
        make(wrong)


def test_only_listed_and_withheld_rows_are_explained_once_a_queue(scored: Scored) -> None:
    asked: list[tuple[str, int]] = []

    def explain(rows: np.ndarray, cause: str) -> tuple[np.ndarray, np.ndarray]:
        asked.append((cause, len(rows)))
        return scored.explain(rows, cause)

    week = make(dataclasses.replace(scored, explain=explain))
    sizes = week.record["queue"].value_counts()
    assert asked == [("voluntary", sizes["success"]), ("involuntary", sizes["billing"])]


def test_different_customers_get_different_reasons(week: WeeklyList) -> None:
    reasons = week.listed[["reason_1", "reason_2", "reason_3"]]
    assert len(reasons.drop_duplicates()) > 0.8 * len(reasons)
    assert reasons["reason_1"].str.split(":").str[0].nunique() >= 4


def test_reasons_quote_the_customers_own_values(scored: Scored, week: WeeklyList) -> None:
    absent_for = {
        customer: float(days)
        for customer, days in zip(scored.snapshots["customer_id"], scored.X[:, 2], strict=True)
    }
    quoted = 0
    for row in week.listed.itertuples():
        for text in (row.reason_1, row.reason_2, row.reason_3, row.lowering_reason):
            found = re.fullmatch(
                r"Time since last use: Last used the product (\d+) days? ago", text
            )
            if found:
                assert float(found[1]) == absent_for[row.customer_id]
                quoted += 1
    assert quoted >= 5


def test_no_feature_name_reaches_the_reader(week: WeeklyList) -> None:
    out = csv_text(week.listed, MONEY_COLUMNS, "EUR") + page(week)
    assert [item.name for item in CATALOG if item.name in out] == []


def test_every_customer_counts_once(scored: Scored, week: WeeklyList) -> None:
    assert sum(n for by_status in week.counts.values() for n in by_status.values()) == 600
    assert len(week.scores) == 600
    paused = sum(by_status[ranking.PAUSED] for by_status in week.counts.values())
    assert paused == scored.snapshots["paused"].sum() > 0
    assert week.listed["customer_id"].is_unique


def test_withheld_customers_are_in_the_record_and_nowhere_else(week: WeeklyList) -> None:
    withheld = week.record[week.record["status"] == ranking.WITHHELD]
    assert len(withheld) >= 2
    assert withheld["position"].isna().all()
    assert withheld["reason_1"].notna().all()
    handed_out = csv_text(week.listed, MONEY_COLUMNS, "EUR") + page(week)
    for customer in withheld["customer_id"]:
        assert customer not in handed_out
    assert not {"status", "rank"} & set(week.listed.columns)


def test_a_customer_is_withheld_in_all_weeks_of_an_epoch_or_in_none(scored: Scored) -> None:
    first = CLOCK.cutoff_on(CUTOFF.date()) // 26 * 26
    draws: dict[str, set[str]] = {}
    for cutoff in (first, first + 7, first + 25):
        moved = scored.snapshots.assign(
            cutoff=pd.Series(CLOCK.cutoff_at(cutoff), index=scored.snapshots.index)
        )
        record = make(dataclasses.replace(scored, snapshots=moved)).record
        for customer, status in zip(record["customer_id"], record["status"], strict=True):
            draws.setdefault(customer, set()).add(status)
    assert all(len(statuses) == 1 for statuses in draws.values())


def test_the_contacted_are_left_out_and_counted(scored: Scored, week: WeeklyList) -> None:
    first = week.listed["customer_id"].iloc[0]
    again = make(scored, contacted=[first])
    assert first not in set(again.listed["customer_id"])
    assert again.counts["success"][ranking.CONTACTED] == 1


def test_due_dates_count_from_the_cutoff(week: WeeklyList) -> None:
    due = {action.text: action.due_days for action in load_playbook().actions.values()}
    for row in week.listed.itertuples():
        assert row.due_on == CUTOFF.date() + dt.timedelta(days=due[row.action])


def test_snapshots_of_two_cutoffs_are_refused(scored: Scored) -> None:
    mixed = scored.snapshots.copy()
    mixed.loc[0, "cutoff"] = CUTOFF - dt.timedelta(days=7)
    with pytest.raises(ValueError, match="hold 2"):
        make(dataclasses.replace(scored, snapshots=mixed))


def nobody(scored: Scored) -> WeeklyList:
    return make(scored, dataclasses.replace(SETTINGS, contact_cost=10**12))


def test_an_empty_list_keeps_its_columns_and_types(
    scored: Scored, week: WeeklyList, tmp_path: Any
) -> None:
    empty = nobody(scored)
    for name in ("scores", "listed", "record"):
        frames = [getattr(item, name) for item in (week, empty)]
        for number, frame in enumerate(frames):
            write_parquet(frame, tmp_path / f"{number}.parquet")
        full_schema, empty_schema = (pq.read_schema(tmp_path / f"{i}.parquet") for i in (0, 1))
        assert full_schema == empty_schema
    assert len(empty.listed) == len(empty.record) == 0
    assert csv_text(empty.listed, MONEY_COLUMNS, "EUR").count("\r\n") == 1


def test_two_runs_give_equal_bytes(scored: Scored, week: WeeklyList, tmp_path: Any) -> None:
    for number, item in enumerate((week, make(world()))):
        write_parquet(item.scores, tmp_path / f"{number}-scores.parquet")
        write_parquet(item.record, tmp_path / f"{number}-record.parquet")
        write_csv(item.listed, tmp_path / f"{number}-list.csv", MONEY_COLUMNS, "EUR")
        write_page(item, tmp_path / f"{number}-list.html")
    for one in sorted(tmp_path.glob("0-*")):
        assert one.read_bytes() == one.with_name(one.name.replace("0-", "1-")).read_bytes()


# The page


class Document(html.parser.HTMLParser):
    """What a browser would find: tags with their attributes, and the text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in ("style", "script"):
            self.inside[self._open] = self.inside.get(self._open, "") + data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


def test_the_page_shows_each_listed_row_with_its_numbers(week: WeeklyList) -> None:
    document = Document(page(week))
    assert len(document.of_class("opener")) == len(week.listed)
    for row in week.listed.itertuples():
        for words in (row.customer_id, row.action, row.reason_1, row.reason_3.split(": ")[1]):
            assert words in document.text
    mrr = week.listed["mrr"].sum() / 100
    assert f"€{mrr:,.0f}" in document.text
    assert "of all 600 customers" in document.text
    assert PROVENANCE.notes[0] in document.text
    assert "11 days before the cutoff" in document.text
    assert document.text.count("2f6a90c1") == 2


def test_the_page_says_how_often_each_reason_appears(week: WeeklyList) -> None:
    document = Document(page(week))
    columns = [f"reason_{i}" for i in (1, 2, 3)]
    rows = week.listed[["queue", *columns]].melt("queue", value_name="reason").dropna()
    tally = pd.crosstab(rows["reason"].str.split(":|,").str[0], rows["queue"])
    start = document.text.index("How often each reason appears")
    for topic, counts in tally.iterrows():
        share = percent(counts.sum() / len(week.listed))
        words = f"{topic} {counts['success']} {counts['billing']} {share}"
        assert words in document.text[start:]


def test_the_page_needs_no_network_and_allows_only_its_own_script(week: WeeklyList) -> None:
    document = Document(page(week))
    for tag, attrs in document.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attrs.get(name)
            assert value is None or value.startswith("#") or (tag, value) == ("link", "data:,")
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")]
    assert "url(" not in document.inside["style"]
    assert "@import" not in document.inside["style"]
    policies = [attrs["content"] for _, attrs in document.tags if "http-equiv" in attrs]
    for kind in ("style", "script"):
        digest = hashlib.sha256(document.inside[kind].encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in str(policies[0])
    assert str(policies[0]).startswith("default-src 'none'")


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "\u202egnp.exe",
    "=cmd|' /C calc'!A0",
    "a, b\nc;=1+1",
    "x" * 10_000,
    "{{ 7 * 7 }}{% raw %}",
    "\x00\x1b[31m&lt;b&gt;",
    "</title></style><h1>",
]


def test_hostile_text_does_no_harm(scored: Scored, week: WeeklyList) -> None:
    plain = Document(page(week))
    frame = scored.snapshots.copy()
    # The same values for the same people, so that the page differs in words alone.
    chosen = week.record.index[: len(HOSTILE)]
    names = dict(zip(week.record["customer_id"].iloc[chosen], HOSTILE, strict=True))
    settings = dataclasses.replace(SETTINGS, holdout_share=0.0)
    frame["customer_id"] = frame["customer_id"].replace(names)
    for column in ("owner", "segment", "plan", "country", "billing_interval"):
        frame[column] = frame[column].where(~frame["customer_id"].isin(HOSTILE), HOSTILE[1])
    hostile = make(dataclasses.replace(scored, snapshots=frame), settings)
    assert set(hostile.listed["customer_id"]) & set(HOSTILE)
    text = page(hostile)
    document = Document(text)
    kinds = [tag for tag, _ in document.tags]
    assert set(kinds) == {tag for tag, _ in plain.tags}
    assert kinds.count("script") == kinds.count("style") == kinds.count("h1") == 1
    assert document.inside == plain.inside
    assert not [name for _, attrs in document.tags for name in attrs if name.startswith("on")]
    assert "{{ 7 * 7 }}" in document.text
    assert "x" * 301 not in text
    assert not re.search("[\x00-\x08\x0b-\x1f]", text)
    handed_out = csv_text(hostile.listed, MONEY_COLUMNS, "EUR")
    assert not re.search(r"(^|[,;\n\"])=", handed_out)


def test_names_of_any_direction_are_isolated(scored: Scored) -> None:
    frame = scored.snapshots.assign(owner="\u202eevil")
    text = page(make(dataclasses.replace(scored, snapshots=frame)))
    spans = re.findall("(.{5})\u202eevil(.{6})", text)
    in_lists = [span for span in spans if span != ("<bdi>", "</bdi>")]
    assert len(spans) > 20
    # Only the option of the owner filter, which is a line of its own, cannot hold a <bdi>.
    assert len(in_lists) == 1


def test_an_empty_list_is_a_page_that_says_so(scored: Scored) -> None:
    document = Document(page(nobody(scored)))
    assert document.text.count("Nobody to contact in this queue this week") == 2
    assert "toolbar" not in str([attrs for _, attrs in document.tags])
    assert "There is nobody on the list" in document.text


def test_one_empty_queue_leaves_the_other_alone(scored: Scored) -> None:
    settings = dataclasses.replace(SETTINGS, involuntary_save_rate=0.0)
    week = make(scored, settings)
    document = Document(page(week))
    assert set(week.listed["queue"]) == {"success"}
    assert document.text.count("Nobody to contact in this queue this week") == 1


def test_fewer_customers_than_capacity(scored: Scored) -> None:
    few = 5
    small = dataclasses.replace(
        scored,
        snapshots=scored.snapshots.iloc[:few].assign(paused=False, mrr=10**6),
        risks=scored.risks[:few],
        X=scored.X[:few],
    )
    week = make(small, dataclasses.replace(SETTINGS, holdout_share=0.0))
    assert len(week.listed) == few
    assert "of all 5 customers" in Document(page(week)).text


def test_nulls_and_missing_freshness_are_shown_as_missing(scored: Scored) -> None:
    never = pd.Series(pd.NaT, index=scored.snapshots.index, dtype="datetime64[us, UTC]")
    frame = scored.snapshots.assign(renews_at=never)
    for column in ("owner", "segment", "plan", "country", "billing_interval"):
        frame[column] = pd.Series([None] * len(frame), dtype="str")
    week = weekly_list(
        dataclasses.replace(scored, snapshots=frame),
        KEPT,
        load_playbook(),
        SETTINGS,
        Provenance("files", "v1", {}),
        CLOCK,
    )
    document = Document(page(week))
    assert not re.search(r"\b(nan|NaT|None|NA)\b", document.text)
    assert week.listed["data_until"].isna().all()


def test_only_listed_rows_are_embedded(scored: Scored, week: WeeklyList) -> None:
    unlisted = set(scored.snapshots["customer_id"]) - set(week.listed["customer_id"])
    text = page(week)
    assert not [customer for customer in unlisted if customer in text]


def test_each_control_names_what_it_controls(week: WeeklyList) -> None:
    document = Document(page(week))
    ids = [attrs["id"] for _, attrs in document.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in document.tags:
        for name in ("aria-controls", "aria-labelledby"):
            assert attrs.get(name) is None or attrs[name] in ids
    assert [attrs.get("lang") for tag, attrs in document.tags if tag == "html"] == ["en"]
