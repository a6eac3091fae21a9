"""`telltale load`: send rows of the example data, or of a file, to a running server.

Without options it sends the load of the tutorial: sixty single rows at about ten a second, in which every feature but
the first stands still. With `--rate`, `--count`, `--shift` or `--batch` it sends rows drawn with replacement from the
whole data set: nothing drifts then but what `--shift` moves. With `--outcomes` what the data set says of a row follows
its prediction. With `--data` the rows are those of a file, for a model of your own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import numpy.typing as npt
import requests
from tqdm import tqdm

from monitor import words
from monitor.cli.command import length
from monitor.clock import Clock, SystemClock
from monitor.config.settings import did_you_mean
from monitor.errors import DataError, TelltaleError
from monitor.notify.http import explain
from monitor.reference.file import Reference
from monitor.tables.parse import BadRows
from monitor.tables.read import open_reader
from train.fit import REFERENCE_FILE, Dataset, load_dataset
from train.selection import list_names

URL = "http://127.0.0.1:5000/"
TIMEOUT = 10.0

#: The tutorial's rows: the first feature is drawn from a normal distribution (mean, deviation), the others stand still.
TUTORIAL_DIABETES = ([0.03, 0.05, -0.002, -0.01, 0.04, 0.01, 0.08, -0.04, 0.005, -0.1], 0.0, 0.05)
TUTORIAL_IRIS = ([6.1, 2.8, 4.7, 1.2], 6.0, 2.0)

#: Rows of a file that are kept to draw from.
MAX_ROWS = 20_000

OTHER_MODEL = (
    "; does it serve another model? -c sends iris rows, --data FILE rows of your own, such as the file of its training"
)

#: Largest number of an option.
MOST = 1e9

#: Outcomes in one request, at most.
OUTCOMES_A_REQUEST = 1_000

Row = list[float] | dict[str, Any]

#: A row and its outcome; None if no outcome is sent.
Case = tuple[Row, object]


@dataclass
class Load:
    """What to send, and what came back.

    `text` describes the rows. `rate`: rows a second, 0 for as fast as they are answered. `batch`: rows a request.
    `delay`: seconds from a prediction to its outcome. `due`: outcomes to send, each with its time.
    """

    rows: Iterator[Case]
    text: str
    rate: float = 10.0
    count: int = 60
    batch: int = 1
    delay: float = 0.0
    due: deque[tuple[float, dict[str, object]]] = field(default_factory=deque)
    outcomes_sent: int = 0
    sent: int = 0
    failed: int = 0
    seconds: float = 0.0
    sample: list[tuple[Row, object]] = field(default_factory=list)
    first_failure: str = ""


def tutorial_rows(classification: bool, seed: int | None) -> Iterator[Case]:
    """Rows of the tutorial, without end."""
    base, mean, deviation = TUTORIAL_IRIS if classification else TUTORIAL_DIABETES
    dice = random.Random(seed)
    while True:
        yield [dice.gauss(mean, deviation), *base[1:]], None


def resampled_rows(data: Dataset, shifts: Mapping[str, float], seed: int | None, flip: float = 0.0) -> Iterator[Case]:
    """Rows drawn with replacement from the data set, each named feature moved by its number of standard deviations.

    The outcome is that of the row before it was moved; `flip`: share of outcomes that are sent wrong.
    """
    dice = np.random.default_rng(seed)
    (coin,) = dice.spawn(1)
    moved = data.rows + data.deviations * np.array([shifts.get(name, 0.0) for name in data.names])
    while True:
        drawn = dice.integers(len(moved), size=1_000)
        wrong = coin.random(len(drawn)) < flip
        outcomes = np.where(wrong, flipped(data.target, drawn, coin), data.target[drawn])
        yield from zip(moved[drawn].tolist(), outcomes.tolist(), strict=True)


def flipped(target: npt.NDArray[Any], drawn: npt.NDArray[np.intp], coin: np.random.Generator) -> npt.NDArray[Any]:
    """Wrong outcomes of the drawn rows: another class, or the number as far on the other side of the mean.

    >>> flipped(np.array(["no", "yes"]), np.array([0, 1, 1]), np.random.default_rng(0)).tolist()
    ['yes', 'no', 'no']
    """
    if target.dtype.kind == "f":
        mirrored: npt.NDArray[Any] = 2 * target.mean() - target[drawn]
        return mirrored
    classes, codes = np.unique(target, return_inverse=True)
    others: npt.NDArray[Any] = classes[(codes[drawn] + coin.integers(1, len(classes), len(drawn))) % len(classes)]
    return others


def rows_of_file(path: Path, reference: Reference, shifts: Mapping[str, float], seed: int | None) -> Iterator[Case]:
    """Rows by name, drawn with replacement from the first rows of a file, with what the reference's model takes.

    The file is read before this returns. Raises DataError if it lacks a column, or has no row that can be used.
    """
    features = reference.schema.features
    names = [column.name for column in features]
    reader = open_reader(path, BadRows(str(path), skip=True))
    lacking = [name for name in names if name not in reader.names]
    if lacking:
        there = f"it has {list_names(reader.names)}"
        raise DataError(f"{path}: has no column {lacking[0]!r}, which the reference watches; {there}")
    pairs = zip(features, reference.deviations, strict=False)
    moved = [shifts.get(column.name, 0.0) * deviation if column.numeric else 0.0 for column, deviation in pairs]
    table: list[Case] = []
    for chunk in reader.chunks(names, {}):
        blocks = [block.tolist() if isinstance(block, np.ndarray) else block for block in chunk]
        for row in zip(*blocks, strict=True):
            table.append(({name: _plain(*pair) for name, *pair in zip(names, row, moved, strict=True)}, None))
        if len(table) >= MAX_ROWS:
            break
    if not table:
        raise DataError(f"{path}: holds no row that can be used")
    dice = random.Random(seed)
    return iter(lambda: dice.choice(table), None)


def _plain(value: float | str | None, moved: float) -> object:
    """A value as JSON and a model have it: whole numbers without a fraction, booleans, null if it is missing."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value += moved
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return {"true": True, "false": False}.get(value, value) if value is not None else None


