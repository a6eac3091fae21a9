"""The table of metric families, and the documents and versions that must agree with it."""

from __future__ import annotations

from pathlib import Path

from monitor.exposition.families import FAMILIES, markdown

ROOT = Path(__file__).parents[2]


def test_the_document_is_current() -> None:
    assert markdown().strip() in (ROOT / "docs/metrics.md").read_text(), "run `python docs/generate.py`"


def test_names_follow_the_conventions() -> None:
    for family in FAMILIES.values():
        assert family.name.startswith("telltale_")
        assert family.name.endswith("_total") == (family.type == "counter")
        assert family.name.endswith("_info") == (family.type == "info")
        assert family.help.endswith(".")
        assert len(family.help) < 200
