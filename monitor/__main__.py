"""`telltale COMMAND`, and `python -m monitor COMMAND`, which is the same: all commands, also of the other packages."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import shtab

from monitor import __version__, words
from monitor.cli.command import COMMANDS, Parser, load_config, show
from monitor.errors import TelltaleError

#: The commands of each module. Only that of the command given is loaded, so that `status` does not wait for scipy.
COMMANDS_OF = {
    "show": ("status", "drift", "alerts", "performance", "compare"),
    "judge": ("judge",),
    "check": ("check", "test-alert"),
    "audit": ("windows", "verify"),
    "export": ("snapshot", "report"),
    "change": ("silence", "prune", "reload", "erase"),
    "history": ("locate", "backtest"),
    **{name: (name,) for name in ("reference", "replay", "pull", "outcomes")},
}
MODULES = {name: module for module, names in COMMANDS_OF.items() for name in names}

#: Commands outside this package, with the module to run. `reference` with `--model` or `--prediction` makes one.
ELSEWHERE = {
    "demo": "server.demo",
    "init": "train.__main__",
    "serve": "server.__main__",
    "train": "train.__main__",
    "load": "train.load",
    "reference": "train.__main__",
}

#: The packages of the extra `server`, which those commands need.
EXTRA = {"flask", "waitress", "sklearn"}


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Build the parser of one command, or of all if it is not one of them."""
    also = "Also: telltale completion, demo, init, serve, train and load; each has its own --help."
    about = "Look at what Telltale recorded, check its settings, try its alerts."
    parser = Parser(prog=words.program(), description=about, epilog=also)
    parser.add_argument("--version", action="version", version=f"telltale {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    modules = {MODULES[command]} if command in MODULES else set(MODULES.values())
    for module in modules:
        importlib.import_module(f"monitor.cli.{module}")
    for name, module in MODULES.items():
        if module not in modules:
            continue
        own = COMMANDS[name].add_to(commands, name, None)
        actions = [key for key in COMMANDS if key.startswith(f"{name} ")]
        if actions:
            subparsers = own.add_subparsers(metavar="ACTION")
            for action in actions:
                COMMANDS[action].add_to(subparsers, action.removeprefix(f"{name} "), argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of this package; return the process's exit code."""
    texts = list(sys.argv[1:] if arguments is None else arguments)
    name = texts[0] if texts else ""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    code = 0
    try:
        options = build_parser(name).parse_args(texts)
        answer = options.run(options, load_config(options))
        code = answer.code
        show(answer, getattr(options, "json", False))
        sys.stdout.flush()
    except TelltaleError as error:
        print(f"{words.program()}{' ' * bool(name)}{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has closed it: not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def build_completion_parser() -> argparse.ArgumentParser:
    """Build the parser of `telltale` with the commands of all packages that are installed, for completion."""
    parser = build_parser()
    parser.prog = "telltale"
    commands = _commands(parser)
    for name, module in ELSEWHERE.items():
        try:
            theirs = importlib.import_module(module).build_parser()
        except ModuleNotFoundError:
            continue
        theirs = _commands(theirs).choices[name] if name in ("init", "reference") else theirs
        ours = commands.choices.get(name)
        if ours is None:
            about = (theirs.description or name).partition("\n")[0]
            commands.add_parser(name, parents=[theirs], add_help=False, help=about)
            continue
        # `reference` exists twice: join the options.
        for action in theirs._actions:
            if not ours._option_string_actions.keys() & {*action.option_strings}:
                ours._add_action(action)
    for command in commands.choices.values():
        for action in command._actions:
            if action.metavar in ("FILE", "DIR"):
                action.complete = shtab.FILE if action.metavar == "FILE" else shtab.DIRECTORY
    return parser


def _commands(parser: argparse.ArgumentParser) -> Any:
    """Return the action of a parser that has the parsers of its commands."""
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def telltale(arguments: Sequence[str] | None = None) -> int:
    """Run a command of any package; return the process's exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given else ""
    if name == "completion":
        parser = Parser(prog="telltale completion", description="Print the completion script for a shell.")
        parser.add_argument("shell", choices=("bash", "zsh"))
        try:
            print(shtab.complete(build_completion_parser(), parser.parse_args(given[1:]).shell))
        except TelltaleError as error:
            print(f"telltale completion: {error}", file=sys.stderr)
            return error.exit_code
        return 0
    makes = not {"list", "accept", "reset"} & {*given[1:2]}
    makes = makes and any(text.startswith(("--model", "--prediction")) for text in given)
    if name not in ELSEWHERE or (name == "reference" and not makes):
        return main(given)
    try:
        code: int = importlib.import_module(ELSEWHERE[name]).main(given[name not in ("reference", "init") :])
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA:
            raise
        print(f"{words.program()} {name} needs {package}: pip install 'telltale[server]'", file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(telltale())
