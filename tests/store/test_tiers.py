import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.store.windows.counts import SLOTS
from monitor.store.windows.ledger import Windows
from monitor.store.windows.ranges import find_tiles, sum_range
from monitor.store.windows.tiers import GRACE, LATE, due_groups, roll_up
from tests.store.world import DAY, HOUR, MIDNIGHT, Filled, small_model


def finest_sum(filled: Filled) -> int:
    return filled.rows("SELECT sum(n) FROM windows WHERE finest")[0][0] or 0


def test_an_hour_is_made_once_it_is_over():
    filled = Filled()
    filled.add(MIDNIGHT, 5)
    filled.add(MIDNIGHT + 60, 7)
    assert not roll_up(filled.connection, MIDNIGHT + HOUR + GRACE[HOUR] - 1)
    assert len(roll_up(filled.connection, MIDNIGHT + HOUR + GRACE[HOUR])) == 1
    assert filled.rows("SELECT seconds, n, sealed, finest, children FROM windows WHERE seconds = 3600") == [
        (HOUR, 12, 1, 0, 2)
    ]
    assert not roll_up(filled.connection, MIDNIGHT + HOUR + GRACE[HOUR])


def test_an_open_window_holds_its_hour_back():
    filled = Filled()
    filled.add(MIDNIGHT)
    filled.add(MIDNIGHT + 60, sealed=False)
    assert not roll_up(filled.connection, MIDNIGHT + 2 * HOUR)
    filled.windows.seal(filled.connection, MIDNIGHT + 2 * HOUR)
    assert len(roll_up(filled.connection, MIDNIGHT + 2 * HOUR)) == 1


def test_what_comes_late_becomes_a_second_row_of_its_hour():
    filled = Filled()
    filled.add(MIDNIGHT, 5)
    roll_up(filled.connection, MIDNIGHT + 2 * HOUR)
    filled.add(MIDNIGHT, 3)
    filled.add(MIDNIGHT + 60, 4)
    assert sum_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + HOUR).n == 12
    assert not roll_up(filled.connection, MIDNIGHT + 2 * HOUR)
    assert [group.seconds for group in roll_up(filled.connection, MIDNIGHT + HOUR + LATE)] == [HOUR, DAY]
    assert filled.rows("SELECT n FROM windows WHERE seconds = 3600 ORDER BY id") == [(5,), (7,)]
    assert sum_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + HOUR).n == 12
    assert finest_sum(filled) == 12


def test_a_day_waits_for_all_its_hours():
    filled = Filled(300)
    for start in range(0, DAY, 300):
        filled.add(MIDNIGHT + start, 1)
    now = MIDNIGHT + DAY + GRACE[DAY]
    assert not due_groups(filled.connection, DAY, now)
    while roll_up(filled.connection, now, work=50):
        pass
    assert filled.rows("SELECT count(*), sum(children) FROM windows WHERE seconds = 3600") == [(24, 288)]
    assert filled.rows("SELECT n, children FROM windows WHERE seconds = 86400") == [(288, 24)]
    assert [tile.seconds for tile in find_tiles(filled.connection, filled.model.id, MIDNIGHT, MIDNIGHT + DAY)] == [DAY]


def test_a_base_of_one_hour_goes_straight_into_days():
    filled = Filled(HOUR)
    for start in range(0, DAY, HOUR):
        filled.add(MIDNIGHT + start, 2)
    assert [group.seconds for group in roll_up(filled.connection, MIDNIGHT + 2 * DAY)] == [DAY]
    assert sum_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + DAY).n == 48


def test_models_are_rolled_up_apart():
    filled = Filled()
    filled.add(MIDNIGHT, 5)
    first = filled.model
    other = Filled()
    other.connection = filled.connection
    other.model = small_model(filled.connection, "v2")
    other.windows = Windows(filled.connection, other.model, 60)
    other.add(MIDNIGHT, 9)
    assert len(roll_up(filled.connection, MIDNIGHT + 2 * HOUR)) == 2
    assert sum_range(filled.connection, first, MIDNIGHT, MIDNIGHT + HOUR).n == 5
    assert sum_range(filled.connection, other.model, MIDNIGHT, MIDNIGHT + HOUR).n == 9


@pytest.mark.parametrize(
    "sql", ["DELETE FROM sealed_counts", "UPDATE sealed_counts SET counts = CAST(x'31ff' AS TEXT)"]
)
def test_a_damaged_window_holds_up_only_its_own_hour(sql):
    filled = Filled()
    filled.add(MIDNIGHT)
    filled.add(MIDNIGHT + HOUR)
    filled.connection.execute(f"{sql} WHERE id = {SLOTS + 1}")
    damaged: set = set()
    made = roll_up(filled.connection, MIDNIGHT + 3 * HOUR, damaged=damaged)
    assert [group.start for group in made] == [MIDNIGHT + HOUR]
    assert {group.start for group in damaged} == {MIDNIGHT}
    assert filled.rows("SELECT id FROM windows WHERE parent_id IS NULL AND seconds = 60") == [(1,)]


