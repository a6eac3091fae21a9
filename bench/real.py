"""What a person would be told over a year of recorded data, by our rule and by others.

    python -m bench.real DIR                          ours
    python -m bench.real DIR --peers PYTHON           ours, NannyML, Evidently and PSI
    python -m bench.real DIR --traffic                no predictions: false messages, and hours until an outage is told

DIR has a folder for each data set with `train.csv.gz` and `live.csv.gz`, or generators `NAME.py SEED` that print a CSV.
"""

from __future__ import annotations

import argparse
import copy
import csv
import gzip
import io
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.backtest.replay import parse_time
from monitor.columns.binning import NumericBins
from monitor.columns.column import Column, Counts, Floats, Schema
from monitor.drift.layout import Layout
from monitor.drift.statistics import AUTO, STATISTICS
from monitor.judging.usual import ARMED
from monitor.normal.cells import cells_of
from monitor.normal.expected import LEARNT, WEEK_HOURS
from monitor.normal.frozen import repeated
from monitor.normal.traffic import LOOK_BACK, silence
from monitor.normal.usual import Learner, horizon
from monitor.reference.build import build_reference
from tests.support.grids import make_grid

HOUR, DAY, MONTH = 3600, 24, 30.44 * 24
AGAIN = 7 * DAY  # a column that was told within this long is told again silently


@dataclass
class Known:
    """A change that is known: its columns, when it begins (ISO), and how many hours messages about it are left out."""

    columns: tuple[str, ...]
    at: str
    hours: float = 28 * DAY

    @property
    def hour(self) -> int:
        """The hour since 1970 in which it begins."""
        return (parse_time(self.at) or 0) // (HOUR * 10**9)

    def covers(self, hour: int, column: str) -> bool:
        """Whether a message about a column at that hour is about this change."""
        return column in self.columns and 0 <= hour - self.hour < self.hours


@dataclass
class Recorded:
    """One data set. `columns`: values by name, all rows in time order. `hour`: hours since 1970 of each row."""

    name: str
    time_column: str
    watched: tuple[str, ...]
    lengths: tuple[int, int]
    known: tuple[Known, ...] = ()
    columns: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    hour: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    train_rows: int = 0
    binned: dict[str, Column] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The first hour since 1970."""
        return int(self.hour[0])

    @property
    def hours(self) -> int:
        """Number of hours from the first to the last row."""
        return int(self.hour[-1]) - self.first + 1

    @property
    def live(self) -> int:
        """First hour of the later part, counted from the first hour."""
        return int(self.hour[self.train_rows]) - self.first


SETS = {
    "elec": Recorded(
        "elec",
        "time",
        ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"),
        (24, 168),
        (Known(("vicprice", "vicdemand", "transfer"), "1997-05-05T00:00:00Z"),),
    ),
    "bike": Recorded(
        "bike",
        "time",
        ("season", "hr", "holiday", "weekday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed"),
        (72, 168),
    ),
    "synthetic_car_loan": Recorded(
        "synthetic_car_loan",
        "timestamp",
        (
            "car_value",
            "salary_range",
            "debt_to_income_ratio",
            "loan_length",
            "repaid_loan_on_prev_car",
            "size_of_downpayment",
            "driver_tenure",
            "y_pred",
            "y_pred_proba",
        ),
        (24, 168),
        (
            Known(
                (
                    "car_value",
                    "salary_range",
                    "debt_to_income_ratio",
                    "loan_length",
                    "repaid_loan_on_prev_car",
                    "size_of_downpayment",
                    "driver_tenure",
                    "y_pred",
                    "y_pred_proba",
                ),
                "2019-03-31T03:00:00Z",
                1e9,
            ),
        ),
    ),
    "traffic": Recorded("traffic", "time", ("amount", "income", "age", "score", "country", "plan"), (6, 24)),
}


def load(folder: Path, one: Recorded) -> Recorded:
    if one.name == "traffic":
        text = subprocess.run([sys.executable, folder / "traffic.py", "7"], capture_output=True, check=True).stdout
        rows = list(csv.DictReader(io.StringIO(text.decode())))
        train = None
    else:
        rows, train = [], None
        for part in ("train", "live"):
            with gzip.open(folder / one.name / f"{part}.csv.gz", "rt", encoding="utf-8") as file:
                rows += list(csv.DictReader(file))
            train = train or len(rows)
    seconds = np.array([(parse_time(row[one.time_column]) or 0) // 10**9 for row in rows])
    if train is None:
        train = int(np.searchsorted(seconds, seconds[0] + 10 * 7 * 86400))
    in_train = np.arange(len(rows)) < train
    order = np.lexsort((seconds, ~in_train))
    one.hour = seconds[order] // HOUR
    for name in one.watched:
        one.columns[name] = as_values([rows[i][name] for i in order])
    one.train_rows = train
    first = {name: values[:train] for name, values in one.columns.items()}
    features = {name: values.tolist() for name, values in first.items()}
    reference = build_reference(features, [0.0, 1.0])
    one.binned = {column.name: column for column in reference.schema.features}
    if int(one.hour[train]) < int(one.hour[train - 1]):  # parts drawn from the same stretch, not one after the other
        again = np.argsort(one.hour, kind="stable")
        one.hour = one.hour[again]
        one.columns = {name: values[again] for name, values in one.columns.items()}
    return one


def as_values(texts: list[str]) -> npt.NDArray[Any]:
    try:
        return np.array([float(text) if text else np.nan for text in texts])
    except ValueError:
        return np.array([text or None for text in texts], dtype=object)


def bins_of(column: Column, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Bin of each value."""
    if column.numeric:
        return NumericBins(column).find(np.asarray(values, dtype=np.float64), False).astype(np.int64)
    position: dict[Any, int] = {text: i for i, text in enumerate(column.categories)}
    position[None] = column.missing_bin

    def spelled(value: Any) -> Any:
        if isinstance(value, float):
            return None if np.isnan(value) else f"{value:g}"
        return value

    return np.array([position.get(spelled(value), column.missing_bin - 1) for value in values], dtype=np.int64)


