"""Outcomes in a table: the engine's sums are those of the same rows one by one, whatever comes late or is killed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from monitor.columns.column import Floats
from monitor.outcomes.join import by_hour
from monitor.outcomes.sums import CLASS_EDGES, PROBABILITY_EDGES, Sums, Target
from monitor.warehouse.outcomes import sums_by_hour
from tests.warehouse.postgres import postgres

BEGIN = 1_700_000_000 // 3600 * 3600
ROWS = 400
EDGES = (-1.0, -0.1, 0.0, 0.1, 0.30000000000000004, 2.0)
HARD = (np.nan, np.inf, -np.inf, 2e30, 0.0, 0.1, 1.0)

TARGETS: Mapping[str, Target] = {
    "regression": Target("regression", edges=EDGES, outcome_edges=EDGES[:3], error_edges=EDGES[2:], centre=0.1,
                         scale=0.7, interval=(1, 2)),
    "score": Target("score", outcome_edges=EDGES, centre=1.0, scale=3.0),
    "binary": Target("binary", ("no", "yes"), scores=(1,), edges=PROBABILITY_EDGES),
    "binary first": Target("binary", ("no", "yes"), positive=0, scores=(1,), edges=(0.3,)),
    "classes of two": Target("binary", ("no", "yes")),
    "multiclass": Target("multiclass", ("a", "b", "2"), scores=(1, 2, 3), edges=CLASS_EDGES),
    "classes": Target("multiclass", ("a", "b", "2")),
}  # fmt: skip


def made(target: Target) -> tuple[Floats, Floats, Floats]:
    """Times, predictions and outcomes, with values that are hard to sum up."""
    rng = np.random.default_rng(3)
    predictions, outcomes = rng.normal(size=(ROWS, 4)), rng.normal(size=ROWS)
    if target.classified:
        predictions[:, 1:] = rng.dirichlet((1, 1, 1), ROWS)
    for at in range(4):
        predictions[7 * at : 7 * at + 7, at] = HARD
    predictions[40:160, 1] = np.resize([*target.edges, 0.0, 1.0], 120)
    if target.classified:
        width = len(target.classes)
        predictions[:, 0] = rng.integers(0, width + 1, ROWS)  # the last is one that the reference does not have
        predictions[:5, 0], outcomes = np.nan, rng.integers(0, width + 1, ROWS).astype(float)
    else:
        outcomes[100:107] = HARD
    outcomes[200:250] = np.nan
    return BEGIN + rng.integers(0, 3 * 3600, ROWS).astype(float), predictions, outcomes


def expected(target: Target, times: Floats, predictions: Floats, outcomes: Floats) -> dict[int, Sums]:
    found = by_hour(target, (times * 1e9).astype(np.int64), predictions, np.full(ROWS, np.nan), outcomes)
    return dict(found)


def table_of(target: Target, times: Floats, predictions: Floats, outcomes: Floats) -> pa.Table:
    """As a table has it: classes as texts, some of them spelled in another way."""

    def texts(codes: Floats) -> list[str | None]:
        names = [*target.classes, "else"]
        spelled = [None if code != code else names[int(code)] for code in codes]
        return ["2.0" if name == "2" and at % 2 else name for at, name in enumerate(spelled)]

    served = pa.array([datetime.fromtimestamp(time, UTC) for time in times], pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {f"p{at}": predictions[:, at] for at in range(4)} | {"outcome": outcomes}
    if target.classified:
        columns |= {"p0": texts(predictions[:, 0]), "outcome": texts(outcomes)}
    return pa.table({"served_at": served, **columns})


def summed(connection: Any, name: str, target: Target) -> dict[int, Sums]:
    rows = connection.table(name)
    when, answers = rows["served_at"].truncate("m"), [rows[f"p{at}"] for at in range(4)]
    return sums_by_hour(connection.to_pyarrow, rows, target, when, rows["outcome"], answers, connection.name)


def assert_same(theirs: dict[int, Sums], ours: dict[int, Sums]) -> None:
    assert theirs.keys() == ours.keys()
    for hour, sums in ours.items():
        np.testing.assert_array_equal(theirs[hour].counts, sums.counts)
        np.testing.assert_allclose(theirs[hour].moments, sums.moments, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", TARGETS)
def test_duckdb_sums_up_as_we_do(kind):
    given = made(TARGETS[kind])
    connection = ibis.duckdb.connect()
    connection.con.execute("SET TimeZone = 'Asia/Kolkata'")
    connection.con.register("predictions", table_of(TARGETS[kind], *given))
    assert_same(summed(connection, "predictions", TARGETS[kind]), expected(TARGETS[kind], *given))
    connection.disconnect()


def test_postgres_sums_up_as_we_do():
    with postgres() as url:
        connection = ibis.connect(url)
        for number, target in enumerate(TARGETS.values()):
            given = made(target)
            connection.create_table(f"predictions{number}", table_of(target, *given))
            assert_same(summed(connection, f"predictions{number}", target), expected(target, *given))
        connection.disconnect()
