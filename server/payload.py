"""What clients send: bodies, unpacked and read as JSON, and rows, checked value by value against the columns.

Whatever is wrong becomes an `InputError` that says what and where; callers may rely on the values being valid. Bodies
that hold nothing but numbers, as nearly all do, take a short way.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment

import numpy as np
import orjson

from monitor.columns.column import Column, Floats, Schema, clean_text
from monitor.errors import InputError
from monitor.models.form import floats_fit
from monitor.models.model import Model
from monitor.models.values import WrongTypeError
from monitor.tables.rows import Names

#: Whole numbers beyond this have no exact float, and the model would see another number than the client sent.
LARGEST_WHOLE = 2**53

#: Lists and objects within one another in a body.
DEEPEST = 32

#: Digits of a whole number in a body. Longer ones are read as 1 with as many zeros, which is too large for every use.
LONGEST_NUMBER = 250

#: Characters of a message, and of the place it names, in an error's answer.
LONGEST_MESSAGE, LONGEST_PLACE = 1000, 500

#: What `Content-Encoding` may say, and zlib's number for it.
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}

#: Members that a gzip body may have. Each costs a fresh start, however few bytes come out of it.
MEMBERS = 1000

#: Bytes of a body that are unpacked, or read as lines, at a time.
BLOCK = 1 << 20


def read_json(environ: WSGIEnvironment, max_body: int) -> bytes:
    """Read the body of a request that must be JSON. Raises InputError."""
    check_json_type(environ.get("CONTENT_TYPE", ""))
    return read_body(environ, max_body)


def read_body(environ: WSGIEnvironment, max_body: int) -> bytes:
    """Read the body of a request. Raises InputError if it is too large, before or after unpacking."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > max_body:
        raise InputError("too_large", f"the body has {length} bytes; the limit is {max_body}", status=413)
    if "HTTP_CONTENT_ENCODING" in environ:
        return b"".join(body_parts(environ, max_body))
    body: bytes = environ["wsgi.input"].read(length)
    return body


def body_parts(environ: WSGIEnvironment, limit: int) -> Iterator[bytes]:
    """Read a body in parts of at most `BLOCK` bytes, unpacked; `limit`: the most bytes that may be unpacked.

    Raises InputError: damaged, cut off, too large, or packed in a way that is not supported.
    """
    stream, encoding = environ["wsgi.input"], environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        yield from iter(lambda: stream.read(BLOCK), b"")
        return
    if encoding not in _ENCODINGS:
        message = f"{clean_text(encoding)!r} is not supported; send the body as it is, or with gzip or deflate"
        raise InputError("wrong_encoding", message, "header Content-Encoding", 415)
    inflate, packed, length, members = zlib.decompressobj(_ENCODINGS[encoding]), b"", 0, 1
    while packed := packed or stream.read(1 << 16):
        if inflate.eof:  # gzip allows several members in a row
            members += 1
            if members > MEMBERS:
                raise InputError("bad_encoding", f"the body has more than {MEMBERS} gzip members")
            inflate = zlib.decompressobj(_ENCODINGS[encoding])
        try:
            unpacked = inflate.decompress(packed, BLOCK)
        except zlib.error as error:
            raise InputError("bad_encoding", f"the body is not {encoding}: {error}") from None
        packed = inflate.unconsumed_tail or inflate.unused_data
        length += len(unpacked)
        if length > limit:
            message = f"unpacked, the body has more than {limit} bytes, which is the limit"
            raise InputError("too_large", message, None, 413)
        if unpacked:
            yield unpacked
    if not inflate.eof:
        raise InputError("bad_encoding", f"the {encoding} body is cut off")


#: Characters of a caller's id.
LONGEST_ID = 200


class Parsed(NamedTuple):
    """The rows of a body, and whether it was a batch. `ids`: the caller's own, as given; None if there are none.

    Rows are an array, shape (n, features), if all values are plain numbers, else lists.
    """

    rows: Sequence[Sequence[Any]] | Floats
    batch: bool
    ids: list[Any] | None = None


