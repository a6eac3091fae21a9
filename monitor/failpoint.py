"""Places where a process can be made to die, so that anybody can repeat what the tests claim.

`CRASH_AT=fold.begin:3` ends the process with `os._exit(9)`, without any clean-up, when it reaches `fold.begin` for the
third time. Without the variable a failpoint costs one comparison.
"""

from __future__ import annotations

import os
import threading

#: Every failpoint, in the order of the data path.
NAMES = (
    "append.body",
    "append.done",
    "batch.claimed",
    "batch.body",
    "batch.checksums",
    "journal.roll",
    "fold.begin",
    "store.commit",
    "fold.committed",
    "journal.delete",
    "recover.delete",
    "evaluation.committed",
)

#: Those of delivery: reached only where there is a receiver to deliver to.
DELIVERY_NAMES = ("notify.claimed", "notify.posted", "notify.settled")

_lock = threading.Lock()


def _read(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    known = (*NAMES, *DELIVERY_NAMES)
    if name and name not in known:
        raise ValueError(f"CRASH_AT={text}: there is no failpoint {name!r}; known are: {', '.join(known)}")
    return name, int(count or 1)


_name, _left = _read(os.environ.get("CRASH_AT", ""))


def armed(prefix: str) -> bool:
    """Whether a failpoint whose name begins so is to be hit."""
    return _name.startswith(prefix) and bool(_name)


def reach(name: str) -> None:
    """End the process here, if it was asked for."""
    if name != _name:
        return
    global _left
    with _lock:
        _left -= 1
        if _left <= 0:
            os._exit(9)
