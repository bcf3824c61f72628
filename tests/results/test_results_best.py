import json
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results_rows import cell_row, filled, trial_row
from scipy import stats

from hsl.errors import HslError, NothingMatchedError, UnknownNameError
from hsl.results.best import best, short_parameters
from hsl.results.compare import compare

DENSE = {"cell": "clean/dense", "method": "dense", "distribution": None, "sparsity": 0.0}
CELLS = [
    cell_row(levels={"regime": "clean", "sparsity": 0.9}),
    cell_row(cell="clean/dense", levels={"regime": "clean", "sparsity": 0.0}, baseline=True),
]


def searched(name, objective, **given):
    return trial_row(configuration_id=name, objective=objective, **given)


def confirmed(name, objective, tests, **given):
    """One completed trial of the confirm stage per seed; `tests` maps seed to matched test accuracy."""
    return [
        trial_row(
            configuration_id=name,
            stage="confirm",
            seed=seed,
            objective=objective,
            val_matched_accuracy=objective,
            test_matched_accuracy=test,
            test_clean_accuracy=test + 0.1,
            **given,
        )
        for seed, test in tests.items()
    ]


def row_of(table, **key):
    (row,) = [row for row in table.to_pylist() if all(row[name] == value for name, value in key.items())]
    return row


def test_winner_is_chosen_on_validation_never_on_test(tmp_path):
    store = filled(
        tmp_path,
        [
            searched("a", 0.80, test_matched_accuracy=0.1),
            searched("b", 0.70, test_matched_accuracy=0.9),
            *confirmed("a", 0.78, {1: 0.5, 2: 0.5}),
            *confirmed("b", 0.77, {1: 0.9, 2: 0.9}),
        ],
    )
    row = row_of(best(store), sparsity=0.9)
    assert (row["configuration_id"], row["test_mean"], row["val_mean"]) == ("a", 0.5, 0.78)
    assert row["confirmed"]


def test_confirming_seeds_overrule_the_search(tmp_path):
    store = filled(
        tmp_path,
        [
            searched("lucky", 0.99),
            searched("good", 0.80),
            *confirmed("lucky", 0.5, {1: 0.5, 2: 0.5}),
            *confirmed("good", 0.8, {1: 0.8, 2: 0.8}),
        ],
    )
    row = row_of(best(store))
    assert (row["configuration_id"], row["seeds"], row["test_mean"]) == ("good", 2, 0.8)


def test_interval_and_paired_difference(tmp_path):
    sparse = {1: 0.70, 2: 0.75, 3: 0.71, 4: 0.72, 5: 0.77}
    dense = {1: 0.68, 2: 0.74, 3: 0.70, 4: 0.69, 5: 0.75}
    rows = [*confirmed("s", 0.7, sparse, seconds=3.0), *confirmed("d", 0.7, dense, **DENSE)]
    row = row_of(best(filled(tmp_path, rows, CELLS)), baseline=False)
    values = list(sparse.values())
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (row["test_mean"], row["test_low"], row["test_high"]) == pytest.approx((0.73, low, high))
    gains = [sparse[seed] - dense[seed] for seed in sparse]
    low, high = stats.t.interval(0.95, 4, np.mean(gains), stats.sem(gains))
    found = (row["difference"], row["difference_low"], row["difference_high"])
    assert found == pytest.approx((0.018, low, high))
    assert (row["difference_kind"], row["dense_mean"]) == ("paired", pytest.approx(0.712))
    assert (row["seeds"], row["seconds"]) == (5, 3.0)


