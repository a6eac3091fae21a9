"""Telltale's monitor: a library first, without Flask.

    from monitor import Monitor

The stages, in the order of the data path: capture, window, store, drift, rules, notify; exposition beside them.
`Monitor` and `Reference` are loaded when they are first asked for, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitor.library import Monitor
    from monitor.reference.file import Reference

__all__ = ["Monitor", "Reference", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Monitor":
        from monitor.library import Monitor

        return Monitor
    if name == "Reference":
        from monitor.reference.file import Reference

        return Reference
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
