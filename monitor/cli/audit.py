"""Commands about the record itself: `windows`, `verify`. They only read."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from monitor import words
from monitor.cli.bars import draw
from monitor.cli.command import VERSION, Answer, bar, command, length_option, option, period, reading, span_of
from monitor.clock import SystemClock
from monitor.config.load import Config
from monitor.judging.usual import Past
from monitor.store.audit.recompute import recompute
from monitor.store.audit.seals import SEALED
from monitor.store.audit.verify import verify as verify_record
from monitor.store.windows.ranges import read_range
from monitor.store.windows.rows import load_version

#: Most problems that `verify` prints.
MOST = 20

#: Steps of `windows` that are round, in seconds.
STEPS = (60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 7 * 86_400, 28 * 86_400)


@command(
    "windows",
    "How values are spread over the bins of columns, period by period, beside the reference.",
    option("columns", nargs="*", metavar="COLUMN", help="names of columns (default: all)"),
    *period("1d"),
    length_option("--step", help='such as "1h" (default: some twenty steps)'),
    VERSION,
    one=True,
)
def windows(options: argparse.Namespace, config: Config) -> Answer:
    span = span_of(options, SystemClock().time())
    with reading(config) as connection:
        series = load_version(connection, options.model_version, options.model)
        seconds = options.step or usual_step(span.end - span.start)
        start = span.start if options.step else span.start // seconds * seconds
        data = read_range(connection, series, start, span.end, seconds, options.columns)
    schema, steps, lines = series.schema, data["steps"], []
    references, reference_means = schema.split(series.reference.counts), series.reference.means().tolist()
    starts = [step["start"].removesuffix("Z").removesuffix(":00").replace("T", " ") for step in steps]
    for i, key in enumerate(data["columns"]):
        position = schema.index(key["column"], key["role"])
        column, counts = schema.columns[position], np.array([step["counts"][i] for step in steps])
        values = np.maximum(counts[:, : column.value_bins].sum(axis=1), 1)
        means = [(step["sums"][i] or 0.0) / n for step, n in zip(steps, values, strict=True)]
        lines += [*draw(column, references[position], counts, starts, [reference_means[position], *means]), ""]
    lines.append(f"{words.counted(data['windows'], 'window')} read; steps without predictions are left out")
    for gap in data["gaps"]:
        lost = "an unknown number of" if gap["lost"] is None else gap["lost"]
        lines.append(f"gap: {lost} predictions missing, {gap['start']} to {gap['end']}: {gap['detail']}")
    return Answer(lines, data)


def usual_step(seconds: float) -> int:
    """Return the shortest round step of which 24 cover a period.

    >>> usual_step(3600), usual_step(86_400), usual_step(7 * 86_400)
    (300, 3600, 28800)
    """
    return next((step for step in STEPS if 24 * step >= seconds), STEPS[-1])


@command(
    "verify",
    "Check every row against its seal; name what is not as it was written.",
    option("file", nargs="?", type=Path, metavar="FILE", help="a snapshot, instead of the data folder's database"),
    option("--recompute", action="store_true", help="also work every stored verdict out again"),
)
def verify(options: argparse.Namespace, config: Config) -> Answer:
    """`verify`: exit code 1 if anything is not as it was written."""
    with reading(config, options.file, any_version=True) as connection:
        with bar(options, "Checking", len(SEALED), " tables") as progress:
            report = verify_record(connection, progress.update)
        recomputed = None
        if options.recompute and report.ok:
            with bar(options, "Recomputing", None, " verdicts") as progress:
                recomputed = recompute(connection, lambda done: progress.update(done - progress.n), Past(connection))
    lines = words.table(("table", "rows", "pruned"), report.heads, right=(1, 2))
    problems = [*report.problems, *(recomputed.problems if recomputed else [])]
    lines += [f"BAD  {problem.where}: {problem.what}" for problem in problems[:MOST]]
    if len(problems) > MOST:
        lines.append(f"     and {len(problems) - MOST} more")
    if recomputed is not None:
        skipped = f"{recomputed.skipped} skipped: their minutes are rolled up"
        lines.append(f"{recomputed.verdicts} verdicts recomputed, {skipped}")
    good = report.ok and (recomputed is None or recomputed.ok)
    if good:
        lines.append("\nEverything is as it was written.")
    data = {**report.to_json(), "recomputed": None if recomputed is None else recomputed.to_json()}
    return Answer(lines, data, 0 if good else 1)
