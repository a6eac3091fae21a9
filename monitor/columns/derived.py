"""Derived columns: counted, but not captured. A pure function works each out from the captured values, at the fold.

A column's `Derivation` is written into the reference file with its bins, so what was counted can be worked out again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Derives one value a record from the captured columns that it names, shape (columns, n), and the parameters: shape
#: (n,), of each record by itself. A number, or the index of a category; NaN is missing. Must not raise.
Function = Callable[[npt.NDArray[np.float64], tuple[float, ...]], npt.NDArray[np.float64]]

#: The functions by the name that a reference file calls them.
FUNCTIONS: dict[str, Function] = {}


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a derived column is worked out. `of`: positions in the schema of the captured columns that it is made of."""

    function: str
    of: tuple[int, ...]
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS)) or "none"
            raise ValueError(f"this version has no function {self.function!r} that derives a column; it has: {known}")

    def values(self, captured: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Work the column out, shape (n,), from the captured columns, shape (columns, n)."""
        return FUNCTIONS[self.function](captured[list(self.of)], self.parameters)
