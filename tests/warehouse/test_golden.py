"""The statements that engines are given which cannot be run here: they are known by their text alone."""

from __future__ import annotations

import os
from pathlib import Path

import ibis
import pytest

from monitor.columns.column import Column, Schema
from monitor.warehouse import counting

FILE = Path(__file__).parent.parent / "golden"

SCHEMA = Schema(
    (
        Column("age", "feature", "numeric", (0.1, 30.0)),
        Column("rooms", "feature", "numeric", (1.5, 2.5, 3.5)),
        Column("colour", "feature", "categorical", categories=("blue", "it's")),
        Column("score", "prediction", "numeric", (0.5,)),
    )
)


@pytest.mark.parametrize(
    "engine",
    ["bigquery", "snowflake", "clickhouse", "trino", "databricks", "datafusion"],
)
def test_the_statement_of_each_engine_is_known(engine):
    """After a change that is meant: TELLTALE_GOLDEN=1 writes the files."""
    types = {"served_at": "timestamp", "age": "float64", "rooms": "int64", "colour": "string", "score": "float32"}
    rows = ibis.table(types, name="predictions")
    part = range(len(SCHEMA.columns))
    queries = [
        counting.totals(rows, "served_at", SCHEMA.columns),
        counting.bins(rows, "served_at", SCHEMA, part, engine),
        counting.leftovers(rows, "served_at", SCHEMA, [2], engine),
    ]
    text = ";\n\n".join(str(ibis.to_sql(query, dialect=engine)) for query in queries) + ";\n"
    path = FILE / f"{engine}.sql"
    if os.environ.get("TELLTALE_GOLDEN"):
        FILE.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
