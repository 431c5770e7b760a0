"""The list as a page: what it shows, in every language."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import re

import pandas as pd
import pytest

from reading.document import Document
from retention.detail import CustomerDetail, Week
from retention.exports import csv_text
from retention.language import ENGLISH, LANGUAGES
from retention.list_page import PageExtras, page
from retention.playbook import load_playbook
from retention.weekly_list import MONEY_COLUMNS, Policy, Provenance, Scored, WeeklyList, weekly_list
from worlds.list_world import (
    CUTOFF,
    HOSTILE,
    KEPT,
    PROVENANCE,
    SETTINGS,
    detail,
    earlier,
    make,
    nobody,
)


@pytest.fixture(scope="module")
def document(week: WeeklyList) -> Document:
    return Document(page(week))


@pytest.fixture(scope="module")
def later_document(later_week: WeeklyList, later_extras: PageExtras) -> Document:
    return Document(page(later_week, later_extras))


def test_the_page_shows_each_listed_row_with_its_numbers(
    week: WeeklyList, document: Document
) -> None:
    assert len(document.of_class("opener")) == len(week.listed)
    for row in week.listed.itertuples():
        for words in (row.customer_id, row.action, row.reason_1, row.reason_3.split(": ")[1]):
            assert words in document.text
    mrr = week.listed["mrr"].sum() / 100
    assert f"€{mrr:,.0f}" in document.text
    assert "of all 600 customers" in document.text
    assert PROVENANCE.notes[0] in document.text
    assert "11 days before the cutoff" in document.text
    assert document.text.count("2f6a90c1") == 1
    assert document.languages == ["nl", "sv", "it"]


def test_the_page_says_how_often_each_reason_appears(week: WeeklyList, document: Document) -> None:
    columns = [f"reason_{i}" for i in (1, 2, 3)]
    rows = week.listed[["queue", *columns]].melt("queue", value_name="reason").dropna()
    tally = pd.crosstab(rows["reason"].str.split(":|,").str[0], rows["queue"])
    start = document.text.index("How often each reason appears")
    for topic, counts in tally.iterrows():
        share = ENGLISH.percent(counts.sum() / len(week.listed))
        words = f"{topic} {counts['success']} {counts['billing']} {share}"
        assert words in document.text[start:]


def test_the_page_needs_no_network_and_allows_only_its_own_script(document: Document) -> None:
    for tag, attrs in document.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attrs.get(name)
            own = value in ("data:,", "list.html", "overview.html")
            assert value is None or value.startswith("#") or own, (tag, name, value)
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")]
    assert "url(" not in document.inside["style"]
    assert "@import" not in document.inside["style"]
    policies = [attrs["content"] for _, attrs in document.tags if "http-equiv" in attrs]
    for kind in ("style", "script"):
        digest = hashlib.sha256(document.inside[kind].encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in str(policies[0])
    assert str(policies[0]).startswith("default-src 'none'")


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
    assert document.languages == plain.languages
    assert document.inside == plain.inside
    assert not [name for _, attrs in document.tags for name in attrs if name.startswith("on")]
    assert "{{ 7 * 7 }}" in document.text
    assert "x" * 301 not in text
    assert not re.search("[\x00-\x08\x0b-\x1f]", text)
    handed_out = csv_text(hostile.listed, MONEY_COLUMNS, "EUR")
    assert not re.search(r"(^|[,;\n\"])=", handed_out)


def test_names_of_any_direction_are_isolated(scored: Scored) -> None:
    frame = scored.snapshots.assign(owner="\u202eevil")
    text = page(make(dataclasses.replace(scored, snapshots=frame)), languages=[ENGLISH])
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
        Policy(SETTINGS, load_playbook(), KEPT),
        Provenance("files", "v1", {}),
    )
    for language in LANGUAGES:
        assert not re.search(
            r"\b(nan|NaT|None|NA)\b", Document(page(week, languages=[language])).text
        )
    assert week.listed["data_until"].isna().all()


def test_only_listed_rows_are_embedded(scored: Scored, week: WeeklyList) -> None:
    unlisted = set(scored.snapshots["customer_id"]) - set(week.listed["customer_id"])
    text = page(week)
    assert not [customer for customer in unlisted if customer in text]


def test_each_control_names_what_it_controls(week: WeeklyList, document: Document) -> None:
    ids = [attrs["id"] for _, attrs in document.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in document.tags:
        for name in ("aria-controls", "aria-labelledby"):
            assert attrs.get(name) is None or attrs[name] in ids
    assert [attrs.get("lang") for tag, attrs in document.tags if tag == "html"] == ["en"]


# A week later, with details of each customer


def test_the_headline_is_compared_with_the_last_list(
    scored: Scored, later_week: WeeklyList, later_document: Document
) -> None:
    text = later_document.text
    assert later_week.totals_before is not None
    step = later_week.totals.listed_mrr - later_week.totals_before.listed_mrr
    assert "Differences are to the last list, of 23 Dec 2024" in text
    assert (ENGLISH.money(step, "EUR") if step else "±0") in text
    assert "first list" in Document(page(make(scored))).text


def test_each_row_says_how_it_moved_and_the_gone_are_named_with_the_reason(
    later_week: WeeklyList,
    later_document: Document,
) -> None:
    for kind, count in later_week.listed["change"].value_counts().items():
        assert (
            len([a for a in later_document.of_class("change") if kind in str(a["class"])]) == count
        )
    assert {"new", "up"} <= set(later_week.listed["change"])
    new = [attrs for tag, attrs in later_document.tags if tag == "tbody" and "data-new" in attrs]
    assert len(new) == later_week.listed["change"].isin(["new", "back"]).sum()
    gone = later_document.text[later_document.text.index("Gone since the last list") :]
    for row in later_week.gone.itertuples():
        assert row.customer_id in gone
    assert "customer-gone" in gone
    assert "Has left" in gone


def test_the_change_of_risk_is_split_into_parts_that_add_up(scored: Scored) -> None:
    rescored = dataclasses.replace(earlier(make(scored)), rescored=scored.risks * 0.9)
    week = make(scored, past=rescored)
    number = "([+\u2212]?[0-9.]+)"
    splits = re.findall(
        f"{number} points = {number} by behaviour {number} by the model",
        Document(page(week)).text,
    )
    assert len(splits) == week.listed["risk_change_bp"].notna().sum() > 10
    for parts in splits:
        whole, behaviour, model = (round(100 * float(p.replace("\u2212", "-"))) for p in parts)
        assert whole == behaviour + model


def test_an_opened_customer_shows_risk_use_payments_and_tickets(
    later_week: WeeklyList, later_document: Document
) -> None:
    images = [attrs for tag, attrs in later_document.tags if attrs.get("role") == "img"]
    assert len(images) == 3 * len(later_week.listed)
    labels = " ".join(str(attrs["aria-label"]) for attrs in images)
    assert "Risk on 3 lists, from 10% to 20%." in labels
    assert "In 26 weeks €343 fell due and €245 was paid; 3 attempts failed." in labels
    assert later_document.text.count("The export failed again.") == len(later_week.listed) // 2
    assert "No tickets on record." in later_document.text
    assert "rated 2 of 5" in later_document.text


def test_a_customer_without_logs_has_no_empty_charts(scored: Scored) -> None:
    week = make(scored)
    nothing = tuple(
        Week(CUTOFF.date() - dt.timedelta(weeks=25 - k), None, None, None, None, None)
        for k in range(26)
    )
    bare = CustomerDetail(((CUTOFF.date(), 0.2),), nothing, ())
    details = dict.fromkeys(week.listed["customer_id"], bare)
    document = Document(page(week, PageExtras(details)))
    assert not [attrs for _, attrs in document.tags if attrs.get("role") == "img"]


def test_the_page_reads_whole_in_every_language(
    later_week: WeeklyList, later_extras: PageExtras
) -> None:
    english = Document(page(later_week, later_extras, [ENGLISH])).text
    for language in LANGUAGES[1:]:
        document = Document(page(later_week, later_extras, [language]))
        assert dict(document.tags)["html"]["lang"] == language.code
        for words in ("How often each reason appears", "Raises the risk", "customers shown"):
            assert words in english + str(page(later_week, later_extras, [ENGLISH]))
            assert words not in document.text
        assert language.gettext("How often each reason appears") in document.text
        assert language.money(later_week.totals.listed_mrr, "EUR") in " ".join(document.words)
        assert language.day(CUTOFF) in document.text
        for action in set(later_week.listed["action"]):
            assert action not in document.text
            assert language.gettext(action) in document.text


def test_results_of_earlier_lists_are_shown_with_their_interval(later_document: Document) -> None:
    text = later_document.text
    assert "8.1% of 140 listed customers left, 13% of 15 withheld ones: \u22125.20 points" in text
    assert "95% interval \u221221.00 to +8.00" in text


def test_hostile_tickets_do_no_harm(later_week: WeeklyList, later_extras: PageExtras) -> None:
    plain = Document(page(later_week, later_extras, [ENGLISH]))
    details = {
        # Every other customer has a ticket.
        name: detail(n, HOSTILE[n // 2 % len(HOSTILE)])
        for n, name in enumerate(later_week.listed["customer_id"])
    }
    assert len(details) >= 2 * len(HOSTILE)
    hostile = dataclasses.replace(later_extras, details=details)
    document = Document(page(later_week, hostile, [ENGLISH]))
    assert HOSTILE[0] in document.text
    assert document.inside == plain.inside
    assert [tag for tag, _ in document.tags] == [tag for tag, _ in plain.tags]
    assert not [name for _, attrs in document.tags for name in attrs if name.startswith("on")]
