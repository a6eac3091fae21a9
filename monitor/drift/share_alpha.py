"""How the error probability of one evaluation is shared out over its tests: Holm (1979)."""

from __future__ import annotations

import numpy as np

from monitor.columns.column import Floats


def holm_level(p_values: Floats, alpha: float) -> float:
    """Return the one level that every p-value is compared with (p <= level: significant).

    Holm's step-down procedure compares the k-th smallest of T p-values with alpha / (T - k + 1) and stops at the first
    that is larger. If R are significant by that, the level alpha / (T - R) (alpha, where all are) divides them from
    the others just so. The probability of any false alarm is alpha at most, however the tests depend on each other.

    >>> holm_level(np.array([0.9, 0.2, 0.4, 0.6]), 0.1)
    0.025
    >>> round(holm_level(np.array([0.001, 0.03, 0.4, 0.6]), 0.1), 4)  # 0.001 <= 0.1/4, 0.03 <= 0.1/3, 0.4 > 0.1/2
    0.05
    """
    ordered = np.sort(p_values)
    total = ordered.size
    passed = ordered <= alpha / (total - np.arange(total))
    rejected = total if passed.all() else int(np.argmin(passed))
    return float(alpha / max(total - rejected, 1))
