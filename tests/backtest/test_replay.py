"""Recorded data through the real path: what comes out is what the raw rows say."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from monitor.__main__ import main
from monitor.backtest.replay import parse_time, steps
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.store.file.folder import DataFolder

BEGIN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Recorded:
    """A reference, a settings file, and rows of the same source whose `x` moves up from hour 3 on."""

    def __init__(self, folder: Path, rows: int = 3000, hours: float = 6.0) -> None:
        self.folder = folder
        rng = np.random.default_rng(1)
        self.training = rng.normal(size=2000)
        colours = np.array(["red", "green", "7", "07"])
        reference = Reference.from_data(
            {"x": self.training, "colour": rng.choice(colours, 2000).tolist()}, rng.normal(size=2000)
        )
        (folder / "histogram.prom").write_text(reference.to_text())
        (folder / "config.toml").write_text(f'[model]\nreference = "{folder}/histogram.prom"\n[drift]\nevery = "10m"\n')
        seconds = np.sort(rng.uniform(0, hours * 3600, rows))
        self.times = [BEGIN + timedelta(seconds=round(s, 6)) for s in seconds.tolist()]
        self.x = rng.normal(size=rows) + (seconds > 3 * 3600)
        self.colour = rng.choice(colours, rows).tolist()
        self.answer = rng.normal(size=rows)

    def rows(self) -> Iterator[list[Any]]:
        for at, x, colour, y in zip(self.times, self.x.tolist(), self.colour, self.answer.tolist(), strict=True):
            yield [at.isoformat(), repr(x), colour, repr(y)]

    def write(
        self, rows: list[list[Any]] | None = None, name: str = "w.csv", head: str = "when,x,colour,prediction"
    ) -> Path:
        path = self.folder / name
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(head.split(","))
            writer.writerows(self.rows() if rows is None else rows)
        return path

    def replay(self, path: Path, *options: str, data: str = "data") -> int:
        arguments = ["replay", str(path), "--time", "when", "--config", str(self.folder / "config.toml")]
        return main([*arguments, "--data", str(self.folder / data), *options])

    def read(self, sql: str, data: str = "data") -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self.folder / data / 'telltale.db'}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


def test_windows_and_verdicts_are_those_of_the_raw_rows(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded.replay(recorded.write()) == 0
    out = capsys.readouterr().out
    assert "3,000 rows" in out
    assert "36 evaluations" in out
    assert "columns that drifted at any time: x" in out
    minutes = np.array([int(at.timestamp()) // 60 * 60 for at in recorded.times])
    starts, sizes = np.unique(minutes, return_counts=True)
    found = recorded.read("SELECT start, n FROM windows WHERE finest ORDER BY start")
    assert found == list(zip(starts.tolist(), sizes.tolist(), strict=True))
    by_label = dict(
        recorded.read("SELECT label, sum(count) FROM histogram_bins WHERE \"column\" = 'colour' GROUP BY label")
    )
    assert {k: v for k, v in by_label.items() if v} == {c: recorded.colour.count(c) for c in set(recorded.colour)}
    checked = 0
    for start, end, value, n, state in recorded.read(
        "SELECT window_start, window_end, value, n, state FROM drift WHERE statistic = 'ks' AND \"column\" = 'x'"
    ):
        low, high = (datetime.fromisoformat(text) for text in (start, end))
        window = recorded.x[[low <= at < high for at in recorded.times]]
        assert n == len(window)
        exact = float(ks_2samp(window, recorded.training).statistic)
        assert value <= exact + 1e-12
        assert value > exact - 0.06  # the largest bin holds a twentieth of the rows
        if low >= BEGIN + timedelta(hours=3):
            assert state == "drift"
        checked += 1
    assert checked == 36
    (event,) = recorded.read("SELECT at, rule FROM alert_events WHERE after = 'firing' AND \"column\" = 'x'")
    assert BEGIN + timedelta(hours=3) < datetime.fromisoformat(event[0]) <= BEGIN + timedelta(hours=3, minutes=30)
    assert recorded.read("SELECT * FROM gaps") == [], "a folder that is made for a replay has lost nothing"
    told = recorded.read("SELECT DISTINCT receiver, state FROM notifications")
    assert told == [("log", "sent")]
    (first,) = recorded.read("SELECT first_served FROM series")
    assert datetime.fromisoformat(first[0]) < BEGIN + timedelta(minutes=1)


def test_rows_out_of_order_make_the_same_record(recorded: Recorded) -> None:
    assert recorded.replay(recorded.write()) == 0
    rows = list(recorded.rows())
    order = np.random.default_rng(2).permutation(len(rows)).tolist()
    assert recorded.replay(recorded.write([rows[i] for i in order], "shuffled.csv"), data="other") == 0
    for sql in (
        "SELECT start, n FROM windows WHERE finest ORDER BY start",
        'SELECT at, rule, "column", statistic, value, state, n FROM drift ORDER BY id',
        'SELECT at, rule, "column", before, after, event_id FROM alert_events',
    ):
        assert recorded.read(sql) == recorded.read(sql, "other")


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_other_formats_give_the_same(recorded: Recorded, kind: str) -> None:
    rows = list(recorded.rows())[:500]
    assert recorded.replay(recorded.write(rows)) == 0
    path = recorded.folder / f"w.{kind}"
    names = ["when", "x", "colour", "prediction"]
    if kind == "tsv":
        path.write_text("\n".join("\t".join(row) for row in [names, *rows]) + "\n")
    else:
        objects = ({"when": t, "x": float(x), "colour": c, "prediction": float(y)} for t, x, c, y in rows)
        path.write_text("\n".join(map(json.dumps, objects)))
    assert recorded.replay(path, data="other") == 0
    sql = "SELECT window_id, column_id, counts FROM histograms ORDER BY 1, 2"
    assert recorded.read(sql) == recorded.read(sql, "other")


def test_a_second_file_goes_on_where_the_first_ended(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(recorded.rows())
    cut = next(i for i, at in enumerate(recorded.times) if at >= BEGIN + timedelta(hours=2))
    assert recorded.replay(recorded.write(), data="whole") == 0
    assert recorded.replay(recorded.write(rows[:cut])) == 0
    assert recorded.replay(recorded.write(rows[cut:])) == 0
    sql = 'SELECT at, rule, "column", before, after, event_id FROM alert_events'
    assert recorded.read(sql) == recorded.read(sql, "whole") != []
    capsys.readouterr()
    assert recorded.replay(recorded.write(rows[cut:])) == 2
    assert "already has predictions up to 2026-03-02T14:00:00Z" in capsys.readouterr().err


def test_sparse_rows_are_stepped_through_and_it_says_that_no_window_held_enough(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a day: four evaluations see each, the others would see nothing."""
    rows = list(recorded.rows())[:20]
    for day, row in enumerate(rows):
        row[0] = (BEGIN + timedelta(days=day, seconds=30)).isoformat()
    with (recorded.folder / "config.toml").open("a") as file:
        file.write('[data]\nkeep_minutes = "30d"\n')
    assert recorded.replay(recorded.write(rows)) == 0
    out = capsys.readouterr().out
    assert "without traffic were stepped over" in out
    assert "no test window held min_samples predictions" in out
    states = [row[0] for row in recorded.read("SELECT state FROM drift WHERE statistic = 'ks' AND \"column\" = 'x'")]
    assert set(states) == {"insufficient data", "no traffic"}
    assert states.count("insufficient data") == 3 * 19 + 1
    assert states.count("no traffic") <= 2 * 19


