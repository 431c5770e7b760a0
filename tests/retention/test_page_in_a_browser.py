"""The pages in a real browser: from disk, without a network, with a keyboard, on paper."""

from __future__ import annotations

import dataclasses
import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from retention import list_page, overview_page
from retention.language import CODES, LANGUAGES
from retention.list_page import NO_EXTRAS
from worlds.list_world import HOSTILE, SETTINGS, later, make, nobody, world
from worlds.overview_world import business
from worlds.project import SMALL, Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from retention.list_page import PageExtras
    from retention.weekly_list import WeeklyList

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*arguments, "--no-first-run"]
        )
        yield running
        running.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of page, as files."""
    made = tmp_path_factory.mktemp("pages")
    scored = world()
    few = dataclasses.replace(
        scored,
        snapshots=scored.snapshots.iloc[:5].assign(paused=False, mrr=10**6),
        risks=scored.risks[:5],
        X=scored.X[:5],
    )
    weeks = {
        "list": later(scored),
        "first": (make(scored), NO_EXTRAS),
        "empty": (nobody(scored), NO_EXTRAS),
        "one_queue": (
            make(scored, dataclasses.replace(SETTINGS, involuntary_save_rate=0.0)),
            NO_EXTRAS,
        ),
        "few": (make(few, dataclasses.replace(SETTINGS, holdout_share=0.0)), NO_EXTRAS),
        "hostile": hostile(),
    }
    for name, (week, extras) in weeks.items():
        list_page.write_page(week, extras, made / f"{name}.html")
    overview_page.write_overview(business(), made / "overview.html")
    return made


def hostile() -> tuple[WeeklyList, PageExtras]:
    """A list on which names, owners, plans and tickets try to do harm."""
    scored = world()
    settings = dataclasses.replace(SETTINGS, holdout_share=0.0)
    listed = make(scored, settings).listed["customer_id"]
    texts = [*HOSTILE, "\u202eright to left", 'Anna,\nof "Sales"', "<svg/onload=alert(1)>"]
    names = dict(zip(listed, texts, strict=False))
    frame = scored.snapshots.assign(
        customer_id=scored.snapshots["customer_id"].replace(names),
        owner=np.resize(np.array(texts, dtype=object), len(scored.snapshots)),
        plan=np.resize(np.array(texts[::-1], dtype=object), len(scored.snapshots)),
    )
    text = "<script>alert(1)</script>" * 500
    return later(dataclasses.replace(scored, snapshots=frame), text, settings)


@pytest.fixture
def opened(browser: Browser, folder: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Open a page offline; check afterwards for console messages and network requests."""
    faults: list[str] = []

    def go(name: str, path: Path | None = None, **options: Any) -> Page:
        terms = {"locale": "en", "viewport": {"width": 1280, "height": 900}} | options
        context = browser.new_context(offline=True, **terms)
        request.addfinalizer(context.close)
        shown = context.new_page()
        shown.on("console", lambda message: faults.append(message.text))
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("dialog", lambda dialog: faults.append(dialog.message))
        shown.on(
            "request",
            lambda asked: asked.url.startswith(("file:", "data:")) or faults.append(asked.url),
        )
        shown.goto((path or folder / f"{name}.html").resolve().as_uri())
        return shown

    yield go
    assert faults == []


def customers(shown: Page) -> list[str]:
    """Visible customers, in order."""
    return [
        text.strip()
        for text in shown.locator("tbody[data-owner]:visible .opener bdi").all_inner_texts()
    ]


