"""The schema of the database, as named changes in order. A change that has been released is never edited again.

Times that people read are TEXT in ISO 8601, UTC. Windows are found by arithmetic, so `windows.start` is INTEGER seconds
since 1970, with `start_utc` beside it. Counts are text that plain SQL can spread into rows: of windows, of which there
are many, packed (`packing.py`), and JSON elsewhere.
"""

from __future__ import annotations

import sqlite3
from functools import cache

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from monitor.errors import StoreError
from monitor.store.windows.packing import from_json

MIGRATIONS = Migrations("telltale")

#: Small tables that change all the time: a digest of each is renewed with the transaction that changes it.
GUARDED = (
    "meta",
    "alerts",
    "silences",
    "notification_groups",
    "notification_totals",
    "chain_roots",
    "_sqlite_migrations",
    "unseen_values",
)


@MIGRATIONS()
def windows(db: Database) -> None:
    """Models with their bins, the windows filled into them, and what never made it into one."""
    _run(
        db,
        """
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

        CREATE TABLE models (
            id INTEGER PRIMARY KEY,
            version TEXT NOT NULL,
            model_sha256 TEXT NOT NULL,
            reference_sha256 TEXT NOT NULL,
            reference TEXT NOT NULL,             -- the reference file's text
            first_served TEXT NOT NULL,
            predictions INTEGER NOT NULL DEFAULT 0,
            UNIQUE (version, reference_sha256)
        ) STRICT;

        CREATE TABLE columns (
            id INTEGER PRIMARY KEY,
            model_id INTEGER NOT NULL REFERENCES models,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            role TEXT NOT NULL,
            kind TEXT NOT NULL,
            bins TEXT NOT NULL,                  -- JSON array: a label for each count
            UNIQUE (model_id, position)
        ) STRICT;

        CREATE TABLE windows (
            id INTEGER PRIMARY KEY,
            model_id INTEGER NOT NULL REFERENCES models,
            seconds INTEGER NOT NULL,            -- length of the window
            start INTEGER NOT NULL,              -- seconds since 1970 UTC; the window is [start, start + seconds)
            start_utc TEXT GENERATED ALWAYS AS (strftime('%Y-%m-%dT%H:%M:%SZ', start, 'unixepoch')) VIRTUAL,
            n INTEGER NOT NULL,                  -- predictions
            sealed INTEGER NOT NULL DEFAULT 0,   -- 1: never changed again; a late record opens another window
            finest INTEGER NOT NULL DEFAULT 1    -- 1: no shorter window has these predictions: sum over these rows only
        ) STRICT;
        CREATE INDEX windows_by_start ON windows (model_id, seconds, start);

        CREATE TABLE histograms (
            window_id INTEGER NOT NULL REFERENCES windows,
            column_id INTEGER NOT NULL REFERENCES columns,
            counts TEXT NOT NULL,                -- JSON array, a number for each of columns.bins
            sum REAL,                            -- of the finite values; NULL for a categorical column
            PRIMARY KEY (window_id, column_id)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE totals (
            column_id INTEGER PRIMARY KEY REFERENCES columns,
            counts TEXT NOT NULL,
            sum REAL
        ) STRICT;

        CREATE TABLE unseen_values (
            column_id INTEGER NOT NULL REFERENCES columns,
            value TEXT NOT NULL,
            count INTEGER NOT NULL,
            first_seen TEXT NOT NULL,
            last_seen TEXT NOT NULL,
            PRIMARY KEY (column_id, value)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE gaps (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,                  -- dropped, damaged
            "start" TEXT NOT NULL,
            "end" TEXT NOT NULL,
            lost INTEGER,                        -- predictions that no window has; NULL where it cannot be known
            detail TEXT NOT NULL
        ) STRICT;

        CREATE VIEW histogram_bins AS
            SELECT w.start_utc AS start, w.seconds, m.version AS model_version, c.name AS "column", c.role,
                   bin.key AS bin, label.value AS label, bin.value AS count, w.id AS window_id
            FROM windows w
            JOIN models m ON m.id = w.model_id
            JOIN histograms h ON h.window_id = w.id
            JOIN columns c ON c.id = h.column_id
            JOIN json_each(h.counts) AS bin
            JOIN json_each(c.bins) AS label ON label.key = bin.key
            WHERE w.finest;
        """,
    )


