"""Logging in and silencing an alert in a real Chromium, with the page's scripts on and off."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import make_server

from monitor.notify.secret import Secret
from monitor.store.file.database import one_moment
from monitor.store.records.alerts import list_silences
from server.guard import Guard
from server.web.app import create_app
from tests.server.browser.devtools import Browser, Page
from tests.server.browser.test_browser import AUDIT, PHONE, TOO_WIDE
from tests.server.scenes import opened

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a drifting scene that asks for a token."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with opened("drifting", tmp_path_factory.mktemp("guarded")) as runtime:
        guard = Guard(Secret(TOKEN), clock=runtime.clock)
        server = make_server("127.0.0.1", 0, create_app(runtime, guard), threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def silences() -> int:
            with one_moment(runtime.folder.database) as connection:
                return len(list_silences(connection, runtime.clock.time()))

        assert silences() == 0
        yield f"http://127.0.0.1:{server.port}"
        server.shutdown()
        thread.join()
        server.server_close()
        assert silences() == 0, "made, and ended again"


def fill(page: Page, name: str, text: str) -> None:
    """Put the focus into a field and type."""
    page.run(f"document.querySelector('main [name={name}]').focus()")
    page.type(text)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_log_in_silence_end_it_and_log_out(browser: Browser, guarded: str, scripts: bool) -> None:
    page = browser.open("about:blank")
    page.call("Network.clearBrowserCookies")
    page.call("Emulation.setScriptExecutionDisabled", value=not scripts)
    page.go(f"{guarded}/alerts")
    assert page.run("document.querySelector('h1').textContent") == "Log in"
    assert page.run(AUDIT) == []
    fill(page, "token", "not the token, but long")
    page.press("Enter", 13)
    page.until("document.querySelector('[role=alert]')?.textContent === 'That is not the token.'")
    fill(page, "token", TOKEN)
    page.press("Enter", 13)
    page.until("document.readyState === 'complete' && document.querySelector('#silences a') !== null")
    assert page.run("document.cookie") == "", "no script can read the session"
    assert page.run(AUDIT) == []
    page.run("document.querySelector('a[href^=\"/silence?column=bmi\"]').click()")
    page.until("location.pathname === '/silence' && document.readyState === 'complete'")
    assert page.run("document.querySelector('[name=column]').value") == "bmi"
    page.resize(**PHONE)
    assert page.run(TOO_WIDE) <= 0
    assert page.run(AUDIT) == []
    fill(page, "author", "Ada")
    fill(page, "reason", "known")
    page.press("Enter", 13)
    page.until("location.pathname === '/alerts' && document.readyState === 'complete'")
    assert "Ada" in page.run("document.getElementById('silences').innerText")
    assert page.run(TOO_WIDE) <= 0
    assert page.run(AUDIT) == []
    page.run("document.querySelector('#silences button').click()")
    page.until("document.getElementById('silences')?.innerText.includes('None.')")
    page.run("document.querySelector('header button').click()")
    page.until("location.pathname === '/login' && document.readyState === 'complete'")
    page.go(f"{guarded}/")
    assert page.run("document.querySelector('h1').textContent") == "Log in"
    # The only complaints are Chromium's own, about the status of the login page.
    assert [line for line in page.complaints() if "401" not in line] == []
    page.close()
