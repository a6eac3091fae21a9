"""`POST /replicate`: copies of journals of clients elsewhere (`monitor.library.client`); `GET`: what they record for.

    POST /replicate?client=TOKEN&model=NAME&version=VERSION&reference=SHA256&file=journal/NUMBER.journal&at=128

The body is the head of a segment as it is now, and its bytes from `at` on; of a file of names, only its bytes. The same
bytes at the same place change nothing: what is sent again, after any time, is counted once. The answer says from where
on to go on: earlier, if the copy is lost. The store reads a copy as it reads the journal of another process of this
machine. `ended=true`: the client's process has ended, and may have left what is damaged. Without `file`, nothing more
comes, and the copy is deleted once all of it is counted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import WSGIEnvironment

import numpy as np

from monitor.capture.encode import other_code
from monitor.capture.names import names_file
from monitor.capture.segment import MARK, RECORDS_AT, Notes, SegmentHead, checksums, record_dtype
from monitor.clock import FAR
from monitor.columns.binning import LARGEST
from monitor.columns.column import clean_text
from monitor.drift.result import Subject
from monitor.errors import InputError, StoreError
from monitor.outcomes.waiting import JOURNAL_BITS
from monitor.runtime import Runtime
from monitor.series import Series
from monitor.source.journal import Recorded
from monitor.source.outcomes import KNOWN, NUMBER, PREDICTED, TOKEN, VALUE
from monitor.store.windows.rows import find_series
from monitor.watched import Watched
from server.endpoint import Answer, behind, refuse_if_behind
from server.payload import read_body

log = logging.getLogger(__name__)

#: Clients whose journals are read at a time, seconds after which one that sends nothing is left out until it does.
CLIENTS, SILENT = 1000, 86400.0

#: Bytes of a segment, and of the names of unseen values of a client, at most; numbers and times are below these.
SEGMENT, NAMES = 1 << 27, 4 << 20
NUMBERS, TIMES = 1 << JOURNAL_BITS, FAR * 10**9

_FILE = re.compile(r"(journal|outcomes)/(?:([0-9]{20})(?:-[0-9]{1,3})?\.journal|unseen-[0-9a-f]{16}\.jsonl)")


class Replication:
    """Takes in journals of clients elsewhere."""

    def __init__(self, runtime: Runtime, max_body: int, watched: Watched) -> None:
        """Go on with the copies that an earlier process left."""
        self._runtime, self._max_body, self._watched = runtime, max_body, watched
        self._folder = runtime.folder.journal / "@clients"
        self._one_at_a_time = threading.Lock()
        #: Series that clients record for, and when each was last heard from.
        self._series: dict[str, Series] = {}
        self._heard: dict[str, float] = {}
        for about in sorted(self._folder.glob("*/about.json")):
            try:
                client = json.loads(about.read_bytes())
                if client["model"] == watched.name:
                    self._open(about.parent.name, client)
                    if (about.parent / "done").exists():
                        self._retire(about.parent.name)
            except (InputError, OSError, ValueError, TypeError, KeyError) as error:
                log.error("%s: what this client has sent is not counted: %s", about.parent, error)

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        if environ["REQUEST_METHOD"] == "GET":
            return self._describe()
        refuse_if_behind(self._runtime)
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")[:10_000]))
        if environ.get("CONTENT_TYPE") != "application/octet-stream":
            raise InputError("wrong_type", "Content-Type must be application/octet-stream", None, 415)
        body = read_body(environ, self._max_body)
        if not self._one_at_a_time.acquire(blocking=False):
            raise behind("another client is being served; send it again", 1)
        try:
            return Answer(json.dumps(self._take(query, body)).encode() + b"\n")
        except (OSError, StoreError, sqlite3.Error) as error:
            raise InputError("unavailable", f"nothing was recorded: {error}", None, 503) from error
        finally:
            self._one_at_a_time.release()

    def _describe(self) -> Answer:
        model = self._watched
        answer = {"model": model.name, "model_version": model.version, "reference": model.reference.to_text()}
        return Answer(json.dumps({**answer, "outcomes": model.outcomes is not None}).encode() + b"\n")

    def _take(self, query: dict[str, str], body: bytes) -> dict[str, Any]:
        token, model = query.get("client", ""), self._watched
        if not re.fullmatch("[0-9a-f]{12}", token):
            raise _bad("expected 12 hexadecimal digits", "client")
        followed = model.followed.get(f"client/{token}")
        if followed is None or (token not in self._series and not followed.source.ended):
            self._open(token, query)
            followed = model.followed[f"client/{token}"]
        if followed.source.ended and "file" in query:
            raise behind("what this client sent before is being put away; send it again", 5)
        if "file" not in query:
            (self._folder / token / "done").touch()
            self._retire(token)
            return {"done": True}
        folder, series, self._heard[token] = self._folder / token, self._series[token], self._runtime.clock.time()
        name, at = _FILE.fullmatch(query["file"]), query.get("at", "")
        if name is None:
            raise _bad("not the name of a file that a client has", "file")
        if not re.fullmatch("[0-9]{1,12}", at):
            raise _bad("expected a number of bytes", "at")
        path = folder / name[0]
        if name[2] is None:
            if path != names_file(folder / "journal", series.schema):
                raise _bad("names of another schema", "file")
            end = _write_names(path, int(at), body, len(series.schema.captured))
        else:
            source = followed.source if name[1] == "journal" else followed.outcomes
            if source is None:
                message = "outcomes are not kept: add the section [outcomes] to the settings and start again"
                raise InputError("no_outcomes", message, None, 409)
            end = _write_segment(path, int(name[2]), int(at), body, series, source, "ended" in query)
        return {"at": end, "version": model.version, "reference": model.reference.identity}

    def _open(self, token: str, about: Mapping[str, str]) -> None:
        """Follow a client's journals. Raises InputError if the store does not know what they were recorded for."""
        runtime, now, folder = self._runtime, self._watched, self._folder / token
        wanted = {key: str(about.get(key, ""))[:200] for key in ("model", "version", "reference")}
        for silent in [client for client, at in self._heard.items() if at < runtime.clock.time() - SILENT]:
            self._retire(silent)
        if len(self._heard) >= CLIENTS:
            raise behind(f"there are {CLIENTS} clients", 60)
        subject, reference = Subject(wanted["model"], wanted["version"]), wanted["reference"]
        series = runtime.writer.call(lambda connection: find_series(connection, subject, reference))
        if series is None or series.model != now.name:
            form = "model {} version {} with reference {:.12}"
            here = form.format(now.name, now.version, now.reference.identity)
            message = f"this server watches {here}; it does not know {form.format(*map(clean_text, wanted.values()))}"
            raise InputError("another_model", message, None, 409)

        def add() -> None:  # on the writer's thread, which also deletes the folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "about.json").write_text(json.dumps(wanted))
            if f"client/{token}" not in now.followed:
                runtime.journals.add(now.name, f"client/{token}", token, 1, folder, series)

        runtime.writer.run(add)
        self._series[token], self._heard[token] = series, runtime.clock.time()

    def _retire(self, token: str) -> None:
        """Leave out a client that has ended or is silent, once all of it is counted and needed no more."""
        runtime, name, folder = self._runtime, self._watched.name, self._folder / token
        done = partial(rmtree, folder, ignore_errors=True)
        runtime.writer.run(lambda: runtime.journals.retire(name, f"client/{token}", done))
        self._series.pop(token, None)
        self._heard.pop(token, None)


