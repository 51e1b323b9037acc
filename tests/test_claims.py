"""lib/claims.py on made-up rows, and claims.md and the README's table on ours."""

import itertools
import math
import random
import re
from collections import Counter

import plot_figures
from lib import ROOT, claims, results

import numpy as np
import pytest
from made_up import adversarial_row, line, ntk_row, read

SIZES = (5, 10, 14, 28)


def page(trained=(), left=(), right=(), caps=None):
    caps = {("MNIST", 0, "l2", *data): {eps: cap} for (*data, eps), cap in (caps or {}).items()}
    scripts = zip(claims.SCRIPTS, (trained, left, right))
    return claims.as_markdown({script: read(rows, script) for script, rows in scripts}, caps)


def cells(text, *beginning):
    """The rest of the only line of a table in the text that begins with these cells."""
    lines = [line[1:-1].split("|") for line in text.splitlines() if line.startswith("|")]
    (found,) = [line for line in lines if all(cell.startswith(own) for cell, own in zip(line, beginning))]
    return found[len(beginning) :]


def one(best, low, high, seeds=5, ended=False):
    return claims.Estimate(best, low, high, seeds, 4, 6, ended)


@pytest.mark.parametrize(
    "word, estimates",
    [
        ("yes", [one(5, 4, 6), one(4.5, 4.2, 4.8)]),
        ("likely", [one(5, 2.4, 7.6)]),
        ("likely", [one(5, 4, 6), one(5, 4.9, 6.1)]),
        ("likely", [one(5, 5, 5, seeds=1)]),
        ("likely", [one(5, 4.5, 5.5, ended=True)]),
        ("open", [one(3.9, 3.8, 4.1), one(5, 4, 6)]),
        ("open", [one(math.nan, 3, math.inf)]),
        ("open", [one(3, 2, 3.5, ended=True)]),
        ("no", [one(3, 2, 3.5)]),
        ("no", [one(5, 4, 6), one(7, 6.5, 8, seeds=1)]),
        ("no", [one(3, 2, 3.5, ended=True), one(7, 6.5, 8)]),
    ],
)
def test_a_verdict_is_what_the_intervals_allow(word, estimates):
    assert claims.verdict(estimates) == claims.verdict(estimates[::-1]) == word


def test_an_estimate_has_the_t_interval_over_seeds_and_what_else_is_allowed():
    assert claims.half_interval([1, 2, 3]) == pytest.approx(4.303 / 3**0.5)  # Student's t, two degrees of freedom
    assert claims.half_interval([1, 3]) == pytest.approx(12.706) and claims.half_interval([7]) == 0
    assert claims.estimate([1, 3], 0, 1, (1.5, 20)) == pytest.approx((2, 2 - 12.706, 20, 2, 0, 1, False))
    assert claims.estimate([7], 0, 1, (6, 6.5))[:4] == (7, 6, 7, 1)


def test_an_exponent_is_as_sure_as_its_brackets():
    across, brackets = [25, 100, 196, 784], [(0.6, 0.8), (0.31, 0.36), (0.2, 0.3), (0.1, 0.14)]
    corners = [np.polyfit(np.log(across), np.log(corner), 1)[0] for corner in itertools.product(*brackets)]
    middle = np.polyfit(np.log(across), np.log(np.mean(brackets, axis=1)), 1)[0]
    found = [((low + high) / 2, low, high) for low, high in brackets]
    assert claims.exponent_of_brackets(across, found) == pytest.approx((middle, min(corners), max(corners)))


def power_law(power, seed, **others):
    """Rows whose ‖δ‖/‖x‖ goes like d^power."""
    return [ntk_row(size, 1000, 10, seed, rel_delta_mean=size ** (2 * power), **others) for size in SIZES]