def test_windows_are_coarse_only_where_no_verdict_depends_on_it(tmp_path: Path) -> None:
    """Of the first two days no minutes would be left, so they are counted by half hours: the test window's length."""
    recorded = Recorded(tmp_path, rows=12_000, hours=72)
    path = recorded.write()
    settings = (tmp_path / "config.toml").read_text()
    for keep, data in (("10d", "fine"), ("1d", "coarse")):
        (tmp_path / "config.toml").write_text(f'{settings}[data]\nkeep_minutes = "{keep}"\n')
        assert recorded.replay(path, "--every", "1h", data=data) == 0
    verdicts = 'SELECT at, rule, "column", statistic, round(value, 9), state, n, direction FROM drift ORDER BY id'
    events = 'SELECT at, rule, "column", before, after, value FROM alert_events'
    for sql in (verdicts, events):
        assert recorded.read(sql, "coarse") == recorded.read(sql, "fine") != []
    lengths = "SELECT seconds, sum(n) FROM windows WHERE finest GROUP BY seconds"
    assert [seconds for seconds, _ in recorded.read(lengths, "fine")] == [60]
    assert {60, 1800} <= {seconds for seconds, _ in recorded.read(lengths, "coarse")}
    assert sum(n for _, n in recorded.read(lengths, "coarse")) == 12_000