def test_other_seeds_are_unpaired(tmp_path):
    a, b = {1: 0.7, 2: 0.8, 5: 0.76}, {3: 0.6, 4: 0.62, 6: 0.64}
    rows = [*confirmed("s", 0.7, a), *confirmed("d", 0.7, b, **DENSE)]
    row = row_of(best(filled(tmp_path, rows, CELLS)), baseline=False)
    expected = stats.ttest_ind(list(a.values()), list(b.values()), equal_var=False).confidence_interval()
    assert row["difference_kind"] == "unpaired"
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("sparse", "note"),
    [
        ({1: 0.52, 2: 0.6}, "not enough seeds"),
        ({1: 0.7, 2: 0.8, 3: 0.9}, "seeds do not vary"),
        ({1: 0.6, 2: 0.7, 3: 0.8}, "no difference shown"),
        ({1: 0.9, 2: 0.75, 3: 0.95}, None),
    ],
)
def test_best_and_compare_say_the_same(sparse, note, tmp_path):
    dense = {1: 0.6, 2: 0.7, 3: 0.8}
    store = filled(tmp_path, [*confirmed("s", 0.7, sparse), *confirmed("d", 0.7, dense, **DENSE)], CELLS)
    row = row_of(best(store), baseline=False)
    (other,) = compare(store, "NOT baseline", "baseline").to_pylist()
    for name in ("difference", "difference_low", "difference_high", "difference_kind"):
        assert row[name] == other[name]
    assert row["difference_note"] == note
    assert note is None or other["verdict"] == note
    assert (row["difference_low"] is None) == (note is not None)
    assert (row["test_low"] is None) == (len(sparse) < 3)


def test_no_interval_leaves_what_is_possible(tmp_path):
    sparse, dense = {1: 0.99, 2: 0.2, 3: 0.97}, {1: 0.1, 2: 0.9, 3: 0.05}
    rows = [*confirmed("s", 0.7, sparse), *confirmed("d", 0.7, dense, **DENSE)]
    row = row_of(best(filled(tmp_path, rows, CELLS)), baseline=False)
    assert (row["test_low"], row["test_high"]) == (0.0, 1.0)
    assert (row["difference_low"], row["difference_high"]) == (-1.0, 1.0)


def test_dense_has_its_own_row_and_no_difference(tmp_path):
    rows = [*confirmed("s", 0.7, {1: 0.7, 2: 0.7}), *confirmed("d", 0.7, {1: 0.6, 2: 0.7}, **DENSE)]
    table = best(filled(tmp_path, rows, CELLS))
    assert table["sparsity"].to_pylist() == [0.0, 0.9]
    row = row_of(table, baseline=True)
    assert (row["method"], row["test_mean"], row["difference"]) == ("dense", pytest.approx(0.65), None)


def test_dense_of_the_same_regime_and_other_factors(tmp_path):
    trials, cells = [], []
    for regime, model, width, accuracy in [
        ("clean", "mlp", 1, 0.9),
        ("clean", "mlp", 2, 0.8),
        ("clean", "cnn", 1, 0.7),
        ("pgd", "mlp", 1, 0.6),
        ("pgd", "mlp", 2, 0.5),
    ]:
        for name, is_dense in (("sparse", False), ("dense", True)):
            cell = f"{regime}/{model}/{width}/{name}"
            levels = {"regime": regime, "training.width": width, "sparsity": 0.0 if is_dense else 0.9}
            cells.append(cell_row(cell=cell, regime=regime, levels=levels, baseline=is_dense))
            tests = dict.fromkeys((1, 2), accuracy + (0.0 if is_dense else 0.01))
            own = {"cell": cell, "regime": regime, "model": model, "sparsity": levels["sparsity"]}
            trials += confirmed(cell, accuracy, tests, **own)
    random.Random(0).shuffle(cells)
    table = best(filled(tmp_path, trials, cells), by=("cell",))
    gains = [row["difference"] for row in table.to_pylist() if not row["baseline"]]
    assert gains == pytest.approx([0.01] * 5)


def test_dense_is_compared_to_even_where_it_does_not_compete(tmp_path):
    rows = [
        *confirmed("s", 0.7, {1: 0.7, 2: 0.7}),
        *confirmed("t", 0.9, {1: 0.7, 2: 0.7}, method="set"),
        *confirmed("d", 0.7, {1: 0.6, 2: 0.6}, **DENSE),
    ]
    table = best(filled(tmp_path, rows, CELLS), where="method = 'rigl'")
    row = row_of(table)
    assert (row["configuration_id"], row["difference"]) == ("s", pytest.approx(0.1))


