"""`outcomes`: what came true for predictions, from a file, to the server that runs or into the data folder."""

from __future__ import annotations

import argparse
import json
import math
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monitor.announcer import PAGE, page_address
from monitor.backtest.replay import parse_time
from monitor.cli.command import Answer, bar, command, option, reading
from monitor.clock import iso
from monitor.columns.canonical import cell_number, column_name
from monitor.config.load import Config
from monitor.errors import ConfigError, DataError, LockedError, StoreError
from monitor.notify.secret import read_secret
from monitor.outcomes.sums import LARGEST, Target
from monitor.recording import Watch
from monitor.runtime import Runtime
from monitor.series import Series
from monitor.source.outcomes import OutcomeSource
from monitor.store.windows.rows import load_served, read_meta
from monitor.tables.parse import BadRows
from monitor.tables.read import Reader, open_reader

#: Outcomes of one request, and between two folds.
CHUNK = 20_000


@dataclass
class Rows:
    """Outcomes of a file: ids, values (numbers, or texts of classes), and when they became known, NaN for now."""

    ids: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    known: list[float] = field(default_factory=list)
    empty: int = 0


@command(
    "outcomes",
    "Join what came true for predictions, from a file.",
    option("file", type=Path, metavar="FILE", help="CSV, TSV, JSON lines or Parquet, with column names"),
    option("--id", type=column_name, required=True, metavar="COLUMN", help="column with the ids: ours, or your own"),
    option("--outcome", type=column_name, required=True, metavar="COLUMN", help="column with what came true"),
    option("--time", type=column_name, metavar="COLUMN", help="column with when it became known (default: now)"),
    option("--skip-bad-rows", action="store_true", help="leave out rows that cannot be used"),
    option("--dry-run", action="store_true", help="only read and check the file"),
    one=True,
)
def run(options: argparse.Namespace, config: Config) -> Answer:
    """`outcomes`. Raises TelltaleError."""
    with reading(config) as connection:
        series = load_served(connection, options.model)
        address = config.server.url or read_meta(connection, PAGE, page_address(config.server))
        address += f"/models/{config.model.name}" * config.named
    if series is None:
        raise StoreError(f"{config.data.path}: no model was served on this folder yet")
    bad = BadRows(str(options.file), options.skip_bad_rows)
    with bar(options, "Reading", options.file.stat().st_size if options.file.exists() else None, "B") as progress:
        reader = open_reader(options.file, bad, progress.update)
        rows = read(reader, options.id, options.outcome, options.time, series.reference.target)
    read_from = f"{len(rows.ids):,} outcomes in {options.file}"
    facts: dict[str, Any] = {"outcomes": len(rows.ids), "empty": rows.empty, "bad_rows": bad.count}
    lines = [read_from + (f"; {rows.empty:,} rows have none yet" if rows.empty else "")]
    if bad.count:
        examples = "; ".join(bad.examples) + (", ..." if bad.count > len(bad.examples) else "")
        lines.append(f"{bad.count:,} bad rows were left out: {examples}")
    if options.dry_run:
        return Answer([*lines, "nothing was sent (--dry-run)"], facts)
    with bar(options, "Joining", len(rows.ids), " outcomes") as progress:
        results, where = deliver(config, series, address, rows, progress.update)
    told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in results.items() if count)
    return Answer([*lines, f"{where}: {told or 'nothing'}"], {**facts, **results})


def read(reader: Reader, name: str, outcome: str, time: str | None, target: Target) -> Rows:
    """Read a whole file. Raises DataError for what is not in it, and for the first bad row unless they are skipped."""
    bad = reader.bad
    wanted = [name, outcome, *([time] if time else [])]
    for column in wanted:
        if column not in reader.names:
            raise DataError(f"{reader.path}: has no column {column!r}; it has: {', '.join(reader.names)}")
    rows = Rows()
    for blocks in reader.chunks(wanted, dict.fromkeys(wanted, "categorical")):
        cells = zip(reader.lines, *blocks, strict=True)
        for line, given, value, *moments in cells:
            if value is None:
                rows.empty += 1
                continue
            number = value if target.classified else cell_number(str(value))
            known = math.nan if not moments or moments[0] is None else parse_time(moments[0])
            if not given:
                bad.add(line, f"column {name} is empty")
            elif number is None or number != number or (not target.classified and not abs(number) <= LARGEST):
                bad.add(line, f"column {outcome} holds {str(value)[:40]!r}, which is no number up to {LARGEST:g}")
            elif known is None:
                bad.add(line, f"column {time} holds {moments[0][:40]!r}, which is no time")
            else:
                rows.ids.append(given)
                rows.values.append(number)
                rows.known.append(known if math.isnan(known) else known / 1e9)
    return rows


def deliver(
    config: Config, series: Series, address: str, rows: Rows, progress: Callable[[int], object]
) -> tuple[dict[str, int], str]:
    """Send outcomes to the server that runs on the data folder, or join them here. Returns the results, and by whom."""
    try:
        runtime = Runtime(config, [Watch(series.reference, series.version, series.model, series.model * config.named)])
    except LockedError:
        return add(rows, sent_to(config, address), progress), f"joined by the server at {address}"
    runtime.writer.start()
    with closing(runtime):
        source = runtime.only.outcomes
        if runtime.only.pulled is not None:
            runtime.only.pulled.refuse()
        if source is None:
            raise ConfigError("outcomes are not kept: add the section [outcomes] to the settings")
        return add(rows, joined_here(runtime, source), progress), f"joined in {config.data.path}"


#: Takes a part of the outcomes, and returns what became of them.
Take = Callable[[Sequence[str], Sequence[Any], Sequence[float]], dict[str, int]]


def add(rows: Rows, take: Take, progress: Callable[[int], object]) -> dict[str, int]:
    """Hand over all outcomes in parts; how many of each result."""
    results: Counter[str] = Counter()
    for part in parts(len(rows.ids)):
        results.update(take(rows.ids[part], rows.values[part], rows.known[part]))
        progress(len(rows.ids[part]))
    results.pop("accepted", None)
    return dict(results)


def parts(rows: int) -> Iterator[slice]:
    """Cut rows into parts."""
    for start in range(0, rows, CHUNK):
        yield slice(start, start + CHUNK)


def joined_here(runtime: Runtime, source: OutcomeSource) -> Take:
    """Join outcomes in this process."""

    def take(ids: Sequence[str], values: Sequence[Any], known: Sequence[float]) -> dict[str, int]:
        first = source.recorder.record(ids, values, np.array(known))
        return runtime.told(None, first, len(ids))

    return take


def sent_to(config: Config, address: str) -> Take:
    """Send outcomes to a server. Raises StoreError if it does not take them."""
    token = read_secret("[server] token", env=config.server.token_env, file=config.server.token_file)
    headers = {"Content-Type": "application/x-ndjson"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"

    def take(ids: Sequence[str], values: Sequence[Any], known: Sequence[float]) -> dict[str, int]:
        lines = [
            {"id": one, "outcome": value, **({} if math.isnan(moment) else {"time": iso(moment)})}
            for one, value, moment in zip(ids, values, known, strict=True)
        ]
        body = "\n".join(map(json.dumps, lines)).encode()
        request = urllib.request.Request(f"{address}/outcomes?wait=true", body, headers)  # noqa: S310 - the server's own
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310
                answer: dict[str, int] = json.loads(reply.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")
            raise StoreError(f"{address}/outcomes answered {error.code}: {said[:300]}") from None
        except OSError as error:
            raise StoreError(f"{address}/outcomes cannot be reached: {error}") from None
        return answer

    return take
