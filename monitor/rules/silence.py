"""What mutes an alert: a silence that an operator set, or a more severe alert on the same column.

A muted alert still moves from state to state; it sends no messages.
"""

from __future__ import annotations

import difflib
import hashlib
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from monitor.clock import iso
from monitor.columns.column import ROLES
from monitor.drift.result import AlertKey
from monitor.errors import InputError
from monitor.rules.alert import Alert
from monitor.rules.rule import SEVERITIES, TRAFFIC, Rule

SilenceState = Literal["pending", "active", "expired"]


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence from `start` until before `end`, in seconds since 1970 UTC.

    `matchers`: for each label's name a glob that its whole value must match; all must. A label that an alert does not
    have is the empty text.
    """

    id: str
    matchers: Mapping[str, str]
    start: float
    end: float
    author: str
    reason: str

    def state(self, now: float) -> SilenceState:
        """Whether it is yet to begin, active, or expired."""
        if now < self.start:
            return "pending"
        return "active" if now < self.end else "expired"

    @property
    def text(self) -> str:
        """Its matchers as `telltale silence` takes them.

        >>> Silence("1", {"column": "a b", "rule": "drift"}, 0.0, 1.0, "ann", "why").text
        "'column=a b' rule=drift"
        """
        return " ".join(shlex.quote(f"{name}={glob}") for name, glob in self.matchers.items())

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary, times in ISO 8601."""
        return {**asdict(self), "matchers": dict(self.matchers), "start": iso(self.start), "end": iso(self.end)}

    def may_match(self, **labels: str) -> bool:
        """Whether alerts with these labels can match, whatever else they have.

        >>> one = Silence("1", {"model": "churn*", "column": "bmi"}, 0.0, 1.0, "ann", "why")
        >>> one.may_match(model="churn-2"), one.may_match(model="price"), one.may_match(rule="drift")
        (True, False, True)
        """
        return all(fnmatchcase(value, self.matchers.get(name, "*")) for name, value in labels.items())

    def matches(self, alert: Alert) -> bool:
        """Whether all matchers match an alert, at any time."""
        labels = labels_of(alert)
        return all(fnmatchcase(labels.get(name, ""), glob) for name, glob in self.matchers.items())


def new_silence(
    matchers: Mapping[str, str],
    start: float,
    end: float,
    author: str,
    reason: str,
    rules: Sequence[Rule] = (),
    columns: Collection[str] = (),
) -> Silence:
    """Make a silence. Raises InputError that says what is wrong with it.

    `rules`: those in force; `columns`: names of the model's columns. A matcher that fits none of them is refused: it
    would mute nothing, and the operator would find out at night.
    """
    known: dict[str, list[str]] = {"rule": [rule.name for rule in rules], "model": [], "series": []}
    silent = [TRAFFIC for rule in rules if rule.traffic]
    known |= {"column": [*columns, *silent] if columns else [], "role": [], "severity": []}
    if rules:
        known |= {"role": [*ROLES, *silent], "severity": list(SEVERITIES)}
    for rule in rules:
        for label, value in rule.labels.items():
            known.setdefault(label, []).append(value)
    for name, glob in matchers.items():
        where = f"matchers.{name}"
        if name not in known:
            raise InputError("unknown_label", f"no alert has a label {name!r}; {_hint(name, list(known))}", where)
        # A rule without the label has it empty, so a glob that matches the empty text can match an alert.
        values = known[name]
        if values and not fnmatchcase("", glob) and not any(fnmatchcase(value, glob) for value in values):
            raise InputError("matches_nothing", f"no {name} matches {glob!r}; {_hint(glob, values)}", where)
    if all(fnmatchcase("", glob) for glob in matchers.values()):
        raise InputError("no_matcher", "a silence needs a matcher that leaves some alerts out", "matchers")
    start, end = round(start, 3), round(end, 3)
    if not end > start:
        raise InputError("empty_silence", f"the end ({iso(end)}) must be later than the start ({iso(start)})", "end")
    for where, text in (("author", author), ("reason", reason)):
        if not text.strip():
            raise InputError("missing", f"a silence needs its {where}, for those who find it later", where)
    identity = "\0".join([*(f"{name}={glob}" for name, glob in sorted(matchers.items())), iso(start), author, reason])
    return Silence(hashlib.sha256(identity.encode()).hexdigest()[:8], dict(matchers), start, end, author, reason)


def _hint(text: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, known, 1, 0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"known are: {', '.join(known[:20])}{more}"


def labels_of(alert: Alert) -> dict[str, str]:
    """What an alert can be matched by: the labels of its rule, and its key and severity."""
    return {**alert.labels, **alert.key._asdict(), "severity": alert.severity}


def silenced_by(alert: Alert, silences: Iterable[Silence], now: float) -> Silence | None:
    """The first active silence that matches an alert."""
    return next((silence for silence in silences if silence.state(now) == "active" and silence.matches(alert)), None)


def inhibited(alert: Alert, alerts: Iterable[Alert]) -> Alert | None:
    """The alert that mutes this one: of another rule, firing on the same column, with a higher severity."""
    rank = SEVERITIES.index
    twins = [
        other
        for other in alerts
        if other.state == "firing" and other.key[1:] == alert.key[1:] and rank(other.severity) < rank(alert.severity)
    ]
    return min(twins, key=lambda other: (rank(other.severity), other.rule), default=None)


class Mute(NamedTuple):
    """Why a firing alert sends no messages: a person silenced it, or an alert on the same column inhibits it."""

    state: Literal["silenced", "inhibited"]
    reason: str


def mutes(alerts: Sequence[Alert], silences: Sequence[Silence], now: float) -> dict[AlertKey, Mute]:
    """Return the firing alerts that send no messages, each with the reason."""
    firing = [alert for alert in alerts if alert.state == "firing"]
    on_column: dict[tuple[str, ...], list[Alert]] = {}
    for alert in firing:
        on_column.setdefault(alert.key[1:], []).append(alert)
    out: dict[AlertKey, Mute] = {}
    for alert in firing:
        if silence := silenced_by(alert, silences, now):
            by = f"silence {silence.id} by {silence.author} until {iso(silence.end)}"
            out[alert.key] = Mute("silenced", f"{by}: {silence.reason}")
        elif twin := inhibited(alert, on_column[alert.key[1:]]):
            out[alert.key] = Mute("inhibited", f"{twin.rule} ({twin.severity}) fires on the same column")
    return out