def test_unconfirmed_winner_is_marked_and_has_no_interval(tmp_path):
    rows = [
        searched("a", 0.6, test_matched_accuracy=0.55, seed=0),
        searched("b", 0.7, test_matched_accuracy=0.50, seed=0),
        *confirmed("d", 0.7, {1: 0.4, 2: 0.5}, **DENSE),
    ]
    row = row_of(best(filled(tmp_path, rows, CELLS)), baseline=False)
    assert (row["configuration_id"], row["confirmed"], row["seeds"]) == ("b", False, 1)
    assert (row["test_mean"], row["test_low"], row["test_high"]) == (0.5, None, None)
    assert row["difference"] == pytest.approx(0.05)
    assert (row["difference_low"], row["difference_kind"]) == (None, "point")


def test_seeds_added_until_it_is_clear_widen_the_intervals(tmp_path):
    a, b = {1: 0.8, 2: 0.82, 3: 0.85}, {1: 0.7, 2: 0.75, 3: 0.72}
    store = filled(tmp_path, [*confirmed("a", 0.8, a), *confirmed("d", 0.8, b, **DENSE)], CELLS)
    store.append("cells", [{**CELLS[0], "confidence": 0.99}])
    row = row_of(best(store), sparsity=0.9)
    interval = stats.ttest_rel(list(a.values()), list(b.values())).confidence_interval(0.99)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(interval)
    assert (row["test_low"], row["test_high"]) == pytest.approx(
        stats.ttest_1samp(list(a.values()), 0).confidence_interval(0.99)
    )
    (row,) = compare(store, "sparsity = 0.9", "baseline").to_pylist()
    assert row["p_value"] == pytest.approx(5 * stats.ttest_rel(list(a.values()), list(b.values())).pvalue)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(interval)


def test_one_confirming_seed_has_no_interval(tmp_path):
    row = row_of(best(filled(tmp_path, confirmed("a", 0.7, {1: 0.7}))))
    assert (row["confirmed"], row["seeds"], row["test_low"], row["difference_kind"]) == (True, 1, None, None)


def test_stopped_and_failed_trials_are_counted_and_never_averaged(tmp_path):
    rows = [
        searched("a", 0.6),
        searched("b", 0.99, status="stopped", reason="rung 1"),
        searched("c", None, status="failed", reason="nan"),
        searched("d", 0.98, status="failed", reason="out of memory"),
        *confirmed("a", 0.6, {1: 0.6, 2: 0.7}),
        *confirmed("a", 0.9, {3: 0.0}, status="stopped"),
        *confirmed("a", None, {4: 0.0}, status="failed"),
    ]
    row = row_of(best(filled(tmp_path, rows)))
    assert (row["configuration_id"], row["test_mean"]) == ("a", pytest.approx(0.65))
    assert (row["seeds"], row["seeds_lost"]) == (2, 2)
    assert (row["considered"], row["stopped"], row["failed"]) == (4, 1, 3)


@pytest.mark.parametrize("objective", [float("inf"), float("nan"), None])
def test_an_objective_that_is_no_number_never_wins(tmp_path, objective):
    store = filled(tmp_path, [searched("odd", objective), searched("a", 0.1)])
    assert row_of(best(store))["configuration_id"] == "a"


def test_metric_changes_what_is_reported_not_what_is_chosen(tmp_path):
    store = filled(tmp_path, [*confirmed("a", 0.7, {1: 0.5, 2: 0.5}), *confirmed("b", 0.6, {1: 0.6, 2: 0.6})])
    clean, matched = (row_of(best(store, metric=metric)) for metric in ("clean", "matched"))
    assert clean["configuration_id"] == matched["configuration_id"] == "a"
    assert (clean["test_mean"], matched["test_mean"]) == (pytest.approx(0.6), 0.5)
    assert clean["metric"] == "clean"


