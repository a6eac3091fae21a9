"""`python -m train.load`: send rows of the example data to a running server.

Without options it sends the load of the tutorial: sixty single rows at about ten a second, in which every feature but
the first stands still. With `--rate`, `--count`, `--shift` or `--batch` it sends rows drawn with replacement from the
whole data set: nothing drifts then but what `--shift` moves. With `--data` the rows are those of a file, for a model of
your own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import requests
from tqdm import tqdm

from monitor.clock import Clock, SystemClock
from monitor.errors import DataError, TelltaleError
from monitor.reference.file import Reference
from monitor.tables.parse import BadRows
from monitor.tables.read import open_reader
from train.dataset import Dataset, load_dataset
from train.fit import REFERENCE_FILE
from train.selection import list_names

URL = "http://127.0.0.1:5000/"
TIMEOUT = 10.0

#: The tutorial's rows: the first feature is drawn from a normal distribution (mean, deviation), the others stand still.
TUTORIAL_DIABETES = ([0.03, 0.05, -0.002, -0.01, 0.04, 0.01, 0.08, -0.04, 0.005, -0.1], 0.0, 0.05)
TUTORIAL_IRIS = ([6.1, 2.8, 4.7, 1.2], 6.0, 2.0)

#: Rows of a file that are kept to draw from.
MAX_ROWS = 20_000

Row = list[float] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `rate` rows a second (0: as fast as they are answered), `batch` rows a request."""

    rate: float = 10.0
    count: int = 60
    batch: int = 1


@dataclass
class Outcome:
    """What came back."""

    sent: int = 0
    failed: int = 0
    seconds: float = 0.0
    sample: list[tuple[Row, object]] = field(default_factory=list)
    first_failure: str = ""

    @property
    def per_second(self) -> float:
        """Rows a second."""
        return self.sent / self.seconds if self.seconds else 0.0


def tutorial_rows(classification: bool, seed: int | None) -> Iterator[Row]:
    """Rows of the tutorial, without end."""
    base, mean, deviation = TUTORIAL_IRIS if classification else TUTORIAL_DIABETES
    dice = random.Random(seed)
    while True:
        yield [dice.gauss(mean, deviation), *base[1:]]


def resampled_rows(data: Dataset, shifts: Mapping[str, float], seed: int | None) -> Iterator[Row]:
    """Rows drawn with replacement from the data set, each named feature moved by so many standard deviations."""
    dice = np.random.default_rng(seed)
    moved = data.rows + data.deviations * np.array([shifts.get(name, 0.0) for name in data.names])
    while True:
        yield from moved[dice.integers(len(moved), size=1_000)].tolist()


def rows_of_file(path: Path, reference: Reference, shifts: Mapping[str, float], seed: int | None) -> Iterator[Row]:
    """Rows by name, drawn with replacement from the first rows of a file, with what the reference's model takes.

    Raises DataError where the file lacks a column. The first row is read before anything is returned.
    """
    schema = reference.schema
    reader = open_reader(path, BadRows(str(path), skip=True))
    lacking = [column.name for column in schema.features if column.name not in reader.names]
    if lacking:
        raise DataError(
            f"{path}: has no column {lacking[0]!r}, which the reference watches; it has {list_names(reader.names)}"
        )
    names = [column.name for column in schema.features]
    columns: list[list[Any]] = [[] for _ in names]
    for chunk in reader.chunks(names, {}):
        for values, block, column, deviation in zip(
            columns, chunk, schema.features, reference.deviations, strict=False
        ):
            moved = shifts.get(column.name, 0.0) * (deviation if column.numeric else 0.0)
            values += [_plain(value, moved) for value in (block.tolist() if isinstance(block, np.ndarray) else block)]
        if len(columns[0]) >= MAX_ROWS:
            break
    if not columns or not columns[0]:
        raise DataError(f"{path}: holds no row that can be used")
    dice = random.Random(seed)
    table = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return iter(lambda: dice.choice(table), None)


def _plain(value: float | str | None, moved: float) -> object:
    """A value as JSON and a model have it: whole numbers without a fraction, booleans, null where it is missing."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value += moved
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return {"true": True, "false": False}.get(value, value) if value is not None else None


def read_shifts(texts: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Read FEATURE=SIGMAS.

    >>> read_shifts(["bmi=1.5"], ["age", "bmi"])
    {'bmi': 1.5}

    Raises DataError that lists the known features.
    """
    shifts: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        try:
            sigmas = float(number)
        except ValueError:
            sigmas = math.nan
        if not equals or not math.isfinite(sigmas):
            raise DataError(f"--shift {text}: expected FEATURE=SIGMAS, such as {names[0]}=1")
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise DataError(f"--shift {text}: there is no feature {name!r}{hint}; the features are {', '.join(names)}")
        shifts[name] = sigmas
    return shifts


