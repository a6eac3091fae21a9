"""`python -m train`: train an example model, or build a reference from data of your own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from monitor.errors import TelltaleError
from train.dataset import Task, load_dataset
from train.fit import MODEL_FILE, REFERENCE_FILE, fit, write_pair

DESCRIPTION = """\
Train an example model and write model.pkl and histogram.prom (its reference) into the current folder:
  python -m train                   diabetes, LinearRegression
  python -m train classification    iris, LogisticRegression on text labels
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python -m train", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands (default: regression)")
    commands.add_parser("regression", help="train on the diabetes data; prints R2")
    commands.add_parser("classification", help="train on the iris data; prints weighted F1")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    try:
        train(options.command or "regression", Path.cwd())
    except TelltaleError as error:
        print(f"train: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def train(task: Task, folder: Path) -> None:
    """Fit, write both files into `folder`, and say so."""
    data = load_dataset(task)
    fitted = fit(task, data)
    reference = write_pair(fitted, folder)
    model = type(fitted.model).__name__
    print(f"Trained {model} on the {data.title} data: {len(fitted.training)} training rows,", end=" ")
    print(f"{len(fitted.predictions)} test rows, {len(data.names)} features.")
    print(f"{fitted.score_name} on the test rows: {fitted.score:.3f}")
    print(f"Wrote {folder / MODEL_FILE} (SHA-256 {reference.info.model_sha256[:12]}...)")
    print(f"Wrote {folder / REFERENCE_FILE} (the reference: what the features and predictions look like now)")
    print("Next: python -m server (or make run), then open http://127.0.0.1:5000")
    flag = " -c" if task == "classification" else ""
    print(f"      python -m train.load{flag} sends it some traffic")


if __name__ == "__main__":
    sys.exit(main())
