"""Reports of past days, weeks or months that are sent: when one is due, what its message says, its files."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from monitor import words
from monitor.clock import from_iso, iso
from monitor.config.load import Config
from monitor.config.settings import DAYS
from monitor.drift.result import Span
from monitor.errors import StoreError
from monitor.notify.message import Message
from monitor.notify.receiver import Receiver
from monitor.reference.file import write_atomically
from monitor.report import file, performance
from monitor.report.file import Report
from monitor.report.overview import Row, names
from monitor.rules.rule import SEVERITIES
from monitor.store.file.database import one_moment
from monitor.store.records import notifications as outbox
from monitor.store.windows.rows import read_meta, write_meta

#: Key of `meta`: the end of the last period of which there was a report, or at which there began to be reports.
REPORTED = "reported"

#: Models that a title tells of one by one, and columns that have a line.
NAMED, LINES = 3, 5


def last_period(now: float, every: str, at: float, zone: ZoneInfo) -> Span:
    """Return the newest day, week or month that is over and whose report is due: `at` seconds after its end.

    >>> sunday_noon, utc = from_iso("2026-11-29T12:00:00Z"), ZoneInfo("UTC")
    >>> [last_period(sunday_noon, every, 8 * 3600.0, utc) for every in ("day", "monday", "month")]
    [<Span 2026-11-28T00:00:00Z to 2026-11-29T00:00:00Z>, <Span 2026-11-16T00:00:00Z to 2026-11-23T00:00:00Z>, \
<Span 2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z>]
    """
    day = (datetime.fromtimestamp(now, zone) - timedelta(seconds=at)).date()
    if every == "month":
        end = day.replace(day=1)
        start = (end - timedelta(days=1)).replace(day=1)
    else:
        end = day - timedelta(days=0 if every == "day" else (day.weekday() - DAYS.index(every)) % 7)
        start = end - timedelta(days=1 if every == "day" else 7)
    first, last = (datetime.combine(one, time(), zone).timestamp() for one in (start, end))
    return Span(first, last)


def days(span: Span, zone: ZoneInfo) -> str:
    """Name the days of a period.

    >>> [days(Span(start * 86_400.0, end * 86_400.0), ZoneInfo("UTC")) for start, end in ((4, 5), (4, 11), (25, 32))]
    ['5 Jan 1970', '5 to 11 Jan 1970', '26 Jan to 1 Feb 1970']
    """
    first, last = (datetime.fromtimestamp(at, zone) for at in (span.start, span.end - 1))
    parts = [f" {first:%Y}" * (first.year != last.year), f" {first:%b}" * (first.month != last.month)]
    begin = "" if first.date() == last.date() else f"{first.day}{parts[1]}{parts[0]} to "
    return f"{begin}{last.day} {last:%b %Y}"


def messages(summary: Message, receiver: Receiver) -> list[Message]:
    """What one receiver gets: the summary with the files if its kind takes some, else with their paths."""
    if receiver.traits.attaches:
        return [summary]
    if receiver.traits.uploads:
        return [summary, *(replace(summary, kind="file", files=(path,)) for path in summary.files)]
    return [replace(summary, lines=(*summary.lines, *((path, "") for path in summary.files)))]


def chosen(receivers: Iterable[Receiver], config: Config) -> list[Receiver]:
    """The receivers of reports: those that the settings name, else those that get every alert."""
    named = config.report.receivers or config.alerts.receivers
    found = [one for one in receivers if not one.traits.levels and (not named or one.name in named)]
    return [one for one in found if config.report.receivers or not (one.severities or one.match)]


def send_due(
    config: Config,
    database: Path,
    call: Callable[[Callable[[sqlite3.Connection], None]], None],
    receivers: Sequence[Receiver],
    link: str,
    now: float,
) -> None:
    """Queue the report of the last period if it is due: once, also over restarts.

    `call` runs a function in a transaction of the writer. Of several missed periods only the last one is sent. At the
    first start the period that is not over is the first one. Raises what the store raises.
    """
    span = last_period(now, config.report.every, config.report.at, ZoneInfo(config.drift.timezone))
    with one_moment(database) as connection:
        known = read_meta(connection, REPORTED, "")
        if known and from_iso(known) == span.end:
            return
        # One in the future is of a clock that was wrong.
        due = known and from_iso(known) < span.end
        summary = write(connection, config, span, link, now) if due else None

    def queue(connection: sqlite3.Connection) -> None:
        for receiver in chosen(receivers, config):
            for message in messages(summary, receiver) if summary else ():
                outbox.post(connection, receiver.name, message)
        write_meta(connection, REPORTED, iso(span.end))

    call(queue)


def write(connection: sqlite3.Connection, config: Config, span: Span, link: str, now: float) -> Message:
    """Make the report of each model, write it to `[report] folder`, and sum all up in one message with the files."""
    summaries, files, versions = [], [], []
    for name in config.names:
        own = config.of(name)
        try:
            report = file.gather(connection, own, span, now, name if config.named else None)
        except StoreError as error:  # it never predicted
            summaries.append((name, str(error), [(str(error), "")]))
            continue
        summaries.append((name, *sum_up(report)))
        versions.append(report.series.version)
        if config.report.folder:
            try:
                files.append(save(file.to_html(connection, report, own), config.report.folder, name, span))
            except OSError as error:
                summaries[-1][2].append((config.report.folder, f"cannot be written to: {error.strerror}"))
    named, period = config.named, days(span, ZoneInfo(config.drift.timezone))
    troubled = [(name, worst) for name, worst, _ in summaries if worst]
    title = "; ".join(f"{name}: {worst}" if named else worst for name, worst in troubled) or "nothing happened"
    if len(troubled) > NAMED:
        title = f"{len(troubled)} of {len(summaries)} models need a look: {', '.join(name for name, _ in troubled)}"
    model = "" if named or config.names == ("model",) else f"{config.names[0]}, "
    if link and not named:
        link = f"{link.rstrip('/')}/?from={iso(span.start)}&to={iso(span.end)}"
    lines: list[tuple[str, str]] = []
    for name, _, own_lines in summaries:
        lines += [(name, "")] * named + own_lines
    return Message(
        "report",
        "",
        "info",
        "",
        now,
        ", ".join(versions),
        lines=tuple(lines),
        link=link,
        several=named,
        files=tuple(files),
        about=f"{model}{period}: {title}",
    )


def save(page: str, folder: str, name: str, span: Span) -> str:
    """Write a page into a folder; return its path. Raises OSError."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    first, last = (re.sub(r"T00:00:00Z|[^\dT-]", "", iso(at)) for at in (span.start, span.end))
    path = Path(folder).resolve() / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}-{first}-to-{last}.html"
    write_atomically(path, page.encode())
    return str(path)


