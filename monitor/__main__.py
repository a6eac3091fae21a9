"""`python -m monitor COMMAND`: look at what Telltale recorded, check its settings, try its alerts."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from monitor.errors import TelltaleError

#: The module of each command. Only that of the command given is loaded, so that `status` does not wait for scipy.
MODULES = {
    "status": "show",
    "drift": "show",
    "alerts": "show",
    "check": "check",
    "test-alert": "check",
    "silence": "silence",
    "windows": "audit",
    "verify": "audit",
    "snapshot": "audit",
    "prune": "audit",
    "erase": "erase",
    "report": "report",
    "reference": "reference",
    "replay": "replay",
    "locate": "history",
    "backtest": "history",
}


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Build the parser of one command, or of all if it is not one of them."""
    parser = argparse.ArgumentParser(
        prog="python -m monitor", description="Look at what Telltale recorded, check its settings, try its alerts."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    names = [MODULES[command]] if command in MODULES else dict.fromkeys(MODULES.values())
    for name in names:
        importlib.import_module(f"monitor.cli.{name}").add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the process's exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = build_parser(given[0] if given else None).parse_args(given)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except TelltaleError as error:
        print(f"python -m monitor {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has closed it: not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
