"""Real servers under load, a real Prometheus with the real rules, and every query of every dashboard."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy, ks_2samp
from sklearn.datasets import load_diabetes, load_iris

from bench.running import Server
from monitor.reference.file import Reference
from tests.compose.live import ROOT, Prometheus, until

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


def predict(server: Server, rows: list[list[float]], outcomes: Sequence[object] = ()) -> None:
    """Send rows, and what came true for them if that is given."""
    status, answer = server.post(rows)
    assert status == 200, answer
    if outcomes:
        told = [{"id": one, "outcome": came} for one, came in zip(answer["prediction_ids"], outcomes, strict=True)]
        assert server.post(told, "/outcomes")[0] == 200


@pytest.fixture(scope="module")
def stack(trained: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root = tmp_path_factory.mktemp("stack")
    regression, twin, classification = folders = [root / name for name in ("regression", "twin", "classification")]
    with ExitStack() as stack:
        prometheus = Prometheus(root)
        stack.callback(prometheus.stop)
        for folder in folders:
            shutil.copytree(trained("classification" if folder == classification else "regression"), folder)

        def serve(folder: Path, port: int = 0) -> Server:
            server = Server(folder, SETTINGS, "--port", str(port), warm=True)
            stack.callback(server.stop)
            return server

        servers = [serve(folder) for folder in folders]
        prometheus.scrape([f"127.0.0.1:{server.ready().port}" for server in servers])
        until(
            lambda: True if prometheus.value("count(telltale_predictions_total == 0)") == 3 else None,
            "the first scrape of all three",
        )
        rng = np.random.default_rng(5)
        diabetes, iris = load_diabetes(), load_iris()
        drawn = rng.integers(0, len(diabetes.data), ROWS)
        sent, outcomes = diabetes.data[drawn] + np.eye(10)[2] * 0.05, diabetes.target[drawn]
        predict(servers[0], sent[:200].tolist(), (500 - outcomes[:200]).tolist())
        predict(servers[1], sent[200:260].tolist())
        regression_rows = 'telltale:rows:count30m{column="bmi"}'
        until(lambda: True if prometheus.value(regression_rows) == 260 else None, "the first 260 rows")
        # The second replica is killed in the middle and comes back on its folder.
        servers[1].kill()
        predict(serve(twin, servers[1].port).ready(), sent[260:].tolist())
        drawn = rng.integers(0, len(iris.data), ROWS)
        predict(servers[2], iris.data[drawn].tolist(), iris.target_names[iris.target[drawn]].tolist())
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

        def versions() -> dict[str, str] | None:
            labels = [row["metric"] for row in prometheus.query("telltale_column_info")]
            found = {one["column"]: one["model_version"] for one in labels}
            return found if {"bmi", "sepal_length"} <= set(found) else None

        reference = Reference.load(regression / "histogram.prom")
        yield Stack(prometheus, reference, sent, until(versions, "a scrape of both models"))


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
            found = until(lambda of=f"telltale:drift:30m{which}": stack.prometheus.value(of), which)  # type: ignore[misc]
            assert found == pytest.approx(value, abs=1e-6)


def test_exactly_the_shifted_feature_is_beyond_its_threshold(stack: Stack) -> None:
    version = stack.versions["bmi"]
    beyond = f'telltale:drift_ratio:30m{{model_version="{version}",role="feature",statistic="ks"}} > 1'
    found = until(lambda: stack.prometheus.query(beyond) or None, "a feature beyond its threshold")
    assert [row["metric"]["column"] for row in found] == ["bmi"]
    until(
        lambda: stack.prometheus.query('ALERTS{alertname="TelltaleDrift",column="bmi",alertstate="pending"}') or None,
        "the alert to be pending",
    )


def test_a_process_and_promql_say_the_same_of_the_same_rows(stack: Stack) -> None:
    of = f'model_version="{stack.versions["sepal_length"]}",statistic=~"ks|kl|missing"'
    own = f"max by (column, role, statistic) (telltale_drift{{{of}}})"
    both = f"telltale:drift:30m{{{of}}} - on (column, role, statistic) {own}"

    def equal() -> bool | None:
        found = [abs(float(row["value"][1])) for row in stack.prometheus.query(both)]
        return (len(found) == 10 and max(found) < 1e-6) or None  # five columns, their own statistic and missing values

    until(equal, "a scrape of verdicts on all rows of the classifier")


def test_outcomes_that_do_not_fit_make_the_model_worse_and_the_others_do_not(stack: Stack) -> None:
    firing = 'ALERTS{alertname="TelltalePerformanceWorse", alertstate="firing"}'
    found = until(lambda: stack.prometheus.query(firing) or None, "the alert on performance")
    assert {(row["metric"]["metric"], row["metric"]["model_version"]) for row in found} == {
        ("mae", stack.versions["bmi"])
    }
    of = f'model_version="{stack.versions["sepal_length"]}"'
    covered = f"telltale_outcome_coverage_ratio{{{of}}} == 1"
    until(lambda: stack.prometheus.query(covered) or None, "all outcomes of the classifier")
    accuracy = f'telltale_performance{{{of}, metric="accuracy"}}'
    assert until(lambda: stack.prometheus.value(accuracy), "the accuracy of the classifier") > 0.9


def test_scrapes_and_rules_run_without_an_error(stack: Stack) -> None:
    def all_up() -> bool | None:
        targets = stack.prometheus.ask("targets")["activeTargets"]
        return [(target["health"], target["lastError"]) for target in targets] == [("up", "")] * 3 or None

    until(all_up, "a scrape of all three without an error")  # a busy machine may be late for one
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
            found = until(lambda of=variable: offered(stack.prometheus, of, values) or None, variable["name"])  # type: ignore[misc]
            values.setdefault(variable["name"], found[0])
            assert values[variable["name"]] in found
    asked = 0
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            query = filled(target["expr"], values)
            # A scrape that a busy machine is late for is answered with nothing until the next one.
            until(lambda of=query: stack.prometheus.query(of) or None, f"{panel['title']}: {query}")  # type: ignore[misc]
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

    def described() -> bool | None:
        found = {row["metric"]["feature_name"] for row in ask.query("baseline_metrics_info")}
        return found >= {"bmi", "petal_width"} or None

    until(described, "a scrape of both models")
