"""Write `config.toml`, `docs/settings.md`, `docs/what-to-do.md` and the tables of `docs/metrics.md` from the code.

Run it after changing a setting or a metric: `python docs/generate.py`. A test fails while the files differ from it.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from monitor.config.settings import RECEIVER_SETTINGS, RULE_SETTINGS, SETTINGS, TEXT, Setting  # noqa: E402
from monitor.exposition import families  # noqa: E402
from monitor.notify import guide  # noqa: E402

TITLES = {
    "model": "The model that is served; or several, each in a table [models.NAME] with the same keys but `name`.",
    "source": "Where counts come from: predictions of this process, or a fleet, or a table.",
    "server": "The HTTP server.",
    "data": "What is kept, where, and for how long.",
    "window": "Windows: the unit in which predictions are counted.",
    "drift": "When drift is worked out, and what counts as drift; a [[rule]] may say otherwise for its columns.",
    "outcomes": "What came true for predictions. Without this section outcomes are refused, and nothing is kept.",
    "metrics": "What /metrics exposes.",
    "alerts": "How alerts become messages.",
    "report": "Reports of a past day, week or month, sent by themselves.",
}

#: What a rule takes over from [drift] where it does not say.
INHERITED = {
    "window": '"30m"',
    "alpha": "0.00015",
    "min_samples": "50",
    "keep_firing_for": '"5m"',
    "reopen": '"7d"',
    "alerts": "1.0",
}

CONFIG_HEAD = """\
# Telltale's settings: every one with its default. A start without this file uses the same values, without [outcomes].
# Durations are texts such as "30s", "5m", "1h30m" or "1d"; sizes such as "500MB" or "2GiB".
# `telltale check` says whether the file is good, and what each rule does.
"""

RULES_HEAD = """
# Rules: each [[rule]] makes an alert for every column that it covers. Without any there are three: `drift` and
# `unusual`, which are shown here, and `traffic`, which watches whether predictions come at all; [outcomes] adds one on
# performance. To write your own, remove the # signs; keys that you leave out have the values shown.
#
# [[rule]]"""

RECEIVERS_HEAD = """
# Receivers: who is told. This file holds no secret: name the environment variable, or the file, that holds it.
#
# [receivers.team]
# kind = "slack"
# url_env = "SLACK_WEBHOOK_URL"
#
# [receivers.phone]
# kind = "telegram"
# token_env = "TELEGRAM_TOKEN"
# chat_id = "123456789"
#
# All keys of a receiver:
#"""

SETTINGS_HEAD = """\
# Settings

All settings of `config.toml`. `python docs/generate.py` writes this page from `monitor/config/settings.py`.
A file with an unknown key, a wrong type or a bad duration stops the start with exit code 2,
and the error names the file, the key, what was expected, and the nearest known key; of broken TOML also the line.
"""


def literal(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value >= 10_000:
        return f"{value:_}"
    return "{}" if value == {} else json.dumps(value)


def expects(row: Setting) -> str:
    """Say what a key takes, where that is more than a text."""
    return "" if row.expected is TEXT else f"Expects {row.expected.text}."


def comment(row: Setting) -> list[str]:
    """Comment lines above a key."""
    return [f"# {line}" for line in textwrap.wrap(f"{row.help} {expects(row)}".strip(), 112)]


def config_toml() -> str:
    """The whole of config.toml."""
    out = [CONFIG_HEAD]
    for section, rows in SETTINGS.items():
        out += [f"# {TITLES[section]}", f"[{section}]"]
        for row in rows:
            out += [*comment(row), f"{row.key} = {literal(row.default)}"]
        out.append("")
    out[-1] = RULES_HEAD.lstrip("\n")
    usual = [row for row in RULE_SETTINGS if row.key == "alerts"]
    for row in (row for row in RULE_SETTINGS if row not in usual):
        example = {"name": '"drift"', "floor": "0.1", **INHERITED}.get(row.key) or literal(row.default)
        out += [*(f"# {line}" for line in comment(row)), f"# {row.key} = {example}"]
    out += ["#", "# [[rule]]", '# name = "unusual"', '# reference = "usual"']
    for row in usual:
        out += [*(f"# {line}" for line in comment(row)), f"# {row.key} = {INHERITED[row.key]}"]
    out.append(RECEIVERS_HEAD)
    for row in RECEIVER_SETTINGS:
        example = {"kind": '"slack"'}.get(row.key) or literal(row.default)
        out += [*(f"# {line}" for line in comment(row)), f"# {row.key} = {example}"]
    return "\n".join(out) + "\n"


def table(rows: tuple[Setting, ...]) -> list[str]:
    """A Markdown table of settings."""
    out = ["| key | default | meaning |", "| --- | --- | --- |"]
    for row in rows:
        default = "-" if row.default is None else f"`{literal(row.default)}`"
        out.append(f"| `{row.key}` | {default} | {row.help} {expects(row)} |".replace("  |", " |"))
    return [*out, ""]


def settings_md() -> str:
    """The whole of docs/settings.md."""
    out = [SETTINGS_HEAD]
    for section, rows in SETTINGS.items():
        out += [f"## [{section}]", "", TITLES[section], "", *table(rows)]
    out += [
        "## [[rule]]",
        "",
        "One table for each rule. Without any there are three: `drift`, `unusual` and `traffic`.",
    ]
    out += ["How rules work: [rules.md](rules.md).", "", *table(RULE_SETTINGS)]
    out += [
        "## [receivers.NAME]",
        "",
        "One table for each receiver. What a message looks like and how it is delivered:",
    ]
    out += ["[alerts.md](alerts.md).", "", *table(RECEIVER_SETTINGS)]
    return "\n".join(out).rstrip() + "\n"


def metrics_tables() -> str:
    """Return the tables of docs/metrics.md."""
    lines = []
    for title, chapter in families.CHAPTERS.items():
        lines += [f"## {title}", "", "| family | type | labels | meaning |", "| --- | --- | --- | --- |"]
        for family in chapter:
            labels = ", ".join(f"`{name}`" for name in family.labels)
            lines.append(f"| `{family.name}` | {family.type} | {labels} | {family.help} |")
        lines.append("")
    return "\n".join(lines)


def guide_md() -> str:
    """Return `docs/what-to-do.md`."""
    out = ["# What to do", "", guide.INTRO, ""]
    for one in guide.SECTIONS:
        # Links from messages name the anchor, which is not made from the title.
        out += [f'<a id="{one.anchor}"></a>', "", f"## {one.title}", "", one.means, "", "Look at:", ""]
        out += [*(f"- {text}" for text in one.look), "", "Do:", "", *(f"- {text}" for text in one.do), ""]
    return "\n".join(out).rstrip() + "\n"


def main() -> None:
    """Write all files."""
    (ROOT / "config.toml").write_text(config_toml(), "utf-8")
    (ROOT / "docs" / "settings.md").write_text(settings_md(), "utf-8")
    (ROOT / "docs" / "what-to-do.md").write_text(guide_md(), "utf-8")
    metrics = ROOT / "docs" / "metrics.md"
    words, _, _ = metrics.read_text("utf-8").partition("## Distributions")
    metrics.write_text(words + metrics_tables(), "utf-8")


if __name__ == "__main__":
    main()