def test_exponents_in_d_are_of_seeds_with_every_size_and_of_either_inputs():
    pixels = [row for seed, power in enumerate((-0.45, -0.5, -0.55)) for row in power_law(power, seed)]
    norm_1 = [row for seed in range(2) for row in power_law(-0.7, seed, normalize=1)]
    part = [ntk_row(size, 1000, 10, 7, rel_delta_mean=99 * size) for size in SIZES[1:]]
    text, half = page(pixels + norm_1 + part), 4.303 * 0.05 / 3**0.5
    assert cells(text, "‖δ‖/‖x‖ falls like d^−0.5 (Fig. 2, pixels")[::2] == ["−0.50 [−0.62, −0.38]", "likely"]
    assert cells(text, "‖δ‖/‖x‖ falls like d^−0.5 (Fig. 2, norm 1")[::2] == ["−0.70", "no"]
    assert cells(text, "paper's formulas", "pixels", "1,000", "10")[0] == f"−0.50 ± {half:.2f}; −0.50 ± {half:.2f}"
    assert cells(page(norm_1), "‖δ‖/‖x‖ falls like d^−0.5 (Fig. 2, pixels") == ["–", "–", "–"]


def test_the_fit_from_d_100_on_is_among_what_is_allowed():
    values = [5**-1.45, *(size**-1.3 for size in SIZES[1:])]
    best = np.polyfit(2 * np.log(SIZES), np.log(values), 1)[0]
    rows = [ntk_row(size, 1000, 10, seed, rel_delta_mean=x) for size, x in zip(SIZES, values) for seed in (0, 1)]
    found = f"{best:.2f} [-0.65, {best:.2f}]".replace("-", "−")
    assert cells(page(rows), "‖δ‖/‖x‖ falls like d^−0.5 (Fig. 2, pixels") == [found, "–", "likely"] and best > -0.6


def test_test_errors_are_judged_by_the_worst_network_on_either_inputs():
    rows = [ntk_row(size, 1000, 10, seed, test_error=0.002) for size in SIZES for seed in (0, 1)]
    assert cells(page(rows), "Every test error is below 1% (Fig. 2, pixels") == ["0.20% at most", "–", "yes"]
    rows += [row | {"normalize": 1} for row in rows]
    rows[0]["test_error"] = 0.014
    rows.append(ntk_row(5, 1000, 40, 0, test_error=0.05))  # of Figure 3
    text = page(rows)
    assert cells(text, "Every test error is below 1% (Fig. 3") == ["5.00% at most", "–", "no"]
    longer = [*rows, ntk_row(7, 1000, 40, 0, test_error=0.06, left_ball=0)]
    assert cells(page(longer), "Every test error is below 1% (Fig. 3") == ["6.00% at most", "–", "no"]
    assert cells(text, "Every test error is below 1% (Fig. 2, pixels") == ["1.40% at most", "–", "no"]
    assert cells(text, "Every test error is below 1% (Fig. 2, norm 1") == ["0.20% at most", "–", "yes"]
    assert "pixels 7 of 8 networks below 1%, worst 1.4% (m = 1,000, d = 25, seed 0)" in text
    rows[0]["left_ball"] = 0
    assert cells(page(rows), "Every test error is below 1% (Fig. 2, pixels")[2] == "open"


def test_growth_with_C0_is_of_networks_that_left_their_ball_and_of_seeds_that_left_as_many():
    rows = [ntk_row(5, 100000, 10, 1, grad_norm_mean=99), ntk_row(5, 100000, 20, 2, grad_norm_mean=99)]
    for C0, factor in ((30, 1.4), (10, 1), (20, 1.5), (40, 9)):
        grown = {"grad_norm_mean": factor, "eta_mean": 1 / factor, "rel_delta_mean": C0}
        rows.append(ntk_row(5, 100000, C0, 0, left_ball=int(C0 < 40), **grown))
    text = page(rows + [row | {"normalize": 1, "grad_norm_mean": 7} for row in rows])
    assert cells(text, "‖∇f‖ grows with C0") == ["1.40-fold [0.93, 1.50]", "–", "likely"]
    assert cells(text, "η grows with C0") == ["0.71-fold [0.67, 1.07]", "–", "open"]
    assert cells(text, "‖δ‖ grows with C0") == ["3.00-fold [1.50, 3.00]", "–", "likely"]
    assert cells(text, "paper's formulas", "100,000", "25")[0] == "10 to 30"


