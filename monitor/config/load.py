"""`config.toml`: read, checked key by key against `monitor.config.settings`, and turned into frozen dataclasses."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.config.settings import RECEIVER_KINDS, RECEIVER_SETTINGS, RULE_SETTINGS, SETTINGS, Setting
from monitor.errors import ConfigError
from monitor.rules.reference import USUAL, reference_span
from monitor.rules.rule import PRESETS, Rule


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`[model]`."""

    name: str
    path: str
    reference: str
    missing: str
    version: str
    proba: bool = False


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`[server]`."""

    host: str
    port: int
    threads: int
    url: str
    max_body: int
    max_bulk: int = 1 << 26
    token_env: str = ""
    token_file: str = ""
    protect: str = "pages"
    hosts: tuple[str, ...] = ()
    trust_network: bool = False


@dataclass(frozen=True, slots=True)
class DataConfig:
    """`[data]`: durations in seconds, sizes in bytes."""

    path: str
    keep_minutes: float
    keep_hours: float
    keep: float
    keep_unseen: int
    max_size: int
    segment: int
    sync: float


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """`[window]`: seconds."""

    base: float
    fold: float


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """`[drift]`: durations in seconds."""

    every: float
    window: float
    alpha: float
    min_samples: int
    alerts: float = 1.0
    windows: tuple[int, ...] = ()
    timezone: str = "UTC"
    quiet: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """`[metrics]`."""

    boxkite: bool
    max_series: int


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """`[alerts]`: durations in seconds."""

    repeat: float
    group_wait: float
    receivers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReceiverConfig:
    """`[receivers.NAME]`. Secrets are not in here: only where to find them."""

    name: str
    kind: str
    url: str
    url_env: str
    url_file: str
    token_env: str
    token_file: str
    chat_id: str
    api_url: str
    channel: str
    severities: tuple[str, ...]
    match: dict[str, str]
    resolved: bool


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `config.toml` says, with defaults filled in."""

    model: ModelConfig
    server: ServerConfig
    data: DataConfig
    window: WindowConfig
    drift: DriftConfig
    metrics: MetricsConfig
    alerts: AlertsConfig
    rules: tuple[Rule, ...]
    receivers: tuple[ReceiverConfig, ...]
    source: str = field(default="defaults")

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Config:
        """Read a file; without one, `config.toml` of the current folder, or the defaults where there is none.

        Raises ConfigError that names file, line, key, what was expected, and the nearest known key.
        """
        file = Path(path) if path is not None else Path("config.toml")
        if path is None and not file.exists():
            return cls.from_text("", "defaults")
        try:
            return cls.from_text(file.read_text("utf-8"), str(file))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: is not UTF-8: {error}") from error

    @classmethod
    def from_text(cls, text: str, source: str = "config.toml") -> Config:
        """Read the text of a file. Raises ConfigError."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{source}: not valid TOML: {error}") from error
        return _Reader(source, text).config(data)


#: The rules of someone who configures nothing: what differs from training, and what is unusual. Test windows overlap
#: from one evaluation to the next, so waiting adds delay, not evidence: `for` is zero.
DEFAULT_RULES = ({"name": "drift", "reopen": "7d"}, {"name": "unusual", "reference": USUAL})

#: Settings of a rule that say how it compares with training data, and mean nothing for what is usual.
NOT_USUAL = ("alpha", "floor", "min_samples", "max_age", "independent")


class _Reader:
    """Reads one file; knows its name and text, so that an error can point into it."""

    def __init__(self, source: str, text: str) -> None:
        self.source, self.text = source, text

    def config(self, data: dict[str, Any]) -> Config:
        known = [*SETTINGS, "rule", "receivers"]
        for section in data:
            if section not in known:
                raise self.error(section, f"unknown section [{section}]", section, known)
        sections = {
            name: self.section(name, rows, self.table(name, data.get(name, {}))) for name, rows in SETTINGS.items()
        }
        drift = DriftConfig(**sections["drift"])
        receivers = self.receivers(self.table("receivers", data.get("receivers", {})))
        alerts = AlertsConfig(**sections["alerts"])
        rules = self.rules(data.get("rule", []), drift)
        names = [receiver.name for receiver in receivers]
        for where, wanted in [("alerts", alerts.receivers), *((f"rule {rule.name}", rule.receivers) for rule in rules)]:
            for name in wanted:
                if name not in names:
                    raise self.error("receivers", f"{where}: there is no receiver {name!r}", name, names)
        return Config(
            ModelConfig(**sections["model"]),
            ServerConfig(**sections["server"]),
            DataConfig(**sections["data"]),
            WindowConfig(**sections["window"]),
            drift,
            MetricsConfig(**sections["metrics"]),
            alerts,
            rules,
            receivers,
            self.source,
        )

    def table(self, name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(name, f"{name}: expected a table, got {value!r}")
        return value

    def section(self, name: str, rows: tuple[Setting, ...], given: Mapping[str, Any]) -> dict[str, Any]:
        """Values of one table, checked, defaults filled in."""
        known = {row.key: row for row in rows}
        for key in given:
            if key not in known:
                raise self.error(key, f"{name}: unknown key {key!r}", key, list(known))
        values = {}
        for row in rows:
            value = given.get(row.key, row.default)
            if value is not None:
                try:
                    value = row.read(value)
                except ValueError as error:
                    raise self.error(row.key, f"{name}.{row.key}: {error}") from None
            values[row.key] = value
        return values

    def rules(self, given: Any, drift: DriftConfig) -> tuple[Rule, ...]:
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            raise self.error("rule", "rules are written as [[rule]] tables")
        rules: list[Rule] = []
        for item in given or DEFAULT_RULES:
            values = self.section("rule", RULE_SETTINGS, item)
            preset = values.pop("preset")
            if preset:
                if len(item) > 1:
                    raise self.error("preset", "rule.preset: takes no other key; write the rules out to change them")
                rules += PRESETS[preset](drift.alpha, drift.min_samples)
                continue
            if not values["name"]:
                raise self.error("rule", "rule.name: expected a text, got none; each [[rule]] needs a name")
            if values["name"] in [rule.name for rule in rules]:
                raise self.error("name", f"rule.name: two rules are called {values['name']!r}")
            values["hold"], values["keep_firing"] = values.pop("for"), values.pop("keep_firing_for")
            try:
                reference_span(values["reference"])
            except ConfigError as error:
                raise self.error("reference", f"rule.reference: {error}") from None
            rules.append(Rule(**self.filled(values, item, drift)))
        return tuple(rules)

    def filled(self, values: dict[str, Any], item: dict[str, Any], drift: DriftConfig) -> dict[str, Any]:
        """Values of a rule with the defaults that depend on what it compares with."""
        usual = values["reference"] == USUAL
        if not usual and "alerts" in item:
            raise self.error("alerts", f'rule.alerts: is for reference = "{USUAL}"; this rule has an alpha')
        lengths = self.lengths(item, values["window"], drift) if usual else ()
        patient = {"keep_firing": 86400.0, "reopen": 7 * 86400.0} if usual else {"keep_firing": 300.0, "reopen": 900.0}
        defaults = {**patient, **{key: getattr(drift, key) for key in ("window", "alpha", "alerts", "min_samples")}}
        given = {key: defaults[key] if value is None and key in defaults else value for key, value in values.items()}
        return {**given, "lengths": lengths}

    def lengths(self, item: dict[str, Any], window: float | None, drift: DriftConfig) -> tuple[int, ...]:
        """Window lengths of a rule that compares with what is usual, in hours."""
        for key in NOT_USUAL:
            if key in item:
                raise self.error(key, f'rule.{key}: means nothing with reference = "{USUAL}"; its budget is `alerts`')
        if item.get("statistic", "auto") != "auto":
            raise self.error("statistic", f'rule.statistic: reference = "{USUAL}" has its own; leave it out')
        if window is None:
            return drift.windows
        if window % 3600 or window > 7 * 86400:
            raise self.error("window", f'rule.window: with reference = "{USUAL}" expected whole hours, at most 7d')
        return (round(window / 3600),)

    def receivers(self, given: dict[str, Any]) -> tuple[ReceiverConfig, ...]:
        receivers = []
        for name, item in given.items():
            values = self.section(f"receivers.{name}", RECEIVER_SETTINGS, self.table(f"receivers.{name}", item))
            if values["kind"] is None:
                raise self.error(name, f"receivers.{name}.kind: expected one of {', '.join(RECEIVER_KINDS)}, got none")
            receivers.append(ReceiverConfig(name=name, **values))
        return tuple(receivers)

    def error(self, key: str, what: str, given: str = "", known: list[str] | None = None) -> ConfigError:
        line = self.line_of(what.partition(":")[0].partition(".")[0].partition(" ")[0], key)
        near = difflib.get_close_matches(given, known or [], 1, 0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(known)}" if known else ""
        return ConfigError(f"{self.source}{f':{line}' if line else ''}: {what}{hint}")

    def line_of(self, section: str, key: str) -> int | None:
        """Line of a key within a section, or the first line that has it at all: tomllib keeps no positions."""
        inside, first = False, None
        for number, text in enumerate(self.text.splitlines(), 1):
            if text.lstrip().startswith("["):
                inside = section in re.split(r"[\[\]. ]+", text)
            if re.match(rf'\s*[\[\w.\s"-]*(?<![\w]){re.escape(key)}(?![\w])', text):
                first = first or number
                if inside:
                    return number
        return first
