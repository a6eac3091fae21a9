"""`reference`: what production is compared with: list it, make a stretch of production the new normal, go back."""

from __future__ import annotations

import argparse
import getpass

from monitor.cli.context import Commands, add_command, load_config, moment, print_json, print_table, reading
from monitor.cli.silence import request
from monitor.clock import Clock, SystemClock, iso
from monitor.config.load import Config
from monitor.drift.result import Span
from monitor.errors import ConfigError, StoreError
from monitor.store.records import references


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "reference", "List what was accepted as reference, accept a stretch, or go back.")
    parser.add_argument("action", nargs="?", choices=("list", "accept", "reset"), default="list")
    parser.add_argument("--from", dest="start", metavar="WHEN", help="accept: ISO 8601, UTC, or how long ago, as 7d")
    parser.add_argument("--to", dest="end", metavar="WHEN", default="0s", help="accept: the same (default: now)")
    parser.add_argument("--reason", default="", help="why, for whoever wonders later")
    parser.add_argument("--author", default="", help="who (default: the user's name)")
    parser.add_argument("--json", action="store_true", help="list: print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """`python -m monitor reference`. Raises TelltaleError."""
    config, clock = load_config(options), SystemClock()
    if options.action == "list":
        return show(config, as_json=options.json)
    change = {"author": options.author or getpass.getuser(), "reason": options.reason or "no reason given"}
    if options.action == "accept":
        span = stretch(options, clock)
        least = max((rule.min_samples for rule in config.rules), default=1)
        n, version = weigh(config, span, least)
        what = {"kind": "accept", "start": span.start, "end": span.end, "least": least, **change}
        request(config, what, clock)
        print(
            f"{iso(span.start)} to {iso(span.end)} is the reference of model {version} from now on: {n:,} predictions"
        )
        print("rules with a reference of their own keep it; to go back: python -m monitor reference reset")
        return 0
    with reading(config) as connection:
        try:
            model = references.served_model(connection)
        except ValueError as error:
            raise StoreError(str(error)) from None
        if references.current(connection, model.id) is None:
            raise StoreError(f"model {model.version} is compared with its training data already")
    request(config, {"kind": "reset", **change}, clock)
    print(f"the training data is the reference of model {model.version} from now on")
    return 0


def stretch(options: argparse.Namespace, clock: Clock) -> Span:
    """The stretch that is to be accepted. Raises ConfigError."""
    if options.start is None:
        raise ConfigError("accept needs --from: when the stretch begins, such as 7d or 2026-03-01T00:00Z")
    now = clock.time()
    span = Span(moment(options.start, now, "--from"), moment(options.end, now, "--to"))
    if span.end > now:
        raise ConfigError(f"--to: {iso(span.end)} has not come yet")
    if span.end <= span.start:
        raise ConfigError("--to must lie after --from")
    return span


def weigh(config: Config, span: Span, least: int) -> tuple[int, str]:
    """How many predictions a stretch holds, and of which model version. Raises StoreError where they are too few."""
    with reading(config) as connection:
        try:
            model = references.served_model(connection)
            return references.weigh(connection, model, span, least).n, model.version
        except ValueError as error:
            raise StoreError(str(error)) from None


def show(config: Config, *, as_json: bool) -> int:
    """List what was accepted and taken back."""
    with reading(config) as connection:
        changes = references.changes(connection)
    if as_json:
        print_json(changes)
        return 0
    if not any(change["in_force"] for change in changes):
        print("rules compare with the training data")
    if changes:
        print_table(
            ("id", "at", "action", "from", "to", "n", "author", "reason", "model", "in force"),
            (
                (c["id"], c["at"], c["action"], c["start"], c["end"], c["n"], c["author"], c["reason"])
                + (c["model_version"], "yes" if c["in_force"] else "no")
                for c in changes
            ),
            right=(0, 5),
        )
    return 0
