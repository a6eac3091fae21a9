"""The histograms of a message as a picture, where matplotlib is installed: `pip install matplotlib`.

A picture follows its message as a message of its own, with one attempt: what matters has been said in words.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from itertools import pairwise
from typing import Any

from monitor.notify.message import Entry, Message, label, title
from monitor.notify.text import cut

#: Longest caption: Telegram takes 1,024 UTF-16 units.
CAPTION = 200


def available() -> bool:
    """Whether pictures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def caption(message: Message) -> str:
    """What stands under the picture."""
    return cut(title(message), CAPTION)


def draw(message: Message) -> bytes:
    """Draw reference and live histogram of each entry that has one, as PNG. ValueError where there is none.

    matplotlib's global state (pyplot) is left alone: senders are threads.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # type: ignore[import-not-found,unused-ignore]
    from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]

    entries = [item for item in message.entries if item.histogram]
    if not entries:
        raise ValueError("no entry has a histogram")
    # What the font does not have is drawn as a box; a warning for each such name would help nobody.
    warnings.filterwarnings("ignore", "Glyph ")
    figure = Figure(figsize=(6, 2.2 * len(entries)), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
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
    for name, colour in (("reference", "tab:gray"), ("test", "tab:orange")):
        shares, shown = histogram[name], {"reference": "reference", "test": "live"}[name]
        if edges:
            widths = [high - low for low, high in pairwise(edges)]
            heights = [share / width for share, width in zip(shares[1:-1], widths, strict=True)]
            axes.stairs(heights, edges, fill=True, alpha=0.5, color=colour, label=shown)
        else:
            places = [place + (0.2 if name == "test" else -0.2) for place in range(len(shares))]
            axes.bar(places, shares, width=0.4, color=colour, label=shown)
    if not edges:
        axes.set_xticks(range(len(categories)), [cut(name, 12) for name in categories], parse_math=False)
    axes.set_yticks([])
    axes.legend(fontsize=8, frameon=False)
