"""`outcomes`: what came true for predictions, from a file."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monitor.backtest.replay import parse_time
from monitor.cli.command import Answer, bar, command, option, reading
from monitor.columns.canonical import cell_number, column_name
from monitor.config.load import Config
from monitor.errors import ConfigError, DataError, LockedError
from monitor.joined import Joined
from monitor.outcomes.sums import LARGEST, Target
from monitor.recording import Watch
from monitor.runtime import Runtime
from monitor.series import Series
from monitor.store.windows.rows import load_version
from monitor.tables.parse import BadRows
from monitor.tables.read import Reader, open_reader

#: Outcomes between two folds.
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
    with reading(config) as connection:
        series = load_version(connection, model=options.model)
    bad = BadRows(str(options.file), options.skip_bad_rows)
    with bar(options, "Reading", options.file.stat().st_size if options.file.exists() else None, "B") as progress:
        reader = open_reader(options.file, bad, progress.update)
        rows = read(reader, options.id, options.outcome, options.time, series.reference.target)
    facts: dict[str, Any] = {"outcomes": len(rows.ids), "empty": rows.empty, "bad_rows": bad.count}
    without = f"; {rows.empty:,} rows have none yet" if rows.empty else ""
    lines = [f"{len(rows.ids):,} outcomes in {options.file}{without}", *bad.told()]
    if options.dry_run:
        return Answer([*lines, "nothing was sent (--dry-run)"], facts)
    with bar(options, "Joining", len(rows.ids), " outcomes") as progress:
        results, where = deliver(config, series, rows, progress.update)
    listed = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in results.items() if count)
    return Answer([*lines, f"{where}: {listed or 'nothing'}"], {**facts, **results})


def read(reader: Reader, name: str, outcome: str, time: str | None, target: Target) -> Rows:
    """Read a whole file. Raises DataError for what is not in it, and for the first bad row unless they are skipped."""
    bad = reader.bad
    wanted = [name, outcome, *([time] if time else [])]
    for column in wanted:
        if column not in reader.names:
            raise DataError(f"{reader.path}: has no column {column!r}; it has: {', '.join(reader.names)}")
    rows = Rows()
    for blocks in reader.chunks(wanted, dict.fromkeys(wanted, "categorical")):
        for line, prediction_id, value, *moments in zip(reader.lines, *blocks, strict=True):
            number = None if value is None else target.code(value) if target.classified else cell_number(str(value))
            if value is None or (number is not None and math.isnan(number)):
                rows.empty += 1
                continue
            known = math.nan if not moments or moments[0] is None else parse_time(moments[0])
            if not prediction_id:
                bad.add(line, f"column {name} is empty")
            elif number is None or (not target.classified and not abs(number) <= LARGEST):
                bad.add(line, f"column {outcome} holds {str(value)[:40]!r}, which is no number up to {LARGEST:g}")
            elif known is None:
                bad.add(line, f"column {time} holds {moments[0][:40]!r}, which is no time")
            else:
                rows.ids.append(prediction_id)
                rows.values.append(value if target.classified else number)
                rows.known.append(known if math.isnan(known) else known / 1e9)
    return rows


def deliver(
    config: Config, series: Series, rows: Rows, progress: Callable[[int], object]
) -> tuple[dict[str, int], str]:
    """Record outcomes, in the data folder or beside the process that holds it. Returns the results, and where."""
    watches = [Watch(series.reference, series.version, series.model, series.model * config.named)]
    runtime: Runtime | Joined
    try:
        runtime, where = Runtime(config, watches), f"joined in {config.data.path}"
        runtime.writer.start()
    except LockedError:
        runtime, where = Joined(config, watches, heir=False), f"joined by the process that holds {config.data.path}"
        runtime.start()
    results: Counter[str] = Counter()
    with closing(runtime):
        model = runtime.find()
        if model.pulled is not None:
            model.pulled.refuse()
        if model.outcome_recorder is None:
            raise ConfigError("outcomes are not kept: add the section [outcomes] to the settings")
        for start in range(0, len(rows.ids), CHUNK):
            part = slice(start, start + CHUNK)
            ids = rows.ids[part]
            first = model.outcome_recorder.record(ids, rows.values[part], np.array(rows.known[part]))
            results.update(runtime.outcome_results(model.name, first, len(ids)))
            progress(len(ids))
    return dict(results), where
