"""Replicas whose /metrics are read directly: those that cannot be counted are named, and counted once mended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from monitor.cli.show import gather
from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.errors import SourceError
from monitor.library.monitor import Monitor
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from tests.store.world import MIDNIGHT, reference


class World:
    """Monitors of a program that show their /metrics, and one process that counts them."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root, self.stack, self.known = root, stack, reference()

    def replica(self, name: str, known: Reference | None = None, settings: str = "", version: str = "v1") -> Monitor:
        config = Config.from_text(settings)
        given = {"reference": known or self.known, "data": self.root / name, "version": version, "metrics_port": 0}
        return self.stack.enter_context(Monitor.open(config, **given))

    def count(self, *targets: str | None) -> Runtime:
        text = f'[source]\nkind = "scrape"\ntargets = {list(targets)}\n[data]\npath = "{self.root / "fleet"}"'
        runtime = Runtime.of_one(Config.from_text(text), self.known, "v1", ManualClock(MIDNIGHT))
        self.stack.callback(runtime.close)
        return runtime


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def observe(monitor: Monitor, rows: int) -> None:
    monitor.observe_many([[0.1, 0.2, "red"]] * rows, [0.3] * rows)
    monitor.flush()


def pull(runtime: Runtime) -> tuple[int, str]:
    """All that is counted by now, and what health says."""
    source = runtime.only.pulled
    assert source is not None
    assert isinstance(runtime.clock, ManualClock)
    runtime.clock.advance(60)
    source.pull(runtime.fold)
    return runtime.only.totals.n, source.check()[1]


def test_replicas_that_cannot_be_counted_are_named_and_the_others_are_counted(world: World) -> None:
    good, small = world.replica("good"), world.replica("small", settings="[metrics]\nmax_series = 250")
    other = world.replica("other", known=reference(rows=1999))
    monitors = (good, small, other)
    fleet = world.count(*(one.metrics_address for one in monitors))
    replicas = [one._runtime.only.renderer._always["replica"] for one in monitors]
    said = (
        f"the fleet of {good.metrics_address}, {small.metrics_address}, ...: "
        f"not counted: version v1 of model on {replicas[2]} has another reference, "
        f"{other.reference.identity[:12]}, other replicas of that version have ours; "
        f"not counted: replica {replicas[1]} has no counters of x0, x1, colour and 1 more: "
        "is its [metrics] max_series too small?"
    )
    assert pull(fleet) == (0, said)
    for monitor in monitors:
        observe(monitor, 30)
    assert pull(fleet) == (30, said)
    fleet.evaluate()
    assert fleet.writer.call(lambda connection: gather(connection, fleet.config, MIDNIGHT))["source"] == said
    # Once it shows everything, it is counted; that began before it was seen, but not long before.
    small.close()
    address = world.replica("small").metrics_address
    fleet.close()
    assert pull(world.count(good.metrics_address, address)) == (
        60,
        f"the fleet of {good.metrics_address}, {address} is asked every 1m",
    )


def test_copies_of_one_data_folder_are_not_counted(world: World) -> None:
    first = world.replica("first")
    observe(first, 10)
    first.close()
    shutil.copytree(world.root / "first", world.root / "second", ignore=shutil.ignore_patterns("*.sock"))
    twins = world.replica("first"), world.replica("second")
    fleet = world.count(*(one.metrics_address for one in twins))
    observe(twins[0], 5)
    observe(twins[1], 7)
    name = twins[0]._runtime.only.renderer._always["replica"]
    said = f"not counted: replica {name} is at two addresses: are they copies of a data folder?"
    assert pull(fleet) == (0, f"the fleet of {twins[0].metrics_address}, {twins[1].metrics_address}: {said}")


class Odd(BaseHTTPRequestHandler):
    """Shows what is no Telltale's."""

    pages: ClassVar = {
        "/none/metrics": (404, b"not found"),
        "/page/metrics": (200, b"<html>"),
        "/broken/metrics": (200, b'telltale_predictions_total{replica="a" 7\n'),
    }

    def do_GET(self) -> None:
        status, body = self.pages[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_what_is_no_telltale_is_said(world: World) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    thread = Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with pytest.raises(SourceError) as error:
            pull(world.count(f"{url}/none", f"{url}/page/", f"{url}/broken/metrics"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert str(error.value).startswith(
        f"no replica can be read: {url}/none answers 404; {url}/page/ shows no telltale_predictions_total; "
        f"{url}/broken/metrics shows what is no metrics: "
    )
