"""Every block of README.md and of the documents that lead a new user runs, as a reader runs it.

Commands of Telltale run in this process, and everything else in bash; `telltale serve` starts the real server. A block
of text holds promised lines: each must come from the commands before it or from the server's log, with other numbers.
"""

from __future__ import annotations

import calendar
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from bench.running import ROOT, Server, environment, wait_for
from monitor.__main__ import telltale
from tests.support.fake_providers import FakeProvider, fake_provider

pytestmark = pytest.mark.slow

#: What is not run, by how the line begins, and why.
NOT_RUN = {
    "pip install": "tests/test_install.py builds the wheel and installs it",
    "telltale demo": "tests/server/test_demo.py runs it",
}

#: A reader waits a minute for an evaluation.
QUICK = '\n[drift]\nevery = "1s"\n[window]\nfold = "100ms"\n'

#: Words of a promised line that are compared. Those with a digit or without a letter stand for any word.
WORDS = 6

#: Words that depend on the rows that were drawn, on the day, and on how the server was started.
DRAWN = {
    **{f"{month},": r"\w{3}," for month in calendar.month_abbr[1:]},
    "telltale": "(telltale|python -m monitor)",
    "harmless": r"harm\w+",
    "harmful": r"harm\w+",
    "K-S": "(K-S|Wasserstein)",
    "Wasserstein": "(K-S|Wasserstein)",
}


def blocks(name: str, end: str = "\0") -> list[tuple[str, str]]:
    """Language and content of each fenced block of a document."""
    text = (ROOT / name).read_text("utf-8").partition(end)[0]
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert text.count("\n```") == 2 * len(found)
    return found


def commands(block: str) -> Iterator[str]:
    """The commands of a block, each of which may go over several lines."""
    command = ""
    for line in re.sub(r"(^|\s+)#.*", "", block, flags=re.MULTILINE).splitlines():
        command += line
        with suppress(ValueError):  # an open quotation, or a backslash at the end
            if shlex.split(command):
                yield command
            command = ""
            continue
        command += "\n"
    assert command == ""


def shape(line: str) -> str:
    """Pattern of a promised line: its first words, whatever its numbers are."""
    words = line.split()[:WORDS]
    return r"\s+".join(r"\S+" if re.search(r"\d|^\W+$", word) else DRAWN.get(word, re.escape(word)) for word in words)


