"""Commands that try things out before they matter: `check`, `test-alert`."""

from __future__ import annotations

import argparse
from pathlib import Path

from monitor import words
from monitor.announcer import PAGE, page_address, works_here_only
from monitor.cli.context import Commands, add_command, load_config, reading
from monitor.cli.traffic import starving
from monitor.config.load import Config
from monitor.errors import LockedError, TelltaleError
from monitor.models.load import way_out
from monitor.models.model import open_model
from monitor.models.refused import refused
from monitor.notify.receivers import build_receivers, test_alert
from monitor.reference.file import Reference
from monitor.rules.cover import cover, explain
from monitor.store.file.folder import DATABASE, refuse_second
from monitor.store.windows.rows import read_meta


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
    sizes = ((features, "feature"), (predictions, "prediction"), (reference.info.rows, "row"))
    what = ", ".join(words.counted(*size) for size in sizes)
    print(f"reference     {config.model.reference}: {what}")
    if config.model.path:
        print(f"model         {check_model(config, reference)}")
    receivers = build_receivers(config)
    print(f"receivers     {', '.join(f'{receiver.name} ({receiver.kind})' for receiver in receivers)}")
    print(f"data          {config.data.path}")
    cover(config.rules, reference.schema)
    for rule in config.rules:
        print()
        print(explain(rule, reference.schema, config.rules))
    for sentence in stored_starving(config):
        print(f"\n{sentence}")
    return 0


def stored_starving(config: Config) -> list[str]:
    """What the traffic of the data folder says of the rules; nothing if there is no folder yet."""
    if not (Path(config.data.path) / DATABASE).exists():
        return []
    with reading(config) as connection:
        return starving(connection, config.rules)


def check_model(config: Config, reference: Reference) -> str:
    """Load the model as a start does, and say what will be refused. Raises ModelError."""
    path = Path(config.model.path)
    if not path.exists():
        return f"{path}: there is no such file, so a server would not start; {way_out(path)}"
    model = open_model(config.model, reference)
    lines = [f"{path}: good; asked with {model.form.title}", *refused(model, config.model.missing, reference)]
    return "\n              ".join(lines)


def send_test(options: argparse.Namespace) -> int:
    """`python -m monitor test-alert [RECEIVER]`."""
    config = load_config(options)
    receivers = [r for r in build_receivers(config) if options.receiver in (None, r.name)]
    if not receivers:
        known = ", ".join(receiver.name for receiver in config.receivers) or "none"
        raise TelltaleError(f"there is no receiver {options.receiver!r}; configured are: {known}")
    failed, link = 0, served_page(config)
    for receiver in receivers:
        decision = test_alert(receiver, link)
        print(f"{receiver.name:<16}{decision.action:<8}{decision.reason}")
        failed += decision.action != "sent"
    where = ", which works on this machine only; set [server] url" if works_here_only(link) else ""
    print(f"The link in the message leads to {link}{where}.")
    return 1 if failed else 0


def served_page(config: Config) -> str:
    """Address of the page: of the server that runs on the data folder, else as configured."""
    address = page_address(config.server)
    try:
        refuse_second(Path(config.data.path))
    except LockedError:
        with reading(config) as connection:
            return config.server.url or read_meta(connection, PAGE, address)
    return address
