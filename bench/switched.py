"""`python -m server` whose monitoring is switched on and off every `BLOCK` requests, for bench.monitoring.

Recording and counting are switched, or stay on if ALWAYS says yes. Writes into the file that BLOCKS names, as JSON,
the processor time of each block on the thread that answers, and that of the writer's thread for each request.
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
from monitor.source.recorder import Recorder
from server.predict import Predictor

#: Requests after which monitoring is switched: so few that both states meet the same noise.
BLOCK = 64


class Switch:
    """Whether to monitor, and what each block of requests took: on or off, and seconds of processor time."""

    def __init__(self) -> None:
        self.on = True
        self.blocks: list[tuple[bool, float]] = []
        self.writer = 0.0
        self.requests, self._thread, self._began = 0, 0, 0.0

    def asked(self) -> None:
        """Count a request, on the thread that answers it; after a block, switch."""
        self.requests += 1
        if self.requests % BLOCK or os.environ["ALWAYS"]:
            return
        now, thread = time.thread_time(), threading.get_ident()
        if thread == self._thread:
            self.blocks.append((self.on, now - self._began))
        self.on = not self.on
        self._thread, self._began = thread, time.thread_time()

    def watch(self) -> None:
        """Keep the processor time of the writer's thread, as long as there is one."""
        while True:
            time.sleep(0.5)
            for thread in threading.enumerate():
                if thread.name == "telltale-writer" and thread.ident is not None:
                    self.writer = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def install(switch: Switch) -> None:
    """Have the server ask the switch."""
    make_record, took, answer = Recorder._make_record, Instruments.took, Predictor.__call__

    def make(recorder: Recorder) -> Any:
        real = make_record(recorder)
        return lambda *given: real(*given) if switch.on else 0

    def answered(predictor: Predictor, environ: Any, start_response: Any) -> Any:
        switch.asked()
        return answer(predictor, environ, start_response)

    Recorder._make_record = make  # type: ignore[method-assign, assignment]
    Instruments.took = lambda self, seconds: took(self, seconds) if switch.on else None  # type: ignore[method-assign]
    Predictor.__call__ = answered  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    from server.__main__ import main

    the_switch = Switch()
    install(the_switch)
    threading.Thread(target=the_switch.watch, daemon=True).start()
    code = main()
    found = {"blocks": the_switch.blocks, "folding": the_switch.writer / the_switch.requests}
    Path(os.environ["BLOCKS"]).write_text(json.dumps(found))
    sys.exit(code)