@MIGRATIONS()
def drift_and_alerts(db: Database) -> None:
    """Verdicts, where each alert stands, and how it came there."""
    _run(
        db,
        """
        CREATE TABLE drift (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,                    -- of the evaluation
            rule TEXT NOT NULL,
            "column" TEXT NOT NULL,
            role TEXT NOT NULL,
            kind TEXT NOT NULL,
            statistic TEXT NOT NULL,
            value REAL,                          -- NULL: no verdict; `state` says why
            critical REAL,
            floor REAL,
            p_value REAL,
            n INTEGER NOT NULL,                  -- rows of the test window that count for this statistic
            m INTEGER NOT NULL,                  -- rows of the reference
            state TEXT NOT NULL,
            direction TEXT,
            window_start TEXT NOT NULL,
            window_end TEXT NOT NULL,
            reference TEXT NOT NULL,
            model_version TEXT NOT NULL,
            reason TEXT NOT NULL DEFAULT ''
        ) STRICT;
        CREATE INDEX drift_by_time ON drift (at);

        CREATE TABLE alerts (
            rule TEXT NOT NULL,
            role TEXT NOT NULL,
            "column" TEXT NOT NULL,
            state TEXT NOT NULL,                 -- inactive, pending, firing, resolved
            since TEXT NOT NULL,
            active_since TEXT,
            held REAL NOT NULL,                  -- watched seconds that count towards its next move
            clear_since TEXT,
            evaluated TEXT,
            event_id TEXT NOT NULL,
            severity TEXT NOT NULL,
            value REAL,
            labels TEXT NOT NULL,                -- JSON object
            statistic TEXT NOT NULL DEFAULT '',  -- the one by which the condition held last
            reopened INTEGER NOT NULL DEFAULT 0, -- how often the event has come back
            PRIMARY KEY (rule, role, "column")
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE alert_events (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            rule TEXT NOT NULL,
            "column" TEXT NOT NULL,
            role TEXT NOT NULL,
            before TEXT NOT NULL,
            after TEXT NOT NULL,
            statistic TEXT NOT NULL,
            value REAL,
            critical REAL,
            n INTEGER NOT NULL,
            severity TEXT NOT NULL,
            event_id TEXT NOT NULL,
            model_version TEXT NOT NULL,
            reason TEXT NOT NULL DEFAULT ''
        ) STRICT;
        CREATE INDEX alert_events_by_time ON alert_events (at);

        CREATE TABLE silences (
            id TEXT PRIMARY KEY,
            matchers TEXT NOT NULL,              -- JSON object
            "start" TEXT NOT NULL,
            "end" TEXT NOT NULL,
            author TEXT NOT NULL,
            reason TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        """,
    )


@MIGRATIONS()
def notifications(db: Database) -> None:
    """The outbox: messages, what each receiver knows of each group, and how many ended in which way."""
    _run(
        db,
        """
        CREATE TABLE notifications (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,                    -- of the evaluation that wrote it
            receiver TEXT NOT NULL,
            "group" TEXT NOT NULL,               -- the rule; empty for a digest and for Alertmanager
            sequence INTEGER NOT NULL,           -- counts the messages of a receiver and group
            kind TEXT NOT NULL,                  -- firing, update, repeat, resolved, digest, picture, state, resend
            severity TEXT NOT NULL,
            event_id TEXT NOT NULL,
            model_version TEXT NOT NULL,
            message TEXT NOT NULL,               -- JSON object: what is told, before any provider's format
            state TEXT NOT NULL,                 -- pending, sending, sent, dead, collapsed, skipped
            attempts INTEGER NOT NULL,
            attempted TEXT,                      -- when the last attempt began
            next_try REAL,                       -- seconds since 1970 UTC, not before which it is tried again
            plain INTEGER NOT NULL DEFAULT 0,    -- 1: markup was refused, it goes on as plain text
            doubt INTEGER NOT NULL DEFAULT 0,    -- 1: an attempt may have arrived without an answer
            settled TEXT,
            answer TEXT,                         -- what the provider said last
            UNIQUE (receiver, "group", sequence)
        ) STRICT;
        CREATE INDEX notifications_open ON notifications (receiver, id) WHERE state IN ('pending', 'sending');
        CREATE INDEX notifications_by_state ON notifications (receiver, state);

        CREATE TABLE notification_groups (
            receiver TEXT NOT NULL,
            "group" TEXT NOT NULL,
            sequence INTEGER NOT NULL,
            event_id TEXT NOT NULL,
            opened REAL NOT NULL,                -- seconds since 1970 UTC
            last REAL NOT NULL,                  -- seconds since 1970 UTC
            changes INTEGER NOT NULL,            -- transitions since the last message
            told TEXT NOT NULL,                  -- JSON array: rule, role, column, event id, since, severity, resolved,
                                                 -- labels
            PRIMARY KEY (receiver, "group")
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE notification_totals (
            receiver TEXT NOT NULL,
            outcome TEXT NOT NULL,
            count INTEGER NOT NULL,
            PRIMARY KEY (receiver, outcome)
        ) STRICT, WITHOUT ROWID;
        """,
    )


