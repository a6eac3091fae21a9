"""Performance metrics of sums, each with its standard error and 95 % interval.

A metric is a ratio of two linear sums (accuracy, recall, MAE, Brier score, ...), or works on ranks (ROC-AUC, average
precision), or on moments (R2, RMSE, calibration error). Equal to scikit-learn on the same rows; metrics from bins of
the score are within `Sums`' bins of it: ROC-AUC within half the chance that a positive and a negative share a bin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Counts, Floats
from monitor.outcomes.sums import CLIP, Sums, Target
from monitor.words import STATISTIC_NAMES

#: Standard normal quantile of a two-sided 95 % interval.
Z95 = 1.959963984540054

#: What metrics are called for people; those of one class of many have its name behind theirs, in brackets.
METRICS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "specificity": "specificity",
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "ece": "calibration error",
    "brier": "Brier score",
    "log_loss": "log loss",
    "bias": "bias",
    "mae": "mean error (MAE)",
    "mse": "MSE",
    "rmse": "RMSE",
    "r2": "R2",
    "mape": "MAPE",
    "pinball": "pinball loss",
    "coverage": "coverage",
    "value": "business value",
    "score": "score",
}

#: Metrics that are estimated without outcomes too, as far as a model has them, and how such a statistic begins.
ESTIMABLE = (
    *("accuracy", "precision", "recall", "f1", "specificity", "value", "roc_auc", "brier", "log_loss"),
    *("bias", "mae", "mse", "rmse"),
)
ESTIMATED = "estimated "

#: Fewest hours that may have a step which is no dispersion, and fewest on each side of it.
STEP_HOURS, STEP_SIDE = 48, 4

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric of some rows.

    `error`: standard error, as of independent rows. `low`, `high`: 95 % interval. `n`: rows it rests on. `hits`,
    `trials`: of a share, its two counts (of F1: those of J = TP / (TP + FP + FN), F1 = 2 J / (1 + J)).
    """

    metric: str
    value: float
    error: float
    low: float
    high: float
    n: int
    better: Better
    hits: float | None = None
    trials: float | None = None


def metric_name(metric: str) -> str:
    """Return what people call a metric.

    >>> metric_name("f1"), metric_name("recall[setosa]"), metric_name("estimated mae")
    ('F1', 'recall of setosa', 'estimated mean error (MAE)')
    """
    name, _, of = metric.removeprefix(ESTIMATED).partition("[")
    return ESTIMATED * metric.startswith(ESTIMATED) + METRICS[name] + (f" of {of.removesuffix(']')}" if of else "")


def value_name(statistic: str) -> str:
    """Return what people call the value of a verdict: a statistic's, or by how much a metric is worse.

    >>> value_name("ks"), value_name("mae")
    ('K-S', 'mean error (MAE), worse by')
    """
    known = statistic.removeprefix(ESTIMATED).partition("[")[0] in METRICS
    return f"{metric_name(statistic)}, worse by" if known else STATISTIC_NAMES.get(statistic, statistic)


class Ratio(NamedTuple):
    """A metric as a ratio of sums over rows: numerator and denominator weights of the cells of a confusion matrix.

    `weights`: shape of the matrix (outcome class, predicted class). `share`: whether a numerator row is a hit of one
    denominator row. `f1`: whether the ratio J stands for 2 J / (1 + J).
    """

    above: Floats
    below: Floats
    share: bool = True
    f1: bool = False


def f1_of(ratio: float) -> float:
    """F1 from J = TP / (TP + FP + FN).

    >>> f1_of(0.5)
    0.6666666666666666
    """
    return 2 * ratio / (1 + ratio)


