"""The statements that engines are given which cannot be run here: they are known by their text alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import ibis
import pytest

from monitor.columns.column import Column, Schema
from monitor.warehouse.counting import Counting

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
    counting = Counting(SCHEMA, [column.name for column in SCHEMA.columns], "served_at", engine)
    rows = counting.between(ibis.table(types, name="predictions"), 1.8e9, 1.8e9 + 60)
    queries = [counting.totals(rows), counting.bins(rows, range(len(SCHEMA.columns))), counting.leftovers(rows, [2])]
    text = ";\n\n".join(str(ibis.to_sql(query, dialect=engine)) for query in queries) + ";\n"
    text = re.sub(r"[0-9a-f]{32}", "X", text)  # names that are drawn by lot
    path = FILE / f"{engine}.sql"
    if os.environ.get("TELLTALE_GOLDEN"):
        FILE.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
