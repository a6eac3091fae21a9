"""A model that can be asked: loaded, held against its reference, and asked in the form that it was fitted with.

A model that knows the names of its columns is right with a frame of them; an array, which is many times faster, is used
only if it gets the same answers. A model that answers in no form, or differently in two that are equally likely, is
refused: a start that fails is better than a wrong number.
"""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.columns.canonical import canonical
from monitor.columns.column import MAX_TEXT, MISSING, Column, Schema, clean_text
from monitor.config.settings import ModelConfig
from monitor.errors import InputError, ModelError
from monitor.models import facts
from monitor.models.asking import Fit, Rows, Trial, example_rows, find_form, match_inputs
from monitor.models.form import Form, floats_fit
from monitor.models.load import Loaded, first_line, load
from monitor.models.values import Values
from monitor.reference.file import Reference
from monitor.words import program

log = logging.getLogger(__name__)


class Model:
    """A fitted model, and the form in which it is asked. `version` names it in metrics, tables and messages.

    `values`: how a value of each feature reaches the model. `optional`: positions of the features that it drops.
    `ignored`: names of columns that it was fitted with and drops, and that the reference does not have. `classes`: if
    not empty, their probabilities are answered too. `example`: a row that it answers; empty if none is known.
    """

    def __init__(self, estimator: Any, form: Form, sha256: str = "", version: str = "") -> None:
        self.estimator, self.form = estimator, form
        self.sha256, self.version = sha256, version or sha256[:12]
        self.values: tuple[Values, ...] = ()
        self.optional: frozenset[int] = frozenset()
        self.ignored: frozenset[str] = frozenset()
        self.classes: tuple[str, ...] = ()
        self.features: tuple[Column, ...] = ()
        self.example: list[Any] = []
        self._sklearn = sys.modules.get("sklearn")

    def predict(self, rows: Any) -> list[Any]:
        """Predict rows, shape (n, features), in one call; a plain Python value for each. Raises what the model raises.

        The numbers of an array must be finite in single precision. Raises ModelError for an answer that is not one
        value a row, or not a finite number.
        """
        prepared = self.form(rows)
        with nullcontext() if type(rows) is np.ndarray else self._careful(prepared):
            return plain(np.asarray(self.estimator.predict(prepared)), len(rows))

    def answer(self, rows: Any) -> list[Sequence[Any]]:
        """Predict rows: a sequence of plain values for each prediction column. Raises as `predict` does."""
        return self._answer(self.form(rows), len(rows))

    def answer_columns(self, columns: Sequence[Any]) -> list[Sequence[Any]]:
        """`answer` for columns, each of shape (n,): floats, or canonical texts with None where a value is missing."""
        self._check_whole(columns)
        return self._answer(self.form.of_columns(columns), len(columns[0]))

    def raw(self, columns: Sequence[Any], proba: bool) -> tuple[Any, npt.NDArray[np.float64] | None]:
        """Return what `predict` and, if asked for, `predict_proba` give for columns. Raises what the model raises."""
        self._check_whole(columns)
        prepared = self.form.of_columns(columns)
        with self._careful(prepared), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names that an array does not have
            answers = self.estimator.predict(prepared)
            return answers, np.asarray(self.estimator.predict_proba(prepared), np.float64) if proba else None

    def _check_whole(self, columns: Sequence[Any]) -> None:
        """Refuse texts that were cut: the model would answer for other ones. Raises ModelError."""
        for column, values, block in zip(self.features, self.values, columns, strict=True):
            texts = () if values.kind != "text" or values.own or isinstance(block, np.ndarray) else block
            if any(text is not None and len(text) == MAX_TEXT and text[-13] == "…" for text in texts):
                raise ModelError(
                    f"column {column.name!r} holds texts of more than {MAX_TEXT} characters, and those of a file are "
                    "cut; work predictions out in Python: Reference.from_data(frame, model.predict(frame))"
                )

    def _answer(self, prepared: Any, count: int) -> list[Sequence[Any]]:
        with self._careful(prepared):
            answers = np.asarray(self.estimator.predict(prepared))
            shares = np.asarray(self.estimator.predict_proba(prepared), np.float64) if self.classes else None
        if shares is not None:
            if shares.shape != (count, len(self.classes)):
                raise ModelError(f"predict_proba answered shape {shares.shape} for {count} rows")
            return [plain(answers, count), *(plain(column, count) for column in shares.T)]
        if answers.ndim not in (1, 2) or len(answers) != count:
            raise ModelError(f"the model answered shape {answers.shape} for {count} rows")
        return [plain(column, count) for column in (answers.T if answers.ndim == 2 else [answers])]

    def _careful(self, prepared: Any) -> Any:
        """Have scikit-learn check its input again, unless it is known to be finite in single precision."""
        checked = isinstance(prepared, np.ndarray) and prepared.dtype.kind == "f" and floats_fit(prepared)
        if checked or self._sklearn is None:
            return nullcontext()
        return self._sklearn.config_context(assume_finite=False)

    def explain(self, rows: Any, error: BaseException) -> BaseException:
        """Find the value for which the model raised `error`: an InputError that names it, or else `error` itself.

        A value is to blame if it is missing or the reference has not seen it, and the model answers once it is another.
        """
        if isinstance(error, InputError) or not self.example:
            return error
        listed = rows.tolist() if isinstance(rows, np.ndarray) else [list(row) for row in rows]
        number, end = 0, len(listed)
        while end - number > 1:  # halve the rows that the model refuses together
            middle = (number + end) // 2
            number, end = (middle, end) if self.answers(listed[number:middle]) else (number, middle)
        row = listed[number]
        pairs = enumerate(zip(row, self.features, strict=True))
        suspects = [at for at, (value, column) in pairs if _strange(value, column)]
        if not suspects or self.answers([row]) or not self.answers([self._mended(row, suspects)]):
            return error
        at = suspects[0]
        for suspect in suspects:
            others = [other for other in suspects if other != suspect]
            if not self.answers([self._mended(row, others)]):
                at = suspect
                break
        shown = repr(clean_text(row[at])[:40] if isinstance(row[at], str) else row[at])[:60]
        what = "a missing value" if canonical(row[at]) == MISSING else shown
        where = f"column {self.features[at].name}"
        message = f"the model refuses {what}: {type(error).__name__}: {first_line(error)[:200]}"
        return InputError("refused_value", message, f"row {number}, {where}" if len(listed) > 1 else where, 422)

    def _mended(self, row: Sequence[Any], positions: Sequence[int]) -> list[Any]:
        return [self.example[at] if at in positions else value for at, value in enumerate(row)]

    def answers(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Tell whether the model answers some rows."""
        try:
            self.answer(rows)
        except (Exception, SystemExit):  # noqa: BLE001 - whether it answers is what is asked
            return False
        return True

    def refusals(self, missing: str, reference: Reference) -> Iterator[str]:
        """Say which values a server would answer with 422, given `[model] missing`."""
        features = reference.schema.features
        if missing == "refuse":
            yield 'a null or NaN in a feature gets 422: [model] missing = "refuse"'
            for column, counts in zip(features, reference.schema.split(reference.counts), strict=False):
                if absent := int(counts[column.missing_bin]):
                    rows = f"{column.name!r} is missing in {absent / counts.sum():.1%} of the reference's rows"
                    yield f'{rows}: missing = "allow" lets those through'
        elif names := self._refuses({at: math.nan if col.numeric else None for at, col in enumerate(features)}):
            yield f"the model refuses a missing value (422) in: {names}"
        texts = [at for at, values in enumerate(self.values) if values.kind == "text" and features[at].categories]
        if names := self._refuses(dict.fromkeys(texts, "__a_text_that_no_reference_has__")):
            yield f"the model refuses a category that it was not fitted with (422) in: {names}"

    def _refuses(self, values: dict[int, Any]) -> str:
        """Name the features for which the model does not answer a value, in a row that it otherwise answers."""
        rows = {at: [*self.example[:at], value, *self.example[at + 1 :]] for at, value in values.items()}
        return ", ".join(self.features[at].name for at, row in rows.items() if self.example and not self.answers([row]))


def _strange(value: Any, column: Column) -> bool:
    """Tell whether a reference may not have seen a value: its bins do not tell numbers apart."""
    text = canonical(value)
    return text == MISSING or column.numeric or text not in column.categories


def plain(answers: npt.NDArray[Any], count: int) -> list[Any]:
    """Return a plain Python value for each of `count` rows.

    Raises ModelError for what is neither a finite number nor a text.
    """
    if answers.shape != (count,):
        if answers.shape != (count, 1):
            raise ModelError(f"the model answered shape {answers.shape} for {count} rows")
        answers = answers[:, 0]
    kind, values = answers.dtype.kind, answers.tolist()
    if kind == "O":
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if kind not in "fiubU" and not all(isinstance(value, (str, int, float)) for value in values):
        raise ModelError(f"the model answered {type(values[0]).__name__}, which is neither a number nor a text")
    if kind == "f":
        finite = math.isfinite(values[0]) if count == 1 else bool(np.isfinite(answers).all())
    else:
        finite = kind != "O" or all(math.isfinite(value) for value in values if isinstance(value, float))
    if not finite:
        raise ModelError("the model answered a number that is not finite")
    return values  # type: ignore[no-any-return]


def open_model(config: ModelConfig, reference: Reference) -> Model:
    """Load `[model] path` and hold it against its reference. Raises ModelError in one sentence with a way out."""
    path, schema = Path(config.path), reference.schema
    loaded = load(path, reference.info.model_sha256, config.reference)
    fit = match_inputs(loaded, schema.features, config.reference)
    certain = all(column.edges or column.categories for column in schema.features)
    rows = example_rows(reference, fit.known)
    model, trial = join(loaded, schema.features, fit, rows, certain, config.reference)
    model.version = config.version or model.version
    if config.proba:
        model.classes = _proba_classes(model, schema, trial)
    if model.example:
        try:
            _check_answers(model, schema, path)
        except ModelError as error:
            if certain:
                raise
            # Of dates and identifiers the reference keeps no value to ask with.
            log.warning("%s; a column of dates or identifiers was empty for that", error)
            model.example = []
    return model


def join(
    loaded: Loaded, features: Sequence[Column], fit: Fit, rows: Rows, certain: bool, source: str
) -> tuple[Model, Trial]:
    """Find the form in which a loaded model answers some rows (see `find_form`); also return what it answered."""
    try:
        trial = find_form(loaded, features, fit, rows, certain, source)
    except ModelError:
        sure = {name: known for name, known in fit.known.items() if known.sure}
        if len(sure) == len(fit.known):
            raise
        trial = find_form(loaded, features, replace(fit, known=sure), rows, certain, source)
    if sklearn := sys.modules.get("sklearn"):
        # Values are checked before they come here; scikit-learn's own checks would double the time of a prediction.
        sklearn.set_config(assume_finite=True, skip_parameter_validation=True)
        # A model that was fitted with a frame gets an array if it answers the same; the order of columns is compared.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
    model = Model(loaded.estimator, trial.form, loaded.sha256)
    by_position = {read.source: read.values for read in trial.form.inputs}
    model.values = tuple(by_position[position] for position in range(len(features)))
    model.features, model.optional, model.ignored = tuple(features), fit.dropped, fit.ignored
    answered = (list(row) for row, answer in zip(rows, trial.answers, strict=True) if answer is not None)
    model.example = next(answered, [])
    return model, trial


def check_proba(estimator: Any, option: str) -> None:
    """Refuse a model that has no probabilities of classes; `option` asks for them. Raises ModelError."""
    if not facts.has_proba(estimator):
        raise ModelError(f"{option}: the model, a {facts.title(estimator)}, has no predict_proba(); leave it out")
    if facts.several_outputs(estimator):
        raise ModelError(f"{option}: the model has several outputs, each with classes of its own; leave it out")


def class_names(estimator: Any, shares: npt.NDArray[np.float64], answers: Sequence[Any]) -> list[str]:
    """Name the columns of `predict_proba`, shape (n, classes), by the model's classes, or by what was answered.

    A model that does not name its classes, such as an ONNX model without a ZipMap, shows them by its answers: the label
    of a row is the class with the largest probability. Raises ModelError if one is left without a name.
    """
    own = [canonical(label) for label in facts.labels(estimator)]
    if own:
        return own
    shown: dict[int, str] = {}
    for row, answer in zip(shares, answers, strict=True):
        label = canonical(answer)
        if shown.setdefault(int(row.argmax()), label) != label:
            raise ModelError("the label that the model answers is not the one with the largest probability")
    if len(shown) < shares.shape[-1]:
        raise ModelError("the model does not say which class each of its probabilities belongs to")
    return [shown[position] for position in range(shares.shape[-1])]


def _proba_classes(model: Model, schema: Schema, trial: Trial) -> tuple[str, ...]:
    """Return the classes whose probabilities the reference has, in the model's order. Raises ModelError."""
    option = "[model] proba = true"
    check_proba(model.estimator, option)
    pairs = [(answer, shares) for answer, shares in filter(None, trial.answers) if shares is not None]
    if not pairs:
        raise ModelError(f"{option}: predict_proba() of the model fails; leave it out")
    labels = [np.ravel(answer)[0] for answer, _ in pairs]
    try:
        classes = class_names(model.estimator, np.array([shares for _, shares in pairs]), labels)
    except ModelError as error:
        raise ModelError(f"{option}: {error}; leave it out") from None
    names = [column.name for column in schema.predictions[1:]]
    wanted = [f"proba_{label}" for label in classes]
    if names != wanted:
        raise ModelError(
            f"{option}: after the label, the reference's prediction columns must be {', '.join(wanted)}; "
            f"they are {', '.join(names) or 'none'}: `{program()} reference --proba` makes such a reference"
        )
    return tuple(classes)


def _check_answers(model: Model, schema: Schema, path: Path) -> None:
    """Hold what a model answers against the prediction columns of its reference. Raises ModelError."""
    try:
        columns = model.answer([model.example])
    except Exception as error:
        raise ModelError(f"{path}: {first_line(error)}") from error
    if len(columns) != len(schema.predictions):
        there = f"the reference has {len(schema.predictions)} prediction columns; make the reference for this model"
        raise ModelError(f"{path}: the model answers {len(columns)} values a row, and {there}")
    for column, values in zip(schema.predictions, columns, strict=True):
        if column.numeric and isinstance(values[0], str):
            raise ModelError(
                f"{path}: the model answers texts such as {values[0]!r}, and the reference has numbers in "
                f"{column.name!r}; make the reference for this model"
            )
