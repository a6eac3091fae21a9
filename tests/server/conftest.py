"""Real servers for the tests, on free ports: in this process, or started as a user starts them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.running import Client, Server
from tests.server.hosted import served

#: What `start` takes: settings, the kind of model, further arguments; it returns a server that is ready.
Start = Callable[..., Server]

#: What `host` takes: settings, the kind of model, a folder.
Host = Callable[..., Client]

FAST = '[window]\nfold = "100ms"\n'


def copy_model(source: Path, folder: Path) -> Path:
    """Put model and reference of `source` into `folder`."""
    for name in ("model.pkl", "histogram.prom"):
        shutil.copy(source / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def start(trained: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a server: `start(config_text, kind="regression", folder=None, *arguments)`; its `folder` holds `data`.

    A `folder` is used as it is, without a model put into it. All are stopped when the module's tests are over.
    """
    running: list[Server] = []

    def begin(config: str = FAST, kind: str = "regression", folder: Path | None = None, *arguments: str) -> Server:
        home = folder or copy_model(trained(kind), tmp_path_factory.mktemp("server"))
        server = Server(home, config, *arguments, warm=True)
        running.append(server)
        return server.ready()

    yield begin
    for server in running:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module")
def host(trained: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Serve in this process: `host(config_text, kind="regression", folder=None)`; a `folder` is used as it is.

    All are stopped when the module's tests are over.
    """
    with ExitStack() as stack:

        def begin(config: str = FAST, kind: str = "regression", folder: Path | None = None) -> Client:
            home = folder or copy_model(trained(kind), tmp_path_factory.mktemp("server"))
            return stack.enter_context(served(home, config))

        yield begin


@pytest.fixture(scope="module")
def server(host: Host) -> Client:
    """A server of the diabetes model, shared by the tests of a module. `server.get`, `.post`, `.json`, `.port`."""
    return host()
