"""`python -m server` with everything that monitors taken out, for bench.serving: what is left is the server itself."""

from __future__ import annotations

import sys
from typing import Any

from monitor.instruments import Instruments
from monitor.runtime import Runtime
from monitor.source.recorder import Recorder


def nothing(*_: Any) -> int:
    return 0


def strip() -> None:
    """Replace recording, counting and the monitor's threads by nothing."""
    # Each recorder builds its own `record`, so it is the building that must be replaced.
    Recorder._make_record = lambda _: nothing  # type: ignore[method-assign,assignment]
    Recorder.record_encoded = lambda _, values, *_rest: [""] * len(values)  # type: ignore[method-assign]
    for kind, name in ((Instruments, "took"), (Instruments, "rejected"), (Runtime, "start")):
        setattr(kind, name, nothing)


if __name__ == "__main__":
    from server.__main__ import main

    strip()
    sys.exit(main())
