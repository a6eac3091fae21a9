"""Telltale's monitor: a library first, without Flask.

    from monitor import Monitor

The stages, in the order of the data path: capture, source, store, drift, rules, notify; exposition beside them.
All names are loaded when they are first asked for, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitor.columns.batch import Batch
    from monitor.counting import tally
    from monitor.library.monitor import Monitor
    from monitor.reference.file import Reference
    from monitor.report.frames import compare

__all__ = ["Batch", "Monitor", "Reference", "__version__", "compare", "tally"]

__version__ = "0.1.0"

#: The module that each name is imported from, once it is used.
_HOME = {
    "Batch": "monitor.columns.batch",
    "Monitor": "monitor.library.monitor",
    "Reference": "monitor.reference.file",
    "compare": "monitor.report.frames",
    "tally": "monitor.counting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
