"""Commands that write a file: `snapshot`, `report`. They work with the server up or down.

A command never writes over the live record, nor over a file that Telltale did not write.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from monitor import words
from monitor.cli.check import served_page
from monitor.cli.command import AROUND, FORCE, Answer, bar, command, option, period, period_of, reading
from monitor.clock import SystemClock
from monitor.config.load import Config
from monitor.config.settings import EVERY
from monitor.errors import ConfigError
from monitor.notify.message import title
from monitor.notify.receivers import build_receivers, send_now
from monitor.notify.text import plain_text
from monitor.reference.file import write_atomically
from monitor.store.file.folder import DATABASE
from monitor.store.file.snapshot import is_snapshot, write_snapshot


@command(
    "snapshot",
    "Write a consistent, read-only copy for an auditor.",
    option("file", metavar="FILE", help="where to; an earlier snapshot is replaced"),
    FORCE,
)
def snapshot(options: argparse.Namespace, config: Config) -> Answer:
    target = output_path(options.file, config, options.force)
    size = write_snapshot(Path(config.data.path) / DATABASE, target)
    return Answer([f"{target}: {size:,} bytes, read-only"], {"file": str(target), "bytes": size})


@command(
    "report",
    "Judge a period as a whole, and write what was found as one file.",
    *period("1d"),
    AROUND,
    option("--every", choices=EVERY, help="make the report of the last such period, and send it as [report] says"),
    option("--out", metavar="FILE", help="where to write it (default: to the terminal)"),
    FORCE,
    option("--format", choices=("html", "json"), default="html", help="what to write (default: html)"),
    json=False,
)
def report(options: argparse.Namespace, config: Config) -> Answer:
    from monitor.report import file  # templates and figures, which no other command needs

    now = SystemClock().time()
    if options.every:
        return send(replace(config, report=replace(config.report, every=options.every)), now)
    config = config.of(options.model)
    options.model = config.model.name if config.named else options.model
    out = None if options.out is None else output_path(options.out, config, options.force)
    with reading(config) as connection:
        made = file.gather(connection, config, period_of(connection, options, now), now, options.model)
        if options.format == "json":
            text = json.dumps({"report": "telltale", **made.to_dict()}, indent=1, ensure_ascii=False) + "\n"
        else:
            with bar(options, "Drawing", len(made.rows), " columns") as progress:
                text = file.to_html(connection, made, config, progress.update)
    if out is None:
        return Answer([text.removesuffix("\n")])
    try:
        write_atomically(out, text.encode())
    except OSError as error:
        raise ConfigError(f"--out: {options.out} cannot be written: {error.strerror or error}") from error
    return Answer([])


def send(config: Config, now: float) -> Answer:
    """`report --every`: send the report of the last period now, past the outbox."""
    from monitor.report.sending import chosen, last_period, messages, write

    span = last_period(now, config.report.every, config.report.at, ZoneInfo(config.drift.timezone))
    with reading(config) as connection:
        summary = write(connection, config, span, served_page(config), now)
    lines, rows = [plain_text(summary, title(summary), 8000), "", *summary.files, ""], []
    for receiver in chosen(build_receivers(config), config):
        for message in messages(summary, receiver):
            decision = send_now(receiver, message)
            rows.append((receiver.name, message.kind, decision.action, decision.reason))
    lines += words.table(("receiver", "message", "action", "answer"), rows) if rows else []
    return Answer(lines, code=int(any(row[2] != "sent" for row in rows)))


def output_path(text: str, config: Config, force: bool) -> Path:
    """Return the file that a command is to write. Raises ConfigError if that would overwrite what it must not."""
    path, data = Path(text), Path(config.data.path).resolve()
    target = path.resolve()
    if target == data or data in target.parents or _is_linked(target, data):
        raise ConfigError(f"{path} is in the data folder {config.data.path}; write to a file elsewhere")
    if target.is_dir():
        raise ConfigError(f"{path} is a folder; name a file")
    models = [name for model in config.models or (config.model,) for name in (model.path, model.reference)]
    in_use = [Path(name) for name in (config.file, *models) if name]
    if any(used.exists() and target.exists() and target.samefile(used) for used in in_use):
        raise ConfigError(f"{path} is a file that Telltale reads: the settings, the model or the reference")
    try:
        own = not target.exists() or (target.is_file() and (is_snapshot(target) or _is_report(target)))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    if not own and not force:
        raise ConfigError(f"{path} exists and was not written by this command; --force replaces it")
    if (live := target.with_name(f"{target.name}-wal")).exists():
        raise ConfigError(f"{path} is a database in use: {live.name} is beside it; write to another file")
    return path


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return b'<meta name="generator" content="Telltale report">' in head or head.startswith(b'{\n "report": "telltale"')


def _is_linked(target: Path, data: Path) -> bool:
    """Whether a file outside of the data folder is the same file as one in it, by a second name."""
    if not target.exists() or not data.is_dir():
        return False
    return any(path.is_file() and path.samefile(target) for path in data.iterdir())
