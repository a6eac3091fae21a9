"""Find the form in which a model has to be asked, by asking it in every form that could be right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from monitor.columns.column import Column
from monitor.errors import ModelError
from monitor.models import facts
from monitor.models.form import Array, Form, Frame, Input, Texts
from monitor.models.load import Loaded, first_line
from monitor.models.match import Fit
from monitor.models.onnx import OnnxModel
from monitor.models.values import Values, values_of

Rows = Sequence[Sequence[Any]]

#: One row's answer: what `predict` gave, and what `predict_proba` gave if the model has it.
Answer = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]


@dataclass(frozen=True)
class Asked:
    """A form, its inputs, and what a model answered in it: None for a row at which it raised, `error` first."""

    form: Form
    inputs: tuple[Input, ...]
    answers: list[Answer | None]
    error: BaseException | None = None

    @property
    def answered(self) -> int:
        """Number of rows that were answered."""
        return sum(one is not None for one in self.answers)

    def differs(self, other: Asked) -> int | None:
        """Return the first row that was answered differently in two forms; None if there is none."""
        pairs = enumerate(zip(self.answers, other.answers, strict=True))
        return next((at for at, (a, b) in pairs if a is not None and b is not None and not _same(a, b)), None)


def find_form(loaded: Loaded, features: Sequence[Column], fit: Fit, rows: Rows, certain: bool, source: str) -> Asked:
    """Find the form in which a model answers rows. Raises ModelError if there is none, or no single one.

    A model that was fitted with a frame is asked with one; an array is used instead only if it gets the same answers.
    `certain`: the rows hold values that the model was fitted with; if it answers none of them, it is refused. `source`:
    where they come from.
    """
    path, estimator = loaded.path, loaded.estimator
    pandas = None if isinstance(estimator, OnnxModel) else _pandas()
    numbers, texts = (_inputs(features, fit, as_text) for as_text in (False, True))
    readings = [numbers] if numbers == texts else [numbers, texts]
    plain = all(one.source is not None and one.values.plain for one in readings[0])
    known = any(one.category or one.whole for one in fit.known.values())
    framed = not isinstance(estimator, OnnxModel) and (fit.named or known)
    if framed and pandas is None and not plain:
        raise ModelError(f"{path}: the model was fitted with a frame of pandas, and needs one: pip install pandas")
    makers: list[Makes] = []
    if pandas is not None:
        makers = [lambda inputs: Frame(pandas, inputs), lambda inputs: Frame(pandas, inputs, as_category=True)]
    if pandas is None or not framed:
        single_text = len(features) == 1 and not features[0].numeric
        makers = [*([Texts] if single_text else []), Array, *makers]
    best = _first_that_answers(path, estimator, makers, readings, rows)
    if not best.answered:
        if certain:
            raise ModelError(
                f"{path}: the model answers no row of values from {source}: "
                f"{type(best.error).__name__}: {first_line(best.error)[:300]}"
            )
        return best
    if isinstance(best.form, Frame):
        # Whole numbers are whole in a frame too, for a model that writes them as texts: 5 is not 5.0 there.
        whole = tuple(replace(one, values=_as_whole(one, features)) for one in best.inputs)
        asked = _ask(estimator, lambda inputs: Frame(pandas, inputs), whole, rows)
        if asked.answered >= best.answered and best.differs(asked) is not None and not _random(estimator, best, rows):
            return asked
    if framed and plain and pandas is not None:
        array = _ask(estimator, Array, best.inputs, rows)
        return array if array.answered == len(rows) and best.differs(array) is None else best
    if isinstance(best.form, Array) and pandas is not None:
        frame = _ask(estimator, makers[-2], best.inputs, rows)
        at = best.differs(frame)
        if at is not None and not _random(estimator, best, rows):
            raise ModelError(
                f"{path}: the model answers an array and a frame of {list(rows[at])} differently, and does not say "
                "which it was fitted with; if it was a frame, set its feature_names_in_ to the names of the columns"
            )
    return best


#: Makes a form for some inputs.
Makes = Callable[[Sequence[Input]], Form]


def _first_that_answers(
    path: Path, estimator: Any, makers: Sequence[Makes], readings: Sequence[tuple[Input, ...]], rows: Rows
) -> Asked:
    """Ask in one kind of form after the other, until a model answers; what it answered, or the first failure.

    Raises ModelError if it answers differently for numbers and for texts that look like them.
    """
    failed = None
    for make in makers:
        asked = [_ask(estimator, make, inputs, rows) for inputs in readings]
        failed = failed or asked[0]
        answering = sorted((one for one in asked if one.answered), key=lambda one: -one.answered)
        if not answering:
            continue
        best = answering[0]
        if any(best.differs(one) is not None for one in answering[1:]) and not _random(estimator, best, rows):
            pairs = zip(*readings, strict=True)
            column = next(number.name for number, text in pairs if number != text)
            raise ModelError(
                f"{path}: the model answers differently for {column!r} as numbers and as texts, and does not say which "
                f"it was fitted with; declare the column numeric (--numeric {column}), or fit the model with texts "
                "that are no numbers"
            )
        return best
    assert failed is not None
    return failed


def _ask(estimator: Any, make: Makes, inputs: tuple[Input, ...], rows: Rows) -> Asked:
    """Ask a model some rows in a form: all at once, or one by one if that fails."""
    form = make(inputs)
    try:
        return Asked(form, inputs, list(_answers(estimator, form, rows)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whether it takes this form is what is asked
        first: BaseException = error
    answers: list[Answer | None] = []
    for row in rows:
        try:
            answers += _answers(estimator, form, [row])
        except (Exception, SystemExit):  # noqa: BLE001
            answers.append(None)
    return Asked(form, inputs, answers, first)


def _answers(estimator: Any, form: Form, rows: Rows) -> list[Answer]:
    prepared = form(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = np.asarray(estimator.predict(prepared))
        if answers.ndim < 1 or len(answers) != len(rows):
            raise ModelError(f"the model answered shape {answers.shape} for {len(rows)} rows")
        shares = None
        if facts.has_proba(estimator) and not facts.several_outputs(estimator):
            try:
                shares = np.asarray(estimator.predict_proba(prepared), dtype=np.float64)
            except Exception:  # noqa: BLE001 - such as that of an SVC which was fitted without probabilities
                shares = None
    return [(answers[at], None if shares is None else shares[at]) for at in range(len(rows))]


def _same(one: Answer, other: Answer) -> bool:
    (a, p), (b, q) = one, other
    return _equal(np.asarray(a), np.asarray(b)) and (p is None or q is None or _equal(p, q))


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind == b.dtype.kind == "f":
        single = min(a.dtype.itemsize, b.dtype.itemsize) < 8
        return bool(np.allclose(a, b, rtol=1e-6 if single else 1e-9, atol=1e-12, equal_nan=True))
    return bool(a.tolist() == b.tolist())


def _random(estimator: Any, asked: Asked, rows: Rows) -> bool:
    """Tell whether a model answers the same rows differently each time."""
    return asked.differs(_ask(estimator, lambda _: asked.form, asked.inputs, rows)) is not None


def _inputs(features: Sequence[Column], fit: Fit, as_text: bool) -> tuple[Input, ...]:
    """What reaches each input. `as_text`: take numbers among categories for texts, if the model does not say."""
    return tuple(
        Input(name, position, UNUSED)
        if position is None
        else Input(name, position, values_of(features[position], fit.known.get(features[position].name), as_text))
        for name, position in fit.inputs
    )


#: An input that the model drops and the reference does not have.
UNUSED = Values("number", numeric=True)


def _as_whole(one: Input, features: Sequence[Column]) -> Values:
    """The values of an input as whole numbers, if the reference has seen no others."""
    column = features[one.source] if one.source is not None else None
    if column is None or not one.values.plain or not column.means:
        return one.values
    pairs = zip(column.means, column.spreads, strict=True)
    whole = all(
        spread == 0 and (mean.is_integer() or at in (0, len(column.edges))) for at, (mean, spread) in enumerate(pairs)
    )
    return replace(one.values, whole=True) if whole else one.values


def _pandas() -> Any:
    """Return the library, which is no dependency, or None."""
    try:
        return import_module("pandas")
    except ImportError:
        return None
