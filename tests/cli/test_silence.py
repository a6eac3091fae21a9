"""Requests to a running server: what a command says of one that is taken, refused, or of no use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.cli.change import request
from monitor.errors import InputError, TelltaleError
from monitor.questions import Answers
from tests.store.world import Monitored

GOOD = {"id": "s1", "matchers": {"column": "x0"}, "start": 1.0, "end": 1e10, "author": "", "reason": ""}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Monitored]:
    """A folder that this process holds, which answers questions of others."""
    made = Monitored(tmp_path / "data")
    made.minutes(1)
    answers = Answers(made.folder, made.runtime)
    yield made
    answers.stop()


def test_a_request_that_the_server_refuses_is_not_reported_as_done(world: Monitored) -> None:
    clock = world.clock
    request(world.config, {"kind": "silence", "silence": GOOD}, clock)
    with world.read() as connection:
        assert [row["id"] for row in connection.execute("SELECT id FROM silences")] == ["s1"]
    with pytest.raises(InputError, match="no silence 'nonesuch' is in force; in force: s1"):
        request(world.config, {"kind": "expire", "id": "nonesuch"}, clock)
    for refused in ({"kind": "nothing"}, {"kind": "silence", "silence": {}}):
        with pytest.raises(TelltaleError, match="refused: "):
            request(world.config, refused, clock)
    request(world.config, {"kind": "expire", "id": "s1"}, clock)
    world.close()


def test_a_silence_that_is_not_in_force_is_not_ended(world: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    world.close()
    common = ["--data", str(world.folder)]
    assert main(["silence", "column=x0", *common]) == 0
    made = capsys.readouterr().out.split()[1]
    assert main(["silence", "--expire", "nonesuch", *common]) != 0
    assert f"no silence 'nonesuch' is in force; in force: {made}" in capsys.readouterr().err
    assert main(["silence", "--expire", made, *common]) == 0
    assert main(["silence", "--expire", made, *common]) != 0
    assert "in force: none" in capsys.readouterr().err
