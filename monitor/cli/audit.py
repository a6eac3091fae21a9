"""Commands about the record itself: `windows`, `verify`. They only read."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from monitor import words
from monitor.cli.command import VERSION, Answer, command, length_option, option, period, reading, span_of, table
from monitor.clock import SystemClock
from monitor.config.load import Config
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify as verify_record
from monitor.store.windows.ranges import read_range
from monitor.store.windows.rows import newest_series
from monitor.usual import Past

#: Most problems that `verify` prints.
MOST = 20


@command(
    "windows",
    "Counts of columns over any stretch of time, in steps or as one sum.",
    option("columns", nargs="*", metavar="COLUMN", help="names of columns (default: all)"),
    *period("1d"),
    length_option("--step", help='such as "1h" (default: one sum)'),
    VERSION,
    one=True,
)
def windows(options: argparse.Namespace, config: Config) -> Answer:
    """`windows`. Raises TelltaleError."""
    span = span_of(options, SystemClock().time())
    with reading(config) as connection:
        model = newest_series(connection, options.model_version, options.model)
        found = read_range(connection, model, span.start, span.end, options.step, options.columns)
    lines = []
    for position, column in enumerate(found["columns"]):
        rows = [(one["start"], one["end"], one["n"], *one["counts"][position]) for one in found["steps"] if one["n"]]
        lines.append(f"{column['column']} ({column['role']}, {column['kind']})")
        lines += table(("from", "to", "n", *column["bins"]), rows, right=range(2, 3 + len(column["bins"])))
        lines.append("")
    lines.append(f"{words.counted(found['windows'], 'window')} read; steps without predictions are left out")
    for gap in found["gaps"]:
        lost = "an unknown number of" if gap["lost"] is None else gap["lost"]
        lines.append(f"gap: {lost} predictions missing, {gap['start']} to {gap['end']}: {gap['detail']}")
    return Answer(lines, found)


@command(
    "verify",
    "Check every row against its seal; name what is not as it was written.",
    option("file", nargs="?", type=Path, metavar="FILE", help="a snapshot, instead of the data folder's database"),
    option("--recompute", action="store_true", help="also work every stored verdict out again"),
    option("--anchor", default="", help="what an earlier run printed, kept outside of the database"),
)
def verify(options: argparse.Namespace, config: Config) -> Answer:
    """`verify`: exit code 1 if anything is not as it was written."""
    with reading(config, options.file, any_version=True) as connection:
        report = verify_record(connection, options.anchor)
        again = None
        if options.recompute and report.ok:
            with tqdm(desc="Recomputing", unit=" verdicts", leave=False, disable=None) as bar:
                again = recompute(connection, lambda done: bar.update(done - bar.n), Past(connection))
    lines = table(("table", "rows", "pruned"), report.heads, right=(1, 2))
    problems = [*report.problems, *(again.problems if again else [])]
    lines += [f"BAD  {problem.where}: {problem.what}" for problem in problems[:MOST]]
    if len(problems) > MOST:
        lines.append(f"     and {len(problems) - MOST} more")
    if again is not None:
        lines.append(f"{again.verdicts} verdicts recomputed, {again.skipped} skipped: their minutes are rolled up")
    good = report.ok and (again is None or again.ok)
    if good:
        lines.append("\nEverything is as it was written. To hold a later check against this one:")
        lines.append(f"  {options.program} verify --anchor '{report.anchor}'")
    data = {**report.to_json(), "recomputed": None if again is None else again.to_json()}
    return Answer(lines, data, 0 if good else 1)
