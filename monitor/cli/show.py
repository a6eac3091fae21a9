"""Commands that only look: `status`, `drift`, `alerts`. They work with the server up or down.

Each is about one model version, the one served last unless another is named.
"""

from __future__ import annotations

import argparse
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor import words
from monitor.cli.command import AROUND, VERSION, Answer, command, option, period, period_of, reading, span_of
from monitor.cli.traffic import starving
from monitor.clock import SystemClock, from_iso, iso
from monitor.config.load import Config
from monitor.drift.result import (
    MODEL,
    NEARLY,
    AlertKey,
    DriftResult,
    Explanation,
    Span,
    Subject,
    at_a_glance,
    of_importance,
    predictions_moved,
)
from monitor.errors import LockedError
from monitor.outcomes.performance import ESTIMATED, value_name
from monitor.report.fired import read_alerts
from monitor.rules.alert import Alert, urgency
from monitor.rules.rule import PERFORMANCE
from monitor.rules.silence import Mute, Silence, mutes
from monitor.series import Series
from monitor.store.file.folder import owner, refuse_second
from monitor.store.records.alerts import list_events, list_silences, load_alerts
from monitor.store.records.notifications import deliveries, listing
from monitor.store.records.references import current
from monitor.store.records.usual import LEARNING, spent
from monitor.store.records.verdicts import Verdict, judged_version, latest_results
from monitor.store.windows.ranges import sum_range
from monitor.store.windows.rows import (
    TROUBLE,
    count_predictions,
    find_version,
    last_prediction,
    load_version,
    lost_predictions,
    read_meta,
)


@command("status", "How things stand: model, predictions, drift, alerts, gaps.", VERSION)
def status(options: argparse.Namespace, config: Config) -> Answer:
    """`status`: of all models in a line each if there are several and none is named."""
    now, names = SystemClock().time(), config.names if config.models else (options.model,)
    with reading(config) as connection:
        of_each = [
            gather(connection, config.of(name) if config.models else config, now, options.model_version, name)
            for name in names
        ]
    facts = of_each[0]
    if config.models:
        of_each.sort(key=lambda model: (not model["performance"].endswith(": worse"), -len(model["drifted"])))
        keys = ("model", "model_version", "predictions")
        rows = [[*(model[key] for key in keys), _age(model["evaluated"], now), headline(model)] for model in of_each]
        lines = words.table(("model", "version", "predictions", "evaluated", "how it is"), rows, right=[2])
        trouble = f", source: {facts['source']}" * (facts["source"] != "none")
        intro = f"server {facts['server']}, data {facts['data']}, gaps {facts['gaps']}{trouble}\n"
        return Answer([intro, *lines], {"models": of_each})
    hidden = ("drifted", "states", "advice", "predictions_moved", "harm", "importance")
    shown = (item for item in facts.items() if item[0] not in hidden)
    wrong = [f"  {column}: {harm}" for column, harm in facts["harm"].items()]
    wrong += [f"{facts[name]} {what}" for name, what in WRONG.items() if facts[name] not in (0, "none")]
    width = max(map(len, TITLES.values()))
    texts = [(TITLES.get(name, name), _aged(name, value, now)) for name, value in shown]
    lines = [line for title, text in texts for line in words.fact(title, text, width)]
    return Answer([headline(facts), *wrong, "", *lines, *(f"\n{sentence}" for sentence in facts["advice"])], facts)


#: Titles of facts whose keys are not words, and what is wrong if a fact is not none.
TITLES = {"evaluated": "last evaluation", "last_prediction": "last prediction", "last_message": "last message sent"}
TITLES |= {"model_version": "model version", "firing_alerts": "firing alerts", "silenced_alerts": "silenced alerts"}
TITLES |= {"inhibited_alerts": "inhibited alerts"}
WRONG = {"undelivered": "messages are not delivered; `alerts` says why", "gaps": "(gaps in the record)"}
WRONG |= {"source": "(the source of the counts)"}


def _aged(name: str, value: object, now: float) -> str:
    """A fact of `status` for people: moments with their age."""
    if name in ("evaluated", "last_prediction", "last_message"):
        return _age(value, now) + (f", {value}" if value else "")
    return "none" if value is None else words.cell(value)


def _age(at: Any, now: float) -> str:
    return f"{words.duration(max(now - from_iso(at), 0))} ago" if at else "never"


def alerts_of(connection: sqlite3.Connection, of: Sequence[Subject]) -> list[Alert]:
    """The alerts that are pending, firing or just resolved; none of model versions that are not judged any more."""
    up = [alert for alert in load_alerts(connection).values() if alert.state != "inactive"]
    judged = {model: judged_version(connection, model) for model in {alert.model for alert in up}}
    shown = {subject[:2] for subject in of}
    return [alert for alert in up if (alert.model, judged[alert.model]) in shown]


