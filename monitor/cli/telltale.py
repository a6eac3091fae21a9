"""`telltale COMMAND`: every command of Telltale under one name.

`telltale serve` is `python -m server`, `telltale train` is `python -m train`, `telltale load` is
`python -m train.load`, and `telltale reference` with `--model` or `--prediction` is `python -m train reference`, which
makes one. Every other command is `python -m monitor COMMAND`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from monitor import __version__
from monitor.__main__ import main as run_command

#: Commands outside `python -m monitor`: the module to run, and the arguments to put first.
ELSEWHERE: dict[str, tuple[str, list[str]]] = {
    "serve": ("server.__main__", []),
    "train": ("train.__main__", []),
    "load": ("train.load", []),
}

#: The packages of the extra `server`, which those commands need.
EXTRA = {"flask", "waitress", "sklearn"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the process's exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--version"]:
        print(f"telltale {__version__}")
        return 0
    name, rest = (given[0], given[1:]) if given else ("", [])
    if name == "reference" and any(text.startswith(("--model", "--prediction")) for text in rest):
        module, first = "train.__main__", ["reference"]
    elif name in ELSEWHERE:
        module, first = ELSEWHERE[name]
    else:
        return run_command(given)
    try:
        code: int = importlib.import_module(module).main([*first, *rest])
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA:
            raise
        print(f"telltale {name} needs {package}: pip install 'telltale[server]'", file=sys.stderr)
        return 2
    return code
