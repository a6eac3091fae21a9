"""Ready text with holes for numbers: what `/metrics` is filled into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from monitor.columns.column import go_number
from monitor.exposition.families import Family

#: Labels that every sample carries: the model version, and the replica where it has a name.
Labels = Mapping[str, str]


def escape(value: str) -> str:
    r"""Escape a label value, as both formats want it.

    >>> print(escape('a"b' + chr(92)))
    a\"b\\
    """
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def label_part(labels: Mapping[str, str]) -> str:
    """Write labels in braces, sorted by name as prometheus-client does; nothing where there are none.

    >>> label_part({"role": "feature", "column": "bmi"}), label_part({})
    ('{column="bmi",role="feature"}', '')
    """
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escape(labels[name])}"' for name in sorted(labels)) + "}"


class Form:
    """Lines of text, each ending in a number that is either fixed or left open.

    An open one is a position in the list of values that `fill` is given later: whole numbers, and ready texts of all
    others. Whole numbers are written with all their digits: a reader takes `12000000` for the same number as the
    `1.2e+07` of prometheus-client, and it is written several times as fast.

    >>> form = Form()
    >>> form.begin(Family("x", "gauge", (), "Things."), openmetrics=False)
    >>> form.fixed("x", {"a": "1"}, 2.0)
    >>> form.open("x", {"a": "2"}, 1)
    >>> form.open("x", {"a": "3"}, 0, whole=False)
    >>> print(form.freeze().fill([b"0.5", 12000000]).decode(), end="")
    # HELP x Things.
    # TYPE x gauge
    x{a="1"} 2.0
    x{a="2"} 12000000
    x{a="3"} 0.5
    """

    def __init__(self) -> None:
        self._text: list[str] = []
        self._holes: list[int] = []
        self._template = b""
        self._pick: Callable[[Sequence[int | bytes]], tuple[int | bytes, ...]] | None = None
        self._head = ""
        self.series = 0

    def begin(self, family: Family, openmetrics: bool) -> None:
        """Begin a family; nothing is written of one that gets no samples."""
        self._head = family.head(openmetrics)

    def fixed(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Add a sample whose value never changes."""
        self._text.append(f"{self._name(name, labels)} {go_number(value)}\n")

    def open(self, name: str, labels: Mapping[str, str], position: int, whole: bool = True) -> None:
        """Add a sample that takes the value at `position`; `whole` for a whole number, else it is a text."""
        self._text.append(f"{self._name(name, labels)} {'%d' if whole else '%b'}\n")
        self._holes.append(position)

    def fill(self, values: Sequence[int | bytes] = ()) -> bytes:
        """Return all lines, with `values` in the open places."""
        return self._template % self._pick(values) if self._pick else self._template

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

    def _name(self, name: str, labels: Mapping[str, str]) -> str:
        """The name and labels of the next sample, behind its family's head where it is the first one."""
        head, self._head = self._head, ""
        self.series += 1
        return (head + name + label_part(labels)).replace("%", "%%")
