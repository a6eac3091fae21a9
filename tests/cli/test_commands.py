"""What holds for the commands of every package: times, JSON, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

import server.__main__
import server.demo
import train.__main__
import train.load
from monitor.__main__ import ELSEWHERE, MODULES, build_parser, main
from monitor.cli.command import WITHOUT_JSON, ahead, length, when

#: Options that take a time or a length of time, as far as they name no column.
TIMES = {"--from", "--to", "--for", "--since", "--until", "--step", "--every", "--delay", "--lag", "--last", "--at"}


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of the commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from leaves(below)


def parsers() -> Iterator[argparse.ArgumentParser]:
    for made in (build_parser, server.__main__.build_parser, train.__main__.build_parser, train.load.build_parser):
        yield from leaves(made(program="telltale"))
    yield from leaves(server.demo.build_parser("telltale demo"))


def test_every_option_that_takes_a_time_reads_all_forms_of_it() -> None:
    found = [(one.prog, action) for one in parsers() for action in one._actions]
    timed = [(prog, a) for prog, a in found if TIMES & {*a.option_strings} or a.metavar in ("WHEN", "DURATION")]
    timed = [(prog, action) for prog, action in timed if action.metavar != "COLUMN"]
    assert len(timed) > 15
    wrong = [f"{prog} {action.option_strings}" for prog, action in timed if action.type not in (when, ahead, length)]
    assert not wrong


@pytest.mark.parametrize("text", ["2h", "7d", "1h30m", "now", "all", "today", "yesterday", "monday", "2026-03-01"])
def test_a_time_may_be_written_in_many_ways(text: str) -> None:
    options = build_parser("drift").parse_args(["performance", "--from", text, "--to", text])
    assert options.start(1_800_000_000.0) == options.end(1_800_000_000.0) <= 1_800_000_000.0


def test_every_command_prints_json_or_says_why_not() -> None:
    for parser in leaves(build_parser(program="telltale")):
        name = parser.prog.removeprefix("telltale").split()
        if name and not WITHOUT_JSON.get(name[0]):
            assert "--json" in parser._option_string_actions, parser.prog
    assert WITHOUT_JSON.keys() <= MODULES.keys() | ELSEWHERE.keys()
    assert {*ELSEWHERE} - {"reference"} <= WITHOUT_JSON.keys()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "telltale: the following arguments are required: COMMAND; --help lists the options"),
        (["drfit"], "telltale drfit: argument COMMAND: invalid choice: 'drfit'"),
        (["drift", "--jsn"], "telltale drift: unrecognized arguments: --jsn; --help lists the options"),
        (["report", "--from", "soon"], "telltale report: argument --from: expected a time such as"),
        (["silence", "a=b", "--for", "long"], "telltale silence: argument --for: not a duration: 'long'"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments, "telltale") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(error)
    assert said.err.count("\n") == 1
