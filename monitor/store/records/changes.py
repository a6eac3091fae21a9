"""Changes that people make, by a command or on a page: silences, accepted references, erased values, pruning.

The process that holds the data folder applies them (`Runtime.change`), or the command itself if there is none.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Mapping
from typing import Any

from monitor.clock import iso
from monitor.columns.column import clean_text
from monitor.drift.result import Span
from monitor.errors import InputError
from monitor.rules.silence import Silence
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.records import references
from monitor.store.records.alerts import expire_silence, list_silences, save_silence
from monitor.store.records.erase import erase
from monitor.store.windows.retention import Maintenance

log = logging.getLogger(__name__)

#: A round of maintenance does a bounded part of what is due; this many do all that a long pause can have left.
PRUNE_ROUNDS = 2000


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
    """Apply one request that is a transaction.

    Raises StoreError, InputError, ValueError, KeyError or TypeError if it cannot.
    """
    kind = request["kind"]
    if kind == "silence":
        fields = request["silence"]
        identity, author, reason = (str(fields[name]) for name in ("id", "author", "reason"))
        matchers = {str(name): str(value) for name, value in fields["matchers"].items()}
        silence = Silence(identity, matchers, float(fields["start"]), float(fields["end"]), author, reason)
        save_silence(connection, silence, now)
        log.info("silenced until %s by %s: %s", iso(silence.end), author, silence.text)
    elif kind == "expire":
        identity = str(request["id"])
        if not expire_silence(connection, identity, now):
            in_force = ", ".join(silence.id for silence in list_silences(connection, now)) or "none"
            message = f"no silence {clean_text(identity)!r} is in force; in force: {in_force}"
            raise InputError("no_silence", message, "id", 404)
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
    else:
        raise ValueError(f"unknown kind {kind!r}")
