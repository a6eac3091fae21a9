"""A command never overwrites what it did not write, and never the live record."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from monitor.__main__ import main
from tests.store.world import Monitored


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data folder whose server is stopped."""
    path = tmp_path_factory.mktemp("output")
    monitored = Monitored(path / "data")
    monitored.minutes(3)
    monitored.close()
    (path / "link.db").hardlink_to(path / "data" / "telltale.db")
    (path / "symlink.db").symlink_to(path / "data" / "telltale.db")
    (path / "notes.txt").write_text("mine")
    with closing(sqlite3.connect(path / "other.db")) as connection:
        connection.execute("CREATE TABLE mine (id INTEGER)")
    return path


def arguments(command: str, folder: Path, name: str, *more: str) -> list[str]:
    file = ["--from", "2023-11-15T00:00Z", "--to", "2023-11-15T01:00Z", "--out"] if command == "report" else []
    return [command, *file, str(folder / name), *more, "--data", str(folder / "data")]


LIVE = ["data/telltale.db", "data/lock", "data/journal/new", "data/new.db", "link.db", "symlink.db", "data"]


@pytest.mark.parametrize("command", ["snapshot", "report"])
@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
def test_nothing_in_the_data_folder_is_replaced(
    folder: Path, command: str, name: str, force: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file()}
    assert main(arguments(command, folder, name, *force)) == 2
    assert "is in the data folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["snapshot", "report"])
@pytest.mark.parametrize("name", ["notes.txt", "other.db"])
def test_a_file_of_another_is_replaced_only_by_force(
    folder: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "copy").write_bytes((folder / name).read_bytes())
    assert main(arguments(command, folder, "copy")) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert (folder / "copy").read_bytes() == (folder / name).read_bytes()
    assert main(arguments(command, folder, "copy", "--force")) == 0
    assert (folder / "copy").read_bytes() != (folder / name).read_bytes()
    assert main(arguments(command, folder, "copy")) == 0, "it is Telltale's own now"
    (folder / "copy").unlink()


def test_a_database_of_another_server_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    other = Monitored(tmp_path / "data")
    other.minutes(1)
    try:
        assert main(arguments("snapshot", folder, str(other.path), "--force")) == 2
    finally:
        other.close()
    assert main(arguments("snapshot", folder, str(other.path))) == 2


@pytest.mark.parametrize("command", ["snapshot", "report"])
@pytest.mark.parametrize("name", ["config.toml", "model.joblib", "histogram.prom"])
def test_what_telltale_reads_is_not_replaced_even_by_force(
    folder: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = folder / "config.toml"
    config.write_text(f'[model]\npath = "{folder / "model.joblib"}"\nreference = "{folder / "histogram.prom"}"\n')
    for other in ("model.joblib", "histogram.prom"):
        (folder / other).write_text("mine")
    before = (folder / name).read_text()
    assert main([*arguments(command, folder, name, "--force"), "--config", str(config)]) == 2
    assert "is a file that Telltale reads" in capsys.readouterr().err
    assert (folder / name).read_text() == before
