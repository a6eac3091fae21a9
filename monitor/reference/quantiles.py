"""Quantiles of a column that need not fit into memory, without sorting it: exact, or within a stated error.

1. While the column is read, a `Guide` keeps some thousands of its values.
2. `QuantileSearch.count` reads it again and counts its values in the cells of a fine grid, laid out by the guide:
   the cell of each wanted rank is known then.
3. `QuantileSearch.collect` reads it once more and keeps the values of these cells, about one in a hundred of all. The
   value at each rank, and the one that follows it, are among them.

No random numbers: the same values in the same order give the same answer. If the values of those cells are too many to
keep, neighbours are put together, and `rank_error` says how far a rank can be off.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from monitor.columns.binning import CHUNK
from monitor.columns.column import Floats, Mask
from monitor.reference.bin_edges import Gap, frequent, gaps_at, wanted_ranks

#: Cells of a grid: its tables stay in the cache.
CELLS = 4_096


class Guide:
    """Every 2**k-th value of a column, at most `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._stride = 1
        self._seen = self._size = 0
        self._kept: list[Floats] = []

    @property
    def whole(self) -> bool:
        """Whether every value of the column is kept."""
        return self._stride == 1

    def add(self, values: Floats) -> None:
        """Take in finite values, shape (n,)."""
        kept = values[-self._seen % self._stride :: self._stride]
        self._seen += values.size
        self._kept.append(kept.copy())  # a view would keep all of the block
        self._size += kept.size
        while self._size > self.capacity:
            thinned = np.concatenate(self._kept)[::2].copy()
            self._kept, self._size = [thinned], thinned.size
            self._stride *= 2

    def ordered(self) -> Floats:
        """Return what is kept, sorted."""
        ordered: Floats = np.sort(np.concatenate(self._kept or [np.empty(0)]))
        return ordered


class Grid:
    """Equal cells over the middle of a column, numbered upwards; the first and the last also have what is outside.

    The cells are equal in the values themselves, or in their bits taken as whole numbers, which is close to equal in
    their logarithms: whichever spreads the guide better.
    """

    def __init__(self, ordered: Floats) -> None:
        distinct = np.unique(ordered)  # a value that many rows share would be all that the grid covers
        fits = []
        for bits in (False, True):
            self._bits = bits
            ends = self._scaled(distinct[[distinct.size // 200, -1 - distinct.size // 200]])
            with np.errstate(all="ignore"):
                scale = CELLS / (ends[1] - ends[0])
                shift = ends[0] * scale
            usable = np.isfinite(scale) and np.isfinite(shift)
            self._scale, self._shift = (float(scale), float(shift)) if usable else (0.0, 0.0)
            together = np.square(np.bincount(self.cells(distinct))).sum()
            fits.append((int(together), bits, self._scale, self._shift))
        _, self._bits, self._scale, self._shift = min(fits)

    def cells(self, values: Floats) -> npt.NDArray[np.intp]:
        """Cell of each finite value, shape (n,)."""
        with np.errstate(over="ignore"):
            position = self._scaled(values) * self._scale
            position -= self._shift
        np.clip(position, 0.0, CELLS - 1.0, out=position)
        return position.astype(np.int32).astype(np.intp)

    def _scaled(self, values: Floats) -> Floats:
        if not self._bits:
            return values
        bits = (values + 0.0).view(np.int64)  # + 0.0 turns -0.0 into 0.0
        bits ^= (bits >> 63) & np.int64(2**63 - 1)  # negative numbers, the other way round
        return bits.astype(np.float64)


class QuantileSearch:
    """Finds the values at the ranks of some quantile bins, in two passes over a column of `total` finite values.

    `ordered`: sorted values of the column's guide. `room`: values that may be kept. Call `count` with every block, then
    `aim`, then `collect` with every block again; `gaps` has the answer.
    """

    def __init__(self, ordered: Floats, total: int, bins: int, room: int) -> None:
        self._grid = Grid(ordered)
        self._counts = np.zeros(CELLS, dtype=np.int64)
        self._flags = np.zeros(CELLS, dtype=np.bool_)
        self._total, self._bins, self._room = total, bins, room
        # Values that may need a bin of their own; the guide sees only some of their rows.
        distinct, rows = np.unique(ordered, return_counts=True)
        self._own: Floats = distinct[frequent(rows, int(rows.sum()), bins, slack=0.5)[0]]
        self._own_rows = np.zeros(self._own.size, dtype=np.int64)
        self._ranks: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._values: Floats = np.empty(0)
        self._weights: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._waiting: list[Floats] = []
        self._waiting_size = self._slack = 0

    @property
    def rank_error(self) -> float:
        """Bound on the error of any rank, as a share of all values; 0 where exact."""
        return self._slack / self._total

    def count(self, block: Floats) -> None:
        """First pass: count values in cells."""
        for piece in _finite(block):
            self._counts += np.bincount(self._grid.cells(piece), minlength=CELLS)
            if self._own.size:
                found, at = self._is_own(piece)
                self._own_rows += np.bincount(at[found], minlength=self._own.size)

    def aim(self) -> None:
        """Between the passes: find the cells of the wanted ranks, and of what follows them.

        Values with a bin of their own are left out of the ranks; their neighbours on either side are wanted.
        """
        chosen, left = frequent(self._own_rows, self._total, self._bins)
        self._own, own_rows = self._own[chosen], self._own_rows[chosen]
        own_cells = self._grid.cells(self._own)
        np.subtract.at(self._counts, own_cells, own_rows)
        filled = np.flatnonzero(self._counts)
        self._ranks = wanted_ranks(self._total - int(own_rows.sum()), left)
        for side, step in (("left", -1), ("right", 0)):
            near = np.searchsorted(filled, own_cells, side=side) + step  # type: ignore[call-overload]
            self._flags[filled[near[(near >= 0) & (near < filled.size)]]] = True
        self._flags[own_cells] = True
        cells = np.searchsorted(np.cumsum(self._counts), self._ranks)
        following = np.searchsorted(filled, cells, side="right")
        self._flags[cells] = self._flags[filled[following[following < filled.size]]] = True
        # Ranks among the values that will be collected: less what lies below in other cells.
        self._ranks = self._ranks - np.cumsum(np.where(self._flags, 0, self._counts))[cells]

    def collect(self, block: Floats) -> None:
        """Second pass: keep the values of these cells."""
        for piece in _finite(block):
            kept = piece[self._flags[self._grid.cells(piece)]]
            self._waiting.append(kept[~self._is_own(kept)[0]] if self._own.size else kept)
            self._waiting_size += self._waiting[-1].size
        if self._waiting_size + self._values.size > self._room:
            self._merge()
            if self._values.size > self._room // 2:
                self._thin()

    def gaps(self) -> list[Gap]:
        """Return the gaps that hold the edges: see `bin_edges.gaps_at`."""
        self._merge()
        return gaps_at(self._values, np.searchsorted(np.cumsum(self._weights), self._ranks), self._own)

    def _is_own(self, values: Floats) -> tuple[Mask, npt.NDArray[np.intp]]:
        """Which values may have a bin of their own, and which of those they are."""
        at = np.minimum(np.searchsorted(self._own, values), self._own.size - 1)
        return self._own[at] == values, at

    def _merge(self) -> None:
        """Sort what is kept; equal values become one, with their number as its weight."""
        values = np.concatenate((self._values, *self._waiting))
        weights = np.append(self._weights, np.ones(self._waiting_size, dtype=np.int64))
        self._waiting, self._waiting_size = [], 0
        order = np.argsort(values)
        values = values[order]
        with np.errstate(over="ignore"):
            first = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
        self._values, self._weights = values[first], np.add.reduceat(weights[order], first)

    def _thin(self) -> None:
        """Put neighbours of one cell together into groups of about one weight, each at its largest value.

        Ranks of the others move by less than that weight.
        """
        reached = np.cumsum(self._weights)
        group = (reached - self._weights) // max(1, 4 * int(reached[-1]) // self._room)
        cell = self._grid.cells(self._values)
        last = np.flatnonzero(np.concatenate(((np.diff(group) > 0) | (np.diff(cell) > 0), [True])))
        together = np.diff(reached[last], prepend=0)
        self._slack += int((together - self._weights[last]).max())
        self._values, self._weights = self._values[last], together


def _finite(block: Floats) -> Iterator[Floats]:
    """The finite values of a block, in pieces of which everything on the way stays in the cache."""
    for start in range(0, block.size, CHUNK):
        piece = block[start : start + CHUNK]
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(piece.sum())
        yield piece if finite else piece[np.isfinite(piece)]
