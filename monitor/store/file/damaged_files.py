"""Files that were moved aside as damaged: kept for whoever wants to look at them, within bounds.

They count towards `data.max_size`, since a cap is a cap, and what is left of it is the live record's. Together they
take at most a quarter of it, the newest first. The newest database alone may be larger for a month: nothing else has
what was in it, and somebody may want to save that. What is dropped is named in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from monitor.clock import from_iso
from monitor.store.file.folder import ASIDE, DataFolder

log = logging.getLogger(__name__)

#: Part of the cap that all of them may take.
SHARE = 0.25

#: How long the newest database stays, up to this part of the cap, in seconds.
GRACE, GRACE_SHARE = 30 * 86400.0, 0.9


class Evidence(NamedTuple):
    """A file that was moved aside, with what belongs to it. `moved`: when, in seconds since 1970 UTC."""

    paths: tuple[Path, ...]
    bytes: int
    moved: float
    database: bool


def find(folder: DataFolder) -> list[Evidence]:
    """What lies in a data folder, the newest first."""
    found = [_evidence(path, path.with_name(path.name + "-wal")) for path in folder.moved_aside()]
    return sorted((one for one in found if one), key=lambda one: one.moved, reverse=True)


def _evidence(path: Path, *companions: Path) -> Evidence | None:
    try:
        paths = (path, *(companion for companion in companions if companion.exists()))
        size = sum(one.stat().st_blocks * 512 for one in paths)
        _, database, stamp = path.name.partition(ASIDE)
        return Evidence(paths, size, _moment(stamp) if database else path.stat().st_mtime, bool(database))
    except OSError:
        return None  # somebody has just taken it away


def _moment(stamp: str) -> float:
    """When a file was moved aside, by its name; long ago where somebody has renamed it.

    >>> _moment("1970-01-01T000100Z"), _moment("1970-01-01T000100.500Z-2"), _moment("mine")
    (60.0, 60.5, 0.0)
    """
    day, _, time = stamp.partition("T")
    clock, _, _ = time.partition("Z")
    try:
        return from_iso(f"{day}T{clock[:2]}:{clock[2:4]}:{clock[4:]}+00:00")
    except ValueError:
        return 0.0


def excess(found: Sequence[Evidence], max_size: int, now: float) -> list[Evidence]:
    """Which of them must go, given the newest first."""
    newest = next((one for one in found if one.database), None)
    out, taken = [], 0
    for one in found:
        spared = one is newest and now - one.moved < GRACE and one.bytes <= GRACE_SHARE * max_size
        if spared or taken + one.bytes <= SHARE * max_size:
            taken += one.bytes
        else:
            out.append(one)
    return out


#: Why a file that was moved aside is dropped, if not because somebody asked for it.
FULL = "to make room: all such files may take a quarter of data.max_size, and the newest database is spared for 30 days"


def drop(found: Iterable[Evidence], why: str = FULL) -> None:
    """Remove them, and log why."""
    for one in found:
        log.warning("%s (%.1f MB), moved aside as damaged, is dropped %s", one.paths[0], one.bytes / 1e6, why)
        for path in one.paths:
            path.unlink(missing_ok=True)