def wilson(hits: float, trials: float) -> tuple[float, float]:
    """95 % interval of a share by Wilson (1927).

    >>> [round(one, 4) for one in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, z2 = hits / trials, Z95**2
    middle = share + z2 / (2 * trials)
    half = Z95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, (middle - half) / (1 + z2 / trials)), min(1.0, (middle + half) / (1 + z2 / trials))


@lru_cache(maxsize=16)
def ratios(target: Target) -> Mapping[str, Ratio]:
    """Return the metrics of a classifier that follow from its confusion matrix, by name."""
    if not target.classified:
        return {}
    width = len(target.classes)
    shape = (width + 1, width)
    everything, diagonal = np.ones(shape), np.eye(*shape)
    out = {"accuracy": Ratio(diagonal, everything)}

    def of_class(code: int, ending: str) -> None:
        row, column = np.zeros(shape), np.zeros(shape)
        row[code], column[:, code] = 1, 1
        hit = row * column
        out["precision" + ending] = Ratio(hit, column)
        out["recall" + ending] = Ratio(hit, row)
        out["f1" + ending] = Ratio(hit, np.maximum(row, column), f1=True)

    if target.kind == "binary":
        of_class(target.positive, "")
        row = np.zeros(shape)
        row[1 - target.positive] = 1
        out["specificity"] = Ratio(row * diagonal, row)
    else:
        for code, name in enumerate(target.classes):
            of_class(code, f"[{name}]")
    if target.costs:
        value = np.zeros(shape)
        value[: len(target.costs)] = target.costs
        out["value"] = Ratio(value, everything, share=False)
    return out


def _mean(metric: str, total: float, squares: float, n: int, better: Better, unit: float = 1.0) -> Measure | None:
    """Mean of n rows from their sum and sum of squares, times a unit."""
    if n <= 0:
        return None
    mean = total / n
    error = unit * math.sqrt(max(squares / n - mean**2, 0.0) / max(n - 1, 1))
    return _normal(metric, mean * unit, error, n, better, -math.inf, math.inf)


def _ratio(metric: str, ratio: Ratio, confusion: Counts) -> Measure | None:
    cells = confusion.sum(axis=0).astype(float)
    above, below = float((ratio.above * cells).sum()), float((ratio.below * cells).sum())
    if below <= 0:
        return None
    if not ratio.share:
        return _mean(metric, above, float((ratio.above**2 * cells).sum()), round(below), "higher")
    low, high = wilson(above, below)
    value = above / below
    error = math.sqrt(value * (1 - value) / below)
    if ratio.f1:
        error *= 2 / (1 + value) ** 2
        value, low, high = f1_of(value), f1_of(low), f1_of(high)
    return Measure(metric, value, error, low, high, round(below), "higher", above, below)


def _normal(
    metric: str, value: float, error: float, n: int, better: Better = "higher", least: float = 0.0, most: float = 1.0
) -> Measure:
    """Return a metric with a normal interval, between the least and the largest value that it can have."""
    return Measure(metric, value, error, max(value - Z95 * error, least), min(value + Z95 * error, most), n, better)


def roc_auc(negatives: npt.NDArray[Any], positives: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Area under the ROC curve and its standard error, from counts by score bin in ascending order, shape (bins,).

    Rows of one bin count as ties. The error is that of DeLong, DeLong and Clarke-Pearson (1988) on the bins.

    >>> roc_auc(np.array([2, 2, 0]), np.array([0, 2, 2]))[0]
    0.875
    """
    n0, n1 = float(negatives.sum()), float(positives.sum())
    if not n0 or not n1:
        return None
    below = (np.cumsum(negatives) - negatives / 2) / n0
    above = (n1 - np.cumsum(positives) + positives / 2) / n1
    area = float((positives * below).sum() / n1)
    variance = float((positives * (below - area) ** 2).sum()) / (n1 * max(n1 - 1, 1))
    variance += float((negatives * (above - area) ** 2).sum()) / (n0 * max(n0 - 1, 1))
    return area, math.sqrt(variance)


def average_precision(negatives: Counts, positives: Counts) -> float | None:
    """Average precision from counts by score bin, ascending: the precision at the middle of each bin's positives."""
    n1 = float(positives.sum())
    if not n1:
        return None
    ahead = positives[::-1].cumsum() - positives[::-1] / 2
    behind = negatives[::-1].cumsum() - negatives[::-1] / 2
    precision = ahead / np.maximum(ahead + behind, 1e-300)
    return float((positives[::-1] * precision).sum() / n1)


