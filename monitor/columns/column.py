"""What is watched: the columns of one model and the bins of each, frozen from the reference.

All counts of all columns are in one flat vector, column after column. Within a column the bins are:

    numeric       (-inf, e0]  (e0, e1]  ...  (e_last, +inf)   missing   nonfinite
    categorical   known categories in order   other   missing

The outer value bins of a numeric column are its underflow and overflow: outside the range of the reference.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import accumulate, pairwise
from typing import Any, Literal, get_args
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

#: `traffic` is the role of the alert of a model without predictions, and of no column.
Role = Literal["feature", "prediction", "derived", "outcome", "traffic"]
Kind = Literal["numeric", "categorical"]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: In the order of a schema.
ROLES: tuple[Role, ...] = get_args(Role)[:-1]

OTHER = "__other__"
MISSING = "__missing__"
NONFINITE = "__nonfinite__"

#: A name or category longer than this is cut: it is stored in every row that names it.
MAX_TEXT = 200

#: Columns that a schema lists when it is printed.
LISTED = 10

#: What is shown in place of characters that would break a line, a terminal or the direction of writing.
_SIGNS = {
    **{code: f"<U+{code:04X}>" for code in range(0x7F, 0xA0)},
    **{code: f"<U+{code:04X}>" for code in (*range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000))},
    **{code: chr(0x2400 + code) for code in range(0x20)},  # Unicode's pictures of control characters: ␊ for a newline
}


def clean_text(value: str) -> str:
    """Make a text safe for every output, at the border, and cut it to `MAX_TEXT`.

    Control characters, lone surrogates, and characters that end a line or turn the direction of writing are replaced by
    visible signs, a different one for each: two texts that differ still do.

    >>> clean_text("a" + chr(10) + "b" + chr(0x202E) + chr(0xD800))
    'a␊b<U+202E><U+D800>'
    """
    if not (value.isascii() and value.isprintable()):
        value = value.translate(_SIGNS)
    return value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"


def column_path(role: str, name: str) -> str:
    """Address of a column's page. The name is in the query: in a path, proxies would rewrite `..`, `a//b` or "".

    What came true is on the page of the model's performance; that nothing comes is on the overview.

    >>> column_path("feature", "../a?b=<c>")
    '/column/feature?name=..%2Fa%3Fb%3D%3Cc%3E'
    >>> column_path("outcome", "performance")
    '/performance'
    """
    if role in ("outcome", "traffic"):
        return "/performance" if role == "outcome" else "/"
    return f"/column/{role}?name={quote(name, safe='', errors='replace')}"


def go_number(value: float) -> str:
    """Write a number exactly as prometheus-client does (3226414.69 is 3.22641469e+06): `le` has one spelling."""
    return _client_number()(value)


@cache
def _client_number() -> Callable[[float], str]:
    from prometheus_client.utils import floatToGoString  # it loads an HTTP server, which few commands need

    return floatToGoString


def number_text(value: float) -> str:
    """Write a number in the fewest digits that give it back: 2, 0.1, 1e+300."""
    return repr(float(value)).removesuffix(".0")


#: Derives one value a record from the captured columns that it names, shape (columns, n), and the parameters: shape
#: (n,), of each record by itself. A number, or the index of a category; NaN is missing. Must not raise.
Function = Callable[[Floats, tuple[float, ...]], Floats]

#: The functions by the name that a reference file calls them.
FUNCTIONS: dict[str, Function] = {}


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a derived column is worked out. `of`: positions in the schema of the captured columns that it is made of."""

    function: str
    of: tuple[int, ...]
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS)) or "none"
            raise ValueError(f"this version has no function {self.function!r} that derives a column; it has: {known}")

    def values(self, captured: Floats) -> Floats:
        """Work the column out, shape (n,), from the captured columns, shape (columns, n)."""
        return FUNCTIONS[self.function](captured[list(self.of)], self.parameters)


