"""`reference`: accept, list, reset, with the server up and down."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.clock import iso
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
    assert row["in_force"] is True
    assert main(["verify", "--data", str(world.folder)]) == 0
    assert run(world.folder, "reset") == 0
    assert [row["in_force"] for row in listed(world.folder, capsys)] == [False, False]
    assert run(world.folder, "reset") == 3
    assert "is compared with its training data already" in capsys.readouterr().err


def test_a_running_server_is_asked(world: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is held by this process, whose writer takes the request at its next tick."""
    answer: list[int] = []
    asking = threading.Thread(target=lambda: answer.append(accept(world.folder)))
    asking.start()
    inbox = world.folder / "inbox"
    while asking.is_alive():
        if inbox.exists() and list(inbox.glob("*.json")):
            world.runtime.writer.run(world.runtime._tick)
        asking.join(0.01)
    assert answer == [0]
    world.minutes(1, rows=60)
    assert world.runtime.only.latest.results[0].reference.startswith("accepted ")
    world.close()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("accept",), "accept needs --from"),
        (("accept", "--from", iso(MIDNIGHT), "--to", iso(MIDNIGHT)), "--to must lie after --from"),
        (("accept", "--from", iso(MIDNIGHT), "--to", "2999-01-01"), "has not come yet"),
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
    name = f"accepted {iso(MIDNIGHT)}/{iso(MIDNIGHT + HOUR)} #1"
    assert name in capsys.readouterr().out
