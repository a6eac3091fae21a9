"""The pages in a real Chromium: they show what they should, run nothing foreign, and work for every reader."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from monitor.clock import from_iso
from monitor.columns.column import column_path
from monitor.report import overview
from monitor.report.trend import BEGIN
from tests.server.browser.conftest import Serve
from tests.server.browser.devtools import Browser
from tests.server.scenes import HOSTILE, rows

AUDIT = (Path(__file__).parent / "audit.js").read_text("utf-8")
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: Headings of tables that are wider than the screen, those in folds too; all but a matrix become cards.
SCROLLING = """(document.querySelectorAll("details").forEach((fold) => { fold.open = true; }),
    [...document.querySelectorAll("table:not(.confusion)")].filter((t) => t.scrollWidth > t.clientWidth)
    .map((t) => t.tHead.innerText))"""
PHONE = {"width": 360, "height": 740}


@pytest.mark.parametrize(
    ("scene", "says"),
    [
        ("quiet", "All quiet: 900 predictions in the last 30 minutes"),
        ("drifting", "4 of 7 columns have drifted from the training data; the first was bmi, since 13:55 UTC"),
        ("insufficient", "Not enough data yet: 12 of 50 predictions in the last 30 minutes"),
        ("silent", "No traffic: no predictions in the last 30 minutes"),
        ("fresh", "Nothing judged yet; the first evaluation comes within 5 minutes"),
    ],
)
def test_first_line_says_how_things_stand(browser: Browser, serve: Serve, scene: str, says: str) -> None:
    address, runtime = serve(scene)
    page = browser.open(address)
    assert page.run("document.querySelector('h1').innerText").startswith(says)
    assert page.run("document.querySelectorAll('.columns tbody tr').length") == len(
        runtime.only.reference.schema.columns
    )
    live = page.run("document.querySelectorAll('.hist .live').length")
    assert live == (0 if scene in ("silent", "fresh") else len(runtime.only.reference.schema.columns))
    assert page.complaints() == []
    page.close()


@pytest.mark.parametrize(
    ("scene", "path"),
    [
        *(("drifting", path) for path in ("/", "/column/feature?name=bmi", "/alerts", "/monitor", "/help")),
        *(("kinds", f"/column/feature?name={name}") for name in ("city", "height")),
        *(("worse", path) for path in ("/", "/performance", "/performance?metric=brier&from=24h", "/alerts")),
    ],
)
def test_every_view_is_accessible_and_fits_a_phone(browser: Browser, serve: Serve, scene: str, path: str) -> None:
    address, _ = serve(scene)
    page = browser.open(address + path)
    for colours in ("light", "dark"):
        page.emulate(prefers_color_scheme=colours)
        page.resize(1280, 900)
        background = page.run("getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 150) == (colours == "dark")
        assert page.run(AUDIT) == []
        page.resize(**PHONE)
        assert page.run(TOO_WIDE) <= 0
        assert page.run(AUDIT) == []
        assert page.run(SCROLLING) == []
    assert page.complaints() == []
    page.close()


def test_hostile_names_run_nothing_and_break_nothing(browser: Browser, serve: Serve) -> None:
    address, runtime = serve("hostile")
    page = browser.open(address)
    links = page.run("[...document.querySelectorAll('.columns tbody th a')].map((a) => a.href)")
    assert {parse_qs(urlsplit(link).query, keep_blank_values=True)["name"][0] for link in links} == {
        column.name for column in runtime.only.reference.schema.columns
    }
    for column in runtime.only.reference.schema.columns:
        page.go(address + column_path(column.role, column.name))
        shown = page.run("document.querySelector('h1').textContent")
        assert shown == (column.name if column.name.strip() else "(no name)")
        assert page.run("[window.hurt, document.images.length, document.scripts.length]") == [None, 0, 1]
        page.resize(**PHONE)
        assert page.run(TOO_WIDE) <= 0
    for path in ("/", "/alerts", f"/?q={'%3Cscript%3E'}"):
        page.go(address + path)
        assert page.run("window.hurt") is None
        assert page.run(TOO_WIDE) <= 0
    page.go(address + "/alerts")
    assert page.run("document.querySelectorAll('#current tbody tr').length") == len(HOSTILE) + 1
    assert page.complaints() == []
    page.close()


def test_200_columns_are_found_by_name_without_a_request_and_more_by_the_server(
    browser: Browser, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = serve("wide")
    page = browser.open(address)
    assert page.run("document.querySelectorAll('.columns tbody tr').length") == 200
    first = page.run("document.querySelector('.columns tbody .badge').textContent")
    assert first == "drift"
    page.run("document.querySelector('input[name=q]').focus()")
    page.type("_018_")
    visible = "[...document.querySelectorAll('.columns tbody tr')].filter((row) => row.getClientRects().length)"
    page.until(f"{visible}.length === 1")
    assert page.run("[...document.querySelectorAll('#columns h3')].every((e) => !e.getClientRects().length)")
    assert page.run("location.search") == ""
    monkeypatch.setattr(overview, "MOST_FIGURES", 30)
    page.go(address)
    assert page.run("document.querySelectorAll('.columns tbody tr').length") == 30
    page.run("document.querySelector('input[name=q]').focus()")
    page.type("_198_")
    page.until(f"{visible}.length === 1")
    assert "q=_198_" in page.run("location.search")
    assert page.run("document.activeElement.value") == "_198_", "the search goes on where it was"
    page.go(address)
    page.run("document.querySelector('#same summary').click()")
    assert page.run("location.search") == "?show=fold"
    assert page.complaints() == []
    page.close()


def test_keyboard_alone_leads_from_the_overview_to_a_column(browser: Browser, serve: Serve) -> None:
    address, _ = serve("drifting")
    page = browser.open(address)
    page.press("Tab", 9)
    assert page.run("document.activeElement.textContent") == "Skip to content"
    assert page.run("document.activeElement.getBoundingClientRect().left") >= 0
    for _ in range(40):
        page.press("Tab", 9)
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if page.run("document.activeElement.matches('.columns tbody th a')"):
            break
    href = page.run("document.activeElement.getAttribute('href')")
    page.press("Enter", 13)
    page.until(f"location.pathname + location.search === {href!r}")
    page.close()


def test_a_period_is_chosen_by_the_form_and_by_dragging(browser: Browser, serve: Serve) -> None:
    address, _ = serve("drifting")
    page = browser.open(f"{address}/column/feature?name=bmi")
    page.run("document.querySelector('#period [name=from]').focus()")
    page.type("2h")
    page.press("Enter", 13)
    page.until("location.search === '?name=bmi&from=2h&to=' && document.readyState === 'complete'")
    chart = "document.querySelector('.chart.time')"
    page.run(f"{chart}.scrollIntoView({{behavior: 'instant'}})")
    left, top, width = page.run(f"(({{x, y, width}}) => [x, y, width])({chart}.getBoundingClientRect())")

    def drag(until: float, then: str) -> None:
        at = {"y": top + 60, "button": "left", "buttons": 1}
        for kind, part in (("mousePressed", 0.25), ("mouseMoved", until)):
            page.call("Input.dispatchMouseEvent", type=kind, x=left + part * width, **at)
        page.until(f"{chart}.querySelectorAll('.zoom').length === 1")
        if then == "Escape":
            page.press(then, 27)
        page.call("Input.dispatchMouseEvent", type="mouseReleased", x=left + until * width, **at)

    drag(0.75, "Escape")
    page.until(f"{chart}.querySelectorAll('.zoom').length === 0")
    drag(0.75, "")
    page.until("location.search.includes('to=2026')")
    chosen = parse_qs(urlsplit(page.run("location.href")).query)
    start, end = (from_iso(chosen[name][0]) for name in ("from", "to"))
    shown = [from_iso(f"2026-03-14T{hour}:01:00Z") for hour in ("13", "15")]
    first = shown[0] - BEGIN / (1 - BEGIN) * 7200  # the chart begins with the reference
    assert abs(start - (first + 0.25 * (shown[1] - first))) <= 10
    assert abs(end - (first + 0.75 * (shown[1] - first))) <= 10
    assert page.complaints() == []
    page.close()


def test_a_value_of_a_chart_can_be_read_by_pointer_and_by_keys(browser: Browser, serve: Serve) -> None:
    address, _ = serve("drifting")
    page = browser.open(f"{address}/column/feature?name=bmi")
    page.run("document.querySelector('.chart.time').scrollIntoView({behavior: 'instant'})")
    fifth = "document.querySelectorAll('.time .read path')[4].getBoundingClientRect()"
    x, y = page.run(f"(({{left, top}}) => [left + 2, top + 9])({fifth})")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.until("document.getElementById('value').innerText.startsWith('14 Mar 2026, 12:25 UTC: ok')")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    page.until("document.getElementById('value').hidden")
    page.run("document.querySelectorAll('.chart.time')[1].focus()")
    page.until("document.getElementById('value').innerText.startsWith('14 Mar 2026, 15:00 to 15:01 UTC\\nmedian')")
    page.press("ArrowLeft", 37)
    page.until("document.getElementById('value').innerText.startsWith('14 Mar 2026, 14:59 to 15:00 UTC\\nmedian')")
    page.press("Escape", 27)
    page.until("document.getElementById('value').hidden")
    page.go(address)
    page.run("document.querySelector('.strip').scrollIntoView({block: 'center', behavior: 'instant'})")
    x, y = page.run(
        "(({right, top}) => [right - 2, top + 5])(document.querySelector('.strip').getBoundingClientRect())"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.until(
        "document.getElementById('value').innerText === '2026-03-14 15:00 UTC: drift, more than twice the threshold'"
    )
    assert page.complaints() == []
    page.close()


def test_fresh_content_comes_without_a_jump(browser: Browser, serve: Serve) -> None:
    address, runtime = serve("quiet", "fresh content")
    page = browser.open(address, height=300)
    page.run("window.mark = document.querySelector('header'); document.querySelector('.columns a').focus()")
    page.run("window.scrollTo(0, 200)")
    place = "Math.round(document.querySelector('.columns a').getBoundingClientRect().top)"
    before, top = page.run("document.getElementById('foot').innerText"), page.run(place)
    assert "(" in before, "the reader's own time stands beside UTC"
    runtime.clock.advance(3600)  # type: ignore[attr-defined]
    runtime.evaluate()
    page.run("document.dispatchEvent(new Event('visibilitychange'))")
    page.until("document.querySelector('h1').textContent.startsWith('No traffic')")
    assert page.run("document.getElementById('foot').innerText") != before
    assert page.run("window.mark === document.querySelector('header')"), "what did not change stays the same element"
    assert abs(page.run(place) - top) <= 1, "what is above may grow, and what is read stays where it is"
    assert page.run("document.activeElement.matches('.columns a')")
    assert page.complaints() == []
    page.close()


def test_section_that_comes_later_is_shown_and_what_was_opened_stays_open(browser: Browser, serve: Serve) -> None:
    address, runtime = serve("insufficient", "later section")
    page = browser.open(f"{address}/column/feature?name=bmi")
    assert page.run("document.querySelectorAll('#events').length") == 0
    page.run("document.getElementById('bins').open = true")
    for row in rows(3, 200, shift=2.0):
        runtime.only.record(row, [200.0])
    runtime.clock.advance(60)  # type: ignore[attr-defined]
    runtime.evaluate()
    page.run("document.dispatchEvent(new Event('visibilitychange'))")
    page.until("document.querySelectorAll('#events').length === 1")
    assert page.run("document.getElementById('bins').open")
    assert page.run("document.querySelectorAll('main time').length > 3")
    assert page.run("[...document.querySelectorAll('main time')].every((time) => time.querySelector('.local'))")
    assert page.complaints() == []
    page.close()


def test_page_says_when_it_is_not_live(browser: Browser, serve: Serve) -> None:
    address, _ = serve("drifting")
    page = browser.open(address)
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    page.run("document.dispatchEvent(new Event('visibilitychange'))")
    page.until("!document.getElementById('offline').hidden")
    assert "Not live since" in page.run("document.getElementById('offline').textContent")
    assert page.run("document.querySelectorAll('.columns tbody tr').length") == 7
    page.close()


def test_everything_is_there_without_scripts(browser: Browser, serve: Serve) -> None:
    address, _ = serve("drifting")
    page = browser.open("about:blank")
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.go(f"{address}/?state=drift&role=feature")
    # The page's own scripts are off; the tools' are not.
    assert page.run("document.querySelectorAll('.columns tbody tr').length") == 3
    assert page.run("document.querySelectorAll('.hist .live').length") == 3
    assert page.run("document.querySelectorAll('.local').length") == 0
    page.close()


def test_audit_finds_what_is_planted(browser: Browser, serve: Serve) -> None:
    address, _ = serve("quiet")
    page = browser.open(address)
    assert page.run(AUDIT) == []
    page.run(
        "document.querySelector('.headline p').style.color = '#999';"
        "document.querySelector('.hist').removeAttribute('aria-label');"
        "document.querySelector('main').append(document.createElement('input'), document.createElement('h1'));"
        "document.querySelector('thead th').removeAttribute('scope')"
    )
    found = " ".join(page.run(AUDIT))
    for part in ("contrast", "figure without label", "control without label", "not exactly one h1", "without scope"):
        assert part in found
    page.close()
