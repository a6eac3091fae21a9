"""What goes wrong in Boxkite's queries, one by one, and does not in these rules."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.columns.canonical import canonical
from monitor.columns.column import OTHER, Column, Counts, Schema, go_number
from monitor.exposition.distributions import normalised
from monitor.exposition.render import Renderer
from monitor.exposition.snapshot import Snapshot
from monitor.reference.file import Reference
from tests.compose.promtool import LONG_AGO, absent, near, needs_promtool, run, series

pytestmark = needs_promtool

#: Standard normal deciles.
DECILES = (-1.2816, -0.8416, -0.5244, -0.2533, 0.0, 0.2533, 0.5244, 0.8416, 1.2816)
X = Column("x", "prediction", "numeric", edges=DECILES)
C = Column("c", "prediction", "categorical", categories=("a", "b"))


def model(column: Column, reference: Sequence[int], version: str = "v1", replica: str = "r") -> Renderer:
    schema = Schema((column,))
    counts = np.array(reference, dtype=np.int64)
    return Renderer(Reference(schema, counts, np.zeros(1), np.ones(1)), version, replica=replica)


def scraped(
    renderer: Renderer,
    counts: Iterable[Sequence[int] | Counts | None],
    instance: str = "a:1",
    since: float = LONG_AGO,
) -> list[dict[str, str]]:
    """What Prometheus reads each minute, given the counts of that moment; None where nothing answers."""
    moments = [
        None if now is None else Snapshot(np.array(now, dtype=np.int64), np.zeros(1), since=since) for now in counts
    ]
    bodies = [None if moment is None else renderer.render(moment, openmetrics=True) for moment in moments]
    return series(bodies, job="telltale", instance=instance)


def growing(test: Sequence[int], minutes: int = 7) -> list[Counts]:
    """Nothing at first, all of `test` a minute later, and no more until the end."""
    all_of_it = np.array(test, dtype=np.int64)
    return [all_of_it * (minute > 0) for minute in range(minutes + 1)]


def normal(rows: int, mean: float = 0.0) -> list[int]:
    """Expected counts of a normal column over `X`'s bins, without missing and nonfinite."""
    below = [0.0, *(0.5 * (1 + math.erf((edge - mean) / math.sqrt(2))) for edge in DECILES), 1.0]
    return [round(share * rows) for share in np.diff(below)] + [0, 0]


def check(
    folder: Path,
    inputs: list[dict[str, str]],
    expectations: Sequence[Mapping[str, Any]],
    alerts: Mapping[str, int] | None = None,
    at: str = "7m",
) -> None:
    """`alerts`: how many of each name fire."""
    check_moments(folder, inputs, {at: (expectations, alerts or {})})


def check_moments(
    folder: Path,
    inputs: list[dict[str, str]],
    moments: Mapping[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, int]]],
) -> None:
    """Check expectations and alerts at several moments."""
    tests: list[Mapping[str, Any]] = []
    for at, (expectations, alerts) in moments.items():
        tests += [{**expectation, "eval_time": at} for expectation in expectations]
        for name, count in alerts.items():
            firing = f'sum(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
            tests.append({**near(firing, count), "eval_time": at})
    run(folder, [{"interval": "1m", "input_series": inputs, "promql_expr_test": tests}])


def test_a_smooth_shift_is_found_at_two_hundred_rows(tmp_path: Path) -> None:
    inputs = scraped(model(X, normal(5_000)), growing(normal(200, mean=0.5)))
    below_half = {"expr": 'telltale:drift:30m{statistic="ks"} > 0.5', "exp_samples": []}
    check(tmp_path, inputs, [below_half], {"TelltaleDrift": 1, "TutorialPredictionKS": 0})


def test_a_large_sample_with_a_tiny_shift_is_below_the_floor(tmp_path: Path) -> None:
    inputs = scraped(model(X, normal(500_000)), growing(normal(500_000, mean=0.05)))
    significant = {
        "expr": 'count(telltale:drift:30m{statistic="ks"} > telltale:drift_critical:30m)',
        "exp_samples": [{"labels": "{}", "value": 1}],
    }
    check(tmp_path, inputs, [significant], {"TelltaleDrift": 0})


def test_unseen_categories_count(tmp_path: Path) -> None:
    inputs = scraped(model(C, (2_500, 2_500, 0, 0)), growing((50, 50, 100, 0)))
    share = f'telltale:bin:count30m{{bin="{OTHER}"}} / on () telltale:rows:count30m'
    check(tmp_path, inputs, [near(share, 0.5)], {"TelltaleDrift": 1, "TutorialPredictionKL": 1})


def test_both_sides_are_smoothed_over_the_same_bins(tmp_path: Path) -> None:
    inputs = scraped(model(C, (4_000, 1_000, 0, 0)), growing((160, 40, 0, 0)))
    sums = [near("sum(telltale:bin:share30m)", 1), near("sum(telltale:bin:share_reference)", 1)]
    check(tmp_path, inputs, [*sums, near("count(telltale:bin:share30m / telltale:bin:share_reference)", 4)])


