"""Models that misbehave, to be pickled: each doubles the first feature, unless that is one of the numbers below."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

RAISE, NAN, SHAPE, LEAVE, HANG, ODD = 101.0, 102.0, 103.0, 104.0, 105.0, 106.0


class Moody:
    """Misbehaves where a row begins with one of the numbers above."""

    n_features_in_ = 2

    def __init__(self, labels: list[Any] | None = None, slow: float = 0.0) -> None:
        self.labels, self.slow = labels, slow

    def predict(self, rows: Any) -> Any:
        rows = np.asarray(rows, dtype=float)
        first = float(rows[0, 0])
        if first == RAISE:
            raise RuntimeError("the model is in a bad mood")
        if first == LEAVE:
            sys.exit(7)
        if first == HANG:
            time.sleep(float(os.environ.get("HANG", "60")))
        if self.slow:
            time.sleep(self.slow)
        if first == NAN:
            return np.full(len(rows), np.nan)
        if first == SHAPE:
            return rows
        if first == ODD:
            return np.array([object()] * len(rows), dtype=object)
        if self.labels is not None:
            return np.array(self.labels)[np.mod(np.floor(np.nan_to_num(rows[:, 0])), len(self.labels)).astype(int)]
        return rows[:, 0] * 2


class Steady:
    """Never misbehaves, whatever number it is given: one of two labels by the sign of the first feature."""

    def predict(self, rows: Any) -> Any:
        return np.where(np.asarray(rows, dtype=float)[:, 0] > 0, 1.0, 2.0)


class Times:
    """Multiplies the first feature: the answer tells which one it was."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, rows: Any) -> Any:
        return np.asarray(rows, dtype=float)[:, 0] * self.factor
