"""`pull`: count what has come to a table, judge it, and tell people; once, or on the schedule without a web server."""

from __future__ import annotations

import argparse
import dataclasses
import math
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
    watches = [observed(one) for one in map(config.of, config.names) if one.source.kind == "table"]
    if not watches:
        raise ConfigError('pull reads a table; the settings need [source] kind = "table"')
    if options.dry_run:
        with tempfile.TemporaryDirectory(prefix="telltale-pull-") as folder:
            elsewhere = dataclasses.replace(config, data=dataclasses.replace(config.data, path=folder))
            with closing(Runtime(elsewhere, watches)) as runtime:
                if (Path(config.data.path) / DATABASE).exists() and not options.start:
                    with reading(config) as connection:
                        for source in runtime.sources:
                            if isinstance(source, TableSource):
                                source.cursor = read_cursor(connection, source.name)
                return Answer([line for source in _sources(runtime, options) for line in _plan(source)])
    signal.pthread_sigmask(signal.SIG_BLOCK, ended := {signal.SIGINT, signal.SIGTERM})
    with closing(Runtime(config, watches)) as runtime:
        sources = _sources(runtime, options)
        if options.once:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ended)
            before = {model.name: model.totals.n for model in runtime.models.values()}
            for source in sources:
                source.pull(runtime.fold)
            runtime.evaluate()
            left = deliver(runtime, PATIENCE)
        else:
            runtime.start()
            signal.sigwait(ended)
        lines = [f"{source.where} is counted up to {_upto(source)}" for source in sources]
        if options.once:
            for model in runtime.models.values():
                drifted = ", ".join(model.status()["drifted"]) or "none"
                lines.append(f"{model.name}: {model.totals.n - before[model.name]:,} rows; drift: {drifted}")
            lines.append(f"{left} messages wait to be sent")
    return Answer(lines)


def _sources(runtime: Runtime, options: argparse.Namespace) -> list[TableSource]:
    """The tables, told where to begin and to end. Raises ConfigError."""
    sources, now = [one for one in runtime.sources if isinstance(one, TableSource)], runtime.clock.time()
    for source in sources:
        if options.start and source.cursor:
            raise ConfigError(
                f"--from: {source.where} is counted up to {_upto(source)} already, and goes on from there"
            )
        source.since = moment(options.start, now, "--from") if options.start else None
        source.until = moment(options.end, now, "--to") if options.end else math.inf
    return sources


def _upto(source: TableSource) -> str:
    return iso(Came.of(source.cursor).to) if source.cursor else "nothing"


def _plan(source: TableSource) -> Iterator[str]:
    begin, end, statements = source.statements()
    yield f"-- {source.where}: rows from {iso(begin)} to {iso(end)}, in {len(statements)} questions"
    for sql, plan in statements:
        yield f"{sql};\n"
        yield from (f"-- {line}" for line in plan)
