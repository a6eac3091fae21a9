"""Windows in the database: what a fold adds, what a reader sums up.

Functions of a connection; the caller owns the transaction. All but `register_series` and `Windows.add` only read.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence

from monitor.clock import iso
from monitor.columns.batch import Batch, empty_batch
from monitor.columns.column import Column
from monitor.drift.result import Subject
from monitor.errors import InputError, StoreError
from monitor.reference.file import Reference
from monitor.series import Series
from monitor.store.audit import seals
from monitor.store.file.bulk import write_rows
from monitor.store.windows.counts import SLOTS, add_up, move_sealed, write_open, write_sealed
from monitor.store.windows.packing import json_text, unpack
from monitor.store.windows.window_cover import find_tiles

log = logging.getLogger(__name__)

#: Most unseen values of a column that are named to whoever explains a verdict.
NAMED = 20


def register_series(connection: sqlite3.Connection, subject: Subject, reference: Reference, now: str) -> Series:
    """Find the series of a model version with this reference, or enter it; it is served from now on.

    Raises StoreError for one with too many columns.
    """
    if (columns := len(reference.schema.columns)) > SLOTS:
        raise StoreError(f"the store has room for {SLOTS:,} columns, and this model has {columns:,}")
    identity = reference.identity
    found = connection.execute(
        "SELECT id FROM series WHERE (model, version, name, reference_sha256) = (?, ?, ?, ?)", (*subject, identity)
    ).fetchone()
    if found is None:
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
            "INSERT INTO totals (column_id, counts, sum) SELECT id, '[]', NULL FROM columns WHERE series_id = ?",
            (series_id,),
        )
    else:
        series_id = found["id"]
    write_meta(connection, "served_series", str(series_id))
    return load_series(connection, int(series_id or 0))


def find_version(connection: sqlite3.Connection, version: str | None = None) -> tuple[str, int]:
    """The model version that was served last, or the named one, and its number of predictions; ("", 0): none was.

    Raises InputError for a version that was never served.
    """
    found = connection.execute(
        "SELECT version, predictions FROM series WHERE version = :version OR (:version IS NULL AND id = "
        "  (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'served_series')) ORDER BY id DESC LIMIT 1",
        {"version": version},
    ).fetchone()
    if found is not None:
        return str(found["version"]), int(found["predictions"])
    if version is None:
        return "", 0
    known = [row["version"] for row in connection.execute("SELECT version FROM series ORDER BY id DESC LIMIT 5")]
    raise InputError(
        "unknown_model", f"no model {version!r} was served; the last ones are: {', '.join(known) or 'none'}", "model"
    )


def load_served(connection: sqlite3.Connection) -> Series | None:
    """Read the model that was served last; None: none was yet."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'served_series'").fetchone()
    return None if row is None else load_series(connection, int(row["value"]))


def load_series(connection: sqlite3.Connection, series_id: int) -> Series:
    """Read a model back. Raises KeyError for an unknown id."""
    row = connection.execute(
        "SELECT id, model, version, name, reference, first_served FROM series WHERE id = ?", (series_id,)
    ).fetchone()
    if row is None:
        raise KeyError(series_id)
    ids = connection.execute("SELECT id FROM columns WHERE series_id = ? ORDER BY position", (series_id,)).fetchall()
    reference = Reference.from_text(row["reference"])
    subject = Subject(row["model"], row["version"], row["name"])
    return Series(row["id"], subject, reference, tuple(r["id"] for r in ids), row["first_served"])


def series_of_schema(connection: sqlite3.Connection, fingerprint: str) -> Series | None:
    """The newest model whose columns and bins have this fingerprint: what a journal segment names."""
    for row in connection.execute("SELECT id FROM series ORDER BY id DESC").fetchall():
        series = load_series(connection, row["id"])
        if series.schema.fingerprint == fingerprint:
            return series
    return None


