"""A source that is pulled: asked on its own thread, committed on the writer's, and in words when it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from werkzeug.test import Client

from monitor import Monitor, watched
from monitor.clock import ManualClock, iso
from monitor.columns.batch import into_windows
from monitor.columns.binning import Binner
from monitor.config.load import Config
from monitor.errors import ConfigError, InputError, SourceError
from monitor.recording import Watch
from monitor.runtime import Runtime
from monitor.source.protocol import Handover
from monitor.source.pulled import AHEAD, Pulled
from monitor.store.windows.rows import last_prediction
from server.guard import Guard
from server.routes import create_application
from tests.store.world import MIDNIGHT, reference

SETTINGS = '[source]\nkind = "table"\ntime = "at"\ntable = "rows"\n[data]\npath = "{}"\n'


class Rows(Pulled):
    """Hands over five rows at a time; its cursor is how many."""

    #: Rows that there are, what to raise, and whether a fetch has begun.
    rows = 0
    error: Exception | None = None
    words = ""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self.where, self.begun, self.asked = "the table", threading.Event(), list[str]()

    def fetch(self, cursor: str) -> Iterator[Handover]:
        self.asked.append(cursor)
        self.begun.set()
        if self.words:
            self.remark(self.words)
        for upto in range(int(cursor or 0) + 5, self.rows + 1, 5):
            counts = into_windows(
                Binner(self.series.schema), np.zeros((5, 4)), np.full(5, round(MIDNIGHT * 1e9)), self.base
            )
            yield Handover(str(upto), {(self.series, start): one for start, one in counts.items()}, rows=5)
        if self.error:
            raise self.error


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setitem(watched.PULLED, "table", Rows)
    runtime = Runtime.of_one(Config.from_text(SETTINGS.format(tmp_path)), reference(), "v1", ManualClock(MIDNIGHT))
    yield runtime
    runtime.close()


def source_of(runtime: Runtime) -> Rows:
    source = runtime.only.pulled
    assert isinstance(source, Rows)
    return source


def check(runtime: Runtime) -> tuple[str, str, float | None]:
    return next(one[1:] for one in runtime.condition.checks() if one.part == "source")


def test_what_is_fetched_is_counted_once_whatever_fails(opened: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    source, keep = source_of(opened), opened.ledger.keep
    source.rows = 15

    def breaking(connection, name, handover, now):
        keep(connection, name, handover, now)
        if handover.cursor == "10":
            raise RuntimeError("the disk is full")

    monkeypatch.setattr(opened.ledger, "keep", breaking)
    with pytest.raises(RuntimeError, match="full"):
        source.pull(opened.fold)
    assert (opened.only.totals.n, source.cursor, source.waiting) == (5, "5", True)
    monkeypatch.undo()
    source.pull(opened.fold)
    assert (opened.only.totals.n, source.cursor, source.waiting) == (15, "15", False)
    assert source.asked == ["", "10"]
    clock = opened.clock
    assert isinstance(clock, ManualClock)
    for later, newest in ((0, MIDNIGHT), (90, MIDNIGHT + 60)):
        clock.advance(later)
        source.rows += 5
        source.pull(opened.fold)
        told = opened.writer.call(partial(last_prediction, of=opened.only.series.subject))
        assert told == iso(newest), "no later than the end of its window, nor than now"


def test_its_thread_fetches_ahead_of_the_writer_and_ends(opened: Runtime) -> None:
    source = source_of(opened)
    source.rows = 5 * (AHEAD + 9)
    opened.start()
    while opened.only.totals.n < source.rows:
        opened.fold()
    assert source.asked == [""]
    opened.close()
    assert not source._thread.is_alive()
    assert opened.only.totals.n == source.rows


def test_a_source_that_fails_says_so_and_goes_on(opened: Runtime) -> None:
    source, clock = source_of(opened), opened.clock
    assert isinstance(clock, ManualClock)
    assert check(opened) == ("ok", "the table is being asked for the first time", None)
    source.error = SourceError("no answer")
    for pause in (2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        with pytest.raises(SourceError):
            source.pull(opened.fold)
        assert source._pause() == pause
    assert check(opened) == ("failing", "the table: no answer", MIDNIGHT)
    source.error, source.words = None, "two versions"
    clock.advance(10)
    source.pull(opened.fold)
    assert check(opened) == ("degraded", "the table: two versions", MIDNIGHT + 10)
    source.words = ""
    source.pull(opened.fold)
    assert check(opened) == ("ok", "the table is asked every 1m", None)
    assert source._pause() == 50.0
    source.error = ValueError("odd")
    with pytest.raises(ValueError, match="odd"):
        source.pull(opened.fold)
    assert check(opened) == ("degraded", "the table: ValueError: odd", MIDNIGHT + 10)
    clock.advance(300)
    assert check(opened)[0] == "failing"


def test_nothing_can_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(watched.PULLED, "table", Rows)
    config = Config.from_text(SETTINGS.format(tmp_path))
    with Monitor.open(config, reference=reference(), clock=ManualClock(MIDNIGHT)) as monitor:
        calls = (
            lambda: monitor.observe([0.0, 0.0, "red"], 0.0),
            lambda: monitor.observe_many([[0.0, 0.0, "red"]], [0.0]),
            lambda: monitor.outcome("1", 0.0),
        )
        for call in calls:
            with pytest.raises(InputError, match="counts come from the table"):
                call()
        assert b'replica="fleet-' in monitor.metrics()[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[source]\nkind = "table"\ntime = "at"\ntable = "rows"\n[model]\npath = "m.pkl"',
            r"model.path: .* no model is served",
        ),
        ('[source]\nkind = "table"\ntime = "at"\ntable = "rows"\n[outcomes]', "has counts only"),
        ('[source]\nkind = "prometheus"', 'source.url: kind = "prometheus" needs it'),
        ('[source]\nkind = "scrape"', 'source.targets: kind = "scrape" needs it'),
        ('[source]\nkind = "kafka"', "source.kind: expected one of"),
    ],
)
def test_settings_that_cannot_be(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config.from_text(text)


def test_what_is_posted_is_refused_and_the_page_tells_how_the_source_does(opened: Runtime) -> None:
    client = Client(create_application(opened, {opened.only.name: None}, Guard(clock=opened.clock)))
    for path in ("/predict", "/observe", "/outcomes", "/api/v1.0/feedback"):
        answer = client.post(path, json={"features": [0.0, 0.0, "red"], "prediction": 0.0})
        assert answer.status_code == 409
        assert answer.get_json()["error"]["code"] == "pulled"
        assert "counts come from the table" in answer.text
    source_of(opened).error = SourceError("no answer since noon")
    with pytest.raises(SourceError):
        source_of(opened).pull(opened.fold)
    assert "the table: no answer since noon" in client.get("/monitor").text


def test_each_of_several_models_has_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(watched.PULLED, "scrape", Rows)
    source = '[models.{0}.source]\nkind = "scrape"\ntargets = ["http://{0}"]\n'
    config = Config.from_text(f'[data]\npath = "{tmp_path}"\n' + source.format("a") + source.format("b"))
    watches = [Watch(reference(), "v1", name, name) for name in config.names]
    with closing(Runtime(config, watches, ManualClock(MIDNIGHT))) as runtime:
        for name, rows in (("a", 5), ("b", 10)):
            one = runtime.find(name).pulled
            assert isinstance(one, Rows)
            one.rows = rows
            one.pull(runtime.fold)
        assert [runtime.find(name).totals.n for name in "ab"] == [5, 10]
        said = [check.detail for check in runtime.condition.checks() if check.part == "source"]
        assert said == ["a: the table is asked every 1m", "b: the table is asked every 1m"]