def count(column: Column, values: npt.NDArray[Any], hour: npt.NDArray[np.int64], hours: int) -> Counts:
    keys = bins_of(column, values) + hour * column.size
    return np.bincount(keys, minlength=hours * column.size).reshape(hours, column.size)


Series = dict[int, tuple[npt.NDArray[np.int64], Floats]]  # by window length: ends of windows, value over threshold


def starts(series: Series, again: Callable[[int], float], scale: float = 1.0, together: bool = False) -> list[int]:
    """Moments at which a column is told: beyond its threshold, after it was not for `again(length)` hours.

    `together`: windows of all lengths are one alert.
    """
    groups: list[list[tuple[int, int]]] = []
    for length, (ends, ratio) in series.items():
        groups.append([(int(at), length) for at in ends[ratio > scale]])
    if together:
        groups = [sorted(one for group in groups for one in group)]
    out = []
    for group in groups:
        before = -1e9
        for at, length in group:
            if at - before > again(length):
                out.append(at)
            before = at
    return sorted(out)


@dataclass
class Rule:
    """One way to tell: ratios of the untouched data by column, and of each injection (for a day, for good)."""

    name: str
    clean: dict[str, Series]
    injected: list[tuple[Series, Series]]
    together: bool = False

    def starts(self, series: Series, scale: float) -> list[int]:
        """Moments at which a column is told, with thresholds that many times higher."""
        return starts(series, (lambda _: AGAIN) if self.together else float, scale, self.together)


@dataclass(frozen=True)
class Injection:
    """A change of one column from the hour `at` on: its values for four weeks, if it lasts a day and if it stays."""

    kind: str
    column: str
    at: int
    day: npt.NDArray[Any]
    good: npt.NDArray[Any]


def injections(data: Recorded, each: int, seed: int) -> list[Injection]:
    """Changes of one column from a random hour on, for a day and for four weeks; `each` of every kind."""
    rng = np.random.default_rng(seed)
    last = data.hours - 28 * DAY
    for known in data.known:
        if known.hours > 1e6:
            last = min(last, known.hour - data.first - 28 * DAY)
    out = []
    for kind in KINDS:
        for _ in range(each):
            while True:
                name = str(rng.choice(data.watched))
                if (kind in CATEGORICAL_KINDS or data.binned[name].numeric) and (
                    kind != "10 % into a new category" or not data.binned[name].numeric
                ):
                    break
                if kind == "10 % into a new category" and all(data.binned[one].numeric for one in data.watched):
                    break
            at = int(rng.integers(data.live, last))
            begin, end = np.searchsorted(data.hour - data.first, (at, at + 28 * DAY + max(data.lengths)))
            stop = int(np.searchsorted(data.hour - data.first, at + DAY))
            good = changed(data, kind, name, begin, end, rng)
            day = data.columns[name][begin:end].copy()
            day[: stop - begin] = good[: stop - begin]
            out.append(Injection(kind, name, at, day, good))
    return out


