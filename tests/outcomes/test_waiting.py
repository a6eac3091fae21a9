"""What waits for outcomes: found again by number and by the caller's id, after restarts, within its size and time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.outcomes import waiting
from monitor.outcomes.waiting import PREDICTIONS, Fields, Numbers, Waiting, is_kept, key_of, keys_of

SECOND = 10**9
DAY = 86_400 * SECOND


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "ROWS", 64)
    monkeypatch.setattr(waiting, "RECENT", 256)


def numbers(first: int, last: int) -> Numbers:
    return np.arange(first, last + 1, dtype=np.uint64)


def add(store: Waiting, some: Numbers, keys: Numbers | None = None, now: int = DAY, series: int = 7) -> None:
    predictions = np.stack([some.astype(float), -some.astype(float)], axis=1)
    given = np.zeros_like(some) if keys is None else keys
    fields = Fields(some, some.astype(np.int64) * SECOND, predictions, given, store.firsts(given, some))
    store.add(series, fields, now)


def predicted(store: Waiting, some: Numbers) -> list[float]:
    return store.find(some).words(PREDICTIONS).view(np.float64).tolist()


def test_found_by_number_across_files_and_restarts(tmp_path: Path) -> None:
    store = Waiting(tmp_path, within=3600, max_size=1 << 20)
    for first in range(1, 400, 33):
        add(store, numbers(first, first + 32))
    for again in (store, Waiting(tmp_path, within=3600, max_size=1 << 20)):
        assert predicted(again, np.array([1, 64, 65, 400], np.uint64)) == [1.0, 64.0, 65.0, 400.0]
        assert again.find(np.array([0, 430, 17], np.uint64)).found.tolist() == [False, False, True]
        assert again.open == 429
    add(store, numbers(350, 440))  # written again, as after a kill, with some more
    assert store.open == 440


def test_an_outcome_stays_when_the_prediction_is_written_again(tmp_path: Path) -> None:
    store = Waiting(tmp_path, within=3600, max_size=1 << 20)
    add(store, numbers(1, 100))
    places = store.find(np.array([5, 90, 5], np.uint64))
    places.set_outcomes(np.array([1.5, 2.5, 3.5]), np.array([11, 12, 13], np.uint64))
    add(store, numbers(1, 100))
    again = Waiting(tmp_path, within=3600, max_size=1 << 20)
    found = again.find(np.array([5, 90, 6], np.uint64)).outcomes()
    np.testing.assert_array_equal(found, [3.5, 2.5, np.nan])
    assert again.open == 98


def test_a_callers_id_is_known_again_until_newer_ones_take_its_place(tmp_path: Path) -> None:
    store = Waiting(tmp_path)
    keys = keys_of(f"id-{n}" for n in range(1, 1001))
    for begin in range(0, 1000, 40):
        add(store, numbers(begin + 1, begin + 40), keys[begin : begin + 40])
    for again in (store, Waiting(tmp_path)):
        assert again.by_key(keys[-256:]).tolist() == list(range(745, 1001))
        assert again.by_key(keys[:500]).sum() == 0, "only the newest ids are kept"
        assert again.firsts(keys[990:992], numbers(2001, 2002)).tolist() == [991, 992]
    assert store.open == 0, "without outcomes no prediction is kept"


def test_the_filter_is_filled_anew_and_forgets_old_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_FILTERED", 300)
    store = Waiting(tmp_path)
    keys = keys_of(f"id-{n}" for n in range(1, 3001))
    for begin in range(0, 3000, 50):
        add(store, numbers(begin + 1, begin + 50), keys[begin : begin + 50])
        assert store.by_key(keys[max(0, begin - 200) : begin + 50]).all()
    assert store._keys._filtered < 1000


def test_repeats_point_at_the_first_one(tmp_path: Path) -> None:
    store = Waiting(tmp_path, within=3600, max_size=1 << 20)
    keys = keys_of(["a", "", "b", "a", "b", ""])
    assert store.firsts(keys, numbers(1, 6)).tolist() == [1, 2, 3, 1, 3, 6]
    add(store, numbers(1, 6), keys)
    assert store.firsts(keys, numbers(1, 6)).tolist() == [1, 2, 3, 1, 3, 6], "asked again, as after a kill"
    assert store.firsts(keys_of(["b", "c"]), numbers(7, 8)).tolist() == [3, 8]
    assert predicted(store, numbers(1, 6)) == [1.0, 2.0, 3.0, 1.0, 3.0, 6.0]
    assert int(keys[0]) == key_of("a")


def test_what_is_too_much_is_thinned_by_number(tmp_path: Path) -> None:
    size = 64 << 10
    store = Waiting(tmp_path, within=3600, max_size=size)
    for first in range(1, 20_000, 500):
        add(store, numbers(first, first + 499))
    assert store.bytes <= size
    assert store.one_in in (16, 32)
    every = numbers(1, 20_000)
    for again in (store, Waiting(tmp_path, within=3600, max_size=size)):
        assert again.one_in == store.one_in
        np.testing.assert_array_equal(again.find(every).found, is_kept(every, store.one_in))


def test_there_is_room_for_one_file_and_the_newest_ids(tmp_path: Path) -> None:
    store = Waiting(tmp_path, within=3600, max_size=1000)
    keys = keys_of(f"id-{n}" for n in range(1, 2001))
    for begin in range(0, 2000, 100):
        add(store, numbers(begin + 1, begin + 100), keys[begin : begin + 100])
    assert store.by_key(keys[-256:]).all()
    assert store.find(numbers(1901, 2000)).found.any()


def test_a_file_that_takes_no_more_keeps_only_the_room_that_it_needs(tmp_path: Path) -> None:
    store = Waiting(tmp_path, within=80, max_size=1 << 20)
    for n in range(1, 8):
        add(store, numbers(n, n), now=DAY + n * 11 * SECOND)
    assert store.bytes < 2 * 8 * 64 * 6
    assert store.find(numbers(1, 7)).found.all()


def test_what_has_waited_too_long_goes(tmp_path: Path) -> None:
    store = Waiting(tmp_path, within=86_400, max_size=1 << 20)
    add(store, numbers(1, 64), now=DAY)
    add(store, numbers(65, 128), now=DAY + DAY // 2)
    add(store, numbers(129, 130), now=2 * DAY + SECOND)
    assert store.begins(numbers(1, 1)).tolist() == [65]
    assert store.find(numbers(1, 130)).found.tolist() == [False] * 64 + [True] * 66


def test_a_damaged_file_is_kept_aside(tmp_path: Path) -> None:
    add(Waiting(tmp_path, within=3600, max_size=1 << 20), numbers(1, 10))
    (path,) = tmp_path.glob("*.rows")
    path.write_bytes(b"x" * 100)
    store = Waiting(tmp_path, within=3600, max_size=1 << 20)
    assert not store.find(numbers(1, 10)).found.any()
    assert [one.suffix for one in tmp_path.iterdir()] == [".damaged"]
    add(store, numbers(11, 12))
    assert predicted(store, numbers(11, 12)) == [11.0, 12.0]


def test_a_full_disk_fails_nothing(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    store = Waiting(tmp_path, within=3600, max_size=1 << 20)
    full_disk["full"] = True
    add(store, numbers(1, 10), keys_of(map(str, range(10))))
    full_disk["full"] = False
    add(store, numbers(11, 20))
    assert store.find(numbers(1, 20)).found.tolist() == [False] * 10 + [True] * 10
