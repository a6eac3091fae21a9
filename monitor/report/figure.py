"""Shapes as SVG text. No styles in here: every colour is a class of page.css, so that dark, print and CSP just work.

Coordinates are whole numbers, and each side of a histogram is one path: a page shows hundreds of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup, escape

from monitor.report.bars import Bar, Plane

#: Size of the histogram in a row of the overview, in units of its view box.
SMALL = (240, 56)


def small_histogram(plane: Plane, label: str, live: bool = True) -> Markup:
    """Both sides of a column, one over the other, as an image with a label. `live`: whether there is a live side."""
    width, height = SMALL
    shapes = [f'<path class="ref" d="{outline(plane.bars, "reference", width, height)}"/>']
    if live:
        shapes.append(f'<path class="live" d="{outline(plane.bars, "test", width, height)}"/>')
    shapes.append(f'<path class="base" d="M0 {height}H{width}"/>')
    return Markup('<svg class="hist" viewBox="0 -2 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height + 4, label, Markup("".join(shapes))
    )


def outline(bars: Sequence[Bar], side: str, width: int, height: int) -> str:
    """One side's bars as the `d` of a path: neighbours share their border, what stands apart is drawn apart.

    >>> bars = (Bar("inside", "", 0, 0.5, 0, 0, 0.5, 0.0), Bar("inside", "", 0.5, 1, 0, 0, 1.0, 0.0))
    >>> outline(bars, "reference", 100, 40)
    'M0 40V20H50V0H100V40'
    """
    parts = []
    end: float | None = None
    for bar in bars:
        left, right = round(bar.left * width), round(bar.right * width)
        tall = bar.reference_height if side == "reference" else bar.test_height
        # A share that is there must be seen: never less than one unit.
        top = height - (max(round(tall * height), 1) if tall > 0 else 0)
        if end is None or bar.where != "inside" or abs(bar.left - end) > 1e-9:
            parts.append(f"{f'V{height}' if end is not None else ''}M{left} {height}")
        parts.append(f"V{top}H{right}")
        end = bar.right
    return "".join(parts) + (f"V{height}" if parts else "")


def strip(levels: Sequence[str], label: str, height: int = 10) -> Markup:
    """A row of a heat map: one cell for each level, a class name; the empty text is a cell without any verdict."""
    cells: dict[str, list[str]] = {}
    at = 0
    for level, run in groupby(levels):
        length = len(list(run))
        if level:
            cells.setdefault(level, []).append(f"M{at} 0h{length}v{height}h-{length}z")
        at += length
    shapes = "".join(f'<path class="{escape(level)}" d="{"".join(d)}"/>' for level, d in cells.items())
    return Markup(
        '<svg class="strip" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(len(levels), height, label, Markup(shapes))