KINDS = (
    "+0.5 sd",
    "+1 sd",
    "x 1.3",
    "10 % into a new category",
    "missing +5 points",
    "x 1000 in 2 %",
    "frozen",
    "swapped",
)
CATEGORICAL_KINDS = ("10 % into a new category", "missing +5 points", "frozen", "swapped")


def changed(data: Recorded, kind: str, name: str, begin: int, end: int, rng: np.random.Generator) -> npt.NDArray[Any]:
    values = data.columns[name]
    new, rows = values[begin:end].copy(), end - begin
    numeric = values.dtype != object
    if kind in ("+0.5 sd", "+1 sd"):
        recent = values[max(begin - 20_000, 0) : begin]
        new += float(kind.split()[0]) * np.nanstd(recent)
    elif kind == "x 1.3":
        new *= 1.3
    elif kind == "10 % into a new category":
        chosen = rng.random(rows) < 0.1
        new[chosen] = 10 * np.nanmax(np.abs(values)) + 1 if numeric else "a new one"
    elif kind == "missing +5 points":
        new[rng.random(rows) < 0.05] = np.nan if numeric else None
    elif kind == "x 1000 in 2 %":
        chosen = rng.random(rows) < 0.02
        new[chosen] = new[chosen] * 1000
    elif kind == "frozen":
        new[:] = values[begin - 1]
    else:
        others = [one for one in data.watched if one != name and data.columns[one].dtype == values.dtype]
        if others:
            new = data.columns[str(rng.choice(others))][begin:end].copy()
    return new


def sums_of(values: npt.NDArray[Any], hour: npt.NDArray[np.int64], hours: int) -> Floats:
    """Sum of a column's values in each hour; zero for a categorical one."""
    numbers = np.nan_to_num(values) if values.dtype != object else np.zeros(len(values))
    out: Floats = np.bincount(hour, numbers, minlength=hours).astype(np.float64)
    return out


def repeating(column: Column, counts: Counts, sums: Floats, deviation: float, ends: npt.NDArray[np.int64]) -> Floats:
    """Hours for which a column has repeated one value, over what is usual; 0 for windows in which that is usual."""
    values, out = counts[:, : column.value_bins], np.zeros(len(ends))
    rows = values.sum(axis=1)
    varied = (values.max(axis=1) < rows).tolist()
    last = np.maximum.accumulate(np.where(rows > 0, np.arange(len(rows)), 0))
    for place in np.flatnonzero(ends >= ARMED * DAY).tolist():
        if varied[last[ends[place] - 1]]:
            continue
        past = slice(max(ends[place] - LEARNT, 0), ends[place])
        found = repeated(values[past], sums[past], deviation)
        out[place] = found.hours / found.most if found.frozen else 0.0
    return out


def branch(learner: Learner) -> Learner:
    """A learner that goes on from here by itself."""
    other = copy.copy(learner)
    other.maxima, other.grown = dict(learner.maxima), set()
    return other


