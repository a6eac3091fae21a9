"""A derived column is counted, judged and shown; records and requests have the captured columns only."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from monitor.capture.encode import Encoder
from monitor.columns import column as column_module
from monitor.columns.binning import CHUNK, Binner
from monitor.columns.column import Column, Derivation, Schema
from monitor.errors import ReferenceFileError
from monitor.reference.build import MemoryTable, summarise
from monitor.reference.file import Reference
from monitor.reference.profile import Limits
from monitor.store.audit.recompute import recompute
from server.observe import Reader
from server.web.app import create_app
from tests.store.world import Monitored, reference
from tests.support.killed import kill


@pytest.fixture(autouse=True)
def absolute_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a function of two columns; a parameter is its unit."""
    monkeypatch.setitem(column_module.FUNCTIONS, "absolute_difference", lambda x, unit: np.abs(x[0] - x[1]) / unit[0])


def distance(unit: float = 0.5) -> Derivation:
    return Derivation("absolute_difference", (0, 1), (unit,))


def with_gap() -> Reference:
    """The reference of two features and a category, and the gap between the features."""
    base, rng = reference(), np.random.default_rng(7)
    gap = distance().values(np.array([rng.normal(size=2000), rng.normal(size=2000)]))
    (found,) = summarise(MemoryTable(("gap",), (gap,)), "derived", {"gap": "numeric"}, Limits())
    column = dataclasses.replace(found.column, derivation=distance())
    return dataclasses.replace(
        base,
        schema=Schema((*base.schema.columns, column)),
        counts=np.concatenate((base.counts, found.counts)),
        sums=np.append(base.sums, found.sum),
        deviations=np.append(base.deviations, found.deviation),
    )


def test_a_reference_file_brings_it_back() -> None:
    made = with_gap()
    again = Reference.from_text(made.to_text())
    assert again.schema.columns[-1] == made.schema.columns[-1]
    assert (again.identity, again.to_text()) == (made.identity, made.to_text())
    assert [column.name for column in again.schema.captured] == ["x0", "x1", "colour", "prediction"]
    other = dataclasses.replace(made.schema.columns[-1], derivation=distance(2.0))
    assert Schema((*made.schema.captured, other)).fingerprint != made.schema.fingerprint


def test_a_function_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = with_gap().to_text()
    monkeypatch.delitem(column_module.FUNCTIONS, "absolute_difference")
    with pytest.raises(ReferenceFileError, match="no function 'absolute_difference' that derives a column"):
        Reference.from_text(text)


def test_a_derived_column_says_how() -> None:
    captured = Column("a", "feature", "numeric")
    for wrong in (Column("b", "feature", "numeric", derivation=distance()), Column("b", "derived", "numeric")):
        with pytest.raises(ValueError, match="only a derived one has a derivation"):
            Schema((captured, wrong))
    with pytest.raises(ValueError, match="derived from a column that is not captured"):
        Schema((captured, Column("gap", "derived", "numeric", derivation=distance())))


def test_it_is_counted_judged_shown_and_worked_out_again_but_not_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.store.world.reference", lambda _: with_gap())
    monitored = Monitored(tmp_path / "data", '[[rule]]\nname = "apart"\ncolumns = ["role:derived"]\nmin_samples = 40\n')
    runtime = monitored.runtime
    encoder = runtime.only.recorder.encoder
    now = runtime.clock.time_ns()
    assert encoder.row([1.0, 3.0, "red"], [2.0]) == [1.0, 3.0, encoder.category(2, "red"), 2.0]
    assert runtime.only.source.journal.read(1)["values"].shape == (0, 4)
    rows = [{"features": [-2.0, 2.0, "red"], "prediction": 1.0}] * 60 + [
        {"features": {"x0": None, "x1": 1.0, "colour": "mauve"}, "prediction": 1.0}
    ]
    batch = Reader(encoder).read(rows, now)
    assert batch.values.shape == (61, 4)
    runtime.only.recorder.record_encoded(batch.values)
    runtime.only.record([0.25, 1.0, "green"], [1.0])
    monitored.clock.advance(60)
    runtime.evaluate()

    gap, counts = runtime.only.series.schema.columns[-1], runtime.only.totals
    mine = runtime.only.series.schema.split(counts.counts)[-1]
    assert counts.n == 62
    assert (mine[np.searchsorted(gap.edges, 8.0)], mine[gap.missing_bin], mine.sum()) == (60, 1, 62)
    assert math.isclose(counts.sums[-1], 60 * 8.0 + 1.5)
    drifted = [one for one in runtime.only.latest.results if one.rule == "apart"]
    assert {(one.column, one.role, one.state) for one in drifted} >= {("gap", "derived", "drift")}

    again = runtime.writer.call(recompute)
    assert again.verdicts == len(runtime.only.latest.results)
    assert list(again.problems) == []
    client = create_app(runtime).test_client()
    runtime.writer.start()
    assert "gap" in client.get("/").text
    assert client.get("/?role=derived").status_code == 200
    assert client.get("/column/derived?name=gap").status_code == 200
    assert {"gap"} == {row["column"] for row in client.get("/api/drift").json if row["role"] == "derived"}
    shown = [line for line in runtime.metrics()[0].decode().splitlines() if 'column="gap"' in line]
    assert [float(line.split()[-1]) for line in shown if line.startswith("telltale_value_count{")] == [61.0], "\n".join(
        shown
    )
    assert any(line.startswith("telltale_drift_state{") for line in shown)
    runtime.close()


def test_what_an_earlier_process_left_is_counted_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.store.world.reference", lambda _: with_gap())
    first = Monitored(tmp_path / "data")
    first.record(30)
    kill(first.runtime)
    again = Monitored(tmp_path / "data")
    again.runtime.fold()
    parts = again.runtime.only.series.schema.split(again.runtime.only.totals.counts)
    assert [int(part.sum()) for part in parts] == [30] * 5
    again.close()


def test_what_is_derived_of_a_record_does_not_depend_on_its_neighbours() -> None:
    schema = with_gap().schema
    values = np.random.default_rng(3).normal(size=(2 * CHUNK + 7, 4))
    values[:, 2] = 1.0
    counts, sums = Binner(schema).fill(values)
    gap = np.abs(values[:, 0] - values[:, 1]) / 0.5
    edges = [-np.inf, *schema.columns[-1].edges, np.inf]
    expected = [int(np.sum((gap > low) & (gap <= high))) for low, high in pairwise(edges)]
    assert schema.split(counts[0])[-1].tolist() == [*expected, 0, 0]
    assert math.isclose(sums[0, -1], float(gap.sum()), rel_tol=1e-12)
    assert Encoder(schema, None).all_numeric is False  # type: ignore[arg-type]  # a column of texts is captured
