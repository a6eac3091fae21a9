"""Quantiles of a stream in bounded memory, exact up to a stated size and with a stated error above it.

The deterministic multi-level sketch of Munro and Paterson ("Selection and sorting with limited storage", 1980), in the
form of Manku, Rajagopalan and Lindsay (SIGMOD 1998): values wait in a buffer; a full buffer is sorted and halved,
keeping every second value with twice the weight; two halves of one weight are merged and halved again. No random
numbers: the same values in the same order give the same answer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from monitor.window.columns import Floats


class QuantileSketch:
    """Values of one column, thinned where there are more than `capacity` of them.

    >>> sketch = QuantileSketch(capacity=1_000)
    >>> for start in range(0, 100_000, 1_000):
    ...     sketch.add(np.arange(start, start + 1_000, dtype=np.float64))
    >>> values, weights = sketch.sample()
    >>> weights is not None and int(weights.sum()), len(values) <= 1_000, sketch.rank_error < 0.1
    (100000, True, True)
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 64:
            raise ValueError("a sketch needs room for at least 64 values")
        self.capacity = capacity
        self.count = 0
        self._waiting: list[Floats] = []
        self._waiting_size = 0
        self._levels: list[Floats | None] = []
        self._slack = 0
        # Above the capacity, levels of this size take over: 16 of them, for 2**16 times as many values, fit into it.
        self._width = capacity // 16 - capacity // 16 % 2

    @property
    def exact(self) -> bool:
        """Whether every value is still kept."""
        return not self._levels

    @property
    def rank_error(self) -> float:
        """Bound on the error of any value's rank, as a share of all rows; 0 while exact.

        Halving a buffer whose values weigh w moves a rank by at most w, up or down: kept positions alternate between
        the odd and the even ones, and the bound counts each halving in full.
        """
        return self._slack / self.count if self.count else 0.0

    def add(self, values: Floats) -> None:
        """Take in finite values, shape (n,). They are kept, not copied: the caller must not change them."""
        if not values.size:
            return
        self.count += values.size
        self._waiting.append(values)
        self._waiting_size += values.size
        if self._waiting_size > (self.capacity if self.exact else self._width):
            self._thin()

    def sample(self) -> tuple[Floats, npt.NDArray[np.int64] | None]:
        """Sorted values, and the number of rows that each stands for: None while exact, as each is one row then.

        The weights add up to `count`.
        """
        if self.exact:
            values = np.concatenate(self._waiting or [np.empty(0)])
            values.sort()
            return values, None
        parts = [(block, 1) for block in self._waiting]
        parts += [(level, 2**depth) for depth, level in enumerate(self._levels) if level is not None]
        values = np.concatenate([block for block, _ in parts])
        weights = np.concatenate([np.full(block.size, weight, dtype=np.int64) for block, weight in parts])
        order = np.argsort(values, kind="stable")
        return values[order], weights[order]

    def _thin(self) -> None:
        pending = np.concatenate(self._waiting)
        whole = pending.size - pending.size % self._width
        for start in range(0, whole, self._width):
            self._carry(np.sort(pending[start : start + self._width]))
        self._waiting = [pending[whole:]]
        self._waiting_size = pending.size - whole

    def _carry(self, block: Floats) -> None:
        """Put a sorted block of weight 1 in place, as adding one to a binary number does."""
        depth = 0
        while depth < len(self._levels) and (held := self._levels[depth]) is not None:
            merged = np.sort(np.concatenate((held, block)), kind="stable")
            # Odd and even positions in turn, so that errors of one level cancel instead of adding up.
            block = merged[depth % 2 :: 2]
            self._slack += 2**depth
            self._levels[depth] = None
            depth += 1
        if depth == len(self._levels):
            self._levels.append(None)
        self._levels[depth] = block
