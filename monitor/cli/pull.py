"""`pull`: count what has come to a table, judge it, and tell people; once, or on the schedule without a web server."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from monitor.backtest.replay import deliver
from monitor.cli.command import WHEN, Answer, bar, command, option, reading, when_option
from monitor.clock import iso
from monitor.config.load import Config
from monitor.errors import ConfigError
from monitor.library.monitor import observed
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
                        for source in runtime.journals.sources:
                            if isinstance(source, TableSource):
                                source.cursor = read_cursor(connection, source.name)
                plans = [_plan(source) for source in _sources(runtime, options)]
                return Answer(itertools.chain.from_iterable(map(_tell, plans)), {"plans": plans})
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
        data: dict[str, Any] = {"tables": [{"table": one.where, "counted_to": _upto(one)} for one in sources]}
        lines = [f"{one['table']} is counted up to {one['counted_to']}" for one in data["tables"]]
        if options.once:
            data |= {"models": [], "waiting": left}
            for model in runtime.models.values():
                drifted, rows = model.status()["drifted"], model.totals.n - before[model.name]
                lines.append(f"{model.name}: {rows:,} rows; drift: {', '.join(drifted) or 'none'}")
                data["models"].append({"model": model.name, "rows": rows, "drifted": drifted})
            lines.append(f"{left} messages wait to be sent")
    return Answer(lines, data)


def _sources(runtime: Runtime, options: argparse.Namespace) -> list[TableSource]:
    """The tables, told where to begin and to end. Raises ConfigError."""
    sources, now = [one for one in runtime.journals.sources if isinstance(one, TableSource)], runtime.clock.time()
    for source in sources:
        if options.start and source.cursor:
            raise ConfigError(
                f"--from: {source.where} is counted up to {_upto(source)} already, and goes on from there"
            )
        source.since = options.start(now) if options.start else None
        source.until = options.end(now) if options.end else math.inf
    return sources


def _upto(source: TableSource) -> str:
    return iso(TableCursor.of(source.cursor).to) if source.cursor else "nothing"


def _plan(source: TableSource) -> dict[str, Any]:
    begin, end, statements = source.statements()
    asked = [{"sql": sql, "plan": list(plan)} for sql, plan in statements]
    return {"table": source.where, "start": iso(begin), "end": iso(end), "statements": asked}


def _tell(plan: dict[str, Any]) -> Iterator[str]:
    asked = plan["statements"]
    yield f"-- {plan['table']}: rows from {plan['start']} to {plan['end']}, in {len(asked)} questions"
    for one in asked:
        yield f"{one['sql']};\n"
        yield from (f"-- {line}" for line in one["plan"])