def send(rows: Iterator[Row], load: Load, url: str, outcome: Outcome, clock: Clock, progress: Any) -> None:
    """Send `load.count` rows, evenly paced; fills `outcome`.

    Raises TelltaleError where no server answers, or where it refuses the very first request.
    """
    never = threading.Event()
    start = clock.monotonic()
    with requests.Session() as session:
        session.trust_env = False  # a proxy of the environment has no business between a person and their own machine
        session.headers["Content-Type"] = "application/json"
        while outcome.sent < load.count:
            if load.rate:
                due = start + outcome.sent / load.rate
                if (wait := due - clock.monotonic()) > 0:
                    clock.wait(never, wait)
            batch = [next(rows) for _ in range(min(load.batch, load.count - outcome.sent))]
            _post(session, url, batch, single=load.batch == 1, outcome=outcome)
            outcome.seconds = clock.monotonic() - start
            progress.update(len(batch))


_OTHER_MODEL = (
    "; does it serve another model? -c sends iris rows, --data FILE rows of your own, such as the file of its training"
)


def _post(session: requests.Session, url: str, batch: list[Row], *, single: bool, outcome: Outcome) -> None:
    body = json.dumps(batch[0] if single else batch)
    try:
        answer = session.post(url, data=body, timeout=TIMEOUT)
    except requests.exceptions.InvalidURL as error:
        raise TelltaleError(f"{url} is not a URL: {error}") from error
    except requests.RequestException as error:
        if outcome.sent:
            raise TelltaleError(f"{url} stopped answering after {outcome.sent} rows: {_why(error)}") from error
        raise TelltaleError(f"no server answers at {url}: {_why(error)}; `make run` starts one") from error
    if answer.status_code != 200:
        failure = f"HTTP {answer.status_code}: {_message(answer)}"
        if not outcome.sent and 400 <= answer.status_code < 500:
            hint = "" if isinstance(batch[0], dict) else _OTHER_MODEL
            raise TelltaleError(f"the server at {url} refuses the rows: {failure}{hint}")
        outcome.first_failure = outcome.first_failure or failure
        outcome.failed += len(batch)
    outcome.sent += len(batch)
    if answer.status_code != 200:
        return
    if len(outcome.sample) < 3:
        try:
            content = answer.json()
            result = content["result"] if single else content["results"][0]
        except (ValueError, KeyError, IndexError, TypeError):
            raise TelltaleError(f"{url} answers, but not as Telltale does: {answer.text[:80]!r}") from None
        outcome.sample.append((batch[0], result))


def _message(answer: requests.Response) -> str:
    try:
        error = answer.json()["error"]
        where = f" ({error['where']})" if error.get("where") else ""
        return f"{error['message']}{where}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return " ".join(answer.text.split())[:120] or answer.reason


def _why(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:.0f} seconds"
    text = str(error)
    if "refused" in text:
        return "connection refused"
    return "name not known" if "resolve" in text or "Name or service" in text else type(error).__name__


def parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog=program,
        description="Send rows of the example data to a running server: by default the tutorial's load, 60 rows at 10 "
        "a second with all but the first feature standing still. With --rate, --count, --shift or --batch: rows "
        "resampled from the whole data set, so that nothing drifts but what --shift moves. --data: rows of a file.",
    )
    top.add_argument("-c", "--classification", action="store_true", help="iris rows, for the classifier")
    top.add_argument("--data", type=Path, metavar="FILE", help="rows of a file, for a model of your own, by name")
    top.add_argument(
        "--reference",
        type=Path,
        default=Path(REFERENCE_FILE),
        metavar="FILE",
        help="with --data: the model's reference, which says what it takes (default: %(default)s)",
    )
    top.add_argument("--url", default=URL, help="where the server is (default: %(default)s)")
    top.add_argument(
        "--rate",
        type=_not_negative,
        metavar="N",
        help="rows a second; 0: as fast as they are answered (default: 10, resampled: 100)",
    )
    top.add_argument("--count", type=_positive, metavar="N", help="rows in all (default: 60, resampled: 1000)")
    top.add_argument("--batch", type=_positive, metavar="N", help="rows in a request (default: 1)")
    top.add_argument(
        "--shift",
        action="append",
        default=[],
        metavar="FEATURE=SIGMAS",
        help="move a feature by so many of its standard deviations; may be repeated",
    )
    top.add_argument("--seed", type=int, metavar="N", help="send the same rows each time")
    return top


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a rate: 0 or more rows a second")
    return number


