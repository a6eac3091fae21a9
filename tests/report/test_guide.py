"""The guide: every kind of verdict has its section, on the page and in the documentation."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import monitor.report
from monitor.columns.column import ROLES, Column
from monitor.drift.result import NOTHING, STATES, Change, Direction, DriftResult, Explanation, Span, Worse
from monitor.notify.guide import SECTIONS, first_step
from monitor.notify.message import guide_section
from monitor.report.overview import Row
from monitor.report.render import environment

TEMPLATES = Path(monitor.report.__file__).parent / "templates"


#: Every kind of verdict.
KINDS = {
    *("new-value", "out-of-range", "moved", "spread", "missing", "took-over", "predictions-moved", "outcome-drifted"),
    *("performance-worse", "estimate-worse", "no-traffic", "no-reference"),
}
CHANGES = [change for part in get_args(Change) for change in get_args(part)]
COLUMN = Column("x", "feature", "numeric", edges=(0.0, 1.0))


def test_every_kind_of_verdict_has_a_section_on_the_page_and_in_the_document() -> None:
    text = (Path(__file__).parents[2] / "docs/what-to-do.md").read_text("utf-8")
    assert {one.anchor for one in SECTIONS} == KINDS
    assert set(re.findall(r'<a id="([^"]+)"></a>', text)) == KINDS
    assert all(one.look and one.do for one in SECTIONS)


def test_messages_link_to_every_kind_that_is_told() -> None:
    """All but one: no message is sent of a reference that is missing."""
    linked = {guide_section(role, change) for role in (*ROLES, "") for change in CHANGES}
    assert linked == KINDS - {"no-reference"}
    assert all(len(first_step(f"/what-to-do#{anchor}")) <= 70 for anchor in linked), "beside the link in a message"


def test_pages_link_to_every_kind() -> None:
    """The link of a column fits its verdict; the others are in the templates."""
    by_row = set()
    for role, change, state in product(ROLES, CHANGES, STATES):
        said = Explanation(Direction("", change)) if state in ("ok", "warning", "drift") else NOTHING
        result = DriftResult("drift", "x", role, "numeric", "ks", state, Span(0.0, 60.0), "training", "v")
        by_row.add(Row(replace(COLUMN, role=role), state, 0, result._replace(explanation=said)).guide)
    by_performance = {guide_section("", change) for change in get_args(Worse)}  # as `performance.summarise` takes it
    written = " ".join(path.read_text("utf-8") for path in TEMPLATES.glob("*.html"))
    assert (by_row | by_performance | set(re.findall(r"/what-to-do#([a-z-]+)", written))) - {""} == KINDS


def test_code_in_a_text_is_code_on_the_page() -> None:
    assert environment().filters["code"]("a `b<c` d") == "a <code>b&lt;c</code> d"