def test_search_and_filters_narrow_the_lists(opened: Any, folder: Path) -> None:
    week, _ = later(world())
    shown = opened("list")
    everyone = customers(shown)
    assert everyone == week.listed["customer_id"].tolist()
    assert shown.inner_text("#shown") == f"{len(everyone)} of {len(everyone)} customers shown"
    shown.fill("#search", everyone[3][-5:])
    assert customers(shown) == [everyone[3]]
    shown.fill("#search", "nobody is called that")
    assert customers(shown) == []
    assert shown.locator(".none-found:visible").count() == 2
    shown.click("#clear")
    for column in ("owner", "segment"):
        value = week.listed[column].dropna().iloc[0]
        shown.select_option(f"[data-filter={column}]", label=value)
        wanted = week.listed[week.listed[column] == value]["customer_id"].tolist()
        assert customers(shown) == wanted != everyone
        shown.click("#clear")
    shown.select_option("[data-filter=queue]", "billing")
    billing = week.listed[week.listed["queue"] == "billing"]
    assert customers(shown) == billing["customer_id"].tolist()
    shown.click("#clear")
    shown.check("#new-only")
    new = week.listed[week.listed["change"].isin(["new", "back"])]
    assert customers(shown) == new["customer_id"].tolist() != everyone


def test_columns_sort_up_and_down(opened: Any) -> None:
    week, _ = later(world())
    queue = week.listed[week.listed["queue"] == "success"]
    shown = opened("list")
    shown.select_option("[data-filter=queue]", "success")
    for name, column in (("MRR", "mrr"), ("Risk, 4 weeks", "risk_4w")):
        header = shown.locator("[data-queue=success] thead button", has_text=name)
        header.click()
        rising = queue.sort_values([column, "position"])["customer_id"].tolist()
        assert customers(shown) == rising
        assert header.locator("xpath=..").get_attribute("aria-sort") == "ascending"
        header.click()
        falling = queue.sort_values([column, "position"], ascending=[False, True])
        assert customers(shown) == falling["customer_id"].tolist()
    shown.locator("[data-queue=success] thead button", has_text="Customer").click()
    assert customers(shown) == sorted(queue["customer_id"])


def test_a_row_opens_by_mouse_and_by_keyboard(opened: Any) -> None:
    shown = opened("list")
    assert shown.locator(".sheet:visible").count() == 0
    shown.locator("tr.row").nth(1).click()
    sheet = shown.locator(".sheet:visible")
    assert sheet.count() == 1
    assert sheet.locator("svg.chart").count() == 3
    for words in ("Why", "What to do", "Active days a week", "Payments a week", "Tickets"):
        assert words.lower() in sheet.inner_text().lower()
    opener = shown.locator(".opener").nth(1)
    assert opener.get_attribute("aria-expanded") == "true"
    opener.focus()
    shown.keyboard.press("Enter")
    assert shown.locator(".sheet:visible").count() == 0
    shown.keyboard.press("/")
    assert shown.evaluate("document.activeElement.id") == "search"
    shown.click("#expand")
    assert shown.locator(".sheet:visible").count() == shown.locator(".opener").count()


def test_the_language_changes_and_the_choices_stay(opened: Any) -> None:
    shown = opened("list")
    shown.fill("#search", "customer-000")
    shown.locator("tr.row:visible").first.click()
    names = customers(shown)
    for code, search, contact in (
        ("nl", "Zoeken", "Wat te doen"), ("sv", "Sök", "Vad som bör göras"),
        ("it", "Cerca", "Che cosa fare"), ("en", "Search", "What to do"),
    ):  # fmt: skip
        shown.select_option("#language", code)
        assert shown.evaluate("document.documentElement.lang") == code
        assert search in shown.inner_text(".toolbar")
        assert contact.lower() in shown.inner_text(".sheet:visible").lower()
        assert customers(shown) == names
        assert shown.evaluate("document.activeElement.id") == "language"
        assert shown.locator("#language").input_value() == code


def test_the_page_opens_in_the_language_of_the_browser(opened: Any) -> None:
    assert "Behoudlijst" in opened("list", locale="nl-NL").title()
    assert "Abbandoni" in opened("overview", locale="it-IT").title()
    assert "Retention list" in opened("list", locale="fi-FI").title()


def test_it_prints_with_rows_as_opened(opened: Any, tmp_path: Path) -> None:
    for name in ("list", "overview"):
        shown = opened(name)
        shown.emulate_media(media="print")
        assert not shown.locator(".where").is_visible()
        printed = shown.pdf(path=tmp_path / f"{name}.pdf")
        assert printed.startswith(b"%PDF")
        assert len(printed) > 20_000
    assert not shown.locator(".toolbar").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["list", "first", "empty", "hostile", "overview"])
