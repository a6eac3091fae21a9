"""The reference: what a model's columns looked like in training, as frozen bins and counts.

It is one file in the Prometheus text format (`histogram.prom`), with the families that `/metrics` exposes beside the
live counts. Boxkite's files load too.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import accumulate
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
    Derivation,
    Floats,
    Kind,
    Role,
    Schema,
    clean_text,
    go_number,
)
from monitor.columns.moments import binned_spread, exact_mean
from monitor.errors import ReferenceFileError
from monitor.outcomes.baseline import Baseline
from monitor.outcomes.sums import Target, target_of
from monitor.reference.bin_edges import discrete_edges
from monitor.words import program

if TYPE_CHECKING:
    from prometheus_client import Metric

VALUE = "telltale_value_reference"
CATEGORY = "telltale_category_reference"
MISSING_ROWS = "telltale_missing_reference"
NONFINITE_ROWS = "telltale_nonfinite_reference"
DEVIATION = "telltale_deviation_reference"
BIN_MEAN = "telltale_bin_mean_reference"
BIN_SPREAD = "telltale_bin_deviation_reference"
COLUMN_INFO = "telltale_column_info"
INFO = "telltale_reference_info"
BASELINE = "telltale_baseline_info"

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


BASELINE_HELP = "Performance on held-out rows, and their loss by bin of each column, as JSON; the value is always 1."

#: What a file says of the columns. Each line: a family, the suffix of its samples, the label by which a column has
#: several of them, and the field of `_Parts` with the number, or with a number for each value of the label.
_SAMPLES = (
    (VALUE, "_bucket", "le", "buckets"),
    (VALUE, "_count", "", "rows"),
    (VALUE, "_sum", "", "sum"),
    (CATEGORY, "", "category", "categories"),
    (BIN_MEAN, "", "le", "means"),
    (BIN_SPREAD, "", "le", "spreads"),
    (MISSING_ROWS, "", "", "missing"),
    (NONFINITE_ROWS, "", "", "nonfinite"),
    (DEVIATION, "", "", "deviation"),
)


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """Where a reference comes from: written by `telltale init`, shown wherever a verdict is shown."""

    model_sha256: str = ""
    created: str = ""
    rows: int = 0
    source: str = "telltale"
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """Frozen bins with the reference's counts.

    `counts`: shape (schema.size,), int64. `sums`, `deviations`: shape (columns,), over finite values; NaN for a
    categorical column. `baseline`: how well the model does on rows that it was not trained on, if that is known.
    """

    schema: Schema
    counts: Counts
    sums: Floats
    deviations: Floats
    info: ReferenceInfo = field(default_factory=ReferenceInfo)
    baseline: Baseline | None = None

    def __repr__(self) -> str:
        return f"<Reference {self.identity[:12]} of {self.info.rows:,} rows: {self.schema.summary}>"

    @cached_property
    def identity(self) -> str:
        """SHA-256 of bins, counts, model and baseline: names the reference that a verdict was made against."""
        parts = [self.schema.fingerprint, self.counts.tolist(), self.info.model_sha256]
        text = json.dumps(parts if self.baseline is None else [*parts, self.baseline.to_json()])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def target(self) -> Target:
        """What the outcomes of the model are: as the baseline says, else as its predictions let expect."""
        return target_of(self.schema) if self.baseline is None else self.baseline.target

    def means(self) -> Floats:
        """Mean of the finite values of each numeric column, shape (columns,); NaN if it has none."""
        columns = zip(self.schema.columns, self.schema.split(self.counts), strict=True)
        rows = np.array([int(counts[: column.value_bins].sum()) if column.numeric else 0 for column, counts in columns])
        means: Floats = np.divide(self.sums, rows, out=np.full(len(rows), math.nan), where=rows > 0)
        return means

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; a reader never sees half of it."""
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
        """Read a file of `save`, or of Boxkite's `export_text`. Raises ReferenceFileError that names it."""
        try:
            text = Path(path).read_text("utf-8")
        except FileNotFoundError:
            raise ReferenceFileError(
                f"{path}: there is no such file; `{program()} init` makes it for a model of yours, `{program()} train` "
                "for an example"
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
    """Write a file so that a reader, also after a crash, sees the old one or the new one and nothing between."""
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
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in labels.items()]) + "}"


