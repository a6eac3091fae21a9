"""The dashboards as files: current, of this Grafana's panel types, and with metrics that exist."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.exposition.families import FAMILIES
from tests.compose.promtool import RULES

FOLDER = Path(__file__).parents[2] / "compose/grafana"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
NAME = re.compile(r"\btelltale(?::[a-z0-9_]+)+|\btelltale_[a-z_]+")
PANELS = {"barchart", "heatmap", "row", "stat", "status-history", "table", "timeseries"}


def panels(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in node.get("panels", ()):
        yield panel
        yield from panels(panel)


def known() -> set[str]:
    """Every name that a query may use: families with their samples' suffixes, and what the rules record."""
    names = set()
    for family in FAMILIES.values():
        suffixes = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("",)
        names |= {family.name + suffix for suffix in suffixes}
    rules = "".join(path.read_text() for path in RULES.glob("*.yml"))
    return names | set(re.findall(r"record: (\S+)", rules))


def test_the_files_are_what_the_script_builds() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed")
    script = runpy.run_path(str(FOLDER / "build.py"))
    built = {name: script["to_json"](made()) for name, made in script["BOARDS"].items()}
    assert built == {path.name: path.read_text() for path in DASHBOARDS}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_complete(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    assert dashboard["uid"].startswith("telltale-")
    assert dashboard["links"]
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    found = list(panels(dashboard))
    assert {panel["type"] for panel in found} <= PANELS
    for panel in found:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"  # whatever it is called in somebody's own Grafana
            assert panel["title"]
            assert panel["description"]
            assert panel["targets"]
            references = [target["refId"] for target in panel["targets"]]
            assert len(set(references)) == len(references)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_lie_on_one_another(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(json.loads(path.read_text())):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for cell in (
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in taken, f"{panel['title']} lies on {taken.get(cell)}"
            taken[cell] = panel["title"]


@pytest.mark.parametrize("path", [*DASHBOARDS, *sorted(RULES.glob("*.yml"))], ids=lambda path: path.name)
def test_every_metric_exists(path: Path) -> None:
    if path.suffix == ".json":
        dashboard = json.loads(path.read_text())
        queries = [target["expr"] for panel in panels(dashboard) for target in panel.get("targets", ())]
        queries += [
            json.dumps(variable.get("query", "")) for variable in dashboard.get("templating", {}).get("list", ())
        ]
        text = "\n".join(queries)
    else:
        text = re.sub(r"#.*|name: .*", "", path.read_text())
    used = set(NAME.findall(text))
    assert used
    assert used <= known()


def test_documents_name_only_what_exists() -> None:
    text = (FOLDER.parents[1] / "docs/grafana.md").read_text()
    used = set(NAME.findall(text.replace("secrets/telltale_token", "")))  # a file, not a metric
    assert used
    assert used <= known() | {"telltale_value"}


def test_the_document_tells_what_each_panel_tells() -> None:
    text = (FOLDER.parents[1] / "docs/grafana.md").read_text()
    titles = {panel["title"] for path in DASHBOARDS for panel in panels(json.loads(path.read_text()))}
    plain = {re.sub(r"^\$\w+: ", "", title).replace("$window", "...") for title in titles if "Feature: " not in title}
    assert len(plain) > 20
    assert [title for title in sorted(plain) if title not in text and not title.startswith("Prediction: ")] == []
