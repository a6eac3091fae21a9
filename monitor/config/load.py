"""`config.toml`: read, checked key by key against `monitor.config.settings`, and turned into frozen dataclasses."""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monitor.clock import DAY, HOUR, WEEK
from monitor.config import settings
from monitor.errors import ConfigError
from monitor.rules.rule import PERFORMANCE, TRAFFIC, USUAL, Rule, boxkite, is_estimated, is_performance, reference_span

#: Bytes of a journal segment of one of many models, at least: each is in memory whole.
LEAST_SEGMENT = 1 << 18


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `config.toml` says, with defaults filled in.

    `model`: the one of `[model]`, or the first of `models`, which are those of `[models.NAME]`.

    >>> Config.from_text("")
    <Config of config.toml: model; rules drift, unusual, traffic; receivers none>
    """

    model: settings.ModelConfig
    source: settings.SourceConfig
    server: settings.ServerConfig
    data: settings.DataConfig
    window: settings.WindowConfig
    drift: settings.DriftConfig
    outcomes: settings.OutcomesConfig | None
    metrics: settings.MetricsConfig
    alerts: settings.AlertsConfig
    report: settings.ReportConfig
    rules: tuple[Rule, ...]
    receivers: tuple[settings.ReceiverConfig, ...]
    file: str = "defaults"
    #: Whether the file has `[models.NAME]`; of one of them, `of` returns the settings without `models`.
    named: bool = False
    models: tuple[settings.ModelConfig, ...] = ()
    sources: tuple[settings.SourceConfig, ...] = ()

    def __repr__(self) -> str:
        rules, receivers = (", ".join(one.name for one in some) or "none" for some in (self.rules, self.receivers))
        return f"<Config of {self.file}: {', '.join(self.names)}; rules {rules}; receivers {receivers}>"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all models."""
        return tuple(model.name for model in self.models or (self.model,))

    def of(self, name: str | None = None) -> Config:
        r"""Settings as one model has them, as if it were the only one. Raises ConfigError without its name if several.

        >>> config = Config.from_text("[models.a]\n[models.b]\n[[rule]]\nname = 'x'\nmodels = ['b']")
        >>> config.of("b").model.name, [rule.name for rule in config.of("b").rules]
        ('b', ['x'])
        """
        every = zip(self.models or (self.model,), self.sources or (self.source,), strict=True)
        meant = [(model, source) for model, source in every if name in (None, model.name)]
        if len(meant) != 1:
            what = "there are several models; say which" if meant else f"there is no model {name!r}"
            hint = settings.did_you_mean(name or "", self.names) or f"; known are: {', '.join(self.names)}"
            raise ConfigError(f"{self.file}: {what}{hint}")
        model, source = meant[0]
        kept = (model.outcomes and self.outcomes) or None
        rules = tuple(rule for rule in self.rules if rule.judges(model.name) and (kept or not rule.by_outcomes))
        return replace(self, model=model, models=(), source=source, sources=(), outcomes=kept, rules=rules)

    def share(self, name: str) -> Config:
        """Settings of one model; of several, each gets its part of the memory for journals and of `/metrics`."""
        if not self.models:
            return self
        own, parts = self.of(name), len(self.models)
        segment = min(own.data.segment, max(LEAST_SEGMENT, own.data.segment // parts))
        metrics = replace(own.metrics, max_series=own.metrics.max_series // parts)
        return replace(own, metrics=metrics, data=replace(own.data, segment=segment))

    def at(self, folder: str) -> Config:
        """Settings with another data folder."""
        return replace(self, data=replace(self.data, path=folder))

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Config:
        """Read a file; without a path, `config.toml` of the current folder, or the defaults if there is none.

        Raises ConfigError that names file, key, what was expected, and the nearest known key.
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
        return _Reader(source).config(data)


#: The rules if none is configured: what differs from training, what is unusual, and whether predictions come.
#: Test windows overlap from one evaluation to the next, so waiting adds delay, not evidence: `for` is zero.
DEFAULT_RULES = (
    {"name": "drift", "reopen": "7d"},
    {"name": "unusual", "reference": USUAL},
    {"name": TRAFFIC, "statistic": TRAFFIC},
)

#: The rule that [outcomes] brings, unless another rule judges performance; and the defaults of such rules.
PERFORMANCE_RULE = {"name": "performance", "statistic": PERFORMANCE}
PERFORMANCE_DEFAULTS = {"window": float(WEEK), "alpha": 0.001, "min_samples": 100}

#: Names of models: they are a part of addresses and the name of a folder.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

#: Settings of a rule that say how it compares with training data, and mean nothing for what is usual.
NOT_USUAL = ("alpha", "floor", "min_samples", "max_age", "independent")

#: Defaults of a rule on traffic: few predictions are none now and then by chance, and the first one ends it.
TRAFFIC_DEFAULTS = {"keep_firing": 0.0, "min_samples": 20}

#: Settings of a rule that mean nothing for performance, and for traffic.
NOT_PERFORMANCE = ("columns", "reference", "max_age", "independent")
NOT_TRAFFIC = (*NOT_PERFORMANCE, "window", "alpha", "floor")


def _default_rules(rules: Sequence[Rule], models: Sequence[str], taking: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rules for the models that no rule judges, and for those that take outcomes and have no rule on performance."""
    unjudged = [name for name in models if not any(rule.judges(name) for rule in rules)]
    no_performance = [name for name in taking if not any(rule.by_outcomes and rule.judges(name) for rule in rules)]
    for items, names in ((DEFAULT_RULES, unjudged), ((PERFORMANCE_RULE,), no_performance)):
        if names:
            yield from ({**item, "models": [] if names == models else names} for item in items)  # none: for all models


class _Reader:
    """Reads one file. `source`: its name, and which of several rules is read, for errors."""

    def __init__(self, source: str) -> None:
        self.source = source

    def config(self, data: dict[str, Any]) -> Config:
        """Read all sections, each by itself, and check them together."""
        known = [*settings.SECTIONS, "models", "rule", "receivers"]
        for name in data:
            if name not in known:
                raise self.error(f"unknown section [{name}]", name, known)
        sections: dict[str, Any] = {
            name: section(**self.section(name, settings.SETTINGS[name], data.get(name, {})))
            for name, section in settings.SECTIONS.items()
        }
        self.pull(sections, data)
        if "outcomes" not in data:
            sections["outcomes"] = None  # they are taken only if the section is there
        several = self.models(data) if "models" in data else []
        sections |= {"named": bool(several), **(several[0] if several else {})}
        sections |= {f"{key}s": tuple(tables[key] for tables in several) for key in ("model", "source")}
        models = sections["models"] or (sections["model"],)
        taking = [model.name for model in models if model.outcomes and "outcomes" in data]
        every, labels = [model.name for model in models], sections["alerts"].labels
        rules = self.rules(data.get("rule", []), sections["drift"], every, taking, labels)
        receivers = self.receivers(data.get("receivers", {}))
        config = Config(**sections, rules=rules, receivers=receivers, file=self.source)
        self.check(config)
        return config

    def check(self, config: Config) -> None:
        """Refuse sections that do not fit together."""
        if config.named and config.metrics.boxkite:
            raise self.error("metrics.boxkite: its names have no room for a model; it needs [model]")
        for source in (config.source, *config.sources):
            short = [rule.name for rule in config.rules if source.kind == "table" and 0 < rule.window <= source.lag]
            if short:
                raise self.error(f"source.lag: the window of rule {short[0]!r} has no rows that are so old")
            if source.outcome and config.outcomes is None:
                raise self.error("source.outcome: outcomes are taken if there is a section [outcomes]")
        names = [receiver.name for receiver in config.receivers]
        wanted = [("alerts", config.alerts.receivers), ("report", config.report.receivers)]
        wanted += [(f"rule {rule.name}", rule.receivers) for rule in config.rules]
        for where, name in ((where, name) for where, listed in wanted for name in listed):
            if name not in names:
                raise self.error(f"{where}: there is no receiver {name!r}", name, names)

    def models(self, data: dict[str, Any]) -> list[dict[str, Any]]:
        """The tables `[models.NAME]`: `model` and `source` of each."""
        tables, models = data["models"], []
        for key in ("model", "source"):
            if key in data:
                raise self.error(f"there is both [{key}] and [models]: each model has its own, in [models.NAME]")
        if not isinstance(tables, dict) or not tables or not all(isinstance(item, dict) for item in tables.values()):
            raise self.error(f"models: expected tables [models.NAME], got {tables!r}")
        for name, item in tables.items():
            if not MODEL_NAME.fullmatch(name):
                what = "is a part of addresses: use letters, digits, '.', '_' and '-', at most 64"
                raise self.error(f"models: the name {name!r} {what}")
            rows = tuple(row for row in settings.SETTINGS["model"] if row.key != "name")
            table = {key: value for key, value in item.items() if key != "source"}
            source = self.section(f"models.{name}.source", settings.SETTINGS["source"], item.get("source", {}))
            model = settings.ModelConfig(name=name, **self.section(f"models.{name}", rows, table))
            own = {"model": model, "source": settings.SourceConfig(**source)}
            self.pull(own, {"model": table, **({"outcomes": {}} if item.get("outcomes") else {})})
            models.append(own)
        return models

    def pull(self, sections: dict[str, Any], data: dict[str, Any]) -> None:
        """Check what a pulled source excludes and needs. Its process serves no model, so `path` becomes empty."""
        kind = sections["source"].kind
        if kind == settings.JOURNAL:
            return
        if data.get("model", {}).get("path"):
            raise self.error(f'model.path: with [source] kind = "{kind}" no model is served; leave it out')
        column = sections["source"].outcome if kind == "table" else ""
        if "outcomes" in data and not column:
            why = f'[source] kind = "{kind}" has counts only; a table has `outcome`'
            raise self.error(f"outcomes: join predictions, and {why}")
        if bool(sections["source"].outcomes) != bool(sections["source"].id):
            raise self.error("source: `outcomes` and `id` go together: another table, and the column of both")
        sections["model"] = replace(sections["model"], path="", outcomes=sections["model"].outcomes and bool(column))
        for key in settings.NEEDED[kind]:
            if not getattr(sections["source"], key):
                raise self.error(f'source.{key}: kind = "{kind}" needs it')
        if kind == "table" and bool(sections["source"].table) == bool(sections["source"].query):
            raise self.error("source: name either a `table` or a `query` with the predictions")

    def section(self, name: str, rows: tuple[settings.Setting, ...], table: Any) -> dict[str, Any]:
        """Values of one table, checked, defaults filled in."""
        if not isinstance(table, Mapping):
            raise self.error(f"{name}: expected a table, got {table!r}")
        known = [row.key for row in rows]
        for key in table:
            if key not in known:
                raise self.error(f"{name}: unknown key {key!r}", key, known)
        values = {}
        for row in rows:
            value = table.get(row.key, row.default)
            try:
                values[row.key] = None if value is None else row.expected.read(value)
            except ValueError as error:
                raise self.error(f"{name}.{row.key}: {error}") from None
            if value is None and row.key == "kind":  # the only required key here; a rule's name is checked in `rule`
                raise self.error(f"{name}.kind: expected {row.expected.text}, got none")
        return values

    def receivers(self, table: Any) -> tuple[settings.ReceiverConfig, ...]:
        if not isinstance(table, dict):
            raise self.error(f"receivers: expected a table, got {table!r}")
        sections = {
            name: self.section(f"receivers.{name}", settings.RECEIVER_SETTINGS, item) for name, item in table.items()
        }
        return tuple(settings.ReceiverConfig(name, **values) for name, values in sections.items())

    def rules(
        self, tables: Any, drift: settings.DriftConfig, models: list[str], taking: list[str], labels: dict[str, str]
    ) -> tuple[Rule, ...]:
        """All rules. A model that no rule judges gets the default ones; `taking`: the models that take outcomes."""
        if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
            raise self.error("rules are written as [[rule]] tables")
        rules: list[Rule] = []
        source = self.source
        for place, item in enumerate(tables, 1):
            self.source = f"{source}, [[rule]] {place} of {len(tables)}" if len(tables) > 1 else source
            rules += self.rule(item, drift, models, taking)
        self.source = source
        for item in _default_rules(rules, models, taking):
            rules += self.rule(item, drift, models, taking)
        for name in models:
            names = Counter(rule.name for rule in rules if rule.judges(name))
            if twice := [rule_name for rule_name, times in names.items() if times > 1]:
                raise self.error(f"rule.name: two rules are called {twice[0]!r}")
        return tuple(replace(rule, benign=drift.benign, labels={**labels, **rule.labels}) for rule in rules)

    def rule(
        self, item: dict[str, Any], drift: settings.DriftConfig, models: list[str], taking: list[str]
    ) -> Sequence[Rule]:
        """One `[[rule]]`, or the rules of its preset."""
        values = self.section("rule", settings.RULE_SETTINGS, item)
        preset = values.pop("preset")
        for name in values["models"]:
            if name not in models:
                raise self.error(f"rule.models: there is no model {name!r}", name, models)
        if preset:
            if item.keys() - {"preset", "models"}:
                raise self.error("rule.preset: takes no other key but models; write the rules out to change them")
            return [replace(rule, models=values["models"]) for rule in boxkite(drift.alpha, drift.min_samples)]
        if not values["name"]:
            raise self.error("rule.name: expected a text, got none; each [[rule]] needs a name")
        by_outcomes = is_performance(values["statistic"]) and not is_estimated(values["statistic"])
        if by_outcomes and not set(values["models"] or models) & set(taking):
            raise self.error("rule.statistic: performance is judged by outcomes, and needs [outcomes]")
        values["hold"], values["keep_firing"] = values.pop("for"), values.pop("keep_firing_for")
        try:
            reference_span(values["reference"])
        except ConfigError as error:
            raise self.error(f"rule.reference: {error}") from None
        return [Rule(**self.filled(values, item, drift))]

    def filled(self, values: dict[str, Any], item: dict[str, Any], drift: settings.DriftConfig) -> dict[str, Any]:
        """Fill in a rule's defaults, which depend on what it compares. Refuses a key that means nothing for that."""
        usual, performance = values["reference"] == USUAL, is_performance(values["statistic"])
        if not usual and "alerts" in item:
            raise self.error(f'rule.alerts: is for reference = "{USUAL}"; this rule has an alpha')
        traffic = values["statistic"] == TRAFFIC
        for key in NOT_PERFORMANCE if performance else NOT_TRAFFIC if traffic else ():
            if key in item:
                what = "traffic" if traffic else "performance"
                raise self.error(f"rule.{key}: means nothing for {what}, which is that of the whole model")
        lengths = self.lengths(item, values["window"], drift) if usual else ()
        keep, reopen = (DAY, WEEK) if usual or performance else (300, 900)
        defaults: dict[str, Any] = {"keep_firing": float(keep), "reopen": float(reopen)}
        defaults |= {key: getattr(drift, key) for key in ("window", "alpha", "alerts", "min_samples")}
        defaults |= PERFORMANCE_DEFAULTS if performance else TRAFFIC_DEFAULTS if traffic else {}
        given = {key: defaults.get(key) if value is None else value for key, value in values.items()}
        return {**given, "lengths": lengths}

    def lengths(self, item: dict[str, Any], window: float | None, drift: settings.DriftConfig) -> tuple[int, ...]:
        """Window lengths of a rule that compares with what is usual, in hours."""
        for key in NOT_USUAL:
            if key in item:
                raise self.error(f'rule.{key}: means nothing with reference = "{USUAL}"; its budget is `alerts`')
        if item.get("statistic", "auto") != "auto":
            raise self.error(f'rule.statistic: reference = "{USUAL}" has its own; leave it out')
        if window is None:
            return drift.windows
        if window % HOUR or window > WEEK:
            raise self.error(f'rule.window: with reference = "{USUAL}" expected whole hours, at most 7d')
        return (round(window / HOUR),)

    def error(self, what: str, given: str = "", known: Sequence[str] = ()) -> ConfigError:
        hint = settings.did_you_mean(given, known) or (f"; known are: {', '.join(known)}" if known else "")
        return ConfigError(f"{self.source}: {what}{hint}")