@pytest.mark.parametrize("test", [(0, 0, 0, 0), (5, 0, 0, 0), (0, 49, 0, 0)])
def test_little_or_no_traffic_gives_no_number_and_no_alert(tmp_path: Path, test: tuple[int, ...]) -> None:
    inputs = scraped(model(C, (990, 10, 0, 0)), growing(test))
    nothing = [absent("telltale:drift:30m"), absent("telltale:drift_ratio:30m")]
    check(tmp_path, inputs, nothing, {"TelltaleDrift": 0, "TutorialPredictionKL": 0})


def test_integer_labels_are_one_category_on_both_sides(tmp_path: Path) -> None:
    known = tuple(canonical(value) for value in (0, np.int64(1), 2.0))
    classes = Column("class", "prediction", "categorical", categories=known)
    inputs = scraped(model(classes, (500, 300, 200, 0, 0)), growing((100, 60, 40, 0, 0)))
    check(tmp_path, inputs, [near('telltale:drift:30m{statistic="psi"}', 0, 0.01)], {"TelltaleDrift": 0})


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("prometheus", [2, 3])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e20])
def test_edges_beyond_a_million_match(tmp_path: Path, sign: int, prometheus: int, scale: float) -> None:
    edges = tuple(sorted(sign * scale * edge for edge in (500_000.0, 1_000_000.0, 3_226_414.69)))
    far = Column("far", "prediction", "numeric", edges=edges)
    reference, test = [900, 100, 0, 0, 0, 0], [0, 0, 10, 90, 0, 0]
    if sign < 0:
        reference, test = [*reference[3::-1], 0, 0], [*test[3::-1], 0, 0]
    inputs = scraped(model(far, reference), growing(test))
    if prometheus == 3:  # It writes numbers in `le` of histograms its own way when it scrapes them.
        for row in inputs:
            row["series"] = re.sub(r'\ble="([^"]+)"', lambda found: f'le="{normalised(found[1])}"', row["series"])
        assert sign > 0 or any(f'le="{normalised(go_number(-1e6 * scale))}"' in row["series"] for row in inputs)
    bins = near("count(telltale:bin:count30m)", 6)
    check(tmp_path, inputs, [near('telltale:drift:30m{statistic="ks"}', 1.0), bins], {"TelltaleDrift": 1})


