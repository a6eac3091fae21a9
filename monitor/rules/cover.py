"""Which columns a rule covers, as docs/rules.md explains, and what a rule means in one sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from monitor.columns.column import ROLES, Column, Kind, Schema
from monitor.config.settings import duration_text
from monitor.drift.evaluate import Question, floor_of, statistics_for
from monitor.errors import ConfigError
from monitor.rules.rule import PERFORMANCE, TRAINING, USUAL, Rule

#: How closely a pattern names a column: its kind, then how many letters of a glob are fixed. Larger is closer.
Closeness = tuple[int, int]
ALL, ROLE, GLOB, EXACT = range(4)

WILD = "*?["
ROLE_PREFIX = "role:"
_NOT_FIXED = re.compile(r"\[!?\]?[^\]]*\]|[*?]")


def cover(rules: Sequence[Rule], schema: Schema) -> dict[str, tuple[int, ...]]:
    """Indices into `schema.columns` that each rule is evaluated for, by the rule's name.

    A rule gives up a column if a more specific rule asks for at least the same statistics over the same window against
    the same reference, so an override leaves no statistic unwatched. Equally specific rules both keep the column, such
    as a warning and a critical level. Columns of a kind that the statistic cannot measure are left out. Raises
    ConfigError for a column that the model does not have.
    """
    by_name = {rule.name: rule for rule in rules}
    claims = {name: claimed(rule, schema) for name, rule in by_name.items()}

    def owned(rule: Rule, index: int, close: Closeness) -> bool:
        closer = [other for other in rules if claims[other.name].get(index, close) > close]
        return not any(overrides(other, rule, schema.columns[index].kind) for other in closer)

    pairs = [(name, rule, claims[name].items()) for name, rule in by_name.items()]
    return {name: tuple(i for i, close in own if owned(rule, i, close)) for name, rule, own in pairs}


def claimed(rule: Rule, schema: Schema) -> dict[int, Closeness]:
    """Columns that a rule names and can measure, with how closely it names each. Raises ConfigError."""
    out: dict[int, Closeness] = {}
    if rule.performance or rule.traffic:
        return out
    for pattern in rule.columns:
        _check(f"rule {rule.name!r}: columns", pattern, schema)
    for index, column in enumerate(schema.columns):
        fits = [closeness(pattern, column) for pattern in rule.columns] if rule.columns else [(ALL, 0)]
        closest = max((fit for fit in fits if fit is not None), default=None)
        if closest is not None and _asks(rule, column.kind):
            out[index] = closest
    return out


def closeness(pattern: str, column: Column) -> Closeness | None:
    """How closely one pattern names a column. Returns None if it does not.

    >>> column = Column("s5", "feature", "numeric")
    >>> [closeness(pattern, column) for pattern in ("s5", "s*", "*", "role:feature", "bmi")]
    [(3, 0), (2, 1), (2, 0), (1, 0), None]
    """
    if pattern == column.name:
        return (EXACT, 0)
    if pattern.startswith(ROLE_PREFIX):
        return (ROLE, 0) if pattern.removeprefix(ROLE_PREFIX) == column.role else None
    if any(sign in pattern for sign in WILD) and fnmatchcase(column.name, pattern):
        return (GLOB, len(_NOT_FIXED.sub("", pattern)))
    return None


def overrides(rule: Rule, other: Rule, kind: Kind) -> bool:
    """Whether `rule`, being closer, answers all that `other` asks of a column of this kind."""
    same = all(getattr(rule, name) == getattr(other, name) for name in ("window", "reference", "lengths"))
    return same and set(_asks(rule, kind)) >= set(_asks(other, kind))


def explain(rule: Rule, schema: Schema, rules: Sequence[Rule] = ()) -> str:
    """Say in a sentence what a rule does, then list the columns that it covers, for `telltale check`.

    `rules`: all rules, so that columns which another one owns are told apart. Raises ConfigError.
    """
    if rule.performance:
        return _explain_performance(rule)
    if rule.traffic:
        return (
            f"{rule.name}: fires ({rule.severity}) if no predictions come in hours that had at least "
            f"{rule.min_samples} in each of the last weeks, for longer than silences were before; the next one ends it."
        )
    mine = cover(rules or [rule], schema)[rule.name]
    lost = [index for index in claimed(rule, schema) if index not in mine]
    lines = [_explain_usual(rule) if rule.reference == USUAL else _explain(rule, schema, mine)]
    if mine:
        lines.append(f"  covers {len(mine)} of {len(schema.columns)} columns: {_names(schema, mine)}")
    else:
        lines.append(f"  covers none of this model's {len(schema.columns)} columns")
    if lost:
        lines.append(f"  leaves to a more specific rule: {_names(schema, lost)}")
    return "\n".join(lines)


def _explain(rule: Rule, schema: Schema, mine: Sequence[int]) -> str:
    hold = f", for {duration_text(rule.hold)} without a break" if rule.hold else ""
    first, _, last = rule.reference.partition("/")
    against = "the training data" if rule.reference == TRAINING else f"what was served from {first} to {last}"
    reach = f", reaching back up to {duration_text(rule.max_age)} for them" if rule.max_age > rule.window else ""
    asked = {kind: _asks(rule, kind) for kind in dict.fromkeys(schema.columns[index].kind for index in mine)}
    sets = list(asked.values()) or [(rule.statistic,)]
    what = ", ".join(f"{_either(names)} ({kind} columns)" for kind, names in asked.items())
    if len(set(sets)) == 1:
        what = _either(sets[0])
    floors = {name: f"{floor_of(name, rule.floor, rule.statistic):g}" for names in asked.values() for name in names}
    floor = ", ".join(f"{floor} ({name})" for name, floor in floors.items()) or "the statistic's own floor"
    if rule.floor is not None and len(set(floors.values())) <= 1:
        floor = f"{rule.floor:g}"
    return (
        f"{rule.name}: fires ({rule.severity}) if {what} over the last {duration_text(rule.window)} differs from "
        f"{against} by more than chance (alpha {rule.alpha:g} for all its columns together) and by more than {floor}, "
        f"given at least {rule.min_samples} predictions{reach}{hold}; {_resolves(rule)}."
    )


def _explain_performance(rule: Rule) -> str:
    metric = "performance" if rule.statistic == PERFORMANCE else f"`{rule.statistic}`"
    floor = "the metric's own floor" if rule.floor is None else f"{rule.floor:g}"
    what = "predictions" if rule.estimated else "outcomes"
    return (
        f"{rule.name}: fires ({rule.severity}) if {metric} over the {what} of {duration_text(rule.window)} is "
        f"worse than on the held-out rows by more than chance (alpha {rule.alpha:g}) and by more than {floor}, given "
        f"at least {rule.min_samples} {what}; {_resolves(rule)}."
    )


def _explain_usual(rule: Rule) -> str:
    lengths = " or ".join(duration_text(length * 3600) for length in rule.lengths) or "a short or a long window"
    messages = "message a month comes" if rule.alerts == 1 else "messages a month come"
    return (
        f"{rule.name}: fires ({rule.severity}) if {lengths} is unusual for a column at this hour, by the weeks before; "
        f"its limits are such that about {rule.alerts:g} {messages} by chance; {_resolves(rule)}."
    )


def named(patterns: Sequence[str], schema: Schema) -> list[int]:
    """Positions of the columns that are named, exactly, by glob or by role. Raises ConfigError for an unknown one."""
    for pattern in patterns:
        _check("COLUMN", pattern, schema)
    columns = enumerate(schema.columns)
    return [place for place, column in columns if any(closeness(pattern, column) for pattern in patterns)]


def _asks(rule: Rule, kind: Kind) -> tuple[str, ...]:
    return statistics_for(Question(rule.name, (), rule.statistic), kind)


def _check(where: str, pattern: str, schema: Schema) -> None:
    """Raise for an exact name or a role that does not exist; a glob may match nothing."""
    if any(column.name == pattern for column in schema.columns):
        return
    if pattern.startswith(ROLE_PREFIX):
        known = [ROLE_PREFIX + role for role in ROLES]
        if pattern in known:
            return
    elif any(sign in pattern for sign in WILD):
        return
    else:
        known = list(dict.fromkeys(column.name for column in schema.columns))
    near = difflib.get_close_matches(pattern, known, 1, 0.0)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{where}: the model has no column {pattern!r}{hint}")


def _either(names: Sequence[str]) -> str:
    named = [f"`{name}`" for name in names]
    return " or ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _resolves(rule: Rule) -> str:
    if not rule.keep_firing:
        return "resolves as soon as it is gone"
    return f"resolves once it has been gone for {duration_text(rule.keep_firing)}"


def _names(schema: Schema, indices: Sequence[int]) -> str:
    """Names of columns; a name that is both a feature's and a prediction's is told apart."""
    names = [column.name for column in schema.columns]
    return ", ".join(
        f"{names[i]} ({schema.columns[i].role})" if names.count(names[i]) > 1 else names[i] for i in indices
    )
