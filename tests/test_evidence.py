"""lib/evidence.py on made-up rows: what is measured, and what is judged."""

import itertools
import math

import numpy as np
import pytest
from made_up import adversarial_row, line, ntk_row, read

from lib import claims, evidence
from lib.groups import SCRIPTS


def examine(number, trained=(), left=(), right=()):
    """The records of a claim, and their verdict; a row of left without a cap has 1."""
    left = [{"cap": 1.0} | row for row in left]
    runs = {script: read(rows, script) for script, rows in zip(SCRIPTS, (trained, left, right))}
    records = claims.CLAIMS[number - 1].examine(runs)
    return records, claims.verdict(records)


def cells(record):
    """What was measured, without columns that are empty."""
    return {name: cell.text for name, cell in record.cells.items() if cell.text not in ("", "none")}


def about(record):
    """What the record is about, without inputs that are pixels."""
    return {name: value for name, value in record.about.items() if (name, value) != ("inputs", "pixels")}


# ------------------------------------------------------------------------------------------------------ Section 5.1


def test_exponents_are_fitted_over_whole_seeds_with_t_intervals():
    powers, rows = np.array([-0.45, -0.5, -0.65]), []
    for seed, power in enumerate(powers):
        for size in (5, 7, 10, 20):
            others = {
                "rel_delta_mean": 3 * size ** (2 * power),
                "rel_delta_std": 1 / size,
                "grad_norm_mean": size**1.4,
                "eta_mean": size**-0.9,
            }
            rows.append(ntk_row(size, 1000, 10, seed, **others))
    rows.append(ntk_row(5, 1000, 10, 3, rel_delta_mean=99))  # a seed that lacks sizes
    rows.append(ntk_row(6, 1000, 10, 1, rel_delta_mean=99))  # a size that the other seeds lack
    (record,), verdict = examine(2, rows)
    half = 4.303 * powers.std(ddof=1) / 3**0.5  # Student's t of two degrees of freedom
    assert verdict == "holds (1 of 1)" and about(record) == {"m": "1,000", "C0": "10", "d": "25 to 400"}
    assert cells(record) == {
        "exponent of ‖δ‖/‖x‖": f"−0.53 ± {half:.2f} ✓",
        "examples that never flip": "0",
        "mean ‖δ‖/‖x‖·√d": "1.22 to 4.05",
        "plus 2 standard deviations": "6.05",
    }
    assert claims.in_short([record]) == "holds (1 of 1). 12 runs: m = 1,000; d = 25 to 400; C0 = 10; seeds 0, 1, 2."
    (record,), verdict = examine(3, rows)
    assert verdict == "fails (0 of 1)" and cells(record)["exponent of ‖∇f‖"] == "0.70 ± 0.00 ✗"
    (record,), verdict = examine(4, rows)
    assert verdict == "fails (0 of 2)" and cells(record)["exponent of η"] == "−0.45 ± 0.00 ✗"
    assert cells(record)["exponent of (‖δ‖/‖x‖)/‖∇f‖"].startswith("−1.23 ± ")


def test_other_balls_than_the_papers_are_told_and_not_judged():
    rows = [
        ntk_row(size, 1000, C0, 0, rel_delta_mean=size ** (2 * power), left_ball=int(size < 20))
        for C0, power in ((10, -0.5), (20, 0.5))
        for size in (10, 14, 20)
    ]
    (judged, told), verdict = examine(2, rows)
    assert verdict == "holds (1 of 1)"
    assert about(judged) == {"m": "1,000", "C0": "10", "d": "100, 196, 400"}
    assert cells(judged)["exponent of ‖δ‖/‖x‖"] == "−0.50 ✓"
    assert cells(judged)["exponent of ‖δ‖/‖x‖, d ≥ 100"] == "−0.50"
    assert about(told) == {"m": "1,000", "C0": "20", "d": "100, 196, 400"}
    assert cells(told)["exponent of ‖δ‖/‖x‖"] == "0.50" and "exponent of ‖δ‖/‖x‖, d ≥ 100" not in cells(told)
    assert [cells(record)["runs that T ended"] for record in (judged, told)] == ["1 of 3", "1 of 3"]
    assert examine(2, [row for row in rows if row["C0"] == 20])[1] == "open"


