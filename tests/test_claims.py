"""lib/claims.py on made-up rows: what is measured, what is judged, and how it is told."""

import itertools
import math
import re

import numpy as np
import pytest
from made_up import adversarial_row, ntk_row, read

from lib import claims
from lib.groups import SCRIPTS


def examine(number, trained=(), left=(), right=()):
    """The records of a claim, and their verdict."""
    runs = {script: read(rows, script) for script, rows in zip(SCRIPTS, (trained, left, right))}
    records = claims.CLAIMS[number - 1].examine(runs)
    return records, claims.verdict(records, undecided_too=True)


def cells(record):
    """What was measured, without columns that are empty."""
    return {name: cell.text for name, cell in record.cells.items() if cell.text not in ("", "none")}


def tell(trained=(), left=(), right=()):
    return claims.tell({script: read(rows, script) for script, rows in zip(SCRIPTS, (trained, left, right))})


def test_every_claim_has_a_short_title():
    assert len(claims.CLAIMS) == 10 and all(len(claim.title.split()) <= 12 for claim in claims.CLAIMS)


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
    assert verdict == "holds (1 of 1)" and record.about == {"m": "1,000", "C0": "10", "d": "25 to 400"}
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
    assert judged.about == {"m": "1,000", "C0": "10", "d": "100, 196, 400"}
    assert cells(judged)["exponent of ‖δ‖/‖x‖"] == "−0.50 ✓"
    assert cells(judged)["exponent of ‖δ‖/‖x‖, d ≥ 100"] == "−0.50"
    assert told.about == {"m": "1,000", "C0": "20", "d": "100, 196, 400"}
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
    assert verdict == "holds (3 of 3)" and record.about == {"m": "1,000", "C0": "10"}
    assert cells(record) == {"networks below 1%": "3 of 3", "mean test error": "0.20%"}
    assert examine(9, rows)[1] == "holds (3 of 3)"
    rows.append(ntk_row(28, 1000, 10, 1, test_error=0.0132, max_deviation=0.3163))
    (record, above), verdict = examine(1, rows)
    assert verdict == "partly (3 of 4)"
    assert cells(record) == {
        "networks below 1%": "3 of 4",
        "mean test error": "0.76 ± 7.12%",
        "largest mean over seeds": "0.76% (d = 784)",
    }
    assert above.about == {"m": "1,000", "C0": "10", "d": "784", "seed": "1"}
    assert cells(above) == {"test error of 1% or more": "1.32%"}
    (record,), verdict = examine(9, rows)
    assert verdict == "partly (3 of 4)" and cells(record)["networks in their ball"] == "3 of 4"
    assert cells(record)["largest deviation, in units of V"].startswith("1.0002")


def test_growth_with_C0_is_that_of_networks_that_left_their_ball():
    rows = [ntk_row(5, 10000, 20, 1, grad_norm_mean=99)]  # a seed that lacks balls
    for C0, left, grown in ((10, 1, 1), (20, 1, 1.5), (30, 0, 2), (40, 0, 2)):
        others = {"left_ball": left, "grad_norm_mean": grown, "eta_mean": 1 / grown, "rel_delta_mean": math.nan}
        rows.append(ntk_row(5, 10000, C0, 0, test_error=0.02 * (C0 == 40), **others))
    assert examine(1, rows)[1].startswith("holds")
    (record,), verdict = examine(5, rows)
    assert verdict == "partly (1 of 2)" and record.about == {"m": "10,000", "d": "25", "C0": "10, 20"}
    assert cells(record) == {"‖∇f‖": "× 1.50 ✓", "η": "× 0.67 ✗", "C0 that T ended": "30, 40"}
    assert len(record.rows) == 2 and claims.in_short([record]).endswith("C0 = 10, 20; one seed (0).")


