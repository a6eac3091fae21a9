"""`python -m bench`: list the benchmarks. Each is run by itself: `python -m bench.NAME --help`."""

from __future__ import annotations

import ast
from pathlib import Path


def benchmarks() -> dict[str, str]:
    """Return the first line of each benchmark's docstring, by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_text("utf-8")
        if '__name__ == "__main__"' in text and not path.name.startswith("_"):
            found[path.stem] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found


if __name__ == "__main__":
    for name, says in benchmarks().items():
        print(f"python -m bench.{name:<18} {says}")
