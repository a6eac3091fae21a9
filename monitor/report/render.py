"""Templates and their environment: Jinja by itself, so that a report needs no web framework."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from monitor import words
from monitor.clock import from_iso, iso
from monitor.columns.column import MISSING, NONFINITE, OTHER, ROLES, column_path
from monitor.notify.message import around
from monitor.outcomes.performance import metric_name, value_name
from monitor.report import glossary

HERE = Path(__file__).parent
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"

#: The reserved bins as people call them.
PLAIN = {OTHER: "unseen values", MISSING: "missing", NONFINITE: "infinite"}

#: Functions of `words` that are filters by the same name.
WORDS = ("count", "counted", "number", "percent", "p_value", "statistic", "duration", "size")


@cache
def environment() -> Environment:
    """Build the environment: everything is escaped, and an unknown name is an error.

    All templates are read now, because an update of the files must not change half of a running server. Each is
    compiled when it is first filled: a start would take a fifth longer to compile them all.
    """
    texts = {path.name: path.read_text("utf-8") for path in TEMPLATES.glob("*.html")}
    env = Environment(
        loader=FunctionLoader(lambda name: (texts[name], str(TEMPLATES / name), None) if name in texts else None),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters |= {name: getattr(words, name) for name in WORDS}
    env.filters |= {"points": points, "moment": moment, "stretch": stretch, "column_path": column_path}
    env.filters["minute"] = lambda epoch: iso(epoch // 60 * 60)
    env.filters["bound"] = lambda text: text.replace(" %", "\u00a0%")
    env.filters["around"] = around
    env.filters["code"] = lambda text: Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704
    env.filters["day"] = lambda epoch: iso(epoch)[:10]
    env.filters["plain"] = lambda label: PLAIN.get(label, label)
    env.filters["css"] = lambda state: state.replace(" ", "-")
    env.filters["css_text"] = lambda text: Markup("".join(c if c.isalnum() else f"\\{ord(c):x} " for c in text))  # noqa: S704
    env.filters |= {"metric_name": metric_name, "value_name": value_name}
    env.filters["labelled"] = labelled
    env.filters["glob"] = glob.escape
    env.filters |= {"term": glossary.term, "anchor": glossary.anchor}
    env.globals["glossary"] = glossary.WORDS
    env.globals |= {"roles": ROLES, "program": words.program, "badge": badge, "nums": nums, "shorter": shorter}
    return env


# Rows of tables call these often; as macros they would take several times as long.
@lru_cache(256, typed=True)
def badge(state: str, text: str | None = None) -> Markup:
    """Mark a state with its colour. `text`: other words for it.

    >>> badge("no traffic"), badge("<", Markup("<b>"))
    (Markup('<span class="badge no-traffic">no traffic</span>'), Markup('<span class="badge &lt;"><b></span>'))
    """
    return Markup(f'<span class="badge {escape(state.replace(" ", "-"))}">{escape(text or state)}</span>')  # noqa: S704 - escaped


def nums(*texts: str) -> Markup:
    """Write cells of a table with numbers.

    >>> nums("1", "<2")
    Markup('<td class="num">1</td><td class="num">&lt;2</td>')
    """
    return Markup("".join([f'<td class="num">{escape(text)}</td>' for text in texts]))  # noqa: S704 - escaped


def shorter(name: str) -> Markup:
    """Write a column's name, broken where its parts meet if there is no room.

    >>> shorter("a_b<"), shorter(" ")
    (Markup('<bdi>a_<wbr>b&lt;</bdi>'), Markup('<i>(no name)</i>'))
    """
    if not name.strip():
        return Markup("<i>(no name)</i>")
    return Markup(f"<bdi>{escape(name).replace('_', Markup('_<wbr>'))}</bdi>")  # noqa: S704 - escaped


@lru_cache(1024)
def moment(when: float | str | None, now: float | None, dated: bool = False) -> Markup:
    """Write a moment for people and for programs, with its full date if `now` is None; page.js adds the local time.

    `when`: seconds since 1970, or the text that the store has; None becomes the empty text. `dated`: also of today.
    """
    if when is None:
        return Markup("")
    epoch = from_iso(when) if isinstance(when, str) else when
    text = words.date_time(epoch, now) if now is None or dated else words.clock_time(epoch, now)
    return Markup(f'<time datetime="{iso(epoch)}">{text}</time>')  # noqa: S704 - both are written here


def stretch(begin: float | str, end: float | str, now: float | None) -> Markup:
    """Write a period by both moments; the second has its date too if it is on another day than the first.

    >>> stretch(7800.0, 94200.0, 94200.0).striptags(), stretch(86400.0, 94200.0, 94200.0).striptags()
    ('1 Jan, 02:10 UTC to 2 Jan, 02:10 UTC', '00:00 UTC to 02:10 UTC')
    """
    days = [iso(from_iso(when) if isinstance(when, str) else when)[:10] for when in (begin, end)]
    return moment(begin, now) + " to " + moment(end, now, days[0] != days[1])


def points(change: float) -> str:
    """Write a change of a share.

    >>> points(0.0312), points(-0.2), points(1.0), points(0.0)
    ('+3.1 points', '-20 points', '+100 points', '0 points')
    """
    size = words.number(100 * abs(change), 2 if abs(change) < 0.1 else 3)
    return f"{'+' if change > 0 else '-' * (change < 0)}{size} points"


def labelled(row: Markup, names: Sequence[str]) -> Markup:
    """Name the numbers in a row of a table, for a narrow screen, where cells are not below their headings.

    >>> labelled(Markup('<th>a</th><td class="num">7</td>'), ["Bin", "#Live rows"])
    Markup('<th>a</th><td class="num"><span class="label">live rows </span>7</td>')
    """
    parts = _CELL.split(row)
    for at, label in zip(range(1, len(parts), 2), _labels(tuple(names)), strict=False):
        parts[at] += label
    return Markup("".join(parts))  # noqa: S704 - was Markup


_CELL = re.compile(r"(<t[hd]\b[^>]*>)")


@lru_cache(256)
def _labels(names: tuple[str, ...]) -> tuple[str, ...]:
    """Labels of the cells of a row, "" for those without one; the same for all rows of a table."""
    return tuple(f'<span class="label">{escape(n[1].lower() + n[2:])} </span>' * (n[0] == "#") for n in names)


def render(template: str, **context: Any) -> str:
    """Fill a template of this folder."""
    return environment().get_template(template).render(**context)
