"""The schema of the database, as named changes in order. A change that has been released is never edited again.

Times that people read are TEXT in ISO 8601, UTC. Windows are found by arithmetic, so `windows.start` is INTEGER seconds
since 1970, with `start_utc` beside it. Counts are text that plain SQL can spread into rows: of windows, of which there
are many, packed (`windows/counts.py`), and JSON elsewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from monitor.errors import StoreError

#: Under which the database lists the changes that it has.
SET = "telltale"
#: One bin's count out of a stored text.
_BIN_COUNT = """coalesce(CASE substr(h.counts, 1, 1)
                       WHEN '1' THEN unicode(substr(h.counts, bin.key + 2, 1)) - 1
                       WHEN '2' THEN 127 * (unicode(substr(h.counts, 2 * bin.key + 2, 1)) - 1)
                                     + unicode(substr(h.counts, 2 * bin.key + 3, 1)) - 1
                       ELSE json_extract(h.counts, '$[' || bin.key || ']') END, 0)"""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE sources (
    name TEXT PRIMARY KEY,               -- journal; journal@...: of another process; ...
    cursor TEXT NOT NULL                 -- how far its counts are in the windows; only the source can read it
) STRICT, WITHOUT ROWID;

CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL, version TEXT NOT NULL, -- the model's name and version
    name TEXT NOT NULL,                  -- which of the model's rows are counted; all: all of them
    model_sha256 TEXT NOT NULL, reference_sha256 TEXT NOT NULL,
    reference TEXT NOT NULL,             -- the reference file's text
    first_served TEXT NOT NULL,
    predictions INTEGER NOT NULL DEFAULT 0,
    pruned INTEGER NOT NULL DEFAULT 0,   -- of these, in windows that were dropped for good
    UNIQUE (model, version, name, reference_sha256)
) STRICT;

CREATE TABLE columns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series,
    position INTEGER NOT NULL,
    name TEXT NOT NULL, role TEXT NOT NULL, kind TEXT NOT NULL,
    bins TEXT NOT NULL,                  -- JSON array: a label for each count
    UNIQUE (series_id, position)
) STRICT;

CREATE TABLE windows (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series,
    seconds INTEGER NOT NULL,            -- length of the window
    start INTEGER NOT NULL,              -- seconds since 1970 UTC; the window is [start, start + seconds)
    start_utc TEXT GENERATED ALWAYS AS (strftime('%Y-%m-%dT%H:%M:%SZ', start, 'unixepoch')) VIRTUAL,
    n INTEGER NOT NULL,                  -- predictions
    sealed INTEGER NOT NULL DEFAULT 0,   -- 1: never changed again; a late record opens another window
    finest INTEGER NOT NULL DEFAULT 1,   -- 1: no shorter window has these predictions: sum over these rows only
    parent_id INTEGER REFERENCES windows, -- the longer window that has these predictions too, once there is one
    children INTEGER NOT NULL DEFAULT 0  -- shorter windows that were summed up in this one; 0: filled from predictions
) STRICT;
CREATE INDEX windows_by_start ON windows (series_id, seconds, start);
CREATE INDEX windows_not_rolled ON windows (seconds, start) WHERE parent_id IS NULL;
CREATE INDEX windows_by_parent ON windows (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX windows_with_parts ON windows (seconds, start) WHERE NOT finest;

-- Counts of windows that still change, and of those that do not: '1', and for each of columns.bins a character, its
-- code point being the count and 1; or '2', and for each two characters, the digits in base 127; or a JSON array. Zeros
-- at the end are left out. `sum` is of the finite values; NULL for a categorical column.
CREATE TABLE open_counts (
    id INTEGER PRIMARY KEY,              -- window * 100000 + columns.position
    counts TEXT NOT NULL, sum REAL
) STRICT;

CREATE TABLE sealed_counts (
    id INTEGER PRIMARY KEY,              -- window * 100000 + columns.position
    counts TEXT NOT NULL, sum REAL
) STRICT;

CREATE TABLE totals (
    column_id INTEGER PRIMARY KEY REFERENCES columns,
    counts TEXT NOT NULL, sum REAL
) STRICT;

CREATE TABLE unseen_values (
    column_id INTEGER NOT NULL REFERENCES columns,
    value TEXT NOT NULL,
    count INTEGER NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL,
    PRIMARY KEY (column_id, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,                  -- dropped, damaged, late
    "start" TEXT NOT NULL, "end" TEXT NOT NULL,
    lost INTEGER,                        -- predictions that no window has; NULL where it cannot be known
    detail TEXT NOT NULL
) STRICT;

CREATE TABLE questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series,
    rule TEXT NOT NULL,
    asked TEXT NOT NULL,                 -- JSON object: statistic, alpha, floor, min_samples, columns
    UNIQUE (series_id, rule, asked)
) STRICT;

CREATE TABLE drift (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,                    -- of the evaluation
    rule TEXT NOT NULL, model TEXT NOT NULL, series TEXT NOT NULL, "column" TEXT NOT NULL, role TEXT NOT NULL,
    kind TEXT NOT NULL, statistic TEXT NOT NULL,
    value REAL,                          -- NULL: no verdict; `state` says why
    critical REAL, floor REAL, p_value REAL,
    scatter REAL,                        -- of a verdict on what is usual: standard deviation of `value`
    n INTEGER NOT NULL,                  -- rows of the test window that count for this statistic
    m INTEGER NOT NULL,                  -- rows of the reference
    state TEXT NOT NULL, direction TEXT,
    window_start TEXT NOT NULL, window_end TEXT NOT NULL,
    reference TEXT NOT NULL, model_version TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    question_id INTEGER REFERENCES questions,
    seen INTEGER                         -- highest windows.id there was: a late prediction is in a window beyond it
) STRICT;
CREATE INDEX drift_by_time ON drift (at);
-- Verdicts on what is usual are few among all others, and a page draws a year of one column's.
CREATE INDEX drift_on_usual ON drift ("column", role, statistic, at) WHERE substr(statistic, 1, 6) = 'usual ';

CREATE TABLE usual_learned (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series,
    position INTEGER NOT NULL,           -- columns.position
    hours INTEGER NOT NULL,              -- length of the windows
    day TEXT NOT NULL,                   -- in force from then on
    predictor INTEGER NOT NULL,          -- what is expected: 0 the level of 8 weeks, 1 the same hour of 6, 2 their mean
    scatter TEXT NOT NULL                -- JSON array: for each cell the variance of its share between windows
) STRICT;
CREATE INDEX usual_learned_by_column ON usual_learned (series_id, position, hours, day);

CREATE TABLE window_correlation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series,
    hours INTEGER NOT NULL,              -- length of the windows
    at TEXT NOT NULL,                    -- in force from then on
    settled INTEGER NOT NULL,            -- 1: the first weeks are over, and this stays
    rho TEXT NOT NULL                    -- JSON array: for each column how alike the rows of a window are, 0 to 1, in
                                         -- their shape, in what is missing, in what is unseen or out of range
) STRICT;
CREATE INDEX window_correlation_by_length ON window_correlation (series_id, hours, at);

CREATE TABLE usual_weeks (
    series_id INTEGER NOT NULL REFERENCES series,
    position INTEGER NOT NULL,
    hours INTEGER NOT NULL,
    week INTEGER NOT NULL,               -- since 1970
    worst TEXT NOT NULL,                 -- JSON array: largest distance in units of the scatter, of the shape and of
                                         -- each tail cell; -1: not judged
    PRIMARY KEY (series_id, position, hours, week)
) STRICT, WITHOUT ROWID;

CREATE TABLE reference_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,                    -- when it was asked for
    since TEXT NOT NULL,                 -- from which moment of the history it holds: at, unless that was replayed
    series_id INTEGER NOT NULL REFERENCES series,
    column_id INTEGER NOT NULL REFERENCES columns,
    action TEXT NOT NULL,                -- accept: compare the column with this period; reset: with training
    "start" TEXT, "end" TEXT,            -- of the period; NULL for a reset
    n INTEGER,                           -- predictions in it
    counts TEXT,                         -- JSON array, a number for each bin
    sum REAL,                            -- of the finite values; NULL for a category
    author TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;

CREATE TABLE erasures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    columns TEXT NOT NULL,               -- JSON array: [role, name] of each column whose unseen values were erased
    erased INTEGER NOT NULL,             -- unseen values that were kept by name
    verdicts INTEGER NOT NULL,           -- rows of drift whose sentence named one
    messages INTEGER NOT NULL,           -- rows of notifications that named one
    author TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;

CREATE TABLE alerts (
    rule TEXT NOT NULL, model TEXT NOT NULL, series TEXT NOT NULL, role TEXT NOT NULL, "column" TEXT NOT NULL,
    state TEXT NOT NULL,                 -- inactive, pending, firing, resolved
    since TEXT NOT NULL, active_since TEXT,
    held REAL NOT NULL,                  -- watched seconds that count towards its next move
    clear_since TEXT, evaluated TEXT,
    event_id TEXT NOT NULL, severity TEXT NOT NULL, value REAL,
    labels TEXT NOT NULL,                -- JSON object
    statistic TEXT NOT NULL DEFAULT '',  -- the one by which the condition held last
    reopened INTEGER NOT NULL DEFAULT 0, -- how often the event has come back
    PRIMARY KEY (rule, model, series, role, "column")
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    rule TEXT NOT NULL, model TEXT NOT NULL, series TEXT NOT NULL, "column" TEXT NOT NULL, role TEXT NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL,
    statistic TEXT NOT NULL, value REAL, critical REAL, n INTEGER NOT NULL,
    severity TEXT NOT NULL, event_id TEXT NOT NULL, model_version TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX alert_events_by_time ON alert_events (at);

CREATE TABLE silences (
    id TEXT PRIMARY KEY,
    matchers TEXT NOT NULL,              -- JSON object
    "start" TEXT NOT NULL, "end" TEXT NOT NULL,
    author TEXT NOT NULL, reason TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,                    -- of the evaluation that wrote it
    receiver TEXT NOT NULL,
    "group" TEXT NOT NULL,               -- the rule; empty for a digest and for Alertmanager
    sequence INTEGER NOT NULL,           -- counts the messages of a receiver and group
    kind TEXT NOT NULL,                  -- firing, update, repeat, resolved, digest, picture, state, resend
    severity TEXT NOT NULL, event_id TEXT NOT NULL, model_version TEXT NOT NULL,
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
CREATE INDEX notifications_open          -- in the order of delivery
    ON notifications (receiver, attempts = 0, kind <> 'digest', id) WHERE state IN ('pending', 'sending');
CREATE INDEX notifications_by_state ON notifications (receiver, state);
CREATE INDEX notifications_by_time ON notifications (at);

CREATE TABLE notification_groups (
    receiver TEXT NOT NULL, "group" TEXT NOT NULL,
    sequence INTEGER NOT NULL, event_id TEXT NOT NULL,
    opened REAL NOT NULL, last REAL NOT NULL, -- seconds since 1970 UTC
    changes INTEGER NOT NULL,            -- transitions since the last message
    told TEXT NOT NULL,                  -- JSON array: [rule, model, series, role, column], event id, since, severity,
                                         -- resolved, labels
    PRIMARY KEY (receiver, "group")
) STRICT, WITHOUT ROWID;

CREATE TABLE notification_totals (
    receiver TEXT NOT NULL, outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (receiver, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE seals (
    "table" TEXT NOT NULL,
    block INTEGER NOT NULL,              -- of the table's rows, by their numbers; 0 for a table whose rows change
    rows INTEGER NOT NULL,               -- that must be there
    sum BLOB NOT NULL,                   -- of their SHA-256
    added INTEGER NOT NULL,              -- that were ever written; the difference was pruned
    PRIMARY KEY ("table", block)
) STRICT, WITHOUT ROWID;

CREATE TABLE id_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,          -- what the ids of one process begin with
    source TEXT NOT NULL,                -- the journal that its predictions are in
    first INTEGER NOT NULL,              -- sequence number of the first one
    at TEXT NOT NULL                     -- when it began
) STRICT;

CREATE TABLE tallies (
    source TEXT NOT NULL,
    result TEXT NOT NULL,                -- what became of records: repeated; ...
    count INTEGER NOT NULL,
    PRIMARY KEY (source, result)
) STRICT, WITHOUT ROWID;

CREATE TABLE performance_sums (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series,
    seconds INTEGER NOT NULL,            -- 3600, or 86400 once an hour's time is over
    start INTEGER NOT NULL,              -- of the predictions' hour (day), seconds since 1970 UTC
    start_utc TEXT GENERATED ALWAYS AS (strftime('%Y-%m-%dT%H:%M:%SZ', start, 'unixepoch')) VIRTUAL,
    sums TEXT NOT NULL,                  -- JSON object of counts and moments by position: see `monitor.outcomes.sums`
    UNIQUE (series_id, seconds, start)
) STRICT;

CREATE TABLE outcome_delays (
    series_id INTEGER PRIMARY KEY REFERENCES series,
    counts TEXT NOT NULL,                -- JSON array: outcomes by the delay after their predictions, in bins
    sum REAL NOT NULL                    -- of the delays, seconds
) STRICT;

CREATE TABLE performance_judged (        -- what verdicts on performance in `drift` rest on, by `at` and `rule`
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,                    -- when it was judged, UTC
    series_id INTEGER NOT NULL REFERENCES series,
    rule TEXT NOT NULL,
    window_start TEXT NOT NULL,          -- of the predictions' hours
    window_end TEXT NOT NULL,
    asked TEXT NOT NULL,                 -- JSON object: metrics, alpha, floors, least outcomes, dispersions
    sums TEXT NOT NULL                   -- JSON object: see `performance_sums`; of an estimate the predictions by bin
) STRICT;
CREATE INDEX performance_judged_by_time ON performance_judged (at);

CREATE VIEW window_counts AS             -- as they are stored
SELECT w.id AS window_id, c.id AS column_id, c.bins, coalesce(s.counts, o.counts) AS counts,
       coalesce(s.sum, o.sum) AS sum
FROM windows w
JOIN columns c ON c.series_id = w.series_id
LEFT JOIN sealed_counts s ON s.id = w.id * 100000 + c.position
LEFT JOIN open_counts o ON o.id = w.id * 100000 + c.position
WHERE s.id IS NOT NULL OR o.id IS NOT NULL;

CREATE VIEW histograms AS
SELECT window_id, column_id,
       (SELECT json_group_array(count)
        FROM (SELECT BIN_COUNT AS count FROM json_each(h.bins) AS bin ORDER BY bin.key)) AS counts,
       sum
FROM window_counts h;

CREATE VIEW histogram_bins AS
SELECT w.start_utc AS start, w.seconds, m.model, m.version AS model_version, m.name AS series,
       c.name AS "column", c.role,
       bin.key AS bin, bin.value AS label,
       BIN_COUNT AS count, w.id AS window_id
FROM windows w
JOIN series m ON m.id = w.series_id
JOIN window_counts h ON h.window_id = w.id
JOIN columns c ON c.id = h.column_id
JOIN json_each(c.bins) AS bin
WHERE w.finest;

CREATE VIEW alert_history AS
SELECT e.at, e.rule, e.model, e.series, e."column", e.role, e.before, e.after, e.severity, e.statistic, e.value,
       e.event_id,
       n.receiver, n.kind AS message, n.state AS outcome, n.settled AS told_at, n.answer,
       e.model_version, e.reason, e.id
FROM alert_events e
LEFT JOIN notifications n
       ON n.at >= e.at
      AND EXISTS (SELECT 1 FROM json_each(n.message, '$.entries') AS entry
                  WHERE json_extract(entry.value, '$.event_id') = e.event_id);

CREATE VIEW unseen AS
SELECT c.name AS "column", c.role, m.model, m.version AS model_version, m.name AS series, u.value, u.count,
       u.first_seen, u.last_seen
FROM unseen_values u
JOIN columns c ON c.id = u.column_id
JOIN series m ON m.id = c.series_id;

CREATE VIEW verdicts AS
SELECT d.*, q.asked, m.id AS series_id, m.model_sha256, m.reference_sha256, m.first_served
FROM drift d
LEFT JOIN questions q ON q.id = d.question_id
LEFT JOIN series m ON m.id = q.series_id;

CREATE VIEW performance AS               -- hours and days with outcomes by the metrics that are stored with their sums
SELECT p.start_utc AS start, p.seconds, m.model, m.version AS model_version, m.name AS series, metric.key AS metric,
       metric.value ->> 0 AS value, metric.value ->> 1 AS low, metric.value ->> 2 AS high, metric.value ->> 3 AS n
FROM performance_sums p
JOIN series m ON m.id = p.series_id
JOIN json_each(p.sums, '$.measures') AS metric;
"""


