"""Reloads of models under traffic: nothing is lost, and every prediction is counted for the version that made it."""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bench.running import PATIENCE, Client, wait_for
from monitor import Reference
from monitor.__main__ import main
from monitor.config.load import Config
from server.run import opened
from tests.server.conftest import Start
from tests.server.hosted import running
from tests.server.models import Times


class Folder:
    """Settings and files of two models, `moved` and `still`."""

    def __init__(self, path: Path, named: bool = True) -> None:
        self.path, self.versions = path, dict[str, float]()
        random = np.random.default_rng(3)
        columns = dict(zip("xy", random.normal(0, 1, (2, 300)), strict=True))
        (path / "a.prom").write_text(Reference.from_data(columns, random.normal(0, 2, 300)).to_text())
        tables = f"[{'models.moved' if named else 'model'}]\npath = 'moved.pkl'\nreference = 'a.prom'\n"
        still = "[models.still]\npath = 'still.pkl'\nreference = 'a.prom'\n" if named else ""
        self.text = f"[server]\nport = 0\n[window]\nfold = '50ms'\n[outcomes]\n{tables}{still}"
        self.write("still", 1000.0)
        self.write("moved", 1.0)
        self.settings()

    def settings(self, more: str = "") -> None:
        absolute = self.text.replace("= 'a.prom'", f"= '{self.path}/a.prom'").replace(
            "path = '", f"path = '{self.path}/"
        )
        (self.path / "config.toml").write_text(f"[data]\npath = '{self.path}/data'\n{absolute}{more}")

    def edit(self, old: str, new: str) -> None:
        file = self.path / "config.toml"
        file.write_text(file.read_text().replace(old, new))

    def write(self, name: str, factor: float) -> None:
        content = pickle.dumps(Times(factor))
        (self.path / f"{name}.pkl").write_bytes(content)
        self.versions[sha256(content).hexdigest()[:12]] = factor

    def config(self) -> Config:
        return Config.load(self.path / "config.toml")

    def counted(self) -> dict[float, int]:
        """Predictions in the store, by what the version multiplies with."""
        with closing(sqlite3.connect(self.path / "data" / "telltale.db")) as database:
            rows = database.execute("SELECT version, sum(predictions) FROM series GROUP BY 1").fetchall()
        return {self.versions[version]: n for version, n in rows if n}


def reloaded(reload: Callable[[Callable[[str, bool], None]], None]) -> tuple[str, bool]:
    """Reload, and wait for what became of it."""
    said: list[tuple[str, bool]] = []
    done = threading.Event()
    reload(lambda *answer: (said.append(answer), done.set()))  # type: ignore[func-returns-value]
    assert done.wait(PATIENCE)
    return said[0]


@pytest.mark.parametrize(("named", "reloads"), [(True, 20), (False, 4)])
def test_reloads_under_traffic_lose_nothing(tmp_path: Path, named: bool, reloads: int) -> None:
    folder = Folder(tmp_path, named)
    answers: Counter[float] = Counter()
    wrong, stop = [], threading.Event()
    path = "/models/moved/predict" if named else "/predict"

    def ask(client: Client, path: str) -> None:
        while not stop.is_set():
            status, said = client.post([1.0, 0.0], path)
            if status != 200:
                wrong.append((status, said))
                return
            answers[said["result"]] += 1

    with opened(folder.config(), folder.config) as (server, _), running(server):
        client = Client(int(server.effective_port))
        paths = [path, path, *(["/models/still/predict"] if named else [])]
        threads = [threading.Thread(target=ask, args=(client, one)) for one in paths]
        for thread in threads:
            thread.start()
        for factor in range(2, 2 + reloads):
            folder.write("moved", float(factor))
            assert reloaded(server.reload)[1]
            wait_for(lambda: answers[float(factor)] > 2, "answers of the new version")  # noqa: B023
        assert reloaded(server.reload) == ("nothing has changed", True)
        stop.set()
        for thread in threads:
            thread.join()
        _, said = client.post([1.0, 0.0], path)
        answers[said["result"]] += 1
        outcomes = path.replace("predict", "outcomes?wait=true")
        assert client.post({"id": said["prediction_id"], "outcome": 2.0}, outcomes)[1]["joined"] == 1
        client.healthy()
    assert wrong == []
    assert folder.counted() == dict(answers)
    assert set(range(2, 2 + reloads)) <= set(answers)