def test_dead_networks_do_not_stop_the_claims():
    dead = ("grad_norm_mean", "delta_norm_mean", "rel_delta_mean", "eta_mean", "abs_f_mean")
    values = ((0, 0.0), (1, math.nan))
    rows = [
        ntk_row(size, 1000, C0, s, **dict.fromkeys(dead, x)) for size in SIZES for C0 in (10, 20) for s, x in values
    ]
    text = page(rows)
    assert cells(text, "η grows with C0") == cells(text, "η falls like d^−1 (Fig. 2, pixels") == ["–", "–", "–"]
    assert cells(text, "Every network lies")[2] == "yes"


FALLS = "Robust accuracy falls to 0"
BELOW = "Networks are robust to smaller ε (§5.2; 90%"


@pytest.mark.parametrize(
    "accuracies, found, word",
    [
        ({4.2: 0.9, 5: 0.1, 5.8: 0.0}, "5.4 [5.0, 5.8]", "yes"),
        ({4.2: 0.9, 5: 0.1, 6.2: 0.0}, "5.6 [5.0, 6.2]", "likely"),
        ({2: 0.9, 3: 0.1, 4: 0.0}, "3.5 [3.0, 4.0]", "no"),
        ({3: 0.9, 3.9: 0.05, 4.3: 0.04}, "3.9 [3.9, 4.3]", "open"),
        ({2: 0.9, 6: 0.0}, "? [2.0, 6.0]", "open"),  # too far apart to interpolate
        ({2: 0.9, 6: 0.3}, "? [6.0, ∞]", "no"),
        ({3: 0.04, 6: 0.0}, "? [0.0, 3.0]", "no"),
    ],
)
def test_where_robust_accuracy_falls_to_0_lies_between_runs(accuracies, found, word):
    text = page(left=line(5, accuracies, 0) + line(5, accuracies, 1))
    assert cells(text, FALLS) == [found, "–", word]
    assert cells(page(left=line(5, accuracies)), FALLS)[2] == word.replace("yes", "likely")  # one seed


def test_where_no_classifier_could_be_robust_nobody_asks_when_robust_accuracy_falls():
    rows = line(5, {2: 0.9, 3: 0.1, 4: 0.0})
    assert cells(page(left=rows, caps={(0, 1, 25, 0.8): 0.94}), FALLS) == ["–", "–", "–"]
    assert cells(page(left=rows, caps={(0, 1, 25, 0.8): 0.95}), FALLS)[2] == "no"


def test_runs_that_T_ended_might_still_become_robust():
    early = line(5, {2: 0.9, 3: 0.1}, T=100, epochs=21) + line(5, {4: 0.0}, T=100, epochs=100)
    assert cells(page(left=early), FALLS) == ["3.5 [3.0, ∞]", "–", "open"]
    assert "(the scripts' defaults; T = 100 cut off 1 of 3 runs)" in page(left=early)
    assert cells(page(left=early), "paper's formulas", "25") == ["–", "2.5", "3.5*", "1"]
    late = line(5, {6.5: 0.1, 7: 0.0}, T=100, epochs=100)
    assert cells(page(left=late), FALLS)[2] == "no"
    past_25 = [adversarial_row(28, 400, V, 0.2, 0, 0.9, T=100, epochs=epochs) for V, epochs in ((1.3, 100), (1.4, 100))]
    assert cells(page(right=past_25), "Networks are completely robust past")[::2] == ["90.0%; T cut off 2 of 2", "open"]
    assert (
        cells(page(right=[row | {"epochs": 21} for row in past_25]), "Networks are completely robust past")[2] == "no"
    )


def test_no_more_is_asked_for_than_any_classifier_can_reach():
    rows = [row for seed in (0, 1) for row in line(5, {3.9: 0.8, 4.1: 0.5, 4.5: 0.5, 5: 0.04, 6: 0.0}, seed)]
    for caps in ({}, {(3, 8, 25, 0.8): 0.55}, {(0, 1, 36, 0.8): 0.55}):
        assert cells(page(left=rows, caps=caps), BELOW)[2] == "no"
    assert cells(page(left=rows, caps={(0, 1, 25, 0.8): 0.55}), BELOW)[2] == "yes"


