"""Several series in one store: counted, judged, audited and told apart, without code for each."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from monitor.columns.batch import Batch
from monitor.columns.column import Column, Schema
from monitor.drift.result import Subject
from monitor.reference.file import Reference
from monitor.rules.alert import Alert
from monitor.series import Series
from monitor.store.audit.verify import verify
from monitor.store.records.alerts import load_alerts, save_alerts
from monitor.store.windows.ledger import Windows, load_totals
from monitor.store.windows.ranges import sum_range
from monitor.store.windows.rows import register_series
from tests.store.world import MIDNIGHT, SCHEMA, Monitored, batch, memory, small_model

EXTRA = (Column("error", "prediction", "numeric", edges=(0.5, 1.0)),)


@pytest.fixture
def monitored(tmp_path):
    opened = Monitored(tmp_path / "data")
    yield opened
    opened.close()


def test_two_series_of_a_model_have_counts_columns_and_n_of_their_own(monitored: Monitored) -> None:
    schema = Schema((*SCHEMA.columns, *EXTRA))
    reference = Reference(schema, schema.zeros() + 3, np.zeros(4), np.ones(4))
    rows = Batch(4, np.concatenate([batch(4).counts, [1, 2, 0, 1, 0]]), np.zeros(4))

    def add(connection: sqlite3.Connection) -> Series:
        joined = register_series(connection, Subject("model", "v1", "outcomes"), reference, "2023-11-15T00:00:00Z")
        windows = Windows(connection, joined, 60)
        windows.add(connection, {int(MIDNIGHT): rows})
        windows.seal(connection, MIDNIGHT + 60)
        return joined

    joined = monitored.runtime.writer.transaction(add)
    monitored.minutes(3)
    with monitored.read() as connection:
        series = monitored.runtime.only.series
        assert [sum_range(connection, one, MIDNIGHT, MIDNIGHT + 60).n for one in (joined, series)] == [4, 20]
        assert load_totals(connection, joined).counts[-5:].tolist() == [1, 2, 0, 1, 0]
        assert not verify(connection).problems
        connection.execute("UPDATE sealed_counts SET counts = '[9]' WHERE id = (SELECT min(id) FROM sealed_counts)")
        assert verify(connection).problems


def test_the_reference_that_was_entered_first_counts_and_is_not_read_again_if_it_is_the_one_given() -> None:
    connection = memory()
    known = small_model(connection).reference
    other = replace(known, info=replace(known.info, rows=known.info.rows + 1))  # of the same bins and counts
    same, series = (
        register_series(connection, Subject(version="v1"), one, "2023-11-16T00:00:00Z") for one in (known, other)
    )
    assert same.reference is known
    assert series.reference.info == known.info
    assert same.id == series.id


def test_alerts_of_two_models_are_kept_apart() -> None:
    connection = memory()
    one, other = (Alert("drift", "bmi", "feature", "firing", MIDNIGHT, model=name) for name in ("one", "other"))
    save_alerts(connection, "one", [one])
    save_alerts(connection, "other", [other])
    save_alerts(connection, "one", [])
    assert load_alerts(connection) == {other.key: other}
    assert load_alerts(connection, "one") == {}