class Reader:
    """Somebody who follows a document in a folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.server: Server | None = None
        self.said = ""
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def follow(self, document: list[tuple[str, str]]) -> None:
        """Do what the blocks say."""
        language = ""
        for kind, content in document:
            if kind == "bash":
                if language != "bash":
                    self.said = ""
                for command in commands(content):
                    self.run(command)
            elif kind == "text":
                for line in content.splitlines():
                    self.expect(line)
            elif kind == "toml":
                with Path("config.toml").open("a") as file:
                    file.write(content)
            else:
                assert kind == "python"
                exec(compile(content, "block", "exec"), {})
            language = kind

    def run(self, command: str) -> None:
        """Run one command."""
        program, *given = shlex.split(command)
        if any(command.startswith(start) for start in NOT_RUN):
            return
        if program == "cd":
            self._monkeypatch.chdir(given[0])
        elif program == "export":
            self._monkeypatch.setenv(*given[0].split("=", 1))
        elif (program, *given) == ("telltale", "serve"):
            self.serve()
        elif program == "telltale":
            assert telltale([*given, *self.address(given[0])]) == 0, command
            self.said += self._capsys.readouterr().out
        else:
            assert self.server is not None
            command = command.replace("localhost:5000", f"127.0.0.1:{self.server.port}")
            done = subprocess.run(
                ["bash", "-c", command], env=environment(), capture_output=True, text=True, check=True
            )
            self.said += done.stdout

    def address(self, name: str) -> list[str]:
        """Wait for an evaluation, so that the next one is a while away. Returns options that name the server."""
        server = self.server
        if name == "performance":
            assert server is not None
            sent = int(re.findall(r"Sent (\d+) outcomes", self.said)[-1])
            wait_for(lambda: server.json("/api/performance?from=all")["outcomes"] >= sent, f"{sent} outcomes")
        if name not in ("load", "status", "drift"):
            return []
        assert server is not None
        rows = server.predictions()
        last = server.json("/api/status")["evaluated"]

        def evaluated() -> bool:
            found = [result["n"] for result in server.json("/api/drift")]
            return server.json("/api/status")["evaluated"] != last and max(found, default=0) >= rows

        wait_for(evaluated, f"a verdict on {rows} predictions")
        return ["--url", f"http://127.0.0.1:{server.port}"] if name == "load" else []

    def serve(self) -> None:
        """Start the server of this folder, instead of the one that runs."""
        self.stop()
        settings = Path("config.toml")
        config = settings.read_text("utf-8") if settings.exists() else ""
        self.server = Server(Path.cwd(), config if "[drift]" in config else config + QUICK, warm=True).ready()

    def stop(self) -> None:
        """Stop the server as Ctrl-C does."""
        if self.server is not None:
            self.server.stop()

    def expect(self, line: str) -> None:
        """Wait for a promised line."""
        wanted = re.compile(shape(line))
        log = self.server
        wait_for(lambda: wanted.search(self.said + (log.log if log else "")), f"{line!r} in {self.said}")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    reader = Reader(monkeypatch, capsys)
    yield reader
    reader.stop()


@pytest.fixture
def people() -> Iterator[FakeProvider]:
    with fake_provider() as provider:
        yield provider


def test_the_first_hour(reader: Reader) -> None:
    reader.follow(blocks("docs/first-hour.md"))


def test_the_example_of_a_table(reader: Reader) -> None:
    reader.follow(blocks("docs/warehouse.md", "## Settings"))
    assert Path("histogram.prom").exists()


@pytest.mark.parametrize(("document", "file"), [("year-of-data", "year.csv"), ("little-traffic", "little.csv")])
def test_recorded_data(reader: Reader, document: str, file: str) -> None:
    """Six weeks of two rows an hour; in the last two flats are larger."""
    rng = np.random.default_rng(0)
    area, rooms = rng.normal(80, 20, 2016), rng.integers(1, 6, 2016)
    model = LinearRegression().fit(np.column_stack([area, rooms]), 3000 * area + 20_000 * rooms)
    joblib.dump(model, "flats.pkl")
    area[1344:] += 30
    times = np.datetime64("2026-09-01T00:00", "m") + 30 * np.arange(2016)
    rows = zip(times, area.tolist(), rooms.tolist(), (3000 * area + 20_000 * rooms).tolist(), strict=True)
    Path(file).write_text(
        "\n".join(["asked_at,area,rooms,price", *(f"{at}Z,{x},{n},{y}" for at, x, n, y in rows)]) + "\n"
    )
    found = blocks(f"docs/{document}.md")
    reader.follow([("text" if kind == "toml" else kind, content) for kind, content in found])


def test_the_readme(reader: Reader, people: FakeProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", f"{people.url}/services/T0/B0/secret")
    shipped = (ROOT / "config.toml").read_text("utf-8")
    (tmp_path / "config.toml").write_text(re.sub(r'^every = "1m"', 'every = "1s"', shipped, flags=re.MULTILINE))
    document = blocks("README.md")
    own = next(place for place, (_, content) in enumerate(document) if content.startswith("telltale init"))
    reader.follow(document[:own])

    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy("model.pkl", mine)
    rows = load_diabetes().data
    names = ",".join(load_diabetes().feature_names)
    np.savetxt(mine / "training.csv", rows, delimiter=",", header=names, comments="")
    times = np.datetime64("2026-10-01T00:00", "h") + np.arange(len(rows)) // 10
    lines = [f"{at}:00Z,150,{','.join(map(str, row))}" for at, row in zip(times, rows.tolist(), strict=True)]
    (mine / "last-month.csv").write_text("\n".join([f"ts,prediction,{names}", *lines]) + "\n")
    monkeypatch.chdir(mine)
    reader.follow(document[own:])
    assert len(people.delivered) == 1