# Moments over three days, at three-minute windows, in any order and some more than once: late ones too.
MOMENTS = st.lists(st.integers(0, 3 * DAY // 180 - 1).map(lambda index: index * 180), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(MOMENTS, st.lists(st.integers(0, 5 * DAY), min_size=1, max_size=4), st.integers(0, 3 * DAY), st.integers(1, DAY))
def test_a_roll_up_never_changes_a_sum(moments, rolled_at, start, length):
    """Roll-ups between arrivals, at any moment: every stretch has the sum of what was put into it, exactly."""
    filled = Filled(180)
    put = []
    for place, moment in enumerate(moments):
        put.append((moment, filled.add(MIDNIGHT + moment, 1 + place % 4)))
        if place % 7 == 3:
            roll_up(filled.connection, MIDNIGHT + rolled_at[place % len(rolled_at)])
    while roll_up(filled.connection, MIDNIGHT + max(rolled_at)):
        pass
    begin, end = MIDNIGHT + start, MIDNIGHT + start + length
    expected = [batch for moment, batch in put if begin <= MIDNIGHT + moment < end]
    found = sum_range(filled.connection, filled.model, begin, end)
    assert found.n == sum(batch.n for batch in expected)
    assert found.counts.tolist() == sum((batch.counts for batch in expected), filled.model.schema.zeros()).tolist()
    np.testing.assert_allclose(found.sums, sum((batch.sums for batch in expected), np.zeros(3)), atol=1e-12)
    assert finest_sum(filled) == filled.totals.n


@settings(max_examples=40, deadline=None)
@given(MOMENTS, st.integers(1, 5 * DAY), st.integers(60, 2 * DAY))
def test_steps_add_up_to_the_whole(moments, rolled_at, step):
    """Each prediction is in exactly one step, whatever the step and whatever was rolled up."""
    filled = Filled(180)
    for moment in moments:
        filled.add(MIDNIGHT + moment, 2)
    while roll_up(filled.connection, MIDNIGHT + rolled_at):
        pass
    total, begin = 0, MIDNIGHT - 10
    while begin < MIDNIGHT + 3 * DAY:
        tiles = find_tiles(filled.connection, filled.model.id, begin, begin + step)
        assert all(
            begin <= tile.start and (tile.start + tile.seconds <= begin + step or tile.seconds == 180) for tile in tiles
        )
        total += sum(tile.n for tile in tiles)
        begin += step
    assert total == 2 * len(moments)


def test_windows_that_grow_with_every_fold_leave_no_page_half_empty(tmp_path):
    """Sealed counts come at the end of their table, whole: a page has no room left for one row more."""
    filled = Filled()
    for minute in range(400):
        for _ in range(5):
            filled.add(MIDNIGHT + 60 * minute, 30, sealed=False)
        filled.windows.seal(filled.connection, MIDNIGHT + 60 * minute + 60)
    pages = filled.rows(
        "SELECT unused FROM dbstat WHERE name = 'sealed_counts' AND pagetype = 'leaf' ORDER BY path LIMIT -1 OFFSET 1"
    )
    widest = filled.rows("SELECT max(length(counts)) FROM sealed_counts")[0][0] + 20
    assert len(pages) > 5
    assert sum(unused <= widest for (unused,) in pages) >= len(pages) - 1
    assert filled.rows("SELECT count(*) FROM open_counts") == [(0,)]


def test_an_open_window_reads_like_a_sealed_one():
    filled = Filled()
    whole = filled.add(MIDNIGHT, 9, sealed=False) + filled.add(MIDNIGHT, 4, sealed=False)
    rows = filled.rows("SELECT * FROM histograms"), filled.rows("SELECT * FROM histogram_bins")
    assert len(rows[0]) == 3
    assert sum(count for *_, count, _ in rows[1]) == 3 * 13
    short = "SELECT count(*) FROM histograms h JOIN columns c ON c.id = h.column_id WHERE json_array_length(h.counts) "
    assert filled.rows(f"{short} <> json_array_length(c.bins)") == [(0,)]
    filled.windows.seal(filled.connection, MIDNIGHT + HOUR)
    assert (filled.rows("SELECT * FROM histograms"), filled.rows("SELECT * FROM histogram_bins")) == rows
    assert sum_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + 60).counts.tolist() == whole.counts.tolist()