def test_with_bias_nothing_is_said_of_inputs_of_norm_1():
    rows = [ntk_row(size, 1000, 10, 0, bias=1) for size in (5, 10, 28)]
    (record,), verdict = examine(4, rows)
    assert verdict == "holds (1 of 1)" and cells(record) == {"exponent of η": "−1.00 ✓"}
    assert examine(6, rows) == ([], "–")


def test_networks_above_one_percent_or_outside_their_ball_are_told():
    rows = [ntk_row(size, 1000, 10, 0, test_error=0.002, max_deviation=0.3) for size in (5, 10, 28)]
    (record,), verdict = examine(1, rows)
    assert verdict == "holds (3 of 3)" and about(record) == {"m": "1,000", "C0": "10"}
    assert cells(record) == {"networks below 1%": "3 of 3", "mean test error": "0.20%"}
    assert examine(11, rows)[1] == "holds (3 of 3)"
    rows.append(ntk_row(28, 1000, 10, 1, test_error=0.0132, max_deviation=0.3163))
    (record, above), verdict = examine(1, rows)
    assert verdict == "partly (3 of 4)"
    assert cells(record) == {
        "networks below 1%": "3 of 4",
        "mean test error": "0.76 ± 7.12%",
        "largest mean over seeds": "0.76% (d = 784)",
    }
    assert about(above) == {"m": "1,000", "C0": "10", "d": "784", "seed": "1"}
    assert cells(above) == {"test error of 1% or more": "1.32%"}
    (record,), verdict = examine(11, rows)
    assert verdict == "partly (3 of 4)" and cells(record)["networks in their ball"] == "3 of 4"
    assert cells(record)["largest deviation, in units of V"].startswith("1.0002")


def test_growth_with_C0_is_that_of_networks_that_left_their_ball():
    rows = [ntk_row(5, 10000, 20, 1, grad_norm_mean=99)]  # a seed that lacks balls
    for C0, left, grown in ((10, 1, 1), (20, 1, 1.5), (30, 0, 2), (40, 0, 2)):
        others = {"left_ball": left, "grad_norm_mean": grown, "eta_mean": 1 / grown, "rel_delta_mean": math.nan}
        rows.append(ntk_row(5, 10000, C0, 0, test_error=0.02 * (C0 == 40), **others))
    assert examine(1, rows)[1].startswith("holds")
    (record,), verdict = examine(5, rows)
    assert verdict == "partly (1 of 2)" and about(record) == {"m": "10,000", "d": "25", "C0": "10, 20"}
    assert cells(record) == {"‖∇f‖": "× 1.50 ✓", "η": "× 0.67 ✗", "C0 that T ended": "30, 40"}
    assert len(record.rows) == 2 and claims.in_short([record]).endswith("C0 = 10, 20; one seed (0).")


def test_growth_with_C0_is_judged_at_the_papers_width_and_told_at_others():
    rows = [ntk_row(5, width, C0, 0, grad_norm_mean=C0) for width in (1000, 100000) for C0 in (10, 20)]
    (told, judged), verdict = examine(5, rows)
    assert verdict == "partly (1 of 3)"
    assert about(told)["m"] == "1,000" and cells(told) == {"‖∇f‖": "× 2.00", "η": "× 1.00", "‖δ‖/‖x‖": "× 1.00"}
    assert about(judged)["m"] == "100,000" and cells(judged)["‖∇f‖"] == "× 2.00 ✓"


def test_growth_with_C0_is_the_same_whichever_run_ended_first():
    rows = [
        ntk_row(5, 10000, C0, 0, grad_norm_mean=C0, eta_mean=1 / C0, rel_delta_mean=C0 * (C0 < 30))
        for C0 in (30, 10, 20)
    ]
    rows += [ntk_row(5, 10000, C0, 1, grad_norm_mean=1) for C0 in (40, 50, 60)]  # as many balls, but others
    rows += [ntk_row(7, 10000, 20 if seed else 10, seed) for seed in (0, 2)]  # no seed has two balls
    (record,), verdict = examine(5, rows)
    assert verdict == "partly (3 of 6)" and about(record) == {"m": "10,000", "d": "25", "C0": "10, 20, 30"}
    assert cells(record) == {"‖∇f‖": "× 3.00 ✓✓", "η": "× 0.33 ✗✗", "‖δ‖/‖x‖": "× 0.00 ✓✗"}


