"""`Monitor.connect` with a real server: what arrives, what an outage, a full spool, a kill and a fork leave."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import client as kills
from bench.running import environment, wait_for
from monitor import Monitor, Reference
from monitor.errors import ConfigError, InputError, StoreError
from monitor.library.client import Client, UnsentError
from tests.server.hosted import served

CONFIG = '[model]\npath = ""\n[window]\nfold = "50ms"\n[outcomes]\n[server]\nthreads = 2\n'
ROW = {"age": 50, "dose": 1.5, "sex": "f"}


class World:
    """A folder of a server, and the server while it runs, always with the same address for clients."""

    def __init__(self, folder: Path, reference: Reference) -> None:
        self.folder, self.spool = folder, folder / "spool"
        self._stack, self._clients = ExitStack(), list[Client]()
        reference.save(folder / "histogram.prom")

    def start(self) -> None:
        """Start the server; clients find it."""
        self.server = self._stack.enter_context(served(self.folder, CONFIG))
        for client in self._clients:
            client._link.url = self.url

    def stop(self) -> None:
        """Stop the server."""
        self._stack.close()

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.server.port}"

    def connect(self, **more: Any) -> Client:
        """A client; closed at the end."""
        client = Monitor.connect(more.pop("url", None) or self.url, **{"spool": self.spool, **more})
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close all."""
        for client in self._clients:
            client.close()
        self.stop()

    def wait_for(self, predictions: int) -> None:
        """Wait until so many predictions are counted, all that came: a copy is looked at by the next fold."""
        wait_for(lambda: self.server.predictions() == predictions, f"{predictions} predictions")

    def ask(self, sql: str) -> list[Any]:
        """First column of what the database says."""
        with closing(sqlite3.connect(f"file:{self.folder / 'data' / 'telltale.db'}?mode=ro", uri=True)) as connection:
            return [row[0] for row in connection.execute(sql)]

    @property
    def joined(self) -> int:
        """Outcomes that were joined."""
        return sum(self.ask("SELECT count FROM tallies WHERE source = 'outcomes' AND result = 'joined'"))


@pytest.fixture
def world(tmp_path: Path, reference: Reference) -> Iterator[World]:
    """A server that has not begun."""
    found = World(tmp_path, reference)
    yield found
    found.close()


def test_rows_and_outcomes_arrive(world: World) -> None:
    world.start()
    client = world.connect()
    ids = [client.observe(ROW, 0.5), *client.observe_many([{**ROW, "sex": "x"}] * 9, np.zeros(9), ids=range(9))]
    assert len(set(ids)) == 10
    client.outcome(ids[0], 1.0)
    assert client.outcome_many([*ids[1:3], 7], [1.0, 2.0, 3.0]) == {"accepted": 3}
    client.flush()
    assert client.status() | {"clock_ahead": 0} == {
        "status": "ok",
        "model_version": client.version,
        "clock_ahead": 0,
        "waiting": 0,
        "dropped": 0,
        "error": None,
    }
    told = world.server.post({"id": ids[9], "outcome": 4.0}, "/outcomes?wait=true")[1]
    assert told["joined"] == 1
    world.wait_for(10)
    wait_for(lambda: world.joined == 5, "the outcomes")
    for bad in (lambda: client.observe([1.0], 1.0), lambda: client.outcome(ids[0], "a text")):
        with pytest.raises(InputError):
            bad()
    assert client.reference is not None
    assert repr(client) == f"<Client of {world.url} for model {client.version}, spool {world.spool}, open>"
    client.close()
    client.close()
    assert not list(world.spool.rglob("*.journal"))
    with pytest.raises(StoreError, match="closed"):
        client.observe(ROW, 0.5)


def test_an_outage_loses_nothing(world: World) -> None:
    world.start()
    client = world.connect()
    client.observe(ROW, 0.5)
    world.stop()
    ids = client.observe_many([ROW] * 50_000, np.zeros(50_000))
    client.outcome_many(ids[:10], [1.0] * 10)
    with pytest.raises(UnsentError, match="connection refused"):
        client.flush()
    client.close()
    again = world.connect()  # the next process, before the server is back: what to record is in the spool
    again.observe(ROW, 0.5)
    assert again.error is not None
    world.start()
    again.flush()
    world.wait_for(50_002)
    wait_for(lambda: world.joined == 10, "the outcomes")
    again.close()
    assert not list(world.spool.rglob("*.journal"))


def test_what_the_spool_cannot_hold_is_a_gap(world: World) -> None:
    world.start()
    client = world.connect(spool_size="10MB")
    world.stop()
    ids = client.observe_many(np.zeros((400_000, 3)), np.zeros(400_000))
    dropped = client.status()["dropped"]
    assert len(set(ids)) == 400_000
    assert 0 < dropped < 400_000
    world.start()
    client.flush()
    wait_for(lambda: client.flush() or client._kept.recorder.journal.dropping is None, "room")
    client.observe(ROW, 0.5)
    client.flush()
    world.wait_for(400_001 - dropped)
    assert world.ask("SELECT lost FROM gaps") == [dropped]


def taken(ask: Callable[..., bytes], body: bytes, query: dict[str, object]) -> bool:
    try:
        return bool(ask(body, **query))
    except UnsentError as error:
        assert error.after == 5  # noqa: PT017
        return False