def _write_segment(path: Path, first: int, at: int, body: bytes, series: Series, source: Recorded, ended: bool) -> int:
    """Write part of a segment; returns from where on to go on. Raises InputError and OSError."""
    width = len(series.schema.captured) if path.parent.name == "journal" else PREDICTED + len(series.schema.predictions)
    records = record_dtype(width)
    try:
        head = SegmentHead.unpack(body)
    except StoreError as error:
        raise _bad(str(error), "head") from None
    notes = Notes.unpack(body[:RECORDS_AT])
    end, size = first + head.capacity, RECORDS_AT + head.capacity * head.record_size
    slot, rest = divmod(at - RECORDS_AT, records.itemsize)
    if (head.first, head.record_size, head.fingerprint.hex()) != (first, records.itemsize, series.schema.fingerprint):
        raise _bad("the segment has another first number or schema", "head")
    if not (0 < first < end <= NUMBERS and size <= SEGMENT and slot >= 0):
        raise _bad("numbers or sizes are too large", "head")
    possible = end <= notes.last < NUMBERS and 0 <= notes.began <= notes.ended < TIMES and notes.cause < 4096
    if notes.last and not possible:
        raise _bad("the notes say what cannot be", "head")
    sent = len(body) - RECORDS_AT
    if rest or sent < 0 or sent % records.itemsize or at + sent > size:
        raise _bad("no whole number of records of this segment", "at")
    parts = np.frombuffer(body, records, offset=RECORDS_AT)
    _check(parts, first + slot, series, path.parent.name == "outcomes", ended)
    if end - 1 <= source.applied:
        return size
    try:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if at == RECORDS_AT else 0) | os.O_CLOEXEC, 0o640)
    except FileNotFoundError:
        return RECORDS_AT
    try:
        os.ftruncate(handle, size)
        os.pwrite(handle, body[RECORDS_AT:], at)
        os.pwrite(handle, body[:RECORDS_AT], 0)
        os.fdatasync(handle)
    finally:
        os.close(handle)
    return at + sent


