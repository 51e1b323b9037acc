"""figures/theorem.md and .png: what plot_figures.py measures of saved networks, and what lib/theorem.py says of it."""

import copy
import math
import re

import common
import plot_figures
from lib import RunError, theorem
from lib.groups import DATA

import numpy as np
import pytest
import torch

CONFIG = DATA | {"size": 5, "d": 25, "width": 64, "C0": 10.0, "V": 1.25, "seed": 0, "bias": 0}


@pytest.fixture
def measured(lazy_net):
    net, _ = lazy_net(5, 64)
    return plot_figures.measure(net, CONFIG | {"normalize": 1})


def network(d, C0=10, **others):
    """A made-up network that keeps to all that the paper says, of two test digits."""
    values = {
        "f_at_W0": 0.5,
        "f_at_W": 2,
        "f_in_ball": 14.6,
        "changeable": 363,
        "changed": 30,
        "gradient_change": d**-0.25,
    }
    one = {name: np.array([value, value / 2]) for name, value in values.items()}
    one |= {"gradient": np.array([0.7, 0.25]), "small_gradient": np.array([0.7, 0.25]), "R_step": 3.0, "R_pgd": 2.8}
    one |= {"flipped": flips(4), "flipped_at_largest_value": flips(8), "cone": 1e-13}
    one |= {"flipped_at_small_gradient": flips(9)}
    one |= DATA | {"size": math.isqrt(d), "d": d, "width": 1000, "C0": C0, "seed": 0}
    return one | {"trained": "SGD"} | others


def flips(needed):
    return {C2: 1 if needed <= C2 else 0.97 for C2 in theorem.STEPS}


def verdicts(networks):
    lines = theorem.as_markdown(networks).splitlines()
    return [line.split("|")[-2] for line in lines if re.match(r"\|.*(Theorem|Corollary|Lemma|cone|The same)", line)]


THREE = [network(d) for d in (25, 100, 400)]


ALL_FITS = ["likely", "likely", "open", "likely", "likely", "likely", "open", "likely", "likely", "likely"]


def test_all_that_keeps_to_the_paper_is_a_yes_with_two_seeds_but_for_a_search_that_found_nothing():
    assert verdicts(THREE) == ALL_FITS
    two_seeds = [*THREE, *(network(d, seed=1) for d in (25, 100, 400))]
    assert verdicts(two_seeds) == [word.replace("likely", "yes") for word in ALL_FITS]
    assert verdicts([*two_seeds, *(network(d, trained="adversarial") for d in (25, 100, 400))])[1] == "likely"
    assert "|C2 = 4 at C0 = 10; like d^0.00 at C0 = 10|" in theorem.as_markdown(THREE)


def test_a_bound_may_fail_for_no_more_than_gamma_of_the_digits():
    few = network(784, gradient=np.array([0.2] + 99 * [0.7]), f_in_ball=np.array([14.61] + 99 * [3]))
    assert verdicts([*THREE, few]) == ALL_FITS
    assert "below √d/4 for at most 1.0% of a network's digits|likely|" in theorem.as_markdown([*THREE, few])
    more = network(784, gradient=np.array(2 * [0.2] + 98 * [0.7]))
    assert "below √d/4 for at most 2.0% of a network's digits|no|" in theorem.as_markdown([*THREE, more])


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        (0, [network(d, flipped=flips(needed)) for d, needed in ((25, 4), (100, 6), (400, 9))]),
        (0, [*THREE, network(784, flipped=flips(99))]),
        (1, [network(d, flipped_at_largest_value=flips(needed)) for d, needed in ((25, 4), (100, 6), (400, 9))]),
        (2, [*THREE, network(784, flipped_at_small_gradient=flips(99))]),
        (3, [network(d, R_pgd=3 * math.log(d) * d**0.11) for d in (25, 100, 400)]),
        (3, [*THREE, network(784, R_pgd=math.nan)]),
        (4, [*THREE, network(784, f_in_ball=np.array([3, 14.61]))]),
        (5, [*THREE, network(784, gradient=np.array([0.7, 0.249]))]),
        (6, [*THREE, network(784, small_gradient=np.array([0.7, 0.249]))]),
        (7, [*THREE, network(784, changeable=np.array([250, 365]))]),
        (8, [network(d, gradient_change=np.array([d**-0.09])) for d in (25, 100, 400)]),
        (9, [*THREE, network(784, cone=0.01)]),
    ],
)
def test_what_breaks_a_bound_is_a_no_on_its_line_alone(line, broken):
    assert verdicts(broken) == ALL_FITS[:line] + ["no"] + ALL_FITS[line + 1 :]