@MIGRATIONS()
def tiers_and_chain(db: Database) -> None:
    """Windows that stand for shorter ones, what a verdict was asked, and the hash chain over what must not change."""
    _run(
        db,
        """
        -- The longer window that has these predictions too, once there is one.
        ALTER TABLE windows ADD COLUMN parent_id INTEGER REFERENCES windows;
        -- How many shorter windows were summed up in this one; 0: it was filled from predictions.
        ALTER TABLE windows ADD COLUMN children INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE windows ADD COLUMN chain_id INTEGER;
        CREATE INDEX windows_not_rolled ON windows (seconds, start) WHERE parent_id IS NULL;
        CREATE INDEX windows_by_parent ON windows (parent_id) WHERE parent_id IS NOT NULL;
        CREATE INDEX windows_with_parts ON windows (seconds, start) WHERE NOT finest;
        CREATE INDEX windows_not_chained ON windows (id) WHERE sealed AND chain_id IS NULL;

        CREATE TABLE questions (
            id INTEGER PRIMARY KEY,
            model_id INTEGER NOT NULL REFERENCES models,
            rule TEXT NOT NULL,
            asked TEXT NOT NULL,                 -- JSON object: statistic, alpha, floor, min_samples, columns
            UNIQUE (model_id, rule, asked)
        ) STRICT;
        ALTER TABLE drift ADD COLUMN question_id INTEGER REFERENCES questions;
        -- The highest windows.id there was: a late prediction that came afterwards is in a window beyond it.
        ALTER TABLE drift ADD COLUMN seen INTEGER;

        ALTER TABLE notifications ADD COLUMN chain_id INTEGER;
        CREATE INDEX notifications_not_chained ON notifications (id)
            WHERE chain_id IS NULL AND kind <> 'resend' AND state NOT IN ('pending', 'sending');
        CREATE INDEX notifications_by_time ON notifications (at);

        CREATE TABLE chain (
            id INTEGER PRIMARY KEY,
            stream TEXT NOT NULL,                -- each stream is a chain of its own: minutes, hours, days, drift, ...
            first INTEGER NOT NULL,              -- id of the first row that the entry covers
            last INTEGER NOT NULL,
            rows INTEGER NOT NULL,
            marks BLOB NOT NULL,                 -- first 4 bytes of each row's SHA-256, where there are several
            digest BLOB,                         -- SHA-256 of the rows, kept in their place once they were pruned
            link BLOB NOT NULL                   -- SHA-256 of the previous link in the stream, these facts and the rows
        ) STRICT;
        CREATE INDEX chain_by_stream ON chain (stream, id);

        CREATE TABLE chain_roots (
            stream TEXT PRIMARY KEY,             -- what was pruned from the beginning of a stream, signed off
            entries INTEGER NOT NULL,
            rows INTEGER NOT NULL,
            first INTEGER NOT NULL,              -- id of the first row that was pruned
            last INTEGER NOT NULL,
            changed INTEGER NOT NULL,            -- entries that did not fit their link when they were pruned
            totals TEXT NOT NULL,                -- JSON object: what the rows added up to
            pruned TEXT NOT NULL,
            link BLOB NOT NULL                   -- link of the last pruned entry, on which the next one builds
        ) STRICT, WITHOUT ROWID;

        -- What changes all the time is in no chain. Of small tables a digest is renewed with each transaction, and of
        -- unseen values each row has its own.
        ALTER TABLE unseen_values ADD COLUMN mark BLOB;
        CREATE TABLE guards (
            name TEXT PRIMARY KEY,               -- of the table
            changed INTEGER NOT NULL,            -- 1: by somebody who did not renew the digest
            digest BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        """
        + "".join(_guard(table) for table in GUARDED[:6]),
    )


