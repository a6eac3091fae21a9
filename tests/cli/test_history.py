"""`locate` and `backtest`: what they print, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.__main__ import main
from monitor.cli.history import coarsen
from monitor.clock import from_iso, iso
from monitor.store.windows.ranges import Timeline
from tests.store.world import HOUR, MIDNIGHT, MINUTE, Monitored

CHANGE = MIDNIGHT + 2 * HOUR


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two quiet hours, then an hour in which everything numeric moved up, and green went."""
    folder = tmp_path_factory.mktemp("history") / "data"
    world = Monitored(folder, '[drift]\nevery = "10m"')
    for minute in range(3 * HOUR // MINUTE):
        late = minute * MINUTE >= 2 * HOUR
        world.record(12, shift=1.0 if late else 0.0, colour="red" if late else "")
        world.clock.advance(MINUTE)
    world.runtime.evaluate()
    world.close()
    return folder


def run(data: Path, *arguments: str) -> int:
    return main([arguments[0], *arguments[1:], "--data", str(data)])


def test_locate_says_when_with_an_interval_and_what(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "locate", "x0") == 0
    out = capsys.readouterr().out
    assert "x0 (feature), 2023-11-15T00:00:00Z to 2023-11-15T03:00:00Z: 1 change in 2,160 predictions" in out
    assert f"began {iso(CHANGE)}, 95% sure that between" in out
    assert " sd)" in out
    assert "(1,440 predictions before, 720 after)" in out


def test_locate_in_json_holds_the_moment(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "locate", "colour", "--json") == 0
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert from_iso(change["earliest"]) <= CHANGE <= from_iso(change["latest"])
    assert change["earliest"] < change["latest"]
    assert "red" in {shift["label"] for shift in change["bins"]}


def test_locate_says_plainly_that_there_is_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "locate", "prediction") == 0
    assert "no change was found in 2,160 predictions in 180 windows of 1m" in capsys.readouterr().out
    assert run(data, "locate", "x0", "--to", iso(MIDNIGHT + HOUR)) == 0
    assert "no change was found in 720 predictions" in capsys.readouterr().out


def test_locate_says_that_there_is_too_little(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "locate", "x0", "--to", iso(MIDNIGHT + 2 * MINUTE)) == 0
    assert "24 predictions in 2 windows: too few" in capsys.readouterr().out


@given(
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from([60, 3600]), st.integers(0, 9)), min_size=1, max_size=40),
    st.integers(1, 50),
)
def test_taking_windows_together_loses_nothing(windows: list[tuple[int, int, int]], most: int) -> None:
    windows.sort()
    minutes, seconds, n = (np.array(column, dtype=np.int64) for column in zip(*windows, strict=True))
    found = Timeline(minutes * 60, seconds, n, n[:, None].copy(), n[:, None].astype(np.float64))
    cells = coarsen(found, most)
    assert cells.n.sum() == cells.counts.sum() == n.sum()
    assert (np.diff(cells.starts) > 0).all()
    assert set(cells.starts.tolist()) <= set(found.starts.tolist())
    for start, length in zip(found.starts.tolist(), seconds.tolist(), strict=True):
        holder = int(np.searchsorted(cells.starts, start, side="right")) - 1
        assert start + length <= cells.starts[holder] + cells.seconds[holder]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("locate", "x9"), "has no column 'x9'; it has: x0, x1, colour, prediction"),
        (("locate", "x0", "--role", "prediction"), "has no prediction 'x0'"),
        (("locate", "x0", "--from", "2030-01-01"), "nothing is stored of that period"),
        (("locate", "x0", "--from", "2023-11-15T02:00", "--to", "2023-11-15T01:00"), "--to must be after --from"),
        (("backtest", "--from", "noon"), "--from: expected a time"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], what: str
) -> None:
    assert run(data, *arguments) in (1, 2, 3)
    error = capsys.readouterr().err
    assert what in error
    assert error.count("\n") == 1


def test_an_empty_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "backtest") == 3
    assert "no database here yet" in capsys.readouterr().err


def test_backtest_lists_the_events_of_other_rules(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "tried.toml"
    rules.write_text('[drift]\nevery = "5m"\n[[rule]]\nname = "tried"\ncolumns = ["x*"]\nwindow = "20m"\nfloor = 0.2\n')
    assert run(data, "backtest", "--rules", str(rules), "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert done["evaluations"] == 36
    assert [rate["events"] for rate in done["rules"]] == [2]
    assert {event["column"] for event in done["events"]} == {"x0", "x1"}
    for event in done["events"]:
        assert CHANGE < from_iso(event["fired"]) <= CHANGE + 15 * MINUTE
        assert event["direction"].startswith("mean ")
    assert run(data, "backtest", "--rules", str(rules), "--to", iso(CHANGE)) == 0
    assert "24 evaluations, 0 events" in capsys.readouterr().out


def test_backtest_changes_nothing(data: Path) -> None:
    before = (data / "telltale.db").read_bytes()
    assert run(data, "backtest") == 0
    assert (data / "telltale.db").read_bytes() == before