def _calibration(rows: Floats, expected: Floats, came: Floats, n: int) -> Measure | None:
    """Expected calibration error: the mean distance of a bin's mean probability from the share that came true."""
    if n <= 0:
        return None
    held = rows > 0
    rows, gap = rows[held], (came[held] - expected[held])
    value = float(np.abs(gap).sum() / n)
    p = expected[held] / rows
    variance = rows * p * (1 - p)
    return _normal("ece", value, math.sqrt(float(variance.sum())) / n, n, "lower")


def calibration_z(sums: Sums) -> tuple[float, float]:
    """Two Z of the probabilities of a binary model, each standard normal if they are calibrated; 0 without any.

    The first sees that all are too low or too high (calibration in the large), the second that they are too bold or too
    timid (Spiegelhalter 1986), and each is nearly blind to the other.
    """
    target = sums.target
    if target.kind != "binary" or not target.scores:
        return 0.0, 0.0
    known = sums.confusion[:-1, :2].sum(axis=2)
    rows, expected = known.sum(axis=1), sums.binned("p")[:-1]
    level = float((expected * (1 - expected / np.maximum(rows, 1))).sum())
    tilt = sums.total("tilt2_var")
    gap = float(known[:, target.positive].sum() - expected.sum())
    return gap / math.sqrt(level) if level > 0 else 0.0, sums.total("gap_tilt") / math.sqrt(tilt) if tilt > 0 else 0.0


def _regression(sums: Sums) -> Iterator[Measure | None]:
    target, n = sums.target, sums.n
    unit, total = target.scale, sums.total
    yield _mean("bias", total("e"), total("e2"), n, "lower", unit)
    yield _mean("mae", total("abs_e"), total("e2"), n, "lower", unit)
    mse = _mean("mse", total("e2"), total("e4"), n, "lower", unit**2)
    yield mse
    if mse is not None:
        yield _root(mse)
    yield _r2(sums)
    yield _mean("mape", total("ape"), total("ape2"), round(total("ape_rows")), "lower")
    if target.quantile is not None:
        yield pinball(sums, target.quantile)
    rows = total("interval_rows")
    if target.interval is not None and rows:
        inside = total("inside")
        error = math.sqrt(inside / rows * (1 - inside / rows) / rows)
        yield Measure("coverage", inside / rows, error, *wilson(inside, rows), round(rows), "higher", inside, rows)


def _root(mse: Measure) -> Measure:
    """RMSE from MSE, with its error by the delta method."""
    root = math.sqrt(mse.value)
    error, low = mse.error / (2 * root) if root else 0.0, math.sqrt(max(mse.low, 0.0))
    return Measure("rmse", root, error, low, math.sqrt(mse.high), mse.n, "lower")


def pinball(sums: Sums, tau: float) -> Measure | None:
    """Pinball loss of the prediction as the quantile `tau`, between 0 and 1.

    With e = prediction - outcome the loss of a row is abs(e) / 2 + (1/2 - tau) e.
    """
    tilt, total = 0.5 - tau, sums.total
    squares = (0.25 + tilt**2) * total("e2") + tilt * total("abs_e_e")
    return _mean("pinball", total("abs_e") / 2 + tilt * total("e"), squares, sums.n, "lower", sums.target.scale)


