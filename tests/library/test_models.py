"""Several models in one process: each counts, is judged and is shown on its own."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from monitor import Monitor, Reference
from monitor.config.load import Config
from monitor.errors import ConfigError, InputError
from monitor.notify.message import Message, commands
from monitor.recording import Watch

ROW = [50.0, 2.0, "f"]


@pytest.fixture
def settings(tmp_path: Path, reference: Reference) -> str:
    """Two models of one reference, and so of one version, and a third with another."""
    (tmp_path / "both.prom").write_text(reference.to_text())
    third = Reference.from_data({"x": [float(n) for n in range(200)]}, ["yes", "no"] * 100)
    (tmp_path / "third.prom").write_text(third.to_text())
    both = f"reference = {str(tmp_path / 'both.prom')!r}"
    return f"""
        [data]
        path = {str(tmp_path / "data")!r}
        [drift]
        min_samples = 20
        [outcomes]
        [models.old]
        {both}
        [models.new]
        {both}
        outcomes = false
        [models.third]
        reference = {str(tmp_path / "third.prom")!r}
        [[rule]]
        name = "answers"
        models = ["new"]
        columns = ["role:prediction"]
        """


def test_each_model_counts_for_itself(settings: str, tmp_path: Path) -> None:
    with Monitor.open(Config.from_text(settings)) as monitor:
        old, new, third = (monitor.models[name] for name in ("old", "new", "third"))
        for _ in range(30):
            old.observe(ROW, 0.1)
        new.observe_many([ROW] * 40, [9.0] * 40)
        ids = third.observe_many([[1.0]] * 50, ["yes"] * 50)
        assert third.outcome_many(ids[:7], ["yes"] * 7, wait=True)["joined"] == 7
        results = monitor.evaluate(now=True)
        assert {(one.model, one.rule) for one in results if one.role == "prediction"} >= {
            ("new", "answers"),
            ("old", "drift"),
            ("third", "drift"),
        }
        assert {one.rule for one in new.drift()} == {"answers"}
        assert {one["model"] for one in monitor.alerts()} >= {"new"} == {one["model"] for one in new.alerts()}
        status = monitor.status()
        assert {one["model"]: one["predictions"] for one in status["models"]} == {"old": 30, "new": 40, "third": 50}
        assert new.status()["predictions"] == 40
        assert (old.version, third.reference.schema.features[0].name) == (new.version, "x")
        with closing(sqlite3.connect(tmp_path / "data" / "telltale.db")) as connection:
            queued = [
                Message.from_json(json.loads(one)) for (one,) in connection.execute("SELECT message FROM notifications")
            ]
        assert {dict(commands(one))["silence"] for one in queued if one.group == "answers"} == {
            "telltale silence rule=answers model=new column=prediction --for 4h"
        }
        plain, om = monitor.metrics()[0].decode(), monitor.metrics("application/openmetrics-text")[0].decode()
    for families in (list(text_string_to_metric_families(plain)), list(openmetrics.text_string_to_metric_families(om))):
        names = [family.name for family in families]
        assert len(names) == len(set(names))
        samples = [one for family in families for one in family.samples]
        keys = [(one.name, *sorted(one.labels.items())) for one in samples]
        assert len(keys) == len(set(keys))
        counted = {one.labels["model"]: one.value for one in samples if one.name == "telltale_predictions_total"}
        assert counted == {"old": 30, "new": 40, "third": 50}
        assert [one.labels.keys() for one in samples if one.name == "telltale_fold_lag_seconds"] == [{"replica"}]
    with closing(sqlite3.connect(tmp_path / "data" / "telltale.db")) as database:
        sql = "SELECT model, sum(count) FROM histogram_bins WHERE role = 'prediction' GROUP BY 1 ORDER BY 1"
        assert database.execute(sql).fetchall() == [("new", 40), ("old", 30), ("third", 50)]


def test_what_is_about_one_model_needs_its_name(settings: str) -> None:
    with Monitor.open(Config.from_text(settings)) as monitor:
        with pytest.raises(InputError, match=r"say which, as in models\['old'\]"):
            monitor.observe(ROW, 0.1)
        with pytest.raises(InputError, match="several models"):
            _ = monitor.version
        with pytest.raises(ConfigError, match="for each model"):
            Monitor.open(Config.from_text(settings), version="1")
    quiet = Monitor.open(Config.from_text("[models.a]\nreference = '/nowhere'"), on_error="log")
    assert quiet.models["a"].observe(ROW, 0.1) == ""


KILLED = """
import json, os, signal, sys
from monitor import Monitor
from monitor.config.load import Config
monitor = Monitor.open(Config.from_text(sys.argv[1]))
monitor._runtime.writer.stop()
for name, rows in (("old", 11), ("new", 22)):
    monitor.models[name].observe_many([[50.0, 2.0, "f"]] * rows, [0.1] * rows)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_leaves_is_counted_for_its_model(settings: str) -> None:
    """Both have the same columns and bins, so a segment does not tell them apart: its folder does."""
    ended = subprocess.run([sys.executable, "-c", KILLED, settings], cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == -signal.SIGKILL
    with Monitor.open(Config.from_text(settings)) as monitor:
        monitor.flush()
        found = {one["model"]: one["predictions"] for one in monitor.status()["models"]}
    assert found == {"old": 11, "new": 22, "third": 0}


def test_a_version_that_cannot_be_opened_leaves_the_ids_of_series_to_others(settings: str) -> None:
    config = Config.from_text(settings)
    with Monitor.open(config) as monitor:
        runtime = monitor._runtime
        other = Reference.from_data({"q": [float(n) for n in range(100)]}, [1.0, 2.0] * 50)
        with pytest.raises(ConfigError, match="there is no model"):
            runtime.exchange(config, [Watch(other, "v2", "old", "old"), Watch(other, "v2", "nobody", "nobody")])
        runtime.exchange(config, [Watch(monitor.models["third"].reference, "v3", "third", "third")])
        runtime.models["third"].record([1.0], ["yes"])
        monitor.flush()
        assert runtime.models["third"].totals.n == 1
