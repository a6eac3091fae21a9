"""The histograms of a message as a picture, if matplotlib is installed: `pip install matplotlib`.

A picture follows its message as a message of its own, with one attempt: the message has said in words what matters.
"""

from __future__ import annotations

import io
import warnings
from itertools import pairwise
from typing import Any

from monitor.columns.column import Column, Counts
from monitor.notify.http import Decision
from monitor.notify.message import Entry, Message, label, title
from monitor.notify.text import cut

#: The size of one histogram in inches, and the room around it: for its name above, and names of categories below.
WIDTH, HEIGHT, SIDE, ABOVE, BELOW = 6.0, 2.2, 0.1, 0.3, 0.3

#: Longest caption: Telegram takes 1,024 UTF-16 units.
CAPTION = 200


def histogram(column: Column, reference: Counts, test: Counts) -> dict[str, list[Any]] | None:
    """What a picture is drawn from, for an entry; None if there is nothing to draw.

    `reference`, `test`: counts of both windows, shape (column.size,).
    """
    drawn: dict[str, list[Any]] = {"edges": list(column.edges), "categories": []}
    for side, counts in (("reference", reference), ("test", test)):
        values = counts[: column.value_bins].tolist()
        drawn[side] = [rows / (sum(values) or 1) for rows in values]
    if column.numeric:
        return drawn if len(column.edges) > 1 else None
    return {**drawn, "edges": [], "categories": [*column.categories, "unseen values"]}


def picture(message: Message) -> tuple[bytes, str] | Decision:
    """Return a message's picture as PNG and its caption, or that it cannot be drawn."""
    try:
        return draw(message), cut(title(message), CAPTION)
    except Exception as error:  # noqa: BLE001 - matplotlib's errors are its own, and pictures are an extra
        return Decision("dead", f"the picture could not be drawn ({type(error).__name__})")


def draw(message: Message) -> bytes:
    """Draw the reference and live histogram of each entry that has one, as PNG. Raises ValueError if none has.

    matplotlib's global state (pyplot) is not used, because senders are threads.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # type: ignore[import-not-found,unused-ignore]
    from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]

    entries = [item for item in message.entries if item.histogram]
    if not entries:
        raise ValueError("no entry has a histogram")
    # A character that the font lacks is drawn as a box; no warning for each.
    warnings.filterwarnings("ignore", "Glyph ")
    figure = Figure(figsize=(WIDTH, HEIGHT * len(entries)), dpi=100)
    canvas: Any = FigureCanvasAgg(figure)
    # The room is known: to have it worked out from all that is drawn takes as long as to draw it.
    total, inner = HEIGHT * len(entries), HEIGHT - ABOVE - BELOW
    side, top, bottom, between = SIDE / WIDTH, 1 - ABOVE / total, BELOW / total, (ABOVE + BELOW) / inner
    figure.subplots_adjust(left=side, right=1 - side, top=top, bottom=bottom, hspace=between)
    for axes, item in zip(figure.subplots(len(entries), squeeze=False)[:, 0], entries, strict=True):
        _draw(axes, item)
    out = io.BytesIO()
    canvas.print_png(out)
    return out.getvalue()


def _draw(axes: Any, item: Entry) -> None:
    histogram: dict[str, Any] = item.histogram or {}
    edges, categories = histogram["edges"], histogram["categories"]
    # Names are data: `$x$` in one must not be read as mathematics.
    axes.set_title(cut(label(item), 40), fontsize=10, parse_math=False)
    sides = (("reference", "reference", "tab:gray", -0.2), ("test", "live", "tab:orange", 0.2))
    for side, name, colour, offset in sides:
        shares = histogram[side]
        if edges:
            heights = [share / (high - low) for share, (low, high) in zip(shares[1:-1], pairwise(edges), strict=True)]
            axes.stairs(heights, edges, fill=True, alpha=0.5, color=colour, label=name)
        else:
            axes.bar([place + offset for place in range(len(shares))], shares, width=0.4, color=colour, label=name)
    if not edges:
        axes.set_xticks(range(len(categories)), [cut(name, 12) for name in categories], parse_math=False)
    axes.set_yticks([])
    axes.legend(fontsize=8, frameon=False)
