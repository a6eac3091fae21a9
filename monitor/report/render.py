"""Templates and their environment: Jinja by itself, so that a report needs no web framework."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitor.clock import iso
from monitor.report import words

HERE = Path(__file__).parent
STATIC = HERE / "static"


@cache
def environment() -> Environment:
    """Everything is escaped, and a name that does not exist is an error."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        count=words.count,
        number=words.number,
        percent=words.percent,
        duration=words.duration,
        size=words.size,
        column_path=words.column_path,
        statistic=lambda name: words.STATISTIC_NAMES.get(name, name),
        css=lambda state: state.replace(" ", "-"),
        moment=moment,
    )
    return env


def moment(epoch: float, now: float) -> Markup:
    """Write a moment for people and for programs; page.js adds the reader's own time."""
    return Markup('<time datetime="{}">{}</time>').format(iso(epoch), words.clock_time(epoch, now))


def render(template: str, **context: Any) -> str:
    """Fill a template of this folder."""
    return environment().get_template(template).render(**context)
