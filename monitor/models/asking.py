"""Match a model's inputs with a reference's features, and find the form in which the model has to be asked.

The model is asked rows of values that the reference has seen, in every form that could be right.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from monitor.columns.canonical import Codes, canonical, column_name
from monitor.columns.column import MISSING, Column, Counts
from monitor.errors import ModelError
from monitor.models import facts
from monitor.models.facts import Known
from monitor.models.form import Array, Form, Frame, Input, Texts
from monitor.models.load import Loaded, first_line
from monitor.models.onnx import OnnxModel
from monitor.models.values import Values, as_number, values_of
from monitor.reference.bin_edges import between
from monitor.reference.file import Reference

Rows = Sequence[Sequence[Any]]

#: One row's answer: what `predict` gave, and what `predict_proba` gave if the model has it.
Answer = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]

#: Makes a form for some inputs.
Makes = Callable[[Sequence[Input]], Form]

#: Rows that a model is asked: enough for each category of most columns, and few enough for any model.
ROWS = 32

#: What a model is asked with in a column of dates, of which a reference keeps no value.
A_DATE = "2026-01-02"


@dataclass(frozen=True)
class Fit:
    """How the inputs of a model and the features of a reference belong together.

    `inputs`: name and position of the feature for each. `named`: whether the names are the model's own. `known`: by
    feature. `dropped`: positions of features that the model drops; `ignored`: names of inputs without a feature.
    """

    inputs: tuple[tuple[str, int | None], ...]
    named: bool
    known: Mapping[str, Known]
    dropped: frozenset[int]
    ignored: frozenset[str]


def match_inputs(loaded: Loaded, features: Sequence[Column], reference: str) -> Fit:
    """Match the model's inputs with the reference's features, by name if the model knows names. Raises ModelError."""
    path, estimator = loaded.path, loaded.estimator
    own = [column.name for column in features]
    names, unused = facts.inputs(estimator), facts.dropped(estimator)
    pairs = _pairs(names, own)
    if all(position is None for _, position in pairs):  # no names in common, or none at all: by position
        width = facts.width(estimator) if names is None else len(names)
        if width not in (None, len(own)):
            raise ModelError(f"{path}: the model takes {width} features, but {reference} has {len(own)}")
        pairs = list(zip(names or own, range(len(own)), strict=True))
    for at, (name, position) in enumerate(pairs):
        if position is None and at not in unused:
            raise ModelError(f"{path}: the model needs the column {name!r}, which {reference} does not have")
    if further := set(range(len(own))) - {position for _, position in pairs}:
        name = own[min(further)]
        raise ModelError(
            f"{path}: {reference} has the feature {name!r}, which the model was not fitted with; "
            f"make the reference without it: --ignore {name}"
        )
    known = _known(loaded, features, pairs, reference)
    dropped = frozenset(position for at, (_, position) in enumerate(pairs) if at in unused and position is not None)
    ignored = frozenset(column_name(name) for name, position in pairs if position is None)
    return Fit(tuple(pairs), names is not None, known, dropped, ignored)


def _pairs(names: Sequence[str] | None, own: Sequence[str]) -> list[tuple[str, int | None]]:
    """The model's names, each with the position of the feature of that name, if there is one."""
    # Names are compared as the reference writes them; LightGBM writes others for those with spaces.
    spelled = {name.replace(" ", "_"): position for position, name in enumerate(own) if " " in name}
    spelled |= {name: position for position, name in enumerate(own)}
    return [(name, spelled.get(column_name(name))) for name in names or ()]