def gather(
    connection: sqlite3.Connection, config: Config, now: float, version: str | None = None, model: str | None = None
) -> dict[str, Any]:
    """The facts of `status` about one model version, read from the store."""
    series = find_version(connection, version, model)
    served = subject_of(series, model)
    verdicts = with_harm(connection, series, latest_results(connection, served))
    up = alerts_of(connection, [served])
    muted = mutes(up, list_silences(connection, now), now)
    muted_as = Counter(mute.state for mute in muted.values())
    firing = sorted((alert for alert in up if alert.state == "firing" and alert.key not in muted), key=urgency)
    gaps, dropped = lost_predictions(connection)
    receivers = deliveries(connection, [receiver.name for receiver in config.receivers] or ["log"])
    judged = max((verdict.at for verdict in verdicts), default=None)
    performance = (v.result for v in strongest(verdicts, by_rule=False) if v.result.column == PERFORMANCE)
    listed = [f"{alert.column} ({alert.severity}, {alert.rule}, since {iso(alert.since)})" for alert in firing]
    return {
        "server": serving(config),
        "model": served.model,
        "model_version": served.version or None,
        "predictions": count_predictions(connection, series) if series else 0,
        "last_prediction": last_prediction(connection, served),
        "evaluated": iso(judged) if judged else None,
        "last_message": max((receiver.last_sent for receiver in receivers if receiver.last_sent), default=None),
        "learning": read_meta(connection, LEARNING, "") or "no",
        "unusual": spent(connection, served, judged or now) or "not known yet",
        "performance": performance_in_words(next(performance, None)),
        **summed_up(verdicts),
        "firing_alerts": ", ".join(listed) or "none",
        "undelivered": sum(receiver.pending + receiver.dead for receiver in receivers),
        "silenced_alerts": muted_as["silenced"],
        "inhibited_alerts": muted_as["inhibited"],
        "source": read_meta(connection, TROUBLE, "") or "none",
        "gaps": f"{gaps}, {dropped} predictions dropped" if gaps else "none",
        "data": str(Path(config.data.path)),
        "advice": starving(connection, config.rules, model) if not version else [],
    }


def summed_up(verdicts: list[Verdict]) -> dict[str, Any]:
    """The facts of all columns together, performance left aside."""
    results = [v.result for v in strongest(verdicts, by_rule=False) if v.result.column != PERFORMANCE]
    return {"columns": len(results), "states": Counter(result.state for result in results), **at_a_glance(results)}


def performance_in_words(result: DriftResult | None) -> str:
    """Say how the model does: "accuracy 0.68 (0.65 to 0.708), was 0.947: worse"."""
    if result is None:
        return "not known: no outcomes are judged"
    if result.direction is None:
        return f"not known: {result.reason}"
    return f"{result.direction.text}: {'worse' if result.state == 'drift' else 'not worse'}"


def headline(facts: dict[str, Any]) -> str:
    """One line that says whether something is wrong: performance first, then the predictions, then columns."""
    if facts["evaluated"] is None:
        return "Nothing has been evaluated yet."
    worse = facts["performance"].endswith(": worse")
    be = "may be" if facts["performance"].startswith(ESTIMATED) else "is"
    first = f"The model {be} worse: {facts['performance'].removesuffix(': worse')}. " if worse else ""
    return f"{first}{_moved(facts['predictions_moved'])}{_drifted(facts)}"


def _moved(text: str | None) -> str:
    return f"{text[:1].upper()}{text[1:]}. " if text else ""


def _drifted(facts: dict[str, Any]) -> str:
    if not facts["columns"]:
        return "No column is judged."
    columns = words.counted(facts["columns"], "column")
    if facts["drifted"]:
        count = len(facts["drifted"])
        drifted = f"{'has' if count == 1 else 'have'} drifted{of_importance(facts['importance'])}"
        return f"{count} of {columns} {drifted}: {', '.join(facts['drifted'])}"
    states = facts["states"]
    if "ok" not in states and "warning" not in states:
        return f"No verdict: {', '.join(states)}; `{words.program()} drift` says why."
    return f"No drift in {columns}."


def serving(config: Config) -> str:
    """Whether a process holds the data folder, and which."""
    path = Path(config.data.path)
    try:
        refuse_second(path)
    except LockedError:
        return f"running, process {owner(path)}"
    return "not running"


def strongest(verdicts: list[Verdict], by_rule: bool = True) -> list[Verdict]:
    """One verdict for each column, and each rule if `by_rule`: a drift before anything else, then the strongest."""
    best: dict[AlertKey, Verdict] = {}
    for verdict in verdicts:
        key = verdict.result.key if by_rule else verdict.result.key._replace(rule="")
        if key not in best or rank(verdict) > rank(best[key]):
            best[key] = verdict
    return sorted(best.values(), key=rank, reverse=True)


