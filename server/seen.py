"""Ids of observations that were recorded a while ago, so that a client may send the same again.

The last `HORIZON` ids are kept, as 8-byte digests in a ring that is mapped from a file of the data folder: they survive
the death of the process as the journal does. The file is made when the first id comes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

#: Ids that are remembered: about 70 MB of memory once there are so many, and 8 MB of disk.
HORIZON = 1 << 20


def digest(name: str) -> int:
    """Digest of an id; two of a million ids have the same one with a probability of 3 in 100 million."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


class Seen:
    """The ring. `lock` must be held from `fresh` to `add`, with the recording in between."""

    def __init__(self, path: Path, horizon: int = HORIZON) -> None:
        self.lock = threading.Lock()
        self._path, self._horizon = path, horizon
        self._known: set[int] = set()
        #: First the place that is written next, then the digests.
        self._ring: npt.NDArray[np.uint64] | None = None
        if path.exists():
            self._open()

    def _open(self) -> npt.NDArray[np.uint64]:
        length = 8 * (self._horizon + 1)
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(handle, 0, length)  # a hole in a mapped file kills the process on a full disk
            finally:
                os.close(handle)
            ring: npt.NDArray[np.uint64] = np.memmap(self._path, np.uint64, "r+", shape=(self._horizon + 1,))
        except OSError as error:
            log.warning("%s: ids are remembered in memory only: %s", self._path, error.strerror or error)
            ring = np.zeros(self._horizon + 1, np.uint64)
        self._known = set(ring[1:].tolist()) - {0}
        self._ring = ring
        return ring

    def fresh(self, digests: Sequence[int]) -> list[bool]:
        """Which of these have not been seen, neither before nor earlier in the sequence."""
        known = self._known
        if known.isdisjoint(digests) and len(set(digests)) == len(digests):
            return [True] * len(digests)
        here: set[int] = set()
        out = []
        for one in digests:
            out.append(one not in known and one not in here)
            here.add(one)
        return out

    def add(self, digests: Sequence[int]) -> None:
        """Remember fresh ones; as many of the oldest are forgotten where the ring is full."""
        if not digests:
            return
        ring = self._open() if self._ring is None else self._ring
        for start in range(0, len(digests), self._horizon):
            part = digests[start : start + self._horizon]
            begin = int(ring[0]) % self._horizon
            slots = 1 + (begin + np.arange(len(part))) % self._horizon
            self._known.difference_update(ring[slots].tolist())
            ring[slots] = np.array(part, np.uint64)
            ring[0] = (begin + len(part)) % self._horizon
            self._known.update(part)