@dataclass(frozen=True, slots=True)
class Column:
    """One feature, prediction or derived column, with its frozen bins.

    `edges` (numeric): strictly increasing finite upper bounds; a value is in the first bin whose edge is >= it.
    `means`, `spreads` (numeric): mean and standard deviation of the reference's rows in each value bin; both empty if
    unknown. A bin with a spread of 0 holds one value.
    `categories` (categorical): canonical texts, without the reserved `__other__` and `__missing__`.
    """

    name: str
    role: Role
    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    derivation: Derivation | None = None

    def __post_init__(self) -> None:
        for wrong, what in self._faults():
            if wrong:
                raise ValueError(f"column {self.name!r}: {what}")

    def _faults(self) -> Iterator[tuple[bool, str]]:
        if not self.numeric:
            yield len(set(self.categories)) != len(self.categories), f"a category is listed twice: {self.categories}"
            yield bool({OTHER, MISSING} & set(self.categories)), f"{OTHER} and {MISSING} cannot be categories"
            return
        ordered = all(map(math.isfinite, self.edges)) and list(self.edges) == sorted(set(self.edges))
        yield not ordered, f"edges must be finite and strictly increasing: {self.edges}"
        if self.means or self.spreads:
            bins, bounds = self.value_bins, (-math.inf, *self.edges, math.inf)
            yield not len(self.means) == len(self.spreads) == bins, f"{bins} bins need as many means and spreads"
            inside = all(low <= mean <= high for (low, high), mean in zip(pairwise(bounds), self.means, strict=True))
            yield not inside, f"the mean of a bin is outside of it: {self.means}"
            good = all(0 <= spread < math.inf for spread in self.spreads)
            yield not good, f"the spread of a bin must be 0 or more: {self.spreads}"

    @property
    def numeric(self) -> bool:
        """Whether the column holds numbers."""
        return self.kind == "numeric"

    @property
    def flag(self) -> bool:
        """Whether the reference holds no other numbers than 0 and 1, each in a bin of its own."""
        return self.numeric and bool(self.means) and {*self.means[1:-1]} <= {0.0, 1.0} and not any(self.spreads)

    @property
    def value_bins(self) -> int:
        """Number of bins that hold values: all but missing and nonfinite (numeric), or but missing (categorical)."""
        return len(self.edges if self.numeric else self.categories) + 1

    @property
    def size(self) -> int:
        """Number of bins, all of them."""
        return self.value_bins + (2 if self.numeric else 1)

    @property
    def missing_bin(self) -> int:
        """Index of the missing bin."""
        return self.value_bins

    @property
    def labels(self) -> tuple[str, ...]:
        """A text for each bin, as SQL and the page show it.

        >>> Column("bmi", "feature", "numeric", edges=(-0.1, 0.1)).labels
        ('(-inf, -0.1]', '(-0.1, 0.1]', '(0.1, +inf)', '__missing__', '__nonfinite__')
        """
        if not self.numeric:
            return (*self.categories, OTHER, MISSING)
        values = [f"({low}, {high}]" for low, high in pairwise(["-inf", *map(number_text, self.edges), "+inf"])]
        return (*values[:-1], values[-1][:-1] + ")", MISSING, NONFINITE)

    def __repr__(self) -> str:
        return f"<Column {self.summary}, {self.role}>"

    @property
    def summary(self) -> str:
        """Name, kind and bins in a few words.

        >>> Column("bmi", "feature", "numeric", edges=(-0.1, 0.0, 0.1)).summary
        'bmi (numeric, 4 bins from -0.1 to 0.1)'
        >>> Column("size", "feature", "categorical", categories=tuple("smlx")), Column("y", "prediction", "numeric")
        (<Column size (categorical: s, m, l, ...), feature>, <Column y (numeric, no bins), prediction>)
        """
        if not self.numeric:
            shown = [*self.categories[:3], *["..."] * (len(self.categories) > 3)]
            return f"{self.name} (categorical: {', '.join(shown) or 'no categories'})"
        ends = f"{self.value_bins} bins from {self.edges[0]:.4g} to {self.edges[-1]:.4g}" if self.edges else "no bins"
        return f"{self.name} (numeric, {ends})"

    @property
    def bin_means(self) -> tuple[float, ...]:
        """Mean of each value bin of a numeric column: `means`, else its middle, an outer one's edge."""
        if self.means or not self.edges:
            return self.means or (math.nan,)
        inner = (low / 2 + high / 2 for low, high in pairwise(self.edges))
        return (self.edges[0], *inner, self.edges[-1])

    @property
    def bin_spreads(self) -> tuple[float, ...]:
        """Standard deviation within each value bin: `spreads`, or that of values spread evenly; 0 in an outer bin."""
        if self.spreads or not self.edges:
            return self.spreads or (0.0,)
        inner = ((high / 2 - low / 2) / math.sqrt(3) for low, high in pairwise(self.edges))
        return (0.0, *inner, 0.0)