def applied(connection: sqlite3.Connection) -> list[str] | None:
    """Names of the changes that a database has, in order; None for a database of another program."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    own = {name for name in tables if not name.startswith(("_sqlite_", "sqlite_"))}
    if "_sqlite_migrations" not in tables:
        return None if own else []
    sql = "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY id"
    names = [row[0] for row in connection.execute(sql, (SET,))]
    return names if names or not own else None


def later_version(names: Iterable[str]) -> str:
    """Why this version does not use a database that has these changes; empty if it does."""
    unknown = ", ".join(name for name in names if name not in CHANGES)
    return unknown and f"written by a later Telltale (it has {unknown}); update this one"


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to this version, each change in a transaction of its own.

    Raises StoreError for a database that a later Telltale has changed.
    """
    names = applied(connection)
    if later := later_version(names or ()):
        raise StoreError(f"the database was {later}")
    if names == [*CHANGES]:
        return
    from sqlite_utils import Database  # it loads pandas if that is installed: a second, and 65 MB
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(SET)
    for name, script in CHANGES.items():
        migrations(name=name)(lambda db, script=script: _run(db.conn, script))
    migrations.apply(Database(connection, execute_plugins=False))


#: All changes in order: their scripts by name.
CHANGES = {"schema": _SCHEMA.replace("BIN_COUNT", _BIN_COUNT)}


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run several statements within the migration's own transaction: `executescript` would commit it."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