def test_the_same_bytes_again_change_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start()
    client = world.connect()
    sent, ask = list[tuple[bytes, dict[str, object]]](), client._link.ask

    def both(body: bytes, **query: object) -> bytes:
        sent.append((body, query))
        ask(body, **query)
        return ask(body, **query)

    monkeypatch.setattr(client._link, "ask", both)
    for _ in range(3):
        ids = client.observe_many([{**ROW, "sex": "y"}] * 30_000, np.zeros(30_000))
        client.outcome_many(ids[:7], np.ones(7))
        client.flush()
    client.close()
    for body, query in sent:  # also after the server has deleted its copy
        wait_for(lambda: taken(ask, body, query), "the copy to be gone")  # noqa: B023
    world.wait_for(90_000)
    wait_for(lambda: world.joined == 21, "the outcomes")
    assert world.ask("SELECT count FROM unseen_values") == [90_000]
    assert world.ask("SELECT * FROM gaps") == []


def test_another_reference_is_refused_and_the_spool_is_kept(world: World, reference: Reference) -> None:
    world.start()
    client = world.connect()
    world.stop()
    client.observe(ROW, 0.5)
    (world.folder / "data").rename(world.folder / "before")
    other = Reference.from_data({"age": np.arange(99.0)}, np.arange(99.0))
    other.save(world.folder / "histogram.prom")
    world.start()
    with pytest.raises(UnsentError, match=r"409: this server watches model model version .* it does not know") as found:
        client.flush()
    assert found.value.refused
    wait_for(lambda: client.error is not None and "409" in client.error, "the state")
    world.stop()
    (world.folder / "data").rename(world.folder / "other")
    (world.folder / "before").rename(world.folder / "data")
    reference.save(world.folder / "histogram.prom")
    world.start()
    client.flush()
    world.wait_for(1)


def test_rows_are_counted_for_the_reference_that_they_were_recorded_for(world: World) -> None:
    world.start()
    client = world.connect()
    world.stop()
    client.observe(ROW, 0.5)
    other = Reference.from_data({"age": np.arange(99.0)}, np.arange(99.0))
    other.save(world.folder / "histogram.prom")
    world.start()
    client.flush()
    wait_for(lambda: client.error is not None and "connect again" in client.error, "the state")
    world.wait_for(0)
    again = world.connect()
    again.observe([1.0], 0.5)
    again.flush()
    world.wait_for(1)
    world.stop()
    assert world.ask("SELECT predictions FROM series ORDER BY id") == [1, 1]


def leave_rows(world: World) -> None:
    """Let a process record a row and its outcome, and kill it before it has sent them."""
    code = (
        "import os, signal, sys; from monitor import Monitor; client = Monitor.connect(sys.argv[1], spool=sys.argv[2]);"
        f"client._stop.set(); client.outcome(client.observe({ROW}, 0.5), 1.0); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, world.url, str(world.spool)], env=environment())
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_process_left_is_sent_by_another(world: World) -> None:
    world.start()
    leave_rows(world)
    world.wait_for(0)
    world.connect().flush()
    world.wait_for(1)
    wait_for(lambda: world.joined == 1, "the outcomes")


def test_what_is_left_is_sent_by_the_next_call_if_the_server_was_busy(world: World) -> None:
    world.start()
    leave_rows(world)
    client = world.connect()
    client._stop.set()
    ask, answers = client._link.ask, ["busy"]

    def refuse_once(body: bytes | None, **query: object) -> bytes:
        if "ended" in query and answers:
            raise UnsentError(answers.pop())
        return ask(body, **query)

    client._link.ask = refuse_once  # type: ignore[method-assign]
    with pytest.raises(UnsentError, match="busy"):
        client.flush()
    client.flush()
    world.wait_for(1)


def test_a_fork_goes_on_with_a_journal_of_its_own(world: World) -> None:
    world.start()
    client = world.connect()
    first = client.observe(ROW, 0.5)
    reader, writer = multiprocessing.Pipe(duplex=False)
    if (child := os.fork()) == 0:
        try:
            ids = [client.observe(ROW, 0.5), *client.observe_many([ROW] * 3, [0.5] * 3)]
            client.outcome(ids[0], 1.0)
            client.flush()
            writer.send(ids)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    ids = [first, client.observe(ROW, 0.5), *reader.recv()]
    assert len(set(ids)) == 6
    client.flush()
    world.wait_for(6)


def test_the_first_start_needs_the_server(world: World, reference: Reference) -> None:
    world.start()
    url = world.url
    world.stop()
    with pytest.raises(UnsentError, match="connection refused"):
        world.connect(url=url)
    client = world.connect(url=url, on_error="log")
    assert client.observe(ROW, 0.5) == ""
    assert client.error is not None
    assert client.status()["status"] == "failed"
    assert repr(client).startswith("<Client that records nothing")
    world.start()
    client._round()
    assert client.observe(ROW, 0.5)
    client.flush()
    world.wait_for(1)
    with pytest.raises(ConfigError, match="http"):
        Monitor.connect("ftp://x", spool=world.spool)
    with pytest.raises(ConfigError, match="10 MB or more"):
        world.connect(spool_size="1MB")
    broken = Monitor.connect("ftp://x", spool=world.spool, on_error="log")
    assert broken.observe(ROW, 0.5) == ""
    broken.close()


def test_six_kills_of_either_side(tmp_path: Path) -> None:
    counts, predictions, joined = kills.run(tmp_path, 6, 20261130, longest=0.4)
    assert counts.acknowledged > 200
    assert counts.acknowledged <= predictions <= counts.asked
    assert counts.outcomes <= joined <= counts.outcomes_asked