def test_the_exponent_of_epsilon_leaves_out_where_no_classifier_could_be_robust():
    rows = [row for size in (10, 14, 20) for row in line(size, {4: 0.9, 5: 0.0})] + line(5, {2: 0.9, 2.5: 0.0})
    assert cells(page(left=rows), "The ε of 5% goes like")[0] != cells(page(left=rows[:-2]), "The ε of 5% goes like")[0]
    capped = page(left=rows, caps={(0, 1, 25, 0.8): 0.94})
    low, high = (-0.5 + sign * math.log(5 / 4) / math.log(4) for sign in (-1, 1))
    assert cells(capped, "The ε of 5% goes like")[0] == f"−0.50 [{low:.2f}, {high:.2f}]".replace("-", "−")
    assert cells(page(left=rows[:4]), "The ε of 5% goes like")[0] == "–"  # two d are no power
    cut = rows[:5] + line(20, {5: 0.0}, T=100, epochs=100) + line(20, {6: 0.0})
    corners = itertools.product((4, 5), (4, 5), (4, 6))
    high = max(np.polyfit(np.log([10, 14, 20]), np.log(ends) / 2, 1)[0] - 0.5 for ends in corners)
    assert cells(page(left=cut), "The ε of 5% goes like")[0].endswith(f", {high:.2f}]".replace("-", "−"))


SHARP = "The drop is sharp"


def test_a_drop_is_sharp_within_a_factor_of_2_in_epsilon_where_a_classifier_could_be_robust():
    rows = [row for seed in (0, 1) for row in line(5, {3: 1.0, 4: 0.9, 5: 0.05, 6: 0.0}, seed)]
    assert cells(page(left=rows), SHARP)[::2] == ["1.4-fold [1.2, 2.0]", "yes"]
    gradual = [row for seed in (0, 1) for row in line(5, {1: 1.0, 1.5: 0.9, 3: 0.5, 5: 0.1, 6: 0.0}, seed)]
    assert cells(page(left=gradual), SHARP)[::2] == ["4.4-fold [3.3, 6.0]", "no"]
    assert cells(page(left=rows, caps={(0, 1, 25, 0.8): 0.94}), SHARP)[0] == "–"
    late = line(5, {4: 0.9, 5: 0.05, 6: 0.0, 7: 0.0}, 2)  # 0.9 at the first run
    assert cells(page(left=late), SHARP)[::2] == ["?-fold [1.2, ∞]", "open"]
    assert cells(page(left=rows + late), SHARP)[0].startswith("1.4-fold [")
    never_below_1 = line(5, {3: 0.9, 4: 0.05, 5: 0.0}, T=100, epochs=100)
    assert cells(page(left=never_below_1), SHARP)[0] == "?-fold [1.0, ∞]"


GROWS = "Robust accuracy grows with V"


def test_robust_accuracy_grows_with_V_if_every_seed_allows_it():
    def grown(*seeds, **others):
        rows = [
            adversarial_row(28, 400, V, 0.2, seed, robust, **others)
            for seed, accuracies in enumerate(seeds)
            for V, robust in zip((0.1, 0.2, 0.4), accuracies)
        ]
        return cells(page(right=rows), GROWS)[::2]

    assert grown((0.0, 0.3, 0.5), (0.0, 0.3, 0.5)) == ["20.0–30.0 points", "yes"]
    assert grown((0.0, 0.3, 0.5)) == ["20.0–30.0 points", "likely"]
    assert grown((0.0, 0.3, 0.25)) == ["−5.0 to 30.0 points", "no"]
    assert grown((0.0, 0.3, 0.25), T=100, epochs=100) == ["−5.0 to 30.0 points; T cut off 1 of 2", "open"]
    assert grown((0.0, 0.3, 0.5), (0.2,))[0] == "20.0–30.0 points"  # a seed with one V
    falls = [adversarial_row(28, 400, V, 0.2, 0, robust) for V, robust in ((0.1, 0.3), (0.2, 0.1))]
    assert cells(page(right=[falls[0] | {"T": 100, "epochs": 100}, falls[1]]), GROWS)[2] == "open"
    assert cells(page(right=[falls[0], falls[1] | {"seed": 1}]), GROWS) == ["–", "–", "–"]


