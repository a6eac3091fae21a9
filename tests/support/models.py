"""Models for tests that are about something else than how a model is asked."""

from __future__ import annotations

from typing import Any

from monitor.columns.column import Schema
from monitor.models.form import Array, Input
from monitor.models.model import Model
from monitor.models.values import values_of


def with_arrays(estimator: Any, schema: Schema, version: str = "v1") -> Model:
    """A model that is asked with arrays, without having been tried."""
    features = schema.features
    values = tuple(values_of(column, None, False) for column in features)
    inputs = [Input(column.name, at, one) for at, (column, one) in enumerate(zip(features, values, strict=True))]
    model = Model(estimator, Array(inputs), "0" * 64, version)
    model.values, model.features = values, features
    return model
