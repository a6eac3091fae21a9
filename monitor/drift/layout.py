"""From flat count vectors to matrices with one column of the model per row, which the statistics work on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Column, Counts, Floats, Kind, Mask, Role, Schema
from monitor.drift.result import Harm

Positions = npt.NDArray[np.intp]
Named = tuple[list[str], list[Role], list[Kind]]
T = TypeVar("T")

#: Statistics that compare one share of the rows: see `contingency`.
SHARES = ("missing", "other")


@dataclass(frozen=True, slots=True)
class Frame:
    """What the bins of R columns are; it does not change from one window to the next. Masks: (R, K).

    Of the K cells of a column the first V are for value bins, the others for missing and nonfinite values. `named`:
    names, roles and kinds of the columns. `index`: position of each cell in the flat vector. `real`: which cells are
    bins and not padding. `outside`: which hold what the reference has no bin for: `__other__`, or underflow and
    overflow. `known`: which hold a known category; none of a numeric column. `places`: of numeric value bins on the
    span of the edges, 0 to 1, (R, V); `steps`: from each to the next, 0 from the last; `bounds`: (R, 2, V), their edges
    on the span. `starts`, `halves`: first edge and half the span, (R,).
    """

    named: Named
    index: Positions
    real: Mask
    outside: Mask
    known: Mask
    places: Floats
    steps: Floats
    bounds: Floats
    starts: Floats
    halves: Floats


@dataclass(frozen=True)
class Pair:
    """Reference and test window of the same columns, side by side.

    `reference`, `test`: counts, (R, K); zero in cells that are padding. Leading axes in front of R are allowed: many
    windows against one reference, or each against its own. `scale`: (R,), reference standard deviation as a part of the
    span of the edges; 1 if it is zero or unknown. `sums`: of the finite values of the reference and of the test window;
    NaN if unknown. `weights`: effective rows for each row of the test window, since
    rows of one window are alike in shape, in `missing` and in `other`, (R, 3); None: each is one independent draw.
    `asked`: the statistics that will be measured.
    """

    frame: Frame
    reference: Floats
    test: Floats
    scale: Floats
    sums: tuple[Floats, Floats]
    asked: Collection[str] = SHARES
    weights: Floats | None = None
    _known: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, function: Callable[[Pair], T]) -> T:
        """Result of a function for this pair, cached: several statistics need the same."""
        if function not in self._known:
            self._known[function] = function(self)
        found: T = self._known[function]
        return found

    @cached_property
    def sizes(self) -> tuple[Floats, Floats]:
        """Return n and m: all rows of the test window and of the reference, (R,)."""
        return _sizes(self.reference, self.test)

    def thin(self, rho: Floats) -> Pair:
        """Give the test window its effective sample size, n / (1 + (n - 1) rho), rounded down. `rho`: (R, 3)."""
        if not rho.any():
            return self
        n = np.maximum(self.sizes[0], 1.0)[..., None]
        weights = np.maximum(np.floor(n / (1 + (n - 1) * rho) + 1e-9), 1.0) / n
        return replace(self, weights=weights, _known={})

    @property
    def effective(self) -> Pair:
        """Both sides with the effective rows of the test window: p-values and critical values come from it."""
        return self if self.weights is None else self._thinned  # itself in its own cache would be freed late

    @cached_property
    def _thinned(self) -> Pair:
        assert self.weights is not None
        return replace(self, test=self.test * self.weights[..., :1], weights=None, _known={})

    @property
    def finite(self) -> tuple[Floats, Floats]:
        """`reference` and `test` with nothing but the value bins, (R, V)."""
        bins = self.frame.places.shape[-1]
        return self.reference[..., :bins], self.test[..., :bins]

    @cached_property
    def below(self) -> tuple[Floats, Floats]:
        """Rows of both sides of `finite` up to each bin's upper edge."""
        reference, test = self.finite
        return np.add.accumulate(reference, axis=-1), np.add.accumulate(test, axis=-1)

    @cached_property
    def finite_sizes(self) -> tuple[Floats, Floats]:
        """Return n and m of `finite`."""
        m, n = (rows[..., -1] for rows in self.below)
        return n, np.broadcast_to(m, n.shape)

    @cached_property
    def testable(self) -> Mask:
        """Where more than one bin is filled on either side: elsewhere nothing could come out significant."""
        return _filled(self.reference, self.test) > 1

    @cached_property
    def finite_testable(self) -> Mask:
        """The same for `finite`."""
        return _filled(*self.finite) > 1


@dataclass(frozen=True, slots=True)
class Measured:
    """One statistic of R columns; all arrays have shape (R,) behind any leading axes.

    `n`, `m`: its sample sizes, in rows. `critical`: the value not to be exceeded at a given alpha, such that
    `abs(value) > critical(alpha)` says the same as `p_value < alpha`. `testable`: False if both sides together fill
    only one bin, so that the test could not come out significant whatever the split; it then takes no part of alpha.
    `floor_unit`: what a floor is multiplied with to be in the units of `value`; 1 for all but `chi2` and `other`.
    """

    value: Floats
    p_value: Floats
    n: Floats
    m: Floats
    critical: Callable[[float], Floats]
    testable: Mask
    floor_unit: Floats | float = 1.0


#: Works out what the shift of a column from one vector of counts to another does to the model.
Assess = Callable[[Column, Counts, Counts], Harm | None]