def _known(
    loaded: Loaded, features: Sequence[Column], pairs: Sequence[tuple[str, int | None]], reference: str
) -> dict[str, Known]:
    """What the model knows of features, by name, without guesses that do not fit the reference. Raises ModelError."""
    try:
        known = facts.knowledge(loaded.estimator, [name for name, _ in pairs])
    except ModelError as error:
        raise ModelError(f"{loaded.path}: {error}") from None
    fitting = {}
    for name, position in pairs:
        if position is not None and name in known:
            column = features[position]
            if _agrees(column, known[name]):
                fitting[column.name] = known[name]
            elif known[name].sure:
                texts = sorted(set(map(canonical, known[name].values)) - {MISSING})
                raise ModelError(
                    f"{loaded.path}: the model knows {column.name!r} as {', '.join(map(repr, texts[:3]))}, and "
                    f"{reference} as {', '.join(map(repr, column.categories[:3]))}; make the reference from the "
                    "model's training data"
                )
    return fitting


def _agrees(column: Column, known: Known) -> bool:
    """Tell whether a model was fitted with a category that the reference has, in any spelling.

    Texts are held as they are against texts that something in the model may have written.
    """
    texts, codes = [text for text in map(canonical, known.values) if text != MISSING], Codes(column.categories)
    if known.dtype == "onnx" or not texts or not column.categories:
        return True
    if not known.sure and all(isinstance(value, str) for value in known.values if canonical(value) != MISSING):
        return any(text in codes.exact for text in texts)
    return any(codes.find(text) is not None for text in texts)


def example_rows(reference: Reference, known: Mapping[str, Known], rows: int = ROWS) -> list[list[Any]]:
    """Return rows of values that the reference has seen, shape (rows, features), no two columns in step.

    `known`: what the model knows of its columns, by the reference's names. A column of which no value is known, one of
    dates or identifiers, is 0 or a date throughout.
    """
    random = np.random.default_rng(0)
    columns = []
    for column, counts in zip(reference.schema.features, reference.schema.split(reference.counts), strict=False):
        values = seen_values(column, counts, known.get(column.name, Known()))
        if len(values) > rows:
            values = [values[position] for position in np.linspace(0, len(values) - 1, rows).astype(int).tolist()]
        columns.append([values[position % len(values)] for position in random.permutation(rows).tolist()])
    return [list(row) for row in zip(*columns, strict=True)]


def seen_values(column: Column, counts: Counts, known: Known) -> list[Any]:
    """Return values that the reference has seen in a column: a short number of each bin that has rows, or categories.

    A model that was fitted with certain numbers, as an encoder is, knows them better than the bins.
    """
    if not column.numeric:
        return [text for text, rows in zip(column.categories, counts, strict=False) if rows] or [A_DATE]
    bins = np.flatnonzero(counts[: column.value_bins]).tolist()
    if known.dtype != "onnx":
        own = {as_number(canonical(value)) for value in known.values}
        numbers = sorted(float(number) for number in own if isinstance(number, (int, float)) and math.isfinite(number))
        if inside := [number for number in numbers if int(np.searchsorted(column.edges, number)) in bins]:
            return inside
    return [_of_bin(column, position) for position in bins if column.edges] or [0.0]


def _of_bin(column: Column, position: int) -> float:
    """The only value of a bin, or else a number in it with few digits."""
    if column.bin_spreads[position] == 0 or position in (0, len(column.edges)):
        return column.bin_means[position]
    low, high = column.edges[position - 1 : position + 1]
    middle = float(round(low / 2 + high / 2))
    return middle if low < middle <= high else between(low, high)


@dataclass(frozen=True)
class Trial:
    """A form, and how a model answered rows in it: None for a row at which it raised. `error`: the first it raised."""

    form: Form
    answers: list[Answer | None]
    error: BaseException | None = None

    @property
    def answered(self) -> int:
        """Number of rows that were answered."""
        return sum(answer is not None for answer in self.answers)

    def differs(self, other: Trial) -> int | None:
        """Return the first row that was answered differently in two forms; None if there is none."""
        pairs = enumerate(zip(self.answers, other.answers, strict=True))
        return next((at for at, (a, b) in pairs if a is not None and b is not None and not _same(a, b)), None)