def test_the_bounds_are_those_of_lemmas_4_1_and_4_3_at_gamma_0_01():
    assert theorem.value_bound(network(25)) == pytest.approx(10 + 2 * math.log(200) ** 0.5)
    assert theorem.neurons_bound(network(25)) == pytest.approx(10 * 1000**0.5 + (1000 * math.log(100) / 2) ** 0.5)


def test_two_sizes_leave_open_what_grows_with_d_and_each_C0_has_its_own_word():
    assert verdicts(THREE[:2])[:4] == ["open"] * 4
    larger = [network(d, C0=20, R_pgd=d**0.5) for d in (25, 100, 400)]
    assert verdicts(THREE + larger)[3] == "C0 = 10: likely; C0 = 20: no"
    assert verdicts(THREE + larger[:1])[3] == "C0 = 10: likely; C0 = 20: open"


def test_the_gradient_changes_along_the_steps_that_flip():
    assert theorem.mean_gradient_change(network(25, gradient_change=np.array([0.4, math.nan]))) == 0.4


def test_C2_is_one_that_flips_all_also_where_a_longer_step_flips_f_back():
    back = {C2: float(2 <= C2 <= 7) for C2 in theorem.STEPS}
    assert theorem.needed_C2(network(25, flipped=back)) == 2
    text = theorem.as_markdown([network(d, flipped=flips(99)) for d in (25, 100, 400)])
    assert "|no C2 ≤ 20 flips all up to d = 400 at C0 = 10|no|" in text and "|> 20|" in text


def test_networks_trained_otherwise_have_a_line_of_their_own():
    networks = [*THREE, *(network(d, trained="adversarial", eps=0.1) for d in (100, 400, 784))]
    assert verdicts(networks) == ["likely", *ALL_FITS]
    text = theorem.as_markdown([*networks, network(25, trained="adversarial", eps=0.8, flipped=flips(99))])
    measured = "no C2 ≤ 20 flips all up to d = 25 at C0 = 10; elsewhere C2 = 4 at C0 = 10 does"
    assert f"|The same, after adversarial|{measured}|no|" in text


def test_what_is_measured_is_of_test_digits_of_norm_1(measured, lazy_net):
    net, _ = lazy_net(5, 64)
    x = common.load_digits(0, 1, 5, normalize=True).test_x
    x = x[x.any(dim=1)][::4]
    assert torch.allclose(x.norm(dim=1), torch.ones(len(x))) and 500 < len(x) < 530
    f, gradient = net.value_and_input_gradient(x)
    np.testing.assert_allclose(measured["f_at_W"], f.abs(), rtol=1e-5)
    np.testing.assert_allclose(measured["gradient"], gradient.norm(dim=1) / 5, rtol=1e-5)
    assert measured["flipped"][2] == common.flipped(net, x, [2])[0].double().mean().item()
    for name, move in (
        ("flipped_at_largest_value", common.move_to_largest_value),
        ("flipped_at_small_gradient", common.move_against_gradient),
    ):
        small, flips = common.gradient_and_flips(net, x, move(net, x, 1.25), [8])
        assert measured[name][8] == flips.double().mean().item()
    np.testing.assert_allclose(measured["small_gradient"], small / 5, atol=1e-5)
    for name, function, *V in (
        ("f_in_ball", common.largest_value_in_ball, 1.25),
        ("changeable", common.changeable_neurons, 1.25),
        ("changed", common.changed_neurons),
    ):
        np.testing.assert_allclose(measured[name], function(net, x, *V), rtol=1e-5)
    initial = copy.deepcopy(net)
    initial.W.data = net.W0.clone()
    np.testing.assert_allclose(measured["f_at_W0"], initial.f(x).detach().abs(), rtol=1e-4, atol=1e-6)
    assert measured["cone"] < 1e-9 and measured["trained"] == "SGD"
    biased = common.TwoLayerNet(25, 64, bias=True)
    assert plot_figures.change_in_cone(biased, x[:9]) > 1e-3
    step = common.smallest_step(net, x)
    change = common.gradient_change(net, x, 1.001 * step.eta[:, None].float() * gradient)
    np.testing.assert_allclose(measured["gradient_change"], change / 5, rtol=1e-4, atol=1e-5)


