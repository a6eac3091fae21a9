"""`pull`: count what has come to a table, judge it, and tell people; once, or on the schedule without a web server."""

from __future__ import annotations

import argparse
import math
import signal
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from monitor.backtest.replay import deliver
from monitor.cli.command import WHEN, Answer, bar, command, option, reading, when_option
from monitor.clock import iso
from monitor.config.load import Config
from monitor.errors import ConfigError
from monitor.library.monitor import observed
from monitor.recording import Watch
from monitor.runtime import Runtime
from monitor.source.table import TableCursor, TableSource
from monitor.store.file.folder import DATABASE
from monitor.store.windows.ledger import read_cursor

#: Seconds that messages have to go out.
PATIENCE = 60.0


@command(
    "pull",
    "Count what has come to the table of [source], judge it and send what is due, as serve does, without a web server.",
    option("--once", action="store_true", help="once, then end: for cron and workflows"),
    when_option("--from", dest="start", help=f"where the first pull begins: {WHEN} (default: now)"),
    when_option("--to", dest="end", help="where this pull ends (default: now, less the lag)"),
    option("--dry-run", action="store_true", help="print the SQL and the engine's plan, and count nothing"),
)
def pull(options: argparse.Namespace, config: Config) -> Answer:
    watches = [observed(own) for own in map(config.of, config.names) if own.source.kind == "table"]
    if not watches:
        raise ConfigError('pull reads a table; the settings need [source] kind = "table"')
    if options.dry_run:
        return _dry_run(options, config, watches)
    signal.pthread_sigmask(signal.SIG_BLOCK, ended := {signal.SIGINT, signal.SIGTERM})
    with closing(Runtime(config, watches)) as runtime:
        sources = _sources(runtime, options)
        if options.once:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ended)
            before = {model.name: model.totals.n for model in runtime.models.values()}
            with bar(options, "Counting", None, " parts") as progress:

                def fold() -> None:
                    runtime.fold()
                    progress.update()

                for source in sources:
                    source.pull(fold)
            runtime.evaluate()
            runtime.report()
            left = deliver(runtime, PATIENCE)
        else:
            runtime.start()
            signal.sigwait(ended)
        data: dict[str, Any] = {"tables": [{"table": table.where, "counted_to": _upto(table)} for table in sources]}
        lines = [f"{table['table']} is counted up to {table['counted_to']}" for table in data["tables"]]
        if options.once:
            data |= {"models": [], "waiting": left}
            for model in runtime.models.values():
                drifted, rows = model.status()["drifted"], model.totals.n - before[model.name]
                lines.append(f"{model.name}: {rows:,} rows; drift: {', '.join(drifted) or 'none'}")
                data["models"].append({"model": model.name, "rows": rows, "drifted": drifted})
            lines.append(f"{left} messages wait to be sent")
    return Answer(lines, data)


def _dry_run(options: argparse.Namespace, config: Config, watches: Sequence[Watch]) -> Answer:
    """Print what the engine would be asked, and its plans. A new folder is used, which knows nothing."""
    plans, lines = [], []
    with (
        tempfile.TemporaryDirectory(prefix="telltale-pull-") as folder,
        closing(Runtime(config.at(folder), watches)) as runtime,
    ):
        if (Path(config.data.path) / DATABASE).exists() and not options.start:
            with reading(config) as connection:
                for table in _tables(runtime):
                    table.cursor = read_cursor(connection, table.name)
        for table in _sources(runtime, options):
            begin, end, statements = table.statements()
            lines.append(f"-- {table.where}: rows from {iso(begin)} to {iso(end)}, in {len(statements)} questions")
            for sql, plan in statements:
                lines += [f"{sql};\n", *(f"-- {line}" for line in plan)]
            asked = [{"sql": sql, "plan": list(plan)} for sql, plan in statements]
            plans.append({"table": table.where, "start": iso(begin), "end": iso(end), "statements": asked})
    return Answer(lines, {"plans": plans})


def _tables(runtime: Runtime) -> list[TableSource]:
    return [source for source in runtime.journals.sources if isinstance(source, TableSource)]


def _sources(runtime: Runtime, options: argparse.Namespace) -> list[TableSource]:
    """The tables, told where to begin and to end. Raises ConfigError."""
    sources, now = _tables(runtime), runtime.clock.time()
    for source in sources:
        if options.start and source.cursor:
            counted = f"{source.where} is counted up to {_upto(source)} already"
            raise ConfigError(f"--from: {counted}, and goes on from there")
        source.since = options.start(now) if options.start else None
        source.until = options.end(now) if options.end else math.inf
    return sources


def _upto(source: TableSource) -> str:
    return iso(TableCursor.of(source.cursor).to) if source.cursor else "nothing"
