"""What requests will be refused, told before the first one comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monitor.models.model import Model
from monitor.reference.file import Reference


def refused(model: Model, missing: str, reference: Reference) -> Iterator[str]:
    """Say which values a server would answer with 422, given `[model] missing`: by the settings, and by the model."""
    schema = reference.schema
    if missing == "refuse":
        yield 'a null or NaN in a feature gets 422: [model] missing = "refuse"'
        for column, counts in zip(schema.features, schema.split(reference.counts), strict=False):
            if counts[column.missing_bin]:
                share = counts[column.missing_bin] / counts.sum()
                rows = f"{column.name!r} is missing in {share:.1%} of the reference's rows"
                yield f'{rows}: missing = "allow" lets those through'
    elif model.example:
        nothing = [None if not column.numeric else float("nan") for column in schema.features]
        names = [column.name for at, column in enumerate(schema.features) if not _answers(model, at, nothing[at])]
        if names:
            yield f"the model refuses a missing value (422) in: {', '.join(names)}"
    if model.example:
        texts = [at for at, one in enumerate(model.values) if one.kind == "text" and schema.features[at].categories]
        names = [
            schema.features[at].name for at in texts if not _answers(model, at, "__a_text_that_no_reference_has__")
        ]
        if names:
            yield f"the model refuses a category that it was not fitted with (422) in: {', '.join(names)}"


def _answers(model: Model, position: int, value: Any) -> bool:
    return model.answers([[value if at == position else one for at, one in enumerate(model.example)]])
