"""Ready text with holes for numbers: what `/metrics` is filled into."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter

from monitor.columns.column import go_number
from monitor.exposition.families import Family
from monitor.reference.file import label_text

Labels = Mapping[str, str]


class Form:
    """Lines of text, each ending in a number that is either fixed or left open.

    `always`: labels of every sample (model version, replica). `known`: values by position, if they never change: then
    nothing is left open. An open number is a position in the list of values that `fill` is given later: whole numbers,
    and ready texts of all others. Whole numbers are written with all their digits: a reader takes `12000000` for the
    same number as the `1.2e+07` of prometheus-client, and it is written several times as fast.

    >>> form = Form({"m": "1"}, openmetrics=False)
    >>> form.family(Family("x", "gauge", (), "Things."), [({"a": "1"}, 2.0), ({"a": "none"}, None)])
    >>> form.open({"a": "2"}, 1)
    >>> form.open({"a": "3"}, 0, whole=False)
    >>> print(form.freeze().fill([b"0.5", 12000000]).decode(), end="")
    # HELP x Things.
    # TYPE x gauge
    x{a="1",m="1"} 2.0
    x{a="2",m="1"} 12000000
    x{a="3",m="1"} 0.5
    """

    def __init__(self, always: Labels, openmetrics: bool, known: Sequence[float] | None = None) -> None:
        self.openmetrics, self.series = openmetrics, 0
        self._always, self._known = always, known
        self._text: list[str] = []
        self._holes: list[int] = []
        self._template = b""
        self._pick: Callable[[Sequence[int | bytes]], tuple[int | bytes, ...]] | None = None
        self._head = self._name = ""

    def family(self, family: Family, samples: Iterable[tuple[Labels, float | None]] = ()) -> None:
        """Begin a family, and write samples that never change; what has no number (None, NaN, infinite) is left out."""
        self._head, self._name = family.head(self.openmetrics), family.name
        for labels, value in samples:
            if value is not None and math.isfinite(value):
                self.fixed(labels, value)

    def fixed(self, labels: Labels, value: float, suffix: str = "") -> None:
        """Add a sample whose value never changes."""
        self._add(labels, suffix, go_number(value))

    def open(self, labels: Labels, position: int, suffix: str = "", whole: bool = True) -> None:
        """Add a sample that takes the value at `position`; `whole` for a whole number, else it is a text."""
        if self._known is not None:
            self.fixed(labels, self._known[position], suffix)
            return
        self._holes.append(position)
        self._add(labels, suffix, "%d" if whole else "%b")

    def _add(self, labels: Labels, suffix: str, number: str) -> None:
        """Add a sample, after its family's head if it is the first one; labels are sorted as prometheus-client does."""
        head, self._head = self._head, ""
        self.series += 1
        pairs = {**self._always, **labels}
        text = label_text({label: pairs[label] for label in sorted(pairs)}) if pairs else ""
        name = f"{self._name}{suffix}{text}"
        self._text.append(f"{head}{name} ".replace("%", "%%") + f"{number}\n")

    def freeze(self) -> Form:
        """Close the text: nothing is added from now on, and any number of threads may fill it."""
        # A name that is no Unicode text (a lone surrogate) must not break the whole scrape.
        self._template, self._text = "".join(self._text).encode("utf-8", "replace"), []
        first, *others = self._holes or [0]
        # One look-up of all positions at once. `itemgetter` returns a tuple for two of them and more.
        if others:
            self._pick = itemgetter(first, *others)
        elif self._holes:
            self._pick = lambda values: (values[first],)
        else:
            self._template = self._template.replace(b"%%", b"%")
        return self

    def fill(self, values: Sequence[int | bytes] = ()) -> bytes:
        """Return all lines, with `values` in the open places."""
        return self._template % self._pick(values) if self._pick else self._template