def _r2(sums: Sums) -> Measure | None:
    """R2 = 1 - mean(e^2) / var(y), with a standard error by the delta method over e^2, y and y^2."""
    n = sums.n
    if n < 3:
        return None
    e2, e4, y1, y2, y3, y4, ye2, y2e2 = (
        sums.total(name) / n for name in ("e2", "e4", "y", "y2", "y3", "y4", "y_e2", "y2_e2")
    )
    variance = y2 - y1**2
    if variance <= 0:
        return None
    slope = e2 / variance**2
    gradient = np.array([-1 / variance, -2 * y1 * slope, slope])
    covariance = np.array(
        [
            [e4 - e2**2, ye2 - y1 * e2, y2e2 - y2 * e2],
            [ye2 - y1 * e2, variance, y3 - y1 * y2],
            [y2e2 - y2 * e2, y3 - y1 * y2, y4 - y2**2],
        ]
    )
    value = 1 - e2 / variance
    error = math.sqrt(max(float(gradient @ covariance @ gradient), 0.0) / n)
    return _normal("r2", value, error, n, least=-math.inf)


def _scores(sums: Sums) -> Iterator[Measure | None]:
    """Metrics of a classifier's probabilities."""
    target = sums.target
    if target.kind == "binary":
        by_bin = sums.confusion[:-1].sum(axis=2)
        negatives, positives = by_bin[:, 1 - target.positive], by_bin[:, target.positive]
        n = int(negatives.sum() + positives.sum())
        area = roc_auc(negatives, positives)
        if area is not None:
            yield _normal("roc_auc", *area, n)
        precision = average_precision(negatives, positives)
        if precision is not None and n > positives.sum():
            yield _logit("average_precision", precision, int(positives.sum()))
        rows = (negatives + positives).astype(float)
        yield _calibration(rows, sums.binned("p")[:-1], positives.astype(float), n)
    else:
        rows = sums.binned("rows")
        n = round(float(rows.sum()))
        areas = [area for ranks in sums.ranks if (area := roc_auc(ranks[0], ranks[1])) is not None]
        if areas and len(areas) == len(target.classes):
            error = math.sqrt(sum(error**2 for _, error in areas)) / len(areas)
            yield _normal("roc_auc", sum(area for area, _ in areas) / len(areas), error, n)
        yield _calibration(rows, sums.binned("p"), sums.binned("right"), n)
    yield _mean("brier", sums.total("brier"), sums.total("brier2"), n, "lower")
    yield _mean("log_loss", sums.total("log"), sums.total("log2"), n, "lower")


def _logit(metric: str, value: float, positives: int) -> Measure:
    """Return a metric with the interval of Boyd, Eng and Page (2013): normal on the logit scale, n = positives."""
    inside = min(max(value, 1e-9), 1 - 1e-9)
    middle, spread = math.log(inside / (1 - inside)), 1 / math.sqrt(positives * inside * (1 - inside))
    low, high = (0.5 + 0.5 * math.tanh((middle + sign * Z95 * spread) / 2) for sign in (-1, 1))
    error = math.sqrt(inside * (1 - inside) / positives)
    return Measure(metric, value, error, low, high, positives, "higher")


def _averages(sums: Sums, known: dict[str, Measure]) -> Iterator[Measure | None]:
    """Yield means over classes: balanced accuracy, and macro precision, recall and F1 of a multiclass model."""
    if sums.target.kind == "binary":
        both = [known[name] for name in ("recall", "specificity") if name in known]
        yield _average("balanced_accuracy", both, 2, sums.n)
        return
    for metric in ("precision", "recall", "f1"):
        of_classes = [known[name] for label in sums.target.classes if (name := f"{metric}[{label}]") in known]
        yield _average(f"macro_{metric}", of_classes, len(of_classes), sums.n)


def _average(metric: str, parts: Sequence[Measure], needed: int, n: int) -> Measure | None:
    if not parts or len(parts) < needed:
        return None
    error = math.sqrt(sum(part.error**2 for part in parts)) / len(parts)
    return _normal(metric, sum(part.value for part in parts) / len(parts), error, n)