def sum_up(report: Report) -> tuple[str, list[tuple[str, str]]]:
    """Say in a few words the worst of a report, "" if nothing happened; and list the lines of its message.

    A line is a pair of texts: the first may have names from the data, the second has none.
    """
    assert report.span is not None
    n = words.counted(report.predictions, "prediction")
    if not report.predictions:
        return "no predictions", [("", "no predictions")]
    if report.performance and report.performance.whole.sums.n:
        n += f", {words.count(report.performance.whole.sums.n)} with an outcome"
    verdict = performance.summarise(report.evaluation)
    known = verdict.line.text.partition("; ")[0] if verdict is not None and verdict.known else ""
    worse = verdict is not None and verdict.line.tone == "drift"
    lost = [gap["lost"] for gap in report.gaps]
    if not report.alerts and not lost and not worse and report.headline.tone in ("ok", "warning"):
        return "", [(f"{n}, no alert{'; ' * bool(known)}{known}", "")]
    began = [one for one in report.alerts if one["began"] >= iso(report.span.start)]
    still = sorted(
        (one for one in report.alerts if not one["ended"]), key=lambda one: SEVERITIES.index(one["severity"])
    )
    fires = "still fire" + "s" * (len(still) == 1)
    fired = f"{words.counted(len(began), 'alert')} began, {len(report.alerts) - len(still)} ended, {len(still)} {fires}"
    lines = [("", n), (known, ""), ("", fired)]
    if still:
        lines.append((names([one["column"] for one in still]), fires))
    lines += _drifted([row for row in report.rows if row.state == "drift"])
    if lost:
        missed = "an unknown number of predictions" if None in lost else words.counted(sum(lost), "prediction")
        lines.append(("", f"{missed} not recorded"))
    worst = known if worse else fired if report.alerts else report.headline.text
    return worst, [line for line in lines if any(line)]


def _drifted(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Lines about columns that have drifted: the harmful ones each, the others by name."""
    harmful = [row for row in rows if row.harm and row.harm.effect == "harmful"]
    others = [row.column.name for row in rows if row not in harmful[:LINES]]
    lines = [
        (f"{row.column.name}: {row.moved.replace(' sd)', ' standard deviations)')}", f"({row.harm.brief})")
        for row in harmful[:LINES]
        if row.harm
    ]
    if others:
        lines.append((names(others), "moved too" if len(harmful) > LINES else "moved without known harm"))
    return lines
