"""Commands that try things out before they matter: `check`, `test-alert`."""

from __future__ import annotations

import argparse

from monitor.cli.context import Commands, add_command, load_config
from monitor.errors import TelltaleError
from monitor.notify.receivers import build_receivers, test_alert
from monitor.pipeline import page_address
from monitor.reference.file import Reference
from monitor.rules.cover import cover, explain


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "check", "Check the settings and explain each rule, without serving.")
    parser.set_defaults(run=check)
    parser = add_command(commands, "test-alert", "Send a marked test message, and print what the provider answered.")
    parser.add_argument("receiver", nargs="?", help="name of the receiver (default: all)")
    parser.set_defaults(run=send_test)


def check(options: argparse.Namespace) -> int:
    """`python -m monitor check`: everything that a start would refuse, said before it."""
    config = load_config(options)
    print(f"settings      {config.source}: good")
    reference = Reference.load(config.model.reference)
    features, predictions = len(reference.schema.features), len(reference.schema.predictions)
    what = f"{features} features, {predictions} predictions, {reference.info.rows} rows"
    print(f"reference     {config.model.reference}: {what}")
    receivers = build_receivers(config)
    print(f"receivers     {', '.join(f'{receiver.name} ({receiver.kind})' for receiver in receivers)}")
    print(f"data          {config.data.path}")
    cover(config.rules, reference.schema)
    for rule in config.rules:
        print()
        print(explain(rule, reference.schema, config.rules))
    return 0


def send_test(options: argparse.Namespace) -> int:
    """`python -m monitor test-alert [RECEIVER]`."""
    config = load_config(options)
    receivers = [r for r in build_receivers(config) if options.receiver in (None, r.name)]
    if not receivers:
        known = ", ".join(receiver.name for receiver in config.receivers) or "none"
        raise TelltaleError(f"there is no receiver {options.receiver!r}; configured are: {known}")
    failed = 0
    for receiver in receivers:
        decision = test_alert(receiver, page_address(config))
        print(f"{receiver.name:<16}{decision.action:<8}{decision.reason}")
        failed += decision.action != "sent"
    return 1 if failed else 0