@lru_cache(10_000)  # the same few names and edges are in thousands of lines
def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@dataclass
class _Parts:
    """What a file says of one column. `buckets`: rows at or below each edge."""

    name: str
    role: Role
    kind: Kind
    derivation: Derivation | None = None
    buckets: dict[float, float] = field(default_factory=dict)
    means: dict[float, float] = field(default_factory=dict)
    spreads: dict[float, float] = field(default_factory=dict)
    categories: dict[str, float] = field(default_factory=dict)
    rows: float | None = None
    sum: float | None = None
    missing: float = 0.0
    nonfinite: float | None = None
    deviation: float | None = None

    @classmethod
    def of(cls, column: Column, counts: Counts, total: float, deviation: float) -> _Parts:
        part = cls(column.name, column.role, column.kind, column.derivation)
        rows = counts.tolist()
        part.missing = rows[column.missing_bin]
        if column.numeric:
            bounds, part.rows = (*column.edges, math.inf), sum(rows[: column.value_bins])
            part.buckets = dict(zip(bounds, accumulate(rows[: column.value_bins]), strict=True))
            part.means = dict(zip(bounds, column.means, strict=False))
            part.spreads = dict(zip(bounds, column.spreads, strict=False))
            part.sum, part.nonfinite, part.deviation = total, rows[-1], deviation if math.isfinite(deviation) else None
        else:
            part.categories = dict(zip((*column.categories, OTHER), rows, strict=False))
        return part

    def build(self) -> tuple[Column, Counts, float, float]:
        """Return the column, its counts, the sum and the deviation of its finite values. Raises ValueError."""
        if self.kind == "categorical":
            other = self.categories.pop(OTHER, 0.0)
            column = Column(
                self.name, self.role, self.kind, categories=tuple(self.categories), derivation=self.derivation
            )
            return column, self._counts(*self.categories.values(), other, self.missing), math.nan, math.nan
        bounds = sorted(self.buckets)
        if not bounds or bounds[-1] != math.inf:
            raise ValueError(f'column {self.name!r} has no bucket le="+Inf"')
        means, spreads = (tuple(one[edge] for edge in bounds if edge in one) for one in (self.means, self.spreads))
        column = Column(self.name, self.role, self.kind, tuple(bounds[:-1]), (), means, spreads, self.derivation)
        rows = np.diff([self.buckets[edge] for edge in bounds], prepend=0.0)
        counts = self._counts(*rows, self.missing, self.nonfinite or 0.0)
        total, deviation = self.sum or 0.0, self.deviation
        if deviation is None:  # Boxkite's files do not say it
            deviation = binned_spread(column, counts.tolist(), exact_mean(column, counts.tolist(), total))
        return column, counts, total, math.nan if deviation is None else deviation

    def _counts(self, *rows: float) -> Counts:
        values = np.array(rows, dtype=np.float64)
        if not np.all(np.isfinite(values)) or np.any(values < 0) or np.any(values != np.floor(values)):
            raise ValueError(f"column {self.name!r} has counts that are not whole numbers, or buckets that fall")
        return values.astype(np.int64)


def _lines(reference: Reference) -> Iterator[str]:
    """The file of a reference, line by line."""
    columns, split = reference.schema.columns, reference.schema.split(reference.counts)
    numbers = zip(columns, split, reference.sums.tolist(), reference.deviations.tolist(), strict=True)
    parts = [_Parts.of(*one) for one in numbers]
    facts = {name: str(fact) for name, fact in asdict(reference.info).items() if name != "versions"}
    facts |= {f"version_{name}": version for name, version in sorted(reference.info.versions.items())}
    for family, text in HELP.items():
        yield f"# HELP {family} {text}"
        yield f"# TYPE {family} {'histogram' if family == VALUE else 'gauge'}"
        if family == INFO:
            yield f"{INFO}{label_text(facts)} 1.0"
        for position, part in enumerate(parts):
            labels = {"column": part.name, "role": part.role}
            if family == COLUMN_INFO:
                labels |= {"kind": part.kind, "position": str(position)}
                labels |= {"derivation": json.dumps(asdict(part.derivation))} if part.derivation else {}
                yield f"{family}{label_text(labels)} 1.0"
            for _, suffix, label, name in (line for line in _SAMPLES if line[0] == family):
                found = getattr(part, name)
                for key, number in found.items() if label else [(None, found)]:
                    more = {} if key is None else {label: go_number(key) if label == "le" else key}
                    if number is not None:
                        yield f"{family}{suffix}{label_text({**labels, **more})} {go_number(number)}"
    if reference.baseline is not None:
        yield f"# HELP {BASELINE} {BASELINE_HELP}"
        yield f"# TYPE {BASELINE} gauge"
        yield f"{BASELINE}{label_text({'baseline': reference.baseline.to_json()})} 1.0"