def test_f_and_the_theorems_step_are_bounded_or_not():
    rows = [ntk_row(size, 1000, 10, 0) for size in (5, 10, 28)]
    (record,), verdict = examine(6, rows)
    # |f| / ||x|| = 0.4 / 0.3 * size / size, and (2 / size) * 0.7 size.
    assert verdict == "holds (2 of 2)" and about(record) == {"m": "1,000", "C0": "10"}
    assert cells(record) == {
        "|f|/‖x‖": "1.33 to 1.33",
        "exponent of |f|/‖x‖": "0.00 ✓",
        "η‖∇f‖²/‖x‖": "1.40 to 1.40",
        "exponent of η‖∇f‖²/‖x‖": "0.00 ✓",
    }
    rows += [ntk_row(size, 1000, 10, 0, abs_f_mean=size**2) for size in (5, 10, 28)]
    assert examine(6, rows)[1] == "partly (1 of 2)"


def test_dead_networks_do_not_stop_the_claims():
    zeros, rows = ("grad_norm_mean", "delta_norm_mean", "rel_delta_mean", "eta_mean", "abs_f_mean"), []
    for size in (5, 7, 10):
        for C0 in (10, 20):
            rows.append(ntk_row(size, 1000, C0, 0, **dict.fromkeys(zeros, 0.0)))
            rows.append(ntk_row(size, 1000, C0, 1, **dict.fromkeys(zeros, math.nan)))
    assert [number for number in range(1, 13) if examine(number, rows)[0]] == [1, 11]


def test_inputs_of_either_kind_are_never_mixed_in_a_number():
    def trained(balls, left, power, **others):
        for size, seed, (width, C0) in itertools.product((5, 10, 28), (0, 1), balls):
            others |= {
                "grad_norm_mean": C0 * size**power,
                "eta_mean": C0 * size**-power,
                "rel_delta_mean": size**-power,
            }
            yield ntk_row(size, width, C0, seed, left_ball=int(left >= C0), **others)

    pixels = [*trained([(1000, 10), (1000, 20), (1000, 30), (1000, 40), (100000, 10), (100000, 20)], 20, 1)]
    norm_1 = [*trained([(1000, 20), (1000, 30), (1000, 40)], 30, 0.9, normalize=1, test_error=0.02)]
    for number in range(1, 7):
        both, _ = examine(number, pixels + norm_1)
        apart = [record for rows in (pixels, norm_1) for record in examine(number, rows)[0]]
        assert sorted(both, key=str) == sorted(apart, key=str)
        assert {record.about["inputs"] for record in both} == {"pixels", "norm 1"}


@pytest.mark.parametrize("bias", [0, 1])
def test_trained_on_inputs_of_norm_1_eta_is_judged_once_and_the_theorem_with_bias_too(bias):
    rows = [ntk_row(size, 1000, 10, 0, bias=bias, normalize=1, eta_mean=size**-1.7) for size in (5, 10, 28)]
    (record,), verdict = examine(4, rows)
    assert verdict == "fails (0 of 1)" and cells(record) == {"exponent of η": "−0.85 ✗"}
    assert record.about == {"m": "1,000", "C0": "10", "inputs": "norm 1", "d": "25, 100, 784"}
    (record,), verdict = examine(6, rows)
    assert verdict == "holds (2 of 2)" and record.about == {"m": "1,000", "C0": "10", "inputs": "norm 1"}


# ------------------------------------------------------------------------------------------------------ Section 5.2

UP_TO_4, AT_95, AT_50, AT_5, SIDES, SEEDS, BEYOND_5 = (
    "robust accuracy at ε√d ≤ 4",
    "0.95 at ε√d",
    "0.5 at ε√d",
    "0.05 at ε√d",
    "runs on either side",
    "seeds in this mean",
    "robust accuracy at ε√d > 5",
)


