"""The documents say what the code does: settings, commands, routes and tables."""

from __future__ import annotations

import argparse
import importlib.util
import pkgutil
import re
import sqlite3
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from monitor import cli
from monitor.__main__ import MODULES, build_parser
from monitor.cli.command import COMMANDS
from monitor.config.load import Config
from monitor.config.settings import RECEIVER_KINDS, RECEIVER_SETTINGS, RULE_SETTINGS, SETTINGS
from monitor.outcomes.performance import METRICS
from monitor.store.file.migrations import migrate
from monitor.words import STATISTIC_NAMES

ROOT = Path(__file__).resolve().parent.parent
DOCS = "\n".join(path.read_text("utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_settings_documents_are_what_the_table_says() -> None:
    generate = generator()
    assert (ROOT / "config.toml").read_text("utf-8") == generate.config_toml(), "run: python docs/generate.py"
    assert (ROOT / "docs/settings.md").read_text("utf-8") == generate.settings_md(), "run: python docs/generate.py"
    assert generate.metrics_tables().strip() in (ROOT / "docs/metrics.md").read_text("utf-8"), (
        "run: python docs/generate.py"
    )
    assert (ROOT / "docs/what-to-do.md").read_text("utf-8") == generate.guide_md(), "run: python docs/generate.py"


def test_the_shipped_file_is_the_defaults() -> None:
    assert Config.load(ROOT / "config.toml") == Config.from_text("[outcomes]", str(ROOT / "config.toml"))


def test_what_the_shipped_file_shows_as_comments_is_the_defaults_too() -> None:
    def shown(mark: str) -> str:
        (block,) = (block for block in (ROOT / "config.toml").read_text("utf-8").split("\n\n") if mark in block)
        return re.sub(r"^# ?", "", block[block.index(mark) + len(mark) :], flags=re.MULTILINE)

    rule = "[[rule]]" + shown("# [[rule]]")
    first, second = tomllib.loads(rule)["rule"]
    assert first.keys() | second.keys() == {row.key for row in RULE_SETTINGS}
    drift, unusual, _ = Config.from_text("").rules
    assert Config.from_text(rule).rules == (replace(drift, floor=0.1), unusual)
    receiver = {row.key: row.default for row in RECEIVER_SETTINGS} | {"kind": "slack"}
    assert tomllib.loads(shown("# All keys of a receiver:")) == receiver


def test_every_setting_explains_itself() -> None:
    for row in (*(row for rows in SETTINGS.values() for row in rows), *RULE_SETTINGS, *RECEIVER_SETTINGS):
        text = getattr(row, "help", "")
        assert len(text) > 20, row
        assert text.endswith("."), row


def test_every_command_is_documented() -> None:
    for module in pkgutil.iter_modules(cli.__path__, "monitor.cli."):
        importlib.import_module(module.name)
    names = {name.partition(" ")[0] for name in COMMANDS}
    assert names == MODULES.keys(), "COMMANDS_OF lists each command with its module"
    text = (ROOT / "docs/commands.md").read_text("utf-8")
    wanted = {name: [f"\n## {name}\n", f"[`{name}`](#{name})"] for name in names}
    assert [one for name in wanted for one in wanted[name] if one not in text] == []


def test_every_statistic_metric_and_receiver_is_documented() -> None:
    statistics, alerts, outcomes = (
        (ROOT / f"docs/{name}.md").read_text() for name in ("statistics", "alerts", "outcomes")
    )
    assert [name for name in STATISTIC_NAMES if f"\n| `{name}` |" not in statistics] == []
    assert [
        kind for kind in RECEIVER_KINDS if f'kind = "{kind}"' not in alerts and f"kind `{kind}`" not in alerts
    ] == []
    assert [name for name in METRICS if f"`{name}`" not in outcomes and f"`{name}[" not in outcomes] == []


def test_every_option_of_a_command_is_in_its_section() -> None:
    sections = dict(
        re.findall(r"^## ([a-z-]+)\n(.*?)(?=^## |\Z)", (ROOT / "docs/commands.md").read_text(), re.M | re.S)
    )
    missing = []
    for name, text in sections.items():
        parsers = [build_parser(name)]
        for parser in parsers:
            for action in parser._actions:
                if isinstance(action, argparse._SubParsersAction):
                    parsers += [one for key, one in action.choices.items() if parser.prog.endswith(name) or key == name]
                else:
                    options = [option for option in action.option_strings if option.startswith("--")]
                    missing += [f"{name} {option}" for option in options if option not in text]
    common = {"--help", "--version", "--config", "--data", "--model"}
    assert [one for one in missing if one.split()[1] not in common] == []


def test_every_table_and_view_is_documented() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    names = [
        row[0]
        for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        if not row[0].startswith(("_sqlite", "sqlite_"))
    ]
    connection.close()
    assert "windows" in names
    missing = [name for name in names if f"`{name}`" not in DOCS]
    assert not missing


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_and_folder_that_is_named_to_developers_exists(name: str) -> None:
    named = set(re.findall(r"`((?:monitor|server|train|tests|docs|bench)/[\w/.-]*)`", (ROOT / name).read_text("utf-8")))
    assert len(named) > 5
    assert [path for path in sorted(named) if not any(ROOT.glob(path.rstrip("/")))] == []


def test_every_room_is_in_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    owners = text.partition("## Who owns what")[2].partition("\n## ")[0]
    rooms = [path.parent.name for path in ROOT.glob("monitor/*/__init__.py")]
    assert [room for room in rooms if f"`monitor/{room}/" not in owners and f"`{room}/`" not in owners] == []


def test_every_link_between_documents_leads_somewhere() -> None:
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_every_document_is_in_the_navigation_of_the_site() -> None:
    ordered = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
    assert {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} - ordered == set()