def _assemble(parts: Iterable[_Parts], info: ReferenceInfo) -> Reference:
    columns, counts, sums, deviations = zip(*(part.build() for part in parts), strict=True)
    return Reference(Schema(columns), np.concatenate(counts), np.array(sums), np.array(deviations), info)


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
    listed = sorted(families[COLUMN_INFO].samples, key=lambda sample: int(sample.labels["position"]))
    parts = {(sample.labels["column"], sample.labels["role"]): _listed_column(sample.labels) for sample in listed}
    for family, suffix, label, name in _SAMPLES:
        for sample in families[family].samples if family in families else ():
            if sample.name == family + suffix:
                part = parts[sample.labels["column"], sample.labels["role"]]
                if label:
                    key = sample.labels[label]
                    getattr(part, name)[float(key) if label == "le" else key] = sample.value
                else:
                    setattr(part, name, sample.value)
    about = dict(families[INFO].samples[0].labels) if INFO in families else {}
    versions = {name.removeprefix("version_"): text for name, text in about.items() if name.startswith("version_")}
    sha256, created, rows, source = (about.get(name, "") for name in ("model_sha256", "created", "rows", "source"))
    reference = _assemble(parts.values(), ReferenceInfo(sha256, created, int(rows or 0), source, versions))
    if BASELINE not in families:
        return reference
    try:
        baseline = Baseline.from_json(families[BASELINE].samples[0].labels["baseline"])
    except (TypeError, IndexError) as error:
        raise ValueError(f"the baseline is damaged: {error}") from error
    return replace(reference, baseline=baseline)


def _from_boxkite(families: dict[str, Metric]) -> Reference:
    """Boxkite numbers its features in the metric's name, and has their names in the help text."""
    features: dict[int, _Parts] = {}
    predictions: list[_Parts] = []
    for family in families.values():
        if family.name.startswith("feature_") and family.name.endswith("_value_baseline"):
            index = int(family.name.split("_")[1])
            name = clean_text(family.documentation.partition(":")[2].strip()) or f"feature_{index}"
            features[index] = _boxkite_column(family, name, "feature")
        elif family.name.endswith("_value_baseline"):
            predictions.append(_boxkite_column(family, "prediction", "prediction"))
    seen: Counter[str] = Counter()
    for part in features.values():
        seen[part.name] += 1
        if seen[part.name] > 1:
            part.name = f"{part.name}_{seen[part.name]}"
    rows = [part.buckets.get(math.inf, sum(part.categories.values())) for part in features.values()]
    info = ReferenceInfo(rows=int(max(rows, default=0)), source="boxkite")
    return _assemble([*(features[index] for index in sorted(features)), *predictions], info)


def _boxkite_column(family: Metric, name: str, role: Role) -> _Parts:
    """One column. Its +Inf bucket also holds NaN and infinite values: its last edge is the largest value."""
    part = _Parts(name, role, "numeric" if family.type == "histogram" else "categorical")
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            part.buckets[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            part.sum = sample.value
        elif "bin" in sample.labels:
            category = _boxkite_category(sample.labels["bin"])
            if category == MISSING:
                part.missing += sample.value
            else:
                part.categories[category] = part.categories.get(category, 0.0) + sample.value
    if part.kind == "numeric" and len(part.buckets) > 1:
        last, all_rows = (part.buckets[edge] for edge in sorted(part.buckets)[-2:])
        part.buckets[math.inf], part.missing = last, all_rows - last
    elif part.role == "feature" and part.categories:
        _numbers_instead_of_texts(part)
    return part


def _numbers_instead_of_texts(part: _Parts) -> None:
    """Make a column of numbers of one that Boxkite counted by the text of each number.

    A client that rounds would miss every one of those texts. Whole numbers stay categories: they are codes and flags
    more often than measurements.
    """
    try:
        values = {float(text): rows for text, rows in part.categories.items()}
    except ValueError:
        return
    if not all(math.isfinite(value) for value in values) or all(value.is_integer() for value in values):
        return
    ordered = sorted(values)
    edges = discrete_edges(np.array(ordered))
    bounds = (*edges, math.inf)
    part.kind, part.categories = "numeric", {}
    part.buckets = dict(zip(bounds, accumulate((0.0, *map(values.__getitem__, ordered), 0.0)), strict=True))
    part.means = dict(zip(bounds, (edges[0], *ordered, edges[-1]), strict=True))
    part.spreads = dict.fromkeys(bounds, 0.0)
    part.sum = sum(value * rows for value, rows in values.items())


def _boxkite_category(text: str) -> str:
    """Boxkite writes the number 2 as `2.0`; our text for it is `2`."""
    try:
        return canonical(float(text))
    except ValueError:
        return canonical(text)
