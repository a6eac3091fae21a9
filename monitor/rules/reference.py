"""What a rule compares with: the training data, what is usual, or a period of past production."""

from __future__ import annotations

from monitor.clock import from_iso
from monitor.drift.result import Span
from monitor.errors import ConfigError

TRAINING = "training"

#: What the last weeks let expect of a column at this hour: its own expected histogram.
USUAL = "usual"


def reference_span(reference: str) -> Span | None:
    """Stretch of past production that a rule's `reference` names; None for `training` and `usual`.

    Raises ConfigError for a text that names none.

    >>> reference_span("1970-01-01/1970-01-02")
    Span(start=0.0, end=86400.0)
    """
    if reference in (TRAINING, USUAL):
        return None
    first, _, last = reference.partition("/")
    try:
        span = Span(from_iso(first), from_iso(last))
    except ValueError:
        span = Span(0.0, 0.0)
    if span.end <= span.start:
        raise ConfigError(f'expected "{USUAL}", "{TRAINING}" or "FROM/TO" in ISO 8601, got {reference!r}')
    return span
