"""Recorded evaluations as a backtest takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.backtest.events import Backtest, Moment, play
from monitor.drift.result import DriftResult
from monitor.rules.rule import Rule


def backtest(
    evaluations: Iterable[tuple[float, Sequence[DriftResult]]], rules: Sequence[Rule], every: float
) -> Backtest:
    """Let the rules run over recorded evaluations, in order of time."""
    return play((recorded(at, results) for at, results in evaluations), rules, every)


def recorded(at: float, results: Sequence[DriftResult]) -> Moment:
    quiet = all(result.state != "drift" for result in results)
    return Moment(at, quiet, len(results), sum(result.value is not None for result in results), lambda: results)