def test_where_robust_accuracy_drops():
    rows = []
    for size in (5, 10, 20):
        for seed, shift in enumerate((-0.1, 0.1)):
            # From 0.9 to 0.1, so 0.5 at 4.8 on average, and from there to 0 at 6, so 0.05 at 5.7.
            accuracies = {2: 0.99, 3: 0.91, 4.2 + shift: 0.9, 5.4 + shift: 0.1, 6: 0.0}
            rows += line(size, accuracies, seed, T=100, epochs=100 if size == 5 and seed else 21)
    (*records, at_95, at_50, at_5), verdict = examine(7, left=rows)
    assert verdict == "partly (7 of 10)"  # that 0.1 beyond 5 is more than 0.05, three times
    measured = {
        UP_TO_4: "0.91 to 0.99 ✓",
        AT_95: "2.5 ± 0.0",
        AT_50: f"4.8 ± {12.706 * 0.1:.1f}",  # two seeds: t of one degree of freedom, times the standard error
        AT_5: f"5.7 ± {12.706 * 0.05:.1f} ✓",
        SIDES: "5.4 and 6.0",
        BEYOND_5: "0.00 to 0.10 ✗",
    }
    assert [record.about for record in records] == [{"d": "25"}, {"d": "100"}, {"d": "400"}]
    assert [cells(record) for record in records[1:]] == [measured, measured]
    assert cells(records[0]) == measured | {"runs that T ended": "5 of 10"}
    power, allowed = "ε goes like d to the power", "as the runs on either side allow"
    assert [record.about["robust accuracy"] for record in (at_95, at_50, at_5)] == ["0.95", "0.5", "0.05"]
    assert at_5.about["d"] == "25, 100, 400" and cells(at_5) == {power: "−0.50 ✓", allowed: "−0.54 to −0.46"}
    assert cells(at_50) == {power: "−0.50", allowed: "−0.59 to −0.41"}
    assert claims.in_short([*records, at_5]).endswith(
        "30 runs: m = 1,000; d = 25, 100, 400; ε = 0.1 to 1.2; C0 = 10; seeds 0, 1."
    )


def test_an_exponent_is_as_sure_as_its_brackets():
    across, brackets = [25, 100, 196, 784], [(0.6, 0.8), (0.31, 0.36), (0.2, 0.3), (0.1, 0.14)]
    found = np.array([[(low + high) / 2, low, high] for low, high in brackets])
    corners = [np.polyfit(np.log(across), np.log(corner), 1)[0] for corner in itertools.product(*brackets)]
    middle = np.polyfit(np.log(across), np.log(found[:, 0]), 1)[0]
    measured = evidence.exponent_of_brackets(np.array(across), found)
    assert measured == pytest.approx((middle, min(corners), max(corners)))


@pytest.mark.parametrize(
    "widest, told",
    [
        ({12: 0.0, 16: 1.0}, ["−0.50 ✓", "−0.64 to −0.36"]),  # as at the others
        ({17: 0.0, 22: 1.0}, ["−0.37 ?", "−0.50 to −0.23"]),
        ({28: 0.0, 32: 1.0}, ["−0.19 ✗", "−0.30 to −0.08"]),
    ],
)
def test_an_exponent_is_decided_as_interpolated_or_by_the_runs_on_either_side(widest, told):
    places = {400: {12: 0.0, 16: 1.0}, 1600: {12: 0.0, 16: 1.0}, 3600: widest}
    rows = [
        adversarial_row(28, width, at / width**0.5, 0.2, 0, robust)
        for width, accuracies in places.items()
        for at, robust in accuracies.items()
    ]
    (*_, at_half, _, _), _ = examine(8, right=rows)
    assert at_half.about == {"robust accuracy": "0.5", "m": "400, 1,600, 3,600"}
    assert [*cells(at_half).values()] == told