class Payload:
    """Reads the bodies of prediction requests for one schema, with values as `model` knows them.

    `allow_missing`: null and NaN are let through.
    """

    def __init__(self, schema: Schema, allow_missing: bool, model: Model) -> None:
        self._columns, self._width = schema.features, len(schema.features)
        self._optional = set(range(self._width)) if allow_missing else model.optional
        self._values = model.values
        self.names = Names(schema.features, {schema.features[at].name for at in model.optional}, model.ignored)
        self._all_numeric = all(column.numeric for column in schema.features)
        self._names_id = any(column.name == "id" for column in schema.features)

    def parse(self, body: bytes) -> Parsed:
        """Read a body. In a row by name, `id` is the caller's id, unless a feature has that name. Raises InputError."""
        if self._all_numeric and only_numbers(body) and (numbers := self._numbers(body)) is not None:
            return numbers
        data = load(body)
        if data == []:
            message = f"expected a list of {self._width} values, or a list of such lists, got an empty list"
            raise InputError("empty", message)
        kinds = (list, dict)
        if isinstance(data, list) and (isinstance(data[0], list) or all(isinstance(row, kinds) for row in data)):
            ids, rows = self._take_ids(data, "row "), []
            for at, row in enumerate(data):
                if type(row) is not type(data[0]):
                    code = "not_a_list" if isinstance(data[0], list) else "not_an_object"
                    message = f"expected {kind_of(data[0])}, as the rows before it, got {kind_of(row)}"
                    raise InputError(code, message, f"row {at}")
                rows.append(self._row(row, f"row {at}"))
            return Parsed(rows, True, ids)
        if isinstance(data, dict):
            ids = self._take_ids([data], "")
            data = self.names.arrange(data)
            row = self._short(data) if self._all_numeric else None
            return Parsed([self._row(data, None)] if row is None else row, False, ids)
        return Parsed([self._row(data, None)], False)

    def _take_ids(self, rows: list[Any], what: str) -> list[Any] | None:
        """Take the callers' ids out of rows by name."""
        if self._names_id or not any(isinstance(row, dict) and "id" in row for row in rows):
            return None
        ids = [row.pop("id", None) if isinstance(row, dict) else None for row in rows]
        for number, own in enumerate(ids):
            read_id(own, f"{what}{number}, key id" if what else "key id")
        return ids

    def _numbers(self, body: bytes) -> Parsed | None:
        """The short way: None if anything is not as it should be, and the long way must say what."""
        try:
            data = orjson.loads(body)
            if type(data) is not list or not data:
                return None
            if type(data[0]) is not list:
                row = self._short(data)
                return None if row is None else Parsed(row, False)
            if set(map(len, data)) != {self._width}:
                return None
            # A third of the time that numpy takes for a list of lists.
            flat = np.fromiter(chain.from_iterable(data), np.float64, len(data) * self._width)
        except (ValueError, TypeError, OverflowError):
            return None
        # False for what is too large, and for infinity too.
        return Parsed(flat.reshape(-1, self._width), True) if np.abs(flat).max() < LARGEST_WHOLE else None

    def _short(self, row: Sequence[Any]) -> Floats | None:
        """Return one row of numbers as an array, shape (1, features); None if a value needs the long way."""
        # Loops in C: one in Python takes twice as long, and numpy's twenty times for so few. `max` may pass over NaN,
        # which is in no order; a sum does not.
        plain = len(row) == self._width and {*map(type, row)} <= {float, int} and max(map(abs, row)) < LARGEST_WHOLE
        if not plain or math.isnan(sum(row)):
            return None
        return np.array([row], np.float64)

    def check(self, rows: Sequence[Any] | Floats) -> Sequence[Sequence[Any]] | Floats:
        """Check rows, lists or objects or an array of numbers, whatever they came in. Raises InputError."""
        if isinstance(rows, np.ndarray):
            if len(rows) and rows.shape[1] == self._width and floats_fit(rows):
                return rows
            rows = rows.tolist()
        if not rows:
            raise InputError("empty", "there are no rows", None, 422)
        return [self._row(row, f"row {number}") for number, row in enumerate(rows)]

    def _row(self, row: Any, where: str | None) -> list[Any]:
        cells = zip(arranged(row, self.names, where), self._columns, strict=True)
        return [self._value(value, column, at, cell(where, column)) for at, (value, column) in enumerate(cells)]

    def _value(self, value: Any, column: Column, position: int, where: str) -> Any:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            if position not in self._optional:
                what = "null" if value is None else "NaN"
                raise InputError("missing", f'{what} is refused; [model] missing = "allow" lets it through', where, 422)
            return math.nan if column.numeric else None
        if column.numeric:
            return float(value) if isinstance(value, bool) and column.flag else number(value, where)
        try:
            return self._values[position].read(plain(value, where))
        except WrongTypeError as error:
            raise InputError("wrong_value", f"{error}, got {kind_of(value)}", where, 422) from None