@MIGRATIONS()
def reference_changes(db: Database) -> None:
    """Stretches of production that somebody made the new normal, and when that was taken back."""
    _run(
        db,
        """
        CREATE TABLE reference_changes (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            model_id INTEGER NOT NULL REFERENCES models,
            action TEXT NOT NULL,                -- accept: compare with this stretch from now on; reset: with training
            "start" TEXT,                        -- of the stretch; NULL for a reset
            "end" TEXT,
            n INTEGER,                           -- predictions in it
            counts TEXT,                         -- JSON array of arrays, one for each column of the model
            sums TEXT,                           -- JSON array, a number for each column
            author TEXT NOT NULL,
            reason TEXT NOT NULL
        ) STRICT;
        """,
    )


@MIGRATIONS()
def counts_by_number(db: Database) -> None:
    """Counts under one number for window and column, those of open windows apart: both fill their pages whole."""
    table = """
        CREATE TABLE NAME_counts (
            id INTEGER PRIMARY KEY,              -- window * 100000 + columns.position
            counts TEXT NOT NULL,                -- JSON array, a number for each of columns.bins, but for last zeros
            sum REAL                             -- of the finite values; NULL for a categorical column
        ) STRICT;
        INSERT INTO NAME_counts
            SELECT h.window_id * 100000 + c.position, h.counts, h.sum
            FROM histograms h CROSS JOIN windows w ON w.id = h.window_id CROSS JOIN columns c ON c.id = h.column_id
            WHERE w.sealed = WHETHER ORDER BY h.window_id, h.column_id;
        """
    _run(db, table.replace("NAME", "sealed").replace("WHETHER", "1"))
    _run(db, table.replace("NAME", "open").replace("WHETHER", "0"))
    _run(
        db,
        """
        DROP VIEW histogram_bins;
        DROP TABLE histograms;

        CREATE VIEW histograms AS
            SELECT window_id, column_id,
                   -- With the zeros at the end, so that it has a number for each bin.
                   rtrim(counts, ']')
                   || replace(hex(zeroblob(json_array_length(bins) - json_array_length(counts))), '00', ',0')
                   || ']' AS counts,
                   sum
            FROM (
                SELECT w.id AS window_id, c.id AS column_id, c.bins, coalesce(s.counts, o.counts) AS counts,
                       coalesce(s.sum, o.sum) AS sum
                FROM windows w
                JOIN columns c ON c.model_id = w.model_id
                LEFT JOIN sealed_counts s ON s.id = w.id * 100000 + c.position
                LEFT JOIN open_counts o ON o.id = w.id * 100000 + c.position
                WHERE s.id IS NOT NULL OR o.id IS NOT NULL
            );

        WRITABLE
        CREATE VIEW histogram_bins AS
            SELECT w.start_utc AS start, w.seconds, m.version AS model_version, c.name AS "column", c.role,
                   label.key AS bin, label.value AS label,
                   json_extract(h.counts, '$[' || label.key || ']') AS count, w.id AS window_id
            FROM windows w
            JOIN models m ON m.id = w.model_id
            JOIN histograms h ON h.window_id = w.id
            JOIN columns c ON c.id = h.column_id
            JOIN json_each(c.bins) AS label
            WHERE w.finest;
        """.replace("WRITABLE", _WRITABLE),
    )


@MIGRATIONS()
def guard_of_migrations(db: Database) -> None:
    """A digest of what is written here: which changes were made, and when."""
    _run(db, _guard("_sqlite_migrations"))


@MIGRATIONS()
def guard_of_unseen_values(db: Database) -> None:
    """How many unseen values there are: each row has a mark of its own, which says nothing of a row that is gone."""
    _run(db, _guard("unseen_values"))


