"""lib/groups.py: which rows belong together, and where robust accuracy passes a level."""

import math
import sys

import advtrain
import ntk_normal
import plot_figures
from lib import groups

import pytest
from made_up import adversarial_row, line, ntk_row


def test_the_settings_defaults_are_the_scripts(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["ntk_normal.py", "--out", str(tmp_path / "ntk_normal.csv")])
    trained, adversarial = ntk_normal.parse_arguments(), advtrain.adversarial_parser("", "out.csv").parse_args([])
    for settings, options in ((groups.SETTINGS, trained), (groups.ADVERSARIAL_SETTINGS, adversarial)):
        assert settings == {name: getattr(options, name) for name in settings}


def test_settings_are_what_differs_from_the_defaults():
    usual, other = ntk_row(5, 64, 3, 0), ntk_row(6, 64, 3, 7, num1=3.0, lr=0.5)
    runs = groups.by_settings(groups.SETTINGS, [usual, other], [other])
    assert runs == {(): [[usual], []], (("num1", 3), ("lr", 0.5)): [[other], [other]]}
    assert groups.by_settings(groups.SETTINGS, []) == {}


def test_settings_have_names_that_shells_take_and_words():
    names, words = groups.describe((("num2", 7.0), ("bias", 1.0), ("lr", 0.05), ("bs", 10000.0)))
    assert names == ["digits0and7", "bias", "lr0p05", "bs10000"]
    assert words == ["digits 0 and 7", "with bias", "learning rate 0.05", "batch size 10,000"]
    assert groups.describe(()) == ([], [])
    every = {**groups.SETTINGS, **groups.ADVERSARIAL_SETTINGS}
    settings = tuple((name, "x" if name in groups.TEXT else 2) for name in every)
    assert len(groups.describe(settings)[0]) == len(every) - 1  # two digits, one name


def test_exponents_are_slopes_of_each_seed_that_has_the_usual_sizes():
    rows = [ntk_row(size, 64, 10, seed, eta_mean=size ** (-1 - seed)) for size in (5, 10, 20) for seed in (0, 1)]
    few = [ntk_row(5, 64, 10, 2, eta_mean=7)]
    assert groups.exponents(rows + few, lambda row: row["eta_mean"]) == pytest.approx([-0.5, -1])
    assert groups.exponents(rows[:4], lambda row: row["eta_mean"]) == []


def test_eta_at_norm_1_is_unknown_with_bias():
    row = ntk_row(5, 64, 10, 0, rel_delta_mean=0.6, grad_norm_mean=3)
    assert groups.eta_at_norm_1(row) == pytest.approx(0.2)
    assert math.isnan(groups.eta_at_norm_1(row | {"bias": 1}))
    assert math.isnan(groups.eta_at_norm_1(row | {"normalize": 1}))
    assert math.isnan(groups.eta_at_norm_1(row | {"grad_norm_mean": 0}))


def test_the_papers_value_is_taken_if_it_has_two_rows_and_else_the_commonest():
    rows = [ntk_row(size, 1000, C0, 0) for C0, sizes in ((10, (5, 7)), (20, (5, 7, 10))) for size in sizes]
    assert groups.keep_one_value(rows, "C0", 10) == rows[:2] and groups.keep_one_value(rows[1:], "C0", 10) == rows[2:]
    assert groups.keep_one_value([], "C0", 10) == []


def test_figure_4_keeps_to_the_papers_width_and_ball_or_size_and_eps():
    left = [adversarial_row(size, width, 0.3, 0.1, 0, 1) for width in (500, 1000) for size in (5, 7)]
    assert groups.left_of_figure4(left) == left[2:]
    right = [adversarial_row(28, width, 0.3, eps, 0, 1) for eps in (0.1, 0.2) for width in (500, 1000)]
    assert groups.right_of_figure4(right) == right[2:]


def test_a_crossing_is_interpolated_between_runs_that_are_near_enough():
    assert groups.crossing([(5.4, 0.1), (4.2, 0.9), (6, 0.0)], falls=True, level=0.5) == pytest.approx((4.8, 4.2, 5.4))
    assert groups.crossing([(4, 0.1), (5, 0.5)], falls=False, level=0.5) == pytest.approx((5, 4, 5))
    assert groups.crossing([(4, 0.1), (5, 0.5), (6, 0.9)], falls=True, level=0.5)[1:] == (0, math.inf)
    assert groups.crossing([(4, 0.1), (5, 0.5), (6, 0.9)], falls=False, level=0.8) == pytest.approx((5.75, 5, 6))
    far = groups.crossing([(2, 0.9), (6, 0.1)], falls=True, level=0.5)
    assert math.isnan(far.place) and far[1:] == (2, 6)


def test_crossings_are_of_seeds_with_most_runs_and_say_where_others_may_be():
    whole, few = line(5, {4: 0.9, 5: 0.5, 6: 0.0}), line(5, {2: 0.9, 6: 0.0}, 1)
    above, below = line(5, {4: 0.9, 5: 0.8, 6: 0.7}, 2), line(5, {4: 0.4, 5: 0.3, 6: 0.2}, 3)
    found = groups.crossings([*whole, *few, *above, *below], "eps", falls=True, level=0.5)
    assert {seed: one[1:] for seed, one in found.items()} == {0: (1, 1.2), 2: (1.2, math.inf), 3: (0, 0.8)}
    assert found[0].place == 1 and math.isnan(found[2].place) and math.isnan(found[3].place)
    assert plot_figures.mean_crossing([*whole, *few, *above], "eps", falls=True, level=0.5) == 1
    assert math.isnan(plot_figures.mean_crossing(few + above[1:], "eps", falls=True, level=0.5))
    rising = groups.crossings(above + below, "eps", falls=False, level=0.5)
    assert [one[1:] for one in rising.values()] == [(0, 0.8), (1.2, math.inf)]
