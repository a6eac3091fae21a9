"""Runs PromQL rules over `/metrics` as Telltale renders it, with promtool's own engine and no server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

RULES = Path(__file__).parents[2] / "compose/prometheus/rules"

#: A time before every window of a test: promtool begins at the start of 1970.
LONG_AGO = -1e6

_SAMPLE = re.compile(r"^([a-z_:0-9]+)(?:\{(.*)\})? (\S+)$", re.IGNORECASE)

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


def series(scrapes: Sequence[bytes | None], **labels: str) -> list[dict[str, str]]:
    """Input series of a promtool test: one value a scrape, `_` where a target was not there.

    `labels` are those that Prometheus adds to what it scrapes, such as job and instance.
    """
    added = ",".join(f"{name}={json.dumps(text)}" for name, text in labels.items())
    values: dict[str, list[str]] = {}
    for number, body in enumerate(scrapes):
        for line in (body or b"").decode().split("\n"):
            if match := _SAMPLE.match(line):
                name = f"{match[1]}{{{','.join(filter(None, (match[2], added)))}}}"
                values.setdefault(name, ["_"] * number).append(match[3].replace("+Inf", "Inf"))
        for found in values.values():
            found.extend(["_"] * (number + 1 - len(found)))
    return [{"series": name, "values": " ".join(found)} for name, found in values.items()]


def run(folder: Path, tests: Sequence[Mapping[str, Any]], rules: Sequence[Path] | None = None) -> None:
    """Run promtool tests; fails with what promtool says."""
    files = [str(path) for path in (rules or sorted(RULES.glob("*.yml")))]
    path = folder / "test.yml"
    # JSON is YAML.
    path.write_text(json.dumps({"rule_files": files, "evaluation_interval": "1m", "tests": list(tests)}))
    # It ends before its garbage takes room that would be worth collecting.
    quick, command = {**os.environ, "GOGC": "off"}, ["promtool", "test", "rules", str(path)]
    done = subprocess.run(command, env=quick, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def near(expr: str, value: float, tolerance: float = 1e-6) -> dict[str, Any]:
    """An expectation: `expr` is one sample, this far from `value` at most. promtool itself compares exactly."""
    return {
        "expr": f"sum(abs(({expr}) - {value!r}) <= bool {tolerance!r})",
        "exp_samples": [{"labels": "{}", "value": 1}],
    }


def absent(expr: str) -> dict[str, Any]:
    """An expectation: `expr` gives nothing."""
    return {"expr": expr, "exp_samples": []}