def test_an_outcome_finds_its_prediction_of_the_version_before(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with opened(folder.config(), folder.config) as (server, _), running(server):
        client = Client(int(server.effective_port))
        first = client.post([1.0, 0.0], "/models/moved/predict")[1]["prediction_id"]
        folder.write("moved", 2.0)
        assert reloaded(server.reload)[1]
        second = client.post([1.0, 0.0], "/models/moved/predict")[1]["prediction_id"]
        rows = [{"id": one, "outcome": 1.0} for one in (first, second)]
        assert client.post(rows, "/models/moved/outcomes?wait=true")[1]["joined"] == 2
        folder.write("moved", 1.0)  # back again
        assert reloaded(server.reload)[1]
        client.post([1.0, 0.0], "/models/moved/predict")
    assert folder.counted() == {1.0: 2, 2.0: 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder.path / "moved.pkl").write_bytes(b"no model"), "moved.pkl"),
        (lambda folder: (folder.path / "a.prom").write_text("no reference"), "a.prom"),
        (lambda folder: folder.settings("[drfit]"), "drfit"),
        (lambda folder: folder.settings("[[rule]]\nname = 'r'\ncolumns = ['z']"), "'z'"),
        (lambda folder: folder.settings("[metrics]\nmax_series = 7"), "[metrics] changed: restart"),
        (lambda folder: folder.settings("[models.more]\npath = 'x.pkl'"), "histogram.prom"),
        (lambda folder: folder.edit("[models.moved]", "[models.other]"), "model moved was taken out: restart for that"),
        (lambda folder: folder.edit("[outcomes]", ""), "[outcomes] changed: restart for that"),
    ],
)
def test_what_is_wrong_leaves_everything_as_it_was(
    tmp_path: Path, change: Callable[[Folder], object], said: str
) -> None:
    folder = Folder(tmp_path)
    with opened(folder.config(), folder.config) as (server, _), running(server):
        client = Client(int(server.effective_port))
        change(folder)
        message, good = reloaded(server.reload)
        assert (good, said in message) == (False, True), message
        assert client.post([1.0, 0.0], "/models/moved/predict")[1]["result"] == 1.0
        (check,) = [one for one in client.json("/healthz")["checks"] if one["part"] == "reload"]
        assert (check["condition"], said in check["detail"]) == ("degraded", True)
        Folder(tmp_path)
        assert reloaded(server.reload)[1]
        client.healthy()


def test_a_model_is_added_and_rules_are_taken_up(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with opened(folder.config(), folder.config) as (server, _), running(server):
        client = Client(int(server.effective_port))
        more = f"[models.more]\npath = '{tmp_path}/still.pkl'\nreference = '{tmp_path}/a.prom'\n"
        folder.settings(more + "[[rule]]\nname = 'own'\nmodels = ['more', 'still']")
        assert reloaded(server.reload)[1]
        assert client.post([1.0, 0.0], "/models/more/predict")[1]["result"] == 1000.0
        assert {one["model"] for one in client.json("/api/status")["models"]} == {"moved", "still", "more"}


def test_a_model_that_did_not_load_is_mended_by_a_reload_and_keeps_no_other_from_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "still.pkl").write_bytes(b"no model")
    with opened(folder.config(), folder.config) as (server, _), running(server):
        client = Client(int(server.effective_port))
        assert client.post([1.0, 0.0], "/models/still/predict")[0] == 503
        folder.write("moved", 2.0)
        assert reloaded(server.reload)[1]
        assert client.post([1.0, 0.0], "/models/moved/predict")[1]["result"] == 2.0
        assert client.get("/healthz")[0] == 503
        folder.write("still", 3.0)
        assert reloaded(server.reload)[1]
        assert client.post([1.0, 0.0], "/models/still/predict")[1]["result"] == 3.0
        client.healthy()


def test_journals_of_versions_that_were_replaced_are_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.runtime.RETIRE", 0.0)
    monkeypatch.setattr("monitor.runtime.SLOW_FACTS", 0.05)
    folder, place = Folder(tmp_path), tmp_path / "data" / "workers"
    with opened(folder.config(), folder.config) as (server, _), running(server):
        client = Client(int(server.effective_port))
        for factor in (2.0, 3.0, 4.0):
            folder.write("moved", factor)
            assert reloaded(server.reload)[1]
            assert client.post([1.0, 0.0], "/models/moved/predict")[1]["result"] == factor
        wait_for(lambda: len(list(place.glob("[!.]*/worker.json"))) == 1, "the journals of two versions to go")
        assert client.post([1.0, 0.0], "/models/moved/predict")[0] == 200
        client.healthy()
    assert folder.counted() == {2.0: 1, 3.0: 1, 4.0: 2}


def test_a_signal_and_a_command_reload_and_a_kill_loses_nothing(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder(tmp_path)
    server = start((tmp_path / "config.toml").read_text(), folder=tmp_path)
    counted: Counter[float] = Counter()

    def ask(times: int) -> None:
        for _ in range(times):
            counted[server.post([1.0, 0.0], "/models/moved/predict")[1]["result"]] += 1

    ask(3)
    folder.write("moved", 2.0)
    assert main(["reload", "--config", str(tmp_path / "config.toml")]) == 0
    assert capsys.readouterr().out.startswith("reloaded: moved ")
    ask(5)
    folder.write("moved", 3.0)
    os.kill(server.process.pid, signal.SIGHUP)
    wait_for(lambda: server.log.count("reloaded: ") == 2, "the reload")
    ask(7)
    folder.settings("[drfit]")
    (tmp_path / "other.toml").write_text("")
    assert main(["reload", "--config", str(tmp_path / "other.toml"), "--data", str(tmp_path / "data")]) == 1
    assert "did you mean 'drift'" in capsys.readouterr().err
    server.kill()
    folder.settings()
    assert main(["reload", "--config", str(tmp_path / "config.toml")]) == 3
    with opened(folder.config()) as (again, _), running(again):
        pass
    assert folder.counted() == dict(counted) == {1.0: 3, 2.0: 5, 3.0: 7}
