"""`telltale train`, `init` and `reference`: train an example model, or build a reference from data of your own."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from monitor import words
from monitor.backtest.propose import propose, propose_settings
from monitor.cli.check import check
from monitor.cli.command import JSON, Answer, Parser, show
from monitor.columns.canonical import column_name
from monitor.config.load import Config
from monitor.config.settings import DriftConfig, ModelConfig
from monitor.errors import DataError, TelltaleError
from monitor.models.facts import title
from monitor.outcomes.performance import METRICS, measure
from monitor.reference.file import Reference, write_atomically
from monitor.reference.profile import Limits
from monitor.warehouse.engine import url_of
from train.fit import MODEL_FILE, REFERENCE_FILE, Task, check_free, fit, load_dataset, write_pair
from train.init import ask_for_missing, next_steps, read_times, settings
from train.reference import Made, make_reference
from train.selection import Aim, Request

DESCRIPTION = """\
Train an example model and write model.pkl and histogram.prom (its reference) into the current folder:
  {0} train                   diabetes, LinearRegression
  {0} train classification    iris, LogisticRegression on text labels
or make a model of your own ready to be served:
  {0} init                    asks what it must know, and writes the reference and config.toml
  {0} reference --data FILE --model FILE    the reference only
"""

#: Rows below which a reference is called small: chance alone moves a share by several hundredths then.
FEW = 300


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    program, form = words.program(), argparse.RawDescriptionHelpFormatter
    top = Parser(prog=f"{program} train", description=DESCRIPTION.format(program), formatter_class=form)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands (default: regression)")
    force = Parser(add_help=False)
    force.add_argument("--force", action="store_true", help="overwrite files that are there")
    commands.add_parser("regression", parents=[force], help="train on the diabetes data; prints R2")
    commands.add_parser("classification", parents=[force], help="train on the iris data; prints weighted F1")
    own = "write histogram.prom for a model and data of your own"
    made = commands.add_parser("reference", prog=f"{program} reference", parents=[force], help=own)
    made.add_argument("--json", action="store_true", help=JSON)
    _add_options(made, True)
    own = "write histogram.prom and config.toml for a model and data of your own, and check them"
    init = commands.add_parser("init", prog=f"{program} init", parents=[force], help=own, description=own)
    _add_options(init, False)
    top.set_defaults(force=False, json=False)
    return top


def _add_options(command: argparse.ArgumentParser, needed: bool) -> None:
    """Add the options of `reference`. `needed`: data and model cannot be asked for."""
    add, limits = command.add_argument, Limits()
    names: dict[str, Any] = {"type": _names, "action": "extend", "default": [], "metavar": "A,B"}
    rows = command.add_mutually_exclusive_group(required=needed)
    rows.add_argument("--data", type=Path, metavar="FILE", help=".csv, .tsv, .jsonl or .parquet")
    url = "a table of a database, by its URL or the environment variable that has it; needs --prediction"
    rows.add_argument("--table", metavar="URL#TABLE", help=url if needed else argparse.SUPPRESS)
    add("--approximate", action="store_true", help="with --table: edges at approximate percentiles, in one scan each")
    source = command.add_mutually_exclusive_group(required=needed)
    source.add_argument("--model", type=Path, metavar="FILE", help="the fitted model: .pkl, .joblib, .skops, .onnx")
    source.add_argument("--prediction", **names, dest="predictions", help="or the columns that hold its predictions")
    add("--proba", action="store_true", help="watch a classifier's probabilities too, a column a class")
    add("--target", type=column_name, metavar="COLUMN", help="what the model learnt to predict: no feature")
    history = "when each row was: no feature; says how to make the rows known as history"
    add("--time", type=column_name, metavar="COLUMN", help=history)
    add("--time-format", default="", metavar="FORMAT", help="how it is written, as for strptime")
    add("--holdout", type=Path, metavar="FILE", help="rows that the model was not trained on: how well it does there")
    add("--positive", metavar="CLASS", help="of two classes, the one that precision and recall speak of")
    add("--interval", **names, help="the predictions that are the lower and the upper bound of the target")
    add("--quantile", type=float, metavar="TAU", help="which quantile of the target the model predicts, such as 0.9")
    worth = {**names, "type": _values, "metavar": "CAME:ANSWERED=X"}
    add("--value", **worth, help="what an answer is worth, by class that came true")
    add("--score", action="store_true", help="the target is a score or reward of an answer, compared with nothing")
    add("--categorical", **names, help="these columns are categorical; names with commas between, may be repeated")
    add("--numeric", **names, help="these columns are numeric")
    add("--ignore", **names, help="leave these columns out; * stands for any text")
    add("--bins", type=int, default=limits.bins, metavar="N", help="bins of a numeric column (%(default)s)")
    categories = "most categories of a column (%(default)s)"
    add("--categories", type=int, default=limits.categories, metavar="N", help=categories)
    add("--skip-bad-rows", action="store_true", help="leave out rows that cannot be used, count them")
    add("--output", type=Path, default=Path(REFERENCE_FILE), metavar="FILE", help="file to write (%(default)s)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 (cannot write), 2 (wrong options, data or model), 130 (Ctrl-C)."""
    texts = sys.argv[1:] if arguments is None else arguments
    try:
        options = build_parser().parse_args(texts)
        if options.command == "reference":
            show(reference(options), options.json)
        elif options.command == "init":
            show(init(options, Path("config.toml")), False)
        else:
            train(options.command or "regression", Path.cwd(), options.force)
    except TelltaleError as error:
        command = texts[0] if texts[:1] and texts[0] in ("reference", "init") else "train"
        print(f"{words.program()} {command}: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, EOFError):
        return 130
    return 0


def train(task: Task, folder: Path, force: bool) -> None:
    """Fit, write both files into `folder`, and say so. `force`: also over files that are there."""
    if not force:
        check_free(folder)
    data = load_dataset(task)
    fitted = fit(task, data)
    written = write_pair(fitted, folder)
    flag = " -c" if task == "classification" else ""
    print(f"Trained {type(fitted.model).__name__} on the {data.title} data: ", end="")
    print(f"{len(data.names)} features, {len(fitted.training)} training rows, {len(fitted.predictions)} test rows.")
    print(f"{fitted.score_name} on the test rows: {fitted.score:.3f}")
    print(f"Wrote {folder / MODEL_FILE}  (SHA-256 {written.info.model_sha256[:12]}...)")
    print(f"Wrote {folder / REFERENCE_FILE}  (the reference that live data is compared with)")
    print(f"Next: {words.program()} serve    serves it on http://127.0.0.1:5000")
    print(f"      {words.program()} load{flag}    sends it some traffic, from a second terminal")


def reference(options: argparse.Namespace) -> Answer:
    """Build a reference from a file, and say what was decided."""
    times = read_times(options) if options.time and not options.table else None
    made, proposal = make_reference(request_from(options), progress=sys.stderr.isatty()), None
    lines = [*describe(made, options)]
    there = Config.load().model if Path("config.toml").exists() else ModelConfig()
    wanted = {} if made.model is None else model_settings(options, made.reference)
    if differ := [f"{key} = {json.dumps(value)}" for key, value in wanted.items() if getattr(there, key) != value]:
        lines.append(f"config.toml needs, under [model]: {', '.join(differ)}; {words.program()} init writes it")
    if times is not None:
        proposal = propose(times, DriftConfig().min_samples).to_json()
        lines += ["These windows suit the traffic; for config.toml:\n", *propose_settings(made.reference, times), ""]
        lines += ["If these rows end shortly before the service begins, their replay lets it begin with them known:"]
        lines += [f"  {words.program()} {_replay(options)}"]
    columns = [
        {"name": of.column.name, "role": of.column.role, "kind": of.column.kind}
        | {"missing": of.missing_share, "reason": of.reason}
        for of in made.decisions
    ]
    data = {"file": str(options.output), "rows": made.reference.info.rows, "bad_rows": made.bad.count}
    data |= {"columns": columns, "left_out": dict(made.left_out), "settings": wanted, "proposal": proposal}
    baseline = made.reference.baseline
    return Answer(lines, {**data, "performance": [*map(asdict, measure(baseline.sums).values())] if baseline else []})


def init(options: argparse.Namespace, config: Path) -> Answer:
    """Write the reference and the settings of a model, check them, and say what to run next."""
    if config.exists() and not options.force:
        raise DataError(f"{config}: exists; --force overwrites it and {options.output}")
    if options.table:
        raise DataError("--table: is for the command reference; a table as a source: docs/warehouse.md")
    ask_for_missing(options)
    times = read_times(options) if options.time else None
    made = make_reference(request_from(options), progress=sys.stderr.isatty())
    lines = [*describe(made, options)]
    text = settings(model_settings(options, made.reference), made.reference, options.data, times)
    lines += [f"{'Overwrote' if config.exists() else 'Wrote'} {config}:\n", text]
    write_atomically(config, text.encode())
    steps = next_steps(options, _replay(options) if options.time else "")
    return Answer(chain(lines, check(options, Config.load(config)).lines, ["", *steps]))


def model_settings(options: argparse.Namespace, made: Reference) -> dict[str, Any]:
    """What `[model]` has to say for a model and its reference."""
    features = zip(made.schema.features, made.schema.split(made.counts), strict=False)
    missing = any(counts[column.missing_bin] for column, counts in features)
    return {
        "path": str(options.model or ""),
        "reference": str(options.output),
        "missing": "allow" if missing else "refuse",
        "proba": any(column.name.startswith("proba_") for column in made.schema.predictions) and bool(options.model),
    }


def _replay(options: argparse.Namespace) -> str:
    model = ["--model-file", str(options.model)] if options.model else []
    columns = [word for name in options.predictions for word in ("--prediction", name)]
    form = ["--time-format", options.time_format] if options.time_format else []
    return shlex.join(["replay", str(options.data), "--time", options.time, *form, "--every", "1h", *model, *columns])


def request_from(options: argparse.Namespace) -> Request:
    """Turn options into a request. Raises DataError."""
    if not 2 <= options.bins <= 1_000 or not 1 <= options.categories <= 10_000:
        raise DataError("--bins must be between 2 and 1000, --categories between 1 and 10000")
    if options.proba and not options.model:
        raise DataError("--proba asks the model, and so needs --model; name columns of probabilities with --prediction")
    if options.approximate and not options.table:
        raise DataError("--approximate: edges of a file are exact; it goes with --table")
    database = None
    if options.table:
        address, _, name = options.table.rpartition("#")
        if options.model:
            raise DataError("--table: its rows are not read one by one, so no model answers them; use --prediction")
        database, options.data = address if "://" in address else url_of(address), Path(name)
    aim = Aim(options.positive, tuple(options.interval), options.quantile, tuple(options.value), options.score)
    parts: dict[str, Any] = {"database": database, "aim": aim, "limits": Limits(options.bins, options.categories)}
    others = Request.__dataclass_fields__.keys() - parts.keys()
    return Request(**{name: getattr(options, name) for name in others}, **parts)


def _values(text: str) -> list[tuple[str, str, float]]:
    """Read `CAME:ANSWERED=X`, with commas between. Raises DataError."""
    matches = [re.fullmatch(r"(.+):(.+)=(-?[0-9.]+)", part.strip()) for part in text.split(",")]
    if None in matches:
        raise DataError(f"--value {text}: expected CAME:ANSWERED=NUMBER, such as yes:no=-100")
    return [(match[1], match[2], float(match[3])) for match in matches if match]


def _names(text: str) -> list[str]:
    return [column_name(name.strip()) for name in text.split(",") if name.strip()]


def describe(made: Made, options: argparse.Namespace) -> Iterator[str]:
    """Say what was decided for each column, why, and how to change it."""
    answers = f"predictions of {title(made.model.estimator)}" if made.model else "predictions from the data"
    rows = made.reference.info.rows
    yield f"Read {words.counted(rows, 'row')} of {options.data}; {answers}."
    if rows < FEW:
        yield f"That is a small reference: only large changes will show. From {FEW} rows on it is a sound one."
    if made.bad.count:
        more = "; ..." if made.bad.count > len(made.bad.examples) else ""
        yield f"Bad rows skipped: {made.bad.count:,} ({'; '.join(made.bad.examples)}{more})"
    table: list[tuple[str, ...]] = []
    for decision in made.decisions:
        column, missing = decision.column, decision.missing_share
        plain = column.role == "feature" or column.name == "prediction"
        name = column.name if plain else f"{column.name} (prediction)"
        table.append((name, column.kind, f"{missing:.1%}" if missing else "-", decision.reason))
    table += [(name, "left out", "", reason) for name, reason in made.left_out]
    yield from ["", *words.table(("column", "kind", "missing", "why"), table, right=[2]), ""]
    yield from _performance(made)
    yield f"Wrote {options.output}: {made.reference.schema.size:,} bins of {len(made.decisions):,} columns."
    yield "To change a kind: --categorical COLUMN or --numeric COLUMN; to leave a column out: --ignore COLUMN."


def _performance(made: Made) -> Iterator[str]:
    """Say how well the model does on the held-out rows, or how to find out."""
    baseline = made.reference.baseline
    if baseline is None:
        yield "No performance is in the reference: --target COLUMN --holdout FILE takes rows that the model was not"
        yield "trained on; on its training rows it would look better than it is."
        return
    known = measure(baseline.sums)
    shown = [known[name] for name in ("accuracy", "roc_auc", "f1", "macro_f1", "mae", "r2") if name in known]
    numbers = ", ".join(f"{METRICS[x.metric]} {x.value:.4g} ({x.low:.4g} to {x.high:.4g})" for x in shown)
    yield f"On {words.counted(baseline.sums.n, 'row')} of {baseline.source}: {numbers}."
    if made.bad_holdout.count:
        yield f"Bad rows skipped there: {made.bad_holdout.count:,} ({'; '.join(made.bad_holdout.examples)})"
    important = [(name, share) for name, share in baseline.importance.items() if share]
    if important := sorted(important, key=lambda pair: -pair[1])[:5]:
        yield f"Most important: {', '.join(f'{name} {share:.0%}' for name, share in important)}."


if __name__ == "__main__":
    sys.exit(main())