def test_the_figure_shows_what_was_measured(measured):
    _, gradient, neurons, change = plot_figures.draw_theorem([measured]).axes

    def shown(ax):
        return [line.get_ydata()[0] for line in ax.lines]

    assert shown(neurons)[:2] == [measured[name].mean() for name in ("changeable", "changed")]
    assert shown(gradient)[:2] == [measured[name].min() for name in ("gradient", "small_gradient")]
    assert shown(change) == [measured["gradient_change"].mean()]


def test_at_R_a_tenth_is_still_right(measured, lazy_net):
    net, _ = lazy_net(5, 64)
    digits = common.load_digits(0, 1, 5, normalize=True)
    inked = digits.test_x.any(dim=1)
    x, y = digits.test_x[inked][::4], digits.test_y[inked][::4]
    step = common.smallest_step(net, x)
    right = (y * net.f(x) > 0) & (step.delta_norm > measured["R_step"] / 5)
    assert right.double().mean() == pytest.approx(0.1, abs=0.005)
    assert common.robust_accuracy(net, x, y, 1.01 * measured["R_pgd"] / 5, 20) <= 0.1
    assert common.robust_accuracy(net, x, y, 0.99 * measured["R_pgd"] / 5, 20) > 0.1


def test_a_folder_of_networks_gives_the_gallery_and_the_theorem(tmp_path, lazy_net, capsys):
    net, _ = lazy_net(5, 64)
    adversarial = CONFIG | {"eps": 0.4}
    for script, config in (("ntk_normal", CONFIG | {"normalize": 1}), ("advtrain", adversarial)):
        common.save_network(tmp_path, net, script, config)
    biased = common.TwoLayerNet(25, 64, bias=True)
    common.save_network(tmp_path, biased, "advtraingap", adversarial | {"bias": 1})
    drawn = plot_figures.draw_networks(tmp_path)
    assert [*drawn] == ["gallery", "theorem", "theorem.md"]
    assert (
        "on 2 networks" in drawn["theorem.md"]
        and "|adversarial training at ε√d = 2.0, digits 0/1, d 25|" in drawn["theorem.md"]
    )
    assert "1 of 3" in capsys.readouterr().err
    labels = [text.get_text() for text in drawn["theorem"].legends[0].get_texts()]
    assert labels[-3:-1] == ["SGD, $C_0$ = 10", "adversarial training at ε√d = 2.0, $C_0$ = 10"]
    assert len(drawn["gallery"].axes) == 6
    # The gallery has one of the same digits, and one of others.
    for change in ({"seed": 1}, {"num2": 7}):
        common.save_network(tmp_path, net, "ntk_normal", CONFIG | {"normalize": 0} | change)
    drawn = plot_figures.draw_networks(tmp_path)
    assert "seed 0" in drawn["gallery"].axes[0].get_ylabel()
    assert len(drawn["gallery"].axes) == 12 and "|SGD on pixels, digits 0/7, d 25|" in drawn["theorem.md"]
    with pytest.raises(RunError, match="no network that a script saved"):
        plot_figures.draw_networks(tmp_path / "nothing")


def test_a_network_outside_its_ball_is_refused(lazy_net):
    with pytest.raises(RunError, match="outside its lazy ball of V = 0.01"):
        plot_figures.measure(lazy_net(5, 64)[0], CONFIG | {"V": 0.01})


def test_a_network_that_no_step_flips_is_measured_without_an_error(lazy_net):
    net = copy.deepcopy(lazy_net(5, 64)[0])
    net.W.data.zero_()
    measured = plot_figures.measure(net, CONFIG | {"normalize": 1, "V": 99})
    assert not any(measured["flipped"].values()) and np.isnan(measured["R_pgd"])
    assert np.isnan(measured["gradient_change"]).all() and theorem.mean_gradient_change(measured) == 0
    assert "> 20" in theorem.as_markdown([measured])
    plot_figures.draw_theorem([measured])
