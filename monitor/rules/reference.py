"""What a rule compares with: the training data, or a stretch of past production."""

from __future__ import annotations

from monitor.clock import from_iso
from monitor.drift.result import Span
from monitor.errors import ConfigError

TRAINING = "training"

_DAY = 86400.0

#: References that move along with the window, by how many seconds they lie before it.
PREVIOUS = {"previous day": _DAY, "previous week": 7 * _DAY}


def reference_span(reference: str, window: Span) -> Span | None:
    """Stretch of past production that a rule's `reference` names, for a test window; None for the training data.

    Raises ConfigError for a text that names none.

    >>> reference_span("previous day", Span(86400.0, 88200.0))
    Span(start=0.0, end=1800.0)
    >>> reference_span("1970-01-01/1970-01-02", Span(0.0, 0.0))
    Span(start=0.0, end=86400.0)
    """
    if reference == TRAINING:
        return None
    if reference in PREVIOUS:
        return Span(window.start - PREVIOUS[reference], window.end - PREVIOUS[reference])
    first, _, last = reference.partition("/")
    try:
        span = Span(from_iso(first), from_iso(last))
    except ValueError:
        span = Span(0.0, 0.0)
    if span.end <= span.start:
        choices = ", ".join(f'"{choice}"' for choice in (TRAINING, *PREVIOUS))
        raise ConfigError(f'expected {choices} or "FROM/TO" in ISO 8601, got {reference!r}')
    return span
