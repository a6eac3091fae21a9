"""What the chain covers, when, and how it survives pruning."""

from __future__ import annotations

import pytest

from monitor.store.audit.chain import append, collapse, cover, entries, last_covered, read_root, sign_off
from monitor.store.audit.verify import verify
from monitor.store.file.writer import Writer
from monitor.store.windows.rows import add_gap
from tests.store.world import HOUR, MIDNIGHT, Filled, memory

NOW = "2023-11-15T01:00:00Z"


def gap(connection, number: int) -> None:
    add_gap(
        connection, "dropped", f"2023-11-15T00:{number:02}:00Z", f"2023-11-15T00:{number:02}:30Z", number, "no room"
    )


def problems(connection) -> list[str]:
    return [f"{where}: {what}" for where, what in verify(connection).problems]


def test_a_window_enters_when_it_is_sealed():
    filled = Filled()
    filled.add(MIDNIGHT, sealed=False)
    filled.cover()
    assert not list(entries(filled.connection, "minutes"))
    filled.windows.seal(filled.connection, MIDNIGHT + 60)
    filled.cover()
    filled.cover()
    (entry,) = entries(filled.connection, "minutes")
    assert (entry.first, entry.last, entry.rows) == (1, 1, 1)
    assert filled.rows("SELECT chain_id FROM windows") == [(entry.id,)]
    assert not problems(filled.connection)


def test_each_link_builds_on_the_one_before():
    """The same row after another past has another link."""
    links = []
    for first in (1, 2):
        connection = memory()
        gap(connection, first)
        cover(connection)
        gap(connection, 9)
        cover(connection)
        links.append([entry.link for entry in entries(connection, "gaps")])
    assert links[0][0] != links[1][0]
    assert links[0][1] != links[1][1]


def test_the_writer_covers_what_it_commits():
    connection = memory()
    writer = Writer(connection, lambda: None, 1.0)
    writer.transaction(lambda c: gap(c, 1))
    assert last_covered(connection, "gaps") == 1
    with pytest.raises(ZeroDivisionError):
        writer.transaction(lambda c: (gap(c, 2), 1 / 0))
    assert last_covered(connection, "gaps") == 1
    assert not problems(connection)


def test_signed_off_rows_may_go_and_the_chain_holds():
    connection = memory()
    for number in range(6):
        gap(connection, number)
        cover(connection)
    first_three = [entry.id for entry in entries(connection, "gaps")][:3]
    sign_off(connection, "gaps", first_three, {"predictions": 3}, NOW)
    connection.execute("DELETE FROM gaps WHERE id <= 3")
    assert collapse(connection, "gaps") == 3
    cover(connection)
    assert not problems(connection)
    root = read_root(connection, "gaps")
    assert (root.entries, root.rows, root.first, root.last, root.changed) == (3, 3, 1, 3, 0)
    assert root.totals == {"predictions": 3}
    connection.execute("UPDATE chain_roots SET rows = 2")
    assert problems(connection) == ["chain_roots: was changed by somebody else than Telltale"]


def test_rows_in_the_middle_may_go_too():
    connection = memory()
    for number in range(4):
        gap(connection, number)
        cover(connection)
    second = [entry.id for entry in entries(connection, "gaps")][1]
    sign_off(connection, "gaps", [second], {}, NOW)
    connection.execute("DELETE FROM gaps WHERE id = 2")
    assert collapse(connection, "gaps") == 0
    cover(connection)
    assert not problems(connection)


def test_pruning_hides_no_tampering():
    connection = memory()
    for number in range(3):
        gap(connection, number)
        cover(connection)
    connection.execute("UPDATE gaps SET lost = 99 WHERE id = 1")
    first = next(iter(entries(connection, "gaps"))).id
    sign_off(connection, "gaps", [first], {}, NOW)
    connection.execute("DELETE FROM gaps WHERE id = 1")
    collapse(connection, "gaps")
    cover(connection)
    assert problems(connection)[0] == "chain_roots gaps: 1 entries had been changed when they were pruned"


def test_the_newest_entry_is_never_collapsed():
    """Ids go on from it: SQLite would give them out again if the table were empty."""
    connection = memory()
    gap(connection, 1)
    cover(connection)
    sign_off(connection, "gaps", [1], {}, NOW)
    assert collapse(connection, "gaps") == 0
    assert last_covered(connection, "gaps") == 1


def test_a_batch_names_its_rows():
    connection = memory()
    for number in range(3):
        gap(connection, number)
    append(connection, "gaps", [1, 2, 3])
    (entry,) = entries(connection, "gaps")
    assert (entry.rows, len(entry.marks)) == (3, 12)
    renewed = Filled()
    renewed.add(MIDNIGHT + HOUR)
    renewed.cover()
    assert [entry.marks for entry in entries(renewed.connection, "minutes")] == [b""]
