"""`report`: a stretch of the record as one file to mail or to archive. It works with the server up or down."""

from __future__ import annotations

import argparse
import json
import sys

from monitor.cli.context import Commands, add_command, load_config, moment, reading
from monitor.cli.output import output_path
from monitor.clock import SystemClock
from monitor.drift.result import Span
from monitor.errors import ConfigError
from monitor.reference.file import write_atomically


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "report", "Judge a stretch of the record as a whole, and write it as one file.")
    parser.add_argument(
        "--from", dest="start", default="1d", metavar="WHEN", help="ISO 8601, UTC, or how long ago, as 7d (default: 1d)"
    )
    parser.add_argument("--to", dest="end", default="0s", metavar="WHEN", help="the same (default: now)")
    parser.add_argument("--out", metavar="FILE", help="where to write it (default: to the terminal)")
    parser.add_argument("--force", action="store_true", help="replace a file that Telltale did not write")
    parser.add_argument("--format", choices=("html", "json"), default="html", help="what to write (default: html)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the report. Raises TelltaleError."""
    from monitor.report import file  # templates and figures, which no other command needs

    now = SystemClock().time()
    span = Span(moment(options.start, now, "--from"), moment(options.end, now, "--to"))
    if span.end <= span.start:
        raise ConfigError("--to must lie after --from")
    config = load_config(options)
    out = None if options.out is None else output_path(options.out, config, options.force)
    with reading(config) as connection:
        report = file.gather(connection, config, span, now)
        if options.format == "json":
            text = json.dumps({"report": "telltale", **report.to_json()}, indent=1, ensure_ascii=False) + "\n"
        else:
            text = file.to_html(connection, report, config)
    if out is None:
        sys.stdout.write(text)
    else:
        try:
            write_atomically(out, text.encode())
        except OSError as error:
            raise ConfigError(f"--out: {options.out} cannot be written: {error.strerror or error}") from error
    return 0