class Windows:
    """Adds folds to the windows of one model.

    Keeps the open windows' counts in memory, so that a fold need not parse what it wrote a second ago. After a
    transaction that was rolled back, `forget` must be called.
    """

    def __init__(self, series: Series, seconds: int) -> None:
        self.series = series
        self.seconds = seconds
        self._open: dict[int, tuple[int, Batch]] = {}

    def forget(self) -> None:
        """Drop what is remembered; the next fold reads it again."""
        self._open.clear()

    def add(self, connection: sqlite3.Connection, batches: Mapping[int, Batch], totals: Batch) -> None:
        """Add a fold: a batch for each window start (seconds since 1970), and the new running totals."""
        for start, batch in sorted(batches.items()):
            window_id, whole = self._window(connection, start)
            whole = whole.plus(batch)
            connection.execute("UPDATE windows SET n = ? WHERE id = ?", (whole.n, window_id))
            write_open(connection, window_id, whole.counts, self.series.sizes, self._sums(whole))
            self._open[start] = (window_id, whole)
        texts = map(json_text, self.series.schema.split(totals.counts))
        write_rows(
            connection,
            "INSERT OR REPLACE INTO totals (column_id, counts, sum)",
            zip(self.series.column_ids, texts, self._sums(totals), strict=True),
        )
        connection.execute("UPDATE series SET predictions = ? WHERE id = ?", (totals.n, self.series.id))

    def seal(self, connection: sqlite3.Connection, before: float) -> None:
        """Close the windows that ended by `before`: a later record of that time opens another one."""
        seal(connection, "series_id = ? AND start + seconds <= ?", self.series.id, math.floor(before))
        self._open = {start: open_ for start, open_ in self._open.items() if start + self.seconds > before}

    def _window(self, connection: sqlite3.Connection, start: int) -> tuple[int, Batch]:
        """The open window at `start`, begun if there is none."""
        if start in self._open:
            return self._open[start]
        key = (self.series.id, self.seconds, start)
        row = connection.execute(
            "SELECT id FROM windows WHERE series_id = ? AND seconds = ? AND start = ? AND NOT sealed", key
        ).fetchone()
        whole = None if row is None else self._read_open(connection, row["id"])
        if whole is None:
            cursor = connection.execute("INSERT INTO windows (series_id, seconds, start, n) VALUES (?, ?, ?, 0)", key)
            return int(cursor.lastrowid or 0), empty_batch(self.series.schema)
        return row["id"], whole

    def _read_open(self, connection: sqlite3.Connection, window_id: int) -> Batch | None:
        """Read an open window; None where somebody has changed it: it is sealed as it is, and another one is begun."""
        try:
            whole = sum_windows(connection, self.series, [window_id])
        except StoreError:
            whole = None
        if whole is not None and all(part.sum() == whole.n for part in self.series.schema.split(whole.counts)):
            return whole
        log.error("the counts of open window %d do not add up to it: run `python -m monitor verify`", window_id)
        seal(connection, "id = ?", window_id)
        return None

    def _sums(self, batch: Batch) -> list[float | None]:
        """Sums as they are stored: NULL for a column that has none."""
        columns = self.series.schema.columns
        return [total if c.numeric else None for c, total in zip(columns, batch.sums.tolist(), strict=True)]


def seal(connection: sqlite3.Connection, which: str, *values: object) -> None:
    """Close open windows for good. `which`: a condition in SQL, with its values."""
    found = connection.execute(f"SELECT id FROM windows WHERE NOT sealed AND {which} ORDER BY id", values)  # noqa: S608
    ids = [row[0] for row in found.fetchall()]
    for one in ids:
        connection.execute("UPDATE windows SET sealed = 1 WHERE id = ?", (one,))
        seals.add(connection, "windows", "id = ?", one)
    move_sealed(connection, ids)


def load_totals(connection: sqlite3.Connection, series: Series) -> Batch:
    """Running totals since the model version was first served."""
    totals = empty_batch(series.schema)
    parts = series.schema.split(totals.counts)
    for position, column_id in enumerate(series.column_ids):
        row = connection.execute(
            "SELECT CAST(counts AS BLOB) AS counts, sum FROM totals WHERE column_id = ?", (column_id,)
        ).fetchone()
        try:
            text = str(row["counts"], "utf-8")
            parts[position][:] = unpack([text], [len(parts[position])]) if text != "[]" else 0
            totals.sums[position] = row["sum"] or 0.0
        except (TypeError, ValueError):
            name = series.schema.columns[position].name
            log.error("the totals of column %s are damaged, and begin at 0: run `python -m monitor verify`", name)
    n = connection.execute("SELECT predictions FROM series WHERE id = ?", (series.id,)).fetchone()["predictions"]
    return Batch(n, totals.counts, totals.sums)


def sum_windows(connection: sqlite3.Connection, series: Series, window_ids: Sequence[int]) -> Batch:
    """Sum of some windows, all columns."""
    sql = "SELECT n FROM windows WHERE id = ?"
    n = sum(connection.execute(sql, (window_id,)).fetchone()[0] for window_id in window_ids)
    return Batch(n, *add_up(connection, window_ids, range(len(series.sizes)), series.sizes))