def test_growth_with_C0_is_the_same_whichever_run_ended_first():
    rows = [
        ntk_row(5, 10000, C0, 0, grad_norm_mean=C0, eta_mean=1 / C0, rel_delta_mean=C0 * (C0 < 30))
        for C0 in (30, 10, 20)
    ]
    rows += [ntk_row(5, 10000, C0, 1, grad_norm_mean=1) for C0 in (40, 50, 60)]  # as many balls, but others
    rows += [ntk_row(7, 10000, 20 if seed else 10, seed) for seed in (0, 2)]  # no seed has two balls
    (record,), verdict = examine(5, rows)
    assert verdict == "partly (3 of 6)" and record.about == {"m": "10,000", "d": "25", "C0": "10, 20, 30"}
    assert cells(record) == {"‖∇f‖": "× 3.00 ✓✓", "η": "× 0.33 ✗✗", "‖δ‖/‖x‖": "× 0.00 ✓✗"}


def test_f_and_the_theorems_step_are_bounded_or_not():
    rows = [ntk_row(size, 1000, 10, 0) for size in (5, 10, 28)]
    (record,), verdict = examine(6, rows)
    # |f| / ||x|| = 0.4 / 0.3 * size / size, and (2 / size) * 0.7 size.
    assert verdict == "holds (2 of 2)" and record.about == {"m": "1,000", "C0": "10"}
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
    assert [number for number in range(1, 11) if examine(number, rows)[0]] == [1, 9]


# ------------------------------------------------------------------------------------------------------ Section 5.2

UP_TO_4, AT_50, SIDES, BEYOND_5 = (
    "robust accuracy at ε√d ≤ 4",
    "50% at ε√d",
    "runs on either side",
    "robust accuracy at ε√d > 5",
)


def line(size, accuracies, seed=0, **others):
    """Rows of advtrain.csv from a dict of eps times sqrt(d) to robust accuracy."""
    return [adversarial_row(size, 1000, 0.316, at / size, seed, robust, **others) for at, robust in accuracies.items()]


def test_where_robust_accuracy_drops():
    rows = []
    for size in (5, 10, 20):
        for seed, shift in enumerate((-0.1, 0.1)):
            # From 0.9 to 0.1, so 50% at 4.8 on average.
            accuracies = {2: 0.95, 4.2 + shift: 0.9, 5.4 + shift: 0.1, 6: 0.01}
            rows += line(size, accuracies, seed, T=100, epochs=100 if size == 5 and seed else 21)
    (*records, exponent), verdict = examine(7, left=rows)
    assert verdict == "partly (7 of 10)"  # that 0.1 beyond 5 is more than 0.05, three times
    half = 12.706 * 0.1  # two seeds: t of one degree of freedom, times the standard error
    measured = {
        UP_TO_4: "0.95 to 0.95 ✓",
        AT_50: f"4.8 ± {half:.1f} ✓",
        SIDES: "4.2 and 5.4",
        BEYOND_5: "0.01 to 0.10 ✗",
    }
    assert [record.about for record in records] == [{"d": "25"}, {"d": "100"}, {"d": "400"}]
    assert [cells(record) for record in records[1:]] == [measured, measured]
    assert cells(records[0]) == measured | {"runs that T ended": "4 of 8"}
    assert exponent.about == {} and cells(exponent) == {
        "ε at 50% goes like d to the power": "−0.50 ✓",
        "as the runs on either side allow": "−0.59 to −0.41",
    }
    assert claims.in_short([*records, exponent]).endswith(
        "24 runs: m = 1,000; d = 25, 100, 400; ε = 0.1 to 1.2; C0 = 10; seeds 0, 1."
    )


def test_the_exponent_of_the_drop_is_as_sure_as_its_brackets():
    across, brackets = [25, 100, 196, 784], [(0.6, 0.8), (0.31, 0.36), (0.2, 0.3), (0.1, 0.14)]
    found = np.array([[(low + high) / 2, low, high] for low, high in brackets])
    corners = [np.polyfit(np.log(across), np.log(corner), 1)[0] for corner in itertools.product(*brackets)]
    middle = np.polyfit(np.log(across), np.log(found[:, 0]), 1)[0]
    measured = claims.exponent_of_brackets(np.array(across), found)
    assert measured == pytest.approx((middle, min(corners), max(corners)))
    rows = [row for size, at in ((5, 2.0), (10, 2.4), (20, 3.0)) for row in line(size, {at: 0.9, at + 1: 0.1})]
    assert [*cells(examine(7, left=rows)[0][-1]).values()] == ["−0.38 ?", "−0.50 to −0.25"]


