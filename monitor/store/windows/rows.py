"""What the store knows of series, and its notes: gaps, unseen values, and what it keeps about itself.

Functions of a connection; the caller owns the transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from monitor.clock import FAR, iso
from monitor.columns.column import Column
from monitor.drift.result import Subject
from monitor.errors import InputError, StoreError
from monitor.reference.file import Reference
from monitor.series import Series
from monitor.store.audit import seals
from monitor.store.windows.counts import SLOTS

SERVED = "served_series"

#: Most unseen values of a column that the explanation of a verdict is given.
NAMED = 20


def register_series(
    connection: sqlite3.Connection, subject: Subject, reference: Reference, now: str, served: bool = True
) -> Series:
    """Find the series of a model version with this reference, or enter it; if `served`, it is from now on.

    Raises StoreError for one with too many columns.
    """
    if (columns := len(reference.schema.columns)) > SLOTS:
        raise StoreError(f"the store has room for {SLOTS:,} columns, and this model has {columns:,}")
    identity = reference.identity
    series_id = _id_of(connection, subject, identity)
    if series_id is None:
        cursor = connection.execute(
            "INSERT INTO series (model, version, name, model_sha256, reference_sha256, reference, first_served) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*subject, reference.info.model_sha256, identity, reference.to_text(), now),
        )
        series_id = cursor.lastrowid
        seals.add(connection, "series", "id = ?", series_id)
        connection.executemany(
            "INSERT INTO columns (series_id, position, name, role, kind, bins) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (series_id, position, c.name, c.role, c.kind, json.dumps(list(c.labels), ensure_ascii=False))
                for position, c in enumerate(reference.schema.columns)
            ],
        )
        seals.add(connection, "columns", "series_id = ?", series_id)
        connection.execute(
            "INSERT INTO totals (column_id, counts, sum) SELECT id, '[0]', NULL FROM columns WHERE series_id = ?",
            (series_id,),
        )
    for key in map(served_key, (None, subject.model) if served else ()):
        write_meta(connection, key, str(series_id))
    return load_series(connection, int(series_id or 0), reference)


def find_series(connection: sqlite3.Connection, subject: Subject, reference: str) -> Series | None:
    """The series of a model version with a reference, by its SHA-256; None if it was never served."""
    series_id = _id_of(connection, subject, reference)
    return None if series_id is None else load_series(connection, series_id)


def _id_of(connection: sqlite3.Connection, subject: Subject, reference: str) -> int | None:
    row = connection.execute(
        "SELECT id FROM series WHERE (model, version, name, reference_sha256) = (?, ?, ?, ?)", (*subject, reference)
    ).fetchone()
    return None if row is None else int(row["id"])


def find_version(connection: sqlite3.Connection, version: str | None = None, model: str | None = None) -> Series | None:
    """What was served last, of all or of one model; None if nothing was yet. Or the newest series of a named version.

    Raises InputError for a version that was never served.
    """
    if version is None:
        last = read_meta(connection, served_key(model), "")
        return load_series(connection, int(last)) if last else None
    sql = "SELECT id FROM series WHERE version = ?1 AND (?2 IS NULL OR model = ?2) ORDER BY id DESC LIMIT 1"
    row = connection.execute(sql, (version, model)).fetchone()
    if row is not None:
        return load_series(connection, row["id"])
    sql = "SELECT version FROM series WHERE ?1 IS NULL OR model = ?1 ORDER BY id DESC LIMIT 5"
    known = ", ".join(row["version"] for row in connection.execute(sql, (model,))) or "none"
    message = f"no model version {version[:200]!r} was served; the last ones are: {known}"
    raise InputError("unknown_model", message, "model_version", 404)


def load_version(connection: sqlite3.Connection, version: str | None = None, model: str | None = None) -> Series:
    """Load what `find_version` finds. Raises StoreError if nothing has been served yet, and InputError as it does."""
    series = find_version(connection, version, model)
    if series is None:
        raise StoreError(f"no model{f' {model}' if model else ''} has been served yet")
    return series


def list_versions(connection: sqlite3.Connection, model: str) -> list[str]:
    """Versions of a model, the one that was entered last first."""
    sql = "SELECT version FROM series WHERE model = ? GROUP BY version ORDER BY max(id) DESC"
    return [row[0] for row in connection.execute(sql, (model,))]


def count_predictions(connection: sqlite3.Connection, series: Series) -> int:
    """Predictions of a series since it was first served."""
    (predictions,) = connection.execute("SELECT predictions FROM series WHERE id = ?", (series.id,)).fetchone()
    return int(predictions)


def predictions_of_others(connection: sqlite3.Connection, of: Subject, start: float, end: float) -> dict[str, int]:
    """Predictions in a period by the other versions of a model that predicted in it."""
    rows = connection.execute(
        "SELECT m.version, sum(w.n) FROM windows w JOIN series m ON m.id = w.series_id WHERE w.finest AND w.start >= ?"
        " AND w.start < ? AND (m.model, m.name) = (?, ?) AND m.version <> ? GROUP BY m.version ORDER BY min(m.id)",
        (start, end, of.model, of.series, of.version),
    )
    return dict(map(tuple, rows))


def served_key(model: str | None) -> str:
    """Key of `meta` with the id of the series that was served last: of all, or of a model."""
    return SERVED if model is None else f"{SERVED}/{model}"


def load_series(connection: sqlite3.Connection, series_id: int, known: Reference | None = None) -> Series:
    """Read a series back. `known`: a reference that need not be read again if it is this one's.

    Raises KeyError for an unknown id.
    """
    sql = "SELECT model, version, name, reference, first_served FROM series WHERE id = ?"
    row = connection.execute(sql, (series_id,)).fetchone()
    if row is None:
        raise KeyError(series_id)
    *subject, text, first_served = row
    reference = known if known is not None and known.to_text() == text else Reference.from_text(text)
    ids = connection.execute("SELECT id FROM columns WHERE series_id = ? ORDER BY position", (series_id,))
    columns = tuple(row[0] for row in ids.fetchall())
    return Series(series_id, Subject(*subject), reference, columns, first_served)


def series_of_schema(connection: sqlite3.Connection, fingerprint: str, model: str = "") -> Series | None:
    """The newest series whose columns and bins have this fingerprint, as segments name it; `model`'s first."""
    for row in connection.execute("SELECT id FROM series ORDER BY model = ? DESC, id DESC", (model,)).fetchall():
        series = load_series(connection, row["id"])
        if series.schema.fingerprint == fingerprint:
            return series
    return None


