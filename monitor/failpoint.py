"""Named steps at which a process can be made to die, so that anyone can repeat what the crash tests claim.

`python -X failpoint=fold.begin:3 -m server` ends the process with `os._exit(9)`, without any clean-up, when it reaches
`fold.begin` for the third time. Only the command line arms a failpoint; no environment variable can. Without the option
a failpoint costs one comparison.
"""

from __future__ import annotations

import os
import sys
import threading

#: Every failpoint, in the order of the data path.
NAMES = (
    *("append.body", "append.done", "batch.claimed", "batch.body", "batch.checksums", "journal.roll"),
    *("fold.begin", "store.commit", "fold.committed", "journal.delete", "recover.delete", "evaluation.committed"),
)

#: Those of delivery: reached only if there is a receiver to deliver to.
DELIVERY_NAMES = ("notify.claimed", "notify.posted", "notify.settled")

_lock = threading.Lock()


def _read(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    known = (*NAMES, *DELIVERY_NAMES)
    if name and name not in known:
        raise ValueError(f"-X failpoint={text}: there is no failpoint {name!r}; known are: {', '.join(known)}")
    return name, int(count or 1)


_name, _left = _read(str(sys._xoptions.get("failpoint", "")))


def armed(prefix: str) -> bool:
    """Return whether the armed failpoint's name begins with `prefix`."""
    return _name.startswith(prefix) and bool(_name)


def reach(name: str) -> None:
    """End the process if `name` is the armed failpoint and its count is reached."""
    if name != _name:
        return
    global _left
    with _lock:
        _left -= 1
        if _left <= 0:
            os._exit(9)
