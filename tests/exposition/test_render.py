"""What a scraper reads."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitor.columns.column import Column, Schema, go_number
from monitor.drift.result import DriftResult, Span
from monitor.drift.statistics import AUTO
from monitor.exposition.families import FAMILIES
from monitor.exposition.render import Renderer
from monitor.exposition.snapshot import Snapshot
from monitor.reference.file import Reference
from monitor.rules.alert import Alert
from tests.exposition.conftest import HOSTILE


class Families:
    """Offers parsed families to the client, which then renders them its own way."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def parse(body: bytes, openmetrics: bool) -> list[Metric]:
    return list((parse_openmetrics if openmetrics else parse_text)(body.decode()))


def value(body: bytes, name: str, openmetrics: bool = False, **labels: str) -> float | None:
    """The one sample with this name and at least these labels."""
    found = [
        sample.value
        for family in parse(body, openmetrics)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) <= 1, f"{name} {labels} is there {len(found)} times"
    return found[0] if found else None


@pytest.fixture
def renderer(schema: Schema, reference: Reference) -> Renderer:
    return Renderer(reference, "v1", boxkite=True)


def respelled(line: str) -> str:
    """A line with its value as the client writes it: `2.0` and `1.5e+06` for the `2` and `1500000` of counts."""
    name, _, number = line.rpartition(" ")
    return line if line.startswith("#") else f"{name} {go_number(float(number))}"


@pytest.mark.parametrize("openmetrics", [False, True])
def test_equals_the_clients_own_rendering(renderer: Renderer, snapshot: Snapshot, openmetrics: bool) -> None:
    body = renderer.render(snapshot, openmetrics)
    families = parse(body, openmetrics)
    theirs = (generate_openmetrics if openmetrics else generate_latest)(Families(families))
    assert theirs.decode().splitlines() == [respelled(line) for line in body.decode().splitlines()]


@pytest.mark.parametrize("rows", [0, 999_999, 1_000_000, 123_456_789_012, 2**53 - 1, 2**62])
def test_counts_of_any_size_are_read_back(renderer: Renderer, schema: Schema, rows: int) -> None:
    totals = schema.zeros()
    totals[schema.offsets[1]] = rows
    for openmetrics in (False, True):
        body = renderer.render(Snapshot(totals, np.zeros(5)), openmetrics)
        assert value(body, "telltale_value_bucket", openmetrics, column="income", le="0.0") == rows
        assert value(body, "feature_1_value_bucket", openmetrics, le="+Inf") == rows


@pytest.mark.parametrize("boxkite", [False, True])
def test_promtool_finds_nothing_to_say(schema: Schema, reference: Reference, snapshot: Snapshot, boxkite: bool) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    body = Renderer(reference, "v1", boxkite=boxkite).render(snapshot, openmetrics=False)
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_family_is_in_the_table_with_its_labels(
    schema: Schema, reference: Reference, snapshot: Snapshot, openmetrics: bool
) -> None:
    seen = set()
    for metric in parse(Renderer(reference, "v1").render(snapshot, openmetrics), openmetrics):
        suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
        name = metric.name if metric.name.endswith(suffix) else metric.name + suffix
        family = FAMILIES[name]
        seen.add(name)
        for sample in metric.samples:
            extra = set(sample.labels) - set(family.labels) - {"model_version"}
            assert sample.labels["model_version"] == "v1"
            assert not {label for label in extra if not label.startswith("version_")}, sample
    assert seen == set(FAMILIES)


def test_counts_of_every_bin(renderer: Renderer, snapshot: Snapshot, schema: Schema) -> None:
    body = renderer.render(snapshot, openmetrics=False)
    counts = schema.split(snapshot.totals)[0].tolist()
    labels = {"column": "bmi", "role": "feature"}
    assert value(body, "telltale_value_bucket", le="0.0", **labels) == counts[0] + counts[1]
    assert value(body, "telltale_value_bucket", le="+Inf", **labels) == sum(counts[:4])
    assert value(body, "telltale_value_count", **labels) == sum(counts[:4])
    assert value(body, "telltale_value_sum", **labels) == 2.5
    assert value(body, "telltale_missing_total", **labels) == counts[4]
    assert value(body, "telltale_nonfinite_total", **labels) == counts[5]
    predicted = schema.split(snapshot.totals)[4].tolist()
    bins = {
        c: value(body, "telltale_category_total", role="prediction", category=c) for c in ("no", "yes", "__other__")
    }
    assert list(bins.values()) == predicted[:3]


