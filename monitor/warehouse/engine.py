"""Connecting to a database or warehouse, and the table or query that is read there. Errors never tell its URL."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from monitor.errors import SourceError, TelltaleError
from monitor.warehouse.counting import Expr, ibis

#: Without a URL: DuckDB in this process, which reads files.
IN_MEMORY = "duckdb://"

#: Tables that are files, also by a pattern with `*`.
FILES = (".parquet", ".csv")

#: Engines that are asked for the plan of a statement, and for the types of a query's columns.
EXPLAIN = ("duckdb", "postgres")

#: Names of a URL's parameters whose values are secret.
_SECRET = re.compile("pass|secret|token|key|pwd|credential", re.IGNORECASE)


def url_of(variable: str) -> str:
    """Read the URL of the database from an environment variable; none means `IN_MEMORY`. Raises SourceError."""
    url = os.environ.get(variable, "").strip() if variable else IN_MEMORY
    if not url:
        raise SourceError(f"the environment variable {variable} is not set or empty")
    return url


def secrets_of(url: str) -> list[str]:
    """Find what must not be shown of a URL, a part at a time.

    >>> secrets_of("postgres://me:p%40ss@host/lake?sslmode=require&token=abc")
    ['p%40ss', 'p@ss', 'abc']
    """
    parts = urlsplit(url)
    password = parts.password or ""
    values = [value for key, value in parse_qsl(parts.query) if _SECRET.search(key)]
    return [secret for secret in dict.fromkeys((password, unquote(password), *values)) if secret]


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """Connect to it; whatever fails within becomes a SourceError in one line, without secrets.

    A connection is made for each time that something is asked: so one that was lost needs no care, and a file of DuckDB
    is open to those who write it meanwhile.
    """
    connection = None
    try:
        int(url.startswith(IN_MEMORY) or urlsplit(url).port or 0)
    except ValueError:  # of a driver it would tell a part of the password
        words = "its URL cannot be read: write / # ? [ ] @ in a password as %2F %23 %3F %5B %5D %40"
        raise SourceError(words) from None
    in_file = url.startswith(IN_MEMORY) and url.removeprefix(IN_MEMORY).partition("?")[0]
    try:
        connection = ibis().connect(url, **({"read_only": True} if in_file else {}))
        yield connection
    except TelltaleError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own
        words = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ibis().common.exceptions.TableNotFound):
            words = f"there is no table {words!r}"
        words = words.replace(url, f"{urlsplit(url).scheme}://[secret]")
        for secret in secrets_of(url):
            words = words.replace(secret, "[secret]")
        raise SourceError(words[:300]) from None  # its cause would show the URL in the log
    finally:
        if connection is not None:
            connection.disconnect()


def rows_of(connection: Any, table: str, query: str = "") -> Expr:
    """Find a table, by its name with its schema and catalog, or by the name of its files; or take a query's rows."""
    if query:
        return connection.sql(query, schema=_types(connection, query))
    if table.endswith(FILES):
        return (connection.read_csv if table.endswith(".csv") else connection.read_parquet)(table)
    *path, name = table.split(".")
    return connection.table(name, database=tuple(path) if len(path) > 1 else next(iter(path), None))


def readable(connection: Any, rows: Expr, names: Collection[str]) -> Expr:
    """Take the columns of these names that are there: types of others may be such that Ibis cannot read them."""
    present = [name for name in rows.columns if name in names]
    if connection.name != "postgres" or not present:
        return rows.select(present) if present else rows
    described = _described(connection, rows.select(present))
    return rows.select(*(_plain(connection, rows[name], kind) for name, kind in described))


def _plain(connection: Any, x: Expr, kind: str) -> Expr:
    """Return a column of Postgres of a type that Ibis does not know, or of an enumeration, as a text or a number."""
    if x.type().is_unknown():
        known = connection.compiler.type_mapper.from_string(kind)
        return x.cast("string" if known.is_unknown() else known).name(x.get_name())
    # An enumeration is compared with its own values only, unless it is made a text.
    return x.concat("").name(x.get_name()) if kind.isdigit() and x.type().is_string() else x


def _types(connection: Any, query: str) -> dict[str, Any] | None:
    """Types of a query's columns; None leaves it to Ibis, which cannot ask DuckDB 2, and has Postgres make a view."""
    if connection.name not in EXPLAIN:
        return None
    try:
        described = _described(connection, connection.sql(query, schema={"any": "int64"}))
    except (AssertionError, AttributeError):  # of Ibis, for what it cannot take apart
        raise SourceError("`query` is not one SELECT statement") from None
    return {name: connection.compiler.type_mapper.from_string(kind) for name, kind in described}


def _described(connection: Any, rows: Expr) -> list[tuple[str, str]]:
    """Names and types of columns as DuckDB and Postgres call them; a number for a type that is the database's own."""
    sql = connection.compile(rows.limit(0))
    if connection.name == "duckdb":
        return [(name, kind) for name, kind, *_ in connection.raw_sql(f"DESCRIBE {sql}").fetchall()]
    with closing(connection.raw_sql(sql, prepare=False)) as cursor:
        described = [(column.name, column.type_display) for column in cursor.description]
    connection.con.rollback()  # ends the transaction that began with it
    return described


def explained(connection: Any, sql: str) -> list[str]:
    """Lines of the plan of a statement, with the rows that the engine expects to read; none if it is not asked."""
    if connection.name not in EXPLAIN:
        return []
    plan = connection.raw_sql(f"EXPLAIN {sql}").fetchall()
    return "\n".join(str(row[-1]) for row in plan).splitlines()
