"""From flat count vectors to matrices with one column of the model per row, which the statistics work on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Column, Counts, Floats, Mask, Schema
from monitor.drift.result import Harm

Positions = npt.NDArray[np.intp]
T = TypeVar("T")

#: Statistics that compare one share of the rows: see `contingency`.
SHARES = ("missing", "other")


@dataclass(frozen=True, slots=True)
class Frame:
    """What the bins of R columns are, K at most; it does not change from one window to the next. Masks: (R, K).

    `index`: position of each cell in the flat vector. `real`: which cells are bins and not padding. `values`: which are
    value bins; `missing`: which are not, but missing or nonfinite. `outside`: which hold what the reference has no bin
    for: `__other__`, or underflow and overflow. `known`: which hold a known category; none of a numeric column.
    `places`: of numeric value bins on the span of the edges, 0 to 1; `bounds`: (R, 2, K), their edges on it.
    `starts`, `halves`: first edge and half the span, (R,).
    """

    index: Positions
    real: Mask
    values: Mask
    missing: Mask
    outside: Mask
    known: Mask
    places: Floats
    bounds: Floats
    starts: Floats
    halves: Floats


@dataclass(frozen=True)
class Pair:
    """Reference and test window of the same columns, side by side.

    `reference`, `test`: counts, (R, K); columns with fewer bins are padded with zeros at the end. Leading axes in front
    of R are allowed: many windows against one reference, or each against its own. `scale`: (R,), reference standard
    deviation as a part of the span of the edges; 1 if it is zero or unknown. `sums`: of the finite values of the
    reference and of the test window; NaN if unknown. `weights`: effective rows for each row of the test window, since
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

    @cached_property
    def finite(self) -> tuple[Floats, Floats]:
        """`reference` and `test` with nothing but the value bins."""
        return self.reference * self.frame.values, self.test * self.frame.values

    @cached_property
    def finite_sizes(self) -> tuple[Floats, Floats]:
        """Return n and m of `finite`."""
        return _sizes(*self.finite)

    @cached_property
    def means(self) -> tuple[Floats, Floats]:
        """Means of the finite values of the reference and of the test window, 0 at the first edge and 1 at the last."""
        starts, halves = self.frame.starts, self.frame.halves
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            before, after = (total / rows for total, rows in zip(self.sums, self.finite_sizes[::-1], strict=True))
            return (before / 2 - starts / 2) / halves, (after / 2 - starts / 2) / halves

    @cached_property
    def testable(self) -> Mask:
        """Where more than one bin is filled on either side: elsewhere nothing could come out significant."""
        out: Mask = ((self.reference + self.test) > 0).sum(axis=-1) > 1
        return out

    @cached_property
    def finite_testable(self) -> Mask:
        """The same for `finite`."""
        reference, test = self.finite
        out: Mask = ((reference + test) > 0).sum(axis=-1) > 1
        return out


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
    [[0, 1, 2, 3, 4], [5, 6, 7, 0, 0]]
    """

    def __init__(self, schema: Schema, harm: Assess | None = None) -> None:
        self.schema, self.harm = schema, harm
        self.sizes = np.array([column.size for column in schema.columns], dtype=np.intp)
        self.numeric = np.array([column.numeric for column in schema.columns], dtype=np.bool_)
        self._frames: dict[bytes, Frame] = {}

    @cached_property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """A text for each bin of each column."""
        return tuple(column.labels for column in self.schema.columns)

    @cached_property
    def _whole(self) -> Frame:
        """The frame of all columns. Padding points at a zero behind the flat vector."""
        schema, numeric = self.schema, self.numeric[:, None]
        value_bins = np.array([column.value_bins for column in schema.columns], dtype=np.intp)[:, None]
        place = np.arange(int(self.sizes.max(initial=0)))
        real, values, last = place < self.sizes[:, None], place < value_bins, place == value_bins - 1
        places, bounds = np.zeros(real.shape), np.zeros((len(real), 2, len(place)))
        starts, halves = np.zeros(len(real)), np.zeros(len(real))
        for row, column in enumerate(schema.columns):
            bins = column.value_bins
            places[row, :bins], halves[row] = bin_places(column)
            places[row, bins:] = places[row, bins - 1]
            bounds[row] = places[row]
            starts[row] = column.edges[0] if column.edges else 0.0
            if halves[row]:
                ends = (np.array(column.edges) / 2 - starts[row] / 2) / halves[row]
                bounds[row, 0, 1 : bins - 1], bounds[row, 1, 1 : bins - 1] = ends[:-1], ends[1:]
        return Frame(
            np.where(real, schema.offsets[:-1, None] + place, schema.size),
            real,
            values,
            missing=real & ~values,
            outside=(last | (numeric & (place == 0))) & (~numeric | (value_bins > 1)),
            known=values & ~numeric & ~last,
            places=places,
            bounds=bounds,
            starts=starts,
            halves=halves,
        )

    def _frame(self, positions: Positions) -> Frame:
        """The frame of some columns, as wide as the widest of them; rules ask for the same ones again and again."""
        key = positions.tobytes()
        if key not in self._frames:
            whole, width = self._whole, int(self.sizes[positions].max(initial=0))
            arrays = [getattr(whole, one.name)[positions] for one in fields(whole)]
            self._frames[key] = Frame(
                *(np.ascontiguousarray(one[..., :width] if one.ndim > 1 else one) for one in arrays)
            )
        return self._frames[key]

    def of_kind(self, columns: Sequence[int], *, numeric: bool) -> Positions:
        """Those of the given columns that are of one kind, as an index array."""
        chosen: Positions = np.array(columns, dtype=np.intp)
        out: Positions = chosen[self.numeric[chosen] == numeric]
        return out

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
        half, before, after = frame.halves, _spread(reference, frame.index), _spread(test, frame.index)
        unknown = np.full(len(positions), np.nan)
        # Quotients of extreme numbers may overflow or vanish; what is not a useful scale counts as unknown.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            scale = np.where(half > 0, deviations[positions] / np.where(half > 0, half, 1.0) / 2, 0.0)
        return Pair(
            frame,
            before[None] if before.ndim < after.ndim else before,
            after,
            np.where((scale > 1e-9) & (scale < 1e9), scale, 1.0),
            (sums[0][..., positions], sums[1][..., positions]) if sums else (unknown, unknown),
            asked,
        )


def _sizes(reference: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Rows of the test window and of the reference, for each window."""
    n = test.sum(axis=-1)
    return n, np.broadcast_to(reference.sum(axis=-1), n.shape)


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
