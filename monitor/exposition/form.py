"""Ready text with holes for numbers: what `/metrics` is filled into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from monitor.exposition.families import Family
from monitor.window.columns import go_number

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

    An open one is a position in the list of texts that `fill` is given later. Where all whole numbers have a plain
    spelling (below a million), `fill_plain` takes the numbers themselves and is about twice as fast.

    >>> form = Form()
    >>> form.begin(Family("x", "gauge", (), "Things."), openmetrics=False)
    >>> form.fixed("x", {"a": "1"}, 2.0)
    >>> form.open("x", {"a": "2"}, 0)
    >>> print(form.freeze().fill([b"7.0"]).decode(), end="")
    # HELP x Things.
    # TYPE x gauge
    x{a="1"} 2.0
    x{a="2"} 7.0
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._text: list[str] = []
        self._holes: list[int] = []
        self._fields: list[bytes] = []
        self._template = b""
        self._pick: Callable[[Sequence[Any]], Sequence[Any]]
        self._head = ""
        self.series = 0

    def begin(self, family: Family, openmetrics: bool) -> None:
        """Begin a family; nothing is written of one that gets no samples."""
        self._head = family.head(openmetrics)

    def fixed(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Add a sample whose value never changes."""
        self._text.append(f"{self._name(name)}{label_part(labels)} {go_number(value)}\n")

    def open(self, name: str, labels: Mapping[str, str], position: int, whole: bool = True) -> None:
        """Add a sample that takes the text at `position`; `whole` for a whole number."""
        self._text.append(f"{self._name(name)}{label_part(labels)} ")
        self._close_piece()
        self._holes.append(position)
        self._fields.append(b"%d.0" if whole else b"%b")
        self._text.append("\n")

    def pieces(self, texts: Sequence[bytes]) -> list[bytes]:
        """Return all text with `texts` in the open places, in pieces still to be joined."""
        if not self._holes:
            return self._pieces
        out = [b""] * (len(self._pieces) + len(self._holes))
        out[0::2] = self._pieces
        out[1::2] = self._pick(texts)
        return out

    def fill(self, texts: Sequence[bytes] = ()) -> bytes:
        """Return all lines, with `texts` in the open places."""
        return b"".join(self.pieces(texts))

    def fill_plain(self, values: Sequence[int | bytes]) -> bytes:
        """Return all lines, given whole numbers below a million, and texts for what is not a whole number."""
        return self._template % tuple(self._pick(values)) if self._holes else b"".join(self._pieces)

    def freeze(self) -> Form:
        """Close the text: nothing is added from now on, and any number of threads may fill it."""
        self._close_piece()
        parts = [b""] * (len(self._pieces) + len(self._holes))
        parts[0::2] = [piece.replace(b"%", b"%%") for piece in self._pieces]
        parts[1::2] = self._fields
        self._template = b"".join(parts)
        # One look-up of all positions at once; with a single one `itemgetter` would not return a tuple.
        self._pick = itemgetter(*self._holes) if len(self._holes) > 1 else lambda texts: [texts[i] for i in self._holes]
        return self

    def _name(self, name: str) -> str:
        """The name of the next sample, behind its family's head where it is the first one."""
        head, self._head = self._head, ""
        self.series += 1
        return head + name

    def _close_piece(self) -> None:
        # A name that is no Unicode text (a lone surrogate) must not break the whole scrape.
        self._pieces.append("".join(self._text).encode("utf-8", "replace"))
        self._text = []
