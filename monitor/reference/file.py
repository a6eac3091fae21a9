"""The reference: what a model's columns looked like in training, as frozen bins and counts.

It is kept in one file in the Prometheus text format (`histogram.prom`), with the same families that `/metrics` exposes
beside the live counts. Boxkite's files load too.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.columns.canonical import canonical
from monitor.columns.column import (
    MISSING,
    OTHER,
    ROLES,
    Column,
    Counts,
    Floats,
    Kind,
    Role,
    Schema,
    clean_text,
    go_number,
)
from monitor.columns.derived import Derivation
from monitor.columns.moments import binned_spread, exact_mean
from monitor.errors import ReferenceFileError
from monitor.reference.bin_edges import discrete_edges

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

VALUE = "telltale_value_reference"
CATEGORY = "telltale_category_reference"
MISSING_ROWS = "telltale_missing_reference"
NONFINITE_ROWS = "telltale_nonfinite_reference"
DEVIATION = "telltale_deviation_reference"
BIN_MEAN = "telltale_bin_mean_reference"
BIN_SPREAD = "telltale_bin_deviation_reference"
COLUMN_INFO = "telltale_column_info"
INFO = "telltale_reference_info"

HELP = {
    INFO: "What this reference was made from; the value is always 1.",
    COLUMN_INFO: "Each column with its role, kind and position; the value is always 1.",
    VALUE: "Reference rows at or below each bin edge, by numeric column.",
    CATEGORY: "Reference rows in each category, by categorical column.",
    MISSING_ROWS: "Reference rows in which the column was missing (None or NaN).",
    NONFINITE_ROWS: "Reference rows in which the column was infinite.",
    DEVIATION: "Standard deviation of the column over the finite reference values.",
    BIN_MEAN: "Mean of the reference values in each bin; an empty bin has its middle, or its edge.",
    BIN_SPREAD: "Standard deviation of the reference values in each bin; 0 where all are one value.",
}


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """Where a reference comes from: written by `python -m train`, shown wherever a verdict is shown."""

    model_sha256: str = ""
    created: str = ""
    rows: int = 0
    source: str = "telltale"
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """Frozen bins with the reference's counts.

    `counts`: shape (schema.size,), int64. `sums`, `deviations`: shape (columns,), over finite values; NaN for a
    categorical column.
    """

    schema: Schema
    counts: Counts
    sums: Floats
    deviations: Floats
    info: ReferenceInfo = field(default_factory=ReferenceInfo)

    def __repr__(self) -> str:
        columns = ", ".join(column.summary for column in self.schema.columns)
        return f"<Reference {self.identity[:12]} of {self.info.rows:,} rows: {columns}>"

    @property
    def identity(self) -> str:
        """SHA-256 of bins, counts and model: names the reference that a verdict was made against."""
        text = json.dumps([self.schema.fingerprint, self.counts.tolist(), self.info.model_sha256])
        return hashlib.sha256(text.encode()).hexdigest()

    def means(self) -> Floats:
        """Mean of the finite values of each numeric column, shape (columns,); NaN where there is none."""
        out = np.full(len(self.schema.columns), math.nan)
        for i, (column, counts) in enumerate(zip(self.schema.columns, self.schema.split(self.counts), strict=True)):
            rows = int(counts[: column.value_bins].sum())
            if column.numeric and rows:
                out[i] = self.sums[i] / rows
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file: to a temporary one beside it first, then renamed, so that no half of it is ever seen."""
        write_atomically(Path(path), self.to_text().encode())

    def to_text(self) -> str:
        """Return the reference in the Prometheus text format."""
        return "".join(f"{line}\n" for line in _lines(self))

    @classmethod
    def from_data(cls, features: Any, predictions: Any, **options: Any) -> Reference:
        """Build a reference from arrays, frames or lists of dictionaries: see `build_reference`.

        >>> reference = Reference.from_data([[0.5, 1.5], [0.7, 2.5]], [10.0, 20.5], names=["a", "b"])
        >>> [column.name for column in reference.schema.columns], reference.info.rows
        (['a', 'b', 'prediction'], 2)
        """
        from monitor.reference.build import build_reference  # it builds on this file

        return build_reference(features, predictions, **options)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Reference:
        """Read a file that `save` or Boxkite's `export_text` wrote.

        Raises ReferenceFileError with the path and what is wrong.
        """
        try:
            text = Path(path).read_text("utf-8")
        except FileNotFoundError:
            raise ReferenceFileError(
                f"{path}: there is no such file; `python -m train reference --data FILE --model FILE` makes it for a "
                "model of yours, `python -m train` an example"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ReferenceFileError(f"{path}: cannot be read: {error}") from error
        try:
            return cls.from_text(text)
        except ReferenceFileError as error:
            raise ReferenceFileError(f"{path}: {error}") from error

    @classmethod
    def from_text(cls, text: str) -> Reference:
        """Read the Prometheus text format, ours or Boxkite's. Raises ReferenceFileError."""
        # It loads an HTTP server, and few commands read a reference.
        from prometheus_client.parser import text_string_to_metric_families

        try:
            families = {family.name: family for family in text_string_to_metric_families(text)}
        except (ValueError, KeyError, IndexError) as error:
            raise ReferenceFileError(f"not in the Prometheus text format: {error}") from error
        try:
            if COLUMN_INFO in families:
                return _from_telltale(families)
            if any(name.endswith("_value_baseline") for name in families):
                return _from_boxkite(families)
        except (ValueError, KeyError) as error:
            raise ReferenceFileError(f"incomplete or inconsistent: {error}") from error
        raise ReferenceFileError("holds no reference: neither telltale_column_info nor Boxkite's *_value_baseline")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one and nothing between."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o644 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def label_text(labels: dict[str, str]) -> str:
    r"""Write labels as Prometheus text, escaped.

    >>> label_text({"column": 'a"b', "role": "feature"})
    '{column="a\\"b",role="feature"}'
    """
    escaped = (
        '{}="{}"'.format(name, value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\""))
        for name, value in labels.items()
    )
    return "{" + ",".join(escaped) + "}"