def test_missing_and_infinite_values_do_not_move_the_distribution(tmp_path: Path) -> None:
    test = [count * 6 // 10 for count in normal(1_000)]
    test[-2:] = [300, 100]
    inputs = scraped(model(X, normal(5_000)), growing(test))
    expectations = [
        near('telltale:drift:30m{statistic="ks"}', 0, 0.01),
        near('telltale:drift:30m{statistic="missing"}', 0.4, 0.001),
    ]
    check(tmp_path, inputs, expectations, {"TelltaleDrift": 1})


def test_an_alert_keeps_its_timer_while_the_widest_gap_wanders(tmp_path: Path) -> None:
    up, down = np.array(normal(300, mean=1.2)), np.array(normal(300, mean=0.6))
    moments = [np.zeros(12, dtype=np.int64)]
    for minute in range(8):
        moments.append(moments[-1] + (down if minute % 2 else up))
    check(
        tmp_path,
        scraped(model(X, normal(5_000)), moments),
        [near("count(telltale:drift:30m)", 4)],
        {"TelltaleDrift": 1},
    )


def test_counts_are_whole_and_bins_that_begin_late_are_not_scaled_apart(tmp_path: Path) -> None:
    moments: list[Sequence[int]] = [(0, 0, 0, 0), (40, 0, 0, 0), (40, 1, 0, 0), (90, 1, 3, 0), (90, 1, 3, 0)]
    counts = {"a": 90, "b": 1, OTHER: 3}
    expectations = [near(f'telltale:bin:count30m{{bin="{name}"}}', count) for name, count in counts.items()]
    check(tmp_path, scraped(model(C, (900, 30, 10, 0)), moments), expectations, at="4m")


def test_two_versions_at_once_are_kept_apart(tmp_path: Path) -> None:
    draining, live = (
        model(X, normal(5_000), "v1"),
        model(Column("x", "prediction", "numeric", edges=(-5.0, 0.0, 5.0)), (0, 2_500, 2_500, 0, 0, 0), "v2"),
    )
    inputs = scraped(draining, growing(normal(300))) + scraped(live, growing((0, 150, 150, 0, 0, 0)), "b:1")
    quiet = near('count(telltale:drift:30m{statistic="ks"} < 0.02)', 2)
    check(tmp_path, inputs, [quiet], {"TelltaleDrift": 0})


def test_the_reference_is_counted_once(tmp_path: Path) -> None:
    renderers = {f"{name}:1": model(C, (900, 100, 0, 0), replica=name) for name in "abc"}
    inputs = [
        row for address, renderer in renderers.items() for row in scraped(renderer, growing((90, 10, 0, 0)), address)
    ]
    expectations = [near("telltale:rows:reference", 1_000), near("telltale:rows:count30m", 300)]
    check(tmp_path, inputs, expectations, {"TelltaleDrift": 0})


def test_counters_that_start_again_are_carried_over(tmp_path: Path) -> None:
    moments = [(0, 0, 0, 0), (400, 100, 0, 0), (800, 200, 0, 0), None, (0, 0, 0, 0), (400, 100, 0, 0), (800, 200, 0, 0)]
    inputs = scraped(model(C, (8_000, 2_000, 0, 0)), moments)
    check(tmp_path, inputs, [near("telltale:rows:count30m", 2_000, 100)], {"TelltaleDrift": 0}, at="6m")


def test_replicas_that_swap_their_addresses_count_nothing_twice(tmp_path: Path) -> None:
    known = (8_000, 2_000, 0, 0)
    large = [(80_000, 20_000, 0, 0)] * 3 + [(80_040, 20_010, 0, 0)] * 3
    small = [(400, 100, 0, 0)] * 3 + [(440, 110, 0, 0)] * 3
    one, other = model(C, known, replica="one"), model(C, known, replica="other")
    inputs = []
    for address, first, second in (("a:1", (one, large), (other, small)), ("b:1", (other, small), (one, large))):
        for (renderer, counts), there in ((first, slice(0, 4)), (second, slice(3, 6))):
            moments = [now if minute in range(6)[there] else None for minute, now in enumerate(counts)]
            inputs += scraped(renderer, moments, address)
    check(tmp_path, inputs, [near("telltale:rows:count30m", 100)], {"TelltaleDrift": 0}, at="5m")


def test_a_replica_that_moves_loses_nothing_on_the_way(tmp_path: Path) -> None:
    renderer = model(C, (8_000, 2_000, 0, 0))
    moments = [(0, 0, 0, 0), (40, 10, 0, 0), (80, 20, 0, 0), None, (400, 100, 0, 0), (800, 200, 0, 0)]
    inputs = scraped(renderer, [*moments[:3], None, None, None], "a:1")
    inputs += scraped(renderer, [None, None, None, *moments[3:]], "b:1")
    check(tmp_path, inputs, [near("telltale:rows:count30m", 1_000)], {"TelltaleReplicaTwice": 0}, at="5m")


def test_what_a_new_replica_counted_before_it_was_first_scraped_is_in(tmp_path: Path) -> None:
    inputs = scraped(model(C, (8_000, 2_000, 0, 0)), [(80, 20, 0, 0)] * 40, since=-30.0)
    counts = {"1m": 100, "28m": 100, "32m": 0}
    quiet = {"TelltaleDrift": 0}
    check_moments(
        tmp_path, inputs, {at: ([near("telltale:rows:count30m", rows)], quiet) for at, rows in counts.items()}
    )


def test_two_processes_on_copies_of_a_folder_are_told_of(tmp_path: Path) -> None:
    renderer = model(C, (900, 100, 0, 0))
    inputs = [row for name in ("a:1", "b:1") for row in scraped(renderer, growing((90, 10, 0, 0)), name)]
    check(tmp_path, inputs, [], {"TelltaleReplicaTwice": 1, "TelltaleDown": 0})


def test_an_alert_waits_five_minutes_and_resolves(tmp_path: Path) -> None:
    inputs = scraped(model(C, (900, 100, 0, 0)), [*growing((0, 200, 0, 0), 40)])
    fires = {"5m": 0, "6m": 1, "29m": 1, "40m": 0}
    check_moments(tmp_path, inputs, {at: ([], {"TelltaleDrift": firing}) for at, firing in fires.items()})


def test_the_text_of_an_alert(tmp_path: Path) -> None:
    inputs = scraped(
        model(Column('a "b" &c', "feature", "categorical", categories=("u", "v")), (900, 100, 0, 0)),
        growing((0, 200, 0, 0)),
    )
    labels = {"job": "telltale", "model_version": "v1", "column": 'a "b" &c', "role": "feature"}
    expected = {
        "exp_labels": {**labels, "statistic": "kl", "severity": "warning"},
        "exp_annotations": {
            "summary": 'feature a "b" &c has drifted (kl, 33.5 times its threshold)',
            "description": 'Over the last 30 minutes kl of feature a "b" &c was 2.268, which is beyond 0.068 '
            "on 200 rows of model version v1, compared with its training data.",
            "dashboard": "/d/telltale-model-metrics?var-column=a%20%22b%22%20%26c&var-version=v1",
        },
    }
    run(
        tmp_path,
        [
            {
                "interval": "1m",
                "input_series": inputs,
                "alert_rule_test": [{"eval_time": "7m", "alertname": "TelltaleDrift", "exp_alerts": [expected]}],
            }
        ],
    )
