"""The reference of a table is that of a file with the same rows."""

from __future__ import annotations

import csv
import math
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import DataError
from monitor.reference.bin_edges import edges_of_gaps, edges_of_values
from monitor.reference.file import Reference
from monitor.tables import warehouse
from monitor.tables.warehouse import TableColumns
from tests.warehouse.postgres import postgres
from train.__main__ import main

ROWS = 3_000


def columns() -> dict[str, list[Any]]:
    """Some of every kind that a reference tells apart."""
    random = np.random.default_rng(3)
    spiked = np.where(random.random(ROWS) < 0.3, 0.0, random.lognormal(0, 3, ROWS))
    found: dict[str, Any] = {
        "spiked": spiked,
        "tail": random.standard_cauchy(ROWS),
        "holes": np.where(random.random(ROWS) < 0.1, np.nan, random.normal(size=ROWS)),
        "infinite": np.where(random.random(ROWS) < 0.01, np.inf, random.normal(1e6, 1e-3, ROWS)),
        "stars": random.integers(1, 6, ROWS),
        "user_id": np.arange(ROWS) * 3,
        "yes": random.random(ROWS) < 0.5,
        "word": random.choice(["b", "a", "2", "2.0", "héron", "x" * 300], ROWS),
        "free": [f"text {i}" for i in random.permutation(ROWS)],
        "town": [f"town {int(i)}" for i in random.exponential(40, ROWS)],
        "day": [f"2026-01-{i:02}" for i in random.integers(1, 28, ROWS)],
        "score": random.beta(2, 3, ROWS),
    }
    listed = {name: values if isinstance(values, list) else values.tolist() for name, values in found.items()}
    listed["holes"] = [None if math.isnan(value) else value for value in listed["holes"]]
    listed["word"] = [str(value) for value in listed["word"]]
    return listed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Makes a reference by the option that says where the rows are; and the one of the file."""
    folder = tmp_path_factory.mktemp("reference")
    table = columns()
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([table, *zip(*table.values(), strict=True)])
    with closing(duckdb.connect(str(folder / "own.duckdb"))) as connection:
        connection.register("given", pa.table(table))
        connection.execute("CREATE TABLE training AS SELECT *, CAST(day AS DATE) AS d FROM given")
        connection.execute("ALTER TABLE training DROP COLUMN day")
        connection.execute("ALTER TABLE training RENAME COLUMN d TO day")

    def make(option: str, where: str) -> Reference:
        out = folder / "out.prom"
        given = [
            "reference",
            option,
            *where.format(folder).split(),
            "--prediction",
            "score",
            "--output",
            str(out),
            "--force",
        ]
        assert main([*given, "--categorical", "stars"]) == 0
        return Reference.load(out)

    return SimpleNamespace(make=make, folder=folder, of_file=make("--data", "{}/rows.csv"))


def assert_same(theirs: Reference, ours: Reference) -> None:
    by_name = {column.name: position for position, column in enumerate(theirs.schema.columns)}
    for position, column in enumerate(ours.schema.columns):
        at = by_name[column.name]
        assert theirs.schema.columns[at] == column
        np.testing.assert_array_equal(theirs.schema.split(theirs.counts)[at], ours.schema.split(ours.counts)[position])
        np.testing.assert_allclose(theirs.sums[at], ours.sums[position], rtol=1e-11)
        # A file's chunks are put together one after the other, which costs digits where the mean is far from zero.
        np.testing.assert_allclose(theirs.deviations[at], ours.deviations[position], rtol=1e-8)
    assert theirs.info.rows == ours.info.rows


def test_in_duckdb(made, monkeypatch):
    monkeypatch.setattr(warehouse, "LISTED", 500)
    monkeypatch.setattr(warehouse, "MAX_DISTINCT_NUMBERS", 50)
    assert_same(made.make("--table", "duckdb://{}/own.duckdb#training"), made.of_file)


def test_in_postgres(made, monkeypatch):
    kinds = {list: "double precision", str: "text", bool: "boolean", int: "bigint", float: "double precision"}
    types = {name: kinds[type(values[0] if values[0] is not None else 0.5)] for name, values in columns().items()}
    with postgres() as url:
        connection = ibis.connect(url)
        with connection.con.cursor() as cursor:
            cursor.execute("CREATE SCHEMA lake")
            cursor.execute(f"CREATE TABLE lake.training ({', '.join(f'{name} {k}' for name, k in types.items())})")
            with cursor.copy("COPY lake.training FROM STDIN CSV HEADER") as copy:
                copy.write(made.folder.joinpath("rows.csv").read_bytes())
        connection.con.commit()
        connection.disconnect()
        monkeypatch.setenv("LAKE", url)
        assert_same(made.make("--table", "LAKE#lake.training"), made.of_file)


VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.0, 5e-324, 1e300, -1e300])


@settings(max_examples=10)
@given(values=st.lists(VALUES, min_size=1, max_size=60), few=st.integers(2, 6), bins=st.integers(2, 8))
def test_the_edges_are_those_of_all_values(values, few, bins):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse, "MAX_DISTINCT_NUMBERS", 10)
        patch.setattr(warehouse, "CELLS", few * 8)
        patch.setattr(warehouse, "LISTED", few)
        connection = ibis.duckdb.connect()
        connection.con.register("given", pa.table({"x": pa.array(values, pa.float64())}))
        facts = TableColumns(connection.to_pyarrow, connection.table("given"), "duckdb").profile("x", None, bins)
        connection.disconnect()
    distinct, rows = np.unique(values, return_counts=True)
    assert facts.gaps is not None
    if facts.distinct is None:
        assert edges_of_gaps(facts.gaps, facts.low, facts.high) == edges_of_values(distinct, rows, bins)
    else:
        assert facts.distinct == dict(zip(distinct.tolist(), rows.tolist(), strict=True))


@pytest.mark.parametrize("shape", ["normal", "lognormal", "pareto"])
def test_approximate_edges_are_near_their_ranks(shape: str) -> None:
    rng = np.random.default_rng(5)
    values = {"normal": rng.normal(size=50_000), "lognormal": rng.lognormal(0, 2, 50_000)}.get(shape)
    values = rng.pareto(1.2, 50_000) if values is None else values
    connection = ibis.duckdb.connect()
    connection.con.register("given", pa.table({"x": values}))
    asked: list[object] = []

    def run(question):
        asked.append(question)
        return connection.to_pyarrow(question)

    facts = TableColumns(run, connection.table("given"), "duckdb", approximate=True).profile("x", None, 20)
    connection.disconnect()
    assert facts.gaps is not None
    assert len(asked) == 5, "facts, two moments, distinct values, percentiles: no scan more"
    found, wanted = (
        edges_of_gaps(facts.gaps, facts.low, facts.high),
        edges_of_values(*np.unique(values, return_counts=True), 20),
    )
    assert len(found) == len(wanted)
    ranks = np.searchsorted(np.sort(values), [found, wanted]) / len(values)
    assert np.abs(ranks[0] - ranks[1]).max() < 0.006


def test_approximate_edges_are_said_and_counts_are_exact(made):
    """Values that are few stay exact: they may be categories."""
    exact = made.of_file
    near = made.make("--table", "duckdb://{}/own.duckdb#training --approximate")
    assert near.info.source.endswith("; edges at approximate percentiles")
    assert near.counts.sum() == exact.counts.sum()
    assert near.info.rows == exact.info.rows
    found, wanted = (
        sorted((one.name, one.kind, one.categories) for one in made.schema.columns) for made in (near, exact)
    )
    assert found == wanted


def test_an_engine_without_percentiles_is_named() -> None:
    def run(question):
        raise ibis.common.exceptions.OperationNotDefinedError("ApproxMultiQuantile")

    columns_of = TableColumns(run, ibis.table({"x": "float64"}, name="given"), "snowflake", approximate=True)
    with pytest.raises(DataError, match="snowflake is not asked for percentiles"):
        columns_of._percentiles(columns_of.rows["x"], 9)


def test_what_a_table_cannot_give_is_said(made, capsys):
    lake = f"duckdb://{made.folder}/own.duckdb"
    for asked, words, code in (
        (["--table", f"{lake}#nothing", "--prediction", "score"], "nothing", 1),
        (["--table", "NOWHERE#lake.training", "--prediction", "score"], "the environment variable NOWHERE is not", 1),
        (["--table", f"{lake}#training", "--prediction", "zzz"], "training has no such column; it has spiked", 2),
        (["--table", f"{lake}#training", "--model", "model.pkl"], "use --prediction", 2),
    ):
        assert main(["reference", *asked, "--output", str(made.folder / "none.prom")]) == code
        assert words in capsys.readouterr().err