def plan(options: argparse.Namespace) -> tuple[Iterator[Row], Load, str]:
    """Turn options into rows, a load, and a line that says what will be sent. Raises DataError."""
    if options.data is not None:
        return _plan_of_file(options)
    resampled = options.rate is not None or options.count or options.batch or options.shift
    data = load_dataset("classification" if options.classification else "regression")
    if not resampled:
        text = f"60 {data.title} rows, about 10 a second: {data.names[0]} varies, the other features stand still"
        return tutorial_rows(options.classification, options.seed), Load(), text
    shifts = read_shifts(options.shift, data.names)
    load = Load(100.0 if options.rate is None else options.rate, options.count or 1_000, options.batch or 1)
    text = _described(load, f"the {data.title} data", shifts)
    return resampled_rows(data, shifts, options.seed), load, text


def _plan_of_file(options: argparse.Namespace) -> tuple[Iterator[Row], Load, str]:
    reference = Reference.load(options.reference)
    features = reference.schema.features
    shifts = read_shifts(options.shift, [column.name for column in features if column.numeric])
    load = Load(100.0 if options.rate is None else options.rate, options.count or 1_000, options.batch or 1)
    return (
        rows_of_file(options.data, reference, shifts, options.seed),
        load,
        _described(load, str(options.data), shifts),
    )


def _described(load: Load, source: str, shifts: Mapping[str, float]) -> str:
    moved = ", ".join(f"{name} moved by {sigmas:+g} standard deviations" for name, sigmas in shifts.items())
    pace = f"{load.rate:g} a second" if load.rate else "as fast as they are answered"
    return f"{load.count} rows resampled from {source}, {pace}: {moved or 'nothing moved'}"


def main(
    arguments: Sequence[str] | None = None, clock: Clock | None = None, program: str = "python -m train.load"
) -> int:
    """Run the command; return its exit code: 0, 1 (a row failed or no server), 2 (wrong options), 130 (Ctrl-C).

    `program`: how it was called, for help and errors.
    """
    options = parser(program).parse_args(arguments)
    outcome = Outcome()
    url = options.url if "://" in options.url else f"http://{options.url}"
    code = 0
    try:
        rows, load, text = plan(options)
        print(f"Sending to {url}\n  {text}", flush=True)
        seldom = 0.1 if sys.stderr.isatty() else 5.0  # in a log file each step would be a line's worth of text
        with tqdm(total=load.count, unit=" rows", mininterval=seldom, dynamic_ncols=True) as progress:
            try:
                send(rows, load, url, outcome, clock or SystemClock(), progress)
            finally:
                progress.leave = bool(outcome.sent)
    except TelltaleError as error:
        print(f"{program}: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    if outcome.sent:
        report(outcome, url)
    return code or int(bool(outcome.failed))


def _shown(row: Row) -> str:
    if isinstance(row, dict):
        more = ", ..." if len(row) > 4 else ""
        return "{" + ", ".join(f"{name}: {value}" for name, value in list(row.items())[:4]) + more + "}"
    return f"[{', '.join(f'{value:.3g}' for value in row)}]"


def report(outcome: Outcome, url: str) -> None:
    """Print a sample of the answers and a summary."""
    for row, answer in outcome.sample:
        print(f"  {_shown(row)} -> {answer}")
    if len(outcome.sample) < outcome.sent - outcome.failed:
        print("  ...")
    print(f"Sent {outcome.sent} rows in {outcome.seconds:.1f} s ({outcome.per_second:.1f} a second), ", end="")
    print(f"{outcome.failed} failed." if outcome.failed else "none failed.")
    if outcome.first_failure:
        print(f"First failure: {outcome.first_failure}", file=sys.stderr)
    if outcome.sent > outcome.failed:
        print(f"Open {url} to see what has drifted; it is worked out anew every minute, unless configured otherwise.")


if __name__ == "__main__":
    sys.exit(main())