def arranged(row: Any, names: Names, where: str | None) -> list[Any]:
    """Values of one row, in order: a list, or an object by name. Raises InputError."""
    if isinstance(row, dict):
        return names.arrange(row, where)
    if not isinstance(row, list):
        message = f"expected a list of {len(names.names)} values, or an object by name, got {kind_of(row)}"
        raise InputError("not_a_list", message, where)
    names.check_width(len(row), where)
    return row


def cell(where: str | None, column: Column) -> str:
    """How an error names a value: by its row, if there are several, and column."""
    return f"{where}, column {column.name}" if where else f"column {column.name}"


def plain(value: Any, where: str) -> Any:
    """Return a value that is no list and no object. Raises InputError."""
    if isinstance(value, (list, dict)):
        raise InputError("nested", f"expected one value, got {kind_of(value)}", where, 422)
    return value


def number(value: Any, where: str) -> float | int:
    """Return a finite number that has an exact float. Raises InputError."""
    if isinstance(plain(value, where), bool) or not isinstance(value, (int, float)):
        raise InputError("not_a_number", f"expected a number, got {kind_of(value)}", where, 422)
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise InputError("out_of_range", "a whole number beyond 2**53 cannot be represented exactly", where, 422)
    if not math.isfinite(value):
        raise InputError("out_of_range", "expected a finite number", where, 422)
    return value


def only_numbers(body: bytes) -> bool:
    """Whether valid JSON holds nothing but numbers and lists: no texts, objects, true, false, null, NaN, Infinity."""
    # A regular expression would take as long as reading the JSON.
    return not (
        b'"' in body or b"{" in body or b"t" in body or b"f" in body or b"n" in body or b"N" in body or b"I" in body
    )


def load(body: bytes, place: str | None = None) -> Any:
    """Read JSON. Raises InputError; never anything else, whatever the bytes. `place`: what is read, if not a body."""
    if not body:
        raise InputError("empty", "the body is empty; expected JSON")
    try:
        data = json.loads(body.decode("utf-8"), parse_int=_whole)
    except UnicodeDecodeError as error:
        raise InputError("not_utf8", f"the body is not UTF-8, at byte {error.start}", place) from None
    except json.JSONDecodeError as error:
        where = place or f"line {error.lineno}, character {error.colno}"
        raise InputError("not_json", f"not JSON: {error.msg}", where) from None
    except RecursionError:
        deep = True
    else:
        deep = body.count(b"[") + body.count(b"{") > DEEPEST and is_deeper(data, DEEPEST)
    if deep:
        raise InputError("too_deep", f"lists and objects are nested more than {DEEPEST} deep", place)
    return data


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        digits = f"{'-' * digits.startswith('-')}1{'0' * LONGEST_NUMBER}"
    return int(digits)


def is_deeper(data: Any, most: int) -> bool:
    """Whether lists and objects are nested more than `most` deep.

    >>> is_deeper([[1], {"a": 2}], 2), is_deeper([[1], {"a": []}], 2), is_deeper(1, 0)
    (False, True, False)
    """
    level = [data]
    for _ in range(most + 1):
        nested = [value for value in level if isinstance(value, (list, dict))]
        if not nested:
            return False
        level = [part for value in nested for part in (value.values() if isinstance(value, dict) else value)]
    return True


def read_id(value: Any, where: str | None) -> str:
    """Read a caller's id, "" for None. Raises InputError."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not 0 < len(str(value)) <= LONGEST_ID:
        message = f"an id is a text of 1 to {LONGEST_ID} characters, or a whole number"
        raise InputError("bad_id", message, where, 422)
    return str(value)


def check_json_type(content_type: str) -> None:
    """Refuse a body that is not declared as JSON. Raises InputError, status 415."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        got = f"got {clean_text(kind)!r}" if kind else "got none"
        message = f"expected Content-Type: application/json, {got}"
        raise InputError("wrong_type", message, "header Content-Type", 415)


def error_body(code: str, message: str, where: str | None, error_id: str = "", /, **more: object) -> bytes:
    """Return the JSON body of every error answer, `more` beside it. What a client sent is repeated in parts only."""
    message, where = short(message, LONGEST_MESSAGE), where and short(where, LONGEST_PLACE)
    error = {"code": code, "message": message, "where": where, **({"id": error_id} if error_id else {})}
    return json.dumps({"error": error, **more}).encode() + b"\n"


def short(text: str, most: int) -> str:
    """Cut a text to `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def kind_of(value: Any) -> str:
    """Say what a JSON value is."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return f"the text {clean_text(value[:40])!r}"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return f"the number {value!r}"[:60]
