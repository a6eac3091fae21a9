"""Commands about the record itself: `windows`, `verify`, `snapshot`, `prune`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from monitor import words
from monitor.cli.context import Commands, add_command, load_config, moment, print_json, print_table, reading
from monitor.cli.output import output_path
from monitor.cli.silence import request
from monitor.clock import SystemClock
from monitor.config.settings import duration
from monitor.errors import InputError
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify as verify_record
from monitor.store.file.folder import DATABASE
from monitor.store.file.snapshot import write_snapshot
from monitor.store.windows.ranges import newest_series, read_range
from monitor.usual import Past


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "windows", "Counts of columns over any stretch of time, in steps or as one sum.")
    parser.add_argument("columns", nargs="*", metavar="COLUMN", help="names of columns (default: all)")
    parser.add_argument(
        "--from",
        dest="start",
        default="1d",
        metavar="WHEN",
        help="ISO 8601, UTC, or how long ago, as 10m (default: 1d)",
    )
    parser.add_argument("--to", dest="end", default="0s", metavar="WHEN", help="the same (default: now)")
    parser.add_argument("--step", metavar="DURATION", help='such as "1h" (default: one sum)')
    parser.add_argument("--model", metavar="VERSION", help="model version (default: the newest)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=windows)

    parser = add_command(commands, "verify", "Check every row against its seal; name what is not as it was written.")
    parser.add_argument("file", nargs="?", metavar="FILE", help="a snapshot, instead of the data folder's database")
    parser.add_argument("--recompute", action="store_true", help="also work every stored verdict out again")
    parser.add_argument("--anchor", default="", help="what an earlier run printed, kept outside of the database")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=verify)

    parser = add_command(commands, "snapshot", "Write a consistent, read-only copy for an auditor.")
    parser.add_argument("file", metavar="FILE", help="where to; an earlier snapshot is replaced")
    parser.add_argument("--force", action="store_true", help="replace a file that Telltale did not write")
    parser.set_defaults(run=snapshot)

    parser = add_command(commands, "prune", "Roll up and drop what [data] says, now rather than minute by minute.")
    parser.set_defaults(run=prune)


def windows(options: argparse.Namespace) -> int:
    """`python -m monitor windows`."""
    config, now = load_config(options), SystemClock().time()
    start, end = moment(options.start, now, "--from"), moment(options.end, now, "--to")
    try:
        step = duration(options.step) if options.step else None
    except ValueError as error:
        raise InputError("step", str(error)) from None
    with reading(config) as connection:
        model = newest_series(connection, options.model)
        found = read_range(connection, model, start, end, step, options.columns)
    if options.json:
        print_json(found)
        return 0
    for position, column in enumerate(found["columns"]):
        print(f"{column['column']} ({column['role']}, {column['kind']})")
        rows = [(one["start"], one["end"], one["n"], *one["counts"][position]) for one in found["steps"] if one["n"]]
        print_table(("from", "to", "n", *column["bins"]), rows, right=range(2, 3 + len(column["bins"])))
        print()
    print(f"{words.counted(found['windows'], 'window')} read; steps without predictions are left out")
    for gap in found["gaps"]:
        lost = "an unknown number of" if gap["lost"] is None else gap["lost"]
        print(f"gap: {lost} predictions missing, {gap['start']} to {gap['end']}: {gap['detail']}")
    return 0


def verify(options: argparse.Namespace) -> int:
    """`python -m monitor verify`: exit code 1 where anything is not as it was written."""
    config = load_config(options)
    file = None if options.file is None else Path(options.file)
    with reading(config, file, any_version=True) as connection:
        report = verify_record(connection, options.anchor)
        again = None
        if options.recompute and report.ok:
            with tqdm(desc="Recomputing", unit=" verdicts", leave=False, disable=None) as bar:
                again = recompute(connection, lambda done: bar.update(done - bar.n), Past(connection))
    good = report.ok and (again is None or again.ok)
    if options.json:
        print_json({**report.to_json(), "recomputed": None if again is None else again.to_json()})
        return 0 if good else 1
    print_table(
        ("table", "rows", "pruned"),
        report.heads,
        right=(1, 2),
    )
    problems = [*report.problems, *(again.problems if again else [])]
    for problem in problems[:20]:
        print(f"BAD  {problem.where}: {problem.what}")
    if len(problems) > 20:
        print(f"     and {len(problems) - 20} more")
    if again is not None:
        print(f"{again.verdicts} verdicts recomputed, {again.skipped} skipped: their minutes are rolled up")
    if good:
        print("\nEverything is as it was written. To hold a later check against this one:")
        print(f"  python -m monitor verify --anchor '{report.anchor}'")
    return 0 if good else 1


def snapshot(options: argparse.Namespace) -> int:
    """`python -m monitor snapshot FILE`."""
    config = load_config(options)
    target = output_path(options.file, config, options.force)
    size = write_snapshot(Path(config.data.path) / DATABASE, target)
    print(f"{target}: {size:,} bytes, read-only")
    return 0


def prune(options: argparse.Namespace) -> int:
    """`python -m monitor prune`."""
    config = load_config(options)
    request(config, {"kind": "prune"}, SystemClock())
    print("rolled up and deleted old data as [data] says")
    return 0
