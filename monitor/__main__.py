"""`python -m monitor COMMAND`: look at the record, check the settings, try the alerts."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from monitor.cli import audit as record
from monitor.cli import check, history, reference, replay, report
from monitor.cli import show as look
from monitor.cli import silence as change
from monitor.errors import TelltaleError


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m monitor", description="Look at what Telltale recorded, check its settings, try its alerts."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (look, check, change, record, report, reference, replay, history):
        module.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the process's exit code."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except TelltaleError as error:
        print(f"python -m monitor {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Somebody piped us into `head`, and has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
