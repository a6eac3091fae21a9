"""`POST /outcomes`: what came true for predictions, one, many, or a stream of lines; and Seldon's feedback.

    {"id": "9f3c61d2a07b-17", "outcome": 3.5, "time": "2026-03-02T08:00:00Z"}
    {"prediction": 3.2, "outcome": 3.5, "time": "2026-03-01T12:00:00Z"}

`id` is the prediction's or the caller's own; null takes an outcome back. An outcome that brings its prediction along
needs no id; its `time` is then the prediction's. What becomes of outcomes is known when they are folded: with
`?wait=true` the answer waits for that and says it, otherwise it says how many were accepted.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

import numpy as np

from monitor.columns.column import clean_text
from monitor.errors import InputError, StoreError
from monitor.runtime import Runtime
from monitor.source.outcomes import WHOLE, OutcomeRecorder, id_of, read_outcome
from monitor.tables.rows import Names
from monitor.watched import Watched
from server.endpoint import Answer, refuse_if_behind
from server.observe import blocks, is_lines, moment, values_of
from server.payload import body_parts, error_body, load, read_id, read_json

log = logging.getLogger(__name__)

#: What an outcome may say.
KEYS = frozenset({"id", "prediction", "outcome", "time"})


def taken(watched: Watched) -> OutcomeRecorder:
    """What records outcomes. Raises InputError if nothing does."""
    if watched.pulled is not None:
        watched.pulled.refuse()
    if watched.outcome_recorder is None:
        message = "outcomes are not kept: add the section [outcomes] to the settings and start again"
        raise InputError("no_outcomes", message, None, 409)
    return watched.outcome_recorder


class OutcomeRoute:
    """Takes outcomes in."""

    def __init__(self, runtime: Runtime, max_body: int, watched: Watched) -> None:
        self._runtime, self._max_body, self._max_bulk = runtime, max_body, runtime.config.server.max_bulk
        self._watched, schema = watched, watched.reference.schema
        self._columns, self._first = schema.predictions, len(schema.features)
        self._predictions = Names(schema.predictions)

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        refuse_if_behind(self._runtime)
        recorder = taken(self._watched)
        wait = parse_qs(environ.get("QUERY_STRING", "")).get("wait", ["false"])[-1] == "true"
        if is_lines(environ.get("CONTENT_TYPE", "")):
            return self._lines(environ, recorder, wait)
        data = load(read_json(environ, self._max_body))
        if not isinstance(data, (dict, list)):
            raise InputError("not_a_list", "expected an object with id and outcome, or a list of such")
        if not data:
            raise InputError("empty", "expected id and outcome, got nothing")
        rows = [(data, None)] if isinstance(data, dict) else [(row, f"row {at}") for at, row in enumerate(data)]
        return self._answer(len(rows), [(self._record(recorder, rows), len(rows))], wait)

    def _lines(self, environ: WSGIEnvironment, recorder: OutcomeRecorder, wait: bool) -> Answer:
        accepted, parts = 0, []
        try:
            for before, lines in blocks(body_parts(environ, self._max_bulk)):
                numbered = ((line, f"line {at}") for at, line in enumerate(lines, before + 1) if line.strip())
                if rows := [(load(line, where), where) for line, where in numbered]:
                    parts.append((self._record(recorder, rows), len(rows)))
                    accepted += len(rows)
        except InputError as error:
            self._runtime.instruments.rejected(error.code)
            return Answer(error_body(error.code, str(error), error.where, accepted=accepted), error.status)
        return self._answer(accepted, parts, wait)

    def _answer(self, accepted: int, parts: Sequence[tuple[int, int]], wait: bool) -> Answer:
        results: Counter[str] = Counter()
        status = 200
        if wait:
            try:
                for first, rows in parts:
                    results.update(self._runtime.outcome_results(self._watched.name, first, rows))
            except (StoreError, OSError, sqlite3.Error) as error:
                log.warning("outcomes are accepted, and will be joined later: %s", error)
                status, results = 202, Counter()
        return Answer(json.dumps({"accepted": accepted, **results}).encode() + b"\n", status)

    def _record(self, recorder: OutcomeRecorder, rows: Sequence[tuple[Any, str | None]]) -> int:
        """Check outcomes and record them all; returns the first sequence number. Raises InputError."""
        now = self._runtime.clock.time_ns()
        read = [self._row(recorder, row, where, now) for row, where in rows]
        values, keys = np.array([values for values, _ in read]), np.array([key for _, key in read], np.uint64)
        return recorder.append(values, keys)

    def _row(self, recorder: OutcomeRecorder, row: Any, where: str | None, now: int) -> tuple[list[float], int]:
        if not isinstance(row, dict):
            raise InputError("not_an_object", "expected an object with id and outcome", where)
        for key in row.keys() - KEYS:
            raise InputError("unknown_key", f"{clean_text(key)!r} is none of {', '.join(sorted(KEYS))}", where, 422)
        if "outcome" not in row:
            raise InputError("missing_key", "'outcome' is missing", where, 422)
        if ("id" in row) == ("prediction" in row):
            raise InputError("missing_key", "expected either 'id' or 'prediction'", where, 422)
        known = np.nan if row.get("time") is None else moment(row["time"], now, where) / 1e9
        value = read_outcome(recorder.target, row["outcome"], f"{where}, key outcome" if where else "key outcome")
        if "id" in row:
            if not (text := read_id(row["id"], where)):
                raise InputError("bad_id", "an id is a text or a whole number, not null", where, 422)
            number, token, key = id_of(text)
            return [number, token, known, value, *([np.nan] * len(self._columns))], key
        if np.isnan(value):
            raise InputError("not_an_outcome", "an outcome without an id cannot be taken back", where, 422)
        return [0, WHOLE, known, value, *self._encoded(row["prediction"], where)], 0

    def _encoded(self, answers: Any, where: str | None) -> list[float]:
        if len(self._columns) == 1 and not isinstance(answers, (list, dict)):
            answers = [answers]
        values = values_of(answers, self._predictions, self._columns, where)
        encoder = self._watched.recorder.encoder
        return [float(encoder.column(self._first + at, [value])[0]) for at, value in enumerate(values)]

    def feedback(self, environ: WSGIEnvironment) -> Answer:
        """Take Seldon's feedback: `response.meta.puid` is the id; `truth`, else `reward`, the outcome."""
        recorder, data = taken(self._watched), load(read_json(environ, self._max_body))
        puid = _path(data, "response", "meta", "puid") or _path(data, "request", "meta", "puid")
        if not isinstance(puid, str) or not puid:
            raise InputError("missing_key", "the id of the prediction is missing", "response.meta.puid", 422)
        truth = _path(data, "truth")
        outcome = _truth(truth) if truth is not None else _path(data, "reward")
        if outcome is None:
            raise InputError("missing_key", "expected the outcome in truth or reward", "truth", 422)
        if truth is None and recorder.target.classified:
            raise InputError("not_an_outcome", "a reward is no class; send what came true in truth", "reward", 422)
        self._record(recorder, [({"id": puid, "outcome": outcome}, "truth" if truth is not None else "reward")])
        return Answer(b'{"meta": {}}\n')


def _path(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _truth(truth: Any) -> Any:
    """The one value of a Seldon message: of `data.ndarray`, `data.tensor`, `strData` or `jsonData`."""
    places = (("data", "ndarray"), ("data", "tensor", "values"), ("strData",), ("jsonData",))
    value = next((there for keys in places if (there := _path(truth, *keys)) is not None), None)
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value
