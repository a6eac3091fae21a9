import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.quiet import KINDS, measure, world
from monitor.columns.column import Column, Schema
from monitor.drift.evaluate import Question, Sample, evaluate, holm_level, statistics_for
from monitor.drift.layout import Layout
from tests.drift.build import WINDOW, ask, categorical, numeric, sample

rng = np.random.default_rng(7)
BEFORE = rng.normal(size=400).tolist()
QUIET = rng.normal(size=300).tolist()
UP = (rng.normal(size=300) + 1).tolist()
X = numeric("x", BEFORE)
C = categorical("c", "a", "b")


def one(column, before, after, statistic="ks", **settings):
    return ask([column], [before], [after], statistic, **settings)[column.name, statistic]


def test_a_shift_is_drift_and_says_which_way():
    found = one(X, BEFORE, UP)
    assert found.state == "drift"
    assert found.value > found.critical
    assert found.value > found.floor
    assert (found.n, found.m, found.reference, found.model_version, found.window) == (
        300,
        400,
        "training",
        "v1",
        WINDOW,
    )
    assert (found.direction.before, found.direction.after) == pytest.approx((np.mean(BEFORE), np.mean(UP)))
    assert found.direction.text.startswith("mean was -0.106, now 1.01 (1.2 sd)")
    assert found.contributions[0].label in X.labels


def test_no_shift_is_ok():
    found = one(X, BEFORE, QUIET)
    assert (found.state, found.reason) == ("ok", "")
    assert 0 <= found.value <= found.critical


@pytest.mark.parametrize(
    ("before", "after", "state", "reason"),
    [
        (BEFORE, [], "no traffic", "no rows in this window"),
        (BEFORE, QUIET[:49], "insufficient data", "49 rows in this window, 50 needed"),
        (BEFORE, QUIET[:50], "ok", ""),
        (BEFORE, [None] * 300, "insufficient data", "0 values of 300 rows in this window, 50 needed"),
        ([], QUIET, "no reference", "no reference rows"),
        ([], [], "no reference", "no reference rows"),
        ([None] * 40, QUIET, "no reference", "none of 40 reference rows has a value"),
    ],
)
def test_no_verdict_has_a_state_a_reason_and_no_numbers(before, after, state, reason):
    found = one(X, before, after)
    assert (found.state, found.reason) == (state, reason)
    if state != "ok":
        assert found.value is found.critical is found.p_value is found.direction is None
        assert found.strength == 0


def test_a_significant_move_below_its_floor_warns_or_is_ok():
    before, after = [0.0] * 5_000 + [1.0] * 5_000, [0.0] * 4_600 + [1.0] * 5_400
    column = numeric("x", [0.0, 1.0])
    assert one(column, before, after, floor=0.03).state == "drift"
    assert one(column, before, after, floor=0.06).state == "warning"
    found = one(column, before, after, floor=0.2)
    assert (found.state, found.value > found.critical) == ("ok", True)
    assert found.reason


def test_one_broken_column_is_an_error_and_hides_no_other():
    columns = [numeric("broken", BEFORE), X]
    before, after = sample(columns, [BEFORE, BEFORE]), sample(columns, [UP, UP])
    after.counts[3] = -1
    after.sums[0] = np.inf
    question = Question("rule", (0, 1), "ks")
    broken, sound = evaluate(question, Layout(Schema(tuple(columns))), before, after, WINDOW)
    assert (broken.state, broken.value) == ("error", None)
    assert (sound.state, sound.column) == ("drift", "x")


def test_nonsense_sums_leave_the_verdict_alone():
    before, after = sample([X], [BEFORE]), sample([X], [UP])
    after.sums[0] = np.nan
    found = evaluate(Question("rule", (0,), "ks"), Layout(Schema((X,))), before, after, WINDOW)[0]
    assert found.state == "drift"
    assert found.direction.text.startswith("median ")