@pytest.mark.parametrize(
    "accuracies, told, verdict",
    [
        (
            {4: 0.9, 5: 0.5, 6: 0.0},
            {UP_TO_4: "0.90 to 0.90 ✓", AT_50: "5.0 ✓", SIDES: "5.0 and 6.0", BEYOND_5: "0.00 to 0.00 ✓"},
            "holds (3 of 3)",
        ),
        (
            {3: 0.9, 4: 0.1, 6: 0.0},
            {UP_TO_4: "0.10 to 0.90 ✗", AT_50: "3.5 ✗", SIDES: "3.0 and 4.0", BEYOND_5: "0.00 to 0.00 ✓"},
            "partly (1 of 3)",
        ),
        (
            {3.9: 0.9, 5.1: 0.1},
            {UP_TO_4: "0.90 to 0.90 ✓", AT_50: "4.5 ?", SIDES: "3.9 and 5.1", BEYOND_5: "0.10 to 0.10 ✗"},
            "partly (1 of 3, 1 undecided)",
        ),
        (
            {2.6: 0.9, 6: 0.0},
            {
                UP_TO_4: "0.90 to 0.90 ✓",
                AT_50: "between 2.6 and 6.0 ?",
                SIDES: "2.6 and 6.0",
                BEYOND_5: "0.00 to 0.00 ✓",
            },
            "partly (2 of 3, 1 undecided)",
        ),
        (
            {2.6: 0.1, 4: 0.0, 6: 0.0},
            {UP_TO_4: "0.00 to 0.10 ✗", AT_50: "before 2.6, the first run ✗", BEYOND_5: "0.00 to 0.00 ✓"},
            "partly (1 of 3)",
        ),
        ({4.5: 0.1, 4.6: 0.0}, {AT_50: "before 4.5, the first run ?"}, "open"),
        (
            {2.6: 0.9, 2.7: 0.8},
            {UP_TO_4: "0.80 to 0.90 ✗", AT_50: "after 2.7, the last run ?"},
            "fails (0 of 2, 1 undecided)",
        ),
        (
            {2.6: 0.9, 8: 0.8},
            {UP_TO_4: "0.90 to 0.90 ✓", AT_50: "after 8.0, the last run ✗", BEYOND_5: "0.80 to 0.80 ✗"},
            "partly (1 of 3)",
        ),
        (
            {4: 0.1, 5: 0.5, 6: 0.9},
            {UP_TO_4: "0.10 to 0.10 ✗", AT_50: "in no seed ✗", BEYOND_5: "0.90 to 0.90 ✗"},
            "fails (0 of 3)",
        ),
    ],
)
def test_a_drop_that_is_elsewhere_unseen_or_a_rise(accuracies, told, verdict):
    (record,), found = examine(7, left=line(5, accuracies))
    assert found == verdict and record.about == {"d": "25"} and cells(record) == told


def test_seeds_without_a_drop_are_told():
    rows = line(5, {4: 0.9, 5: 0.5, 6: 0.0}, 0) + line(5, {4: 0.4, 5: 0.1, 6: 0.0}, 1)
    (record,), _ = examine(7, left=rows)
    found = {AT_50: "5.0 ✓", SIDES: "5.0 and 6.0", "seeds that pass 50%": "1 of 2"}
    assert {name: cells(record)[name] for name in found} == found