@MIGRATIONS()
def views_for_auditors(db: Database) -> None:
    """One view for each question that would take a join: who was told, what was unseen, what a verdict rests on."""
    _run(
        db,
        """
        CREATE VIEW alert_history AS
            SELECT e.at, e.rule, e."column", e.role, e.before, e.after, e.severity, e.statistic, e.value, e.event_id,
                   n.receiver, n.kind AS message, n.state AS outcome, n.settled AS told_at, n.answer,
                   e.model_version, e.reason, e.id
            FROM alert_events e
            LEFT JOIN notifications n
                   ON n.at >= e.at
                  AND EXISTS (SELECT 1 FROM json_each(n.message, '$.entries') AS entry
                              WHERE json_extract(entry.value, '$.event_id') = e.event_id);

        CREATE VIEW unseen AS
            SELECT c.name AS "column", c.role, m.version AS model_version, u.value, u.count, u.first_seen, u.last_seen
            FROM unseen_values u
            JOIN columns c ON c.id = u.column_id
            JOIN models m ON m.id = c.model_id;

        CREATE VIEW verdicts AS
            SELECT d.*, q.asked, m.id AS model_id, m.model_sha256, m.reference_sha256, m.first_served
            FROM drift d
            LEFT JOIN questions q ON q.id = d.question_id
            LEFT JOIN models m ON m.id = q.model_id;
        """,
    )


@MIGRATIONS()
def packed_counts(db: Database) -> None:
    """Counts of windows as a character or two for each, instead of as JSON: half the room, and quicker to read."""
    _run(
        db,
        """
        DROP VIEW histogram_bins;
        DROP VIEW histograms;
        """,
    )
    for table in ("sealed_counts", "open_counts"):
        _run(
            db,
            """
            ALTER TABLE THIS RENAME TO json_counts;
            CREATE TABLE THIS (
                id INTEGER PRIMARY KEY,          -- window * 100000 + columns.position
                -- '1', and for each of columns.bins a character, its code point being the count and 1; or '2', and for
                -- each two characters, the digits in base 127; or a JSON array. Zeros at the end are left out.
                counts TEXT NOT NULL,
                sum REAL                         -- of the finite values; NULL for a categorical column
            ) STRICT;
            """.replace("THIS", table),
        )
        _pack(db.conn, table)
        _run(db, "DROP TABLE json_counts;")
    _run(
        db,
        """
        CREATE VIEW window_counts AS             -- as they are stored
            SELECT w.id AS window_id, c.id AS column_id, c.bins, coalesce(s.counts, o.counts) AS counts,
                   coalesce(s.sum, o.sum) AS sum
            FROM windows w
            JOIN columns c ON c.model_id = w.model_id
            LEFT JOIN sealed_counts s ON s.id = w.id * 100000 + c.position
            LEFT JOIN open_counts o ON o.id = w.id * 100000 + c.position
            WHERE s.id IS NOT NULL OR o.id IS NOT NULL;

        CREATE VIEW histograms AS
            SELECT window_id, column_id,
                   (SELECT json_group_array(count)
                    FROM (SELECT BIN_COUNT AS count FROM json_each(h.bins) AS bin ORDER BY bin.key)) AS counts,
                   sum
            FROM window_counts h;

        WRITABLE
        CREATE VIEW histogram_bins AS
            SELECT w.start_utc AS start, w.seconds, m.version AS model_version, c.name AS "column", c.role,
                   bin.key AS bin, bin.value AS label,
                   BIN_COUNT AS count, w.id AS window_id
            FROM windows w
            JOIN models m ON m.id = w.model_id
            JOIN window_counts h ON h.window_id = w.id
            JOIN columns c ON c.id = h.column_id
            JOIN json_each(c.bins) AS bin
            WHERE w.finest;
        """.replace("BIN_COUNT", _BIN_COUNT).replace("WRITABLE", _WRITABLE),
    )


