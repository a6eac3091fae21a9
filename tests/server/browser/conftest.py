"""One browser for all, and each scene served once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from werkzeug.serving import make_server

from monitor.runtime import Runtime
from server.web.app import create_app
from tests.server.browser.devtools import PROGRAM, Browser
from tests.server.scenes import opened


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("chromium is not installed")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


#: Opens a scene: its address and its runtime. One that a test changes is its own: `serve("quiet", "mine")`.
Serve = Callable[..., tuple[str, Runtime]]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with ExitStack() as stack:
        running: dict[tuple[str, str], tuple[str, Runtime]] = {}

        def scene(name: str, owner: str = "") -> tuple[str, Runtime]:
            if (name, owner) not in running:
                runtime = stack.enter_context(opened(name, tmp_path_factory.mktemp(name)))
                server = make_server("127.0.0.1", 0, create_app(runtime), threaded=True)
                thread = threading.Thread(target=server.serve_forever, daemon=True)
                thread.start()
                stack.callback(thread.join)
                stack.callback(server.server_close)
                stack.callback(server.shutdown)
                running[name, owner] = (f"http://127.0.0.1:{server.port}", runtime)
            return running[name, owner]

        yield scene