def test_edges_are_spelled_as_the_client_does(renderer: Renderer, snapshot: Snapshot) -> None:
    body = renderer.render(snapshot, openmetrics=False).decode()
    for name in ("telltale_value_bucket", "telltale_value_reference_bucket"):
        assert f'{name}{{column="income",le="3.22641469e+06",' in body
    # Prometheus 3 normalises `le` and nothing else: both spellings are there to be matched.
    assert 'upper="-3226414.69"' in body
    assert 'upper="-3.22641469e+06"' in body


def test_openmetrics_has_no_sum_where_a_bound_is_negative(renderer: Renderer, snapshot: Snapshot) -> None:
    body = renderer.render(snapshot, openmetrics=True)
    assert value(body, "telltale_value_sum", True, column="bmi", role="feature") is None
    assert value(body, "telltale_value_sum", True, column="income") == 1e12
    assert body.endswith(b"# EOF\n")


def test_openmetrics_has_no_sum_that_has_been_negative(renderer: Renderer, snapshot: Snapshot) -> None:
    def total(of: float, openmetrics: bool = True) -> float | None:
        sums = np.array([2.5, of, -3e7, np.nan, np.nan])
        return value(
            renderer.render(replace(snapshot, sums=sums), openmetrics),
            "telltale_value_sum",
            openmetrics,
            column="income",
        )

    assert [total(5.0), total(-5.0), total(6.0), total(-5.0, openmetrics=False)] == [5.0, None, None, -5.0]


def test_hostile_names_come_back_unharmed(renderer: Renderer, snapshot: Snapshot) -> None:
    body = renderer.render(snapshot, openmetrics=False)
    for text in HOSTILE:
        assert value(body, "telltale_category_reference", column=HOSTILE[0], category=text) is not None
    assert value(body, "telltale_drift", column="bmi", rule=HOSTILE[0]) == 0.4


def test_no_verdict_is_a_state_and_no_number(renderer: Renderer, snapshot: Snapshot) -> None:
    body = renderer.render(snapshot, openmetrics=False)
    assert value(body, "telltale_drift", column="debt", rule="default") is None
    states = {s: value(body, "telltale_drift_state", column="debt", state=s) for s in ("no traffic", "ok", "drift")}
    assert states == {"no traffic": 1, "ok": 0, "drift": 0}


def test_performance_has_its_interval_its_verdict_and_its_coverage(renderer: Renderer, snapshot: Snapshot) -> None:
    body = renderer.render(snapshot, openmetrics=False)
    numbers = ("", "_reference", "_critical", "_floor", "_samples")
    found = [value(body, f"telltale_performance{name}", metric="accuracy") for name in numbers]
    assert found == [0.7, 0.9, 0.11, 0.03, 100]
    low, high = (value(body, f"telltale_performance_{end}", metric="recall") for end in ("lower", "upper"))
    assert low is not None
    assert high is not None
    assert low < 0.7 < high
    assert value(body, "telltale_performance_state", metric="accuracy", state="worse") == 1
    assert value(body, "telltale_performance_state", metric="recall", state="worse") is None
    assert value(body, "telltale_outcome_coverage_ratio", rule="performance") == 0.25
    assert value(body, "telltale_drift_state", column="performance", state="drift") is None
    assert value(body, "telltale_alert_state", column="performance", role="outcome", state="inactive") == 1


def test_a_result_given_twice_appears_once(renderer: Renderer, snapshot: Snapshot) -> None:
    twice = Snapshot(snapshot.totals, snapshot.sums, results=snapshot.results * 2)
    assert value(renderer.render(twice, openmetrics=False), "telltale_drift", rule="default", column="bmi") == 0.4
    assert (
        value(renderer.render(twice, openmetrics=False), "telltale_drift_scatter", rule="default", column="bmi") == 0.05
    )


