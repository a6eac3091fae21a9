import numpy as np
import pytest

from monitor.drift.result import Subject
from monitor.errors import InputError, StoreError
from monitor.store.windows.counts import add_up, read
from monitor.store.windows.ranges import MAX_STEPS, find_tiles, read_range, sum_range
from monitor.store.windows.retention import drop_parts
from monitor.store.windows.rows import add_gap, list_gaps, load_version, register_series
from monitor.store.windows.tiers import roll_up
from tests.store.world import DAY, HOUR, MIDNIGHT, Filled, memory


@pytest.fixture
def filled():
    """Three hours of minutes, one prediction each, the first two rolled up."""
    filled = Filled()
    for minute in range(180):
        filled.add(MIDNIGHT + 60 * minute, 1)
    roll_up(filled.connection, MIDNIGHT + 2 * HOUR + 200)
    return filled


def test_answers_from_the_longest_windows_that_fit(filled):
    tiles = find_tiles(filled.connection, filled.model.id, MIDNIGHT + 60 * 58, MIDNIGHT + 2 * HOUR + 120)
    assert [tile.seconds for tile in tiles] == [60, 60, 3600, 60, 60]
    assert sum(tile.n for tile in tiles) == 64


def test_a_step_each(filled):
    answer = read_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + 3 * HOUR, HOUR, ["x"])
    assert [(step["n"], step["windows"], step["resolution"]) for step in answer["steps"]] == [
        (60, 1, 3600),
        (60, 1, 3600),
        (60, 60, 60),
    ]
    assert answer["windows"] == 62
    assert all(step["exact"] and sum(step["counts"][0]) == 60 for step in answer["steps"])
    assert [column["column"] for column in answer["columns"]] == ["x"]
    assert len(answer["columns"][0]["bins"]) == len(answer["steps"][0]["counts"][0])


def test_without_step_and_columns_it_is_one_sum_of_all(filled):
    (step,) = read_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + DAY)["steps"]
    batch = sum_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + DAY)
    assert [count for column in step["counts"] for count in column] == batch.counts.tolist()
    assert step["sums"] == [pytest.approx(batch.sums[0]), None, pytest.approx(batch.sums[2])]


def test_the_last_step_may_be_shorter(filled):
    answer = read_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + 100, 60)
    assert [(step["start"], step["end"]) for step in answer["steps"]] == [
        ("2023-11-15T00:00:00Z", "2023-11-15T00:01:00Z"),
        ("2023-11-15T00:01:00Z", "2023-11-15T00:01:40Z"),
    ]


def test_an_answer_that_old_windows_cannot_give_exactly_says_so(filled):
    drop_parts(filled.connection, HOUR, int(MIDNIGHT))
    half = HOUR / 2
    answer = read_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + 2 * HOUR, half)
    assert [(step["n"], step["exact"]) for step in answer["steps"]] == [(60, False), (0, False), (30, True), (30, True)]
    assert sum(step["n"] for step in answer["steps"]) == 120


@pytest.mark.parametrize(
    ("start", "end", "step", "columns", "code"),
    [
        (0, 0, None, [], "bad_range"),
        (5, 1, None, [], "bad_range"),
        (0, float("inf"), None, [], "bad_range"),
        (0, 60, 0, [], "bad_step"),
        (0, 60, -1, [], "bad_step"),
        (0, 60.0 * (MAX_STEPS + 1), 60, [], "bad_step"),
        (0, 60, None, ["nope"], "unknown_column"),
    ],
)
def test_refuses_what_cannot_be_answered(filled, start, end, step, columns, code):
    with pytest.raises(InputError) as caught:
        read_range(filled.connection, filled.model, start, end, step, columns)
    assert caught.value.code == code


def test_finds_models_by_version(filled):
    assert load_version(filled.connection).id == filled.model.id
    assert load_version(filled.connection, "v1").id == filled.model.id
    with pytest.raises(InputError, match="no model version 'v9'"):
        load_version(filled.connection, "v9")
    with pytest.raises(StoreError, match="no model has been served yet"):
        load_version(memory())


def test_what_is_served_need_not_be_the_newest_version(filled):
    """After a rollback, and beside versions that only other processes record for."""
    newest = Subject(filled.model.model, "v2")
    entered = register_series(filled.connection, newest, filled.model.reference, "2026-03-02T00:00:00Z", served=False)
    assert load_version(filled.connection).id == filled.model.id
    assert load_version(filled.connection, "v2").id == entered.id


def test_gaps_of_a_stretch(filled):
    add_gap(filled.connection, "dropped", "2023-11-15T00:30:00Z", "2023-11-15T00:31:00Z", 7, "no room")
    add_gap(filled.connection, "damaged", "2023-11-16T00:00:00Z", "2023-11-16T00:00:00Z", None, "a flipped bit")
    found = list_gaps(filled.connection, MIDNIGHT, MIDNIGHT + HOUR)
    assert [(gap["kind"], gap["lost"]) for gap in found] == [("dropped", 7)]
    assert read_range(filled.connection, filled.model, MIDNIGHT, MIDNIGHT + HOUR)["gaps"] == found
    assert not list_gaps(filled.connection, MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * HOUR)


@pytest.mark.parametrize("texts", [1, 5, 1000])
@pytest.mark.parametrize("passed", [0, 4])
def test_chosen_columns_come_in_their_own_order(filled, monkeypatch, texts, passed):
    """However many windows are read at a time, and whether the columns are looked up or passed over."""
    monkeypatch.setattr("monitor.store.windows.counts.TEXTS", texts)
    monkeypatch.setattr("monitor.store.windows.counts.PASSED", passed)
    sizes, windows = filled.model.sizes, [5, 1, 2]
    both = zip(*read(filled.connection, windows, [2, 0], [sizes[2], sizes[0]]), strict=True)
    counts, sums = map(np.concatenate, both)
    everything = zip(*read(filled.connection, windows, range(3), sizes), strict=True)
    all_counts, all_sums = map(np.concatenate, everything)
    x, _, y = np.split(all_counts, np.cumsum(sizes)[:-1], axis=1)
    assert counts.tolist() == np.hstack((y, x)).tolist()
    assert sums.tolist() == all_sums[:, [2, 0]].tolist()
    counts, sums = add_up(filled.connection, windows, range(3), sizes)
    assert counts.tolist() == all_counts.sum(axis=0).tolist()
    assert sums.tolist() == (all_sums[0] + all_sums[1] + all_sums[2]).tolist()


def test_the_damaged_window_among_many_is_named(filled):
    filled.connection.execute("UPDATE sealed_counts SET counts = '1' || char(2, 2, 2, 2, 2, 2, 2, 2) WHERE id = 300001")
    with pytest.raises(StoreError, match="window 3 is damaged"):
        list(read(filled.connection, [1, 2, 3, 4], range(3), filled.model.sizes))