def subject_of(series: Series | None, model: str | None) -> Subject:
    """What a series is of; if there is none, a version "" of the model that was named."""
    return Subject(model or MODEL) if series is None else series.subject


def with_harm(connection: sqlite3.Connection, series: Series | None, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Add to verdicts the harm of the columns that moved, from the counts of their windows, if the store has them.

    Predictions that have nearly moved get a direction too, which is not stored.
    """
    if series is None or not any(map(_needs_harm, verdicts)):
        return list(verdicts)
    from monitor.drift.evaluate import LazyExplanation, Sample  # they load scipy, for which `status` need not wait
    from monitor.judging.evaluation import References

    sample, names = References(series).standing(connection, current(connection, series))
    explained: dict[Span, LazyExplanation] = {}
    out = []
    for verdict in verdicts:
        result = verdict.result
        if _needs_harm(verdict) and result.reference in names:
            if result.window not in explained:
                test = sum_range(connection, series, result.window.start, result.window.end)
                explained[result.window] = LazyExplanation(series.layout, sample, Sample(test.counts, test.sums))
            why = explained[result.window]
            explanation = Explanation(result.direction or why.direction(result), (), why.harm(result))
            verdict = Verdict(verdict.at, result._replace(explanation=explanation))
        out.append(verdict)
    return out


def _needs_harm(verdict: Verdict) -> bool:
    result = verdict.result
    return result.state in ("drift", "warning") or (result.role == "prediction" and result.strength >= NEARLY)


def rank(verdict: Verdict) -> tuple[bool, bool, float, float, float]:
    """How bad a verdict is."""
    result = verdict.result
    return (result.state == "drift", result.state == "warning", *result.weight)


@command(
    "drift",
    "The latest verdict on each column.",
    VERSION,
    option("--all", action="store_true", help="every statistic, not only the strongest of a column"),
    one=True,
)
def drift(options: argparse.Namespace, config: Config) -> Answer:
    with reading(config) as connection:
        series = find_version(connection, options.model_version, options.model)
        served = subject_of(series, options.model)
        verdicts = with_harm(connection, series, latest_results(connection, served))
    data = [verdict.result.to_json() for verdict in verdicts]
    if not verdicts:
        return Answer(["Nothing has been evaluated yet."], data)
    windows = {verdict.result.window for verdict in verdicts}
    span = windows.pop() if len(windows) == 1 else None
    over = f" over {iso(span.start)} to {iso(span.end)}" if span else ""
    facts = summed_up(verdicts)
    shown = sorted(verdicts, key=rank, reverse=True) if options.all else strongest(verdicts)
    results = [verdict.result for verdict in shown]
    sizes = {result.m for result in results}
    head = ("rule", "column", "state", "statistic", "value", "threshold", "n", "m", "what changed")
    rows = [
        (*(r.rule, _title(r.column, r.role), r.state, value_name(r.statistic), r.value, r.threshold, r.n),)
        + (r.m, r.direction.text if r.direction else r.reason)
        for r in results
    ]
    lines = words.table(head, rows, right=range(4, 8), optional=("rule", "m"))
    harms = [f"  {column}: {harm}" for column, harm in facts["harm"].items()]
    against = f", compared with {words.counted(sizes.pop(), 'row')}" if len(sizes) == 1 else ""
    intro = f"Model {served.title}, evaluated {iso(verdicts[-1].at)}{over}{against}"
    return Answer([intro, f"{_moved(facts['predictions_moved'])}{_drifted(facts)}", *harms, "", *lines], data)


def _title(column: str, role: str) -> str:
    """Name a column, with its role if that is neither feature nor the name."""
    return column if role in ("feature", column) else f"{column} ({role})"


@command(
    "performance",
    "How well the model does: by outcomes, for all predictions, and estimated without outcomes.",
    VERSION,
    *period("7d"),
    one=True,
)
def performance(options: argparse.Namespace, config: Config) -> Answer:
    from monitor.judging.performance_report import lines_of, report_performance  # it loads scipy

    now = SystemClock().time()
    span = span_of(options, now)
    with reading(config) as connection:
        series = load_version(connection, options.model_version, options.model)
        report = report_performance(connection, series, span.start, span.end, now)
    intro = f"Model {series.subject.title}, predictions of {iso(span.start)} to {iso(span.end)}"
    return Answer([intro, *lines_of(report)], report.to_json())


@command(
    "compare",
    "Two versions of a model side by side: what each saw and answered on its own traffic.",
    option("versions", nargs=2, metavar="VERSION", help="model version"),
    *period("7d"),
    one=True,
)
def compare(options: argparse.Namespace, config: Config) -> Answer:
    from monitor.report.versions import compare as of_both  # it loads scipy

    now = SystemClock().time()
    span, (first, second) = span_of(options, now), options.versions
    with reading(config) as connection:
        both = [load_version(connection, version, options.model) for version in (first, second)]
        comparison = of_both(connection, both[0], both[1], span, now, config.drift.alpha, config.drift.min_samples)
    return Answer(comparison.lines(), comparison.to_json())


@command("alerts", "Alerts of now and of a period, what led to them, and who was told.", VERSION, *period("7d"), AROUND)
def alerts(options: argparse.Namespace, config: Config) -> Answer:
    """`alerts`: what is up now only if the period is not over."""
    now = SystemClock().time()
    fired: list[dict[str, Any]] = []
    with reading(config) as connection:
        names = config.names if config.models else (options.model,)
        every = [find_version(connection, options.model_version, name) for name in names]
        served = list(map(subject_of, every, names))
        known = alerts_of(connection, served)
        span = period_of(connection, options, now)
        for of in served:
            own = config.of(of.model) if config.models else config
            fired += read_alerts(connection, of._replace(version=options.model_version or ""), own, span)
        fired.sort(key=lambda alert: alert["began"], reverse=True)
        of = Subject(served[0].model, options.model_version or "")
        events = list_events(connection, of if len(served) == 1 else None, most=20, span=span)
        sent, silences = listing(connection, 20, span=span), list_silences(connection, now)
        verdicts: list[Verdict] = []
        for series, of in zip(every, served, strict=True):
            verdicts += with_harm(connection, series, latest_results(connection, of))
    muted = mutes(known, silences, now)
    best = {verdict.result.key: verdict.result for verdict in strongest(verdicts)}
    known.sort(key=lambda alert: (alert.key in muted, *urgency(alert, best.get(alert.key))))
    moved = predictions_moved(verdict.result for verdict in verdicts) if len(served) == 1 else ""
    up = _section("Alerts", "no alert is pending, firing or just resolved", _alert_table(known, muted, best, now))
    lines = [
        *(filter(None, [_moved(moved), *up]) if span.end >= now else []),
        *_section(f"Fired, {words.stretch(span.start, span.end)}", "none", _fired_table(fired)),
        *_section("Notifications", "none", _notification_table(sent)),
        *_section("Silences", "none", silence_table(silences) if silences else []),
    ]
    data = {"alerts": known, "fired": fired, "events": events, "notifications": sent, "silences": silences}
    return Answer(lines, {**span.to_json(), "predictions_moved": moved or None, **data})


def _section(title: str, empty: str, lines: Sequence[str]) -> list[str]:
    return [f"\n{title}", *lines] if lines[1:] else [f"\n{title}: {empty}"]


def _alert_table(
    known: Sequence[Alert], muted: Mapping[AlertKey, Mute], best: Mapping[AlertKey, DriftResult], now: float
) -> list[str]:
    harms = {key: result.harm.text for key, result in best.items() if result.harm}
    rows = []
    for alert in known:
        mute, lasted = muted.get(alert.key), words.duration(max(0.0, now - alert.since))
        state, why = (mute.state, mute.reason) if mute else (alert.state, harms.get(alert.key))
        about = alert.severity, alert.model, _title(alert.column, alert.role), alert.rule
        rows.append((state, *about, lasted, alert.event_id, why))
    head = ("state", "severity", "model", "column", "rule", "for", "event", "harm, or why it sends no message")
    return words.table(head, rows, optional=("model", "rule"))


def _fired_table(fired: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for event in fired:
        when = event["began"][:16], words.duration(event["lasted"]), "ended" if event["ended"] else "fires on"
        about = event["severity"], event["model"], _title(event["column"], event["role"]), event["rule"]
        what = "; ".join(filter(None, (event["direction"], event["harm"], *event["decisions"])))
        rows.append((*when, *about, event["event_id"], what))
    head = ("fired (UTC)", "for", "then", "severity", "model", "column", "rule", "event", "what happened")
    return words.table(head, rows, optional=("model", "rule"))


def _notification_table(sent: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ("receiver", "kind", "state", "attempts", "answer", "event_id")
    rows = [[iso(from_iso(message["at"]) // 1), *(message[name] for name in head)] for message in sent]
    return words.table(("at", *head[:-1], "event"), rows, right=[4])


def silence_table(silences: Sequence[Silence]) -> list[str]:
    """List silences, the one that ends first at the top."""
    by_end = sorted(silences, key=lambda silence: silence.end)
    rows = [(s.id, s.text, iso(s.end), s.author, s.reason) for s in by_end]
    return words.table(("id", "silences", "until", "author", "reason"), rows)
