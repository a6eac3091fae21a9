"""How many messages a month unusual windows made."""

from __future__ import annotations

import numpy as np

from monitor.clock import from_iso, iso
from monitor.drift.result import Subject
from monitor.store.records import usual
from tests.store.world import DAY, MIDNIGHT, memory, small_model

#: Versions of a model.
V1, V2 = Subject(version="v1"), Subject(version="v2")

EVENT = """
INSERT INTO alert_events (at, rule, model, series, "column", role, before, after, statistic, n, severity, event_id,
                          model_version)
VALUES (?, 'unusual', ?, 'all', 'x', 'feature', 'inactive', 'firing', ?, 9, 'warning', ?, 'v1')
"""


def test_what_began_at_once_is_one_message_and_what_reopens_is_none() -> None:
    connection = memory()
    series = small_model(connection)
    assert usual.spent(connection, V1, MIDNIGHT) == ""
    usual.save(connection, series.id, [usual.LearnedRow(0, 6, from_iso(iso(MIDNIGHT)), 0, np.zeros(3))], [])
    for day, statistic, event in (
        (1, "usual 6h", "a"),
        (1, "usual 1d", "b"),
        (3, "usual 6h", "a"),
        (9, "usual 6h", "c"),
        (9, "ks", "d"),
        (10, "ks", "e"),
    ):
        connection.execute(EVENT, (iso(MIDNIGHT + day * DAY), series.subject.model, statistic, event))
    assert usual.spent(connection, V1, MIDNIGHT + 20 * DAY) == ""
    assert usual.spent(connection, V1, MIDNIGHT + 56 * DAY) == "1.1 messages a month over the last 8 weeks"
    assert usual.spent(connection, V1, MIDNIGHT + 400 * DAY) == "0.0 messages a month over the last 26 weeks"
    assert usual.spent(connection, V2, MIDNIGHT + 400 * DAY) == ""