def sum_range(connection: sqlite3.Connection, series: Series, start: float, end: float) -> Batch:
    """Sum of the windows that begin in [start, end), each prediction once, from the fewest rows that have them."""
    tiles = find_tiles(connection, series.id, start, end)
    sums = add_up(connection, [tile.id for tile in tiles], range(len(series.sizes)), series.sizes)
    return Batch(sum(tile.n for tile in tiles), *sums)


def sum_up(connection: sqlite3.Connection, window_id: int, parts: Sequence[int]) -> int:
    """Fill a window with the sum of others of its model; how many columns it has.

    Raises StoreError for one that does not have the model's columns and bins.
    """
    columns = connection.execute(
        "SELECT json_array_length(bins), kind FROM columns "
        "WHERE series_id = (SELECT series_id FROM windows WHERE id = ?) ORDER BY position",
        (window_id,),
    ).fetchall()
    sizes = [row[0] for row in columns]
    counts, sums = add_up(connection, parts, range(len(columns)), sizes)
    totals = [total if kind == "numeric" else None for total, (_, kind) in zip(sums.tolist(), columns, strict=True)]
    write_sealed(connection, window_id, counts, sizes, totals)
    return len(columns)


def add_unseen(connection: sqlite3.Connection, seen: Mapping[tuple[int, str], int], now: str) -> None:
    """Count unseen values by (column id, value)."""
    for (column_id, value), count in seen.items():
        with seals.changing(connection, "unseen_values", "column_id = ? AND value = ?", column_id, value):
            connection.execute(
                "INSERT INTO unseen_values (column_id, value, count, first_seen, last_seen) "
                "VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO UPDATE SET count = count + ?3, last_seen = ?4",
                (column_id, value, count, now),
            )


def unseen_since(connection: sqlite3.Connection, series: Series, start: float) -> Callable[[Column], tuple[str, ...]]:
    """Names of the unseen values that came since a moment, by column; the most frequent first, at most `NAMED`."""
    columns = dict(zip(series.column_ids, series.schema.columns, strict=True))
    found: dict[Column, tuple[str, ...]] = {}
    for row in connection.execute(
        "SELECT column_id, CAST(value AS BLOB) AS value FROM unseen_values WHERE last_seen >= ? "
        "ORDER BY count DESC, value",
        (iso(start),),
    ):
        column = columns.get(row["column_id"])
        if column is not None and len(found.get(column, ())) < NAMED:
            found[column] = (*found.get(column, ()), str(row["value"], "utf-8", "replace"))
    return lambda column: found.get(column, ())


def add_gap(connection: sqlite3.Connection, kind: str, start: str, end: str, lost: int | None, detail: str) -> None:
    """Note that predictions are missing from the record; the same note twice is one."""
    row = (kind, start, end, lost, detail)
    found = connection.execute('SELECT 1 FROM gaps WHERE (kind, "start", "end", lost, detail) IS (?, ?, ?, ?, ?)', row)
    if found.fetchone() is None:
        with seals.appended(connection, "gaps"):
            connection.execute('INSERT INTO gaps (kind, "start", "end", lost, detail) VALUES (?, ?, ?, ?, ?)', row)


def lost_predictions(connection: sqlite3.Connection) -> tuple[int, int]:
    """Number of gaps, and of predictions that were dropped for want of room."""
    row = connection.execute("SELECT count(*), sum(CASE WHEN kind = 'dropped' THEN lost END) FROM gaps").fetchone()
    return row[0], row[1] or 0


def last_damage(connection: sqlite3.Connection) -> tuple[str, int | None, str] | None:
    """End, size and detail of the newest gap that damage has made."""
    row = connection.execute(
        "SELECT \"end\", lost, detail FROM gaps WHERE kind = 'damaged' ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else (row["end"], row["lost"], row["detail"])


def newest_moment(connection: sqlite3.Connection) -> str | None:
    """Beginning of the newest window: up to when there is a history. None if there is none."""
    found = connection.execute("SELECT start_utc FROM windows ORDER BY start DESC LIMIT 1").fetchone()
    return None if found is None else found[0]


def read_meta(connection: sqlite3.Connection, key: str, default: str) -> str:
    """Read one value that the store keeps about itself."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return default if row is None else row["value"]


def write_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set one value that the store keeps about itself."""
    with seals.changing(connection, "meta", "key = ?", key):
        connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