#: What lets `histograms`, which was a table once, be written to as one; `verify` finds whoever does. SQL for migrations
#: that have been released, as is the next.
_WRITABLE = """
        CREATE TRIGGER histograms_update INSTEAD OF UPDATE ON histograms BEGIN
            UPDATE sealed_counts SET counts = NEW.counts, sum = NEW.sum
                WHERE id = OLD.window_id * 100000 + (SELECT position FROM columns WHERE id = OLD.column_id);
            UPDATE open_counts SET counts = NEW.counts, sum = NEW.sum
                WHERE id = OLD.window_id * 100000 + (SELECT position FROM columns WHERE id = OLD.column_id);
        END;
        CREATE TRIGGER histograms_delete INSTEAD OF DELETE ON histograms BEGIN
            DELETE FROM sealed_counts
                WHERE id = OLD.window_id * 100000 + (SELECT position FROM columns WHERE id = OLD.column_id);
            DELETE FROM open_counts
                WHERE id = OLD.window_id * 100000 + (SELECT position FROM columns WHERE id = OLD.column_id);
        END;
        """

#: One bin's count out of a stored text.
_BIN_COUNT = """coalesce(CASE substr(h.counts, 1, 1)
                       WHEN '1' THEN unicode(substr(h.counts, bin.key + 2, 1)) - 1
                       WHEN '2' THEN 127 * (unicode(substr(h.counts, 2 * bin.key + 2, 1)) - 1)
                                     + unicode(substr(h.counts, 2 * bin.key + 3, 1)) - 1
                       ELSE json_extract(h.counts, '$[' || bin.key || ']') END, 0)"""


def _pack(connection: sqlite3.Connection, table: str) -> None:
    """Move the rows of `json_counts`, packed. What a flipped bit has damaged holds up no update.

    It stays as it is, for `verify` to find; of two rows that have one number by now, the first one does.
    """

    def packed(counts: bytes) -> str | None:
        try:
            return from_json(str(counts, "utf-8"))
        except ValueError:
            return None

    connection.create_function("packed", 1, packed, deterministic=True)
    # Some at a time, so that the new rows take the pages that the old ones leave.
    some = "SELECT max(id) FROM (SELECT id FROM json_counts ORDER BY id LIMIT 20000)"
    while (last := connection.execute(some).fetchone()[0]) is not None:
        connection.execute(
            f"""INSERT OR IGNORE INTO {table}
                SELECT id, CASE typeof(counts) WHEN 'text' THEN coalesce(packed(CAST(counts AS BLOB)), counts)
                                               ELSE quote(counts) END,
                       CASE WHEN typeof(sum) IN ('real', 'null') THEN sum END
                FROM json_counts WHERE id <= ? ORDER BY id""",  # noqa: S608 - one of two names
            (last,),
        )
        connection.execute("DELETE FROM json_counts WHERE id <= ?", (last,))
    connection.create_function("packed", 1, None)


@cache
def names() -> tuple[str, ...]:
    """Names of all changes, in order."""
    return tuple(migration.name for migration in MIGRATIONS.pending(Database(memory=True)))


def applied(connection: sqlite3.Connection) -> list[str] | None:
    """Names of the changes that a database has, in order; None for a database of another program."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    own = {name for name in tables if not name.startswith(("_sqlite_", "sqlite_"))}
    if "_sqlite_migrations" not in tables:
        return None if own else []
    sql = "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY id"
    found = [row[0] for row in connection.execute(sql, (MIGRATIONS.name,))]
    return found if found or not own else None


def migrate(connection: sqlite3.Connection) -> bool:
    """Bring a database to this version, each change in a transaction of its own. True where there was one to make.

    Raises StoreError for a database that a later Telltale has changed.
    """
    db = Database(connection, execute_plugins=False)
    unknown = [name for name in applied(connection) or () if name not in names()]
    if unknown:
        raise StoreError(f"the database was written by a later Telltale (it has {', '.join(unknown)}); update this one")
    pending = bool(MIGRATIONS.pending(db))
    MIGRATIONS.apply(db)
    return pending


def _guard(table: str) -> str:
    """Triggers that note a change of a guarded table."""
    script = "INSERT INTO guards VALUES ('TABLE', 1, x'');\n"
    for event in ("INSERT", "UPDATE", "DELETE"):
        script += """CREATE TRIGGER TABLE_EVENT AFTER EVENT ON TABLE BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'TABLE' AND NOT changed;
        END;
        """.replace("EVENT", event)
    return script.replace("TABLE", table)


def _run(db: Database, script: str) -> None:
    """Run several statements within the migration's own transaction: `executescript` would commit it."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            db.conn.execute(statement)
            statement = ""
