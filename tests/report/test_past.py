"""What was judged in the past is shown as it was, whatever has been accepted since."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.drift.result import Span
from monitor.report.past import look_back
from monitor.store.file.database import one_moment
from monitor.store.records.references import accept
from server.web.app import create_app
from tests.server.scenes import Scene, drifting


def test_the_past_is_as_it_was_judged_also_after_it_was_accepted(tmp_path: Path) -> None:
    scene: Scene = drifting(tmp_path)
    model, now = scene.runtime.only, scene.clock.time()
    live = model.latest
    event = next(alert.event_id for alert in live.alerts.values() if alert.column == "bmi")
    span = Span(now - 1800, now)
    scene.runtime.writer.transaction(lambda connection: accept(connection, span, "a", "b", now))
    scene.minutes(60, 30, lambda _: 1.2)
    assert {result.state for result in model.latest.results if result.column == "bmi"} == {"ok"}
    with one_moment(scene.runtime.folder.database) as connection:
        past, _ = look_back(connection, model.series, model.config.rules, now - 3600, now)
        none, _ = look_back(connection, model.series, model.config.rules, now - 7200, now - 7199)
        gone, _ = look_back(connection, model.series, (), now - 3600, now)
    client = create_app(scene.runtime).test_client()
    page = "/column/feature?name=bmi"
    heads = [
        client.get(path).get_data(as_text=True).partition("</section>")[0] for path in (page, f"{page}&around={event}")
    ]
    scene.runtime.close()
    assert (none.at, none.judged, gone.judged) == (0.0, (), ())
    assert past.at == live.at
    (then,), (judged,) = past.judged, live.judged
    assert then.window == judged.window
    np.testing.assert_array_equal(then.test.counts, judged.test.counts)
    np.testing.assert_array_equal(then.reference.counts, judged.reference.counts)
    facts = [(one.column, one.statistic, one.state, one.value, one.n, one.m) for one in live.results]
    assert [(one.column, one.statistic, one.state, one.value, one.n, one.m) for one in past.results] == facts
    assert ['class="badge drift"' in head for head in heads] == [False, True]
    assert ", when the alert began." in heads[1]
