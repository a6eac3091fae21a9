"""`python -m train`: train an example model, or build a reference from data of your own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from monitor.clock import SystemClock
from monitor.columns.canonical import column_name
from monitor.errors import DataError, TelltaleError
from monitor.reference.profile import Limits
from train.configure import configure
from train.dataset import Task, load_dataset
from train.describe import describe
from train.fit import MODEL_FILE, REFERENCE_FILE, check_free, fit, write_pair
from train.reference import make_reference
from train.selection import Request

DESCRIPTION = """\
Train an example model and write model.pkl and histogram.prom (its reference) into the current folder:
  python -m train                   diabetes, LinearRegression
  python -m train classification    iris, LogisticRegression on text labels
or write the reference of a model of your own:
  python -m train reference --data FILE --model FILE
"""


def parser(program: str = "python -m train") -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog=program, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands (default: regression)")
    force = argparse.ArgumentParser(add_help=False)
    force.add_argument("--force", action="store_true", help="overwrite files that are there")
    commands.add_parser("regression", parents=[force], help="train on the diabetes data; prints R2")
    commands.add_parser("classification", parents=[force], help="train on the iris data; prints weighted F1")
    own = "write histogram.prom for a model and data of your own"
    _reference_options(commands.add_parser("reference", parents=[force], help=own))
    top.set_defaults(force=False, called=program)
    for name, command in commands.choices.items():
        command.set_defaults(called=f"{program} {name}")
    return top


def _reference_options(command: argparse.ArgumentParser) -> None:
    bins, categories = Limits().bins, Limits().categories
    command.add_argument("--data", type=Path, required=True, metavar="FILE", help=".csv, .tsv, .jsonl or .parquet")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, metavar="FILE", help="the fitted model: .pkl, .joblib, .skops, .onnx")
    source.add_argument(
        "--prediction", action="append", default=[], metavar="A,B", help="or the columns that hold its predictions"
    )
    command.add_argument(
        "--proba", action="store_true", help="watch a classifier's probabilities too, a column a class"
    )
    command.add_argument("--target", metavar="COLUMN", help="what the model learnt to predict: no feature")
    for option, text in (
        ("--categorical", "these columns are categorical; names with commas between, may be repeated"),
        ("--numeric", "these columns are numeric"),
        ("--ignore", "leave these columns out; * stands for any text"),
    ):
        command.add_argument(option, action="append", default=[], metavar="A,B", help=text)
    command.add_argument("--bins", type=int, default=bins, metavar="N", help=f"bins of a numeric column ({bins})")
    command.add_argument(
        "--categories", type=int, default=categories, metavar="N", help=f"most categories of a column ({categories})"
    )
    command.add_argument("--skip-bad-rows", action="store_true", help="leave out rows that cannot be used, count them")
    command.add_argument(
        "--output", type=Path, default=Path(REFERENCE_FILE), metavar="FILE", help=f"file to write ({REFERENCE_FILE})"
    )


def main(arguments: Sequence[str] | None = None, program: str = "python -m train") -> int:
    """Run the command; return its exit code: 0, 1 (cannot write), 2 (wrong options, data or model), 130 (Ctrl-C).

    `program`: how it was called, for help and errors.
    """
    options = parser(program).parse_args(arguments)
    try:
        if options.command == "reference":
            reference(options)
        else:
            train(options.command or "regression", Path.cwd(), options.force)
    except TelltaleError as error:
        print(f"{options.called}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def train(task: Task, folder: Path, force: bool = False) -> None:
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
    print("Next: python -m server    serves it on http://127.0.0.1:5000; `make run` does the same")
    print(f"      python -m train.load{flag}    sends it some traffic, from a second terminal")


def reference(options: argparse.Namespace) -> None:
    """Build a reference from a file, and print what was decided."""
    clock = SystemClock()
    start = clock.monotonic()
    made = make_reference(request_from(options), clock, progress=sys.stderr.isatty())
    for line in describe(made, options.data, options.output, clock.monotonic() - start):
        print(line)
    if made.model:
        print(configure(made.reference, made.model.path, options.output, Path("config.toml")))


def request_from(options: argparse.Namespace) -> Request:
    """Turn options into a request. Raises DataError."""
    if not 2 <= options.bins <= 1_000 or not 1 <= options.categories <= 10_000:
        raise DataError("--bins must lie between 2 and 1000, --categories between 1 and 10000")
    if options.proba and not options.model:
        raise DataError("--proba asks the model, and so needs --model; name columns of probabilities with --prediction")
    return Request(
        data=options.data,
        model=options.model,
        predictions=_names(options.prediction),
        proba=options.proba,
        target=None if options.target is None else column_name(options.target),
        categorical=_names(options.categorical),
        numeric=_names(options.numeric),
        ignore=_names(options.ignore),
        limits=Limits(options.bins, options.categories),
        skip_bad_rows=options.skip_bad_rows,
        output=options.output,
        force=options.force,
    )


def _names(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(column_name(name.strip()) for text in texts for name in text.split(",") if name.strip())


if __name__ == "__main__":
    sys.exit(main())
