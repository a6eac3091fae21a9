"""Real servers under load, a real Prometheus with the real rules, and every query of every dashboard."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy, ks_2samp
from sklearn.datasets import load_diabetes, load_iris

from bench.running import PATIENCE
from monitor.reference.file import Reference
from tests.compose.live import ROOT, Process, Prometheus, Server, until

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")

SETTINGS = '[drift]\nevery = "1s"\n\n[metrics]\nboxkite = true\n\n[outcomes]\n'
ROWS = 300


@dataclass
class Stack:
    """Two replicas of the regression model, one of the classifier, and a Prometheus that scrapes all three."""

    prometheus: Prometheus
    reference: Reference
    sent: np.ndarray
    versions: dict[str, str]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root = tmp_path_factory.mktemp("stack")
    regression, twin, classification = (root / name for name in ("regression", "twin", "classification"))
    training = []
    for folder in (regression, classification):
        folder.mkdir()
        training.append(Process([sys.executable, "-m", "train", folder.name], folder, "train"))
    for train in training:
        assert train.child.wait(PATIENCE) == 0, train.log.read_text()
    shutil.copytree(regression, twin)
    processes: list[Process] = []
    try:
        servers = [Server(folder, SETTINGS) for folder in (regression, twin, classification)]
        processes += servers
        prometheus = Prometheus(root, [server.address() for server in servers])
        processes.append(prometheus)
        until(
            lambda: True if prometheus.value("count(telltale_predictions_total == 0)") == 3 else None,
            "the first scrape of all three",
        )
        rng = np.random.default_rng(5)
        diabetes, iris = load_diabetes(), load_iris()
        drawn = rng.integers(0, len(diabetes.data), ROWS)
        sent, outcomes = diabetes.data[drawn] + np.eye(10)[2] * 0.05, diabetes.target[drawn]
        servers[0].predict(sent[:200].tolist(), (500 - outcomes[:200]).tolist())
        servers[1].predict(sent[200:260].tolist())
        regression_rows = 'telltale:rows:count30m{column="bmi"}'
        until(lambda: True if prometheus.value(regression_rows) == 260 else None, "the first 260 rows")
        # The second replica is killed in the middle and comes back on its folder.
        address = servers[1].address()
        servers[1].child.kill()
        servers[1].child.wait()
        processes[1] = servers[1] = Server(twin, SETTINGS, address.rpartition(":")[2])
        assert servers[1].address() == address
        servers[1].predict(sent[260:].tolist())
        drawn = rng.integers(0, len(iris.data), ROWS)
        servers[2].predict(iris.data[drawn].tolist(), iris.target_names[iris.target[drawn]].tolist())
        until(
            lambda: True if prometheus.value(f"count(telltale:rows:count30m == {ROWS})") == 11 + 5 else None,
            "all rows in the rules",
        )
        # Rules run one after the other: the last of them has seen those rows once it is newer than this moment.
        moment = prometheus.value("vector(time())")
        until(
            lambda: True if prometheus.query(f"min(timestamp(telltale:drift_worst:30m)) > {moment}") else None,
            "a whole evaluation after that",
        )
        versions = {
            row["metric"]["column"]: row["metric"]["model_version"] for row in prometheus.query("telltale_column_info")
        }
        reference = Reference.load(regression / "histogram.prom")
        yield Stack(prometheus, reference, sent, versions)
    finally:
        for process in processes:
            process.child.terminate()
        for process in processes:
            process.stop()


def test_two_replicas_give_what_scipy_says_of_the_rows_that_were_sent(stack: Stack) -> None:
    schema = stack.reference.schema
    for i, column in enumerate(schema.features):
        counts = schema.split(stack.reference.counts)[i]
        sent = np.bincount(np.searchsorted(column.edges, stack.sent[:, i], side="left"), minlength=column.size)
        of = np.arange(column.value_bins)
        p, q = ((side + 0.5) / (side + 0.5).sum() for side in (counts, sent))
        expected = {
            "ks": ks_2samp(np.repeat(of, sent[: of.size]), np.repeat(of, counts[: of.size])).statistic,
            "kl": entropy(q, p),
            "psi": entropy(q, p) + entropy(p, q),
        }
        for statistic, value in expected.items():
            which = f'{{column="{column.name}",role="feature",statistic="{statistic}"}}'
            assert stack.prometheus.value(f"telltale:drift:30m{which}") == pytest.approx(value, abs=1e-6)


def test_exactly_the_shifted_feature_is_beyond_its_threshold(stack: Stack) -> None:
    version = stack.versions["bmi"]
    found = stack.prometheus.query(
        f'telltale:drift_ratio:30m{{model_version="{version}",role="feature",statistic="ks"}} > 1'
    )
    assert [row["metric"]["column"] for row in found] == ["bmi"]
    until(
        lambda: stack.prometheus.query('ALERTS{alertname="TelltaleDrift",column="bmi",alertstate="pending"}') or None,
        "the alert to be pending",
    )


def test_a_process_and_promql_say_the_same_of_the_same_rows(stack: Stack) -> None:
    of = f'model_version="{stack.versions["sepal_length"]}",statistic=~"ks|kl|missing"'
    own = f"max by (column, role, statistic) (telltale_drift{{{of}}})"
    both = f"telltale:drift:30m{{{of}}} - on (column, role, statistic) {own}"
    found = until(lambda: stack.prometheus.query(both) or None, "verdicts of the classifier")
    assert len(found) == 10  # five columns, their own statistic and missing values
    assert max(abs(float(row["value"][1])) for row in found) < 1e-6


def test_outcomes_that_do_not_fit_make_the_model_worse_and_the_others_do_not(stack: Stack) -> None:
    firing = 'ALERTS{alertname="TelltalePerformanceWorse", alertstate="firing"}'
    found = until(lambda: stack.prometheus.query(firing) or None, "the alert on performance")
    assert {(row["metric"]["metric"], row["metric"]["model_version"]) for row in found} == {
        ("mae", stack.versions["bmi"])
    }
    of = f'model_version="{stack.versions["sepal_length"]}"'
    assert stack.prometheus.value(f'telltale_performance{{{of}, metric="accuracy"}}') > 0.9
    assert stack.prometheus.value(f"telltale_outcome_coverage_ratio{{{of}}}") == 1


def test_scrapes_and_rules_run_without_an_error(stack: Stack) -> None:
    targets = stack.prometheus.ask("targets")["activeTargets"]
    assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")] * 3
    rules = [rule for group in stack.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule.get("lastError")] == []
    assert len(rules) > 30


def panels(node: dict) -> Iterator[dict]:
    for panel in node.get("panels", ()):
        yield panel
        yield from panels(panel)


def filled(query: str, values: dict[str, str]) -> str:
    """A query with its variables replaced, as Grafana would."""
    return re.sub(r"\$\{?(\w+)(?::raw)?\}?", lambda found: values.get(found[1], found[0]), query)


def offered(prometheus: Prometheus, variable: dict, values: dict[str, str]) -> list[str]:
    """The values of a query variable, as Grafana would ask for them."""
    query = filled(variable["query"]["query"], values)
    if match := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
        return prometheus.labels(match[2], match[1])
    match = re.fullmatch(r"query_result\((.+)\)", query)
    assert match
    rows = [row["metric"] for row in prometheus.query(match[1])]
    texts = [",".join(f'{name}="{value}"' for name, value in labels.items()) for labels in rows]
    return [found[1] for text in texts if (found := re.search(variable["regex"].strip("/"), text))]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "compose/grafana/dashboards").glob("*.json")), ids=lambda path: path.stem
)
@pytest.mark.parametrize("column", ["bmi", "sepal_length"])
def test_every_query_of_a_dashboard_answers_data(stack: Stack, path: Path, column: str) -> None:
    dashboard = json.loads(path.read_text())
    values = {"version": stack.versions[column], "column": column, "window": "30m", "top": "20"}
    values |= {"__rate_interval": "1m", "__range": "30m", "__interval": "15s"}
    for variable in dashboard.get("templating", {}).get("list", ()):
        if variable["type"] == "query":
            found = offered(stack.prometheus, variable, values)
            assert found, variable["name"]
            values.setdefault(variable["name"], found[0])
            assert values[variable["name"]] in found
    asked = 0
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            query = filled(target["expr"], values)
            assert stack.prometheus.query(query), f"{panel['title']}: {query}"
            asked += 1
    assert asked > 5


def test_the_worst_columns_come_first(stack: Stack) -> None:
    dashboard = json.loads((ROOT / "compose/grafana/dashboards/drift-overview.json").read_text())
    (panel,) = [panel for panel in panels(dashboard) if panel["type"] == "status-history"]
    values = {"version": stack.versions["bmi"], "top": "3", "__range": "30m"}
    now = str(stack.prometheus.value("vector(time())"))
    query = filled(panel["targets"][0]["expr"], values)
    found = stack.prometheus.ask("query_range", query=query, start=now, end=now, step="15")["result"]
    shown = [(row["metric"]["column"], float(row["values"][0][1])) for row in found]
    assert len(shown) == 3
    assert shown[0][0] == "bmi"
    assert shown == sorted(shown, key=lambda row: -row[1])


def test_boxkites_names_add_up_the_way_its_panels_do(stack: Stack) -> None:
    ask = stack.prometheus
    names = ask.labels("__name__")
    assert {"feature_0_value_bucket", "feature_0_value_baseline_bucket", "inference_value_total"} <= set(names)
    # Live and baseline have the same bins, so that a one-to-one match loses none of them.
    for live, baseline, label in (
        ("feature_3_value_bucket", "feature_3_value_baseline_bucket", "le"),
        ("feature_1_value_total", "feature_1_value_baseline_total", "bin"),  # sex: two values
        ("inference_value_total", "inference_value_baseline_total", "bin"),
    ):
        matched = ask.value(f"count(sum by ({label}) ({live}) and sum by ({label}) ({baseline}))")
        assert matched == ask.value(f"count(sum by ({label}) ({live}))")
        assert ask.value(f"sum(increase({live}[30m]))")
    assert ask.value("sum(increase(inference_value_sum[30m])) / sum(increase(inference_value_count[30m]))")
    assert {row["metric"]["feature_name"] for row in ask.query("baseline_metrics_info")} >= {"bmi", "petal_width"}
