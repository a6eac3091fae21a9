"""`python -m server` with everything that monitors taken out, for bench.serving: what is left is the server itself."""

from __future__ import annotations

import sys
from typing import Any

from monitor.instruments import Instruments
from monitor.pipeline import Pipeline
from monitor.recorder import Recorder


def nothing(*_: Any) -> Any:
    return ""


def strip() -> None:
    """Replace recording, counting and the monitor's threads by nothing."""
    for kind, name in (
        (Recorder, "record"),
        (Pipeline, "record"),
        (Instruments, "took"),
        (Instruments, "rejected"),
        (Pipeline, "start"),
    ):
        setattr(kind, name, nothing)
    Recorder.record_many = lambda _, features, *_rest: [""] * len(features[0])  # type: ignore[method-assign]


if __name__ == "__main__":
    from server.__main__ import main

    strip()
    sys.exit(main())