def test_every_sample_names_its_replica(schema: Schema, reference: Reference, snapshot: Snapshot) -> None:
    body = Renderer(reference, "v1", boxkite=True, replica="6c1f").render(snapshot, openmetrics=True)
    samples = [sample for family in parse(body, True) for sample in family.samples]
    assert {(sample.labels["replica"], sample.labels["model_version"]) for sample in samples} == {("6c1f", "v1")}


def test_new_verdicts_replace_the_kept_ones(renderer: Renderer, snapshot: Snapshot) -> None:
    assert b"telltale_alert_state{" in renderer.render(snapshot, openmetrics=False)
    empty = Snapshot(snapshot.totals, snapshot.sums)
    assert b"telltale_alert_state{" not in renderer.render(empty, openmetrics=False)


def test_the_cap_holds_and_says_so(schema: Schema, reference: Reference, snapshot: Snapshot) -> None:
    for boxkite in (False, True):
        for cap in (200, 300, 400, 500, 1000):
            body = Renderer(reference, "v1", boxkite=boxkite, max_series=cap).render(snapshot, openmetrics=False)
            series = sum(not line.startswith("#") for line in body.decode().splitlines())
            assert series <= cap
            full = cap == 1000
            dropped = value(body, "telltale_series_dropped")
            assert dropped is not None
            assert (dropped == 0) == full
    # What the model answers is the last to go.
    body = Renderer(reference, "v1", max_series=300).render(snapshot, openmetrics=False)
    assert value(body, "telltale_missing_total", column="bmi", role="prediction") is not None
    assert value(body, "telltale_missing_total", column="bmi", role="feature") is None


def test_a_column_within_the_cap_has_its_verdicts_under_both_default_rules(
    schema: Schema, reference: Reference, snapshot: Snapshot
) -> None:
    results, alerts = [], []
    for column in schema.columns:
        asked = {"drift": AUTO[column.kind], "unusual": ("usual 1h", "usual 6h")}
        for rule, statistics in asked.items():
            alerts.append(Alert(rule, column.name, column.role))
            results += [
                DriftResult(rule, column.name, column.role, column.kind, name, "ok", Span(0, 1), "training", "v1", 9, 9)
                for name in statistics
            ]
    full = Snapshot(snapshot.totals, snapshot.sums, results=tuple(results), alerts={a.key: a for a in alerts})
    shown = set()
    for cap in range(200, 1000, 20):
        body = Renderer(reference, "v1", max_series=cap).render(full, openmetrics=False)
        samples = [sample for family in parse(body, False) for sample in family.samples]
        names = [(s.name, s.labels.get("column"), s.labels.get("role")) for s in samples]
        columns = 0
        for column in schema.columns:
            kept = ("telltale_missing_total", column.name, column.role) in names
            columns += kept
            verdicts = names.count(("telltale_drift_samples", column.name, column.role))
            assert verdicts == kept * (len(AUTO[column.kind]) + 2)
            assert names.count(("telltale_alert_state", column.name, column.role)) == kept * 2 * 4
        shown.add(columns)
    assert shown == set(range(len(schema.columns) + 1))


def test_boxkite_names(renderer: Renderer, snapshot: Snapshot, schema: Schema, reference: Reference) -> None:
    body = renderer.render(snapshot, openmetrics=False)
    rows = int(schema.split(snapshot.totals)[0].sum())
    assert value(body, "feature_0_value_bucket", le="+Inf") == rows  # with the missing ones, as Boxkite counts
    assert value(body, "feature_0_value_baseline_bucket", le="0.1") == sum(schema.split(reference.counts)[0][:3])
    assert value(body, "feature_3_value_total", bin="2.0") == schema.split(snapshot.totals)[3][0]
    assert value(body, "inference_value_total", bin="yes") == schema.split(snapshot.totals)[4][1]
    assert value(body, "inference_value_baseline_total", bin="yes") == schema.split(reference.counts)[4][1]
    assert value(body, "baseline_metrics_info", feature_name="income", metric_type="histogram") == 1


