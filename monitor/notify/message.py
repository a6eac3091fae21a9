"""A message as a value: what happened to one group of alerts, in no provider's format."""

from __future__ import annotations

import glob
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from monitor.clock import from_iso, iso
from monitor.columns.column import MISSING, OTHER, Role, clean_text, column_path
from monitor.drift.result import MODEL, DriftResult
from monitor.rules.alert import Alert
from monitor.rules.rule import PERFORMANCE
from monitor.words import clock_time, duration, program, stretch

#: Seconds of delay from which the headline says it.
STALE = 300.0

#: Longest address and command in a message; a longer address is replaced by that of the overview.
LONGEST_ADDRESS, LONGEST_COMMAND = 600, 200

MessageKind = Literal[
    "firing", "update", "repeat", "resolved", "digest", "state", "resend", "test", "picture", "report", "file"
]
Status = Literal["new", "more severe", "harmful", "firing", "resolved"]

#: Columns that a message shows, each in a line: the prediction and ten more; and those that it names after them. With
#: more than `FEW` a line says less.
SHOWN, NAMED, FEW = 11, 12, 3

#: Where the sentence about a metric has its 95 % interval.
INTERVAL = r" \(([\d.,e+-]+ to [\d.,e+-]+)\)(?=, was )"

#: What a title says that columns have, if all changed in one of these ways.
HAVE = {"new value": "unseen values", "out of range": "values out of range", "missing": "more missing values"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert within a message. Times are seconds since 1970 UTC; `until` is set once it is resolved.

    `direction`: what changed, in words; `names` are the values from the data that it names, in their order; `change`,
    `before`, `after` as in `drift.result.Direction`. `reason`: why it resolved, if no verdict ended it.
    `explained`: how unusual it is, or why performance is worse, in a sentence. `model`: its name. `harm`: what the
    shift does to the model, in words, with `brief`, `effect` and `importance` as in `drift.result.Harm`.
    `histogram`: for a picture only, `edges` or `categories`, and the shares `reference` and `test` of the value bins.
    """

    column: str
    role: Role
    status: Status
    severity: str
    event_id: str
    since: float
    until: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    statistic: str = ""
    value: float | None = None
    threshold: float | None = None
    n: int = 0
    m: int = 0
    explained: str = ""
    direction: str = ""
    change: str = ""
    names: tuple[str, ...] = ()
    before: float | None = None
    after: float | None = None
    reference: str = ""
    reason: str = ""
    window: tuple[float, float] | None = None
    model: str = MODEL
    harm: str = "harm unknown"
    brief: str = "harm unknown"
    effect: str = "unknown"
    importance: float | None = None
    histogram: dict[str, list[Any]] | None = None

    @property
    def worse(self) -> bool:
        """Whether it is about the performance of the model, not about a column."""
        return (self.role, self.column) == ("outcome", PERFORMANCE)

    @property
    def back(self) -> bool:
        """Whether its verdict is within its threshold again, so that it will resolve if that lasts."""
        return self.value is not None and self.threshold is not None and self.value <= self.threshold

    @property
    def silent(self) -> bool:
        """Whether it is about a model that gets no predictions."""
        return self.role == "traffic"


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one receiver. `entries`: all alerts of the group, the new and strongest first.

    `model`: model version. `answers`: whether the predictions have moved, in words. `link`: the page. `opened`: when
    the group began to fire. `changes`: transitions since the last message, to show flapping. `lines`: (name or nothing,
    text) pairs of a digest, a report, a test or an end. `about`, `files`: title and paths of a report. `ends`: for
    Alertmanager, until when the firing alerts hold unless they are sent again. `delayed`: seconds that the message
    waited because the receiver could not be reached. `repeated`: an earlier attempt may have arrived. `several`: the
    configuration has several models, so commands name theirs.
    """

    kind: MessageKind
    group: str
    severity: str
    event_id: str
    at: float
    model: str = ""
    answers: str = ""
    entries: tuple[Entry, ...] = ()
    opened: float = 0.0
    changes: int = 0
    link: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    ends: float | None = None
    delayed: float = 0.0
    repeated: bool = False
    several: bool = False
    about: str = ""
    files: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Message:
        """Read what `dataclasses.asdict` made, also through JSON."""

        def plain(item: dict[str, Any]) -> dict[str, Any]:
            return {name: tuple(value) if isinstance(value, list) else value for name, value in item.items()}

        entries, lines = (Entry(**plain(item)) for item in data["entries"]), map(tuple, data["lines"])
        return cls(**{**plain(dict(data)), "entries": tuple(entries), "lines": tuple(lines)})

    @property
    def name(self) -> str:
        """Name of the model, or of several; empty if it has none."""
        return ", ".join(dict.fromkeys(item.model for item in self.entries if item.model != MODEL))

    @property
    def address(self) -> str:
        """The page of performance or of the column if the message is about one, else the overview; empty if unknown.

        It shows the period around the oldest alert of the message.
        """
        models = {item.model for item in self.entries}
        if len(models) != 1:
            return self.link
        home, about = self.home(*models), {(item.role, item.column) for item in self.entries}
        address = column_address(home, *about.pop()) if len(about) == 1 else home
        if any(item.worse for item in self.entries) and home:
            address = home.rstrip("/") + "/performance"
        return around(address, min(self.entries, key=lambda item: item.since).event_id)

    def home(self, model: str) -> str:
        """Address of a model's overview; empty if unknown."""
        return f"{self.link.rstrip('/')}/models/{model}" if self.several and self.link else self.link

    @property
    def guide(self) -> str:
        """Address of what to do about performance, or about the first entry, in general."""
        if not self.entries:
            return ""
        item = min(self.drifted or self.entries, key=lambda item: not item.worse)
        section = guide_section("" if item.worse else item.role, item.change)
        return f"{self.link.rstrip('/')}/what-to-do#{section}" if self.link else f"docs/what-to-do.md#{section}"

    @property
    def now(self) -> float:
        """When it is delivered, so that times of another day get their date."""
        return self.at + self.delayed

    @property
    def firing(self) -> tuple[Entry, ...]:
        """The entries that still fire."""
        return tuple(entry for entry in self.entries if entry.status != "resolved")

    @property
    def drifted(self) -> tuple[Entry, ...]:
        """The entries that still fire, without those that are within their threshold again unless all are."""
        return tuple(entry for entry in self.firing if not entry.back) or self.firing

    @property
    def harmless(self) -> bool:
        """Whether no drift in it does harm, nor may become lost values, and the predictions have not moved."""
        unmoved = self.answers == "predictions have not moved"
        return unmoved and all((item.effect, item.change == "spread") == ("harmless", False) for item in self.firing)

    @property
    def resolved(self) -> tuple[Entry, ...]:
        """The entries that are resolved."""
        return tuple(entry for entry in self.entries if entry.status == "resolved")


def guide_section(role: str, change: str) -> str:
    """Section of the page /what-to-do for a kind of change in a column of a role.

    >>> guide_section("feature", "new value"), guide_section("prediction", "moved"), guide_section("", "worse")
    ('new-value', 'predictions-moved', 'performance-worse')
    """
    by_role = {"prediction": "predictions-moved", "outcome": "outcome-drifted", "traffic": "no-traffic"}
    others = {"worse": "performance-worse", **dict.fromkeys(("", "shape", "unchanged"), "moved")}
    return by_role.get(role) or others.get(change, change.replace(" ", "-"))


def column_address(link: str, role: str, column: str) -> str:
    """Address of a column's page, given the overview's.

    >>> column_address("https://box.example/", "feature", "a&b"), column_address("", "feature", "bmi")
    ('https://box.example/column/feature?name=a%26b', '')
    """
    address = link.rstrip("/") + column_path(role, column) if link else ""
    return address if len(address) <= LONGEST_ADDRESS else link


def around(address: str, event_id: str) -> str:
    """Have the address of a page show the period around an event; unchanged if one is empty, or it were too long.

    >>> around("/performance", "tpfvitgxcn"), around("/column/feature?name=bmi", "tpfvitgxcn")
    ('/performance?around=tpfvitgxcn', '/column/feature?name=bmi&around=tpfvitgxcn')
    """
    longer = f"{address}{'&' if '?' in address else '?'}around={quote(event_id, errors='replace')}"
    return longer if address and event_id and len(longer) <= LONGEST_ADDRESS else address


def entry(
    alert: Alert,
    status: Status,
    result: DriftResult | None,
    *,
    since: float | None = None,
    until: float | None = None,
    reason: str = "",
) -> Entry:
    """Describe an alert with its verdict; without a verdict only with what the alert itself knows."""
    facts: dict[str, Any] = {"value": alert.value}
    if result is not None:
        facts |= {name: getattr(result, name) for name in ("statistic", "threshold", "n", "m", "reference")}
        facts["value"] = alert.value if result.value is None else result.value
        facts["explained"] = result.reason if result.state == "drift" else ""
        facts["window"] = None if alert.role == "traffic" else (result.window.start, result.window.end)
        if direction := result.direction:
            facts |= {name: getattr(direction, name) for name in ("change", "before", "after")}
            facts["direction"] = direction.text
            facts["names"] = tuple(name for name in direction.names if name not in (OTHER, MISSING))
    facts |= _harm(alert.role, result, facts.get("change", ""))
    began = alert.began if since is None else since
    same = (alert.column, alert.role, status, alert.severity, alert.event_id, began)
    return Entry(*same, until, dict(alert.labels), reason=reason, model=alert.model, **facts)


def _harm(role: Role, result: DriftResult | None, change: str) -> dict[str, Any]:
    """What a shift does to the model, as fields of an entry."""
    harm = result.harm if result else None
    if result is not None and result.state == "ok":
        text, brief, effect = "back within its threshold for now, so without harm", "harmless", "harmless"
    elif harm:
        text, brief, effect = harm.text, harm.brief, harm.effect
    elif change in ("worse", "estimate worse"):
        by = "measured" if change == "worse" else "estimated without outcomes"
        text, brief, effect = f"harmful ({by})", "harmful", "harmful"
    else:
        text, brief, effect = f"harm unknown: {_why_unknown(role, result)}", "harm unknown", "unknown"
    if role == "traffic":  # there is nothing to judge the harm of
        text = brief = ""
    return {"harm": text, "brief": brief, "effect": effect, "importance": harm.importance if harm else None}


def _why_unknown(role: Role, result: DriftResult | None) -> str:
    """Say why no harm is known of a column that was not tested, or of which nothing can be said."""
    if result is None or result.value is None:
        return "no verdict at this time"
    of = {
        "outcome": "performance tells whether the model is still right",
        "derived": "not worked out for derived columns",
    }
    return of.get(role, "the reference has no held-out rows to judge it by")


def title(message: Message) -> str:
    """Say it all in one line, as a lock screen shows it, with the age of an old message.

    >>> bmi = Entry("bmi", "feature", "new", "critical", "e1", 0.0, model="diabetes")
    >>> title(Message("firing", "drift", "critical", "e1", 60.0, entries=(bmi,), answers="predictions have not moved"))
    'CRITICAL: diabetes: "bmi" has drifted, predictions have not moved'
    """
    models = {item.model for item in message.entries}
    model = f"{len(models)} models: " if len(models) > 2 else f"{message.name}: " if message.name else ""
    line = f"{message.severity.upper()}: {model}{happened(message.drifted, message.answers)}"
    match message.kind:
        case "update":
            counts = Counter[str](item.status for item in message.entries)
            became = {status: f"became {status}" for status in ("more severe", "harmful")}
            of = {"new": "new", **became, "resolved": "resolved"}
            parts = [f"{counts[status]} {what}" for status, what in of.items() if counts[status]]
            line += f" ({', '.join(parts)})"
        case "repeat":
            line += f", still after {duration(message.at - message.opened)}"
        case "resolved":
            line = f"RESOLVED: {model}{ended(message.resolved)}"
            for item in message.resolved if len(message.resolved) == 1 else ():
                until = clock_time(item.until or message.at, message.now)
                line += f" (lasted {duration(lasted(item, message))}, until {until})"
        case "digest":
            line = "CATCHING UP: messages could not be delivered"
        case "report" | "file":
            line = f"REPORT: {message.about}"
        case "test":
            line = "TEST: Telltale can reach you"
    return f"{line} ({duration(message.delayed)} ago)" if message.delayed >= STALE else line


def happened(firing: Sequence[Entry], answers: str = "") -> str:
    """Say in a few words what fires: performance first, then columns and whether the predictions moved with them.

    >>> pair = [Entry(name, name, "new", "info", "", 0.0, change="moved") for name in ("prediction", "feature")]
    >>> happened([Entry("traffic", "traffic", "new", "info", "", 0.0, direction="no predictions since noon; ...")])
    'no predictions since noon'
    >>> happened(pair), happened(pair[:1]), happened(pair[1:])
    ('"feature" has drifted, predictions have moved', 'predictions have moved', '"feature" has drifted')
    """
    silent = [item for item in firing if item.silent]
    if silent:  # the title names the models
        return silent[0].direction.partition(";")[0] if len(silent) == 1 and silent[0].direction else "no predictions"
    if firing and all(item.back for item in firing):
        return f"{names(firing)} {'is' if len(firing) == 1 else 'are'} within the threshold again"
    moved = [item for item in firing if item.role == "prediction"]
    columns = [item for item in firing if item.role != "prediction" and not item.worse]
    unusual = any(map(is_usual, columns or moved))
    parts = [_worse(item) for item in firing if item.worse]
    if columns:
        parts.append(f"{names(columns)} {_drifted(columns, unusual)}")
    if moved:
        whose = f" of {', '.join(item.model for item in moved)}" if len({item.model for item in firing}) > 1 else ""
        parts.append(f"predictions{whose} {'are unusual' if unusual else 'have moved'}")
    elif answers:
        parts.append(answers.partition(":")[0])
    return ", ".join(parts) or "nothing fires"


def _worse(item: Entry) -> str:
    """Say of which metric performance is worse, and its numbers without their interval."""
    metric = item.names[0] if item.names else "performance"
    numbers = re.sub(INTERVAL, "", item.direction.removeprefix(metric))
    return f"{metric} is worse{f':{numbers}' if numbers else ''}"


def _drifted(columns: Sequence[Entry], unusual: bool) -> str:
    """Say what columns are or have, if it is the same of all."""
    be, have = ("is", "has") if len(columns) == 1 else ("are", "have")
    changes = {item.change for item in columns}
    what = HAVE.get(changes.pop(), "drifted") if len(changes) == 1 else "drifted"
    return f"{be} unusual" if unusual else f"{have} {what}"


def ended(resolved: Sequence[Entry]) -> str:
    """Say what is over; that it is well again only if a verdict ended it."""
    what, single = names(resolved), len(resolved) == 1
    if not resolved or any(item.reason for item in resolved):
        return f"alert on {what} has ended"
    if resolved[0].silent:
        return "predictions come again"
    if is_usual(resolved[0]):
        return f"{what} {'is' if single else 'are'} usual again"
    return "performance is no longer worse" if resolved[0].worse else f"{what} no longer drift{'s' * single}"


def is_usual(item: Entry) -> bool:
    """Whether an entry is about what is usual, not about what the model was trained on."""
    return item.statistic.startswith("usual ")


def lasted(item: Entry, message: Message) -> float:
    """Seconds that a resolved alert fired."""
    return (message.at if item.until is None else item.until) - item.since


def against(reference: str) -> str:
    """Name what a verdict compared with.

    >>> against("training 0123456789ab"), against("2026-03-01T00:00:00Z/2026-03-02T00:00:00Z")
    ('the training data', '1 Mar 2026, 00:00 to 2 Mar 2026, 00:00 UTC')
    """
    kind, _, rest = reference.partition(" ")
    if kind == "training":
        return "the training data"
    if kind == "usual":
        return "the level of the last weeks" if rest == "level" else f"what is {reference}"
    if kind == "holdout":
        return "the data held out of training"
    period = (rest.split()[0] if kind == "accepted" and rest else reference).split("/")
    try:
        return f"{'the accepted period ' * (kind == 'accepted')}{stretch(*map(from_iso, period))}"
    except (TypeError, ValueError):
        return reference


def names(entries: Sequence[Entry]) -> str:
    """Name the first entry, with its model if there are several, and count the rest.

    >>> names([Entry("a", "feature", "new", "info", "", 0.0)] * 3)
    '"a" and 2 more'
    """
    if not entries:
        return "nothing"
    first = label(entries[0]) if entries[0].role == "outcome" else quoted(label(entries[0]))
    first += f" of {entries[0].model}" if len({item.model for item in entries}) > 1 else ""
    return first + (f" and {len(entries) - 1} more" if len(entries) > 1 else "")


def label(item: Entry) -> str:
    """A column's name, with its role if it is no feature; of outcomes what it is."""
    what = {"error": "prediction minus outcome", "outcome": "what came true"} if item.role == "outcome" else {}
    known = item.worse or item.role in ("feature", item.column)
    return item.column if known and not what.get(item.column) else f"{item.column} ({what.get(item.column, item.role)})"


def quoted(name: str) -> str:
    """Write a name in a sentence without markup: '"late" has drifted' is not about time."""
    return f'"{name}"'


def commands(message: Message) -> list[tuple[str, str]]:
    """What can be done about what fires, each with the command that does it.

    A silence, and what names columns, match by globs, so a name that holds a star or a bracket is escaped.

    >>> price = Entry("price [EUR]", "feature", "new", "warning", "e1", 0.0)
    >>> for what, command in commands(Message("firing", "drift", "warning", "e1", 60.0, entries=(price,))):
    ...     print(f"{what}: {command.replace('--from 1970-01-01T00:00:00Z --dry-run', '...')}")
    silence: telltale silence rule=drift 'column=price [[]EUR]' --for 4h
    accept as normal (preview; only if the change is meant): telltale reference accept 'price [[]EUR]' ...
    report: telltale report --around e1 --out report.html
    """
    model, of, named = of_model(message)
    oldest = min((item for item in message.firing if item.model == model), key=lambda item: item.since)
    single = [f"column={_literal(item.column)}" for item in message.firing if len(message.firing) == 1]
    matchers = map(shlex.quote, [f"rule={_literal(message.group)}", *of, *single])
    todo = [("silence" if single else "silence all columns", [f"{program()} silence", *matchers, "--for 4h"])]
    mine = [item for item in message.drifted if item.model == model and item.role in ("feature", "prediction")]
    if mine:
        since, wanted = iso(min(item.since for item in mine) // 60 * 60), [_literal(item.column) for item in mine]
        accept = [f"{program()} reference accept", *map(shlex.quote, wanted), f"{named}--from {since} --dry-run"]
        if everything := len(" ".join(accept)) > LONGEST_COMMAND:
            del accept[1:-1]
        todo.append((f"accept {'all columns ' * everything}as normal (preview; only if the change is meant)", accept))
    event = shlex.quote(clean_text(oldest.event_id))
    todo.append(("report", [f"{program()} report", f"{named}--around {event} --out report.html"]))
    # A command that was cut would do something else.
    lines = ((what, " ".join(parts), parts[0]) for what, parts in todo)
    return [(what, line if len(line) <= LONGEST_COMMAND else f"{short} --help") for what, line, short in lines]


def of_model(message: Message) -> tuple[str, list[str], str]:
    """The model that commands are about; if there are several, a silence's matcher of it, and the option that names it.

    A silence of a message about several models mutes all of them; other commands are about the first.
    """
    models = list(dict.fromkeys(item.model for item in message.firing))
    named = models[:1] if message.several else []
    matchers = [f"model={_literal(name)}" for name in named if len(models) == 1]
    return "".join(models[:1]), matchers, "".join(f"--model {shlex.quote(clean_text(name))} " for name in named)


def _literal(name: str) -> str:
    return glob.escape(clean_text(name))
