"""Which columns of a file are features of the model, and which are declared to be what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from monitor.columns.canonical import column_name
from monitor.columns.column import Kind
from monitor.config.settings import did_you_mean
from monitor.errors import DataError
from monitor.models import facts
from monitor.models.load import Loaded
from monitor.reference.profile import Limits


@dataclass(frozen=True)
class Aim:
    """How outcomes are to be judged. Of two classes precision and recall speak of `positive`.

    `interval`: names of the predictions that are the lower and the upper bound. `quantile`: which one a number is a
    prediction of. `costs`: business value by class that came true and class predicted. `score`: outcomes are rewards,
    and are compared with nothing.
    """

    positive: str | None = None
    interval: tuple[str, ...] = ()
    quantile: float | None = None
    costs: tuple[tuple[str, str, float], ...] = ()
    score: bool = False


@dataclass(frozen=True)
class Request:
    """What the person asked for, as `telltale reference --help` has it; names of columns are canonical.

    `database`: URL of what holds the table that `data` then names; None for a file.
    """

    data: Path
    model: Path | None = None
    predictions: Sequence[str] = ()
    proba: bool = False
    target: str | None = None
    time: str | None = None
    holdout: Path | None = None
    aim: Aim = field(default_factory=Aim)
    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    ignore: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    skip_bad_rows: bool = False
    output: Path = Path("histogram.prom")
    force: bool = False
    database: str | None = None
    approximate: bool = False


@dataclass(frozen=True)
class Selection:
    """Columns of the file that are features, in the order of the model's input, and the others with the reason."""

    features: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def select(names: Sequence[str], request: Request, model: Loaded | None) -> Selection:
    """Choose the features among the columns of the file. Raises DataError where they do not fit the model."""
    _check_options(names, request)
    inputs = inputs_of(model) if model else None
    features: list[str] = []
    left_out: list[tuple[str, str]] = []
    for name in names:
        glob = next((glob for glob in request.ignore if fnmatchcase(name, glob)), None)
        if name == request.target:
            left_out.append((name, "the target"))
        elif name == request.time:
            left_out.append((name, "the time of each row"))
        elif glob is not None:
            left_out.append((name, f"--ignore {glob}"))
        elif inputs is not None and name not in inputs:
            left_out.append((name, "not an input of the model"))
        elif name not in request.predictions:
            features.append(name)
    if model:
        features = _as_the_model_wants(features, names, model, request)
    if not features:
        raise DataError(f"{request.data}: no column is left as a feature")
    return Selection(tuple(features), tuple(left_out))


def declared_kinds(request: Request, features: Sequence[str], model: Loaded | None) -> dict[str, Kind]:
    """Kinds by column that the person declared, or else the model: it may know a column of numbers as categories.

    Raises DataError for a name that can be no column.
    """
    kinds: dict[str, Kind] = {}
    listed: dict[Kind, Sequence[str]] = {"categorical": request.categorical, "numeric": request.numeric}
    names = (*features, *request.predictions)
    for kind, declared in listed.items():
        for name in declared:
            answer = request.model is not None and name.startswith(("prediction", "proba_"))
            if name not in names and not answer:
                raise DataError(f"--{kind} {name}: is no column that is watched; those are {list_names(names)}")
            if kinds.setdefault(name, kind) != kind:
                raise DataError(f"column {name!r} is declared both categorical and numeric")
    known = facts.knowledge(model.estimator, facts.inputs(model.estimator) or features) if model else {}
    for name, facts_of in known.items():
        texts = facts_of.sure and any(isinstance(value, str) for value in facts_of.values)
        if name in features and (facts_of.category or facts_of.whole or texts):
            kinds.setdefault(name, "categorical")
    return kinds


def inputs_of(model: Loaded) -> list[str] | None:
    """Canonical names of the model's inputs; None if it knows no names."""
    names = facts.inputs(model.estimator)
    return None if names is None else [column_name(name) for name in names]


def _check_options(names: Sequence[str], request: Request) -> None:
    named = ("--target", request.target), ("--time", request.time)
    for option, wanted in (*named, *(("--prediction", name) for name in request.predictions)):
        if wanted is not None and wanted not in names:
            raise no_column(option, wanted, request.data, names)
    if request.target in request.predictions:
        raise DataError(f"--target {request.target}: is also named by --prediction; it cannot be both")
    for glob in request.ignore:
        if not any(fnmatchcase(name, glob) for name in names):
            raise DataError(f"--ignore {glob}: matches no column of {request.data}; it has {list_names(names)}")


def no_column(option: str, wanted: str, data: Path, names: Sequence[str]) -> DataError:
    """Return the error for an option that names a column which the data do not have."""
    hint = did_you_mean(wanted, names) or f"; it has {list_names(names)}"
    return DataError(f"{option} {wanted}: {data} has no such column{hint}")


def _as_the_model_wants(features: list[str], names: Sequence[str], model: Loaded, request: Request) -> list[str]:
    """The features in the model's own order, or in that of the data if it has no names."""
    inputs, width = inputs_of(model), facts.width(model.estimator)
    if inputs is not None:
        dropped = facts.dropped(model.estimator)
        needed = [name for position, name in enumerate(inputs) if position not in dropped]
        missing = [name for name in needed if name not in features]
        if missing:
            more = f" and {len(missing) - 1} more of its inputs are" if len(missing) > 1 else " is"
            why = "left out by an option" if missing[0] in names else f"not among the columns: {list_names(names)}"
            raise DataError(f"{request.data}: the model's input {missing[0]!r}{more} {why}")
        return [name for name in inputs if name in features]
    if width is not None and width != len(features):
        hint = "leave some out with --target and --ignore" if len(features) > width else "some are missing"
        left = f"{request.data} leaves {len(features)}: {list_names(features)}"
        raise DataError(f"the model takes {width} columns, but {left}; {hint}")
    return features


def list_names(names: Sequence[str]) -> str:
    """At most a line of names."""
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])} and {len(names) - 20} more"
