"""A message as a value: what happened to one group of alerts, in no provider's format."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from monitor.clock import from_iso
from monitor.columns.column import MISSING, OTHER, Role, clean_text, column_path
from monitor.drift.result import DriftResult
from monitor.notify.sketch import Histograms, sketch
from monitor.rules.alert import Alert
from monitor.words import counted, date_time, duration

#: Seconds of delay from which the headline says it.
STALE = 300.0

#: Longest address and command in a message; a longer address is replaced by that of the overview.
LONGEST_ADDRESS, LONGEST_COMMAND = 600, 150

MessageKind = Literal["firing", "update", "repeat", "resolved", "digest", "state", "resend", "test", "picture"]
Status = Literal["new", "firing", "resolved"]

#: Columns that a message shows in full: all of a few, the strongest of many; and those that it names after them.
SHOWN, STRONGEST, NAMED = 5, 3, 12


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert within a message. Times are seconds since 1970 UTC; `until` is set once it is resolved.

    `direction`: what changed, in words; `names` are the values from the data that it names, in their order; `change`,
    `before`, `after` as in `drift.result.Direction`. `reason`: why it resolved, if no verdict ended it.
    `explained`: how unusual it is, in a sentence.
    `sketches`: reference and test window as bars, with the values at their ends; empty where unknown.
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
    sketches: tuple[str, str] | None = None
    scale: tuple[str, str] = ("", "")
    histogram: dict[str, list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one receiver. `entries`: all alerts of the group, the new and strongest first.

    `model`: model version. `link`: the page. `opened`: when the group began to fire. `changes`: transitions since the
    last message, to show flapping. `lines`: (name or nothing, text) pairs of a digest or a test. `ends`: for
    Alertmanager, until when the firing alerts hold unless they are sent again. `delayed`: seconds that the message
    waited because the receiver could not be reached. `repeated`: an earlier attempt may have arrived.
    """

    kind: MessageKind
    group: str
    severity: str
    event_id: str
    at: float
    model: str = ""
    entries: tuple[Entry, ...] = ()
    opened: float = 0.0
    changes: int = 0
    link: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    ends: float | None = None
    delayed: float = 0.0
    repeated: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Message:
        """Read what `dataclasses.asdict` made, also through JSON."""
        entries: Iterable[dict[str, Any]] = (
            {name: tuple(value) if isinstance(value, list) else value for name, value in item.items()}
            for item in data["entries"]
        )
        lines = tuple(map(tuple, data["lines"]))
        return cls(**{**data, "entries": tuple(Entry(**item) for item in entries), "lines": lines})

    @property
    def address(self) -> str:
        """The column's page if the message is about one column, else the overview; empty if unknown."""
        columns = {(item.role, item.column) for item in self.entries}
        return column_address(self.link, *columns.pop()) if len(columns) == 1 else self.link

    @property
    def now(self) -> float:
        """When it is delivered, so that times of another day get their date."""
        return self.at + self.delayed

    @property
    def firing(self) -> tuple[Entry, ...]:
        """The entries that still fire."""
        return tuple(entry for entry in self.entries if entry.status != "resolved")

    @property
    def resolved(self) -> tuple[Entry, ...]:
        """The entries that are resolved."""
        return tuple(entry for entry in self.entries if entry.status == "resolved")


def column_address(link: str, role: str, column: str) -> str:
    """Address of a column's page, given the overview's.

    >>> column_address("https://box.example/", "feature", "a&b"), column_address("", "feature", "bmi")
    ('https://box.example/column/feature?name=a%26b', '')
    """
    address = link.rstrip("/") + column_path(role, column) if link else ""
    return address if len(address) <= LONGEST_ADDRESS else link


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
    said: dict[str, Any] = {"value": alert.value}
    if result is not None:
        said |= {name: getattr(result, name) for name in ("statistic", "threshold", "n", "m", "reference")}
        said["value"] = alert.value if result.value is None else result.value
        said["explained"] = result.reason if result.state == "drift" else ""
        said["window"] = (result.window.start, result.window.end)
        if direction := result.direction:
            said |= {name: getattr(direction, name) for name in ("change", "before", "after")}
            said["direction"] = direction.text
            said["names"] = tuple(name for name in direction.names if name not in (OTHER, MISSING))
    same = (alert.column, alert.role, status, alert.severity, alert.event_id, alert.began if since is None else since)
    return Entry(*same, until, dict(alert.labels), reason=reason, **said)


