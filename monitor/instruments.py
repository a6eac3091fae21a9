"""What the process counts about itself while it serves: how long predictions took, what was refused, what failed.

Each thread counts into cells of its own, so that no request waits for another, nor for a scrape; adding up happens when
somebody looks. The sums are kept in the store with each fold, and go on from there after a restart.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Upper bounds of the prediction time histogram, in seconds.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True)
class Readings:
    """Sums over all threads.

    `seconds`: requests by time, one more than `SECONDS` (the last is beyond all bounds), and `seconds_sum` in seconds.
    `rejected`: refused requests by error code. `model_errors`: predictions that the model itself failed.
    """

    seconds: tuple[int, ...] = (0,) * (len(SECONDS) + 1)
    seconds_sum: float = 0.0
    rejected: Mapping[str, int] = field(default_factory=dict)
    model_errors: int = 0


@dataclass(slots=True)
class _Cell:
    """Counts of one thread; written by it alone."""

    seconds: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    seconds_sum: float = 0.0
    rejected: dict[str, int] = field(default_factory=dict)
    model_errors: int = 0


class Instruments:
    """Counters of the serving process, from any thread."""

    def __init__(self, begin: Readings | None = None) -> None:
        self._begin = begin or Readings()
        self._cells: list[_Cell] = []
        self._local = threading.local()

    def _cell(self) -> _Cell:
        try:
            cell: _Cell = self._local.cell
        except AttributeError:
            cell = self._local.cell = _Cell()
            self._cells.append(cell)
        return cell

    def took(self, seconds: float) -> None:
        """A prediction request was answered after so many seconds."""
        cell = self._cell()
        cell.seconds[bisect_left(SECONDS, seconds)] += 1
        cell.seconds_sum += seconds

    def rejected(self, code: str) -> None:
        """A request was refused; `code` is the error's."""
        rejected = self._cell().rejected
        rejected[code] = rejected.get(code, 0) + 1

    def model_failed(self) -> None:
        """The model raised, or answered what it must not."""
        self._cell().model_errors += 1

    def read(self) -> Readings:
        """Add all threads up."""
        begin, cells = self._begin, list(self._cells)
        rejected = dict(begin.rejected)
        for cell in cells:
            for code, count in list(cell.rejected.items()):
                rejected[code] = rejected.get(code, 0) + count
        return Readings(
            tuple(begin.seconds[i] + sum(cell.seconds[i] for cell in cells) for i in range(len(SECONDS) + 1)),
            begin.seconds_sum + sum(cell.seconds_sum for cell in cells),
            rejected,
            begin.model_errors + sum(cell.model_errors for cell in cells),
        )