def measure(sums: Sums) -> dict[str, Measure]:
    """Return every metric that the rows allow, by name; a metric without the rows it needs is left out.

    >>> target = Target("binary", ("no", "yes"))
    >>> from monitor.outcomes.sums import contribute
    >>> found = measure(contribute(target, np.array([[1.0], [1.0], [0.0]]), np.array([1.0, 0.0, 0.0])))
    >>> round(found["accuracy"].value, 3), found["recall"].value, found["precision"].value
    (0.667, 1.0, 0.5)
    """
    target = sums.target
    known: dict[str, Measure] = {}

    def take(measures: Iterable[Measure | None]) -> None:
        known.update({metric.metric: metric for metric in measures if metric is not None})

    if target.kind == "regression":
        take(_regression(sums))
    elif target.kind == "score":
        mean = _mean("score", sums.total("y"), sums.total("y2"), sums.n, "higher", target.scale)
        if mean is not None:
            take([_normal("score", mean.value + target.centre, mean.error, sums.n, "higher", -math.inf, math.inf)])
    else:
        take(_ratio(name, ratio, sums.confusion) for name, ratio in ratios(target).items())
        take(_averages(sums, known))
        if target.scores:
            take(_scores(sums))
    return known


#: The moment whose mean over rows a metric is, or follows from.
_MEANS = dict.fromkeys(("mse", "rmse", "r2"), "e2") | dict.fromkeys(("mae", "pinball"), "abs_e")
_MEANS |= dict.fromkeys(("brier", "ece"), "brier") | {"bias": "e", "log_loss": "log", "score": "y"}

#: Metrics of ranks and averages, for which the hours scatter as the accuracy does.
_LIKE_ACCURACY = ("roc_auc", "average_precision", "balanced_accuracy")


def linear_parts(sums: Sums, metric: str) -> tuple[float, float]:
    """Numerator and denominator of the ratio of sums that a metric is, or follows most closely."""
    name = "accuracy" if metric in _LIKE_ACCURACY or metric.startswith("macro_") else metric
    if ratio := ratios(sums.target).get(name):
        cells = sums.confusion.sum(axis=0)
        return float((ratio.above * cells).sum()), float((ratio.below * cells).sum())
    if name == "coverage":
        return sums.total("inside"), sums.total("interval_rows")
    if name == "mape":
        return sums.total("ape"), sums.total("ape_rows")
    return sums.total(_MEANS[name]), float(sums.n)


def _without_step(parts: Floats, residuals: Floats) -> Floats:
    """Residuals of both sides of the step that explains most, each at least `STEP_SIDE` hours long, to their own ratio.

    `parts`: numerator and denominator of each hour, shape (hours, 2).
    """
    below, sums = np.cumsum(parts[:, 1]), np.cumsum(residuals)
    inside = slice(STEP_SIDE - 1, len(parts) - STEP_SIDE)
    weights = (below * (below[-1] - below))[inside]
    gain = np.where(weights > 0, sums[inside] ** 2 / np.maximum(weights, 1e-300), 0.0)
    cut = STEP_SIDE + int(gain.argmax())
    sides = (parts[:cut], parts[cut:])
    return np.concatenate(
        [side[:, 0] - side[:, 0].sum() / max(side[:, 1].sum(), 1e-300) * side[:, 1] for side in sides]
    )


def dispersion(hours: Sequence[Sums], metric: str, measured: Measure) -> float:
    """By how much the variance of a metric exceeds that of independent rows, judged from its hours; at least 1."""
    parts = np.array([linear_parts(sums, metric) for sums in hours]).reshape(-1, 2)
    above, below = parts.sum(axis=0)
    if len(parts) < 4 or below <= 0:
        return 1.0
    alone = _independent(measured, metric, above / below)
    return max(1.0, clustered(parts) / alone) if alone > 0 else 1.0


