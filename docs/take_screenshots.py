"""Take every picture of the docs in a real browser: ``make screenshots``.

The README's picture is the top of the weekly list that ``make`` wrote. The pictures of
``docs/reviewing.md`` come from the project's MLflow store, which this opens on a free port of this
machine. It must hold a champion and a second run to compare with it:

    make
    make promote RUN=...
    dvc exp run -S train.lightgbm.num_leaves=15

Each page is waited for until it shows what it must, so that a page which does not ends in an error
instead of a picture. The tests run this too.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# Wide enough for the pages, narrow enough to be read where a document is 900 pixels wide.
LIST_SIZE = ViewportSize(width=1200, height=1100)
REVIEW_SIZE = ViewportSize(width=1100, height=860)
SETTLED = 3_000  # milliseconds until charts have drawn themselves
PATIENCE = 60_000
START_SECONDS = 120
EXPERIMENT = "churn-risk"
# The panel at the right that MLflow opens on a first visit stays shut.
NO_ASSISTANT = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
# Where files are on this machine, and who is logged in, concern nobody else.
ANONYMOUS = """
for (const element of document.querySelectorAll("body *")) {
  const text = element.textContent.trim();
  if (/^Path:/.test(text) || (element.children.length === 0 && /file:\\/\\//.test(text))) {
    element.style.visibility = "hidden";
  }
}
const created = [...document.querySelectorAll("body *")].find(
  (element) => element.children.length === 0 && element.textContent.trim() === "Created by");
if (created) { created.parentElement.style.visibility = "hidden"; }
"""


def save(page: Page, path: Path, size: ViewportSize) -> None:
    """Save this much of the screen, in few colours: the pictures are kept in git."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, clip={"x": 0, "y": 0, **size})
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def take_list(page: Page, document: Path, target: Path) -> None:
    """Take the top of the weekly list, with its first customer opened."""
    page.goto(document.resolve().as_uri())
    page.locator("button.opener").first.click(timeout=PATIENCE)
    page.wait_for_timeout(SETTLED)
    save(page, target, LIST_SIZE)


class Guide:
    """The pages of a review, in the order in which a reviewer sees them."""

    def __init__(self, page: Page, uri: str, folder: Path) -> None:
        self.page, self.uri, self.folder = page, uri, folder
        page.add_init_script(NO_ASSISTANT)
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        runs = client.search_runs([experiment.experiment_id]) if experiment else []
        states = [run for run in runs if "dvc_lock_digest" in run.data.tags][:2]
        if len(states) < 2:
            sys.exit("There are not two runs to compare: see the top of docs/take_screenshots.py.")
        self.experiment, self.newest = experiment.experiment_id, states[0].info.run_id
        self.model = f"churn-risk-{states[0].data.tags['source']}"
        if "champion" not in client.get_registered_model(self.model).aliases:
            sys.exit("The store needs a champion: make promote RUN=<the id of a run>.")

    def open(self, path: str, *shown: str) -> None:
        """Open a page and wait for what it must show."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.uri}/#/{path}")
        for text in shown:
            self.page.get_by_text(text, exact=False).first.wait_for(timeout=PATIENCE)
        self.page.get_by_role("button", name="Toggle sidebar").first.click(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)

    def shoot(self, name: str, height: int | None = None) -> None:
        """Save the page, or its top where the rest is empty, without what names this machine."""
        self.page.evaluate(ANONYMOUS)
        size = ViewportSize(width=REVIEW_SIZE["width"], height=height or REVIEW_SIZE["height"])
        save(self.page, self.folder / f"{name}.png", size)

    def take(self) -> None:
        """Take every picture."""
        runs = f"experiments/{self.experiment}/runs"
        self._take_comparison(runs)
        self.open(f"{runs}?compareRunsMode=CHART", "test/voluntary/4w")
        charts = self.page.get_by_text("week/voluntary/4w", exact=False).first
        charts.evaluate("element => element.scrollIntoView({block: 'start'})")
        self.page.wait_for_timeout(SETTLED)
        self.shoot("3_curves")
        self.open(f"{runs}/{self.newest}", "About this run", "What changed since the champion")
        self.page.get_by_text("Show more", exact=True).first.click()
        self._show("Known limits")
        self._show("Description")
        self.shoot("4_review")
        self.open(f"{runs}/{self.newest}/artifacts/pictures/capacity.png", "capacity.png")
        self.page.get_by_text("pictures/capacity.png").first.wait_for(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)
        self.shoot("5_pictures")
        self.open(f"models/{self.model}", "@ challenger", "@ champion")
        self.shoot("6_model", 560)

    def _take_comparison(self, runs: str) -> None:
        """Take the two newest runs, ticked in the list and side by side."""
        self.open(runs, "Run Name")
        for row in (0, 1):
            self.page.locator(f"[role=row][row-index='{row}'] input[type=checkbox]").first.check()
        self.page.get_by_role("button", name="Compare").first.wait_for(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)
        self.shoot("1_list", 420)
        self.page.get_by_role("button", name="Compare").first.click()
        self.page.get_by_text("Comparing 2 Runs").wait_for(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)
        # In a long table that is scrolled, MLflow draws names and values apart.
        for switch in self.page.get_by_text("Show diff only", exact=True).all():
            switch.click()
        for section in ("Visualizations", "Run details"):
            self.page.get_by_text(section, exact=True).first.click()
        self._show("Parameters")
        self.page.locator("a", has_text="test/").first.wait_for(timeout=PATIENCE)
        self.shoot("2_comparison")

    def _show(self, text: str) -> None:
        """Scroll to a text."""
        self.page.get_by_text(text, exact=True).first.scroll_into_view_if_needed(timeout=PATIENCE)
        self.page.wait_for_timeout(SETTLED)


@contextmanager
def mlflow_ui(store: Path) -> Iterator[str]:
    """Run the MLflow UI of a store on a free port of this machine; its address."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(  # noqa: S603 - the command is ours
        [
            *(sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{store.resolve()}", "--workers", "1"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(START_SECONDS):
            try:
                urlopen(f"{address}/health").close()  # noqa: S310 - this machine
                break
            except OSError:
                time.sleep(1)
        else:
            sys.exit("The MLflow UI did not start.")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)


def take_pictures(document: Path, uri: str, folder: Path) -> None:
    """Write ``pictures/list.png`` and ``reviewing/*.png`` into a folder."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        take_list(browser.new_page(viewport=LIST_SIZE), document, folder / "pictures/list.png")
        Guide(browser.new_page(viewport=REVIEW_SIZE), uri, folder / "reviewing").take()
        browser.close()


def main() -> None:
    """Take the screenshots of README.md and docs/reviewing.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", type=Path, default=ROOT / "data/scores/list.html")
    parser.add_argument("--store", type=Path, default=ROOT / "mlflow.db")
    parser.add_argument("--uri", help="of an MLflow UI that runs already, instead of --store")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    for path in (given.list, *(() if given.uri else (given.store,))):
        if not path.is_file():
            sys.exit(f"{path} does not exist: run make first.")
    if given.uri:
        take_pictures(given.list, given.uri, given.folder)
        return
    with mlflow_ui(given.store) as uri:
        take_pictures(given.list, uri, given.folder)


if __name__ == "__main__":
    main()
