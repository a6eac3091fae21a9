"""Another kind of source than the journal: a table whose rows are counted once, whatever fails."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest

from monitor.columns.batch import into_windows
from monitor.columns.binning import Binner
from monitor.exposition import families
from monitor.series import Series
from monitor.source.protocol import Gap, Handover, Source
from monitor.store.windows.ledger import read_cursor
from tests.store.world import MIDNIGHT, Monitored


class Table:
    """A table that grows; its cursor is the number of rows that are counted."""

    name = "table"
    behind = False
    lag = 0.0
    bytes = 1000
    dropped = 3
    dropping = (MIDNIGHT, "the warehouse is away")

    def __init__(self, series: Series, cursor: str) -> None:
        self.series, self.done, self.rows = series, int(cursor or 0), np.zeros((0, 4))
        self.closed = self.synced = False

    @property
    def waiting(self) -> bool:
        return self.done < len(self.rows)

    def read(self) -> Generator[Handover]:
        while self.waiting:
            part = self.rows[self.done : self.done + 10]
            times = np.full(len(part), round(MIDNIGHT * 1e9))
            counts = into_windows(Binner(self.series.schema), part, times, 60)
            gaps = (Gap("dropped", "2023-11-15T00:00:00Z", "2023-11-15T00:01:00Z", 3, "away"),)
            upto = self.done + len(part)
            yield Handover(str(upto), {(self.series, start): one for start, one in counts.items()}, {}, gaps, len(part))
            self.done = upto

    def sync(self) -> None:
        self.synced = True

    def close(self) -> None:
        self.closed = True


def with_table(monitored: Monitored) -> Table:
    """Watch a table too, from where the store has it."""
    runtime = monitored.runtime
    source: Source = (table := Table(runtime.only.series, runtime.writer.call(lambda c: read_cursor(c, "table"))))
    runtime.journals.sources.append(source)
    return table


def test_a_source_that_is_no_journal_is_counted_once(tmp_path, monkeypatch):
    monitored = Monitored(tmp_path / "data")
    runtime, table = monitored.runtime, with_table(monitored)
    table.rows = np.zeros((25, 4))
    monitored.record(5)
    assert runtime.journals.unfolded
    keep, calls = runtime.ledger.keep, []

    def breaking(connection, source, handover, now):
        keep(connection, source, handover, now)
        calls.append(source)
        if calls.count("table") == 2:
            raise RuntimeError("the disk is full")

    monkeypatch.setattr(runtime.ledger, "keep", breaking)
    with pytest.raises(RuntimeError, match="full"):
        runtime.fold()
    assert (table.done, runtime.only.totals.n) == (10, 15)
    runtime.fold()
    assert (table.done, runtime.only.totals.n, runtime.journals.unfolded) == (25, 30, False)
    assert (runtime.journals.dropped, runtime.facts().process[families.JOURNAL_BYTES] > 1000) == (3, True)
    assert "the warehouse is away" in runtime.health()["checks"][0]["detail"]
    monitored.close()
    assert table.closed

    again = Monitored(tmp_path / "data")
    table = with_table(again)
    table.rows = np.zeros((26, 4))
    again.runtime.fold()
    assert again.runtime.only.totals.n == 31
    again.close()