@pytest.mark.parametrize(
    "accuracies, told, verdict",
    [
        (
            {2: 1.0, 4: 0.9, 5: 0.05, 6: 0.0},
            {UP_TO_4: "0.90 to 1.00 ✓", AT_95: "3.0", AT_50: "4.5", AT_5: "5.0 ✓", SIDES: "5.0 and 6.0", BEYOND_5: "0.00 to 0.00 ✓"},
            "holds (3 of 3)",
        ),
        (
            {2: 0.9, 3: 0.1, 4: 0.0, 6: 0.0},
            {UP_TO_4: "0.00 to 0.90 ✗", AT_95: "before 2.0, the first run", AT_50: "2.5", AT_5: "3.5 ✗", SIDES: "3.0 and 4.0", BEYOND_5: "0.00 to 0.00 ✓"},
            "partly (1 of 3)",
        ),
        (
            {3.5: 0.9, 3.9: 0.06, 4.1: 0.0},
            {UP_TO_4: "0.06 to 0.90 ✗", AT_95: "before 3.5, the first run", AT_50: "3.7", AT_5: "3.9 ?", SIDES: "3.9 and 4.1"},
            "fails (0 of 2, 1 undecided)",
        ),
        (
            {2.6: 0.9, 6: 0.0},
            {UP_TO_4: "0.90 to 0.90 ✓", AT_95: "before 2.6, the first run", AT_50: "between 2.6 and 6.0", AT_5: "between 2.6 and 6.0 ?", SIDES: "2.6 and 6.0", BEYOND_5: "0.00 to 0.00 ✓"},
            "partly (2 of 3, 1 undecided)",
        ),
        (
            {2.6: 0.04, 6: 0.0},
            {UP_TO_4: "0.04 to 0.04 ✗", AT_95: "before 2.6, the first run", AT_50: "before 2.6, the first run", AT_5: "before 2.6, the first run ✗", BEYOND_5: "0.00 to 0.00 ✓"},
            "partly (1 of 3)",
        ),
        (
            {4.5: 0.04, 4.6: 0.0},
            {AT_95: "before 4.5, the first run", AT_50: "before 4.5, the first run", AT_5: "before 4.5, the first run ?"},
            "open",
        ),
        (
            {2.6: 0.99, 2.7: 0.8},
            {UP_TO_4: "0.80 to 0.99 ✗", AT_95: "2.6", AT_50: "after 2.7, the last run", AT_5: "after 2.7, the last run ?"},
            "fails (0 of 2, 1 undecided)",
        ),
        (
            {2.6: 0.99, 8: 0.8},
            {UP_TO_4: "0.99 to 0.99 ✓", AT_95: "between 2.6 and 8.0", AT_50: "after 8.0, the last run", AT_5: "after 8.0, the last run ✗", BEYOND_5: "0.80 to 0.80 ✗"},
            "partly (1 of 3)",
        ),
        (
            {4: 0.0, 5: 0.5, 6: 0.9},
            {UP_TO_4: "0.00 to 0.00 ✗", AT_95: "before 4.0, the first run", AT_50: "in no seed", AT_5: "in no seed ?", BEYOND_5: "0.90 to 0.90 ✗"},
            "fails (0 of 3, 1 undecided)",
        ),
    ],
)  # fmt: skip
def test_a_drop_that_is_elsewhere_unseen_or_a_rise(accuracies, told, verdict):
    (record,), found = examine(7, left=line(5, accuracies))
    assert found == verdict and record.about == {"d": "25"} and cells(record) == told


@pytest.mark.parametrize("epochs, told", [(21, "3.5 ✗"), (100, "3.5 ?")])
def test_a_place_before_4_decides_nothing_where_more_epochs_might_move_it(epochs, told):
    (record,), _ = examine(7, left=line(5, {2: 0.9, 3: 0.1, 4: 0.0, 6: 0.0}, T=100, epochs=epochs))
    assert cells(record)[AT_5] == told
    later = line(5, {2: 0.9, 3: 0.0}, T=100, epochs=21) + line(5, {4: 0.0}, T=100, epochs=epochs)
    assert cells(examine(7, left=later)[0][0])[AT_5] == "2.9 ✗"  # whatever may come of the run at 4
    (record,), _ = examine(7, left=line(5, {5: 0.9, 7: 0.1, 9: 0.0}, T=100, epochs=epochs))
    assert cells(record)[AT_5] == "8.0 ✗"


def test_no_more_is_asked_for_than_any_classifier_can_reach():
    capped = [row | {"cap": cap} for row, cap in zip(line(5, {2: 0.9, 4: 0.5, 6: 0.0}), (1.0, 0.55, 0.54))]
    (record,), _ = examine(7, left=capped)
    assert cells(record)[UP_TO_4] == "0.50 to 0.90 ✓" and cells(record)["lowest cap there"] == "0.55"
    capped[1]["cap"] = 0.56
    assert cells(examine(7, left=capped)[0][0])[UP_TO_4] == "0.50 to 0.90 ✗"
    (record,), _ = examine(7, left=line(5, {2: 0.9, 4: 0.5, 6: 0.0}))
    assert cells(record)[UP_TO_4] == "0.50 to 0.90 ✗" and "lowest cap there" not in cells(record)