@dataclass(frozen=True)
class Schema:
    """The counted columns of one model: features in the order of the model's input, predictions, derived columns.

    >>> schema = Schema((Column("x", "feature", "numeric", edges=(0.0,)),
    ...                  Column("y", "prediction", "categorical", categories=("a",))))
    >>> schema.size, schema.offsets.tolist(), [column.name for column in schema.features]
    (7, [0, 4, 7], ['x'])
    """

    columns: tuple[Column, ...]

    def __repr__(self) -> str:
        return f"<Schema: {self.summary}>"

    @property
    def summary(self) -> str:
        """Its columns in a few words each, and how many more there are than the first ten.

        >>> Schema(tuple(Column(f"x{i}", "feature", "numeric") for i in range(12))).summary.partition("x9 ")[2]
        '(numeric, no bins), and 2 more'
        """
        listed = [column.summary for column in self.columns[:LISTED]]
        return ", ".join([*listed, *[f"and {len(self.columns) - LISTED} more"] * (len(self.columns) > LISTED)])

    def __post_init__(self) -> None:
        roles = [ROLES.index(column.role) for column in self.columns]
        if roles != sorted(roles):
            raise ValueError("a schema lists its features first, then its predictions, then its derived columns")
        for column in self.columns:
            if (column.derivation is not None) != (column.role == "derived"):
                raise ValueError(f"column {column.name!r} of role {column.role!r}: only a derived one has a derivation")
            if column.derivation and not set(column.derivation.of) <= set(range(len(self.captured))):
                raise ValueError(f"column {column.name!r} is derived from a column that is not captured")
        for (role, name), times in Counter((column.role, column.name) for column in self.columns).items():
            if times > 1:
                raise ValueError(f"two {role} columns are called {name!r}")

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """The model's inputs, in order."""
        return tuple(column for column in self.columns if column.role == "feature")

    @cached_property
    def predictions(self) -> tuple[Column, ...]:
        """The model's outputs, in order: one for most models."""
        return tuple(column for column in self.columns if column.role == "prediction")

    @cached_property
    def captured(self) -> tuple[Column, ...]:
        """The columns that a record has: features and predictions."""
        return self.features + self.predictions

    @cached_property
    def offsets(self) -> npt.NDArray[np.intp]:
        """Shape (columns + 1,): where each column's bins begin in the flat vector; the last one is its length."""
        return np.array([0, *accumulate(column.size for column in self.columns)], dtype=np.intp)

    @property
    def size(self) -> int:
        """Length of the flat vector of counts."""
        return int(self.offsets[-1])

    def split(self, flat: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Views of a flat vector, one per column."""
        return [flat[begin:end] for begin, end in pairwise(self.offsets.tolist())]

    def zeros(self) -> Counts:
        """Return a flat vector of counts that are all zero."""
        return np.zeros(self.size, dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that the columns are: two schemas with one fingerprint have the same bins."""
        return hashlib.sha256(json.dumps([asdict(column) for column in self.columns]).encode()).hexdigest()

    def index(self, name: str, role: Role | None = None) -> int:
        """Position of a column; a feature wins over a prediction of the same name. Raises KeyError."""
        places = (at for at, column in enumerate(self.columns) if column.name == name and role in (None, column.role))
        position = next(places, None)
        if position is None:
            raise KeyError(name)
        return position
