"""MLflow's scoring protocol: `POST /invocations`, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from monitor.columns.canonical import column_name, text_number
from monitor.columns.column import Column
from monitor.errors import InputError
from monitor.models.values import Values, WrongTypeError
from monitor.tables.rows import Names
from server import payload
from server.endpoint import Answer
from server.predict import Predictor

log = logging.getLogger(__name__)


class Mlflow:
    """`POST /invocations`."""

    def __init__(self, scoring: Predictor) -> None:
        self._scoring, self._names = scoring, scoring.names
        self._warned = False

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        kind, _, parameters = environ.get("CONTENT_TYPE", "").partition(";")
        if kind.strip().lower() == "text/csv":
            charset = parameters.partition("charset=")[2].strip().strip('"').lower()
            if charset not in ("", "utf-8", "utf8"):
                raise InputError("wrong_type", "only UTF-8 is supported", "header Content-Type", 415)
            body, scoring = payload.read_body(environ, self._scoring.max_body), self._scoring
            rows = read_csv(body, scoring.features, scoring.values, scoring.names)
        else:
            payload.check_json_type(kind, "application/json or text/csv")
            rows = self._read_json(payload.load(payload.read_body(environ, self._scoring.max_body)))
        answers = self._scoring.score(rows)
        listed = list(answers[0]) if len(answers) == 1 else [list(vector) for vector in zip(*answers, strict=True)]
        return Answer(json.dumps({"predictions": listed}).encode() + b"\n")

    def _read_json(self, data: Any) -> list[Any]:
        readers = {
            "dataframe_split": self._split,
            "dataframe_records": self._records,
            "instances": self._instances,
            "inputs": self._instances,
        }
        forms = [name for name in readers if isinstance(data, dict) and name in data]
        if len(forms) != 1:
            message = f"expected an object with exactly one of {', '.join(readers)}"
            raise InputError("unknown_key", message, None, 422)
        if data.get("params") and not self._warned:
            # MLflow's own server does the same for a model whose predict() takes no params.
            self._warned = True
            log.warning("/invocations: params are ignored: the model takes its columns and nothing else")
        return readers[forms[0]](data[forms[0]])

    def _split(self, data: Any) -> list[Any]:
        rows = data.get("data") if isinstance(data, dict) else None
        if not isinstance(rows, list):
            raise InputError("not_a_list", "expected an object with columns and data", "dataframe_split", 422)
        names = data.get("columns")
        if names is None or names == list(range(len(self._names.names))):
            return rows
        if not isinstance(names, list) or not all(isinstance(row, list) and len(row) == len(names) for row in rows):
            message = "each row of data needs a value for each of columns"
            raise InputError("wrong_length", message, "dataframe_split", 422)
        texts = [str(name) for name in names]
        if len(set(texts)) != len(texts):
            raise self._names.complaint(texts, "dataframe_split")
        return [dict(zip(texts, row, strict=True)) for row in rows]

    def _records(self, data: Any) -> list[Any]:
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            raise InputError("not_a_list", "expected a list of objects", "dataframe_records", 422)
        return data

    def _instances(self, data: Any) -> list[Any]:
        if isinstance(data, dict):
            columns = self._names.arrange(data)
            flat = [_flat(column, name) for column, name in zip(columns, self._names.names, strict=True)]
            if len(set(map(len, flat))) != 1:
                raise InputError("wrong_length", "the columns have different lengths", None, 422)
            return [list(row) for row in zip(*flat, strict=True)]
        if not isinstance(data, list):
            raise InputError("not_a_list", "expected a list of rows, or an object of columns", None, 422)
        return [[row] for row in data] if data and not isinstance(data[0], (list, dict)) else data


def _flat(column: Any, name: str) -> list[Any]:
    if not isinstance(column, list):
        raise InputError("not_a_list", "expected a list of values", f"column {name}", 422)
    return [one[0] if isinstance(one, list) and len(one) == 1 else one for one in column]


def read_csv(body: bytes, features: Sequence[Column], values: Sequence[Values], names: Names) -> list[dict[str, Any]]:
    """Rows of a CSV table whose first line has the names, in any order. Raises InputError that names the line.

    A column without a name is the index that pandas writes, and left out. Empty cells are missing, and in
    columns of numbers `NA` and the like. A cell of a column of categories is what the model knows it as.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not_utf8", f"the body is not UTF-8, at byte {error.start}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    known = {column.name: (column, one) for column, one in zip(features, values, strict=True)}
    rows = []
    try:
        header = [name and column_name(name) for name in next(reader, [])]
        found = [name for name in header if name]
        if not names.fit(found):
            raise names.complaint(found, "line 1")
        for cells in filter(None, reader):
            if len(cells) != len(header):
                message = f"{len(cells)} cells; the first line names {len(header)}"
                raise InputError("wrong_length", message, f"line {reader.line_num}", 422)
            named = zip(header, cells, strict=True)
            rows.append({name: _read_cell(cell, *known.get(name, ())) for name, cell in named if name})
    except csv.Error as error:
        raise InputError("not_csv", f"not CSV: {error}", f"line {reader.line_num}") from None
    return rows


def _read_cell(cell: str, column: Column | None = None, values: Values | None = None) -> Any:
    """The value that the model knows for a cell; the cell itself if there is none, which the check then refuses."""
    if column is None or values is None:
        return cell
    if column.numeric:
        read = text_number(cell)
        return cell if read is None else None if math.isnan(read) else read
    try:
        return values.cell(cell)
    except WrongTypeError:
        return cell


def error_body(code: str, message: str, where: str | None, error_id: str = "") -> bytes:
    """An error as our other routes have it, with what MLflow's clients look for beside it."""
    ours = json.loads(payload.error_body(code, message, where, error_id))
    theirs = "INTERNAL_ERROR" if code == "model_failed" else "BAD_REQUEST"
    said = f"{where}: {message}" if where else message
    return json.dumps({"error_code": theirs, "message": said, **ours}).encode() + b"\n"