def test_without_a_cap_or_more_epochs_nobody_knows_whether_too_low_is_too_low():
    rows = [row | {"cap": 1.0} for row in line(5, {2: 0.8, 4: 0.5, 6: 0.0})]
    for lacking in (["cap"], []):
        for others in ({"T": 100, "epochs": 100}, {"T": 100, "epochs": 99}):
            some = [{name: value for name, value in row.items() if name not in lacking} | others for row in rows]
            (record,) = evidence.falls_past_5({"advtrain": some})
            decided = not lacking and others["epochs"] < 100
            assert cells(record)[UP_TO_4] == f"0.50 to 0.80 {'✗' if decided else '?'}"
            assert cells(record)[BEYOND_5] == "0.00 to 0.00 ✓"


def test_runs_that_patience_stopped_at_0_are_told():
    rows = line(5, {2: 0.9, 4: 0.5}) + line(5, {5: 0.0, 6: 0.0}, train_robust_acc=0.0, epochs=21)
    rows += line(7, {5: 0.0, 6: 0.0}, train_robust_acc=0.0, T=21, epochs=21)
    first, second = examine(7, left=rows)[0]
    assert cells(first)["runs stopped at 0"] == "2 of 4" and "runs stopped at 0" not in cells(second)


def test_seeds_without_a_drop_are_told():
    rows = line(5, {4: 0.9, 5: 0.05, 6: 0.0}, 0) + line(5, {4: 0.04, 5: 0.01, 6: 0.0}, 1)
    (record,), _ = examine(7, left=rows)
    found = {AT_5: "5.0 ?", SIDES: "5.0 and 6.0", SEEDS: "1 of 2"}  # that of seed 1 is at 4 at most
    assert {name: cells(record)[name] for name in found} == found


@pytest.mark.parametrize("last", [2.9, 3.2])  # from 2.9 to 6 is more than a factor of 2
def test_a_seed_with_few_runs_so_far_takes_nothing_from_the_others(last):
    rows = line(5, {3: 1.0, 4: 0.9, 5: 0.05, 6: 0.0}, 0)
    (alone,), _ = examine(7, left=rows)
    (record,), verdict = examine(7, left=rows + line(5, {last: 1.0, 6: 0.0}, 1))
    assert verdict == "holds (3 of 3)" and cells(record) == cells(alone) | {SEEDS: "1 of 2"}
    elsewhere = line(5, {6: 0.6, 7: 0.05, 8: 0.0}, 1)
    (record,), _ = examine(7, left=rows + elsewhere)
    assert cells(record)[AT_5] == cells(alone)[AT_5].replace("✓", "?") and cells(record)[SEEDS] == "1 of 2"


def test_seeds_on_either_side_of_a_level_are_no_drop():
    (record,), _ = examine(7, left=line(5, {4.2: 0.9, 4.4: 0.8}, 0) + line(5, {4.6: 0.04, 4.8: 0.01}, 1))
    assert cells(record)[AT_50] == "in no seed" and cells(record)[AT_5] == "in no seed ?" and SIDES not in cells(record)


def rising(level_0, level_1, **others):
    """Rows of advtraingap.csv at m = 400, 1,600 and 3,600: robust accuracy rises from level_0 to level_1, as V√m."""
    for width in (400, 1600, 3600):
        for at in (4, 6, 9, 12, 16, 20, 24, 26, 30):
            robust = float(np.clip((at - level_0) / (level_1 - level_0), 0, 1))
            yield adversarial_row(28, width, at / width**0.5, 0.2, 0, robust, **others)


def test_where_robust_accuracy_rises_at_four_levels():
    *rows, last = rising(10, 30, T=100, epochs=100)
    rows.append(last | {"max_deviation": last["V"] / 2})
    records, verdict = examine(8, right=rows)
    assert verdict == "holds (4 of 4)" and len(records) == 3 + 4
    measured = {"0.05 at V√m": "10.5", "0.5 at V√m": "20.0", "0.9 at V√m": "28.0", "0.95 at V√m": "29.0"}
    assert [record.about for record in records[:3]] == [{"m": "400"}, {"m": "1,600"}, {"m": "3,600"}]
    assert [cells(record) for record in records[:2]] == [measured | {"runs that T ended": "9 of 9"}] * 2
    assert cells(records[2])["runs never at the ball's border"] == "1 of 9"
    assert [record.about["robust accuracy"] for record in records[3:]] == ["0.05", "0.5", "0.9", "0.95"]
    assert all(cells(record)["V goes like m to the power"] == "−0.50 ✓" for record in records[3:])
    # Two widths make no exponent.
    assert examine(8, right=[row for row in rows if row["width"] < 3000])[1] == "open"
    assert examine(7, right=rows) == ([], "–")