def test_top_ranks_confirmed_configurations_first(tmp_path):
    rows = [
        searched("x", 0.9),
        searched("y", 0.8),
        searched("z", 0.7),
        *confirmed("y", 0.75, {1: 0.7, 2: 0.7}),
    ]
    store = filled(tmp_path, rows)
    table = best(store, top=2, confirmed_only=False)
    assert table.select(["configuration_id", "rank", "confirmed"]).to_pylist() == [
        {"configuration_id": "y", "rank": 1, "confirmed": True},
        {"configuration_id": "x", "rank": 2, "confirmed": False},
    ]
    assert best(store, top=2)["configuration_id"].to_pylist() == ["y"]


def test_unconfirmed_is_left_out_on_request_and_shown_where_there_is_nothing_else(tmp_path):
    rows = [
        searched("x", 0.9),
        *confirmed("y", 0.7, {1: 0.7}),
        searched("z", 0.9, regime="pgd", cell="pgd/0.9"),
    ]
    store = filled(tmp_path, rows)
    assert best(store)["configuration_id"].to_pylist() == ["y", "z"]
    assert best(store, confirmed_only=True)["configuration_id"].to_pylist() == ["y"]
    with pytest.raises(NothingMatchedError, match=r"confirm stage matches.*3 completed, 1 of them confirm"):
        best(store, where="regime = 'pgd'", confirmed_only=True)


SIGNS = {
    "accuracy": ("objective", 1),
    "sparsity": ("sparsity", 1),
    "flops": ("training_flops", -1),
    "seconds": ("seconds", -1),
}


@pytest.fixture(scope="module")
def many_groups(tmp_path_factory):
    """150 regimes with up to 12 configurations, on a coarse grid, so that ties are many; some values lack."""
    generator = random.Random(4)
    rows = [
        searched(
            f"{regime}-{number}",
            generator.randrange(5) / 5,
            regime=f"r{regime}",
            cell=f"r{regime}",
            sparsity=generator.randrange(5) / 5,
            training_flops=generator.choice([None, 0.1, 0.2, 0.3, 0.4]),
            seconds=generator.randrange(5) / 5,
            method=generator.choice(["dense", "set"]),
        )
        for regime in range(150)
        for number in range(generator.randint(1, 12))
    ]
    return filled(tmp_path_factory.mktemp("store"), rows), rows


@pytest.mark.parametrize(
    "chosen",
    [("accuracy", "flops"), ("accuracy", "sparsity"), ("flops", "seconds"), ("sparsity", "accuracy")],
)
def test_front_is_that_of_a_comparison_of_all_pairs(many_groups, chosen):
    store, rows = many_groups
    points = {}
    for row in rows:
        point = [(row[SIGNS[name][0]], SIGNS[name][1]) for name in chosen]
        if all(value is not None for value, _ in point):
            points[row["configuration_id"]] = (row["regime"], [sign * value for value, sign in point])
    literal = {
        name
        for name, (regime, mine) in points.items()
        if not any(
            other == regime and its != mine and its[0] >= mine[0] and its[1] >= mine[1]
            for other, its in points.values()
        )
    }
    found = best(store, pareto=chosen)
    assert sorted(found["configuration_id"].to_pylist()) == sorted(literal)
    by_regime = {}
    for row in found.to_pylist():
        by_regime.setdefault(row["regime"], []).append(points[row["configuration_id"]][1])
    assert all(front == sorted(front, reverse=True) for front in by_regime.values())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pareto": ("accuracy", "flop")}, UnknownNameError, "did you mean 'flops'"),
        ({"pareto": ("flops", "flops")}, HslError, "two objectives"),
        ({"pareto": ("accuracy", "flops"), "top": 2}, HslError, "shown whole"),
    ],
)
def test_what_is_no_front(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        best(filled(tmp_path, [searched("a", 0.5)]), **arguments)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ((), [(), ()]),
        (("regime",), [("clean",), ("pgd",)]),
        (("method", "regime"), [("rigl", "clean"), ("rigl", "pgd"), ("set", "clean"), ("set", "pgd")]),
        (("distribution",), [("erk",), ("erk",), (None,), (None,)]),
    ],
)
def test_groups_never_span_regimes(tmp_path, by, groups):
    rows = [
        searched(f"{regime}{method}", 0.5, regime=regime, method=method, distribution=distribution)
        for regime in ("clean", "pgd")
        for method, distribution in (("rigl", "erk"), ("set", None))
    ]
    table = best(filled(tmp_path, rows), by=by)
    assert table.column_names[: len(by)] == list(by)
    assert sorted(table["regime"].to_pylist()) == ["clean"] * (len(groups) // 2) + ["pgd"] * (
        len(groups) // 2
    )
    assert len(set(table.column_names)) == len(table.column_names)
    assert [tuple(row[name] for name in by) for row in table.to_pylist()] == groups


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_recovers_the_planted_truth(tmp_path_factory, data):
    """Every cell has a best configuration by construction; an independent loop over the rows must agree."""
    rows = []
    accuracy = st.integers(0, 1000).map(lambda x: x / 1000)
    for regime in ("clean", "pgd"):
        for sparsity in (0.5, 0.9):
            for number in range(data.draw(st.integers(1, 4))):
                own = {"regime": regime, "sparsity": sparsity, "cell": f"{regime}/{sparsity}"}
                name = f"{regime}-{sparsity}-{number}"
                status = data.draw(st.sampled_from(["completed", "completed", "stopped", "failed"]))
                rows.append(searched(name, data.draw(accuracy), status=status, **own))
                for seed in range(data.draw(st.integers(0, 3))):
                    status = data.draw(st.sampled_from(["completed", "completed", "failed"]))
                    test = data.draw(accuracy)
                    rows += confirmed(name, data.draw(accuracy), {seed: test}, status=status, **own)
    expected = literal_winners(rows)
    store = filled(tmp_path_factory.mktemp("store"), rows)
    if not expected:
        with pytest.raises(NothingMatchedError):
            best(store)
        return
    found = {
        (row["regime"], row["sparsity"]): (row["confirmed"], row["configuration_id"])
        for row in best(store).to_pylist()
    }
    assert found.keys() == expected.keys()
    assert all(found[key] in expected[key] for key in expected)