def ours(data: Recorded, changes: list[Injection], alerts: float) -> tuple[Rule, dict[str, list[Learner]]]:
    limits = sum(cells_of(data.binned[name]).limits for name in data.watched) * len(data.lengths)
    weeks = horizon(limits, alerts)
    clean: dict[str, Series] = {}
    injected: list[tuple[Series, Series]] = [({}, {}) for _ in changes]
    last: dict[str, list[Learner]] = {}
    for name in data.watched:
        column = data.binned[name]
        cells, counts = cells_of(column), count(column, data.columns[name], data.hour - data.first, data.hours)
        sums = sums_of(data.columns[name], data.hour - data.first, data.hours)
        deviation = float(np.nanstd(data.columns[name][: data.train_rows])) if column.numeric else 0.0
        grid = make_grid(counts, first=data.first)
        clean[name], last[name] = {}, []
        mine = sorted((one.at, i) for i, one in enumerate(changes) if one.column == name)
        for length in data.lengths:
            learner, done, parts = Learner(cells, length), 0, []
            for at, i in mine:
                if at > done:
                    parts.append(learner.run(grid, done, at, weeks))
                    done = at
                for which, values in enumerate((changes[i].day, changes[i].good)):
                    other = counts.copy()
                    hours = (data.hour - data.first) >= at
                    place = np.flatnonzero(hours)[: len(values)]
                    hour = (data.hour - data.first)[place]
                    stop = int(hour[-1]) + 1 if len(hour) else at
                    other[at:stop] = count(column, values, hour - at, stop - at)
                    until = min(at + (DAY + length if which == 0 else 28 * DAY), data.hours)
                    found = branch(learner).run(make_grid(other, first=data.first), at, until, weeks)
                    new = sums.copy()
                    new[at:stop] = sums_of(values, hour - at, stop - at)
                    still = repeating(column, other, new, deviation, found.ends)
                    injected[i][which][length] = (found.ends, np.maximum(found.excess, still))
            parts.append(learner.run(grid, done, data.hours, weeks))
            ends, excess = (np.concatenate([getattr(part, field) for part in parts]) for field in ("ends", "excess"))
            clean[name][length] = (ends, np.maximum(excess, repeating(column, counts, sums, deviation, ends)))
            last[name].append(learner)
    return Rule("usual", clean, injected, together=True), last


def today(data: Recorded, changes: list[Injection]) -> Rule:
    """Today's default rule on the same windows: against training, rows taken for independent."""
    tests = sum(len(AUTO[data.binned[name].kind]) for name in data.watched)
    clean: dict[str, Series] = {}
    counts: dict[str, Counts] = {}
    for name in data.watched:
        column = data.binned[name]
        counts[name] = count(column, data.columns[name], data.hour - data.first, data.hours)
        clean[name] = {
            length: independent(column, data, name, counts[name], 0, data.hours, length, tests)
            for length in data.lengths
        }
    injected: list[tuple[Series, Series]] = []
    for one in changes:
        pair: tuple[Series, Series] = ({}, {})
        column = data.binned[one.column]
        for which, values in enumerate((one.day, one.good)):
            place = np.flatnonzero((data.hour - data.first) >= one.at)[: len(values)]
            hour = (data.hour - data.first)[place]
            stop = int(hour[-1]) + 1
            other = counts[one.column].copy()
            other[one.at : stop] = count(column, values, hour - one.at, stop - one.at)
            for length in data.lengths:
                until = min(one.at + (DAY + length if which == 0 else 28 * DAY), data.hours)
                pair[which][length] = independent(column, data, one.column, other, one.at, until, length, tests)
        injected.append(pair)
    return Rule("independent rows, training", clean, injected)