def _lines(reference: Reference) -> Iterator[str]:
    schema, info = reference.schema, reference.info
    columns = list(zip(schema.columns, schema.split(reference.counts), strict=True))

    def head(name: str, kind: str) -> list[str]:
        return [f"# HELP {name} {HELP[name]}", f"# TYPE {name} {kind}"]

    yield from head(INFO, "gauge")
    facts = {"model_sha256": info.model_sha256, "created": info.created, "rows": str(info.rows), "source": info.source}
    yield f"{INFO}{label_text({**facts, **{f'version_{name}': v for name, v in sorted(info.versions.items())}})} 1.0"
    yield from head(COLUMN_INFO, "gauge")
    for position, (column, _) in enumerate(columns):
        labels = {"column": column.name, "role": column.role, "kind": column.kind, "position": str(position)}
        derived = {"derivation": json.dumps(asdict(column.derivation))} if column.derivation else {}
        yield f"{COLUMN_INFO}{label_text({**labels, **derived})} 1.0"
    yield from head(VALUE, "histogram")
    for position, (column, counts) in enumerate(columns):
        if column.numeric:
            labels = {"column": column.name, "role": column.role}
            cumulative = np.cumsum(counts[: column.value_bins]).tolist()
            for edge, rows in zip((*column.edges, math.inf), cumulative, strict=True):
                yield f"{VALUE}_bucket{label_text({**labels, 'le': go_number(edge)})} {go_number(rows)}"
            yield f"{VALUE}_count{label_text(labels)} {go_number(cumulative[-1])}"
            yield f"{VALUE}_sum{label_text(labels)} {go_number(reference.sums[position])}"
    yield from head(CATEGORY, "gauge")
    for column, counts in columns:
        if not column.numeric:
            for category, rows in zip((*column.categories, OTHER), counts.tolist(), strict=False):
                labels = {"column": column.name, "role": column.role, "category": category}
                yield f"{CATEGORY}{label_text(labels)} {go_number(rows)}"

    def one_each(name: str, value: Callable[[int, Column, Counts], float | None]) -> Iterator[str]:
        yield from head(name, "gauge")
        for position, (column, counts) in enumerate(columns):
            number = value(position, column, counts)
            if number is not None:
                labels = {"column": column.name, "role": column.role}
                yield f"{name}{label_text(labels)} {go_number(number)}"

    yield from head(BIN_MEAN, "gauge")
    yield from _each_bin(BIN_MEAN, ((column, column.means) for column, _ in columns))
    yield from head(BIN_SPREAD, "gauge")
    yield from _each_bin(BIN_SPREAD, ((column, column.spreads) for column, _ in columns))
    yield from one_each(MISSING_ROWS, lambda _, column, counts: float(counts[column.missing_bin]))
    yield from one_each(NONFINITE_ROWS, lambda _, column, counts: float(counts[-1]) if column.numeric else None)
    yield from one_each(
        DEVIATION,
        lambda position, *_: (
            float(reference.deviations[position]) if math.isfinite(reference.deviations[position]) else None
        ),
    )