def test_axe_finds_no_serious_fault_and_nothing_overflows(
    opened: Any, name: str, width: int, scheme: str
) -> None:
    shown = opened(name, viewport={"width": width, "height": 900}, color_scheme=scheme)
    if shown.locator("#expand").count():
        shown.locator(".opener").first.click()
    for summary in shown.locator("summary").all():
        summary.click()
    answer = Axe().run(shown).response
    assert len(answer["passes"]) > 20
    serious = [
        (fault["id"], [node["html"][:200] for node in fault["nodes"][:3]])
        for fault in answer["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 1000, 390])
@pytest.mark.parametrize("code", CODES)
def test_no_part_of_an_opened_customer_overlaps_the_next(
    opened: Any, code: str, width: int
) -> None:
    shown = opened("list", viewport={"width": width, "height": 900})
    shown.select_option("#language", code)
    shown.click("#expand")
    # The smallest risks take the most room: they are written in words.
    shown.evaluate(
        "text => document.querySelectorAll('.risks tbody td').forEach(cell => "
        "{ cell.firstChild.textContent = text })",
        LANGUAGES[CODES.index(code)].percent(1e-6),
    )
    too_wide = """
        [...document.querySelectorAll('.sheet > section')].filter(part =>
            [...part.querySelectorAll('table, dl, p, ul')].some(inner =>
                inner.getBoundingClientRect().right > part.getBoundingClientRect().right + 1))
        .map(part => part.className)
    """
    assert shown.evaluate(too_wide) == []


def test_hostile_text_does_nothing_and_is_shown_as_text(opened: Any) -> None:
    shown = opened("hostile")
    assert shown.locator("script").count() == 1
    assert shown.locator("#page img").count() == 0
    assert "=cmd|' /C calc'!A0" in customers(shown)
    assert "{{ 7 * 7 }}{% raw %}" in " ".join(customers(shown))
    shown.click("#expand")
    assert "<script>alert(1)</script>" in shown.locator(".tickets q").first.inner_text()
    for code in ("sv", "en"):
        shown.select_option("#language", code)
    shown.fill("#search", "<script>")
    assert len(customers(shown)) > 0


def test_lists_without_a_past_without_rows_and_with_few(opened: Any) -> None:
    first = opened("first")
    assert "This is the first list" in first.inner_text("main")
    assert first.locator("#new-only").count() == 0
    empty = opened("empty")
    assert empty.inner_text("main").count("Nobody to contact in this queue this week") == 2
    assert empty.locator(".toolbar").count() == 0
    one = opened("one_queue")
    assert one.inner_text("main").count("Nobody to contact in this queue this week") == 1
    few = opened("few")
    assert len(customers(few)) == 5
    assert few.inner_text("#shown") == "5 of 5 customers shown"


def test_twenty_thousand_at_risk_still_open_quickly(opened: Any, tmp_path: Path) -> None:
    week = make(world(20_000), dataclasses.replace(SETTINGS, success_capacity=60))
    path = tmp_path / "large.html"
    list_page.write_page(week, NO_EXTRAS, path)
    assert len(week.scores) == 20_000
    assert path.stat().st_size < 6_000_000
    began = time.perf_counter()
    shown = opened("large", path)
    assert len(customers(shown)) == len(week.listed) > 60
    # It takes a second on an idle machine; other work runs beside the tests.
    assert time.perf_counter() - began < 10.0


def test_the_pages_of_the_pipeline_open(opened: Any, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", SMALL)
    project.run("ingest", "validate", "snapshot", "featurize", "train", "score")
    shown = opened("list", project / "data/scores/list.html")
    assert len(customers(shown)) > 10
    shown.locator("tr.row").first.click()
    assert shown.locator(".sheet:visible svg.chart").count() >= 1
    with shown.expect_navigation():
        shown.click("a[href='overview.html']")
    assert "Churn overview" in shown.title()
    assert shown.locator("svg.chart").count() == 4
