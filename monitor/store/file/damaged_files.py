"""Files that were moved aside as damaged: kept for an operator to look at, within bounds.

They count towards `data.max_size`; the rest of it is for the live database and journal. Together they
take at most a quarter of it, the newest first. The newest database alone may be larger for a month: nothing else has
what was in it, and an operator may want to save that. What is dropped is named in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from monitor.clock import Clock, from_iso, iso
from monitor.store.file.folder import DATABASE, DataFolder

log = logging.getLogger(__name__)

#: What is between a damaged database's name and the moment when it was moved aside.
ASIDE = ".damaged-"
#: Part of the cap that all of them may take.
SHARE = 0.25
#: How long the newest database stays, up to this part of the cap, in seconds.
GRACE, GRACE_SHARE = 30 * 86400.0, 0.9
#: Why a file that was moved aside is dropped, unless the operator asked for it.
FULL = "to make room: all such files may take a quarter of data.max_size, and the newest database is spared for 30 days"


class Evidence(NamedTuple):
    """A file that was moved aside, with its WAL. `moved`: when, in seconds since 1970 UTC."""

    paths: tuple[Path, ...]
    bytes: int
    moved: float
    database: bool


def move_aside(folder: DataFolder, clock: Clock, why: str, held: Path | None = None) -> Path:
    """Rename the database and its companions, so that an operator can look at them. `held`: another name of its WAL."""
    name = f"{DATABASE}{ASIDE}{iso(clock.time()).replace(':', '')}"
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))  # the second one within a second
    aside = next(path for name in names if not (path := folder.path / name).exists())
    for suffix in ("", "-wal", "-shm"):
        part = folder.path / f"{DATABASE}{suffix}"
        if part.exists():
            part.rename(folder.path / f"{aside.name}{suffix}")
    wal = folder.path / f"{aside.name}-wal"
    if held is not None and held.exists() and not wal.exists():
        held.rename(wal)
    log.error("%s cannot be used (%s): moved to %s, a new one was begun", folder.database, why, aside.name)
    return aside


def find(folder: DataFolder) -> list[Evidence]:
    """Databases and journal segments of a data folder that were moved aside, the newest first."""
    files = []
    for path in (*folder.path.glob(f"{DATABASE}{ASIDE}*"), *folder.journal.rglob("*.damaged")):
        if path.name.endswith(("-wal", "-shm")):
            continue
        wal = path.with_name(f"{path.name}-wal")
        try:
            paths = (path, wal) if wal.exists() else (path,)
            size = sum(part.stat().st_blocks * 512 for part in paths)
            _, database, stamp = path.name.partition(ASIDE)
            moved = _moment(stamp) if database else path.stat().st_mtime
        except OSError:
            continue  # it has just been taken away
        files.append(Evidence(paths, size, moved, bool(database)))
    return sorted(files, key=lambda file: file.moved, reverse=True)


def _moment(stamp: str) -> float:
    """When a file was moved aside, by its name; long ago if it was renamed.

    >>> _moment("1970-01-01T000100Z"), _moment("1970-01-01T000100.500Z-2"), _moment("mine")
    (60.0, 60.5, 0.0)
    """
    try:
        return from_iso(stamp.partition("Z")[0])
    except ValueError:
        return 0.0


def excess(files: Sequence[Evidence], max_size: int, now: float) -> list[Evidence]:
    """Which of them must go, given the newest first."""
    newest_database = next((file for file in files if file.database), None)
    must_go, kept = [], 0
    for file in files:
        spared = file is newest_database and now - file.moved < GRACE and file.bytes <= GRACE_SHARE * max_size
        if spared or kept + file.bytes <= SHARE * max_size:
            kept += file.bytes
        else:
            must_go.append(file)
    return must_go


def drop(files: Iterable[Evidence], why: str = FULL) -> None:
    """Remove them, and log why."""
    for file in files:
        log.warning("%s (%.1f MB), moved aside as damaged, is dropped %s", file.paths[0], file.bytes / 1e6, why)
        for path in file.paths:
            path.unlink(missing_ok=True)
