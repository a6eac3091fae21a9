"""What the process counts about itself while it serves: how long predictions took, what was refused, what failed.

Each thread counts for itself, so that no request waits for another, nor for a scrape. The sums are kept in the store
with each fold, and go on from there after a restart.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field

#: Upper bounds of the prediction time histogram, in seconds.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(slots=True)
class Readings:
    """Counts of one thread, or sums over all.

    `seconds`: requests by time, one more than `SECONDS` (the last is beyond all bounds), and `seconds_sum` in seconds.
    `rejected`: refused requests by error code. `model_errors`: predictions that the model itself failed.
    """

    seconds: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    seconds_sum: float = 0.0
    rejected: dict[str, int] = field(default_factory=dict)
    model_errors: int = 0

    def add(self, other: Readings) -> None:
        """Add what another thread has counted, which may go on counting meanwhile."""
        self.seconds = [mine + theirs for mine, theirs in zip(self.seconds, other.seconds, strict=True)]
        self.seconds_sum += other.seconds_sum
        for code, count in list(other.rejected.items()):
            self.rejected[code] = self.rejected.get(code, 0) + count
        self.model_errors += other.model_errors


class _Mine(threading.local):
    """The readings of the thread that asks, which `parts` has too."""

    def __init__(self, parts: list[Readings]) -> None:
        self.readings = Readings()
        parts.append(self.readings)


class Instruments:
    """Counters of the serving process, or of a model in it, from any thread. `key`: under which the store has them."""

    def __init__(self, key: str, begin: Readings) -> None:
        self.key, self._parts = key, [begin]
        self._mine = _Mine(self._parts)

    def took(self, seconds: float) -> None:
        """Count a prediction request that was answered after `seconds` seconds."""
        mine = self._mine.readings
        mine.seconds[bisect_left(SECONDS, seconds)] += 1
        mine.seconds_sum += seconds

    def rejected(self, code: str) -> None:
        """Count a request that was refused; `code` is the error's."""
        rejected = self._mine.readings.rejected
        rejected[code] = rejected.get(code, 0) + 1

    def model_failed(self) -> None:
        """Count a prediction for which the model raised, or answered what it must not."""
        self._mine.readings.model_errors += 1

    def read(self) -> Readings:
        """Add all threads up."""
        total = Readings()
        for part in list(self._parts):
            total.add(part)
        return total