# What cannot be replayed.


@pytest.mark.parametrize(
    ("column", "cell", "what"),
    [
        (0, "yesterday", "column 'when' holds 'yesterday', which is no time"),
        (0, "", "column 'when' is empty"),
        (1, "much", "column 'x' holds 'much', which is no number"),
    ],
)
def test_a_bad_row_is_named_by_its_line(
    recorded: Recorded, capsys: pytest.CaptureFixture[str], column: int, cell: str, what: str
) -> None:
    rows = list(recorded.rows())[:200]
    rows[100][column] = cell
    path = recorded.write(rows)
    assert recorded.replay(path) == 2
    assert f"w.csv, line 102: {what}" in capsys.readouterr().err
    assert not (recorded.folder / "data" / "telltale.db").exists(), "nothing is recorded of a file that is refused"
    assert recorded.replay(path, "--skip-bad-rows") == 0
    assert f"1 bad rows were left out: line 102: {what}" in capsys.readouterr().out
    assert recorded.read("SELECT sum(n) FROM windows WHERE finest") == [(199,)]


def test_missing_columns_are_named(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(recorded.rows())[:100]
    path = recorded.write([row[:3] for row in rows], head="when,x,colour")
    assert recorded.replay(path) == 2
    assert "has no column prediction with the predictions" in capsys.readouterr().err
    path = recorded.write([[row[0], row[1], row[3]] for row in rows], head="when,x,prediction")
    assert recorded.replay(path) == 2
    assert "lacks the feature colour" in capsys.readouterr().err
    assert main(["replay", str(path), "--time", "nope", "--config", str(recorded.folder / "config.toml")]) == 2
    assert "has no column 'nope' for --time; it has: when, x, prediction" in capsys.readouterr().err
    path = recorded.write(rows, head="when,x,colour,answer")
    assert recorded.replay(path, "--prediction", "answer") == 0


def test_a_folder_in_use_is_refused(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    folder = DataFolder(recorded.folder / "data")
    folder.open()
    try:
        assert recorded.replay(recorded.write(list(recorded.rows())[:100])) == 4
    finally:
        folder.close()
    assert "is open in this process already" in capsys.readouterr().err


# Time.


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - Hypothesis adds the zone
def test_a_moment_reads_the_same_however_it_is_written(moment: datetime) -> None:
    exact = moment.replace(tzinfo=UTC)
    micros = (exact - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    for text in (moment.isoformat(), f"{moment.isoformat()}Z", str(moment), f"{moment.isoformat()}+00:00"):
        assert parse_time(text) == micros * 1000
    assert parse_time(str(micros // 10**6)) == micros // 10**6 * 10**9
    assert parse_time(moment.strftime("%d/%m/%Y %H:%M:%S.%f"), "%d/%m/%Y %H:%M:%S.%f") == micros * 1000
    if moment.year >= 1974:
        assert parse_time(str(micros // 1000)) == micros // 1000 * 10**6
        assert parse_time(str(micros)) == micros * 1000
        assert parse_time(str(micros * 1000)) == micros * 1000


def test_a_date_without_dashes_is_no_number_of_seconds() -> None:
    assert parse_time("20260302") == parse_time("2026-03-02")
    assert parse_time("20261399") == 20261399 * 10**9


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "1e300", "2026-13-01", "0001-01-01", "9999-01-01T00:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time(text) is None


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=30), st.sampled_from(["1m", "10m", "90s"]))
def test_every_row_is_seen_and_no_evaluation_is_lost(seconds: list[int], every: str) -> None:
    times = np.array(sorted(seconds), dtype=np.int64) * 10**9 + 1_700_000_000 * 10**9
    config = Config.from_text(f'[drift]\nevery = "{every}"')
    made = list(steps(times, config))
    interval = config.drift.every
    assert made[-1].rows == len(times)
    last = made[0].at - interval
    assert last <= times[0] / 1e9
    for step in made:
        assert step.at == last + (step.skipped + 1) * interval
        assert step.rows == int((times < round(step.at * 1e9)).sum())
        if step.skipped:
            # Nothing that a rule could see lies in what was stepped over.
            earlier = times[times < round(last * 1e9)]
            assert last - earlier[-1] / 1e9 > 1800
        last = step.at
    assert last - interval <= times[-1] / 1e9 < last


def test_outcomes_come_after_their_delay(recorded: Recorded) -> None:
    with (recorded.folder / "config.toml").open("a") as file:
        file.write('[outcomes]\nwithin = "30d"\n')
    rows = [[*row, repr(float(row[-1]) + 1) if n % 3 else ""] for n, row in enumerate(recorded.rows())]
    path = recorded.write(rows, head="when,x,colour,prediction,came")
    assert recorded.replay(path, "--outcome", "came", "--delay", "1h") == 0
    known = sum(at < recorded.times[-1] - timedelta(hours=1) for n, at in enumerate(recorded.times) if n % 3)
    ((joined,),) = recorded.read("SELECT count FROM tallies WHERE result = 'joined'")
    assert abs(joined - known) < 100, "those of the last ten minutes are told by the last evaluation, or not any more"
    hours = recorded.read("SELECT start_utc, sums FROM performance_sums ORDER BY start")
    assert hours[0][0] == "2026-03-02T08:00:00Z"
    assert recorded.read("SELECT sum FROM outcome_delays")[0][0] == pytest.approx(joined * 3600)


def test_outcomes_of_rows_in_coarse_windows_find_them(tmp_path: Path) -> None:
    """What is old is recorded by one runtime, and its outcomes come when another one has followed."""
    recorded = Recorded(tmp_path, 600, 12 * 24.0)
    with (recorded.folder / "config.toml").open("a") as file:
        file.write('[outcomes]\nwithin = "30d"\n')
    rows = [[*row, row[3]] for row in recorded.rows()]
    path = recorded.write(rows, head="when,x,colour,prediction,came")
    assert recorded.replay(path, "--outcome", "came", "--delay", "3d", "--every", "12h") == 0
    told = sum(at <= recorded.times[-1] - timedelta(days=3) for at in recorded.times)
    assert dict(recorded.read("SELECT result, count FROM tallies"))["joined"] == pytest.approx(told, abs=50)


def test_outcomes_come_at_a_time_of_their_own(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    with (recorded.folder / "config.toml").open("a") as file:
        file.write("[outcomes]\n")
    rows, later = recorded.rows(), {0: "", 1: "1996-01-01"}
    known = [later.get(n % 4, (at + timedelta(minutes=n % 50)).isoformat()) for n, at in enumerate(recorded.times)]
    rows = [[*row, "0.5" if n % 3 else "", at] for n, (row, at) in enumerate(zip(rows, known, strict=True))]
    path = recorded.write(rows, head="when,x,colour,prediction,came,known")
    assert recorded.replay(path, "--outcome", "came", "--outcome-time", "known") == 0
    ((joined,),) = recorded.read("SELECT count FROM tallies WHERE result = 'joined'")
    delays = [timedelta(minutes=n % 50 if n % 4 > 1 else 0) for n in range(len(rows))]
    last = recorded.times[-1].replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    told = [n for n, at in enumerate(recorded.times) if n % 3 and n % 4 and at + delays[n] < last]
    assert joined == len(told)
    expected = sum(delays[n].total_seconds() for n in told)
    assert recorded.read("SELECT sum FROM outcome_delays")[0][0] == pytest.approx(expected, abs=1e-3)
    rows[7][-1] = "soon"
    path = recorded.write(rows, head="when,x,colour,prediction,came,known")
    assert recorded.replay(path, "--outcome", "came", "--outcome-time", "known") == 2
    assert "line 9: column 'known' holds 'soon'" in capsys.readouterr().err


def test_outcomes_need_their_section_and_column(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded.replay(recorded.write(), "--outcome", "came") == 2
    assert "--outcome: the settings need the section [outcomes]" in capsys.readouterr().err
    with (recorded.folder / "config.toml").open("a") as file:
        file.write("[outcomes]\n")
    assert recorded.replay(recorded.write(), "--outcome", "came") == 2
    assert "has no column 'came' for --outcome" in capsys.readouterr().err
