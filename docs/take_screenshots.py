"""Take the pictures of the reviewer's guide from a running MLflow UI, in a real browser.

``make ui`` in one shell, ``make screenshots`` in another. What a page must show is waited for, so
that a page which does not show it ends in an error instead of a picture. The tests run this too.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SIZE = {"width": 1400, "height": 900}
SETTLED = 3_000  # milliseconds until charts have drawn themselves
PATIENCE = 60_000
EXPERIMENT = "churn-risk"
# The panel at the right that MLflow opens on a first visit stays shut.
NO_ASSISTANT = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""


class Guide:
    """The pages of a review, in the order in which a reviewer sees them."""

    def __init__(self, page: Page, uri: str, folder: Path) -> None:
        self.page, self.uri, self.folder = page, uri, folder
        page.add_init_script(NO_ASSISTANT)
        client = MlflowClient(uri)
        self.experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
        found = client.search_runs([self.experiment], order_by=["start_time DESC"])
        self.runs = [run for run in found if "dvc_lock_digest" in run.data.tags][:2]
        self.source = self.runs[0].data.tags["source"]

    def open(self, path: str, *shown: str) -> None:
        """Open a page and wait for what it must show."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.uri}/#/{path}")
        for text in shown:
            self.page.get_by_text(text, exact=False).first.wait_for(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)

    def shoot(self, name: str) -> None:
        """Save what is on the screen, in few colours: the pictures are kept in git."""
        path = self.folder / f"{name}.png"
        self.page.screenshot(path=path)
        Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)

    def take(self) -> None:
        """Take every picture."""
        first = self.runs[0].info.run_id
        runs = f"experiments/{self.experiment}/runs"
        self.open(runs, "Run Name")
        for row in (0, 1):
            self.page.locator(f"[role=row][row-index='{row}'] input[type=checkbox]").first.check()
        self.page.get_by_role("button", name="Compare").first.wait_for(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)
        self.shoot("1_list")
        self.page.get_by_role("button", name="Compare").first.click()
        self.page.get_by_text("Comparing 2 Runs").wait_for(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)
        self._show("Metrics")
        self._wheel_to("test/voluntary/4w/log_loss")
        self.shoot("2_comparison")
        self.open(f"{runs}?compareRunsMode=CHART", "test/voluntary/4w")
        self._show("week/voluntary/4w")
        self.shoot("3_curves")
        self.open(f"{runs}/{first}", "About this run", "What changed since the champion")
        self.page.get_by_text("Show more", exact=True).first.click()
        self._show("Known limits")
        self._show("Description")
        self.shoot("4_review")
        self.open(f"{runs}/{first}/artifacts/pictures/capacity.png", "capacity.png")
        self.page.get_by_text("pictures/capacity.png").first.wait_for(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)
        self.shoot("5_pictures")
        self.open(f"models/churn-risk-{self.source}", "@ challenger", "@ champion")
        self.shoot("6_model")

    def _wheel_to(self, text: str) -> None:
        """Turn the wheel until a long table, which holds little more than is in sight, shows it."""
        self.page.mouse.move(SIZE["width"] / 2, SIZE["height"] - 100)
        for _ in range(120):
            found = self.page.get_by_text(text, exact=True)
            box = found.first.bounding_box() if found.count() else None
            if box and box["y"] < SIZE["height"] - 200:
                self.page.wait_for_timeout(SETTLED)  # names and values scroll one after the other
                return
            self.page.mouse.wheel(0, 120)
            self.page.wait_for_timeout(400)
        raise TimeoutError(f"The page does not show {text}.")

    def _show(self, text: str) -> None:
        """Scroll to a text."""
        self.page.get_by_text(text, exact=True).first.scroll_into_view_if_needed(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)


def main() -> None:
    """Take the pictures that the guide shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", default="http://127.0.0.1:5000")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "reviewing")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        Guide(browser.new_page(viewport=SIZE), given.uri, given.folder).take()
        browser.close()


if __name__ == "__main__":
    main()
