"""`python -m server` whose monitoring is switched on and off in turn, for bench.monitoring.

Recording and counting are switched; what is not recorded need not be folded either. The monitor's threads go on: all
that they do then is to find nothing. Writes what each phase gave into the file that PHASES names, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from monitor.instruments import Instruments
from monitor.recorder import Recorder
from server.predict import Predictor

#: Length of a phase, and what of it does not count: the fold of the phase before comes within a second.
PHASE, SETTLE = 3.0, 1.2


class Switch:
    """Whether to monitor, and what each phase gave: on or off, requests, seconds, processor seconds."""

    def __init__(self) -> None:
        self.on = True
        self.asked = 0
        self.phases: list[tuple[bool, int, float, float]] = []

    def run(self) -> None:
        """Switch for ever."""
        while True:
            time.sleep(SETTLE)
            asked, began, used = self.asked, time.perf_counter(), time.process_time()
            time.sleep(PHASE - SETTLE)
            now = (self.on, self.asked - asked, time.perf_counter() - began, time.process_time() - used)
            self.phases.append(now)
            self.on = not self.on


def install(switch: Switch) -> None:
    """Have the server ask the switch."""
    make_record, took, answer = Recorder._make_record, Instruments.took, Predictor.__call__

    def make(recorder: Recorder) -> Any:
        real = make_record(recorder)
        return lambda features, predictions: real(features, predictions) if switch.on else 0

    def answered(predictor: Predictor, environ: Any, start_response: Any) -> Any:
        switch.asked += 1
        return answer(predictor, environ, start_response)

    Recorder._make_record = make  # type: ignore[method-assign]
    Instruments.took = lambda self, seconds: took(self, seconds) if switch.on else None  # type: ignore[method-assign]
    Predictor.__call__ = answered  # type: ignore[method-assign]


if __name__ == "__main__":
    from server.__main__ import main

    the_switch = Switch()
    install(the_switch)
    threading.Thread(target=the_switch.run, daemon=True).start()
    code = main()
    Path(os.environ["PHASES"]).write_text(json.dumps(the_switch.phases))
    sys.exit(code)