def test_a_seed_with_few_runs_so_far_takes_nothing_from_the_others():
    rows = line(5, {4: 0.9, 5: 0.5, 6: 0.0}, 0)
    (alone,), _ = examine(7, left=rows)
    (record,), verdict = examine(7, left=rows + line(5, {2: 0.9, 6: 0.0}, 1))
    assert verdict == "holds (3 of 3)" and cells(record) == cells(alone) | {"seeds that pass 50%": "1 of 2"}


def test_seeds_on_either_side_of_50_percent_are_no_drop():
    (record,), _ = examine(7, left=line(5, {4.2: 0.9, 4.4: 0.8}, 0) + line(5, {4.6: 0.1, 4.8: 0.05}, 1))
    assert cells(record) == {AT_50: "in no seed ?"}


def test_where_robust_accuracy_rises_and_what_small_balls_cost():
    rows = []
    for width, lost in ((400, 0), (1600, 0.3)):
        for V in (0.2, 0.4, 0.6, 0.8, 1.0):
            robust = float(np.clip((V * width**0.5 - 16) / 20 + 0.5, 0, 1))
            others = {
                "test_acc": 0.99 - lost * (V < 0.5),
                "epochs": 21 if V < 0.5 else 30,
                "max_deviation": min(V, 0.7),
            }
            rows.append(adversarial_row(28, width, V, 0.2, 0, robust, **others))
    (small, large), verdict = examine(8, right=rows)
    assert verdict == "partly (1 of 5)"
    assert small.about == {"m": "400"} and cells(small) == {
        "robust accuracy at V√m ≤ 20": "0.00 to 0.70 ✗",
        "50% at V√m": "16.0 ✗",
        "runs on either side": "12.0 and 16.0",
        "runs never at the ball's border": "2 of 5",
    }
    assert large.about == {"m": "1,600"} and cells(large) == {
        "robust accuracy at V√m ≤ 20": "0.10 to 0.50 ✗",
        "50% at V√m": "16.0 ✗",
        "runs on either side": "8.0 and 16.0",
        "robust accuracy at V√m > 25": "1.00 to 1.00 ✓",
        "runs never at the ball's border": "2 of 5",
    }
    (small, large), verdict = examine(10, right=rows)
    assert verdict == "partly (6 of 8)"
    assert small.about == {"m": "400"} and cells(small) == {
        "test accuracy at the largest V": "99.0% (V = 1, 30 epochs)",
        "lowest test accuracy": "99.0% (V = 0.2, 21 epochs)",
        "other V at most 1% below": "4 of 4",
    }
    assert large.about == {"m": "1,600"} and cells(large) == {
        "test accuracy at the largest V": "99.0% (V = 1, 30 epochs)",
        "lowest test accuracy": "69.0% (V = 0.2, 21 epochs)",
        "other V at most 1% below": "2 of 4",
    }
    assert examine(7, right=rows) == ([], "–")


def test_runs_a_factor_of_2_apart_are_near_enough_at_every_width():
    widths = (250, 500, 1000, 2000, 4000, 8000, 16000)
    cells_of = [(width, V, robust) for width in widths for V, robust in ((0.1, 0.0), (0.2, 1.0))]
    (*records, _), _ = examine(
        8, right=[adversarial_row(28, width, V, 0.2, 0, robust) for width, V, robust in cells_of]
    )
    assert len(records) == len(widths)
    for width, record in zip(widths, records):
        low, place, high = (V * width**0.5 for V in (0.1, 0.15, 0.2))
        assert cells(record)["50% at V√m"].startswith(f"{place:.1f} ")
        assert cells(record)["runs on either side"] == f"{low:.1f} and {high:.1f}"


# ------------------------------------------------------------------------------------------------------- claims.md


def below(text, heading):
    """What is below a heading of any level, up to the next one."""
    return text.split(f"# {heading}\n", 1)[1].split("\n#")[0]


