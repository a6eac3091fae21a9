"""`reference`: accept, list, reset, with the server up and down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.clock import iso
from monitor.questions import Answers
from monitor.store.records.references import REPLAYED
from monitor.store.windows.rows import write_meta
from tests.store.world import HOUR, MIDNIGHT, MINUTE, Monitored


def run(data: Path, *arguments: str) -> int:
    return main(["reference", *arguments, "--data", str(data)])


def accept(data: Path, end: float = MIDNIGHT + HOUR, *more: str) -> int:
    return run(data, "accept", "--from", iso(MIDNIGHT), "--to", iso(end), *more)


@pytest.fixture
def world(tmp_path: Path) -> Monitored:
    world = Monitored(tmp_path / "data")
    world.minutes(10, rows=20)
    return world


def listed(data: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run(data, "list", "--json") == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_accept_and_reset_while_no_server_runs(world: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    world.close()
    assert run(world.folder) == 0
    assert capsys.readouterr().out == "rules compare with the training data\n"
    assert accept(world.folder, MIDNIGHT + HOUR, "--author", "ann", "--reason", "new supplier") == 0
    assert "from now on: 200 predictions" in capsys.readouterr().out
    (row,) = listed(world.folder, capsys)
    assert (row["action"], row["author"], row["reason"], row["n"]) == ("accept", "ann", "new supplier", 200)
    assert row["in_force"] == row["columns"] == ["x0", "x1", "colour", "prediction"]
    assert main(["verify", "--data", str(world.folder)]) == 0
    assert run(world.folder, "reset") == 0
    assert [row["in_force"] for row in listed(world.folder, capsys)] == [[], []]
    assert run(world.folder, "reset") == 3
    assert "is compared with its training data already" in capsys.readouterr().err


def test_a_running_server_is_asked(world: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is held by this process, which answers questions of others."""
    answers = Answers(world.folder, world.runtime)
    assert accept(world.folder) == 0
    answers.stop()
    world.minutes(1, rows=60)
    assert world.runtime.only.latest.results[0].reference.startswith("accepted ")
    world.close()


def test_a_dry_run_shows_what_would_change_and_changes_nothing(
    world: Monitored, capsys: pytest.CaptureFixture[str]
) -> None:
    world.minutes(30, rows=20, shift=1.0)
    world.close()
    period = ("--from", iso(MIDNIGHT + 10 * MINUTE), "--to", iso(MIDNIGHT + 40 * MINUTE))
    assert run(world.folder, "accept", "--dry-run", *period, "x0", "colour") == 0
    out = capsys.readouterr().out
    assert "would be the reference of 2 columns of model v1 from now on: 600 predictions" in out
    assert "alerts that would end: x0 (drift)\nalerts that would begin: none\n" in out
    cells = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(("x", "colour", "pred"))}
    assert set(cells) == {"x0", "colour"}
    name, _, rule, n, mean, accepted, now, state, then = cells["x0"]
    assert (name, rule, n, accepted, state, then) == ("x0", "drift", "2,000", "600", "drift", "ok")
    assert float(mean) == pytest.approx(world.reference.means()[0], rel=1e-3)
    assert float(now) == pytest.approx(1.0, abs=0.1)
    assert cells["colour"][3:] == ["2,000", "-", "600", "-", "ok", "ok"]
    assert listed(world.folder, capsys) == []
    assert run(world.folder, "accept", "x0", *period) == 0
    assert "is the reference of 1 column of model v1 from now on" in capsys.readouterr().out
    (row,) = listed(world.folder, capsys)
    assert (row["columns"], row["in_force"]) == (["x0"], ["x0"])
    assert run(world.folder, "accept", *period, "--dry-run") == 0
    assert "alerts that would end: x1 (drift)\n" in capsys.readouterr().out
    assert run(world.folder, "reset", "x1") == 3
    assert "compared with its training data already" in capsys.readouterr().err
    assert run(world.folder, "reset", "x*") == 0
    assert "for x0\n" in capsys.readouterr().out


def test_a_period_that_was_replayed_is_in_force_from_its_end(
    world: Monitored, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accepted years after the rows were made, the backtest compares what followed with it; a reset takes it back."""
    world.minutes(60, rows=20, shift=1.0)
    world.runtime.writer.transaction(lambda c: write_meta(c, REPLAYED, str(world.clock.time())))
    world.close()
    period = ("--from", iso(MIDNIGHT + 10 * MINUTE), "--to", iso(MIDNIGHT + 30 * MINUTE))
    rules = ("backtest", "--json", "--data", str(world.folder))

    def drifts() -> dict[str, bool]:
        """Whether each column's last alert goes on to the end."""
        capsys.readouterr()
        assert main(list(rules)) == 0
        return {e["column"]: e["resolved"] is None for e in json.loads(capsys.readouterr().out)["events"]}

    before = drifts()
    assert (before["x0"], before["x1"]) == (True, True)
    assert run(world.folder, "accept", "x0", *period) == 0
    after = drifts()
    assert (after["x0"], after["x1"]) == (False, True)
    assert run(world.folder, "reset") == 0
    assert drifts() == before


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("accept", "x9", "--from", iso(MIDNIGHT)), "COLUMN: the model has no column 'x9'; did you mean 'x1'?"),
        (("reset", "z*"), "no column of model v1 fits z*"),
        (("accept",), "accept needs --from"),
        (("accept", "--from", iso(MIDNIGHT), "--to", iso(MIDNIGHT)), "--to must be after --from"),
        (("accept", "--from", iso(MIDNIGHT), "--to", "2199-01-01"), "has not come yet"),
        (("accept", "--from", iso(MIDNIGHT), "--to", iso(MIDNIGHT + 2 * MINUTE)), "holds 40 predictions"),
    ],
)
def test_what_is_refused_changes_nothing(
    world: Monitored, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], what: str
) -> None:
    world.close()
    assert run(world.folder, *arguments) in (2, 3)
    error = capsys.readouterr().err
    assert what in error
    assert error.count("\n") == 1
    assert listed(world.folder, capsys) == []


def test_the_report_compares_with_what_was_accepted(world: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    world.close()
    assert accept(world.folder) == 0
    stretch = ("--from", iso(MIDNIGHT), "--to", iso(MIDNIGHT + HOUR))
    capsys.readouterr()
    assert main(["report", "--format", "json", *stretch, "--data", str(world.folder)]) == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    names = {column["column"]: column["reference"] for column in columns}
    assert names == {
        name: f"accepted {iso(MIDNIGHT)}/{iso(MIDNIGHT + HOUR)} #{row}"
        for row, name in enumerate(("x0", "x1", "colour", "prediction"), 1)
    }