def test_a_seed_with_fewer_runs_is_in_no_mean():
    whole = line(5, {3: 1.0, 4: 0.9, 5: 0.05, 6: 0.0})
    few = line(5, {5.6: 1.0, 6: 0.0}, 1)
    assert cells(page(left=whole + few), FALLS) == cells(page(left=whole), FALLS)
    assert cells(page(left=whole + few), "paper's formulas", "25")[-1] == "1"


def test_what_a_smaller_ball_costs():
    costs = ((1.0, 0.99, 0.9), (0.5, 0.985, 0.5), (0.1, 0.6, 0.0))
    rows = [adversarial_row(28, 400, V, 0.2, 0, robust, test_acc=accuracy) for V, accuracy, robust in costs]
    assert cells(page(right=rows), "The projection keeps")[::2] == ["0.5–39.0 points lost", "no"]
    assert cells(page(right=rows), "The same where")[::2] == ["0.5 points lost", "likely"]


def test_of_several_settings_those_with_most_runs_and_bias_or_box_only_in_neither_protocol():
    default, other = line(5, {4: 0.9, 6: 0.0}), line(5, {4.5: 0.9, 4.7: 0.04, 6: 0.0}, bs=64)
    both, only = line(5, {4: 0.9, 5: 0.0}, bias=1, box=1), line(5, {4: 0.9, 4.1: 0.0}, box=1)
    text = page(left=default + other + [row | {"bs": 64} for row in both + only])
    assert cells(text, FALLS) == ["4.7 [4.5, 4.7]", "4.9 [4.0, 5.0]", "likely"] and "(batch size 64)" in text
    assert "4.1" not in cells(page(left=only), FALLS)[0]
    assert cells(page(left=default + other[1:]), FALLS)[0].startswith("5.9")  # on a tie the defaults


def test_claims_md_is_what_our_rows_say_in_any_order_and_the_readme_has_its_main_lines():
    rows = {script: plot_figures.read_runs([ROOT / "results" / "paper"], script) for script in claims.SCRIPTS}
    caps = results.read_caps(ROOT / "results" / "paper")
    text = (ROOT / "figures" / "claims.md").read_text(encoding="utf-8")
    assert claims.as_markdown(rows, caps) == text
    assert claims.as_markdown({s: random.Random(1).sample(own, len(own)) for s, own in rows.items()}, caps) == text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"## Results at a glance\n\n((?:\|.*\n)+)", readme)[1].splitlines()
    assert len(lines) > 15 and set(lines[:-3]) <= set(text.splitlines())
    # Its last lines are the theorem's.
    theorem = (ROOT / "figures" / "theorem.md").read_text(encoding="utf-8")
    for _, says, measured, _, word, _ in (one.split("|") for one in lines[-3:]):
        assert re.search(rf"\|{re.escape(says)}\|{re.escape(measured)}.*\|{word}\|", theorem)
    words = [
        [line.rsplit("|", 2)[1] for line in re.search(r"(\|.*\n)+", page)[0].splitlines()[2:]]
        for page in (text, theorem)
    ]
    experiments, theory = (Counter(word.split(";")[0] for word in own) for own in words)
    biased = Counter(word.split("bias and box: ")[-1] for word in words[0])
    readme = " ".join(readme.split())
    first = "Of {total} statements judged by its experiments {yes} hold, {likely} likely hold, {no} do not, and {open} are open"
    assert first.format(total=experiments.total(), **experiments) in readme
    assert "scripts {yes} hold, {likely} likely hold, {no} do not, and {open} are open".format(**biased) in readme
    assert "Of {total} on its theory {yes} hold and {no} do not".format(total=theory.total(), **theory) in readme
