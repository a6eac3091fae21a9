import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.columns.column import MISSING
from monitor.errors import DataError
from monitor.reference import build as build_module
from monitor.reference.build import as_table, build_reference, to_block
from monitor.reference.file import Reference, ReferenceInfo
from monitor.reference.profile import Limits


class Frame:
    """What pandas and polars frames have in common with us: names, and columns by position."""

    def __init__(self, data: dict[str, list[object]]) -> None:
        self.columns = list(data)
        self._data = list(data.values())

    def __getitem__(self, key: tuple[slice, int]) -> "Series":
        rows, position = key
        return Series(self._data[position][rows])


class Series:
    def __init__(self, values: list[object]) -> None:
        self._values = values
        self.name = "y"

    def to_numpy(self, dtype: object = None) -> np.ndarray:
        return np.array(self._values, dtype=dtype)

    def __len__(self) -> int:
        return len(self._values)


NUMBERS = np.random.default_rng(0).normal(size=(200, 2))
ANSWERS = NUMBERS.sum(axis=1)


@pytest.mark.parametrize(
    "features",
    [
        NUMBERS,
        NUMBERS.astype(object),
        NUMBERS.tolist(),
        [tuple(row) for row in NUMBERS],
        [{"a": a, "b": b} for a, b in NUMBERS.tolist()],
        {"a": NUMBERS[:, 0], "b": NUMBERS[:, 1].tolist()},
        Frame({"a": NUMBERS[:, 0].tolist(), "b": NUMBERS[:, 1].tolist()}),
        np.array([tuple(row) for row in NUMBERS], dtype=[("a", float), ("b", float)]),
    ],
    ids=["array", "objects", "lists", "tuples", "dictionaries", "columns", "frame", "record array"],
)
def test_the_same_data_in_any_shape_gives_the_same_reference(features: object) -> None:
    expected = build_reference(NUMBERS, ANSWERS, names=["a", "b"])
    found = Reference.from_data(features, ANSWERS, names=["a", "b"])
    assert found.identity == expected.identity
    assert np.allclose(found.sums, [*NUMBERS.sum(axis=0), ANSWERS.sum()])
    assert np.allclose(found.deviations, [*NUMBERS.std(axis=0), ANSWERS.std()])


def test_every_row_is_counted_once_in_each_column() -> None:
    dirty = NUMBERS.copy()
    dirty[::10, 0] = math.nan
    dirty[::25, 1] = math.inf
    reference = build_reference(dirty, ANSWERS[:50])
    features = reference.schema.split(reference.counts)
    assert [int(counts.sum()) for counts in features] == [200, 200, 50]
    assert features[0][-2:].tolist() == [20, 0]
    assert features[1][-2:].tolist() == [0, 8]
    assert reference.info.rows == 200


def test_chunks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"x": NUMBERS[:, 0], "t": [["a", "b", None][i % 3] for i in range(200)]}
    whole = build_reference(rows, ANSWERS)
    monkeypatch.setattr(build_module, "CHUNK", 7)
    assert build_reference(rows, ANSWERS).identity == whole.identity


def test_a_reference_survives_its_file(tmp_path: Path) -> None:
    rows = [{"n": i / 7, "t": 'x\n"y\\' if i % 2 else None, "b": i % 3 == 0, "e": None} for i in range(100)]
    reference = build_reference(
        rows, ["no", "yes"] * 50, labels=["perhaps"], info=ReferenceInfo("ab", "now", 0, "s", {})
    )
    reference.save(tmp_path / "r.prom")
    loaded = Reference.load(tmp_path / "r.prom")
    assert loaded.identity == reference.identity
    assert loaded.info == reference.info
    assert loaded.schema.predictions[0].categories == ("no", "perhaps", "yes")


@pytest.mark.parametrize(
    ("column", "block"),
    [
        ([1, 2.5, None, math.nan], [1.0, 2.5, math.nan, math.nan]),
        (np.array([1, 2], dtype=np.int8), [1.0, 2.0]),
        (np.array([1.5], dtype=np.float16), [1.5]),
        ([10**400, -(10**400)], [math.inf, -math.inf]),
    ],
)
def test_numbers_become_floats(column: object, block: list[float]) -> None:
    found = to_block(column)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, block)


@pytest.mark.parametrize(
    ("column", "block"),
    [
        ([True, False, None], ["true", "false", None]),
        (np.array([True, False]), ["true", "false"]),
        (["a", 2.0, None, math.nan], ["a", "2", None, None]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"), ["2024-01-01", None]),
        (["NaT", MISSING], ["NaT", None]),
    ],
)
def test_all_else_becomes_texts(column: object, block: list[str | None]) -> None:
    assert to_block(column) == block


def test_numbers_declared_categorical_become_texts() -> None:
    assert to_block(np.array([1.0, 2.5, math.nan]), kind="categorical") == ["1", "2.5", None]


def test_a_classifier_with_numbers_for_labels_is_categorical_when_told() -> None:
    fractions = np.arange(50) + 0.5
    assert build_reference(NUMBERS, fractions).schema.predictions[0].numeric
    told = build_reference(NUMBERS, fractions, prediction_kind="categorical")
    assert told.schema.predictions[0].categories[:2] == ("0.5", "1.5")


def test_a_vector_of_outputs_is_a_column_each() -> None:
    columns = build_reference(NUMBERS, NUMBERS * 2).schema.predictions
    assert [column.name for column in columns] == ["prediction_0", "prediction_1"]


@pytest.mark.parametrize(
    ("features", "options", "what"),
    [
        ([], {}, "no rows"),
        (np.empty((0, 3)), {}, "no rows"),
        (np.empty((3, 0)), {}, "no feature column"),
        (np.zeros((2, 2, 2)), {}, "3 dimensions"),
        ([[1, 2], [3]], {}, "row 1 has 1 values"),
        (NUMBERS, {"names": ["a"]}, "1 names for 2"),
        (NUMBERS, {"names": ["a", "a"]}, "called 'a'"),
        ({"a": [1, 2], "b": [1]}, {}, "'b' has 1 rows"),
        ([{"a": 1.5}], {"names": ["b"]}, "names are given as b"),
        (NUMBERS, {"kinds": {"nope": "numeric"}}, "'nope', which is no column"),
        ([["x"], ["y"]], {"names": ["a"], "kinds": {"a": "numeric"}}, "row 0 holds 'x'"),
    ],
)
def test_data_that_is_no_table_is_refused_in_words(features: object, options: dict[str, object], what: str) -> None:
    with pytest.raises(DataError, match=what):
        build_reference(features, ANSWERS, **options)


def test_generators_and_sparse_matrices_are_read() -> None:
    from scipy.sparse import csr_array

    def answers() -> Iterator[float]:
        yield from ANSWERS

    expected = build_reference(NUMBERS, ANSWERS).identity
    assert build_reference(csr_array(NUMBERS), answers()).identity == expected


def test_limits_bound_bins_and_categories() -> None:
    rows = {"x": NUMBERS[:, 0], "t": [f"c{i % 20}" for i in range(200)]}
    numeric, text, _ = build_reference(rows, ANSWERS, limits=Limits(bins=5, categories=4)).schema.columns
    assert (len(numeric.edges), len(text.categories)) == (6, 4)


def test_a_thousand_columns() -> None:
    wide = np.random.default_rng(1).normal(size=(50, 1_000))
    reference = build_reference(wide, wide[:, 0])
    assert len(reference.schema.features) == 1_000
    assert as_table(wide).names[-1] == "x_999"
