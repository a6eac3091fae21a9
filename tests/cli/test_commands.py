"""What holds for the commands of every package: times, JSON, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import server.__main__
import server.demo
import train.__main__
import train.load
from bench.running import environment
from monitor.__main__ import ELSEWHERE, MODULES, build_parser, main, telltale
from monitor.cli.command import ahead, length, when
from tests.store.world import Monitored

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/commands.md"

#: Options that take a time or a length of time, unless they name a column or one of some periods.
TIMES = {"--from", "--to", "--for", "--since", "--until", "--step", "--every", "--delay", "--lag", "--last", "--at"}


#: Commands without `--json`, and why.
WITHOUT_JSON = {
    "report": "--format json writes the report as JSON",
    "init": "talks to a person; what it decides is in the files that it writes",
    "train": "writes files: the model and its reference",
    "demo": "serves, for people",
    "serve": "serves: /api/status and /metrics are for programs",
    "load": "sends traffic to try things out",
    "completion": "prints a script for the shell",
}


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of the commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from leaves(below)


def parsers() -> Iterator[argparse.ArgumentParser]:
    for made in (build_parser, server.__main__.build_parser, train.__main__.build_parser, train.load.build_parser):
        yield from leaves(made())
    yield from leaves(server.demo.build_parser())


def test_every_option_that_takes_a_time_reads_all_forms_of_it() -> None:
    found = [(one.prog, action) for one in parsers() for action in one._actions]
    timed = [(prog, a) for prog, a in found if TIMES & {*a.option_strings} or a.metavar in ("WHEN", "DURATION")]
    timed = [(prog, action) for prog, action in timed if action.metavar != "COLUMN" and not action.choices]
    assert len(timed) > 15
    wrong = [f"{prog} {action.option_strings}" for prog, action in timed if action.type not in (when, ahead, length)]
    assert not wrong


@pytest.mark.parametrize("text", ["2h", "7d", "1h30m", "now", "all", "today", "yesterday", "monday", "2026-03-01"])
def test_a_time_may_be_written_in_many_ways(text: str) -> None:
    options = build_parser("drift").parse_args(["performance", "--from", text, "--to", text])
    assert options.start(1_800_000_000.0) == options.end(1_800_000_000.0) <= 1_800_000_000.0


def test_every_command_prints_json_or_says_why_not() -> None:
    for parser in leaves(build_parser()):
        name = parser.prog.removeprefix("telltale").split()
        if name and not WITHOUT_JSON.get(name[0]):
            assert "--json" in parser._option_string_actions, parser.prog
    assert WITHOUT_JSON.keys() <= MODULES.keys() | ELSEWHERE.keys() | {"completion"}
    assert {*ELSEWHERE} - {"reference"} <= WITHOUT_JSON.keys()


@pytest.mark.parametrize("module", ["server", "train.load"])
def test_modules_that_were_run_name_commands_that_can_be_run(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--x"], env=environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert "python -m monitor" in done.stderr
    assert "telltale" not in done.stderr


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
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(error)
    assert said.err.count("\n") == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with an hour of predictions, of which the last ten minutes drifted."""
    path = tmp_path_factory.mktemp("commands")
    world = Monitored(path / "data", start=1_700_006_400.0)
    world.minutes(50, rows=20)
    world.minutes(10, rows=40, shift=2.0, colour="mauve")
    world.close()
    world.reference.save(path / "histogram.prom")
    (path / "config.toml").write_text(
        f'[model]\npath = ""\nreference = "{path}/histogram.prom"\n[data]\npath = "{path}/data"\n'
    )
    return path


FROM = ("--from", "2023-11-15T00:00Z", "--to", "2023-11-15T01:00Z")
PRINTED = [
    (("status",), 0),
    (("drift",), 0),
    (("judge", *FROM), 1),
    (("alerts",), 0),
    (("windows", *FROM), 0),
    (("check",), 0),
    (("test-alert",), 0),
    (("locate", "x0"), 0),
    (("backtest",), 0),
    (("verify", "--recompute"), 0),
    (("silence", "column=x0", "--for", "2h"), 0),
    (("silence",), 0),
    (("reference", "accept", *FROM, "--reason", "known"), 0),
    (("reference", "list"), 0),
    (("reference", "reset"), 0),
    (("erase", "--dry-run"), 0),
    (("prune",), 0),
]


@pytest.mark.parametrize(("arguments", "code"), PRINTED, ids=lambda value: str(value).split("'")[1:2])
def test_the_keys_of_json_are_documented(
    folder: Path, arguments: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json", "--config", str(folder / "config.toml")]) == code
    said = capsys.readouterr()
    assert said.err == "", "no progress with --json"
    found = json.loads(said.out)
    keys = found[0].keys() if isinstance(found, list) else found.keys()
    name = " ".join(arguments[: 2 if arguments[0] == "reference" else 1])
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    (documented,) = (text for names, text in rows if f"`{name}`" in names.split(", ") and "key" not in text)
    assert [key for key in keys if f"`{key}`" not in documented] == []


def test_an_error_is_one_line_with_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "--data", str(tmp_path / "nowhere")]) == 3
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("telltale status: ")


def test_ctrl_c_ends_a_command_without_a_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("monitor.cli.command.connect_read_only", interrupt)
    assert main(["status", "--data", str(folder / "data")]) == 130
    assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "telltale"
    with path.open("w") as file, contextlib.redirect_stdout(file):
        assert telltale(["completion", "bash"]) == 0
    return path


@pytest.mark.parametrize(
    ("typed", "offered", "not_offered"),
    [
        ("sta", {"status"}, {"drift"}),
        ("", {"status", "windows", "init", "demo", "serve", "train", "load", "reference"}, {"--json"}),
        ("windows --", {"--from", "--step", "--json"}, {"--format"}),
        ("report --fo", {"--format", "--force"}, {"--from"}),
        ("report --format ", {"html", "json"}, set()),
        ("reference ac", {"accept"}, {"reset"}),
        ("reference accept --", {"--from", "--dry-run"}, {"--bins"}),
        ("reference --", {"--prediction", "--bins", "--json"}, set()),
        ("init --ta", {"--target"}, {"--time"}),
        ("serve --tok", {"--token-file", "--token-env"}, set()),
        ("snapshot tell", {"telltale"}, set()),
    ],
)
def test_bash_completes_commands_and_options(
    script: Path, typed: str, offered: set[str], not_offered: set[str]
) -> None:
    words = ["telltale", *typed.split(" ")]
    ask = f"""
        source ./{script.name}
        COMP_WORDS=({" ".join(shlex.quote(word) for word in words)}); COMP_CWORD={len(words) - 1}
        function=$(complete -p telltale); function=${{function##*-F }}; function=${{function%% *}}
        "$function" telltale "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}" 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", ask], cwd=script.parent, check=True, capture_output=True, text=True)
    found = {*done.stdout.split()}
    assert offered <= found
    assert not not_offered & found


def test_zsh_and_wrong_shells(capsys: pytest.CaptureFixture[str]) -> None:
    """The library has the syntax of zsh; here it has the commands and what they are for."""
    assert telltale(["completion", "zsh"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("#compdef telltale")
    assert "status:'How things stand" in said
    assert "{--from}" in said or "--from" in said
    assert telltale(["completion", "fish"]) == 2
    assert "invalid choice: 'fish'" in capsys.readouterr().err
