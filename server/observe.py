"""`POST /observe`: predictions that another server made, one, many, or a stream of lines.

    {"features": [0.1, 2] or {"age": 0.1, "dose": 2}, "prediction": 3.5, "time": "2026-03-01T12:00:00Z", "id": "a1"}

`time` and `id` may be left out. What comes again with an id that was among the last million is not counted again, so
that a client may send a request again after a broken connection, a kill of this process, or an answer 503.

JSON is taken whole or not at all. Lines (`application/x-ndjson`) are taken in parts of some thousand rows, in bounded
memory, up to the first line that is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from wsgiref.types import WSGIEnvironment

import numpy as np
import numpy.typing as npt
import orjson

from monitor.capture.encode import Encoder
from monitor.capture.journal import Appended
from monitor.columns.canonical import duration
from monitor.columns.column import Column, Floats, clean_text
from monitor.errors import InputError
from monitor.outcomes.waiting import Numbers, keys_of
from monitor.runtime import Runtime
from monitor.tables.rows import Names, time_ns, times_ns
from monitor.watched import Watched
from server import payload
from server.endpoint import Answer, refuse_if_behind

#: What an observation must say, and what it may say.
REQUIRED = frozenset({"features", "prediction"})
KEYS = REQUIRED | {"time", "id"}

#: How far in the future a time may be, for clocks that differ.
AHEAD_NS = 3600 * 10**9

NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})


def is_lines(content_type: str) -> bool:
    """Whether a body is declared as lines of JSON."""
    return content_type.partition(";")[0].strip().lower() in NDJSON


@dataclass(frozen=True, slots=True)
class Batch:
    """Observations, checked: encoded values, shape (n, columns); nanoseconds since 1970; hashes of ids, 0 for none."""

    values: Floats
    times: npt.NDArray[np.int64] | None
    keys: Numbers | None


class Observer:
    """Takes observations in."""

    def __init__(self, runtime: Runtime, max_body: int, watched: Watched) -> None:
        self._runtime, self._max_body = runtime, max_body
        self._recorder, self._max_bulk = watched.recorder, runtime.config.server.max_bulk
        self._reader = Reader(self._recorder.encoder)

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        refuse_if_behind(self._runtime)
        if is_lines(environ.get("CONTENT_TYPE", "")):
            return self._lines(environ)
        data = payload.load(payload.read_json(environ, self._max_body))
        single = isinstance(data, dict)
        if not (single or isinstance(data, list)):
            raise InputError("not_a_list", "expected an object with features and prediction, or a list of such")
        if not data:
            raise InputError("empty", "expected features and prediction, got nothing")
        batch = self._reader.read(data, self._runtime.clock.time_ns())
        first, rows = self.record(batch)
        if rows < len(batch.values):
            return self._refused(no_room(len(batch.values) - rows), rows)
        ids = self._recorder.ids(first, rows)
        return _answer({"observed": rows, **({"prediction_id": ids[0]} if single else {"prediction_ids": ids})})

    def _lines(self, environ: WSGIEnvironment) -> Answer:
        observed = 0
        try:
            for before, lines in blocks(payload.body_parts(environ, self._max_bulk)):
                if (batch := self._reader.lines(lines, before, self._runtime.clock.time_ns())) is not None:
                    rows = self.record(batch).rows
                    observed += rows
                    if rows < len(batch.values):
                        raise no_room(len(batch.values) - rows)
        except InputError as error:
            return self._refused(error, observed)
        return _answer({"observed": observed})

    def _refused(self, error: InputError, observed: int) -> Answer:
        self._runtime.instruments.rejected(error.code)
        return Answer(payload.error_body(error.code, str(error), error.where, observed=observed), error.status)

    def record(self, batch: Batch) -> Appended:
        """Record a batch. What a full disk has no room for is not taken, so it is not lost either."""
        journal = self._recorder.journal
        if not journal.has_room(len(batch.values)):
            return Appended(0, 0)
        return journal.append_many(batch.values, batch.times, batch.keys)


def no_room(rows: int) -> InputError:
    """Say that rows were not recorded."""
    return InputError("no_room", f"the disk is full: {rows} rows were not recorded; send them again later", None, 503)


def _answer(content: dict[str, Any]) -> Answer:
    return Answer(json.dumps(content).encode() + b"\n")


def blocks(parts: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Some thousand lines of a body at a time, after how many. Raises InputError for one of more than `BLOCK` bytes."""
    rest, before = b"", 0
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        if lines:
            yield before, lines
        before += len(lines)
        if len(rest) > payload.BLOCK:
            raise InputError("too_large", f"a line has more than {payload.BLOCK} bytes", f"line {before + 1}", 413)
    if rest:
        yield before, [rest]


