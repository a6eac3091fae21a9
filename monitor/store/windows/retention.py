"""What is kept for how long, and in how many bytes.

`Maintenance.work_off` is to be called once a minute; each call does a bounded part of the work, in rounds that are a
transaction each. It rolls windows up, drops by age what a longer window or a stronger verdict stands for, and where the
data folder comes near to its cap, drops more, the oldest first. Every age is one that has been seen to pass: a clock
that jumps ten years ahead for an hour ages nothing by more than what its calls add up to.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from monitor.clock import iso
from monitor.config.settings import DataConfig
from monitor.store.audit import seals
from monitor.store.file import damaged_files as evidence
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import WAL_ROOM, Writer
from monitor.store.windows.prune import (
    THINNED,
    drop_models,
    drop_parts,
    drop_rows,
    drop_windows_before,
    oldest,
    oldest_parts,
    thin,
)
from monitor.store.windows.rows import read_meta, seal, write_meta
from monitor.store.windows.tiers import WORK, Group, merge, roll_up
from monitor.store.windows.window_cover import DAY, HOUR

log = logging.getLogger(__name__)

#: Time that one call can let everything age by at most, in seconds.
PACE = 3600.0

#: Hours or days whose parts one call drops at most.
BLOCKS = 24

#: Bytes that one round gives up at most, or one block if that is larger: they pass through the WAL, so it is no more
#: than half of that one's room. Half as much of free pages is taken out of the file.
FREED = 16 << 20

#: What is shed for the cap leaves at least this much: what an evaluation of the next minute may look at.
SHED_MINUTES, SHED_VERDICTS = 3 * HOUR, HOUR

#: Where the database fills this part of its room, something is shed; until it fills no more than the second.
FULL, ROOMY = 0.9, 0.8

#: Part of the cap that the WAL may take beside the database.
WAL_PART = 1 / 8

TRUSTED = "retention_clock"

#: Tables of which rows stay until days are dropped.
OF_DAYS = ("drift", "alert_events", "notifications", "gaps")


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
        self._ages, self._max_size, self._folder, self._served = Ages.of(data), data.max_size, folder, served
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
            if not writer.transaction(lambda connection, pace=pace: self.run(connection, now, pace)):  # type: ignore[misc]
                break
            writer.checkpoint()
            pace = 0.0

    def run(self, connection: sqlite3.Connection, now: float, pace: float = PACE) -> bool:
        """Do a round of what is due at `now`, inside the caller's transaction; whether that was anything."""
        before = live_bytes(connection), database_bytes(connection)
        trusted = trusted_time(connection, now, pace)
        seal_others(connection, now, self._served)
        made = roll_up(connection, now, WORK, self._damaged)
        roll_up_future(connection, now)
        drop_by_age(connection, self._ages, trusted, now, self._freed)
        if abs(trusted - self._looked) >= HOUR:
            self._looked = trusted
            drop_models(connection, self._served, trusted - DAY)
        evidence.drop(evidence.excess(evidence.find(self._folder), self._max_size, trusted))
        room = self.room()
        if database_bytes(connection) > FULL * room:
            self._shed(connection, int(ROOMY * room), now)
        vacuum(connection, self._freed // 2)
        after = live_bytes(connection), database_bytes(connection)
        return bool(made) or after < before

    def room(self) -> int:
        """Bytes that the database may take: the cap without the WAL, the journal, the ballast and what lies aside."""
        return max(0, self._max_size - wal_room(self._max_size) - self._folder.bytes_beside_database())

    def _shed(self, connection: sqlite3.Connection, target: int, now: float) -> None:
        least = max(target, live_bytes(connection) - self._freed)
        for _ in range(BLOCKS):
            if live_bytes(connection) <= least:
                return
            if not shed_one(connection, now):
                if not self._warned:
                    log.warning(
                        "%s: data.max_size is too small to keep the last hours of this model: %d MB are in use",
                        self._folder.path,
                        live_bytes(connection) >> 20,
                    )
                self._warned = True
                return
        self._warned = False


def trusted_time(connection: sqlite3.Connection, now: float, pace: float = PACE) -> float:
    """The moment by which things age: `now`, but never more than `pace` seconds after that of the last call."""
    last = float(read_meta(connection, TRUSTED, str(now)))
    trusted = min(now, last + pace)
    write_meta(connection, TRUSTED, str(trusted))
    return trusted


def seal_others(connection: sqlite3.Connection, now: float, served: Collection[int]) -> None:
    """Close windows of series that are no longer counted: what a crash left of them, folded at the next start."""
    which = "start + seconds <= ? AND series_id NOT IN (SELECT value FROM json_each(?))"
    seal(connection, which, now - HOUR, json.dumps(list(served)))


def roll_up_future(connection: sqlite3.Connection, now: float) -> None:
    """Sum up windows from days to come, written under a clock that was wrong, as they would not age for as long."""
    for seconds in (HOUR, DAY):
        groups = connection.execute(
            "SELECT DISTINCT series_id, start - start % :long FROM windows WHERE parent_id IS NULL AND sealed "
            "AND seconds < :long AND seconds >= :short AND start > :from LIMIT 10",
            {"long": seconds, "short": 0 if seconds == HOUR else HOUR, "from": now + DAY},
        ).fetchall()
        for series_id, start in groups:
            merge(connection, Group(series_id, start, seconds))


def drop_by_age(connection: sqlite3.Connection, ages: Ages, trusted: float, now: float, freed: int = FREED) -> None:
    """Drop what has become too old, and what is from days to come: about `freed` bytes of it."""

    def due(moment: float, age: float) -> bool:
        return moment <= trusted - age or moment > now + 2 * DAY

    least = live_bytes(connection) - freed
    for seconds, age in ((HOUR, ages.minutes), (DAY, ages.hours)):
        for _ in range(BLOCKS):
            end = oldest_parts(connection, seconds, trusted - age, now + 2 * DAY)
            if end is None or live_bytes(connection) < least:
                break
            drop_parts(connection, seconds, end - seconds)
    for seconds, age in zip(THINNED, (ages.minutes, ages.hours), strict=True):
        for _ in range(BLOCKS):
            found = oldest(connection, "drift", seconds)
            if found is None or not due(found + seconds, age) or live_bytes(connection) < least:
                break
            thin(connection, seconds)
    drop_windows_before(connection, trusted - ages.keep)
    for table in OF_DAYS:
        for _ in range(BLOCKS):
            if not drop_rows(connection, table, trusted - ages.keep, now + 2 * DAY):
                break
    seals.delete(connection, "unseen_values", "last_seen < ?", iso(trusted - ages.keep))
    seals.delete(connection, "silences", '"end" < ?', iso(trusted - ages.keep))


def shed_one(connection: sqlite3.Connection, now: float) -> bool:
    """Make room: drop what is finest and oldest. False where nothing more can go.

    First minutes and verdicts, then hours and the strongest verdicts of each hour, then the days, with what happened
    in them.
    """
    for seconds, leave in zip(THINNED, (SHED_VERDICTS, DAY), strict=True):
        windows = oldest_parts(connection, seconds, now - (SHED_MINUTES if seconds == HOUR else DAY))
        at = oldest(connection, "drift", seconds)
        if at is not None and at <= now - leave and (windows is None or at < windows):
            return thin(connection, seconds)
        if windows is not None:
            return drop_parts(connection, seconds, windows - seconds)
    moments = [(moment, table) for table in OF_DAYS if (moment := oldest(connection, table)) and moment < now - DAY]
    moment, table = min(moments, default=(math.inf, ""))
    day = connection.execute(
        "SELECT min(start) + seconds FROM windows WHERE parent_id IS NULL AND seconds = 86400 AND finest"
    ).fetchone()[0]
    if moment < (math.inf if day is None else day):
        return bool(drop_rows(connection, table, math.floor(moment / DAY) * DAY + DAY, now + 2 * DAY))
    return day is not None and drop_windows_before(connection, day)


def database_bytes(connection: sqlite3.Connection) -> int:
    """Size of the database file, when the WAL has been moved into it."""
    return int(_pragma(connection, "page_count") * _pragma(connection, "page_size"))


def live_bytes(connection: sqlite3.Connection) -> int:
    """What of the database file is in use."""
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return int(pages * _pragma(connection, "page_size"))


def vacuum(connection: sqlite3.Connection, most: int) -> None:
    """Give free pages back, a part of them, where there are many: a few are wanted again in a minute."""
    free = _pragma(connection, "freelist_count")
    spare = max(16, _pragma(connection, "page_count") // 50)
    for _ in range(min(free - spare, most // _pragma(connection, "page_size"))):
        connection.execute("PRAGMA incremental_vacuum(1)")  # one at a time: Python steps such a statement only once


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
