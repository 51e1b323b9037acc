"""lib/groups.py: which rows belong together, and where robust accuracy passes a level."""

import ast
import math
from pathlib import Path

import pytest
from made_up import adversarial_row, ntk_row, read

from lib import groups, results


def test_lib_imports_nothing_from_the_scripts():
    for path in Path(groups.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not {"common", "ntk_normal", "advtrain", "advtraingap", "plot_figures"} & {*names}


def test_of_equal_runs_the_last_counts_and_the_order_is_that_of_the_configuration():
    rows = [ntk_row(7, 64, 3, 0), ntk_row(5, 64, 3, 0, rel_delta_mean=99), ntk_row(5, 64, 3, 0, rel_delta_mean=1)]
    assert [(row["size"], row["rel_delta_mean"]) for row in read(rows, "ntk_normal")] == [(5, 1), (7, 2 / 7)]


def test_settings_are_what_differs_from_the_defaults():
    usual, other = ntk_row(5, 64, 3, 0), ntk_row(6, 64, 3, 7, num1=3.0, lr=0.5)
    runs = groups.by_settings(groups.SETTINGS, [usual, other], [other])
    assert runs == {(): [[usual], []], ("num1=3", "lr=0.5"): [[other], [other]]}
    assert groups.by_settings(groups.SETTINGS, []) == {}


def test_settings_are_told_in_names_that_shells_take_and_in_words():
    settings = ("num2=7", "bias=1", "normalize=1", "bs=32", "lr=0.05", "T=10000", "atk_iters=20", "patience=5")
    names, words = groups.describe(settings)
    assert names == ["digits0and7", "bias", "normalize", "bs32", "lr0p05", "T10000", "steps20", "patience5"]
    assert words[:4] == ["digits 0 and 7", "with bias", "inputs of norm 1", "batch size 32"]
    assert words[4:] == ["learning rate 0.05", "at most 10,000 epochs", "20 PGD steps", "patience of 5 epochs"]
    assert groups.describe(()) == ([], [])
    every = {**groups.SETTINGS, **groups.ADVERSARIAL_SETTINGS}
    assert len(groups.describe(tuple(f"{setting}=2" for setting in every))[0]) == len(every) - 1  # two digits, one name


def test_exponents_are_slopes_of_each_seed_that_has_the_usual_sizes():
    rows = [ntk_row(size, 64, 10, seed, eta_mean=size ** (-1 - seed)) for size in (5, 10, 20) for seed in (0, 1)]
    few = [ntk_row(5, 64, 10, 2, eta_mean=7)]
    fitted, used = groups.exponents(rows + few, lambda row: row["eta_mean"])
    assert fitted == pytest.approx([-0.5, -1]) and used == rows[::2] + rows[1::2]
    assert groups.exponents(rows[:4], lambda row: row["eta_mean"]) == ([], [])


def test_eta_at_norm_1_is_unknown_with_bias():
    row = ntk_row(5, 64, 10, 0, rel_delta_mean=0.6, grad_norm_mean=3)
    assert groups.eta_at_norm_1(row) == pytest.approx(0.2)
    assert math.isnan(groups.eta_at_norm_1(row | {"bias": 1}))
    assert math.isnan(groups.eta_at_norm_1(row | {"normalize": 1}))
    assert math.isnan(groups.eta_at_norm_1(row | {"grad_norm_mean": 0}))


def test_groups_are_sorted():
    rows = [ntk_row(size, width, 10, 0) for size in (7, 5) for width in (100, 64)]
    assert list(groups.grouped(rows, "size")) == [5, 7]
    assert list(groups.grouped(rows, "size", "width")) == [(5, 64), (5, 100), (7, 64), (7, 100)]


def test_T_ends_runs_inside_the_ball_or_before_their_patience_is_used_up():
    assert results.ended_by_T(ntk_row(5, 64, 3, 0, left_ball=0)) and not results.ended_by_T(ntk_row(5, 64, 3, 0))
    ended = [results.ended_by_T(adversarial_row(5, 64, 1, 0.1, 0, 1, T=30, epochs=epochs)) for epochs in (21, 30)]
    assert ended == [False, True]


def test_the_papers_value_is_taken_unless_it_leaves_a_single_curve_or_few_cells():
    rows = [ntk_row(5, width, 10, 0) for width in (1000, 10000)]
    rows += [ntk_row(5, width, 20, 0) for width in (1000, 2000, 10000)]
    assert groups.keep_one_value(rows, "C0", 10, "width", "size") == rows[:2]
    assert groups.keep_one_value(rows[1:], "C0", 10, "width", "size") == rows[2:]
    assert groups.keep_one_value([], "C0", 10, "width", "size") == []
    more = [ntk_row(size, width, 20, 0) for size in (7, 10) for width in (1000, 10000)]
    assert groups.keep_one_value(rows + more[:1], "C0", 10, "width", "size") == rows[:2]  # 2 cells against 4
    assert groups.keep_one_value(rows + more, "C0", 10, "width", "size") == rows[2:] + more


def test_curves_of_several_C0_are_of_seeds_that_have_them_all():
    whole = [ntk_row(5, 64, C0, 0) for C0 in (10, 20)]
    part = ntk_row(5, 64, 10, 1)
    begun = [ntk_row(7, 64, 10, seed) for seed in (0, 1)]
    others = [ntk_row(10, 64, 10, seed) for seed in (1, 2)]
    assert groups.of_the_same_runs([*whole, part, *begun, *others]) == [*whole, begun[0], *others]
    assert groups.of_the_same_runs([part, *begun, *others]) == [part, *begun, *others]


def test_figure_3_is_of_the_papers_width_once_half_as_many_of_its_cells_compare_several_C0():
    rows = [ntk_row(size, 10000, C0, 0) for size in (5, 7, 10, 14) for C0 in (10, 20)]
    rows += [ntk_row(size, 100000, 10, 0) for size in (5, 7, 10, 14)] + [ntk_row(5, 100000, 20, 0)]
    assert groups.width_of_figure3(rows) == 10000  # 2 cells against 8
    assert groups.width_of_figure3([*rows, ntk_row(7, 100000, 20, 0)]) == 100000
    assert groups.width_of_figure3(rows[8:12]) == 100000


def test_figure_4_keeps_to_the_papers_width_and_ball_or_size_and_eps():
    left = [adversarial_row(size, width, 0.3, 0.1, 0, 1) for width in (500, 1000) for size in (5, 7)]
    assert groups.left_of_figure4(left) == left[2:]
    right = [adversarial_row(28, width, 0.3, eps, 0, 1) for eps in (0.1, 0.2) for width in (500, 1000)]
    assert groups.right_of_figure4(right) == right[2:]


def test_a_crossing_is_interpolated_between_runs_that_are_near_enough():
    assert groups.crossing([(5.4, 0.1), (4.2, 0.9), (6, 0.0)], falls=True, level=0.5) == pytest.approx((4.8, 4.2, 5.4))
    assert groups.crossing([(4, 0.1), (5, 0.5)], falls=False, level=0.5) == pytest.approx((5, 4, 5))
    assert groups.crossing([(4, 0.1), (5, 0.5), (6, 0.9)], falls=True, level=0.5) is None
    assert groups.crossing([(4, 0.1), (5, 0.5), (6, 0.9)], falls=False, level=0.8) == pytest.approx((5.75, 5, 6))
    far = groups.crossing([(2, 0.9), (6, 0.1)], falls=True, level=0.5)
    assert math.isnan(far.place) and far[1:] == (2, 6)


def test_a_seed_with_few_runs_so_far_takes_nothing_from_the_others():
    whole, few, none = [(4, 0.9), (5, 0.5), (6, 0.0)], [(2, 0.9), (6, 0.0)], [(4, 0.4), (5, 0.1)]
    assert groups.crossings([whole, few, none], falls=True, level=0.5) == [(5, 5, 6)]
    (alone,) = groups.crossings([few, none], falls=True, level=0.5)
    assert math.isnan(alone.place)