class Layout:
    """Positions of the bins of each column of a schema, worked out once. `harm`: says what a shift does, if known.

    >>> schema = Schema((Column("x", "feature", "numeric", edges=(0.0, 2.0)),
    ...                  Column("y", "prediction", "categorical", categories=("a",))))
    >>> pair = Layout(schema).pair(np.arange(8), np.ones(8), np.ones(2), np.array([0, 1]))
    >>> pair.reference.astype(int).tolist()
    [[0, 1, 2, 3, 4], [5, 6, 0, 7, 0]]
    """

    def __init__(self, schema: Schema, harm: Assess | None = None) -> None:
        self.schema, self.harm = schema, harm
        self.sizes = np.array([column.size for column in schema.columns], dtype=np.intp)
        self.numeric = np.array([column.numeric for column in schema.columns], dtype=np.bool_)
        # Rules ask for the same columns again and again.
        self._frames: dict[bytes, Frame] = {}
        self._chosen: dict[tuple[tuple[int, ...], bool], Positions] = {}

    @cached_property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """A text for each bin of each column."""
        return tuple(column.labels for column in self.schema.columns)

    def _frame(self, positions: Positions) -> Frame:
        """The frame of some columns."""
        key = positions.tobytes()
        if key not in self._frames:
            self._frames[key] = self._make_frame(positions)
        return self._frames[key]

    def _make_frame(self, positions: Positions) -> Frame:
        columns = [self.schema.columns[position] for position in positions.tolist()]
        value_bins = np.array([column.value_bins for column in columns])[:, None]
        others = self.sizes[positions, None] - value_bins
        most = int(value_bins.max())
        cell = np.arange(most + int(others.max()))
        values, behind = cell < value_bins, (cell >= most) & (cell < most + others)
        at = self.schema.offsets[positions, None] + cell - np.where(behind, most - value_bins, 0)
        places, bounds = np.zeros((len(columns), most)), np.zeros((len(columns), 2, most))
        starts, halves = np.zeros(len(columns)), np.zeros(len(columns))
        for row, column in enumerate(columns):
            bins = column.value_bins
            places[row, :bins], halves[row] = bin_places(column)
            places[row, bins:] = places[row, bins - 1]
            bounds[row] = places[row]
            starts[row] = column.edges[0] if column.edges else 0.0
            if halves[row]:
                ends = (np.array(column.edges) / 2 - starts[row] / 2) / halves[row]
                bounds[row, 0, 1 : bins - 1], bounds[row, 1, 1 : bins - 1] = ends[:-1], ends[1:]
        numeric, last = self.numeric[positions, None], cell == value_bins - 1
        return Frame(
            (
                [column.name for column in columns],
                [column.role for column in columns],
                [column.kind for column in columns],
            ),
            np.where(values | behind, at, self.schema.size),  # padding points at a zero behind the flat vector
            real=values | behind,
            outside=(last | (numeric & (cell == 0))) & (~numeric | (value_bins > 1)),
            known=values & ~numeric & ~last,
            places=places,
            steps=np.diff(places, append=places[:, -1:]),
            bounds=bounds,
            starts=starts,
            halves=halves,
        )

    def of_kind(self, columns: Sequence[int], *, numeric: bool) -> Positions:
        """Those of the given columns that are of one kind, as an index array."""
        key = tuple(columns), numeric
        if key not in self._chosen:
            chosen: Positions = np.array(columns, dtype=np.intp)
            self._chosen[key] = chosen[self.numeric[chosen] == numeric]
        return self._chosen[key]

    def pair(
        self,
        reference: Counts,
        test: Counts,
        deviations: Floats,
        positions: Positions,
        sums: tuple[Floats, Floats] | None = None,
        asked: Collection[str] = SHARES,
    ) -> Pair:
        """Lay reference and test window of the given columns side by side; `sums`, `asked`: see `Pair`."""
        frame = self._frame(positions)
        before, after = _spread(reference, frame.index), _spread(test, frame.index)
        unknown = np.full(len(self.schema.columns), np.nan)
        before_sums, after_sums = sums or (unknown, unknown)
        # Quotients of extreme numbers may overflow or vanish; what is not a useful scale counts as unknown.
        with np.errstate(all="ignore"):
            scale = deviations[positions] / frame.halves / 2
        return Pair(
            frame,
            before[None] if before.ndim < after.ndim else before,
            after,
            np.where((scale > 1e-9) & (scale < 1e9), scale, 1.0),
            (before_sums[..., positions], after_sums[..., positions]),
            asked,
        )


def _sizes(reference: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Rows of the test window and of the reference, for each window."""
    n = test.sum(axis=-1)
    return n, np.broadcast_to(reference.sum(axis=-1), n.shape)


def _filled(reference: Floats, test: Floats) -> Counts:
    """Number of bins that are filled on either side."""
    out: Counts = ((reference + test) > 0).sum(axis=-1)
    return out


def _spread(flat: npt.NDArray[np.generic], index: Positions) -> Floats:
    """Counts, shape (..., R, K), from flat vectors of shape (..., schema.size)."""
    padded = np.zeros((*flat.shape[:-1], flat.shape[-1] + 1))
    padded[..., :-1] = flat
    return padded.take(index, axis=-1)


def bin_places(column: Column) -> tuple[Floats, float]:
    """Place of each value bin of a numeric column, 0 at the first edge and 1 at the last; and half that span.

    It is the mean of the reference's rows in the bin, the middle of an empty bin, or the edge of an empty outer one.
    Half, because the span may be beyond the largest number.

    >>> bin_places(Column("x", "feature", "numeric", edges=(0.0, 2.0, 4.0)))[0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    edges = np.array(column.edges)
    half = float(edges[-1] / 2 - edges[0] / 2) if column.numeric and edges.size > 1 else 0.0
    if not half:
        return np.zeros(column.value_bins), 0.0
    return np.clip((np.array(column.bin_means) / 2 - edges[0] / 2) / half, 0.0, 1.0), half