def find_form(loaded: Loaded, features: Sequence[Column], fit: Fit, rows: Rows, certain: bool, source: str) -> Trial:
    """Find the form in which a model answers rows. Raises ModelError if there is none, or no single one.

    The first form that it answers is compared with others that it might have been fitted with. `certain`: the rows hold
    values that the model was fitted with; if it answers none of them, it is refused. `source`: where they come from.
    pandas takes 65 MB, and is loaded only if the model may see a difference.
    """
    path, estimator = loaded.path, loaded.estimator
    is_onnx = isinstance(estimator, OnnxModel)
    pandas = not is_onnx and find_spec("pandas") is not None
    readings = [_inputs(features, fit, as_text) for as_text in (False, True)]
    if readings[0] == readings[1]:
        del readings[1]
    plain = all(read.source is not None and read.values.plain for read in readings[0])
    as_pandas_has_them = any(known.category or known.whole for known in fit.known.values())
    fitted_with_frame = not is_onnx and (fit.named or as_pandas_has_them)
    if fitted_with_frame and not pandas and not plain:
        raise ModelError(f"{path}: the model was fitted with a frame of pandas, and needs one: pip install pandas")
    frame_is_array = plain and facts.takes_frames_as_arrays(estimator)
    arrays = frame_is_array or not (pandas and fitted_with_frame)
    best = _first_that_answers(path, estimator, _makers(features, arrays, pandas), readings, rows)
    if not best.answered:
        if certain:
            why = f"{type(best.error).__name__}: {first_line(best.error)[:300]}"
            raise ModelError(f"{path}: the model answers no row of values from {source}: {why}")
    elif isinstance(best.form, Frame):
        best = _better_than_frame(estimator, best, features, rows, try_array=fitted_with_frame and plain)
    elif isinstance(best.form, Array) and pandas and not frame_is_array:
        _compare_with_frame(path, estimator, best, rows)
    return best


def _makers(features: Sequence[Column], arrays: bool, frames: bool) -> list[Makes]:
    """What makes the forms to try, the likeliest first. `arrays`, `frames`: which of them may be right."""
    makers: list[Makes] = []
    if arrays:
        single_text = len(features) == 1 and not features[0].numeric
        makers += [Texts, Array] if single_text else [Array]
    if frames:
        makers += [
            Frame,
            lambda inputs: Frame(inputs, as_category=True),
            lambda inputs: Frame(inputs, as_dates=True),
            lambda inputs: _frame_of_whole(inputs, features),
        ]
    return makers


def _frame_of_whole(inputs: Sequence[Input], features: Sequence[Column]) -> Frame:
    """A frame in which whole numbers are whole: 5 is not 5.0 to a model that writes numbers as texts."""
    return Frame([_as_whole(read, features) for read in inputs])


def _better_than_frame(
    estimator: Any, frame: Trial, features: Sequence[Column], rows: Rows, *, try_array: bool
) -> Trial:
    """A frame of whole numbers if a model answers those differently; an array, which is faster, if it answers the same.

    Otherwise the frame. `try_array`: all its values are plain numbers.
    """
    whole = _try_form(estimator, _frame_of_whole(frame.form.inputs, features), rows)
    if whole.answered >= frame.answered and _first_difference(estimator, frame, whole, rows) is not None:
        return whole
    array = _try_form(estimator, Array(frame.form.inputs), rows) if try_array else None
    return array if array and array.answered == len(rows) and frame.differs(array) is None else frame


def _compare_with_frame(path: Path, estimator: Any, array: Trial, rows: Rows) -> None:
    """Raise ModelError if a model, which does not say what it was fitted with, answers a frame differently."""
    at = _first_difference(estimator, array, _try_form(estimator, Frame(array.form.inputs), rows), rows)
    if at is not None:
        raise ModelError(
            f"{path}: the model answers an array and a frame of {list(rows[at])} differently, and does not say "
            "which it was fitted with; if it was a frame, set its feature_names_in_ to the names of the columns"
        )


