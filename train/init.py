"""`telltale init`: from a model and its data to a folder that can be served, with reasons."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor import words
from monitor.backtest.propose import Ints, propose_settings
from monitor.backtest.replay import parse_time, read_moments
from monitor.columns.canonical import cell_number, column_name
from monitor.config.settings import did_you_mean
from monitor.errors import DataError
from monitor.models.load import SUFFIXES, load
from monitor.reference.file import Reference
from monitor.tables.parse import BadRows
from monitor.tables.read import open_reader
from train.selection import inputs_of, no_column

#: Ends of the names of files that may hold the data.
DATA = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".gz")
#: What `config.toml` says if the data have no times.
NO_TIMES = (
    "# Windows have their defaults: --time COLUMN proposes others by the traffic, and so does `telltale check` after a",
    "# day of it.",
)
#: Rows of the text that is read to guess which column holds times.
LOOKED_AT = 20


def settings(model: dict[str, Any], reference: Reference, data: Path, times: Ints | None) -> str:
    """The text of `config.toml`, with a reason above what was chosen. `model`: what `[model]` says."""
    pairs = zip(reference.schema.features, reference.schema.split(reference.counts), strict=False)
    gaps = [column.name for column, counts in pairs if counts[column.missing_bin]]
    named = ", ".join(gaps[:5] + ["..."] * (len(gaps) > 5))
    why = f"Features with gaps: {named}" if gaps else "No feature has gaps"
    lines = [f"# Made by `telltale init` from {data}. docs/settings.md lists every setting.", "[model]"]
    for key, value in model.items():
        lines += [f"# {why}."] * (key == "missing") + [f"{key} = {json.dumps(value)}"]
    lines += ["", *(propose_settings(reference, times) if times is not None else NO_TIMES)]
    return "\n".join([*lines, "", "# To send what came true, remove the #: docs/outcomes.md.", "# [outcomes]", ""])


def read_times(options: argparse.Namespace) -> Ints:
    """Times of the rows, shape (n,), in seconds. Raises DataError for a column that is not there, or holds no times."""
    path, column = options.data, options.time
    bad = BadRows(str(path), options.skip_bad_rows)
    reader = open_reader(path, bad)
    if column not in reader.names:
        raise no_column("--time", column, path, reader.names)
    seconds: list[int] = []
    for chunk in reader.chunks([column], {column: "categorical"}):
        moments = read_moments(chunk[0], options.time_format, reader.lines, column, bad)
        seconds += [at // 10**9 for at in moments if at is not None]
    if not seconds:
        raise DataError(f"{path}: column {column!r} holds no time")
    return np.array(seconds, dtype=np.int64)


def ask_for_missing(options: argparse.Namespace) -> None:
    """Ask a person for what the options lack; without a terminal, refuse. Raises DataError."""
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    wanted = ("model", options.model or options.predictions, SUFFIXES), ("data", options.data, DATA)
    for name, suffixes in ((name, suffixes) for name, given, suffixes in wanted if not given):
        files = sorted(file.name for file in Path.cwd().iterdir() if file.suffix in suffixes)
        if not asks:
            there = f"; in this folder: {', '.join(files)}" if files else ""
            raise DataError(f"--{name} FILE is missing, and there is no terminal to ask on{there}")
        setattr(options, name, Path(_ask(f"File of the {name}", files, lambda text: Path(text).is_file())))
    for name, path in (("model", options.model), ("data", options.data)):
        if path and not path.exists():
            near = did_you_mean(path.name, [file.name for file in path.parent.glob("*")])
            raise DataError(f"--{name} {path}: there is no such file{near}")
    if asks and None in (options.target, options.time):
        _ask_for_columns(options)


def _ask_for_columns(options: argparse.Namespace) -> None:
    """Ask for the target and the time, among the columns that are no input of the model."""
    reader = open_reader(options.data, BadRows(str(options.data), True))
    inputs = inputs_of(load(options.model)) if options.model else None
    left = [name for name in reader.names if name not in (inputs or ())]
    if options.time is None:
        blocks = next(iter(reader.chunks(left, dict.fromkeys(left, "categorical"))), [[] for _ in left])
        like_times = [name for name, block in zip(left, blocks, strict=True) if _times(list(block[:LOOKED_AT]))]
        options.time = _ask_column("time of each row", like_times[:1], left)
    rest = [name for name in left if name != options.time]
    if options.target is None:
        options.target = _ask_column("target, what the model learnt to predict", rest if len(rest) == 1 else [], rest)


def _times(cells: Sequence[Any]) -> bool:
    texts = [cell for cell in cells if isinstance(cell, str)]
    return bool(texts) and all(parse_time(text) is not None and cell_number(text) is None for text in texts)


def _ask_column(what: str, proposed: Sequence[str], known: Sequence[str]) -> str | None:
    print(f"Columns that are no input of the model: {', '.join(known) or 'none'}")
    question = f"Column with the {what} (- for none)"
    answer = _ask(question, [*proposed, "-"][:1], lambda text: text in (*known, "-"), known)
    return None if answer == "-" else column_name(answer)


def _ask(what: str, proposed: Sequence[str], good: Callable[[str], bool], known: Sequence[str] = ()) -> str:
    """Ask until the answer is good; an empty one takes the first proposal. `known`: what else is good, for a hint."""
    first = proposed[0] if proposed else ""
    while True:
        answer = input(f"{what}{f' [{first}]' if first else ''}: ").strip() or first
        if good(answer):
            return answer
        print(f"  there is no {answer!r}{did_you_mean(answer, known or proposed)}")


def next_steps(options: argparse.Namespace, replay: str) -> list[str]:
    """What to run next, in three lines. `replay`: that command; empty if the data have no times."""
    run = words.program()
    serve, send = f"{run} serve", f"{run} load --data {shlex.quote(str(options.data))} --count 1000 --batch 1000"
    rows = [(serve, "serves the model on http://127.0.0.1:5000, with its page and its alerts")]
    rows += [(send, "sends it rows, from a second terminal"), (f"{run} status", "says how things stand")]
    if not options.model:
        rows[:2] = [(serve, "takes what your service posts to http://127.0.0.1:5000/observe: docs/library.md")]
        rows += [(f"{run} test-alert", "sends a test message")]
    if replay:
        rows = [(f"{run} {replay}", "first, if these rows end shortly before now: their history"), *rows[:2]]
    return ["Next:", *(f"  {command}   # {what}" for command, what in rows)]
