"""Imports run one way, and the library half never imports Flask."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BASE = {"errors", "clock", "config", "failpoint", "words"}

#: What each stage of `monitor` may import from the others, besides itself.
STAGES = {
    **dict.fromkeys(BASE, BASE),
    "columns": BASE,
    "reference": BASE | {"columns", "outcomes"},
    "models": BASE | {"columns", "reference"},
    "tables": BASE | {"columns", "reference", "warehouse"},
    "capture": BASE | {"columns"},
    "warehouse": BASE | {"columns", "outcomes"},
    "drift": BASE | {"columns"},
    "normal": BASE | {"columns"},
    "outcomes": BASE | {"columns", "drift"},
    "rules": BASE | {"columns", "drift", "outcomes"},
    "notify": BASE | {"columns", "drift", "rules"},
    "series": BASE | {"columns", "reference", "drift", "outcomes"},
    "source": BASE | {"columns", "capture", "series", "outcomes", "warehouse"},
    "store": BASE | {"columns", "capture", "series", "source", "outcomes", "reference", "drift", "rules", "notify"},
    "exposition": BASE | {"columns", "reference", "drift", "rules", "outcomes"},
}

#: What joins the stages. Each may import every stage, and what comes before it here; `__main__` loads commands by name.
JOINING = (
    *("instruments", "counting", "schedule", "sender", "judging", "announcer", "recording", "watched", "report"),
    *("journals", "workers", "folding", "health", "questions", "runtime", "joined", "library"),
    *("backtest", "boxkite", "cli", "__main__"),
)

#: The exceptions: a source may need a secret, and asks by HTTP; settings hold rules, so `config` knows what a rule is,
#: and who says the version may read it.
EXCEPTIONS = {
    "monitor.notify.secret": {"source"},
    "monitor.notify.http": {"source"},
    "monitor.rules.rule": {"config"},
    "monitor.__version__": {"exposition", "report", "__main__"},
}


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text("utf-8"))))


@cache
def imports(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {
                f"{node.module}.{alias.name}" for alias in node.names if node.module in ("monitor", "monitor.store")
            }
    return frozenset(found)


def part(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def modules() -> list[Path]:
    return sorted((ROOT / "monitor").rglob("*.py"))


def wrong_imports(path: Path) -> set[str]:
    name = path.relative_to(ROOT / "monitor").parts[0].removesuffix(".py")
    if name == "__init__":
        return set()
    assert name in STAGES or name in JOINING, f"{path.name}: say in STAGES or JOINING what {name} may import"
    allowed = STAGES[name] if name in STAGES else {*STAGES, *JOINING[: JOINING.index(name)]}
    return {
        module
        for module in imports(path)
        if module.startswith("monitor.")
        and part(module) not in allowed | {name}
        and name not in EXCEPTIONS.get(module, ())
    }


def test_imports_run_one_way() -> None:
    wrong = {str(path.relative_to(ROOT)): wrong_imports(path) for path in modules()}
    assert len(wrong) > 150
    assert {name: found for name, found in wrong.items() if found} == {}


def test_stages_know_no_web() -> None:
    for path in modules():
        assert not {
            m for m in imports(path) if m.split(".")[0] in ("flask", "waitress", "werkzeug", "server", "train")
        }, path


def test_the_library_runs_without_flask() -> None:
    code = "import sys; import monitor.runtime; print(sorted({'flask', 'waitress', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_only_reads_or_sends_rows_does_not_load_scipy() -> None:
    """It would take half of the time of `status`, and most of that of `load`."""
    libraries = "{'scipy', 'sklearn', 'flask', 'pandas'}"
    code = f"import sys, monitor.cli.show, train.load; print(sorted({libraries} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_server_knows_no_statistics() -> None:
    for path in (ROOT / "server").rglob("*.py"):
        assert not {m for m in imports(path) if m.startswith(("scipy", "monitor.drift.statistics"))}, path


#: How a statement of SQL begins.
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|CREATE|ALTER|DROP|PRAGMA|BEGIN|VACUUM|ATTACH)\b(?!:)")


def sql_in(path: Path) -> list[str]:
    """Statements in a module, and calls that would run one."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            found.append(f"{path.name}:{node.lineno}: {node.value[:40]!r}")
        called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if called in ("execute", "executemany", "executescript") and node.args:  # waitress calls tasks without any
            found.append(f"{path.name}:{node.lineno}: {called}")
    return found


def test_sql_is_in_the_store_only() -> None:
    packages = [path for name in ("monitor", "server", "train") for path in (ROOT / name).rglob("*.py")]
    outside = [path for path in packages if ROOT / "monitor" / "store" not in path.parents]
    assert len(outside) > 100
    assert [line for path in outside for line in sql_in(path)] == []
    inside = [path for path in packages if path not in outside]
    assert sum(len(sql_in(path)) for path in inside) > 100, "it finds what it looks for"
