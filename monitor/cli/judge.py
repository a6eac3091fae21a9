"""`judge`: the verdict on a period as a scheduled job asks for it, by exit code and JSON."""

from __future__ import annotations

import argparse
import json
import logging
from typing import Any

from monitor import words
from monitor.cli.command import VERSION, Answer, command, period, reading, span_of
from monitor.clock import SystemClock
from monitor.config.load import Config
from monitor.errors import TelltaleError
from monitor.judging.evaluation import Evaluator
from monitor.store.windows.rows import load_version

log = logging.getLogger(__name__)

#: Exit code for each verdict. The command ends with 0 or 1 for nothing else.
CODES = {"no drift": 0, "drift": 1, "no verdict": 2}


@command("judge", "Was there drift? Exits with 0: no, 1: yes, 2: no verdict.", VERSION, *period("1d"), one=True)
def judge(options: argparse.Namespace, config: Config) -> Answer:
    try:
        data = verdict_on(options, config)
    except Exception as error:  # Python's own exit code for it would say drift
        log.error("judge: %s", error, exc_info=not isinstance(error, TelltaleError))
        data = {"verdict": "no verdict", "reason": str(error) or type(error).__name__}
    short = {key: value for key, value in data.items() if key != "results"}  # a scheduler keeps the last line
    return Answer([json.dumps(short, ensure_ascii=False)], data, CODES[data["verdict"]])


def verdict_on(options: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Judge the stored windows of a period by every rule. Raises TelltaleError."""
    clock = SystemClock()
    span = span_of(options, clock.time())
    with reading(config) as connection:
        series = load_version(connection, options.model_version, options.model)
        results = Evaluator(series, config, clock).judge(connection, span.start, span.end)
    drifted = list(dict.fromkeys(result.column for result in results if result.state == "drift"))
    unknown = [result for result in results if result.state not in ("ok", "warning", "drift")]
    columns = words.counted(len({(result.role, result.column) for result in results}), "column")
    if drifted:
        verdict, reason = "drift", f"{len(drifted)} of {columns} drifted: {', '.join(drifted)}"
    elif len(unknown) < len(results) and all(result.state != "error" for result in unknown):
        verdict, reason = "no drift", f"no drift in {columns}"
    else:
        why = (result.reason or result.state for result in unknown)
        verdict, reason = "no verdict", next(why, "no rule compares columns with a reference")
    return {
        "verdict": verdict,
        "reason": reason,
        "model": series.model,
        "model_version": series.version,
        "window": results[0].window.to_json() if results else span.to_json(),
        "rows": max((result.n for result in results), default=0),
        "drifted": drifted,
        "results": [result.to_json() for result in results],
    }