def independent(
    column: Column, data: Recorded, name: str, counts: Counts, begin: int, end: int, length: int, tests: int
) -> tuple[npt.NDArray[np.int64], Floats]:
    step = min(max(length // 4, 1), 6)
    ends = np.arange(-(-begin // step) * step, end, step)
    ends = ends[ends >= length]
    prefix = np.concatenate((np.zeros((1, column.size), dtype=np.int64), np.cumsum(counts, axis=0)))
    windows = prefix[ends] - prefix[ends - length]
    training = count(column, data.columns[name][: data.train_rows], np.zeros(data.train_rows, dtype=np.int64), 1)[0]
    layout = Layout(Schema((column,)))
    deviation = np.array([np.nanstd(data.columns[name][: data.train_rows]) if column.numeric else np.nan])
    pair = layout.pair(training, windows, deviation, layout.of_kind((0,), numeric=column.numeric))
    out = np.zeros(len(ends))
    for statistic in AUTO[column.kind]:
        measured = STATISTICS[statistic].measure(pair)
        value, floor = np.abs(measured.value), STATISTICS[statistic].floor * np.asarray(measured.floor_unit)
        ratio = value / np.maximum(measured.critical(0.00015 / tests), 1e-12)
        ratio = np.where((value > floor) & (measured.n >= 40) & np.isfinite(ratio), ratio, 0.0)
        out = np.maximum(out, ratio.reshape(len(ends)))
    return ends, out


def messages(data: Recorded, rule: Rule, scale: float) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]:
    """Messages of the later part: starts of columns within a short window of each other. Known changes apart."""
    told = sorted((at, name) for name in data.watched for at in rule.starts(rule.clean[name], scale) if at >= data.live)
    known = [one for one in told if any(change.covers(data.first + one[0], one[1]) for change in data.known)]
    out: list[tuple[int, list[str]]] = []
    for at, name in told:
        if (at, name) in known:
            continue
        if out and at - out[-1][0] <= data.lengths[0]:
            out[-1][1].append(name)
        else:
            out.append((at, [name]))
    return out, known


def a_month(data: Recorded, rule: Rule, scale: float) -> float:
    end = min([data.hours, *(one.hour - data.first for one in data.known if one.hours > 1e6)])
    return len(messages(data, rule, scale)[0]) / ((end - data.live) / MONTH)


def found(
    data: Recorded, rule: Rule, changes: list[Injection], scale: float
) -> list[tuple[float | None, float | None]]:
    """Delay of each injection, for a day and for good, in hours; None if it was not told as a new message."""
    out = []
    for i, one in enumerate(changes):
        delays: list[float | None] = []
        for which in (0, 1):
            series: Series = {}
            for length in data.lengths:
                ends, ratio = rule.clean[one.column][length]
                new_ends, new_ratio = rule.injected[i][which].get(length, (ends[:0], ratio[:0]))
                old = ends <= one.at
                series[length] = (
                    np.concatenate((ends[old], new_ends[new_ends > one.at])),
                    np.concatenate((ratio[old], new_ratio[new_ends > one.at])),
                )
            told = [at for at in rule.starts(series, scale) if at > one.at]
            delays.append(told[0] - one.at if told else None)
        out.append((delays[0], delays[1]))
    return out


def equal_scale(data: Recorded, rule: Rule) -> float:
    """The least factor on the rule's thresholds with which the later part has at most one message a month."""
    for scale in np.geomspace(0.3, 100.0, 120):
        if a_month(data, rule, float(scale)) <= 1.0:
            return float(scale)
    return 100.0


def peers(data: Recorded, changes: list[Injection], python: str, scratch: Path) -> list[Rule]:
    """NannyML, Evidently and PSI, by the interpreter of an environment that has them."""
    source, target = scratch / f"{data.name}.pickle", scratch / f"{data.name}.json"
    given = {
        "lengths": data.lengths,
        "first": data.first,
        "live": data.live,
        "hour": data.hour - data.first,
        "train_rows": data.train_rows,
        "columns": data.columns,
        "numeric": {name: data.binned[name].numeric for name in data.watched},
        "changes": [(one.column, one.at, one.day, one.good) for one in changes],
    }
    source.write_bytes(pickle.dumps(given))
    subprocess.run([python, str(Path(__file__).with_name("real_peers.py")), str(source), str(target)], check=True)

    def series(plain: dict[str, list[list[float]]]) -> Series:
        return {
            int(length): (np.array([p[0] for p in pairs], dtype=np.int64), np.array([p[1] for p in pairs]))
            for length, pairs in plain.items()
        }

    rules = []
    for name, one in json.loads(target.read_text()).items():
        clean = {column: series(plain) for column, plain in one["clean"].items()}
        rules.append(Rule(name, clean, [(series(day), series(good)) for day, good in one["injected"]]))
    return rules


def share(parts: list[float | None]) -> str:
    return f"{100 * sum(part is not None for part in parts) / max(len(parts), 1):.0f}"


def report(data: Recorded, rules: list[Rule], changes: list[Injection], by_kind: dict[Any, Any]) -> None:
    for rule in rules:
        equal = equal_scale(data, rule)
        cells = []
        for scale in (1.0, equal):
            delays = found(data, rule, changes, scale)
            good = [one[1] for one in delays if one[1] is not None]
            cells.append(f"{share([d for d, _ in delays])} / {share([g for _, g in delays])}")
            if scale == 1.0:
                delay = f"{np.median(good):.0f} h" if good else "-"
            for change, one in zip(changes, delays, strict=True):
                by_kind.setdefault((rule.name, scale == 1.0, change.kind), []).append(one)
        _, known = messages(data, rule, 1.0)
        first: dict[str, int] = {}
        for at, name in known:
            first.setdefault(name, at)
        hours = [
            data.first + at - next(k.hour for k in data.known if k.covers(data.first + at, n))
            for n, at in first.items()
        ]
        told = f"{len(hours)} columns, {min(hours)} to {max(hours)} h" if hours else ("none" if data.known else "-")
        on = anything_on(data, rule)
        rate = a_month(data, rule, 1.0)
        row = [data.name, rule.name, f"{rate:.1f}", f"{100 * on:.0f} %", told, cells[0], delay, cells[1]]
        print(f"| {' | '.join(row)} |", flush=True)


def anything_on(data: Recorded, rule: Rule) -> float:
    """Share of the evaluations of the short window at which any column is on."""
    length = data.lengths[0]
    ends = rule.clean[data.watched[0]][length][0]
    live = ends >= data.live
    return float(np.any([rule.clean[name][length][1][live] > 1 for name in data.watched], axis=0).mean())


def told_silent(rows: npt.NDArray[np.int64], begin: int = 0, least: int = 20) -> list[int]:
    """Hours at which the rule on traffic begins to tell of a silence, from `begin` on."""
    out, up = list[int](), False
    for end in range(begin + 1, len(rows) + 1):
        found = silence(rows[max(end - LOOK_BACK - WEEK_HOURS, 0) : end]) if not rows[end - 1] and not up else None
        if found and found.hours > max(found.longest, 1) and found.rows >= least:
            out.append(end)
        up = not rows[end - 1] and (up or bool(out and out[-1] == end))
    return out


def traffic(data: Recorded, outages: int = 40) -> str:
    """A row: messages a month on the traffic as it was, and hours from the start of an outage until it is told."""
    rows = np.bincount(data.hour - data.first, minlength=data.hours)
    rng, hours = np.random.default_rng(1), list[int]()
    for at in rng.integers(
        min(13 * WEEK_HOURS, data.hours - 2 * WEEK_HOURS), data.hours - WEEK_HOURS, outages
    ).tolist():
        cut = rows[: at + WEEK_HOURS].copy()
        cut[at:] = 0
        hours += [end - at for end in told_silent(cut, at)[:1]]
    told = len(told_silent(rows)) / (data.hours / MONTH)
    middle, late = np.quantile(hours, (0.5, 0.9))
    return f"| {data.name} | {rows.mean():.1f} | {told:.2f} | {len(hours)} of {outages} | {middle:.0f} | {late:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--each", type=int, default=12, help="injections of each kind and set")
    parser.add_argument("--alerts", type=float, default=1.0, help="budget: messages a month and model")
    parser.add_argument("--peers", help="interpreter of an environment with bench/requirements-real.txt")
    parser.add_argument("--traffic", action="store_true", help="judge only whether predictions come")
    parser.add_argument("--list", action="store_true", help="print every message of ours")
    given = parser.parse_args()
    if given.traffic:
        print(
            "| set | predictions an hour | messages a month | outages told | median h | 90 % h |\n" + "| --- " * 6 + "|"
        )
        for name in given.sets:
            print(traffic(load(given.folder, SETS[name])), flush=True)
        return
    by_kind: dict[Any, list[tuple[float | None, float | None]]] = {}
    print(
        "| set | rule | messages a month | anything on | known change | found, day / for good, % | median delay "
        "| at one a month, % |\n" + "| --- " * 8 + "|"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(given.sets):
            data = load(given.folder, SETS[name])
            changes = injections(data, given.each, number + 1)
            mine, _ = ours(data, changes, given.alerts)
            rules = [mine, today(data, changes)]
            if given.peers:
                rules += peers(data, changes, given.peers, Path(scratch))
            report(data, rules, changes, by_kind)
            if given.list:
                told, known = messages(data, mine, 1.0)
                for at, names in [*told, *((at, [f"{n} (known)"]) for at, n in known)]:
                    print(f"    {np.datetime64((data.first + at) * 3600, 's')} {', '.join(names)}")
    names = list(dict.fromkeys(rule for rule, _, _ in by_kind))
    print("\n| kind | " + " | ".join(names) + " |\n" + "| --- " * (len(names) + 1) + "|")
    for kind in KINDS:
        row = []
        for rule in names:
            pairs = [by_kind[rule, default, kind] for default in (True, False)]
            row.append(", ".join(f"{share([d for d, _ in one])}/{share([g for _, g in one])}" for one in pairs))
        print(f"| {kind} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