def clustered(parts: Floats) -> float:
    """Variance of the ratio of two sums over hours. `parts`: both sums of each hour, shape (hours, 2); four or more.

    The hours are clusters of a ratio estimator, and neighbours are weighted as by Newey and West (1987) with
    L = floor(4 (W / 100)^(2/9)) lags, W hours. In two days or more, one step is left out: otherwise the very change
    that is looked for would count as dispersion (Crainiceanu and Vogelsang 2007).
    """
    above, below = parts.sum(axis=0)
    ratio = above / below
    residuals = parts[:, 0] - ratio * parts[:, 1]
    if len(parts) >= STEP_HOURS:
        residuals = _without_step(parts, residuals)
    lags = int(4 * (len(parts) / 100) ** (2 / 9))
    variance = float((residuals**2).sum())
    for lag in range(1, min(lags, len(parts) - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float((residuals[lag:] * residuals[:-lag]).sum())
    return variance * len(parts) / (len(parts) - 1) / float(below) ** 2


def _independent(measured: Measure, metric: str, ratio: float) -> float:
    """Variance of the ratio that `linear_parts` gives, as of independent rows."""
    if measured.trials:
        return ratio * (1 - ratio) / measured.trials
    if metric in _LIKE_ACCURACY or metric.startswith("macro_"):
        return ratio * (1 - ratio) / measured.n
    return math.inf if metric in ("ece", "r2", "rmse", "pinball") else measured.error**2


def bin_variance(mean: Floats, squares: Floats, n: Floats, share: bool = False) -> Floats:
    """Variance of rows by bin, from their mean and mean square. Few rows say little of it.

    In a bin of rows all alike a share counts half a row of the other kind (Jeffreys); of a number two more rows count
    with the variance of all bins.
    """
    variance: Floats = np.maximum(squares - mean**2, 0.0)
    if share:
        return np.where(variance > 0, variance, (n + 0.5) / (n + 1) ** 2 / 2)
    pooled = float((variance * n).sum()) / max(float(n.sum()), 1.0)
    return np.asarray((variance * n + 2 * pooled) / (n + 2))


def rows_by_bin(sums: Sums) -> tuple[Floats, Counts]:
    """Rows by bin as `weighted` takes them, shape (bins,), and their confusion, (bins, outcome class, predicted class).

    Of numbers the confusion means nothing.
    """
    target, confusion = sums.target, sums.confusion
    if target.kind == "regression":
        return sums.binned("rows"), confusion
    if not (target.kind == "binary" and target.scores):
        classes = np.arange(len(target.classes))
        confusion = confusion.sum(axis=0) * (classes == classes[:, None])[:, None, :]
    return confusion.sum(axis=(1, 2)).astype(float), confusion


#: What is estimated of numbers: sums of the mean and of its square by bin, and the power of the unit.
_OF_NUMBERS = {"bias": ("e", "e2", 1), "mae": ("abs_e", "e2", 1), "mse": ("e2", "e4", 2)}

#: What is estimated of probabilities, with the moment that is its sum.
OF_SCORES = {"brier": "brier", "log_loss": "log"}


def _scored_loss(sums: Sums, metric: str) -> tuple[Floats, Floats]:
    """Mean of a loss of probabilities and of its square, by bin of the score, from the calibration table.

    With p the mean score of a bin and c the share that came true it is c loss(p, 1) + (1 - c) loss(p, 0). What the
    scatter of the scores within bins adds is known for all rows together: each bin gets that mean.
    """
    by_bin = sums.confusion[:, :2].sum(axis=2)
    rows = by_bin.sum(axis=1)
    p, came = sums.binned("p") / np.maximum(rows, 1), by_bin[:, sums.target.positive] / np.maximum(rows, 1)
    right, wrong = (1 - p) ** 2, p**2
    if metric == "log_loss":
        right, wrong = (-np.log(np.clip(share, CLIP, 1 - CLIP)) for share in (p, 1 - p))
    mean, squares = (came * right**power + (1 - came) * wrong**power for power in (1, 2))
    within = (sums.total(OF_SCORES[metric]) - float((mean * rows)[:-1].sum())) / max(int(rows[:-1].sum()), 1)
    return mean + within, squares + 2 * within * mean + within**2


def parts_by_bin(sums: Sums, metric: str) -> tuple[Floats, Floats]:
    """Mean numerator and denominator of a row of each bin, of the ratio that a metric is."""
    n, confusion = rows_by_bin(sums)
    if metric in OF_SCORES:
        return _scored_loss(sums, metric)[0], np.ones(len(n))
    held = np.maximum(n, 1.0)
    if metric in _OF_NUMBERS:
        return sums.binned(_OF_NUMBERS[metric][0]) / held, np.ones(len(n))
    ratio, shares = ratios(sums.target)[metric], confusion / held[:, None, None]
    return (ratio.above * shares).sum(axis=(1, 2)), (ratio.below * shares).sum(axis=(1, 2))


def weighted(sums: Sums, rows: Counts, *, estimated: bool = False) -> tuple[dict[str, Measure], float]:
    """Metrics of `rows` if each bin does as well as in `sums`; and the share of the rows whose bin has outcomes.

    `rows`: shape (bins,), by score (binary with probabilities), by predicted class (other classifiers), or by predicted
    value (regression). Two uses. If `rows` are all predictions of the same hours, it corrects for outcomes that are
    known of a selection only (post-stratification); within a bin, whether an outcome is known must not depend on it. If
    `sums` are of held-out rows (`estimated`), it estimates without any outcome how well the model does on `rows`
    (confidence-based performance estimation); outcomes must follow from scores as before, and the error also has the
    sampling of `rows`. A bin without any outcome is left out.
    """
    target = sums.target
    n, confusion = rows_by_bin(sums)
    spoken = float(rows[n > 0].sum())
    weights = np.where(n > 0, rows, 0) / max(spoken, 1.0)
    held = np.maximum(n, 1.0)
    measures = {}

    def error_of(mean: Floats, squares: Floats, share: bool = False) -> float:
        variance = bin_variance(mean, squares, n, share)
        sampled = float((weights * variance).sum()) / max(spoken, 1.0) if estimated else 0.0
        return math.sqrt(float((weights**2 * variance / held).sum()) + sampled)

    if target.kind == "regression":
        for name, (first, second, power) in _OF_NUMBERS.items():
            mean, squares, unit = sums.binned(first) / held, sums.binned(second) / held, target.scale**power
            value, error = float((weights * mean).sum()) * unit, error_of(mean, squares) * unit
            measures[name] = _normal(name, value, error, sums.n, "lower", -math.inf, math.inf)
        measures["rmse"] = _root(measures["mse"])
        return measures, spoken / max(float(rows.sum()), 1.0)
    shares = confusion / held[:, None, None]
    for name, ratio in ratios(target).items():
        below = float((weights * (ratio.below * shares).sum(axis=(1, 2))).sum())
        if below <= 0:
            continue
        value = float((weights * (ratio.above * shares).sum(axis=(1, 2))).sum()) / below
        residual = ratio.above - value * ratio.below
        means, squares = (residual * shares).sum(axis=(1, 2)), (residual**2 * shares).sum(axis=(1, 2))
        error = error_of(means, squares, ratio.share) / below
        if ratio.f1:
            value, error = f1_of(value), error * 2 / (1 + value) ** 2
        bounds = (0.0, 1.0) if ratio.share else (-math.inf, math.inf)
        measures[name] = _normal(name, value, error, sums.n, "higher", *bounds)
    if target.kind == "binary" and target.scores:
        by_class = np.where(n > 0, rows, 0)[:, None] * shares.sum(axis=2)
        area = roc_auc(by_class[:-1, 1 - target.positive], by_class[:-1, target.positive])
        if area is not None:
            # The bins' shares were drawn too: as many rows again, of which each stands for several.
            error = area[1] * math.sqrt((spoken / max(sums.n, 1)) + (1.0 if estimated else 0.0))
            measures["roc_auc"] = _normal("roc_auc", area[0], error, sums.n)
        for name in OF_SCORES:
            mean, squares = _scored_loss(sums, name)
            value, error = float((weights * mean).sum()), error_of(mean, squares)
            measures[name] = _normal(name, value, error, sums.n, "lower", most=math.inf)
    return measures, spoken / max(float(rows.sum()), 1.0)