def _each_bin(name: str, numbers: Iterable[tuple[Column, tuple[float, ...]]]) -> Iterator[str]:
    for column, each in numbers:
        for edge, number in zip((*column.edges, math.inf), each, strict=False):
            labels = {"column": column.name, "role": column.role, "le": go_number(edge)}
            yield f"{name}{label_text(labels)} {go_number(number)}"


class _Parts:
    """What the samples of a file say of one column, gathered before the column is built."""

    def __init__(self, name: str, role: Role, kind: Kind, derivation: Derivation | None = None) -> None:
        self.name, self.role, self.kind, self.derivation = name, role, kind, derivation
        self.buckets: list[tuple[float, float]] = []
        self.means: dict[float, float] = {}
        self.spreads: dict[float, float] = {}
        self.categories: dict[str, float] = {}
        self.missing = self.nonfinite = self.sum = 0.0
        self.deviation = math.nan

    def build(self) -> tuple[Column, Counts, float, float]:
        if self.kind == "categorical":
            other = self.categories.pop(OTHER, 0.0)
            categories = tuple(self.categories)
            column = Column(self.name, self.role, "categorical", categories=categories, derivation=self.derivation)
            rows = [*self.categories.values(), other, self.missing]
            return column, _whole(rows, self.name), math.nan, math.nan
        self.buckets.sort()
        if not self.buckets or self.buckets[-1][0] != math.inf:
            raise ValueError(f'column {self.name!r} has no bucket le="+Inf"')
        means, spreads = (
            tuple(facts[edge] for edge, _ in self.buckets if edge in facts) for facts in (self.means, self.spreads)
        )
        edges = tuple(edge for edge, _ in self.buckets[:-1])
        column = Column(self.name, self.role, "numeric", edges, (), means, spreads, self.derivation)
        rows = [*np.diff([0.0, *(rows for _, rows in self.buckets)]).tolist(), self.missing, self.nonfinite]
        counts = _whole(rows, self.name)
        deviation = self.deviation
        if not math.isfinite(deviation):  # Boxkite's files do not say it
            rows_of = counts.tolist()
            spread = binned_spread(column, rows_of, exact_mean(column, rows_of, self.sum))
            deviation = math.nan if spread is None else spread
        return column, counts, self.sum, deviation


def _whole(rows: Iterable[float], name: str) -> Counts:
    values = np.array(list(rows), dtype=np.float64)
    if not np.all(np.isfinite(values)) or np.any(values < 0) or np.any(values != np.floor(values)):
        raise ValueError(f"column {name!r} has counts that are not whole numbers, or buckets that fall")
    return values.astype(np.int64)


def _assemble(parts: Iterable[_Parts], info: ReferenceInfo) -> Reference:
    columns, counts, sums, deviations = zip(*(part.build() for part in parts), strict=True)
    return Reference(Schema(columns), np.concatenate(counts), np.array(sums), np.array(deviations), info)


#: Where the samples of a family go: fields of `_Parts`.
_ONE_EACH = {MISSING_ROWS: "missing", NONFINITE_ROWS: "nonfinite", DEVIATION: "deviation"}
_ONE_A_BIN = {BIN_MEAN: "means", BIN_SPREAD: "spreads"}


def _listed_column(labels: dict[str, str]) -> _Parts:
    name, role, kind = labels["column"], labels["role"], labels["kind"]
    if role not in ROLES or kind not in ("numeric", "categorical"):
        raise ValueError(f"column {name!r} has role {role!r} and kind {kind!r}")
    derivation = None
    if role == "derived":
        spec = json.loads(labels["derivation"])
        derivation = Derivation(spec["function"], tuple(map(int, spec["of"])), tuple(map(float, spec["parameters"])))
    return _Parts(name, role, kind, derivation)  # type: ignore[arg-type]  # just checked


def _from_telltale(families: dict[str, Metric]) -> Reference:
    parts: dict[tuple[str, str], _Parts] = {}
    listed = sorted(families[COLUMN_INFO].samples, key=lambda sample: int(sample.labels["position"]))
    for sample in listed:
        parts[sample.labels["column"], sample.labels["role"]] = _listed_column(sample.labels)

    def each(name: str) -> Iterator[tuple[_Parts, Sample]]:
        for sample in families[name].samples if name in families else ():
            yield parts[sample.labels["column"], sample.labels["role"]], sample

    for part, sample in each(VALUE):
        if sample.name.endswith("_bucket"):
            part.buckets.append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            part.sum = sample.value
    for part, sample in each(CATEGORY):
        part.categories[sample.labels["category"]] = sample.value
    for name, field_name in _ONE_EACH.items():
        for part, sample in each(name):
            setattr(part, field_name, sample.value)
    for name, field_name in _ONE_A_BIN.items():
        for part, sample in each(name):
            getattr(part, field_name)[float(sample.labels["le"])] = sample.value
    return _assemble(parts.values(), _info(families))