def unseen_since(connection: sqlite3.Connection, series: Series, start: float) -> Callable[[Column], tuple[str, ...]]:
    """Names of the unseen values that came since a moment, by column; the most frequent first, at most `NAMED`."""
    columns = dict(zip(series.column_ids, series.schema.columns, strict=True))
    names: defaultdict[Column | None, list[str]] = defaultdict(list)
    rows = connection.execute(
        "SELECT column_id, CAST(value AS BLOB) FROM unseen_values WHERE last_seen >= ? ORDER BY count DESC, value",
        (iso(start),),
    )
    for column_id, value in rows:
        names[columns.get(column_id)].append(str(value, "utf-8", "replace"))
    return partial(_first_names, dict(names))


def _first_names(names: Mapping[Column | None, list[str]], column: Column) -> tuple[str, ...]:
    return tuple(names.get(column, ())[:NAMED])


def add_gap(connection: sqlite3.Connection, kind: str, start: str, end: str, lost: int | None, detail: str) -> None:
    """Note that predictions are missing from the record; the same note twice is one."""
    row = (kind, start, end, lost, detail)
    with seals.appended(connection, "gaps"):
        connection.execute(
            'INSERT INTO gaps (kind, "start", "end", lost, detail) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS '
            '(SELECT 1 FROM gaps WHERE (kind, "start", "end", lost, detail) IS (?1, ?2, ?3, ?4, ?5))',
            row,
        )


def list_gaps(
    connection: sqlite3.Connection, start: float = 0.0, end: float = FAR, most: int = -1
) -> list[dict[str, Any]]:
    """What is missing from the record in a period: plain data, the newest first, at most `most` of them (-1: all)."""
    names = ("kind", "start", "end", "lost", "detail")
    rows = connection.execute(
        'SELECT kind, "start", "end", lost, detail FROM gaps '
        # A text with milliseconds sorts before the same second without: a second more on either side.
        'WHERE "start" < ? AND "end" >= ? ORDER BY "start" DESC, id DESC LIMIT ?',
        (iso(end + 1), iso(start - 1), most),
    )
    return [dict(zip(names, tuple(row), strict=True)) for row in rows]


def lost_predictions(connection: sqlite3.Connection) -> tuple[int, int]:
    """Number of gaps, and of predictions that were dropped because there was no room."""
    row = connection.execute("SELECT count(*), sum(CASE WHEN kind = 'dropped' THEN lost END) FROM gaps").fetchone()
    return row[0], row[1] or 0


def last_damage(connection: sqlite3.Connection) -> tuple[str, int | None, str] | None:
    """End, size and detail of the newest gap that damage has made."""
    sql = "SELECT \"end\", lost, detail FROM gaps WHERE kind = 'damaged' ORDER BY id DESC LIMIT 1"
    row = connection.execute(sql).fetchone()
    return None if row is None else (row["end"], row["lost"], row["detail"])


def newest_moment(connection: sqlite3.Connection) -> str | None:
    """Beginning of the newest window: up to when there is a history. None if there is none."""
    (newest,) = connection.execute("SELECT max(start_utc) FROM windows").fetchone()
    return None if newest is None else str(newest)


#: Key of `meta` with what is wrong with the sources that are pulled, in words.
TROUBLE = "trouble"
#: What a key of `meta` with a series' newest prediction begins with; its id follows.
NEWEST = "newest/"


def last_prediction(connection: sqlite3.Connection, of: Subject) -> str | None:
    """When the newest counted prediction of a model version was made, at the latest; None if there is none."""
    sql = f"SELECT max(value) FROM meta JOIN series ON key = '{NEWEST}' || id WHERE (model, version) = (?, ?)"  # noqa: S608
    return connection.execute(sql, of[:2]).fetchone()[0]  # type: ignore[no-any-return]


def read_meta(connection: sqlite3.Connection, key: str, default: str) -> str:
    """Read one value that the store keeps about itself."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return default if row is None else row["value"]


def write_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set one value that the store keeps about itself."""
    with seals.changing(connection, "meta", "key = ?", key):
        connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
