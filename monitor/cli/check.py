"""Commands that try things out before they matter: `check`, `test-alert`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from monitor import words
from monitor.announcer import PAGE, page_address, works_here_only
from monitor.cli.command import Answer, command, option, reading
from monitor.cli.traffic import starving
from monitor.clock import SystemClock
from monitor.config.load import Config
from monitor.errors import LockedError, TelltaleError
from monitor.models.load import way_out
from monitor.models.model import open_model
from monitor.notify.receivers import build_receivers, try_receiver
from monitor.reference.file import Reference
from monitor.rules.cover import cover, explain
from monitor.store.file.folder import DATABASE, refuse_second
from monitor.store.windows.rows import read_meta

#: What `check` says: about which model, about which part, and the text.
Remark = tuple[str | None, str, str]


@command("check", "Check the settings and explain each rule, without serving.")
def check(options: argparse.Namespace, config: Config) -> Answer:
    """`check`: everything that a start would refuse, said before it. What is good before an error is printed too."""
    if options.json:
        return Answer([], [dict(zip(("model", "part", "text"), remark, strict=True)) for remark in _checks(config)])
    return Answer(_lines(_checks(config), bool(config.models)))


def _lines(remarks: Iterator[Remark], several: bool) -> Iterator[str]:
    """Lines for people, as they come: a part's name beside short ones, a blank line before rules and advice."""
    latest = None
    for model, part, text in remarks:
        if several and model != latest:
            yield f"\nmodel {model}"
        latest = model
        yield f"\n{text}" if part in ("rule", "advice") else f"{part:<14}{text}"


def _checks(config: Config) -> Iterator[Remark]:
    yield None, "settings", f"{config.file}: good"
    yield None, "receivers", ", ".join(f"{receiver.name} ({receiver.kind})" for receiver in build_receivers(config))
    yield None, "data", config.data.path
    for name in config.names:
        for part, text in _check_model(config.of(name)):
            yield name, part, text


def _check_model(config: Config) -> Iterator[tuple[str, str]]:
    """Load reference and model as a start does, and say what will be refused, and what each rule does."""
    reference = Reference.load(config.model.reference)
    features, predictions = len(reference.schema.features), len(reference.schema.predictions)
    sizes = ((features, "feature"), (predictions, "prediction"), (reference.info.rows, "row"))
    yield "reference", f"{config.model.reference}: {', '.join(words.counted(*size) for size in sizes)}"
    if config.model.path:
        path = Path(config.model.path)
        if path.exists():
            model = open_model(config.model, reference)
            lines = [f"{path}: good; asked with {model.form.title}", *model.refusals(config.model.missing, reference)]
        else:
            lines = [f"{path}: there is no such file, so a server would not start; {way_out(path)}"]
        yield "model", "\n              ".join(lines)
    cover(config.rules, reference.schema)
    for rule in config.rules:
        yield "rule", explain(rule, reference.schema, config.rules)
    name = config.model.name if config.named else None
    if (Path(config.data.path) / DATABASE).exists():
        with reading(config) as connection:
            yield from (("advice", sentence) for sentence in starving(connection, config.rules, name))


@command(
    "test-alert",
    "Send a marked test message, and print what the provider answered.",
    option("receiver", nargs="?", help="name of the receiver (default: all)"),
)
def send_test(options: argparse.Namespace, config: Config) -> Answer:
    receivers = [r for r in build_receivers(config) if options.receiver in (None, r.name)]
    if not receivers:
        known = ", ".join(receiver.name for receiver in config.receivers) or "none"
        raise TelltaleError(f"there is no receiver {options.receiver!r}; configured are: {known}")
    link = served_page(config)
    sent = [(receiver.name, try_receiver(receiver, SystemClock(), link)) for receiver in receivers]
    rows = [(name, decision.action, decision.reason) for name, decision in sent]
    where = ", which works on this machine only; set [server] url" if works_here_only(link) else ""
    failed = any(decision.action != "sent" for _, decision in sent)
    lines = [*words.table(("receiver", "action", "answer"), rows), f"\nThe link in the message leads to {link}{where}."]
    data = {"link": link, "sent": [dict(zip(("receiver", "action", "answer"), row, strict=True)) for row in rows]}
    return Answer(lines, data, int(failed))


def served_page(config: Config) -> str:
    """Address of the page: of the server that runs on the data folder, else as configured."""
    address = page_address(config.server)
    try:
        refuse_second(Path(config.data.path))
    except LockedError:
        with reading(config) as connection:
            return config.server.url or read_meta(connection, PAGE, address)
    return address
