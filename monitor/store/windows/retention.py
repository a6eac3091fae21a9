"""What is kept for how long, and in how many bytes.

`Maintenance.work_off` is called once a minute and does a bounded part of the work, in rounds that are a transaction
each: it rolls windows up, drops by age what a longer window or a stronger verdict has as well, and drops more, the
oldest first, if the data folder comes near to its cap. What is dropped is taken out of the seals. An age is the time
that was seen to pass from call to call, so a clock that jumps ten years ahead for an hour ages nothing by ten years.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from monitor.clock import DAY, HOUR, from_iso, iso
from monitor.config.settings import DataConfig
from monitor.store.audit import seals
from monitor.store.file import damaged_files
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import WAL_ROOM, Writer
from monitor.store.records.outcomes import roll_up_sums
from monitor.store.windows import counts
from monitor.store.windows.ledger import seal
from monitor.store.windows.rows import read_meta, write_meta
from monitor.store.windows.tiers import WORK, Group, roll_up

log = logging.getLogger(__name__)

#: Time that one call can let everything age by at most, in seconds.
PACE = 3600.0
#: Hours or days whose parts, or verdicts, one call drops at most.
BLOCKS = 48
#: Rows of events, gaps, messages or verdicts that go at a time.
ROWS = 2000
#: Bytes that one round gives up at most, or one block if that is larger: they pass through the WAL, so it is no more
#: than half of that one's room. Half as much of free pages is taken out of the file.
FREED = 16 << 20
#: What is shed for the cap leaves at least this much: what an evaluation of the next minute may look at.
SHED_MINUTES, SHED_VERDICTS = 3 * HOUR, HOUR
#: If the database fills the first part of its room, something is shed, until it fills no more than the second.
FULL, ROOMY = 0.9, 0.8
#: Part of the cap that the WAL may take beside the database.
WAL_PART = 1 / 8
#: Under which name `meta` has the moment by which things age.
TRUSTED = "retention_clock"

#: Tables of which rows stay until days are dropped: the moment that a row belongs to, and which rows may go.
OF_DAYS = {
    "drift": ("at", "1"),
    "alert_events": ("at", "1"),
    "notifications": ("at", "state NOT IN ('pending', 'sending')"),
    "gaps": ('"end"', "1"),
    "performance_judged": ("at", "1"),
    "usual_learned": ("day", "1"),
}

#: Tables with the id of a series, in the order in which their rows can be dropped with it.
OF_SERIES = (
    *("performance_sums", "outcome_delays", "usual_learned", "usual_weeks", "window_correlation"),
    *("reference_changes", "questions", "columns"),
)

#: Hours with minutes, or days with hours that have no minutes any more.
_WITH_PARTS = """windows AS whole WHERE NOT finest AND seconds = :seconds AND NOT EXISTS (
    SELECT 1 FROM windows AS part WHERE part.parent_id = whole.id AND NOT part.finest)"""

#: What stays of a block of verdicts: of each column, statistic and rule the strongest, and what an alert event or a
#: message rests on.
_KEPT = """
    SELECT id FROM (
        SELECT d.id, d.at, d.rule, d.model, d.series, d.role, d."column", d.state, row_number() OVER (
            PARTITION BY rule, model, series, role, "column", statistic ORDER BY state = 'drift' DESC, value DESC, id
        ) AS place FROM drift d WHERE id BETWEEN :first AND :last AND at >= :begin AND at < :end
    ) AS v
    WHERE place = 1
    OR EXISTS (SELECT 1 FROM alert_events e WHERE e.at = v.at
               AND (e.rule, e.model, e.series, e.role, e."column") = (v.rule, v.model, v.series, v.role, v."column"))
    OR (state = 'drift' AND EXISTS (SELECT 1 FROM notifications n WHERE n.at = v.at AND n.kind <> 'resend'
               AND n."group" IN (v.rule, '')))"""


@dataclass(frozen=True, slots=True)
class Ages:
    """How old what may get, in seconds; each at least as old as the one before."""

    minutes: float
    hours: float
    keep: float

    @classmethod
    def of(cls, data: DataConfig) -> Ages:
        """Ages of a configuration; a longer window is never dropped before a shorter one."""
        hours = min(data.keep_hours, data.keep)
        return cls(min(data.keep_minutes, hours), hours, data.keep)


def wal_room(max_size: int) -> int:
    """Bytes that the WAL may take under a cap: `Writer` holds the fold back before that, and no round writes more."""
    return min(WAL_ROOM, int(max_size * WAL_PART))


class Maintenance:
    """Keeps one data folder in shape."""

    def __init__(self, data: DataConfig, folder: DataFolder, served: Collection[int] = ()) -> None:
        """Keep to the settings. `served`: ids of the series that are counted now."""
        self._ages, self._max_size, self._folder, self.served = Ages.of(data), data.max_size, folder, served
        self._freed = max(1, min(FREED, wal_room(self._max_size) // 2))
        self._looked = -math.inf
        self._damaged: set[Group] = set()
        self._warned = False

    def work_off(self, writer: Writer, now: float, rounds: int = 0, pace: float = PACE) -> None:
        """Run until nothing is left, with a checkpoint after each round: the WAL never takes more than one of them.

        Without `rounds`, as many as give up `FREED` bytes together. `pace`: what everything ages by at most, in
        seconds. On the writer's thread, outside of a transaction.
        """
        for _ in range(rounds or -(-FREED // self._freed)):
            if not writer.transaction(partial(self.run, now=now, pace=pace)):
                break
            writer.checkpoint()
            pace = 0.0

    def run(self, connection: sqlite3.Connection, now: float, pace: float = PACE) -> bool:
        """Do a round of what is due at `now`, inside the caller's transaction; whether that was anything."""
        before = live_bytes(connection), database_bytes(connection)
        trusted = trusted_time(connection, now, pace)
        # Windows of series that are no longer counted: what a crash left of them, folded at the next start.
        which = "start + seconds <= ? AND series_id NOT IN (SELECT value FROM json_each(?))"
        seal(connection, which, now - HOUR, json.dumps(list(self.served)))
        made = roll_up(connection, now, WORK, self._damaged)
        drop_by_age(connection, self._ages, trusted, now, self._freed)
        if abs(trusted - self._looked) >= HOUR:
            self._looked = trusted
            _drop_series(connection, self.served, trusted - DAY)
        damaged_files.drop(damaged_files.excess(damaged_files.find(self._folder), self._max_size, trusted))
        room = self.room()
        if database_bytes(connection) > FULL * room:
            self._shed(connection, int(ROOMY * room), now)
        _vacuum(connection, self._freed // 2)
        after = live_bytes(connection), database_bytes(connection)
        return bool(made) or after < before

    def room(self) -> int:
        """Bytes that the database may take: the cap without WAL, journal, ballast and what was moved aside."""
        return max(0, self._max_size - wal_room(self._max_size) - self._folder.bytes_beside_database())

    def _shed(self, connection: sqlite3.Connection, target: int, now: float) -> None:
        least, left, shed = max(target, live_bytes(connection) - self._freed), BLOCKS, True
        while shed and left and live_bytes(connection) > least:
            shed, left = _shed_one(connection, now), left - 1
        if not shed and not self._warned:
            what = "%s: data.max_size is too small to keep the last hours of this model: %d MB are in use"
            log.warning(what, self._folder.path, live_bytes(connection) >> 20)
        self._warned = not shed


def trusted_time(connection: sqlite3.Connection, now: float, pace: float = PACE) -> float:
    """The moment by which things age: `now`, but never more than `pace` seconds after that of the last call."""
    last = float(read_meta(connection, TRUSTED, str(now)))
    trusted = min(now, last + pace)
    write_meta(connection, TRUSTED, str(trusted))
    return trusted


def drop_by_age(connection: sqlite3.Connection, ages: Ages, trusted: float, now: float, freed: int = FREED) -> None:
    """Drop what is too old, and what is dated more than two days ahead (a clock was wrong).

    Ends once about `freed` bytes are free. `trusted`: the time by which things age, see `trusted_time`.
    """
    enough, too_far_ahead, oldest_kept = live_bytes(connection) - freed, now + 2 * DAY, trusted - ages.keep

    def repeat(step: Callable[[], object]) -> None:
        for _ in range(BLOCKS):
            if live_bytes(connection) < enough or not step():
                break

    for seconds, age in ((HOUR, ages.minutes), (DAY, ages.hours)):
        # An hour (or day) of verdicts is thinned out as a whole: its first one waits until its last one is old enough.
        moments = {"windows": trusted - age, "verdicts": trusted - age - seconds}
        repeat(partial(_coarsen, connection, seconds, **moments, too_far_ahead=too_far_ahead))
    _drop_days(connection, oldest_kept)
    roll_up_sums(connection, trusted - ages.hours)
    seals.delete(connection, "performance_sums", "start + seconds <= ?", oldest_kept)
    for table in OF_DAYS:
        repeat(partial(drop_rows, connection, table, oldest_kept, too_far_ahead))
    seals.delete(connection, "unseen_values", "last_seen < ?", iso(oldest_kept))
    seals.delete(connection, "sources", "name GLOB 'batch/*' AND cursor < ?", iso(oldest_kept))
    seals.delete(connection, "silences", '"end" < ?', iso(oldest_kept))


def _shed_one(connection: sqlite3.Connection, now: float) -> bool:
    """Make room: drop what is finest and oldest. False if nothing more can go.

    First minutes and verdicts, then hours and the strongest verdicts of each hour, then the days, with what happened
    in them.
    """
    if _coarsen(connection, HOUR, windows=now - SHED_MINUTES, verdicts=now - SHED_VERDICTS):
        return True
    if _coarsen(connection, DAY, windows=now - DAY, verdicts=now - DAY):
        return True
    moments = [(moment, table) for table in OF_DAYS if (moment := oldest(connection, table)) and moment < now - DAY]
    moment, table = min(moments, default=(math.inf, ""))
    day = connection.execute(
        "SELECT min(start) + seconds FROM windows WHERE parent_id IS NULL AND seconds = 86400 AND finest"
    ).fetchone()[0]
    if moment < (math.inf if day is None else day):
        return drop_rows(connection, table, math.floor(moment / DAY) * DAY + DAY, now + 2 * DAY) > 0
    return day is not None and _drop_days(connection, day)


def _coarsen(
    connection: sqlite3.Connection, seconds: int, *, windows: float, verdicts: float, too_far_ahead: float = math.inf
) -> bool:
    """Drop the minutes of the oldest hour or thin its verdicts out (or the hours of a day), whichever is older.

    Only windows that ended by one moment and verdicts up to another, or what is dated after `too_far_ahead`. False if
    there is nothing of that.
    """
    end, at = _oldest_parts(connection, seconds, windows, too_far_ahead), oldest(connection, "drift", seconds)
    if at is not None and not verdicts < at <= too_far_ahead - seconds and (end is None or at < end):
        return thin(connection, seconds)
    return end is not None and drop_parts(connection, seconds, end - seconds)


def _oldest_parts(connection: sqlite3.Connection, seconds: int, before: float, after: float) -> int | None:
    """End of the oldest hour (or day) that still has its minutes (hours), and ended by `before`; or begins `after`.

    A day whose hours still have their minutes is not one of them.
    """
    sql = f"SELECT min(start) FROM {_WITH_PARTS} AND (start + seconds <= :before OR start > :after)"  # noqa: S608
    (start,) = connection.execute(sql, {"seconds": seconds, "before": before, "after": after}).fetchone()
    return None if start is None else int(start) + seconds


def drop_parts(connection: sqlite3.Connection, seconds: int, start: int) -> bool:
    """Drop the minutes of the hours (or the hours of the days) that begin at `start`; their sums stay."""
    sql = f"SELECT id FROM {_WITH_PARTS} AND start = :start"  # noqa: S608 - a constant
    wholes = [row[0] for row in connection.execute(sql, {"seconds": seconds, "start": start}).fetchall()]
    for whole in wholes:
        parts = connection.execute("SELECT id FROM windows WHERE parent_id = ?", (whole,)).fetchall()
        _drop_windows(connection, [part[0] for part in parts])
        connection.execute("UPDATE windows SET finest = 1 WHERE id = ?", (whole,))
    return bool(wholes)


def _drop_days(connection: sqlite3.Connection, before: float) -> bool:
    """Drop the windows that ended by a moment for good, at most a hundred at a time."""
    rows = connection.execute(
        "SELECT id, n, series_id FROM windows WHERE parent_id IS NULL AND finest AND sealed "
        "AND seconds <= 86400 AND start + seconds <= ? AND id < (SELECT max(id) FROM windows) ORDER BY start LIMIT 100",
        (before,),
    ).fetchall()
    connection.executemany("UPDATE series SET pruned = pruned + ? WHERE id = ?", [tuple(row)[1:] for row in rows])
    _drop_windows(connection, [row[0] for row in rows])
    return bool(rows)


def _drop_windows(connection: sqlite3.Connection, ids: Collection[int]) -> None:
    counts.drop(connection, ids)
    for window in ids:
        seals.delete(connection, "windows", "id = ?", window)


def oldest(connection: sqlite3.Connection, table: str, thinned: int = 0) -> float | None:
    """Moment of the oldest row of a table; of verdicts, of those that are not thinned out to `thinned` seconds yet."""
    moment, may_go = OF_DAYS[table]
    after = read_meta(connection, f"thinned_{thinned}", "")
    sql = f"SELECT min({moment}) FROM {table} WHERE {moment} >= ? AND {may_go}"  # noqa: S608 - constants
    first = connection.execute(sql, (after,)).fetchone()[0]
    return None if first is None else from_iso(first)


def drop_rows(connection: sqlite3.Connection, table: str, before: float, after: float) -> int:
    """Drop some rows of events, gaps, messages or verdicts that are older than one moment or newer than another."""
    moment, may_go = OF_DAYS[table]
    which = f"({moment} < ? OR {moment} > ?) AND {may_go}"
    sql = f"SELECT max(id) FROM (SELECT id FROM {table} WHERE {which} ORDER BY id LIMIT {ROWS})"  # noqa: S608
    (last,) = connection.execute(sql, (iso(before), iso(after))).fetchone()
    return 0 if last is None else seals.delete(connection, table, f"{which} AND id <= ?", iso(before), iso(after), last)


def _drop_series(connection: sqlite3.Connection, served: Collection[int], before: float) -> None:
    """Drop the model versions that nothing in the record is of any more.

    What is `served`, or was entered last or after `before`, stays.
    """
    rows = connection.execute(
        "SELECT id FROM series AS m WHERE id NOT IN (SELECT value FROM json_each(?)) "
        "AND id < (SELECT max(id) FROM series) AND first_served < ? "
        "AND NOT EXISTS (SELECT 1 FROM windows WHERE series_id = m.id)",
        (json.dumps(list(served)), iso(before)),
    )
    ids = {row[0] for row in rows.fetchall()}
    if ids:  # a walk through all verdicts, so only if there is something to drop
        judged = "SELECT DISTINCT series_id FROM questions WHERE id IN (SELECT DISTINCT question_id FROM drift)"
        ids -= {row[0] for row in connection.execute(judged).fetchall()}
    for series_id in sorted(ids):
        of_it = "column_id IN (SELECT id FROM columns WHERE series_id = ?)"
        seals.delete(connection, "unseen_values", of_it, series_id)
        connection.execute(f"DELETE FROM totals WHERE {of_it}", (series_id,))  # noqa: S608 - a constant
        for table in OF_SERIES:
            seals.delete(connection, table, "series_id = ?", series_id)
        seals.delete(connection, "series", "id = ?", series_id)


def thin(connection: sqlite3.Connection, seconds: int) -> bool:
    """Thin the oldest hour (or day) of verdicts out: see `_KEPT`. False if there is none."""
    moment = oldest(connection, "drift", seconds)
    if moment is None:
        return False
    begin = math.floor(moment / seconds) * seconds
    span = {"begin": iso(begin - 1), "end": iso(begin + seconds)}
    sql = "SELECT min(id), max(id) FROM drift WHERE at >= :begin AND at < :end"
    first, last = connection.execute(sql, span).fetchone()
    gone = connection.execute(
        "SELECT id FROM drift WHERE id BETWEEN :first AND :last AND at >= :begin AND at < :end "  # noqa: S608
        f"AND id NOT IN ({_KEPT})",
        {"first": first, "last": last, **span},
    ).fetchall()
    seals.delete(connection, "drift", "id IN (SELECT value FROM json_each(?))", json.dumps([row[0] for row in gone]))
    write_meta(connection, f"thinned_{seconds}", iso(begin + seconds))
    return True


def database_bytes(connection: sqlite3.Connection) -> int:
    """Size of the database file, when the WAL has been moved into it."""
    size, pages, _ = _pages(connection)
    return size * pages


def live_bytes(connection: sqlite3.Connection) -> int:
    """What of the database file is in use."""
    size, pages, free = _pages(connection)
    return size * (pages - free)


def _vacuum(connection: sqlite3.Connection, most: int) -> None:
    """Give free pages back, a part of them, if there are many: a few are wanted again in a minute."""
    size, pages, free = _pages(connection)
    for _ in range(min(free - max(16, pages // 50), most // size)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # one at a time: Python steps such a statement only once


def _pages(connection: sqlite3.Connection) -> list[int]:
    """Bytes of a page, pages of the file, and free ones among them."""
    names = ("page_size", "page_count", "freelist_count")
    return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