def _check(records: Any, first: int, series: Series, outcomes: bool, ended: bool) -> None:
    """Refuse what no client records. What a process that has `ended` left may be damaged. Raises InputError."""
    values, numbers = records["values"], np.arange(first, first + len(records), dtype=np.uint64)
    good = (records["time"] >= 0) & (records["time"] < TIMES)
    with np.errstate(invalid="ignore", over="ignore"):
        if outcomes:
            known, value, target = values[:, KNOWN], values[:, VALUE], series.reference.target
            good &= _whole(values[:, NUMBER], NUMBERS) & _whole(values[:, TOKEN], 1 << 48)
            good &= np.isnan(known) | ((known >= 0) & (known * 1e9 < TIMES))
            fits = _whole(value, len(target.classes) + 1) if target.classified else np.abs(value) <= LARGEST
            good &= np.isnan(value) | fits
        else:
            for position, column in enumerate(series.schema.captured):
                if not column.numeric:
                    good &= np.isnan(values[:, position]) | _whole(values[:, position], other_code(column) + 2000)
    whole = (records["mark"] == MARK) & (checksums(records, numbers) == records["crc"])
    bad = whole & ~good
    if not ended:
        bad |= (records["seq"] != 0) & ~(whole & (records["seq"] == numbers))
    if bad.any():
        raise _bad("damaged, or with a time or a value that no client records", f"record {first + int(np.argmax(bad))}")


def _whole(values: Any, end: int) -> Any:
    return (values >= 0) & (values < end) & (values == np.floor(values))


def _write_names(path: Path, at: int, body: bytes, columns: int) -> int:
    """Write lines of names of unseen values; returns from where on to go on. Raises InputError and OSError."""
    for line in body.splitlines():
        try:
            position, name = json.loads(line)
            good = type(position) is int and 0 <= position < columns and name == clean_text(name)
        except (ValueError, TypeError, RecursionError, AttributeError):
            good = False
        if not good:
            raise _bad("expected lines of a column's position and a name", "file")
    if not body.endswith(b"\n") or at + len(body) > NAMES:
        raise _bad("too many names, or a line without its end", "file")
    with path.open("r+b" if at and path.exists() else "wb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < at:
            return 0
        file.seek(at)
        file.write(body)
        file.flush()
        os.fdatasync(file.fileno())
    return at + len(body)


def _bad(message: str, where: str) -> InputError:
    return InputError("bad_part", message, where, 422)