def _first_that_answers(
    path: Path, estimator: Any, makers: Sequence[Makes], readings: Sequence[tuple[Input, ...]], rows: Rows
) -> Trial:
    """Ask in one kind of form after the other, until a model answers; what it answered, or the first failure.

    Raises ModelError if it answers differently for numbers and for texts that look like them.
    """
    failed = []
    for make in makers:
        trials = [_try_form(estimator, make(inputs), rows) for inputs in readings]
        best = max(trials, key=lambda trial: trial.answered)
        if not best.answered:
            failed.append(trials[0])
            continue
        others = (trial for trial in trials if trial is not best)
        if any(_first_difference(estimator, best, other, rows) is not None for other in others):
            pairs = zip(*readings, strict=True)
            column = next(number.name for number, text in pairs if number != text)
            raise ModelError(
                f"{path}: the model answers differently for {column!r} as numbers and as texts, and does not say which "
                f"it was fitted with; declare the column numeric (--numeric {column}), or fit the model with texts "
                "that are no numbers"
            )
        return best
    return failed[0]


def _try_form(estimator: Any, form: Form, rows: Rows) -> Trial:
    """Ask a model some rows in a form: all at once, or one by one if that fails."""
    try:
        return Trial(form, list(_answers(estimator, form, rows)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whether it takes this form is what is asked
        first: BaseException = error
    answers: list[Answer | None] = []
    for row in rows:
        try:
            answers += _answers(estimator, form, [row])
        except (Exception, SystemExit):  # noqa: BLE001
            answers.append(None)
    return Trial(form, answers, first)


def _answers(estimator: Any, form: Form, rows: Rows) -> list[Answer]:
    prepared = form(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = np.asarray(estimator.predict(prepared))
        if answers.ndim < 1 or len(answers) != len(rows):
            raise ModelError(f"the model answered shape {answers.shape} for {len(rows)} rows")
        shares = None
        if facts.has_proba(estimator) and not facts.several_outputs(estimator):
            with suppress(Exception):  # such as that of an SVC which was fitted without probabilities
                shares = np.asarray(estimator.predict_proba(prepared), dtype=np.float64)
    return [(answers[at], None if shares is None else shares[at]) for at in range(len(rows))]


def _first_difference(estimator: Any, best: Trial, other: Trial, rows: Rows) -> int | None:
    """Return the first row that the form makes a difference to; None if a second try in one form differs too."""
    at = best.differs(other)
    return None if at is None or best.differs(_try_form(estimator, best.form, rows)) is not None else at


def _same(first: Answer, second: Answer) -> bool:
    (answer, shares), (other, other_shares) = first, second
    if shares is not None and other_shares is not None and not _equal(shares, other_shares):
        return False
    return _equal(np.asarray(answer), np.asarray(other))


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.shape == b.shape and a.dtype.kind == b.dtype.kind == "f":
        single = min(a.dtype.itemsize, b.dtype.itemsize) < 8
        return bool(np.allclose(a, b, rtol=1e-6 if single else 1e-9, atol=1e-12, equal_nan=True))
    return a.shape == b.shape and bool(a.tolist() == b.tolist())


def _inputs(features: Sequence[Column], fit: Fit, as_text: bool) -> tuple[Input, ...]:
    """What reaches each input. `as_text`: take numbers among categories for texts, if the model does not say."""

    def values(position: int | None) -> Values:
        if position is None:
            return Values("number", numeric=True)
        return values_of(features[position], fit.known.get(features[position].name), as_text)

    return tuple(Input(name, position, values(position)) for name, position in fit.inputs)


def _as_whole(read: Input, features: Sequence[Column]) -> Input:
    """Make the values of an input whole numbers, if the reference has seen no others."""
    column = features[read.source] if read.source is not None else None
    if column is None or not read.values.plain or not column.means:
        return read
    ends = (0, len(column.edges))
    pairs = enumerate(zip(column.means, column.spreads, strict=True))
    whole = all(spread == 0 and (mean.is_integer() or at in ends) for at, (mean, spread) in pairs)
    return replace(read, values=replace(read.values, whole=True)) if whole else read