def test_auto_asks_each_kind_its_own_and_whether_values_went_missing():
    found = ask([X, C], [BEFORE, ["a", "b"] * 200], [QUIET, ["a", "b"] * 150], "auto")
    assert list(found) == [
        *(("x", name) for name in ("ks", "wasserstein", "missing", "other")),
        *(("c", name) for name in ("kl", "missing", "other")),
    ]
    assert {result.state for result in found.values()} == {"ok"}


def test_missing_values_count_although_the_others_look_the_same():
    found = ask([X], [BEFORE], [QUIET[:250] + [None] * 50], "auto")
    assert found["x", "ks"].state == "ok"
    assert found["x", "missing"].state == "drift"
    assert found["x", "missing"].value == pytest.approx(50 / 300)
    assert found["x", "missing"].direction.text == "missing values: was 0 %, now 17 %"


def test_infinite_values_count_as_missing_and_not_as_large():
    found = ask([X], [BEFORE], [QUIET[:250] + [np.inf] * 50], "auto")
    assert found["x", "ks"].state == "ok"
    assert found["x", "missing"].state == "drift"


def test_a_share_that_falls_is_drift_as_well():
    found = one(X, BEFORE[:300] + [None] * 100, QUIET, "missing")
    assert (found.state, found.direction.text) == ("drift", "missing values: was 25 %, now 0 %")
    assert found.value == pytest.approx(0.25)


def test_categories_that_grew_and_shrank_are_named():
    found = one(C, ["a"] * 300 + ["b"] * 100, ["a"] * 100 + ["b"] * 100 + ["new"] * 20, "kl")
    assert found.state == "drift"
    assert (
        found.direction.text
        == "more unseen values (was 0 %, now 9.1 %), b (was 25 %, now 45 %); fewer a (was 75 %, now 45 %)"
    )


def test_a_statistic_that_does_not_fit_a_kind_leaves_the_column_out():
    found = ask([X, C], [BEFORE, ["a"] * 100], [QUIET, ["a"] * 100], "ks")
    assert list(found) == [("x", "ks")]
    assert statistics_for(Question("r", (), "chi2"), "numeric") == ()


def test_results_come_in_the_order_of_the_questions_columns():
    layout = Layout(Schema((X, C)))
    both = sample([X, C], [BEFORE, ["a"] * 60])
    found = evaluate(Question("r", (1, 0), "missing"), layout, both, both, WINDOW)
    assert [result.column for result in found] == ["c", "x"]


def test_unknown_statistic_and_wrong_length_are_refused():
    layout, good = Layout(Schema((X,))), sample([X], [BEFORE])
    with pytest.raises(KeyError):
        evaluate(Question("r", (0,), "magic"), layout, good, good, WINDOW)
    with pytest.raises(ValueError, match="not"):
        evaluate(Question("r", (0,)), layout, good, Sample(good.counts[:-1], good.sums), WINDOW)


def test_no_columns_no_results():
    good = sample([X], [BEFORE])
    assert evaluate(Question("r", ()), Layout(Schema((X,))), good, good, WINDOW) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(1e-6, 0.5))
def test_holm_level_divides_just_as_holms_procedure_does(p_values, alpha):
    rejected = set()
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected.add(int(index))
    level = holm_level(np.array(p_values), alpha)
    assert {i for i, p in enumerate(p_values) if p <= level} == rejected


def test_reported_critical_values_are_those_of_the_shared_level():
    columns = [numeric(f"x{i}", BEFORE) for i in range(10)]
    found = ask(columns, [BEFORE] * 10, [UP] + [QUIET] * 9, "ks", alpha=0.001)
    # One of ten is significant: the level is alpha / 9, for all of them.
    expected = np.sqrt(-np.log(0.001 / 9 / 2) / 2 * (1 / 300 + 1 / 400))
    assert [result.critical for result in found.values()] == pytest.approx([expected] * 10)
    assert [result.state for result in found.values()] == ["drift"] + ["ok"] * 9


