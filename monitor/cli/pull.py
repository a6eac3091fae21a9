"""`pull`: count what has come to a table, judge it, and tell people; once, or on the schedule without a web server."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from monitor.backtest.replay import deliver
from monitor.cli.command import WHEN, Answer, command, moment, option, reading
from monitor.clock import iso
from monitor.config.load import Config
from monitor.errors import ConfigError
from monitor.library import observed
from monitor.runtime import Runtime
from monitor.source.table import Came, TableSource
from monitor.store.file.folder import DATABASE
from monitor.store.windows.ledger import read_cursor

#: Seconds that messages have to go out.
PATIENCE = 60.0


@command(
    "pull",
    "Count what has come to the table of [source], judge it and send what is due, as serve does, without a web server.",
    option("--once", action="store_true", help="once, then end: for cron and workflows"),
    option("--from", dest="start", metavar="WHEN", help=f"where the first pull begins: {WHEN} (default: now)"),
    option("--to", dest="end", metavar="WHEN", help="where this pull ends (default: now, less the lag)"),
    option("--dry-run", action="store_true", help="print the SQL and the engine's plan, and count nothing"),
)
def pull(options: argparse.Namespace, config: Config) -> Answer:
    """`pull`. Raises TelltaleError."""
    if config.source.kind != "table":
        raise ConfigError('pull reads a table; the settings need [source] kind = "table"')
    if options.dry_run:
        with tempfile.TemporaryDirectory(prefix="telltale-pull-") as folder:
            elsewhere = dataclasses.replace(config, data=dataclasses.replace(config.data, path=folder))
            with closing(Runtime(elsewhere, [observed(config)])) as runtime:
                source = _source(runtime, options)
                if (Path(config.data.path) / DATABASE).exists():
                    with reading(config) as connection:
                        source.cursor = read_cursor(connection, source.name)
                return Answer(list(_plan(source, options)))
    signal.pthread_sigmask(signal.SIG_BLOCK, ended := {signal.SIGINT, signal.SIGTERM})
    with closing(Runtime(config, [observed(config)])) as runtime:
        source = _source(runtime, options)
        if not options.once:
            runtime.start()
            signal.sigwait(ended)
            return Answer([f"{source.where} is counted up to {_upto(source)}"])
        before = runtime.only.totals.n
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ended)
        source.pull(runtime.fold)
        runtime.evaluate()
        rows, drifted = runtime.only.totals.n - before, runtime.only.status()["drifted"]
        left = deliver(runtime, PATIENCE)
    lines = [f"{rows:,} rows of {source.where} were counted, up to {_upto(source)}"]
    lines.append(f"drift: {', '.join(drifted) or 'none'}; {left} messages wait to be sent")
    return Answer(lines, {"rows": rows, "to": _upto(source), "drifted": drifted})


def _source(runtime: Runtime, options: argparse.Namespace) -> TableSource:
    source, now = runtime.only.pulled, runtime.clock.time()
    assert isinstance(source, TableSource)
    if options.start:
        if source.cursor and not options.dry_run:
            raise ConfigError(
                f"--from: {source.where} is counted up to {_upto(source)} already, and goes on from there"
            )
        source.since = moment(options.start, now, "--from")
    if options.end:
        source.until = moment(options.end, now, "--to")
    return source


def _upto(source: TableSource) -> str:
    return iso(Came.of(source.cursor).to) if source.cursor else "nothing"


def _plan(source: TableSource, options: argparse.Namespace) -> Iterator[str]:
    if options.start:
        source.cursor = ""
    begin, end, statements = source.statements()
    yield f"-- {source.where}: rows from {iso(begin)} to {iso(end)}, in {len(statements)} questions"
    for sql, plan in statements:
        yield f"{sql};\n"
        yield from (f"-- {line}" for line in plan)
