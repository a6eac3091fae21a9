"""The table of metric families, and the documents and versions that must agree with it."""

from __future__ import annotations

from pathlib import Path

from monitor.exposition.families import FAMILIES

ROOT = Path(__file__).parents[2]


def test_names_follow_the_conventions() -> None:
    for family in FAMILIES.values():
        assert family.name.startswith("telltale_")
        assert family.name.endswith("_total") == (family.type == "counter")
        assert family.name.endswith("_info") == (family.type == "info")
        assert family.help.endswith(".")
        assert len(family.help) < 200