def drawing(histograms: Histograms) -> dict[str, Any]:
    """The fields of an entry that draw it: bars for a message in words, and what a picture is drawn from."""
    column = histograms.column
    bars, scale = sketch(histograms)
    drawn: dict[str, Any] = {"edges": list(column.edges), "categories": []}
    for side, counts in (("reference", histograms.reference), ("test", histograms.test)):
        values = counts[: column.value_bins].tolist()
        drawn[side] = [rows / (sum(values) or 1) for rows in values]
    if column.numeric:
        return {"sketches": bars, "scale": scale, "histogram": drawn if len(column.edges) > 1 else None}
    # Bars of categories would need their names; the sentence names those that matter.
    return {"scale": scale, "histogram": {**drawn, "edges": [], "categories": [*column.categories, "unseen values"]}}


def shown_of(entries: int) -> int:
    """How many of so many columns are shown in full.

    >>> shown_of(2), shown_of(5), shown_of(40)
    (2, 5, 3)
    """
    return entries if entries <= SHOWN else STRONGEST


def title(message: Message) -> str:
    """Say it all in one line, as a lock screen shows it, with the age of an old message.

    >>> bmi = Entry("bmi", "feature", "new", "critical", "e1", 0.0)
    >>> title(Message("firing", "drift", "critical", "e1", 60.0, entries=(bmi,)))
    'CRITICAL: bmi has drifted'
    """
    firing, resolved = message.firing, message.resolved
    level, usual = message.severity.upper(), any(map(is_usual, message.entries))
    be, have = ("is", "has") if len(firing or resolved) == 1 else ("are", "have")
    match message.kind:
        case "firing":
            said = f"{level}: {names(firing)} {f'{be} unusual' if usual else f'{have} drifted'}"
        case "update":
            new = sum(e.status == "new" for e in firing)
            parts = [f"{new} new"] * bool(new) + [f"{len(resolved)} resolved"] * bool(resolved)
            said = f"{level}: {names(firing)} {be} drifting ({', '.join(parts)})"
        case "repeat":
            said = f"{level}: {names(firing)} still drifting, for {duration(message.at - message.opened)}"
        case "resolved":
            again = f" {be} usual again" if usual else ""
            after = f", after {duration(lasted(resolved[0], message))}" if len(resolved) == 1 else ""
            said = f"RESOLVED: {names(resolved)}{again}{after}"
        case "digest":
            said = "CATCHING UP: messages could not be delivered"
        case "test":
            said = "TEST: Telltale can reach you"
        case _:
            said = f"{counted(len(firing), 'column')} drifting"
    return f"{said} ({duration(message.delayed)} ago)" if message.delayed >= STALE else said


def is_usual(item: Entry) -> bool:
    """Whether an entry is about what is usual, not about what the model was trained on."""
    return item.statistic.startswith("usual ")


def lasted(item: Entry, message: Message) -> float:
    """Seconds that a resolved alert fired."""
    return (message.at if item.until is None else item.until) - item.since


def against(reference: str) -> str:
    """Name what a verdict compared with.

    >>> against("training 0123456789ab"), against("2026-03-01T00:00:00Z/2026-03-02T00:00:00Z")
    ('the training data', '1 Mar 2026, 00:00 UTC to 2 Mar 2026, 00:00 UTC')
    """
    kind, _, rest = reference.partition(" ")
    if kind == "training":
        return "the training data"
    if kind == "usual":
        return f"what is {reference}"
    period = (rest.split()[0] if kind == "accepted" and rest else reference).split("/")
    try:
        start, end = map(date_time, map(from_iso, period))
    except ValueError:
        return reference
    return f"{'the accepted period ' * (kind == 'accepted')}{start} to {end}"


def names(entries: Sequence[Entry]) -> str:
    """Name the first entry and count the rest.

    >>> names([Entry("a", "feature", "new", "info", "", 0.0)] * 3)
    'a and 2 more'
    """
    if not entries:
        return "nothing"
    return label(entries[0]) + (f" and {len(entries) - 1} more" if len(entries) > 1 else "")


def label(item: Entry) -> str:
    """A column's name, with its role if it is no feature."""
    return item.column if item.role in ("feature", item.column) else f"{item.column} ({item.role})"


def silence_command(message: Message) -> str:
    """The command that silences what a message is about.

    >>> price = Entry("price [EUR]", "feature", "new", "warning", "e1", 0.0)
    >>> silence_command(Message("firing", "drift", "warning", "e1", 60.0, entries=(price,)))
    "python -m monitor silence rule=drift 'column=price [[]EUR]' --for 4h"
    """
    firing = message.firing
    # A silence matches by globs, so a name that holds a star or a bracket is escaped.
    matchers = [f"rule={glob.escape(clean_text(message.group))}"]
    if len(firing) == 1:
        matchers.append(f"column={glob.escape(clean_text(firing[0].column))}")
    command = " ".join(["python -m monitor silence", *map(shlex.quote, matchers), "--for", "4h"])
    # A command that was cut would silence something else.
    return command if len(command) <= LONGEST_COMMAND else "python -m monitor silence --help"
