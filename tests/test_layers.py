"""Imports run one way, and the library half never imports Flask."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: Value types that every layer may read.
VALUES = {
    "monitor.__version__",
    "monitor.drift.result",
    "monitor.rules.rule",
    "monitor.rules.reference",
    "monitor.rules.presets",
}

BASE = {"errors", "clock", "config", "failpoint", "words"}

#: What each part of `monitor` may import from the others; `VALUES` and itself besides.
ALLOWED = {
    **dict.fromkeys(BASE, BASE),
    "columns": BASE,
    "reference": BASE | {"columns"},
    "models": BASE | {"columns", "reference"},
    "tables": BASE | {"columns", "reference", "capture"},
    "capture": BASE | {"columns"},
    "drift": BASE | {"columns"},
    "normal": BASE | {"columns"},
    "rules": BASE | {"columns", "drift"},
    "notify": BASE | {"columns", "drift", "rules"},
    "store": BASE | {"columns", "series", "reference", "capture", "drift", "rules", "notify"},
    "series": BASE | {"columns", "reference", "drift"},
    "exposition": BASE | {"columns", "reference", "drift", "rules"},
}

#: Parts that join the stages: they may import anything of `monitor`, and no stage may import them.
JOINING = {
    *("recorder", "evaluation", "announcer", "instruments", "health", "pipeline", "schedule", "backtest"),
    *("cli", "report", "__main__"),
    *("library", "scrape", "boxkite"),
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {
                f"{node.module}.{alias.name}" for alias in node.names if node.module in ("monitor", "monitor.store")
            }
    return found


def part(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def modules() -> list[Path]:
    return sorted((ROOT / "monitor").rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    name = path.relative_to(ROOT / "monitor").parts[0].removesuffix(".py")
    if name in JOINING or name == "__init__":
        return
    allowed = ALLOWED.get(name)
    assert allowed is not None, f"{path.name}: say in ALLOWED or JOINING what {name} may import"
    wrong = {
        module
        for module in imports(path)
        if module.startswith("monitor.") and module not in VALUES and part(module) not in allowed | {name}
    }
    assert not wrong


def test_stages_know_no_web() -> None:
    for path in modules():
        assert not {
            m for m in imports(path) if m.split(".")[0] in ("flask", "waitress", "werkzeug", "server", "train")
        }, path


def test_the_library_runs_without_flask() -> None:
    code = "import sys; import monitor.pipeline; print(sorted({'flask', 'waitress', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted((ROOT / "server").rglob("*.py")), ids=lambda path: path.name)
def test_the_server_knows_no_statistics(path: Path) -> None:
    assert not {m for m in imports(path) if m.startswith(("scipy", "monitor.drift.statistics"))}