def _info(families: dict[str, Metric]) -> ReferenceInfo:
    labels: dict[str, Any] = dict(families[INFO].samples[0].labels) if INFO in families else {}
    versions = {name.removeprefix("version_"): v for name, v in labels.items() if name.startswith("version_")}
    return ReferenceInfo(
        model_sha256=labels.get("model_sha256", ""),
        created=labels.get("created", ""),
        rows=int(labels.get("rows") or 0),
        source=labels.get("source", ""),
        versions=versions,
    )


def _from_boxkite(families: dict[str, Metric]) -> Reference:
    """Boxkite numbers its features in the metric's name and puts their names into the help text.

    Its +Inf bucket also holds NaN and infinite values, and its last edge is the largest value: what lies above that
    edge was missing.
    """
    features: dict[int, _Parts] = {}
    predictions: list[_Parts] = []
    for family in families.values():
        if not family.name.endswith("_value_baseline") and family.name != "inference_value_baseline":
            continue
        kind: Kind = "numeric" if family.type == "histogram" else "categorical"
        if family.name.startswith("feature_"):
            index = int(family.name.split("_")[1])
            _, _, named = family.documentation.partition(":")
            part = features[index] = _Parts(clean_text(named.strip()) or f"feature_{index}", "feature", kind)
        else:
            part = _Parts("prediction", "prediction", kind)
            predictions.append(part)
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                part.buckets.append((float(sample.labels["le"]), sample.value))
            elif sample.name.endswith("_sum"):
                part.sum = sample.value
            elif "bin" in sample.labels:
                category = _boxkite_category(sample.labels["bin"])
                if category == MISSING:
                    part.missing += sample.value
                else:
                    part.categories[category] = part.categories.get(category, 0.0) + sample.value
        if kind == "numeric" and len(part.buckets) > 1:
            part.buckets.sort()
            last = part.buckets[-2][1]
            part.missing = part.buckets[-1][1] - last
            part.buckets[-1] = (math.inf, last)
        elif part.role == "feature" and part.categories:
            _numbers_instead_of_texts(part)
    _number_repeated_names(features.values())
    rows = max(
        (int(part.buckets[-1][1] if part.buckets else sum(part.categories.values())) for part in features.values()),
        default=0,
    )
    ordered = [features[index] for index in sorted(features)]
    return _assemble([*ordered, *predictions], ReferenceInfo(rows=rows, source="boxkite"))


def _numbers_instead_of_texts(part: _Parts) -> None:
    """Boxkite counts a float column of few values by the text of each value.

    A client that rounds would miss every one of those texts, so such a column is numeric here, one bin a value. Whole
    numbers stay categories: they are codes and flags more often than measurements.
    """
    try:
        values = {float(text): rows for text, rows in part.categories.items()}
    except ValueError:
        return
    if not all(math.isfinite(value) for value in values) or all(value.is_integer() for value in values):
        return
    ordered = np.array(sorted(values))
    rows = np.cumsum([0.0, *(values[value] for value in ordered), 0.0])[:-1]
    edges = discrete_edges(ordered)
    part.kind, part.categories = "numeric", {}
    part.buckets = [*zip(edges, rows, strict=True), (math.inf, float(rows[-1]))]
    bounds = (*edges, math.inf)
    part.means = dict(zip(bounds, (edges[0], *ordered.tolist(), edges[-1]), strict=True))
    part.spreads = dict.fromkeys(bounds, 0.0)
    part.sum = sum(value * count for value, count in values.items())


def _boxkite_category(text: str) -> str:
    """Boxkite writes the number 2 as `2.0`; our text for it is `2`."""
    try:
        return canonical(float(text))
    except ValueError:
        return canonical(text)


def _number_repeated_names(parts: Iterable[_Parts]) -> None:
    seen: dict[str, int] = {}
    for part in parts:
        seen[part.name] = seen.get(part.name, 0) + 1
        if seen[part.name] > 1:
            part.name = f"{part.name}_{seen[part.name]}"
