"""How the inputs of a model and the features of a reference belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.columns.canonical import canonical, column_name
from monitor.columns.column import MISSING, Column
from monitor.errors import ModelError
from monitor.models import facts
from monitor.models.facts import Known
from monitor.models.load import Loaded


@dataclass(frozen=True)
class Fit:
    """How the inputs of a model and the features of a reference belong together.

    `inputs`: name and position of the feature for each input. `named`: whether the names are the model's own.
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
    width = len(names) if names is not None else facts.width(estimator)
    pairs: list[tuple[str, int | None]]
    # Names are compared as the reference writes them; LightGBM writes others for those with spaces.
    given = None if names is None else [column_name(name) for name in names]
    spelled = {name: position for position, name in enumerate(own)}
    spelled |= {name.replace(" ", "_"): position for position, name in enumerate(own) if " " in name}
    if given is None or names is None or not set(given) & spelled.keys():
        if width is not None and width != len(own):
            raise ModelError(f"{path}: the model takes {width} features, but {reference} has {len(own)}")
        pairs = list(zip(names or own, range(len(own)), strict=True))
    else:
        pairs = [(name, spelled.get(column_name(name))) for name in names]
        absent = [name for at, (name, position) in enumerate(pairs) if position is None and at not in unused]
        if absent:
            raise ModelError(f"{path}: the model needs the column {absent[0]!r}, which {reference} does not have")
        further = set(range(len(own))) - {position for _, position in pairs}
        if further:
            name = own[min(further)]
            raise ModelError(
                f"{path}: {reference} has the feature {name!r}, which the model was not fitted with; "
                f"make the reference without it: --ignore {name}"
            )
    try:
        known = facts.knowledge(estimator, [name for name, _ in pairs])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    by_feature = {own[position]: known[name] for name, position in pairs if position is not None and name in known}
    for column in features:
        _check_known(column, by_feature.get(column.name), path, reference)
    dropped = frozenset(position for at, (_, position) in enumerate(pairs) if at in unused and position is not None)
    ignored = frozenset(column_name(name) for name, position in pairs if position is None)
    return Fit(tuple(pairs), names is not None, by_feature, dropped, ignored)


def _check_known(column: Column, known: Known | None, path: Path, reference: str) -> None:
    """Refuse a reference whose categories are none of those that a model was fitted with. Raises ModelError."""
    if known is None or known.dtype == "onnx" or not known.values or column.numeric:
        return
    texts = {canonical(one) for one in known.values} - {MISSING}
    if texts and column.categories and not texts & set(column.categories):
        raise ModelError(
            f"{path}: the model knows {column.name!r} as {', '.join(map(repr, sorted(texts)[:3]))}, and {reference} as "
            f"{', '.join(map(repr, column.categories[:3]))}; make the reference from the model's training data"
        )
