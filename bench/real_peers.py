"""Run NannyML, Evidently and PSI on what bench.real wrote, in an environment of their own.

    PYTHON bench/real_peers.py GIVEN.pickle ANSWER.json

Chunks do not overlap and are as long as the windows. Answers the value over the threshold of each chunk: NannyML's
Jensen-Shannon distance and missing values with its own thresholds, Evidently's default test for the data at hand (with
`drift_share` per column), and Evidently's PSI with the usual 0.2.
"""

from __future__ import annotations

import json
import logging
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)


class NannyML:
    """Its two univariate calculators with the thresholds that they set themselves."""

    def __init__(self, given: Any, column: str, length: int) -> None:
        from nannyml.data_quality.missing import MissingValuesCalculator
        from nannyml.drift.univariate import UnivariateDriftCalculator

        self.length = length
        numeric = given["numeric"][column]
        kind = {"treat_as_numerical": ["x"]} if numeric else {"treat_as_categorical": ["x"]}
        self.drift = UnivariateDriftCalculator(["x"], timestamp_column_name="t", chunk_period="D", **kind)
        self.missing = MissingValuesCalculator(column_names=["x"], timestamp_column_name="t", chunk_period="D")
        rows = given["train_rows"]
        self.numeric = numeric
        frame = self.frame(given["columns"][column][:rows], given["hour"][:rows])
        self.drift.fit(frame)
        self.missing.fit(frame)

    def frame(self, values: Any, hour: Any) -> Any:
        """Chunks as days: the period of a chunk is whatever the calculator can group by."""
        series = pd.Series(values, dtype=float if self.numeric else object)
        return pd.DataFrame({"x": series, "t": pd.Timestamp("2000-01-01") + pd.to_timedelta(hour // self.length, "D")})

    def ratios(self, values: Any, hour: Any) -> list[list[float]]:
        """End of each chunk, and the value over its threshold."""
        frame = self.frame(values, hour)
        out: dict[int, float] = {}
        for calculator in (self.drift, self.missing):
            table = calculator.calculate(frame).filter(period="analysis").to_df()
            start, value, upper = (
                table[next(c for c in table.columns if c[-1] == part)]
                for part in ("start_date", "value", "upper_threshold")
            )
            for day, x, limit in zip(start, value, upper, strict=True):
                chunk = (pd.Timestamp(day).normalize() - pd.Timestamp("2000-01-01")).days
                if x is None or not np.isfinite(x):
                    continue
                limit = 0.0 if limit is None or not np.isfinite(limit) else limit
                ratio = min(float(x) / limit, 1e6) if limit > 0 else (1e6 if x > 0 else 0.0)
                out[chunk] = max(out.get(chunk, 0.0), ratio)
        return [[(chunk + 1) * self.length, ratio] for chunk, ratio in sorted(out.items())]


class Evidently:
    """`method`: None takes the default for the data at hand."""

    def __init__(self, given: Any, column: str, length: int, method: str | None = None, threshold: float | None = None):
        self.length, self.method, self.threshold = length, method, threshold
        self.kind = "num" if given["numeric"][column] else "cat"
        rows = given["train_rows"]
        self.reference = self.series(given["columns"][column][:rows])

    def series(self, values: Any) -> Any:
        """Values that are there."""
        return pd.Series(values, dtype=float if self.kind == "num" else object).dropna()

    def ratios(self, values: Any, hour: Any) -> list[list[float]]:
        """End of each chunk, and the value over its threshold."""
        from evidently.legacy.calculations.stattests import get_stattest

        chunks = hour // self.length
        out = []
        for chunk in np.unique(chunks):
            current = self.series(values[chunks == chunk])
            if len(current) < 2 or not len(self.reference):
                continue
            test = get_stattest(self.reference, current, self.kind, self.method)
            result = test(self.reference, current, self.kind, self.threshold)
            score, limit = float(result.drift_score), float(result.actual_threshold)
            distance = test.name not in P_VALUES
            ratio = score / limit if distance else np.log(max(score, 1e-300)) / np.log(limit)
            out.append([(int(chunk) + 1) * self.length, min(float(ratio), 1e6) if np.isfinite(ratio) else 0.0])
        return out


P_VALUES = ("ks", "z", "chisquare", "fisher_exact", "anderson", "cramer_von_mises", "mannw", "t_test", "g_test", "es")


def main() -> None:
    given = pickle.loads(Path(sys.argv[1]).read_bytes())
    makers: dict[str, Callable[[Any, str, int], NannyML | Evidently]] = {
        "NannyML": NannyML,
        "Evidently": Evidently,
        "PSI > 0.2": lambda g, c, w: Evidently(g, c, w, "psi", 0.2),
    }
    answer = {}
    hour = given["hour"]
    for name, make in makers.items():
        rules = {(c, w): make(given, c, w) for c in given["columns"] for w in given["lengths"]}
        clean: dict[str, dict[int, Any]] = {}
        live = hour >= given["live"]
        for (column, length), rule in rules.items():
            clean.setdefault(column, {})[length] = rule.ratios(given["columns"][column][live], hour[live])
        injected = []
        for column, at, day, good in given["changes"]:
            pair = []
            for which, values in enumerate((day, good)):
                series = {}
                for length in given["lengths"]:
                    begin = at // length * length  # from the beginning of the chunk in which it happens
                    until = at + (24 + length if which == 0 else 28 * 24)
                    first, change, last = np.searchsorted(hour, (begin, at, until // length * length))
                    whole = np.concatenate((given["columns"][column][first:change], values[: last - change]))
                    series[length] = (
                        rules[column, length].ratios(whole, hour[first : first + len(whole)]) if len(whole) else []
                    )
                pair.append(series)
            injected.append(pair)
        answer[name] = {"clean": clean, "injected": injected}
        print(f"{Path(sys.argv[1]).stem}: {name} done", file=sys.stderr, flush=True)
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