def read_shifts(texts: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Read FEATURE=SIGMAS. Raises DataError that lists the known features.

    >>> read_shifts(["bmi=1.5"], ["age", "bmi"])
    {'bmi': 1.5}
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
            known = f"; the features are {', '.join(names)}"
            raise DataError(f"--shift {text}: there is no feature {name!r}{did_you_mean(name, names)}{known}")
        shifts[name] = sigmas
    return shifts


def plan(options: argparse.Namespace) -> Load:
    """Turn options into what to send. Raises DataError and ReferenceFileError."""
    if (options.flip or options.delay) and not options.outcomes:
        raise DataError("--flip and --delay are about outcomes: add --outcomes")
    if options.data is not None:
        if options.outcomes:
            own = f"`{words.program()} outcomes FILE` sends your own"
            raise DataError(f"--outcomes sends those of the example data; {own}")
        reference, source = Reference.load(options.reference), str(options.data)
        shifts = read_shifts(options.shift, [column.name for column in reference.schema.features if column.numeric])
        rows = rows_of_file(options.data, reference, shifts, options.seed)
    else:
        data = load_dataset("classification" if options.classification else "regression")
        if options.rate is None and not (options.count or options.batch or options.shift or options.outcomes):
            text = f"60 {data.title} rows, about 10 a second: {data.names[0]} varies, the other features stand still"
            return Load(tutorial_rows(options.classification, options.seed), text)
        shifts, source = read_shifts(options.shift, data.names), f"the {data.title} data"
        rows = resampled_rows(data, shifts, options.seed, options.flip)
        if not options.outcomes:
            rows = ((row, None) for row, _ in rows)
    rate, count = 100.0 if options.rate is None else options.rate, options.count or 1_000
    pace = f"{rate:g} a second" if rate else "as fast as they are answered"
    moved = ", ".join(f"{name} moved by {sigmas:+g} standard deviations" for name, sigmas in shifts.items())
    text = f"{count} rows resampled from {source}, {pace}: {moved or 'nothing moved'}"
    if options.outcomes:
        text += f"; with outcomes, {options.flip:.0%} of them turned round"
    return Load(rows, text, rate, count, options.batch or 1, options.delay)


def send(load: Load, url: str, clock: Clock, progress: Any) -> None:
    """Send `load.count` rows, evenly paced, with their outcomes if there are any, and note in `load` what came back.

    Raises TelltaleError if no server answers, or if it refuses the very first request or outcomes.
    """
    never = threading.Event()
    start = clock.monotonic()
    with requests.Session() as session:
        session.trust_env = False  # a proxy of the environment has no business between a person and their own machine
        session.headers["Content-Type"] = "application/json"
        while load.sent < load.count:
            if load.rate and (wait := start + load.sent / load.rate - clock.monotonic()) > 0:
                clock.wait(never, wait)
            batch = [next(load.rows) for _ in range(min(load.batch, load.count - load.sent))]
            ids = _predict(session, url, [row for row, _ in batch], load)
            load.seconds = clock.monotonic() - start
            at = clock.monotonic() + load.delay
            for prediction_id, (_, outcome) in zip(ids, batch, strict=False):
                if outcome is not None:
                    load.due.append((at, {"id": prediction_id, "outcome": outcome}))
            _send_due_outcomes(session, url, load, clock.monotonic())
            progress.update(len(batch))
        while load.due:
            clock.wait(never, max(load.due[0][0] - clock.monotonic(), 0.0))
            _send_due_outcomes(session, url, load, clock.monotonic())


def _send_due_outcomes(session: requests.Session, url: str, load: Load, now: float) -> None:
    while load.due and load.due[0][0] <= now:
        ready = min(OUTCOMES_A_REQUEST, sum(at <= now for at, _ in load.due))
        outcomes = [load.due.popleft()[1] for _ in range(ready)]
        answer = _post(session, urljoin(url, "outcomes"), outcomes, load)
        if answer.status_code != 200:
            raise TelltaleError(f"the server refuses outcomes: HTTP {answer.status_code}: {_message(answer)}")
        load.outcomes_sent += ready


def _post(session: requests.Session, url: str, content: object, load: Load) -> requests.Response:
    try:
        return session.post(url, data=json.dumps(content), timeout=TIMEOUT)
    except requests.exceptions.InvalidURL as error:
        raise TelltaleError(f"{url} is not a URL: {error}") from error
    except requests.RequestException as error:
        if load.sent:
            raise TelltaleError(f"{url} stopped answering after {load.sent} rows: {explain(error)}") from error
        start = f"`{words.program()} serve` starts one"
        raise TelltaleError(f"no server answers at {url}: {explain(error)}; {start}") from error


def _predict(session: requests.Session, url: str, batch: list[Row], load: Load) -> list[str]:
    """Send rows; return the ids of their predictions, none if the request failed."""
    single = load.batch == 1
    ids: list[str] = []
    answer = _post(session, url, batch[0] if single else batch, load)
    if answer.status_code != 200:
        failure = f"HTTP {answer.status_code}: {_message(answer)}"
        if not load.sent and 400 <= answer.status_code < 500:
            hint = "" if isinstance(batch[0], dict) else OTHER_MODEL
            raise TelltaleError(f"the server at {url} refuses the rows: {failure}{hint}")
        load.first_failure = load.first_failure or failure
        load.failed += len(batch)
    else:
        try:
            content = answer.json()
            load.sample.append((batch[0], content["result"] if single else content["results"][0]))
            ids = [content["prediction_id"]] if single else content["prediction_ids"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise TelltaleError(f"{url} answers, but not as Telltale does: {answer.text[:80]!r}") from None
        del load.sample[3:]
    load.sent += len(batch)
    return ids


def _message(answer: requests.Response) -> str:
    try:
        error = answer.json()["error"]
        where = f" ({error['where']})" if error.get("where") else ""
        return f"{error['message']}{where}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return " ".join(answer.text.split())[:120] or answer.reason


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog=f"{words.program()} load",
        description="Send rows of the example data to a running server: by default the tutorial's load, 60 rows at 10 "
        "a second with all but the first feature standing still. With --rate, --count, --shift or --batch: rows "
        "resampled from the whole data set, so that nothing drifts but what --shift moves. --data: rows of a file.",
    )
    add = top.add_argument
    add("-c", "--classification", action="store_true", help="iris rows, for the classifier")
    add("--data", type=Path, metavar="FILE", help="rows of a file, for a model of your own, by name")
    reference = "with --data: the model's reference, which says what it takes (default: %(default)s)"
    add("--reference", type=Path, default=Path(REFERENCE_FILE), metavar="FILE", help=reference)
    add("--url", default=URL, help="where the server is (default: %(default)s)")
    rate = "rows a second; 0: as fast as they are answered (default: 10, resampled: 100)"
    add("--rate", type=_number(float, 0, MOST), metavar="N", help=rate)
    add("--count", type=_number(int, 1, MOST), metavar="N", help="rows in all (default: 60, resampled: 1000)")
    add("--batch", type=_number(int, 1, MOST), metavar="N", help="rows in a request (default: 1)")
    shift = "move a feature by SIGMAS of its standard deviations; may be repeated"
    add("--shift", action="append", default=[], metavar="FEATURE=SIGMAS", help=shift)
    outcomes = "after each prediction send what the data set says of its row, as its outcome"
    add("--outcomes", action="store_true", help=outcomes)
    flip = "turn this share of the outcomes round: another class, or as far on the other side of the mean"
    add("--flip", type=_number(float, 0, 1), default=0.0, metavar="SHARE", help=flip)
    delay = "send outcomes that much later, such as 30s (default: at once)"
    add("--delay", type=length, default=0.0, metavar="DURATION", help=delay)
    add("--seed", type=int, metavar="N", help="send the same rows each time")
    return top


def _number(kind: type[float], least: float, most: float) -> Callable[[str], float]:
    """Return the type of an option of the command line: a number from `least` to `most`."""

    def read(text: str) -> float:
        number = kind(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least} to {most:g}, got {text}")
        return number

    return read


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run the command; return its exit code: 0, 1 (a row failed or no server), 2 (wrong options), 130 (Ctrl-C)."""
    options = build_parser().parse_args(arguments)
    url = options.url if "://" in options.url else f"http://{options.url}"
    load, code = None, 0
    try:
        load = plan(options)
        print(f"Sending to {url}\n  {load.text}", flush=True)
        seldom = 0.1 if sys.stderr.isatty() else 5.0  # in a log file each step would be a line's worth of text
        with tqdm(total=load.count, unit=" rows", mininterval=seldom, dynamic_ncols=True) as progress:
            try:
                send(load, url, clock or SystemClock(), progress)
            finally:
                progress.leave = bool(load.sent)
    except TelltaleError as error:
        print(f"{words.program()} load: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    if load is None or not load.sent:
        return code
    report(load, url)
    return code or int(bool(load.failed))


def report(load: Load, url: str) -> None:
    """Print a sample of the answers and a summary."""
    for row, answer in load.sample:
        print(f"  {_shown(row)} -> {answer}")
    if len(load.sample) < load.sent - load.failed:
        print("  ...")
    pace = load.sent / load.seconds if load.seconds else 0.0
    failed = f"{load.failed} failed" if load.failed else "none failed"
    print(f"Sent {load.sent} rows in {load.seconds:.1f} s ({pace:.1f} a second), {failed}.")
    if load.outcomes_sent or load.due:
        print(f"Sent {load.outcomes_sent} outcomes." + (f" {len(load.due)} were not due yet." if load.due else ""))
    if load.first_failure:
        print(f"First failure: {load.first_failure}", file=sys.stderr)
    if load.sent > load.failed:
        print(f"Open {url} to see what has drifted, once it is judged: each minute, or as [drift] every says.")


def _shown(row: Row) -> str:
    if isinstance(row, dict):
        more = ", ..." if len(row) > 4 else ""
        return "{" + ", ".join(f"{name}: {value}" for name, value in list(row.items())[:4]) + more + "}"
    return f"[{', '.join(f'{value:.3g}' for value in row)}]"


if __name__ == "__main__":
    sys.exit(main())