@pytest.mark.parametrize(
    "level_1, beyond, at_95, verdict",
    [(25, "1.00 to 1.00 ✓", "24.5", "holds (3 of 3)"), (27, "0.94 to 1.00 ✗", "26.6", "fails (0 of 3)")],
)
def test_networks_past_25_are_robust_or_not(level_1, beyond, at_95, verdict):
    rows = [*rising(10, level_1, T=100, epochs=80), adversarial_row(28, 100, 1, 0.2, 0, 0.1)]
    (none, *records), found = examine(9, right=rows)
    assert found == verdict and none.about == {"m": "100"}
    assert cells(none) == {"0.95 at V√m": "after 10.0, the last run"}
    measured = {"robust accuracy at V√m > 25": beyond, "0.95 at V√m": at_95}
    assert [cells(record) for record in records] == [measured] * 3


def test_networks_past_25_that_T_ended_might_still_become_robust():
    records, found = examine(9, right=rising(10, 27, T=100, epochs=100))
    measured = {
        "robust accuracy at V√m > 25": "0.94 to 1.00 ?",
        "of these runs T ended": "2 of 2",
        "0.95 at V√m": "26.6",
    }
    assert found == "open" and [cells(record) for record in records] == [measured] * 3


@pytest.mark.parametrize(
    "level_0, below, at_5, sides, verdict",
    [
        (12.1, "0.00 to 0.00", "12.7 ✓", "12.0 and 16.0", "holds (3 of 3)"),
        (11, "0.00 to 0.07", "11.1 ✗", "9.0 and 12.0", "fails (0 of 3)"),
        (11.41, "0.00 to 0.04", "12.1 ?", "12.0 and 16.0", "open"),
    ],
)
def test_robust_accuracy_is_near_0_at_half_of_25_or_not(level_0, below, at_5, sides, verdict):
    records, found = examine(10, right=rising(level_0, 25))
    measured = {"robust accuracy at V√m ≤ 12.5": below, "0.05 at V√m": at_5, "runs on either side": sides}
    assert [cells(record) for record in records] == [measured] * 3
    assert found == verdict


def test_what_small_balls_cost():
    rows = []
    for width, lost in ((400, 0), (1600, 0.3)):
        for V in (0.2, 0.4, 0.6, 0.8, 1.0):
            others = {"test_acc": 0.99 - lost * (V < 0.5), "epochs": 21 if V < 0.5 else 30}
            rows.append(adversarial_row(28, width, V, 0.2, 0, 0.5, **others))
    (small, large), verdict = examine(12, right=rows)
    assert verdict == "partly (6 of 8)"
    assert small.about == {"m": "400"} and cells(small) == {
        "test accuracy at the largest V": "99.0% (V = 1, 30 epochs)",
        "lowest test accuracy": "99.0% (V = 0.2, 21 epochs)",
        "other V at most 1 percentage point below": "4 of 4",
    }
    assert large.about == {"m": "1,600"} and cells(large) == {
        "test accuracy at the largest V": "99.0% (V = 1, 30 epochs)",
        "lowest test accuracy": "69.0% (V = 0.2, 21 epochs)",
        "other V at most 1 percentage point below": "2 of 4",
    }


def test_runs_a_factor_of_2_apart_are_near_enough_at_every_width():
    widths = (250, 500, 1000, 2000, 4000, 8000, 16000)
    rows = [adversarial_row(28, width, V, 0.2, 0, robust) for width in widths for V, robust in ((0.1, 0.0), (0.2, 1.0))]
    records, _ = examine(10, right=rows)
    assert len(records) == len(widths)
    for width, record in zip(widths, records):
        low, place, high = (V * width**0.5 for V in (0.1, 0.105, 0.2))
        assert cells(record)["0.05 at V√m"].startswith(f"{place:.1f} ")
        assert cells(record)["runs on either side"] == f"{low:.1f} and {high:.1f}"


def test_networks_with_bias_say_nothing_of_the_authors_balls():
    rows = [ntk_row(5, 1000, 10, 0, bias=1, max_deviation=0.3)]
    assert examine(11, rows, line(5, {2: 1.0}, bias=1, box=1)) == ([], "–")
