"""What a source hands over: counts, and a cursor that says how far it came with them.

The writer commits both in one transaction. So whatever is killed, nothing is counted twice, and what a source has
promised to keep until then is not lost. The cursor is a text that only its source reads: a sequence number, a moment.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitor.columns.batch import Batch
from monitor.columns.column import Counts
from monitor.outcomes.sums import Sums
from monitor.series import Series


@dataclass(frozen=True, slots=True)
class Gap:
    """Predictions that no window has: a row of `gaps`. `lost`: how many, None if it cannot be known."""

    kind: str
    start: str
    end: str
    lost: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Handover:
    """What one transaction takes from a source.

    `counts`: by series, and start of the base window in seconds since 1970 UTC. `unseen`: rows by series, position of
    the column and value that the reference does not have. `rows`: how many records there were. `tallies`: counts by
    what became of records, such as `repeated`: the caller's id had come before, and it is in no count. `performance`:
    what outcomes add to the sums of a series, by the start of their predictions' hour. `delays`: of these outcomes, in
    the bins of `monitor.outcomes.join.DELAYS`, with their sum in seconds. `newest`: when the newest of the counted
    predictions was made, in seconds since 1970 UTC; 0 if only its window is known.
    """

    cursor: str
    counts: Mapping[tuple[Series, int], Batch] = field(default_factory=dict)
    unseen: Mapping[tuple[Series, int, str], int] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    rows: int = 0
    tallies: Mapping[str, int] = field(default_factory=dict)
    performance: Mapping[tuple[Series, int], Sums] = field(default_factory=dict)
    delays: Mapping[Series, tuple[Counts, float]] = field(default_factory=dict)
    newest: float = 0.0


class Source(Protocol):
    """Something that counts come from. The properties are read by any thread, the rest is called on the writer's."""

    name: str

    def read(self) -> Generator[Handover]:
        """Hand over what has come by now, in parts.

        The generator goes on once the part is committed. It is closed if the part was not, and hands the same over
        the next time.
        """

    @property
    def waiting(self) -> bool:
        """Whether it has what the store has not."""

    @property
    def behind(self) -> bool:
        """Whether more waits than one `read` takes."""

    @property
    def lag(self) -> float:
        """Seconds since nothing waited; 0 if nothing waits."""

    @property
    def bytes(self) -> int:
        """What it takes on this machine's disk until it is handed over."""

    @property
    def dropped(self) -> int:
        """Predictions that this process could not take because there was no room."""

    @property
    def dropping(self) -> tuple[float, str] | None:
        """Since when it takes none, seconds since 1970, and why; None if it does."""

    def sync(self) -> None:
        """Bring to the disk what the source itself keeps. Raises OSError."""

    def close(self) -> None:
        """Let go of everything."""