@pytest.mark.parametrize("openmetrics", [False, True])
def test_boxkite_has_a_sum_of_negative_values_too(
    renderer: Renderer, snapshot: Snapshot, schema: Schema, reference: Reference, openmetrics: bool
) -> None:
    body = renderer.render(snapshot, openmetrics)
    assert value(body, "feature_2_value_sum", openmetrics) == -3e7
    assert value(body, "feature_2_value_count", openmetrics) == schema.split(snapshot.totals)[2].sum()
    assert value(body, "feature_2_value_bucket", openmetrics, le="-5.0") == schema.split(snapshot.totals)[2][:2].sum()
    assert value(body, "feature_2_value_baseline_sum", openmetrics) == reference.sums[2]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_boxkite_counts_a_column_of_two_values_value_by_value(openmetrics: bool) -> None:
    columns = (
        Column("sex", "feature", "numeric", edges=(-0.1, 0.0, 0.1)),
        Column("skewed", "feature", "numeric", edges=(0.0, 1.0, 2.0)),
    )
    schema = Schema(columns)
    reference = Reference(schema, np.array([0, 5, 6, 0, 0, 0, 4, 3, 2, 2, 0, 0]), np.zeros(2), np.ones(2))
    renderer = Renderer(reference, "v1", boxkite=True)
    body = renderer.render(Snapshot(np.array([0, 7, 8, 0, 0, 0, 1, 1, 1, 1, 0, 0]), np.zeros(2)), openmetrics)
    names = {sample.name for family in parse(body, openmetrics) for sample in family.samples}
    assert {"feature_0_value_total", "feature_0_value_baseline_total", "feature_1_value_bucket"} <= names
    assert not {"feature_0_value_bucket", "feature_1_value_total"} & names
    assert value(body, "feature_0_value_total", openmetrics, bin="(-0.1, 0]") == 7
    assert value(body, "feature_0_value_total", openmetrics, bin="(0, 0.1]") == 8
    assert value(body, "feature_0_value_baseline_total", openmetrics, bin="(0, 0.1]") == 6
    assert value(body, "baseline_metrics_info", openmetrics, feature_name="sex", metric_type="counter") == 1


def test_boxkite_gets_further_bins_on_both_sides_when_something_falls_into_them() -> None:
    schema = Schema((Column("c", "prediction", "categorical", categories=("a", "b")),))
    renderer = Renderer(Reference(schema, np.array([9, 1, 0, 0]), np.zeros(1), np.ones(1)), "v1", boxkite=True)

    def bins(*counts: int) -> list[tuple[str, str]]:
        families = parse(renderer.render(Snapshot(np.array(counts), np.zeros(1)), openmetrics=True), openmetrics=True)
        found = [sample for family in families for sample in family.samples if sample.name.startswith("inference_")]
        return [(sample.name, sample.labels["bin"]) for sample in found if sample.labels["bin"] not in ("a", "b")]

    other = [("inference_value_total", "__other__"), ("inference_value_baseline_total", "__other__")]
    assert [bins(5, 0, 0, 0), bins(5, 0, 1, 0), bins(6, 0, 1, 0)] == [[], other, other]


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_model_parses_in_both_formats(data: st.DataObject) -> None:
    text = st.text(max_size=8)
    edges = st.lists(st.floats(allow_nan=False, allow_infinity=False), unique=True, max_size=5).map(sorted).map(tuple)
    names = data.draw(st.lists(text, unique=True, min_size=1, max_size=4))
    columns = []
    for name in names:
        if data.draw(st.booleans()):
            columns.append(Column(name, "feature", "numeric", edges=data.draw(edges)))
        else:
            known = data.draw(st.lists(text, unique=True, max_size=4))
            columns.append(Column(name, "feature", "categorical", categories=tuple(known)))
    schema = Schema(tuple(columns))
    count = st.integers(0, data.draw(st.sampled_from((100, 10**16))))
    totals = np.array(data.draw(st.lists(count, min_size=schema.size, max_size=schema.size)), dtype=np.int64)
    zeros = np.zeros(len(columns))
    reference = Reference(schema, schema.zeros(), zeros, zeros)
    renderer = Renderer(reference, data.draw(text), boxkite=data.draw(st.booleans()))
    snapshot = Snapshot(totals, zeros)
    for openmetrics in (False, True):
        parse(renderer.render(snapshot, openmetrics), openmetrics)