def table(text):
    """The cells of the tables in the text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def summary(text):
    """The table of all claims, with its head but without the rule."""
    head, _, *lines = table(below(text, "The paper's claims, checked against the runs"))
    return [head, *lines]


def test_the_table_of_claims_has_the_settings_with_most_runs():
    default = line(5, {4: 0.9, 6: 0.0})
    other = line(5, {4: 0.9, 5: 0.5, 6: 0.0}, T=100) + line(5, {3: 0.9, 4: 0.1}, T=100, bias=1, box=1)
    text = tell(left=[*default, *other])
    head, *lines = summary(text)
    assert head == ["", "claim", "paper's formulas", "authors' bias and box", "settings"] and len(lines) == 10
    title = claims.CLAIMS[6].title
    assert lines[6] == ["7", title, "holds (3 of 3)", "fails (0 of 2)", "T=100"]
    assert lines[0] == ["1", claims.CLAIMS[0].title, "–", "–", ""]
    assert lines[8][2:] == ["holds (3 of 3)", "holds (2 of 2)", "T=100"]
    assert text.index(f"## 7. {title}\n") < text.index("## Other settings") < text.index(f"### 7. {title}: default")
    assert "## 1. " not in text
    # On a tie the default settings come first.
    tied = tell(left=default + line(5, {4: 0.9, 6: 0.0}, T=100))
    assert summary(tied)[7][2:] == ["holds (3 of 3)", "–", ""] and f"### 7. {title}: T=100\n" in tied


def test_a_section_has_the_papers_words_the_criterion_and_a_table_for_each_protocol():
    text = tell([ntk_row(size, 1000, 10, 0) for size in (5, 10, 28)])
    section = below(text, "6. |f| and η‖∇f‖² are O(1)")
    paper, holds_if, formulas, _, authors = section.strip().split("\n\n")
    assert paper.startswith("The paper: ") and "(Lemma 4.1)" in paper
    assert holds_if.startswith("Holds if ") and "at most 0.1" in holds_if
    basis = "3 runs: m = 1,000; d = 25, 100, 784; C0 = 10; one seed (0)."
    assert formulas == f"**Paper's formulas**: holds (2 of 2). {basis}"
    assert authors == "**Authors' bias and box**: no runs that could tell."
    head, rule, measured = table(section)
    assert head == ["m", "C0", r"\|f\|/‖x‖", r"exponent of \|f\|/‖x‖", "η‖∇f‖²/‖x‖", "exponent of η‖∇f‖²/‖x‖"]
    assert {*"".join(rule)} == {"-"} and measured == ["1,000", "10", "1.33 to 1.33", "0.00 ✓", "1.40 to 1.40", "0.00 ✓"]


def test_columns_without_a_measurement_are_left_out_and_others_line_up():
    def record(about, **texts):
        return claims.Record(about, {name: claims.Cell(text) for name, text in texts.items()}, [])

    same = [record({"m": "1"}, a="", b="2 of 10", c="none"), record({"m": "10"}, a="", b="none", c="none")]
    assert claims.tables_of([same[0], record({}, d="x|y"), same[1]]) == [
        "| m  | b       |\n| -- | ------- |\n| 1  | 2 of 10 |\n| 10 | none    |\n",
        "| d    |\n| ---- |\n| x\\|y |\n",
    ]


def test_runs_with_bias_or_box_alone_are_counted_and_in_no_column():
    text = tell(right=[adversarial_row(28, 400, 0.3, 0.2, 0, 0.5, box=1)])
    assert "\n## 1" not in text and all(row[2:4] == ["–", "–"] for row in summary(text)[1:])
    assert text.endswith("Left out: 1 run of Section 5.2 with `--bias` or `--box` alone.\n")


def test_no_cell_is_long():
    rows = [ntk_row(size, 1000, C0, seed, test_error=0.02) for size in (5, 7, 10) for C0 in (10, 20) for seed in (0, 1)]
    accuracies = {2: 0.95, 2.5: 0.9, 7: 0.1}
    text = tell(rows, line(5, accuracies) + line(6, accuracies), [adversarial_row(28, 400, 0.3, 0.2, 0, 0.5)])
    cells = [cell for row in table(text) for cell in row]
    assert len(cells) > 200 and max(map(len, cells)) <= 80 and "<br>" not in text
