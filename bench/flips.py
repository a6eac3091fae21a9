"""Bit flips in the database file: how many of those that change a row `verify` finds.

`python -m bench.flips --count 1000` flips one random bit of a copy at a time, and tells flips that change no row (free
space, unused bytes of a page) apart by reading every row before and after.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from monitor.store.audit.seals import SEALED
from monitor.store.audit.verify import verify

Outcome = Literal["no row", "found", "missed"]

#: Every row of every table, by the table's name.
Rows = dict[str, list[tuple[Any, ...]]]


def rows(path: Path) -> Rows | None:
    """Every row of every table as SQLite reads it, the schema included; None where it cannot be read."""
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    connection.text_factory = bytes
    try:
        out: Rows = {"schema": connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()}
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            out[name.decode()] = connection.execute(f'SELECT * FROM "{name.decode()}" NOT INDEXED').fetchall()
        return out
    except (sqlite3.Error, UnicodeDecodeError, OverflowError):
        return None
    finally:
        connection.close()


def bad_row(clean: Rows, changed: Rows | None) -> str:
    """The sealed table of which one row was changed, as verify is to name it; empty if it is not one such row."""
    if changed is None or clean.keys() != changed.keys():
        return ""
    differ = [(name, set(clean[name]) - set(changed[name])) for name in clean if clean[name] != changed[name]]
    if len(differ) != 1 or len(differ[0][1]) != 1:
        return ""
    return differ[0][0] if differ[0][0] in SEALED else ""


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0] ^ (1 << bit % 8)
        file.seek(bit // 8)
        file.write(bytes([byte]))


def problems(path: Path) -> list[str]:
    """What verify says of a file that nobody uses."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        return [str(error)]
    try:
        return [f"{where}: {what}" for where, what in verify(connection).problems]
    except sqlite3.Error as error:
        return [str(error)]
    finally:
        connection.close()


def try_flips(database: Path, work: Path, count: int, seed: int = 0) -> Iterator[tuple[int, Outcome, list[str], str]]:
    """Flip `count` bits, one at a time; yields the bit, what came of it, what verify said, and the row to be named."""
    chance = random.Random(seed)
    clean = rows(database)
    assert clean is not None
    size = database.stat().st_size * 8
    for _ in range(count):
        bit = chance.randrange(size)
        copy = work / "flipped.db"
        shutil.copyfile(database, copy)
        flip(copy, bit)
        changed = rows(copy)
        if changed == clean:
            yield bit, "no row", [], ""
            continue
        said = problems(copy)
        yield bit, "found" if said else "missed", said, bad_row(clean, changed)


def main() -> None:
    import tempfile

    from tests.store.world import Monitored

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        monitored = Monitored(folder / "data", columns=9)
        monitored.minutes(90)
        monitored.minutes(60, shift=0.7, colour="mauve")
        monitored.record()
        monitored.close()
        outcomes: Counter[str] = Counter()
        for bit, outcome, said, row in try_flips(monitored.path, folder, options.count, options.seed):
            outcomes[outcome] += 1
            if row and said:
                outcomes["one row"] += 1
                outcomes["named"] += any(line.startswith(row) for line in said)
                outcomes["first"] += said[0].startswith(row)
                if not said[0].startswith(row):
                    print(f"bit {bit}: {row} was changed, and verify began with {said[0]}")
            if outcome == "missed":
                print("missed: bit", bit)
        changed = outcomes["found"] + outcomes["missed"]
        print(f"{monitored.path.stat().st_size / 1e6:.1f} MB, {options.count} flips, seed {options.seed}")
        print(f"{outcomes['no row']} change no row; of {changed} that do, {outcomes['found']} were found", end=" ")
        print(f"({outcomes['found'] / max(changed, 1):.2%})")
        print(f"{outcomes['one row']} changed one row of the record; {outcomes['first']} were named first", end=", ")
        print(f"{outcomes['named']} were named")


if __name__ == "__main__":
    main()
