"""Ids of observations that were recorded a while ago, so that a client may send the same again.

The last `HORIZON` ids are kept, as 8-byte digests in a ring that is mapped from a file of the data folder: they survive
the death of the process as the journal does. Beside each lies the sequence number of its record. An id is written
before its record is, and one whose record was never finished is forgotten at the next start: so that whenever a process
is killed, what is sent again is counted once. The file is made when the first id comes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

#: Ids that are remembered: about 80 MB of memory once there are so many, and 16 MB of disk.
HORIZON = 1 << 20

Numbers = npt.NDArray[np.uint64]


def digests(names: Iterable[str]) -> Numbers:
    """Digests of ids, shape (n,), none of them 0; two of a million are the same with a chance of 3 in 100 million."""
    parts = b"".join([blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names])
    return np.maximum(np.frombuffer(parts, "<u8").astype(np.uint64), 1)


class Seen:
    """The ring. `lock` must be held from `fresh` to `add`.

    `holds` tells which sequence numbers have a record; it is asked when the file is opened.
    """

    def __init__(self, path: Path, holds: Callable[[Numbers], npt.NDArray[np.bool_]], horizon: int = HORIZON) -> None:
        self.lock = threading.Lock()
        self._path, self._holds, self._horizon = path, holds, horizon
        self._known: set[int] = set()
        #: First the place that is written next, then the sequence numbers, then the digests, 0 for none.
        self._ring: Numbers | None = None
        if path.exists():
            self._open()

    def _open(self) -> Numbers:
        words = 2 * self._horizon + 1
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(handle, 0, 8 * words)  # a hole in a mapped file kills the process on a full disk
            finally:
                os.close(handle)
            ring: Numbers = np.memmap(self._path, np.uint64, "r+", shape=(words,))
        except OSError as error:
            log.warning("%s: ids are remembered in memory only: %s", self._path, error.strerror or error)
            ring = np.zeros(words, np.uint64)
        numbers, kept = ring[1 : self._horizon + 1], ring[self._horizon + 1 :]
        kept[~self._holds(numbers)] = 0
        self._known = set(kept.tolist()) - {0}
        self._ring = ring
        return ring

    def fresh(self, ids: Numbers) -> npt.NDArray[np.bool_] | None:
        """Which of these have not been seen, neither before nor earlier among them, shape (n,); 0 is always fresh.

        None if all are fresh.
        """
        known, listed = self._known, ids.tolist()
        if known.isdisjoint(listed) and len(set(listed)) == len(listed):
            return None
        here: set[int] = set()
        out = []
        for one in listed:
            out.append(not one or (one not in known and one not in here))
            here.add(one)
        return np.array(out)

    def add(self, ids: Numbers, first: int) -> None:
        """Remember fresh ids of consecutive records, the first of which gets the sequence number `first`.

        As many of the oldest ids are forgotten where the ring is full.
        """
        numbers = np.arange(first, first + len(ids), dtype=np.uint64)
        numbers, ids = numbers[ids != 0], ids[ids != 0]
        if not len(ids):
            return
        ring = self._open() if self._ring is None else self._ring
        for start in range(0, len(ids), self._horizon):
            part = slice(start, start + self._horizon)
            begin, rows = int(ring[0]) % self._horizon, len(ids[part])
            slots = 1 + (begin + np.arange(rows)) % self._horizon
            self._known.difference_update(ring[slots + self._horizon].tolist())
            # The number first: a kill between the two leaves an id that goes anyway, and whose record does not exist.
            ring[slots] = numbers[part]
            ring[slots + self._horizon] = ids[part]
            ring[0] = (begin + rows) % self._horizon
            self._known.update(ids[part].tolist())

    def forget(self, ids: Numbers) -> None:
        """Take back the newest ids, in the order in which they were added: there was no room for their records."""
        gone = ids[ids != 0][-self._horizon :]
        if len(gone) and self._ring is not None:
            last = int(self._ring[0]) + self._horizon
            slots = 1 + (last - len(gone) + np.arange(len(gone))) % self._horizon
            self._ring[slots + self._horizon] = 0
            self._known.difference_update(gone.tolist())