class Reader:
    """Checks observations against the columns and encodes them."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, schema = encoder, encoder.schema
        self._columns = schema.captured
        self._features, self._predictions = Names(schema.features), Names(schema.predictions)
        self._width, self._outputs = len(schema.features), len(schema.predictions)

    def lines(self, lines: Sequence[bytes], before: int, now: int) -> Batch | None:
        """Read lines, the first of which is number `before` + 1; None if all are empty. Raises InputError."""
        full = [line for line in map(bytes.strip, lines) if line]
        if not full:
            return None
        if len(full) == len(lines) and all(line[:1] == b"{" and line[-1:] == b"}" for line in full):
            try:
                # One call for all lines is faster than a call for each. No text can reach over the end of a line, since
                # JSON allows no line feed in it. A list of objects can, and is refused as a value.
                rows = orjson.loads(b"[" + b",\n".join(full) + b"]")
            except ValueError:
                rows = []
            if len(rows) == len(lines) and (batch := self._fast(rows, now)) is not None:
                return batch
        values = []
        for index, line in enumerate(lines, before + 1):
            if line and not line.isspace():
                values.append(self.row(payload.load(line, f"line {index}"), f"line {index}", now))
        return _together(values)

    def read(self, data: dict[str, Any] | list[Any], now: int) -> Batch:
        """Check and encode one observation or several. Raises InputError."""
        rows = data if isinstance(data, list) else [data]
        if (batch := self._fast(rows, now)) is not None:
            return batch
        single = rows is not data
        return _together([self.row(row, None if single else f"row {n}", now) for n, row in enumerate(rows)])

    def _fast(self, rows: list[Any], now: int) -> Batch | None:
        """The short way, column by column; None if anything is unusual, and the long way must say what."""
        if set(map(type, rows)) != {dict}:
            return None
        shapes = set(map(tuple, rows))
        if not all(REQUIRED <= set(shape) <= KEYS for shape in shapes):
            return None
        features = self._in_order([row["features"] for row in rows], self._features)
        predictions = [row["prediction"] for row in rows]
        single = self._outputs == 1 and type(predictions[0]) not in (list, dict)
        answers = [predictions] if single else self._in_order(predictions, self._predictions)
        values = np.empty((len(rows), len(self._columns)))
        if features is None or answers is None or not self._fill(values, features):
            return None
        for position, column in enumerate(answers if single else zip(*answers, strict=True), self._width):
            if not self._fill_column(values, position, column):
                return None
        keys = frozenset().union(*shapes)
        try:
            times = _moments([row.get("time") for row in rows], now) if "time" in keys else None
            ids = _ids([row.get("id") for row in rows]) if "id" in keys else None
        except InputError:
            return None
        return Batch(values, times, ids)

    def _in_order(self, rows: list[Any], names: Names) -> list[Any] | None:
        """Rows that are all lists, or all objects of the same names, as sequences of values in order; else None."""
        kinds = set(map(type, rows))
        if kinds not in ({list}, {dict}) or set(map(len, rows)) != {len(names.names)}:
            return None
        try:
            return rows if kinds == {list} else names.arrange_many(rows)
        except KeyError:
            return None

    def _fill(self, values: Floats, features: list[Any]) -> bool:
        """Encode features, given as rows. False if a value is unusual."""
        if all(column.numeric for column in self._columns[: self._width]):
            numbers = _numbers(list(chain.from_iterable(features)))
            if numbers is not None:
                values[:, : self._width] = numbers.reshape(len(features), self._width)
            return numbers is not None
        columns = enumerate(zip(*features, strict=True))
        return all(self._fill_column(values, position, column) for position, column in columns)

    def _fill_column(self, values: Floats, position: int, column: Sequence[Any]) -> bool:
        types = set(map(type, column))
        encoded: Any = None
        if self._columns[position].numeric:
            encoded = _numbers(column)
        elif types <= {str}:
            known = {text: self._encoder.category(position, text) for text in set(column)}
            encoded = [known[text] for text in column]
        elif types <= {str, int, float, bool, type(None)}:
            encoded = self._encoder.column(position, column)
        if encoded is None:
            return False
        values[:, position] = encoded
        return True

    def row(self, row: Any, where: str | None, now: int) -> tuple[list[float], int, str]:
        """Check and encode one observation: its values, time and id. Raises InputError that says what is wrong."""
        if not isinstance(row, dict):
            raise InputError("not_an_object", "expected an object with features and prediction", where)
        for key in sorted(REQUIRED - row.keys()):
            raise InputError("missing_key", f"{key!r} is missing", where, 422)
        for key in row.keys() - KEYS:
            known = ", ".join(sorted(KEYS))
            raise InputError("unknown_key", f"{clean_text(key)!r} is none of {known}", where, 422)
        answers = row["prediction"]
        if self._outputs == 1 and not isinstance(answers, (list, dict)):
            answers = [answers]
        schema = self._encoder.schema
        features = values_of(row["features"], self._features, schema.features, where)
        encoded = self._encoder.row(features, values_of(answers, self._predictions, schema.predictions, where))
        return encoded, moment(row.get("time"), now, where), payload.read_id(row.get("id"), where)


def values_of(values: Any, names: Names, columns: Sequence[Column], where: str | None) -> list[Any]:
    """Values of one row, a list or an object by name, in the order of `columns`. Raises InputError."""
    cells = zip(payload.arranged(values, names, where), columns, strict=True)
    return [check(value, column, payload.cell(where, column)) for value, column in cells]


def check(value: Any, column: Column, where: str) -> Any:
    """One value as the other server saw it: null and NaN are missing, true is 1, and a duration its seconds.

    Raises InputError for what is no value of the column.
    """
    if payload.plain(value, where) is None or not column.numeric or value != value:
        return value
    if isinstance(value, bool):
        return float(value)
    seconds = duration(value) if isinstance(value, str) else None
    return payload.number(value, where) if seconds is None else seconds


def _numbers(values: Sequence[Any]) -> Floats | None:
    """Numbers and nulls, shape (n,); None if one of them is something else, or too large to be taken unseen."""
    if not set(map(type, values)) <= {float, int, type(None)}:
        return None
    try:
        numbers = np.array(values, np.float64)
    except OverflowError:
        return None
    return None if bool((np.abs(numbers) >= payload.LARGEST_WHOLE).any()) else numbers


def _together(rows: list[tuple[list[float], int, str]]) -> Batch:
    values, times, ids = zip(*rows, strict=True)
    return Batch(np.array(values), np.array(times, np.int64), keys_of(ids) if any(ids) else None)


def _ids(texts: list[Any]) -> Numbers | None:
    if set(map(type, texts)) == {str}:
        lengths = set(map(len, texts))
        if min(lengths) > 0 and max(lengths) <= payload.LONGEST_ID:
            return keys_of(texts)
    ids = [payload.read_id(text, None) for text in texts]
    return keys_of(ids) if any(ids) else None


def _moments(values: list[Any], now: int) -> npt.NDArray[np.int64]:
    if set(map(type, values)) <= {float, int}:
        times = times_ns(np.array(values, np.float64), len(values))
        if int(times.max()) <= now + AHEAD_NS:
            return times
    return np.array([moment(value, now, None) for value in values], np.int64)


def moment(value: Any, now: int, where: str | None) -> int:
    """Time of a row in ns since 1970 UTC; now if it has none. Raises InputError if it is not a time, or is ahead."""
    try:
        time = now if value is None else time_ns(value)
    except InputError as error:
        raise InputError(error.code, str(error), where, 422) from None
    if time > now + AHEAD_NS:
        raise InputError("bad_time", "the time is in the future", where, 422)
    return time
