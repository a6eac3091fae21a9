"""Commands that only look: `status`, `drift`, `alerts`. They work with the server up or down."""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path
from typing import Any

from monitor.cli.context import Commands, add_command, load_config, print_json, print_table, reading
from monitor.clock import SystemClock, iso
from monitor.config.load import Config
from monitor.config.settings import duration_text
from monitor.drift.result import DriftResult
from monitor.errors import LockedError
from monitor.store.file.folder import owner, refuse_second
from monitor.store.records.alerts import list_events, list_silences, load_alerts
from monitor.store.records.notifications import listing
from monitor.store.records.verdicts import Verdict, latest_results
from monitor.store.windows.rows import lost_predictions


def add(commands: Commands) -> None:
    """Add the commands."""
    for name, text, run in (
        ("status", "How things stand: model, predictions, drift, alerts, gaps.", status),
        ("drift", "The latest verdict on each column.", drift),
        ("alerts", "Alerts, what led to them, and who was told.", alerts),
    ):
        parser = add_command(commands, name, text)
        parser.add_argument("--json", action="store_true", help="print JSON")
        if name == "drift":
            parser.add_argument(
                "--all", action="store_true", help="every statistic, not only the strongest of a column"
            )
        parser.set_defaults(run=run)


def status(options: argparse.Namespace) -> int:
    """`python -m monitor status`."""
    config = load_config(options)
    with reading(config) as connection:
        facts = gather(connection, config)
    if options.json:
        print_json(facts)
        return 0
    print(headline(facts))
    print()
    for name, value in facts.items():
        if name not in ("drifted", "states"):
            print(f"{name.replace('_', ' '):<18}{value}")
    return 0


def gather(connection: sqlite3.Connection, config: Config) -> dict[str, Any]:
    """The facts of `status`, read from the store."""
    model = connection.execute("SELECT * FROM models ORDER BY id DESC LIMIT 1").fetchone()
    verdicts = latest_results(connection)
    firing = [alert for alert in load_alerts(connection).values() if alert.state == "firing"]
    gaps, dropped = lost_predictions(connection)
    judged = max((verdict.at for verdict in verdicts), default=None)
    states: dict[str, int] = {}
    for verdict in strongest(verdicts):
        states[verdict.result.state] = states.get(verdict.result.state, 0) + 1
    drifted = [v.result.column for v in strongest(verdicts) if v.result.state == "drift"]
    return {
        "server": serving(config),
        "model_version": model["version"] if model else None,
        "predictions": model["predictions"] if model else 0,
        "evaluated": iso(judged) if judged else None,
        "columns": len(strongest(verdicts)),
        "drifted": drifted,
        "states": states,
        "firing_alerts": ", ".join(f"{alert.column} ({alert.rule}, since {iso(alert.since)})" for alert in firing)
        or "none",
        "gaps": f"{gaps}, {dropped} predictions dropped" if gaps else "none",
        "data": str(Path(config.data.path)),
    }


def headline(facts: dict[str, Any]) -> str:
    """One line that says whether something is wrong."""
    if not facts["columns"]:
        return "Nothing has been evaluated yet."
    if facts["drifted"]:
        count, columns = len(facts["drifted"]), facts["columns"]
        return f"{count} of {columns} columns {'has' if count == 1 else 'have'} drifted: {', '.join(facts['drifted'])}"
    states = facts["states"]
    if "ok" not in states and "warning" not in states:
        return f"No verdict: {', '.join(states)}."
    return f"No drift in {facts['columns']} columns."


def serving(config: Config) -> str:
    """Whether a process holds the data folder, and which."""
    path = Path(config.data.path)
    try:
        refuse_second(path)
    except LockedError:
        return f"running, process {owner(path)}"
    return "not running"


def strongest(verdicts: list[Verdict]) -> list[Verdict]:
    """One verdict for each rule and column: a drift before anything else, then the strongest; worst first."""
    best: dict[tuple[str, str, str], Verdict] = {}
    for verdict in verdicts:
        result = verdict.result
        key = (result.rule, result.role, result.column)
        if key not in best or rank(verdict) > rank(best[key]):
            best[key] = verdict
    return sorted(best.values(), key=rank, reverse=True)


def rank(verdict: Verdict) -> tuple[bool, bool, float]:
    """How bad a verdict is."""
    result = verdict.result
    return (result.state == "drift", result.state == "warning", result.strength)


def drift(options: argparse.Namespace) -> int:
    """`python -m monitor drift`."""
    config = load_config(options)
    with reading(config) as connection:
        verdicts = latest_results(connection)
    if options.json:
        print_json([verdict.result.to_json() for verdict in verdicts])
        return 0
    if not verdicts:
        print("Nothing has been evaluated yet.")
        return 0
    window = verdicts[-1].result.window
    print(f"Evaluated {iso(verdicts[-1].at)} over {iso(window.start)} to {iso(window.end)}\n")
    shown = sorted(verdicts, key=rank, reverse=True) if options.all else strongest(verdicts)
    results = [verdict.result for verdict in shown]
    print_table(
        ("column", "role", "state", "statistic", "value", "critical", "floor", "n", "m", "direction"),
        ((r.column, r.role, r.state, r.statistic, r.value, r.critical, r.floor, r.n, r.m, words(r)) for r in results),
        right=(4, 5, 6, 7, 8),
    )
    return 0


def words(result: DriftResult) -> str:
    """Which way a column moved, or why there is no verdict."""
    return result.direction.text if result.direction else result.reason


def alerts(options: argparse.Namespace) -> int:
    """`python -m monitor alerts`."""
    config = load_config(options)
    now = SystemClock().time()
    with reading(config) as connection:
        known = [alert for alert in load_alerts(connection).values() if alert.state != "inactive"]
        events, told = list_events(connection, limit=20), listing(connection, 20)
        silences = list_silences(connection, now)
    if options.json:
        print_json({"alerts": known, "events": events, "notifications": told, "silences": silences})
        return 0
    section("Alerts", "no alert is pending, firing or just resolved", bool(known))
    if known:
        known.sort(key=lambda alert: (alert.state != "firing", alert.since))
        lasts = [duration_text(max(0.0, now - alert.since)) for alert in known]
        print_table(
            ("state", "severity", "column", "role", "rule", "since", "for", "value", "event"),
            (
                (a.state, a.severity, a.column, a.role, a.rule, iso(a.since), last, a.value, a.event_id)
                for a, last in zip(known, lasts, strict=True)
            ),
            right=(7,),
        )
    section("Events", "none", bool(events))
    if events:
        print_table(
            ("at", "column", "rule", "change", "statistic", "value", "event"),
            (
                (iso(e.at), e.column, e.rule, f"{e.before} -> {e.after}", e.statistic, e.value, e.event_id)
                for e in events[::-1]
            ),
            right=(5,),
        )
    section("Notifications", "none", bool(told))
    if told:
        print_table(
            ("at", "receiver", "kind", "state", "attempts", "answer", "event"),
            ((t["at"], t["receiver"], t["kind"], t["state"], t["attempts"], t["answer"], t["event_id"]) for t in told),
            right=(4,),
        )
    section("Silences", "none", bool(silences))
    if silences:
        rows_of_silences = ((s.id, iso(s.end), s.author, s.reason, dict(s.matchers)) for s in silences)
        print_table(("id", "until", "author", "reason", "matches"), rows_of_silences)
    return 0


def section(title: str, empty: str, filled: bool) -> None:
    """Print a heading, and what stands there if nothing does."""
    print(f"\n{title}" if filled else f"\n{title}: {empty}")
