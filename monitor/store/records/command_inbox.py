"""Requests from other processes: a command may not write to the database while a server does, so it leaves a note.

A note is a small JSON file in `data/inbox`, renamed into place whole. The writer applies each in one transaction and
removes it; one that makes no sense is renamed to `.rejected` and logged. Who may write into the folder may ask.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from monitor.clock import Clock, iso
from monitor.drift.result import Span
from monitor.rules.silence import Silence
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.records import references
from monitor.store.records.alerts import expire_silence, save_silence
from monitor.store.records.erase import erase
from monitor.store.windows.retention import Maintenance

log = logging.getLogger(__name__)

INBOX = "inbox"

#: Kind of the request to read the settings again.
RELOAD = "reload"

#: A round of maintenance does a bounded part of what is due; this many do all that a long pause can have left.
PRUNE_ROUNDS = 2000


def put(data: Path, request: Mapping[str, Any]) -> Path:
    """Leave a request; returns the file, which is gone once the request has been applied. Raises OSError."""
    folder = data / INBOX
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        json.dump(request, file)
    path = Path(temporary).with_name(Path(temporary).name.lstrip(".").replace(".tmp", ".json"))
    return Path(temporary).replace(path)


#: Begins a reload; what became of it, and whether it is good, is told to the function that it is given.
Reload = Callable[[Callable[[str, bool], None]], None]


def apply_all(
    folder: DataFolder,
    writer: Writer,
    clock: Clock,
    maintenance: Maintenance,
    erased: Callable[[], object],
    reload: Reload | None = None,
) -> None:
    """Apply the requests in the inbox, in the order of their names. `erased` is called after one that erased names."""
    inbox = folder.path / INBOX
    try:
        waiting = sorted(path for path in inbox.iterdir() if path.suffix == ".json")
    except OSError:
        return
    for path in waiting:
        kind = ""
        try:
            request = json.loads(path.read_text("utf-8"))
            kind = request["kind"]
            if kind == RELOAD and reload is not None:
                path = path.replace(path.with_suffix(".taken"))  # it takes a while, and wants this thread
                reload(partial(_answer, path))
                continue
            carry_out(writer, folder, request, clock.time(), maintenance)
        except sqlite3.OperationalError:
            raise  # the store's fault: the request is good for later
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not keep the store from folding
            log.error("%s: refused: %s", path, error)
            if kind == "erase":
                path.write_text("")  # it may name the value
            path.replace(path.with_suffix(".rejected"))
            continue
        finally:
            if kind == "erase":
                erased()
        path.unlink(missing_ok=True)


def _answer(path: Path, said: str, good: bool) -> None:
    """Leave the answer to a request that took a while, for whoever asked."""
    path.write_text(said, "utf-8")
    path.replace(path.with_suffix(".done" if good else ".refused"))


def carry_out(
    writer: Writer, folder: DataFolder, request: Mapping[str, Any], now: float, maintenance: Maintenance
) -> None:
    """Do what a request asks, on the writer's thread. Raises StoreError, ValueError, KeyError or TypeError if bad."""
    if request["kind"] == "erase":
        erase(writer, folder, request, now)
        log.info("unseen values erased by %s: %s", request["author"], request["reason"])
    elif request["kind"] == "prune":
        # Requested by a person: skip the limit on how fast data may age.
        maintenance.work_off(writer, now, PRUNE_ROUNDS, math.inf)
    else:
        writer.transaction(lambda connection: apply(connection, request, now))


def apply(connection: sqlite3.Connection, request: Mapping[str, Any], now: float) -> None:
    """Apply one request that is a transaction. Raises StoreError, ValueError, KeyError or TypeError if it cannot."""
    kind = request["kind"]
    if kind == "silence":
        fields = request["silence"]
        identity, author, reason = (str(fields[name]) for name in ("id", "author", "reason"))
        matchers = {str(name): str(value) for name, value in fields["matchers"].items()}
        silence = Silence(identity, matchers, float(fields["start"]), float(fields["end"]), author, reason)
        save_silence(connection, silence, now)
        log.info("silenced until %s by %s: %s", iso(silence.end), author, silence.text)
    elif kind == "expire":
        if not expire_silence(connection, str(request["id"]), now):
            raise ValueError(f"no silence {request['id']!r} is in force")
    elif kind in ("accept", "reset"):
        by = str(request["author"]), str(request["reason"])
        columns = [int(position) for position in request["columns"]]
        model = None if request.get("model") is None else str(request["model"])
        if kind == "reset":
            references.reset(connection, *by, now, columns, model)
            log.info("reference reset to the training data by %s: %s", *by)
            return
        span = Span(float(request["start"]), float(request["end"]))
        references.accept(connection, span, *by, now, int(request["least"]), columns, model)
        log.info("%s to %s accepted as reference by %s: %s", *span.to_json().values(), *by)
    elif kind == RELOAD:
        raise ValueError("this process serves no models; start it again to change its settings")
    else:
        raise ValueError(f"unknown kind {kind!r}")
