"""Take the pictures of the documents: the example model, three hours of traffic, and a headless Chromium.

Run it after changing the page: `python docs/make_pictures.py`. The runtime, its store and the HTTP side are the real
ones; only the clock is moved by hand, so that three hours take seconds and the pictures show the same each time.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
from werkzeug.serving import make_server

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from monitor.clock import ManualClock, from_iso  # noqa: E402
from monitor.config.load import Config  # noqa: E402
from monitor.exposition import families  # noqa: E402
from monitor.models.model import open_model  # noqa: E402
from monitor.reference.file import Reference  # noqa: E402
from monitor.runtime import Runtime  # noqa: E402
from server.web.app import create_app  # noqa: E402
from tests.judging.test_performance import World  # noqa: E402
from tests.server.browser.devtools import Browser  # noqa: E402
from train.fit import fit, load_dataset, write_pair  # noqa: E402

IMAGES = ROOT / "docs" / "images"
START = from_iso("2026-03-14T12:00:00Z")
MINUTES, SHIFTED_AFTER, ROWS = 180, 130, 25

#: File, address, width, and the height to cut at (0: all of it).
PICTURES = (
    ("overview.png", "/", 1240, 0, "light"),
    ("overview-dark.png", "/", 1240, 0, "dark"),
    ("column.png", "/column/feature?name=bmi", 1240, 1180, "light"),
    ("alerts.png", "/alerts", 1240, 0, "light"),
    ("phone.png", "/", 375, 800, "light"),
)
#: The same of the model whose outcomes come three hours late.
PERFORMANCE = (("performance.png", "/performance", 1240, 1420, "light"),)
HOURS, WRONG_AFTER, LATE = 90, 66, 3


def history(folder: Path) -> Runtime:
    """A runtime that has seen the example model serve for three hours; bmi rises by 1.3 deviations after two."""
    data = load_dataset("regression")
    fitted = fit("regression", data)
    write_pair(fitted, folder, ManualClock(START - 86400))
    text = (
        f'[model]\npath = "{folder / "model.pkl"}"\nreference = "{folder / "histogram.prom"}"\n'
        f'[data]\npath = "{folder / "data"}"\n[drift]\nevery = "2m"\n'
    )
    config = Config.from_text(text)
    reference = Reference.load(config.model.reference)
    model = open_model(config.model, reference)
    clock = ManualClock(START)
    runtime = Runtime.of_one(config, reference, model.version, clock)
    rng = np.random.default_rng(2026)
    bmi = reference.schema.index("bmi")
    for minute in range(MINUTES):
        rows = data.rows[rng.integers(0, len(data.rows), ROWS)].copy()
        if minute >= SHIFTED_AFTER:
            rows[:, bmi] += 1.3 * data.deviations[bmi]
        runtime.only.recorder.record_many(rows.T, [model.predict(rows)])
        clock.advance(60)
        if minute % 2:
            runtime.evaluate()
    settle(runtime, clock)
    return runtime


def late_outcomes(folder: Path) -> Runtime:
    """A runtime of a classifier whose outcomes come after hours; on the last day a quarter of them is turned round."""
    world, waiting = World(folder, '[[rule]]\nname = "performance"\nstatistic = "performance"\nwindow = "2d"\n'), []
    for hour in range(HOURS):
        waiting.append(world.predict(60, wrong=0.25 if hour >= WRONG_AFTER else 0.0))
        if hour >= LATE:
            world.tell(*waiting.pop(0))
        world.clock.advance(3600)
        world.runtime.evaluate()
    settle(world.runtime, world.clock)
    return world.runtime


def settle(runtime: Runtime, clock: ManualClock) -> None:
    """Start the threads, and wait until nothing is left to do."""
    runtime.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with closing(sqlite3.connect(runtime.folder.database)) as connection:
            unsent = connection.execute("SELECT count(*) FROM notifications WHERE state <> 'sent'").fetchone()[0]
        if not unsent and not runtime.facts().process[families.WAITING] and runtime.health()["status"] == "ok":
            return
        clock.advance(1)
        time.sleep(0.05)


def main() -> None:
    """Take all pictures."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    logging.getLogger("telltale").setLevel(logging.ERROR)
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        browser = Browser(folder / "profile", zone="UTC")
        try:
            take(browser, history(folder), PICTURES)
            take(browser, late_outcomes(folder / "outcomes"), PERFORMANCE)
        finally:
            browser.close()


def take(browser: Browser, runtime: Runtime, pictures: Iterable[tuple[str, str, int, int, str]]) -> None:
    """Take pictures of a runtime's pages, and close it."""
    server = make_server("127.0.0.1", 0, create_app(runtime), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for file, path, width, height, colours in pictures:
            page = browser.open(f"http://127.0.0.1:{server.port}{path}", width, 800, prefers_color_scheme=colours)
            page.screenshot(IMAGES / file, height)
            page.close()
            print(f"{IMAGES.relative_to(ROOT) / file}")
    finally:
        server.shutdown()
        runtime.close()


if __name__ == "__main__":
    main()
