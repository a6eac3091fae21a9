"""The pages of `python -m server` with a model, as a person clicks through them."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest

from bench.running import ROW, Server, wait_for
from tests.server.browser.conftest import Serve
from tests.server.browser.devtools import Browser
from tests.server.conftest import Start

CONFIG = '[window]\nfold = "100ms"\nbase = "1s"\n[drift]\nevery = "1s"\nwindow = "10m"\nmin_samples = 20\n'

#: What a page's links lead to, and what it holds of itself.
LINKS = "[...document.querySelectorAll('a[href]')].map((a) => a.getAttribute('href'))"


@pytest.fixture(scope="module")
def served(start: Start) -> Server:
    """A server of the diabetes model that has judged traffic in which bmi moved."""
    server = start(CONFIG)
    for number in range(120):
        row = [value + 0.3 * (place == 2) + number * 1e-5 for place, value in enumerate(ROW)]
        assert server.post(row)[0] == 200
    wait_for(lambda: any(one["state"] == "drift" for one in server.json("/api/drift")), "a drift")
    return server


def kind_of(path: str) -> tuple[str, str | None, frozenset[str]]:
    """Links of one kind lead to one page in several states, such as other periods: one of them is followed."""
    address = urlsplit(path)
    fields = dict(parse_qsl(address.query))
    return address.path, fields.get("name") if len(fields) == 1 else None, frozenset(fields)


def test_every_link_of_a_served_model_leads_to_a_page(browser: Browser, served: Server) -> None:
    home = f"http://127.0.0.1:{served.port}"
    page = browser.open(home + "/")
    seen, todo, kinds, shown = set(), ["/"], set(), set()
    while todo:
        path = todo.pop()
        if (kind := kind_of(path)) in kinds:
            continue
        kinds.add(kind)
        seen.add(path)
        status, headers, body = served.get(path)
        assert (status, bool(body)) == (200, True), path
        if "format=" in path or path == "/metrics" or path.startswith("/report"):
            continue
        assert headers["Content-Type"].startswith("text/html"), path
        links = [unescape(link) for link in re.findall(r'<a\b[^>]*? href="([^"]*)"', body.decode())]
        assert body.count(b"<h1") == 1, path
        if (place := urlsplit(path).path) not in shown:  # the browser goes to one page of each place
            shown.add(place)
            page.go(home + path)
            assert page.run("document.querySelectorAll('main h1').length") == 1, path
            links = page.run(LINKS)
        for link in links:
            address = urlsplit(urljoin(home + path, link))
            assert address.netloc == urlsplit(home).netloc, f"{path} leads away to {link}"
            if not link.startswith("#"):
                todo.append(address.path + (f"?{address.query}" if address.query else ""))
    columns = {path for path in seen if path.startswith("/column/")}
    assert {"/", "/alerts", "/monitor", "/metrics"} < seen
    assert len({path.partition("&")[0] for path in columns}) >= 11, "a page for each column"
    assert page.complaints() == []
    page.close()


def test_the_overview_is_in_columns_at_every_width(browser: Browser, serve: Serve) -> None:
    """Figures stand below each other, nothing runs off, and a tablet or a laptop gets the table."""
    address, _ = serve("drifting")
    page = browser.open(address)
    for width in (360, 500, 700, 801, 1_000, 1_280, 1_920):
        page.resize(width, 900)
        boxes = "[...document.querySelectorAll('.hist')].map((f) => f.getBoundingClientRect())"
        lefts = page.run(f"{boxes}.map((box) => Math.round(box.left))")
        widths = page.run(f"{boxes}.map((box) => Math.round(box.width))")
        assert len(lefts) == 7
        assert (len(set(lefts)), len(set(widths))) == (1, 1), width
        assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, width
        table = page.run("getComputedStyle(document.querySelector('.columns')).display") == "table"
        assert table == (width > 800), width
    page.close()