def test_tests_that_cannot_fail_take_no_part_of_alpha():
    constant = numeric("k", [7.0])
    alone = ask([X], [BEFORE], [QUIET], "auto")
    beside = ask([X, constant], [BEFORE, [7.0] * 100], [QUIET, [7.0] * 90], "auto")
    assert beside["x", "ks"].critical == alone["x", "ks"].critical == one(X, BEFORE, QUIET, alpha=0.00015 / 3).critical
    assert beside["k", "ks"].state == "ok"


@pytest.mark.parametrize("kind", ["normal", "log-normal", "discrete", "mixed", "even"])
def test_the_fast_path_of_the_benchmarks_says_what_evaluate_says(kind):
    generator = np.random.default_rng(3)
    sources = [source for source in KINDS[kind] for _ in range(2)]
    scene = world(generator, sources, 300)
    # An alpha at which many windows are significant.
    question = Question("r", tuple(range(len(sources))), "auto", alpha=0.8, floor=0.05, min_samples=1)
    windows = scene.windows(generator, 80, 40)
    fast = measure(question, scene, windows).drifts()
    sums = np.full(len(sources), np.nan)  # counts are drawn, not values
    for window, row in zip(windows, fast, strict=True):
        results = evaluate(
            question,
            scene.layout,
            Sample(scene.reference, sums, scene.deviations),
            Sample(window, sums),
            WINDOW,
        )
        drifted = {result.column for result in results if result.state == "drift"}
        assert drifted == {column.name for column, hit in zip(scene.layout.schema.columns, row, strict=True) if hit}
    assert fast.any()


@given(st.data())
def test_json_has_no_nan_and_no_infinity_whatever_the_counts(data):
    columns = [
        Column("n", "feature", "numeric", edges=(-1e308, 0.0, 1e308)),
        Column("flat", "feature", "numeric"),
        Column("c", "prediction", "categorical", categories=("a",)),
    ]
    schema = Schema(tuple(columns))
    number = st.sampled_from([0, 0, 1, 60, 10**9])
    floats = st.floats(allow_nan=True, allow_infinity=True)

    def draw():
        counts = np.array([data.draw(number) for _ in range(schema.size)])
        sums, deviations = (np.array([data.draw(floats) for _ in range(3)]) for _ in range(2))
        return Sample(counts, sums, deviations)

    for result in evaluate(Question("r", (0, 1, 2), "all"), Layout(schema), draw(), draw(), WINDOW):
        for value in result.to_json().values():
            assert not isinstance(value, float) or np.isfinite(value)
        assert (result.value is None) == (result.state in ("no traffic", "no reference", "insufficient data", "error"))
        for number_ in (result.direction.before, result.direction.after) if result.direction else ():
            assert number_ is None or np.isfinite(number_)


def test_a_rare_flag_that_grows_twentyfold_is_drift_by_name():
    flag = categorical("flag", "0", "1")
    found = ask([flag], [["0"] * 19_983 + ["1"] * 17], [["0"] * 4_910 + ["1"] * 90], "auto")["flag", "other"]
    assert (found.state, found.direction.text) == ("drift", "rare value 1: was 0.085 %, now 1.8 %")
    few = ask([flag], [["0"] * 19_983 + ["1"] * 17], [["0"] * 4_985 + ["1"] * 15], "auto")["flag", "other"]
    assert few.state == "ok"  # 0.3 % are too few to matter


def test_values_outside_the_range_of_the_reference_are_drift_by_default():
    found = ask([X], [BEFORE], [QUIET[:41] + [4.0] * 19], "auto")["x", "other"]
    assert found.state == "drift"
    assert found.direction.text.startswith("above the range seen (> ")


def test_a_pool_of_many_rare_categories_needs_a_ratio_too():
    names = [f"k{i}" for i in range(20)]
    column = categorical("c", "a", *names)
    before = ["a"] * 4_600 + names * 20
    found = ask([column], [before], [["a"] * 4_400 + names * 30], "auto")["c", "other"]
    assert found.value == pytest.approx(0.04)
    assert (found.state, found.floor) == ("ok", pytest.approx(0.24))
