"""The guide: every kind of verdict has its section, on the page and in the documentation."""

from __future__ import annotations

from typing import get_args

from monitor.drift.result import Change
from monitor.notify.message import guide_section
from monitor.report.guide import SECTIONS, markdown
from monitor.report.render import environment


def test_every_change_has_a_section() -> None:
    anchors = {one.anchor for one in SECTIONS}
    assert {guide_section(role, change) for role in ("feature", "") for change in get_args(Change)} < anchors
    assert {guide_section("prediction", "moved"), guide_section("outcome", "moved")} < anchors
    assert all(f'<a id="{anchor}"></a>' in markdown() for anchor in anchors)
    assert all(one.look and one.do for one in SECTIONS)


def test_code_in_a_text_is_code_on_the_page() -> None:
    assert environment().filters["code"]("a `b<c` d") == "a <code>b&lt;c</code> d"