def literal_winners(rows):
    scores = {}
    for row in rows:
        if row["status"] == "completed":
            group = scores.setdefault((row["regime"], row["sparsity"]), {})
            group.setdefault((row["stage"] == "confirm", row["configuration_id"]), []).append(
                row["objective"]
            )
    winners = {}
    for key, group in scores.items():
        stage = max(is_confirm for is_confirm, _ in group)
        means = {name: np.mean(values) for name, values in group.items() if name[0] == stage}
        winners[key] = [name for name, mean in means.items() if mean >= max(means.values()) - 1e-12]
    return winners


def test_nothing_matches_says_what_exists(tmp_path):
    store = filled(tmp_path, [searched("a", 0.5), searched("b", 0.5, status="stopped")])
    with pytest.raises(
        NothingMatchedError, match=r"'sparsity > 0.95'.*2 trials, 1 completed.*clean.*0\.9.*rigl"
    ):
        best(store, where="sparsity > 0.95")


def test_nothing_stored(tmp_path):
    with pytest.raises(NothingMatchedError, match="no trial is stored yet"):
        best(filled(tmp_path, [], [cell_row()]))


@pytest.mark.parametrize(
    "where",
    [
        "true) OR (true",
        "true; DROP VIEW trials",
        "(SELECT count(*) FROM read_text('/etc/hostname')) > 0",
        "nothing = 1",
        "SELECT 1",
        "'; DROP TABLE trials; --",
        "true, false",
    ],
)
def test_condition_is_one_expression(tmp_path, where):
    with pytest.raises(HslError) as caught:
        best(filled(tmp_path, [searched("a", 0.5)]), where=where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"by": ("regim",)}, UnknownNameError),
        ({"by": ('regime" --',)}, UnknownNameError),
        ({"by": ("regime", "regime")}, HslError),
        ({"metric": "adversarial"}, UnknownNameError),
        ({"top": 0}, HslError),
    ],
)
def test_wrong_arguments(tmp_path, arguments, error):
    with pytest.raises(error):
        best(filled(tmp_path, [searched("a", 0.5)]), **arguments)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"training.lr": 0.051234, "method": "rigl", "distribution": "erk"}, "lr=0.0512"),
        ({"method.drop_fraction": 0.3, "training.batch_size": 64}, "drop_fraction=0.3 batch_size=64"),
        (
            {"a.lr": 1e-5, "b.lr": 2.0, "nesterov": True, "name": "x"},
            "a.lr=1e-05 b.lr=2 nesterov=true name=x",
        ),
        ({}, ""),
    ],
)
def test_short_parameters(parameters, text):
    assert short_parameters({"parameters": json.dumps(parameters)}) == text


