"""Windows that the traffic can never fill, in `status` and `check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.__main__ import main
from tests.store.world import HOUR, MINUTE, Monitored

RULES = """
[[rule]]
name = "quick"
window = "{window}"
max_age = "{max_age}"
min_samples = {least}
"""


def settings(folder: Path, window: str = "30m", max_age: str = "0s", least: int = 50) -> Path:
    """Settings over the data folder, with a rule of that window."""
    path = folder / "config.toml"
    rules = RULES.format(window=window, max_age=max_age, least=least)
    path.write_text(
        f'[data]\npath = "{folder / "data"}"\n[model]\npath = ""\nreference = "{folder / "histogram.prom"}"\n{rules}'
    )
    return path


def fill(folder: Path, hours: int, each: int) -> None:
    """Record so many predictions in the first minute of each hour."""
    world = Monitored(folder / "data")
    world.reference.save(folder / "histogram.prom")
    for _ in range(hours):
        world.record(each)
        world.clock.advance(MINUTE)
        world.runtime.evaluate()
        world.clock.advance(HOUR - MINUTE)
    world.close()


@pytest.mark.parametrize(("each", "proposed"), [(3, 'window = "1d" would hold about 72'), (1, 'window = "7d"')])
def test_a_window_that_never_fills_is_told_with_one_that_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], each: int, proposed: str
) -> None:
    fill(tmp_path, 48, each)
    config = settings(tmp_path)
    for command in ("status", "check"):
        assert main([command, "--config", str(config)]) == 0
        said = capsys.readouterr().out
        assert f"quick: 30m never held the 50 predictions of min_samples in 1 day 23 h, at most {each}, so" in said
        assert proposed in said


def test_before_the_first_evaluation_it_says_never(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = Monitored(tmp_path / "data")
    world.record(1)
    world.close()
    assert main(["status", "--config", str(settings(tmp_path))]) == 0
    said = capsys.readouterr().out
    assert "last evaluation    never" in said
    assert "None" not in said


def test_a_number_that_no_week_holds_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, 30, 1)
    assert main(["status", "--json", "--config", str(settings(tmp_path, least=5000))]) == 0
    (sentence,) = json.loads(capsys.readouterr().out)["advice"]
    assert sentence.endswith("min_samples is too large for this traffic")


@pytest.mark.parametrize(
    ("hours", "each", "options"),
    [
        (5, 3, {}),  # too short a record to say anything
        (30, 60, {}),
        (30, 3, {"max_age": "20h"}),  # reaches back until it has enough
        (30, 3, {"window": "20h"}),
    ],
)
def test_nothing_is_proposed_if_it_fills_or_too_little_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hours: int, each: int, options: dict[str, str]
) -> None:
    fill(tmp_path, hours, each)
    assert main(["status", "--json", "--config", str(settings(tmp_path, **options))]) == 0
    assert json.loads(capsys.readouterr().out)["advice"] == []