TIED = {"b": (0.1, 0.2, 0.3), "a": (0.2, 0.2, 0.2), "c": (0.3, 0.3, 0.0)}
"""Equal means of counted samples, whose sums in floating point differ: 0.1 + 0.2 + 0.3 > 0.6 = 0.3 + 0.3 + 0.0."""


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pareto", [None, ("accuracy", "seconds")])
def test_a_tie_is_broken_by_the_configuration_whatever_the_order_of_rows(seed, pareto, tmp_path):
    rows = [
        trial_row(
            configuration_id=name,
            stage="confirm",
            seed=place,
            objective=value,
            test_matched_accuracy=value,
            cell=f"clean/{place}",
            trial_id=f"{name}-{place}",
        )
        for name, values in TIED.items()
        for place, value in enumerate(values)
    ]
    random.Random(seed).shuffle(rows)
    found = best(filled(tmp_path, rows), by=["regime"], pareto=pareto).to_pylist()
    assert [row["configuration_id"] for row in found] == (["a", "b", "c"] if pareto else ["a"])
    assert found[0]["cell"] == "clean/0"


def test_a_seed_counts_once_under_two_names(tmp_path):
    """As after a merge that renamed the cells; each of the two has a seed that the other lacks."""
    tests, dense = {1: 0.7, 2: 0.74, 3: 0.75, 4: 0.71}, {1: 0.6, 2: 0.7, 3: 0.68, 4: 0.66}
    reference = confirmed("d", 0.7, dense, **DENSE)
    once = [*confirmed("s", 0.8, tests), *reference]
    renamed = confirmed("s", 0.8, {seed: tests[seed] for seed in (1, 2, 4)}, cell="other:clean/0.9")
    first = confirmed("s", 0.8, {seed: tests[seed] for seed in (1, 2, 3)})
    cells = [*CELLS, cell_row(cell="other:clean/0.9", levels={"regime": "clean", "sparsity": 0.9})]
    stores = [
        filled(tmp_path / name, rows, cells)
        for name, rows in (("once", once), ("twice", [*renamed, *first, *reference]))
    ]
    answers = [row_of(best(store), baseline=False) for store in stores]
    assert answers[0] == answers[1]
    assert answers[1]["seeds"] == 4
    compared = [compare(store, "NOT baseline", "baseline").to_pylist() for store in stores]
    assert compared[0] == compared[1]


def test_two_dense_cells_are_one_reference_for_best_and_compare(tmp_path):
    """Of two dense cells of one regime the completed one of the same space counts, then the first by name."""
    other = {**DENSE, "cell": "other:clean/dense", "configuration_id": "e"}
    rows = [
        *confirmed("s", 0.8, {1: 0.7, 2: 0.74, 3: 0.75}),
        *confirmed("d", 0.7, {1: 0.6, 2: 0.7, 3: 0.68}, **DENSE),
        *[{**row, **other} for row in confirmed("e", 0.7, {1: 0.1, 2: 0.2, 3: 0.1}, **DENSE)],
    ]
    dense = [
        cell_row(cell=name, levels={"regime": "clean"}, baseline=True)
        for name in ("clean/dense", "other:clean/dense")
    ]
    for place, cells in enumerate([[CELLS[0], *dense], [*reversed(dense), CELLS[0]]]):
        store = filled(tmp_path / str(place), rows if place else rows[::-1], cells)
        row = row_of(best(store), baseline=False)
        (other_row,) = compare(store, "NOT baseline", "baseline").to_pylist()
        assert row["dense_mean"] == pytest.approx(0.66)
        assert (row["difference"], row["difference_low"]) == (
            other_row["difference"],
            other_row["difference_low"],
        )
