"""The paper's claims, held against the rows of the results: CLAIMS, and `tell`, which words them as claims.md.

A claim's function takes the runs of one protocol, a dict of script to rows (`lib.groups.SCRIPTS`), and returns Records.
They are empty where there are no runs that could tell.
"""

import itertools
import math
import textwrap
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lib.groups import (
    ADVERSARIAL_SETTINGS,
    SCRIPTS,
    SETTINGS,
    Crossing,
    by_settings,
    crossings,
    ended_by_T,
    fix,
    grouped,
    left_of_figure4,
    right_of_figure4,
)

SYMBOLS = {"width": "m", "d": "d", "eps": "ε", "C0": "C0", "V": "V", "seed": "seed"}
PROTOCOLS = {(0, 0): "Paper's formulas", (1, 1): "Authors' bias and box"}

# 97.5% quantiles of Student's t at 1, 2, ... degrees of freedom, for 2 to 10 seeds.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Cell(NamedTuple):
    """What was measured, in words, and the checks made of it: True, False, or None where the runs cannot tell."""

    text: str
    checks: tuple = ()


class Record(NamedTuple):
    """A line of a claim's table: what it is about and what was measured, by column, and the rows it rests on."""

    about: dict[str, str]
    cells: dict[str, Cell]
    rows: list[dict]


class Claim(NamedTuple):
    """A claim of the paper: in brief, in its own words with their place, what is asked for, and who looks for it."""

    title: str
    source: str
    criterion: str
    examine: Callable[[dict], list[Record]]


class Section(NamedTuple):
    """What the runs with some settings say of a claim: a list of Records for each of the PROTOCOLS."""

    number: int
    settings: tuple
    findings: list[list[Record]]


# ------------------------------------------------------------------------------------------------ numbers in words


def mark(check):
    return {True: "✓", False: "✗", None: "?"}[check]


def judged(text, *checks):
    return Cell(f"{text} {''.join(map(mark, checks))}", checks)


def counted(checks):
    return Cell(f"{sum(checks)} of {len(checks)}", tuple(checks))


def span(rows, column):
    values = [f"{value:,.10g}" for value in grouped(rows, column)]
    return ", ".join(values) if len(values) < 4 else f"{values[0]} to {values[-1]}"


def about(rows, *columns):
    return {SYMBOLS[column]: span(rows, column) for column in columns}


def decimal(value, digits=2):
    return f"{round(value, digits) + 0:.{digits}f}".replace("-", "−")


def extent(values):
    return f"{min(values):.2f} to {max(values):.2f}"


def over_seeds(values, digits=2):
    """The mean of the values, one for each seed, as text, with half the width of its 95% t interval."""
    mean = decimal(np.mean(values), digits)
    if len(values) < 2:
        return mean
    half = T_QUANTILES[min(len(values) - 2, 8)] * np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{mean} ± {half:.{digits}f}"


def how_many(rows, condition):
    count = sum(map(condition, rows))
    return Cell(f"{count} of {len(rows)}" if count else "none")


def ratio(numerator, denominator):
    return numerator / denominator if denominator else math.nan


def distinct(rows):
    """Each of the rows once: several cells may rest on the same."""
    return list({id(row): row for row in rows}.values())


# ------------------------------------------------------------------------------------ Section 5.1, Figures 2 and 3


def small_test_error(runs):
    """Whether each network has a test error below 1%: a Record for each (m, C0), and one for each that has not."""
    records = []
    for group in grouped(networks(runs["ntk_normal"]), "width", "C0").values():
        means = [100 * np.mean([row["test_error"] for row in cell]) for cell in grouped(group, "seed").values()]
        by_d = {d: np.mean([row["test_error"] for row in cell]) for d, cell in grouped(group, "d").items()}
        worst = max(by_d, key=by_d.get)
        cells = {
            "networks below 1%": counted([row["test_error"] < 0.01 for row in group]),
            "mean test error": Cell(f"{over_seeds(means)}%"),
            "largest mean over seeds": Cell(f"{by_d[worst]:.2%} (d = {worst:g})" if len(means) > 1 else ""),
        }
        records.append(Record(about(group, "width", "C0"), cells, group))
        for row in group:
            if row["test_error"] >= 0.01:
                cells = {"test error of 1% or more": Cell(f"{row['test_error']:.2%}")}
                records.append(Record(about([row], "width", "C0", "d", "seed"), cells, [row]))
    return records


def networks(trained):
    """The rows of ntk_normal.csv, one a network: all the balls that T epochs did not leave have the same."""
    kept = {}
    for row in trained:
        kept.setdefault((row["size"], row["width"], row["seed"], None if ended_by_T(row) else row["C0"]), row)
    return list(kept.values())


def power_of_d(power, quantities, others=None):
    """Whether the quantities, a dict of name to function of a row, go like d^power; only C0 = 10 is judged.

    others is a function of the rows that were used, to a dict of further cells.
    """

    def examine(runs):
        records = []
        for group in grouped(runs["ntk_normal"], "width", "C0").values():
            cells, used = {}, []
            for name, quantity in quantities.items():
                fitted, rows = exponents(group, quantity)
                cells |= exponent_cells(name, quantity, fitted, rows, power if group[0]["C0"] == 10 else None)
                used += rows
            if used:
                used = distinct(used)
                cells |= {"runs that T ended": how_many(used, ended_by_T)} | (others(used) if others else {})
                records.append(Record(about(used, "width", "C0", "d"), cells, used))
        return records

    return examine


def exponent_cells(name, quantity, fitted, rows, power):
    """The cells of a quantity's exponent in d, judged unless power is None; fitted and rows are `exponents` of it."""
    over_all, from_100 = f"exponent of {name}", f"exponent of {name}, d ≥ 100"
    if not fitted:
        return {over_all: Cell(""), from_100: Cell("")}
    if power is None:
        return {over_all: Cell(over_seeds(fitted)), from_100: Cell("")}
    upper, _ = exponents([row for row in rows if row["d"] >= 100], quantity)
    return {
        over_all: judged(over_seeds(fitted), abs(np.mean(fitted) - power) <= 0.1),
        from_100: Cell(over_seeds(upper) if upper else ""),
    }


def exponents(rows, quantity):
    """The slope of log(quantity) over log(d) for each seed that has the usual sizes, and those seeds' rows.

    Usual are sizes, three at least, that half of the seeds have.
    """
    by_seed = grouped(rows, "seed").values()
    sizes = {size for size, cell in grouped(rows, "size").items() if 2 * len(cell) >= len(by_seed)}
    slopes, used = [], []
    for cell in by_seed:
        cell = [row for row in cell if row["size"] in sizes]
        values = np.array([quantity(row) for row in cell])
        if len(cell) == len(sizes) >= 3 and (np.isfinite(values) & (values > 0)).all():
            slopes.append(np.polyfit(np.log([row["d"] for row in cell]), np.log(values), 1)[0])
            used += cell
    return slopes, used


def eta_at_norm_1(row):
    """η at x/‖x‖, or NaN with bias, where f is not proportional to x."""
    return math.nan if row["bias"] else ratio(row["rel_delta_mean"], row["grad_norm_mean"])


def scaled_steps(rows):
    high = max((row["rel_delta_mean"] + 2 * row["rel_delta_std"]) * row["size"] for row in rows)
    return {
        "examples that never flip": Cell(f"{sum(row['no_flip'] for row in rows):,g}"),
        "mean ‖δ‖/‖x‖·√d": Cell(extent([row["rel_delta_mean"] * row["size"] for row in rows])),
        "plus 2 standard deviations": Cell(f"{high:.2f}"),
    }


def scaled_gradients(rows):
    return {"mean ‖∇f‖/√d": Cell(extent([row["grad_norm_mean"] / row["size"] for row in rows]))}


def bounded(runs):
    """Whether |f| and η‖∇f‖² at inputs of norm 1 stay bounded in d: a Record for each m."""
    quantities = {
        "|f|/‖x‖": lambda row: row["abs_f_mean"] * ratio(row["rel_delta_mean"], row["delta_norm_mean"]),
        "η‖∇f‖²/‖x‖": lambda row: row["rel_delta_mean"] * row["grad_norm_mean"],
    }
    records = []
    trained = [row for row in runs["ntk_normal"] if not row["bias"]]  # with bias f at norm 1 is not f/‖x‖
    for group in grouped(fix(trained, "C0", 10, "width", "size"), "width").values():
        cells, used = {}, []
        for name, quantity in quantities.items():
            fitted, rows = exponents(group, quantity)
            cells |= {name: Cell(""), f"exponent of {name}": Cell("")}
            if fitted:
                values = [np.mean([quantity(row) for row in cell]) for cell in grouped(rows, "d").values()]
                cells[name] = Cell(extent(values))
                cells[f"exponent of {name}"] = judged(over_seeds(fitted), np.mean(fitted) <= 0.1)
                used += rows
        if used:
            records.append(Record(about(used, "width", "C0"), cells, distinct(used)))
    return records


def grows_with_C0(runs):
    """Whether the three quantities of Figure 3 grow with C0: a Record for each d."""
    quantities = {"‖∇f‖": "grad_norm_mean", "η": "eta_mean", "‖δ‖/‖x‖": "rel_delta_mean"}
    records = []
    for cell in grouped(fix(runs["ntk_normal"], "width", 100000, "C0", "size"), "d").values():
        paths = paths_through_the_same_balls(cell)
        cells = {name: growth(paths, column) for name, column in quantities.items()}
        if any(measured.checks for measured in cells.values()):
            rows = [row for path in paths for row in path]
            cells["C0 that T ended"] = Cell(span([row for row in cell if ended_by_T(row)], "C0") or "none")
            records.append(Record(about(rows, "width", "d", "C0"), cells, rows))
    return records


def paths_through_the_same_balls(cell):
    """The rows, in the order of C0, of each seed whose network left the same balls, as many as any seed's did.

    Only these can be averaged step by step. A network that T ended did not get as far as its C0.
    """
    left = [row for row in cell if not ended_by_T(row)]
    paths = grouped(left, "seed").values()
    balls = [[row["C0"] for row in path] for path in paths]
    most = max(balls, key=lambda own: (len(own), balls.count(own)), default=[])
    return [path for path, own in zip(paths, balls) if own == most]


def growth(paths, column):
    """The factor by which the column grows from the first C0 to the last, and whether it grows at each step."""
    factors = [[ratio(after[column], before[column]) for before, after in itertools.pairwise(path)] for path in paths]
    if not np.size(factors) or not np.isfinite(factors).all():
        return Cell("")
    return judged(f"× {over_seeds([np.prod(factor) for factor in factors])}", *(np.mean(factors, axis=0) > 1))


# ---------------------------------------------------------------------------------------------- Section 5.2, Figure 4


def threshold(script, select, across, up, constant, falls):
    """Whether robust test accuracy falls, or rises, past 50% at up = constant / sqrt(across)."""
    scaled, near = f"{SYMBOLS[up]}√{SYMBOLS[across]}", 0.8 * constant

    def examine(runs):
        records, halves = [], {}
        for value, cell in grouped(select(runs[script]), across).items():
            by_seed = [
                [(round(row[up] * math.sqrt(value), 9), row["robust_test_acc"]) for row in line]
                for line in grouped(cell, "seed").values()
            ]
            passed = crossings(by_seed, falls)
            found = Crossing(*np.mean(passed, axis=0).round(9)) if passed else None
            if found and np.isfinite(found.place):
                halves[value] = np.array(found) / math.sqrt(value)
            some = 0 < len(passed) < len(by_seed)
            cells = {
                f"robust accuracy at {scaled} ≤ {near:g}": one_side(by_seed, -math.inf, near, falls),
                f"50% at {scaled}": half(by_seed, passed, found, constant, falls),
                "runs on either side": Cell(f"{found.low:.1f} and {found.high:.1f}" if found else ""),
                "seeds that pass 50%": Cell(f"{len(passed)} of {len(by_seed)}" if some else ""),
                f"robust accuracy at {scaled} > {constant:g}": one_side(by_seed, constant, math.inf, not falls),
                "runs that T ended": how_many(cell, ended_by_T),
                "runs never at the ball's border": how_many(cell, lambda row: row["max_deviation"] < 0.99 * row["V"]),
            }
            records.append(Record(about(cell, across), cells, cell))
        return records + exponent_of_halves(halves, SYMBOLS[across], SYMBOLS[up])

    return examine


def one_side(by_seed, above, up_to, robust):
    """Robust accuracies of all seeds at the places in a range: at least 0.9 if networks should be robust there.

    If they should not, at most 0.05.
    """
    accuracies = [accuracy for line in by_seed for place, accuracy in line if above < place <= up_to]
    if not accuracies:
        return Cell("")
    return judged(extent(accuracies), min(accuracies) >= 0.9 if robust else max(accuracies) <= 0.05)


def half(by_seed, passed, found, constant, falls):
    """Where robust accuracy passes 50%, judged by whether that is within 20% of the constant.

    passed are the seeds' `crossings`, found is the mean of these or None.
    """
    least, most = 0.8 * constant, 1.2 * constant
    if found:
        between = f"between {found.low:.1f} and {found.high:.1f}"
        told = between if np.isnan(found.place) else over_seeds([crossing.place for crossing in passed], 1)
        return judged(told, within(found.low, found.high, least, most))
    points = sorted(point for line in by_seed for point in line)
    sides = [{accuracy >= 0.5 for _, accuracy in line} for line in by_seed]
    if len(set.union(*sides)) == 2:
        # A seed with runs on both sides passes 50% the wrong way; seeds on either side may each pass it elsewhere.
        return judged("in no seed", False if {True, False} in sides else None)
    if (points[0][1] >= 0.5) == falls:
        return judged(f"after {points[-1][0]:.1f}, the last run", False if points[-1][0] >= most else None)
    return judged(f"before {points[0][0]:.1f}, the first run", False if points[0][0] <= least else None)


def within(low, high, least, most):
    """Whether a number known to lie from low to high lies from least to most, None if the bracket cannot tell."""
    return True if least <= low and high <= most else False if high <= least or low >= most else None


def exponent_of_halves(halves, across, up):
    """A Record on how the place of 50% goes with across; halves is a dict of across to (place, low, high)."""
    if len(halves) < 3:
        return []
    power, least, most = exponent_of_brackets(np.array(list(halves)), np.array(list(halves.values())))
    cells = {
        f"{up} at 50% goes like {across} to the power": judged(decimal(power), within(least, most, -0.6, -0.4)),
        "as the runs on either side allow": Cell(f"{decimal(least)} to {decimal(most)}"),
    }
    return [Record({}, cells, [])]


def exponent_of_brackets(across, found):
    """The slope of log(place) over log(across), and the least and the most of it within the brackets.

    found has a line (place, low, high) for each value of across.
    """
    logs = np.log(across) - np.log(across).mean()
    ends = np.log(found) * (logs / np.square(logs).sum())[:, None]
    return ends[:, 0].sum(), ends[:, 1:].min(axis=1).sum(), ends[:, 1:].max(axis=1).sum()


def keeps_test_accuracy(runs):
    """Whether small balls, which project most, cost test accuracy: a Record for each m."""
    records = []
    for cell in grouped(right_of_figure4(runs["advtraingap"]), "width").values():
        by_V = grouped(cell, "V")
        mean = {V: np.mean([row["test_acc"] for row in same]) for V, same in by_V.items()}
        if len(by_V) > 1:
            largest, worst = max(mean), min(mean, key=mean.get)
            at_largest, at_worst = (
                Cell(f"{mean[V]:.1%} (V = {V:g}, {np.mean([row['epochs'] for row in by_V[V]]):g} epochs)")
                for V in (largest, worst)
            )
            cells = {
                "test accuracy at the largest V": at_largest,
                "lowest test accuracy": at_worst,
                "other V at most 1% below": counted([mean[V] >= mean[largest] - 0.01 for V in sorted(mean)[:-1]]),
            }
            records.append(Record(about(cell, "width"), cells, cell))
    return records


def in_the_ball(runs):
    """Whether every network lies in its lazy ball (Definition 2.1): one Record."""
    rows = [row for script in SCRIPTS for row in runs[script]]
    if not rows:
        return []
    deviations = [row["max_deviation"] / row["V"] for row in rows]
    cells = {
        "networks in their ball": counted([deviation <= 1 for deviation in deviations]),
        "largest deviation, in units of V": Cell(f"{max(deviations):.9f}"),
    }
    return [Record({}, cells, rows)]


# ---------------------------------------------------------------------------------------------------- the claims

CLAIMS = [
    Claim(
        "Every trained network has a test error below 1%",
        "“each of the trained models achieves a test error of less than 1%” (Section 5.1)",
        "each network has a test error below 1%. Balls that T epochs did not leave hold the same network; it counts "
        "once.",
        small_test_error,
    ),
    Claim(
        "A step of size ‖δ‖/‖x‖ = O(1/√d) flips every example",
        "“the minimum size of the perturbation vector (normalized by the input norm)” behaves as O(1/√d) (Section "
        "5.1, Figure 2 left); “a single gradient step on f suffices” for any x (Section 3, Theorem 3.1)",
        "the mean of ‖δ‖/‖x‖ falls like 1/√d: its fitted exponent is within 0.1 of −1/2. Only C0 = 10, as in Figure "
        "2, is judged. The last column adds two standard deviations over the test examples to the largest mean.",
        power_of_d(-0.5, {"‖δ‖/‖x‖": lambda row: row["rel_delta_mean"]}, scaled_steps),
    ),
    Claim(
        "The gradient norm ‖∇f‖ is roughly Ω(√d)",
        "“the gradient norm behaves roughly as Ω(√d)” (Section 5.1, Figure 2 middle); ‖∇f‖ ≥ √d/4 (Lemma 4.2)",
        "the mean of ‖∇f‖ grows like √d: its fitted exponent is within 0.1 of 1/2. Only C0 = 10, as in Figure 2, is "
        "judged. The last column is to be compared with the 1/4 of Lemma 4.2.",
        power_of_d(0.5, {"‖∇f‖": lambda row: row["grad_norm_mean"]}, scaled_gradients),
    ),
    Claim(
        "The step size η is O(1/d)",
        "“the minimum step-size required to flip the label” behaves as O(1/d) (Section 5.1, Figure 2 right; Theorem "
        "3.1)",
        "the means of η and of (‖δ‖/‖x‖)/‖∇f‖ fall like 1/d: their fitted exponents are within 0.1 of −1. The second "
        "is η at inputs of norm 1, and its exponent the difference of those of claims 2 and 3. Only C0 = 10, as in "
        "Figure 2, is judged.",
        power_of_d(-1, {"η": lambda row: row["eta_mean"], "(‖δ‖/‖x‖)/‖∇f‖": eta_at_norm_1}),
    ),
    Claim(
        "With C0, ‖∇f‖ and η grow, and so does ‖δ‖",
        "“as C0 increases, both the size of the gradient and the minimum step size required to flip the label "
        "increase, thereby increasing the size of the perturbation vector” (Section 5.1, Figure 3, at m = 100,000)",
        "each of ‖∇f‖, η and ‖δ‖/‖x‖ is larger at each C0 than at the one before, at every d. Only networks that left "
        "their ball count. A cell gives the growth from the first C0 to the last, and a mark for each step between.",
        grows_with_C0,
    ),
    Claim(
        "|f| and η‖∇f‖² are O(1)",
        "|f| ≤ 2√log(2/γ) + C0 with probability 1 − γ (Lemma 4.1); |η| = C2/‖∇f‖² (Theorem 3.1)",
        "neither |f|/‖x‖ nor η‖∇f‖²/‖x‖ grows with d: their fitted exponents are at most 0.1. The ranges are over d, "
        "of means over seeds.",
        bounded,
    ),
    Claim(
        "Networks are robust below ε = 5/√d and not above",
        "“for perturbation sizes slightly larger than 5/√d, the robust accuracy drops to 0, while the trained "
        "networks are robust against smaller perturbations” (Section 5.2, Figure 4 left)",
        "at every d robust accuracy is at least 0.9 up to ε√d = 4, passes 50% between 4 and 6, and is at most 0.05 "
        "beyond 5. Also, ε at 50% must go like a power of d within 0.1 of −1/2.",
        threshold("advtrain", left_of_figure4, "d", "eps", 5, falls=True),
    ),
    Claim(
        "Networks are robust just past V = 25/√m and not before",
        "“even a slight deviation from the 25/√m radius allows for training networks that are completely robust "
        "against the PGD attacks. With a smaller radius, however, the robust test accuracy quickly drops to 0” "
        "(Section 5.2, Figure 4 right)",
        "at every m robust accuracy is at most 0.05 up to V√m = 20, passes 50% between 20 and 30, and is at least "
        "0.9 beyond 25. Also, V at 50% must go like a power of m within 0.1 of −1/2.",
        threshold("advtraingap", right_of_figure4, "width", "V", 25, falls=False),
    ),
    Claim(
        "Every network lies in its lazy ball",
        "“the models that our training algorithm returns are guaranteed to satisfy the lazy regime assumption” "
        "(Section 5.1; Definition 2.1); “after each gradient step, we project the weights” (Section 5.2)",
        "each network's largest deviation is at most V.",
        in_the_ball,
    ),
    Claim(
        "The projection does not hurt the test accuracy",
        "the projection “does not hurt the test accuracy of the trained models” (Section 5.2)",
        "at every m and V the test accuracy is at most 1% below that at the largest V, which projects least.",
        keeps_test_accuracy,
    ),
]


# ------------------------------------------------------------------------------------------------------- claims.md

HEAD = """# The paper's claims, checked against the runs

This file says how ten claims of the paper fare in the runs of the results folder. Each claim is split into checks, such
as one for each width. The table says how many of them hold:

- *holds (35 of 35)*: all 35 checks hold.
- *partly (5 of 18)*: 5 of 18 checks hold. Of the others some fail, or are undecided.
- *fails (0 of 14)*: no check holds.
- *open*: the runs are too few or too far apart to decide any check.
- –: no runs could tell.

*Paper's formulas* are runs of the network and the attack as the paper writes them. *Authors' bias and box* are runs
with a trained bias (`--bias`) and, in Section 5.2, with attacks clipped to pixels from 0 to 1 (`--box`), as in the
authors' scripts. What else these scripts do differently is in docs/protocol.md, and not in these runs.

A claim may have runs with several settings. Its line is of those with most runs. The last column names the settings
that are not the scripts' defaults.
"""

READING = """## How to read the sections

Each section quotes the paper, says when we take the claim to hold, and gives a table for each protocol. The tolerances
are ours, since the paper has none. A check that holds has a ✓, one that fails a ✗, and one that the runs cannot decide
a ?. Where a check is made of many networks, a cell counts those for which it holds.

The input has dimension d, and the network has width m. Its weights stay in the lazy ball, which has the radius
V = C0/√m around the initial weights. The smallest step that flips the prediction for an example x is δ = η∇f(x). The
attacks of Section 5.2 move x by ε at most. T is the largest number of epochs.

- *Measured values* are means over the test examples. Ratios and products are of these means.
- *0.35 ± 0.11* is a mean over seeds with half the width of its 95% t interval. It tells how the seeds scatter, not how
  well a power law fits. A number without ± is of one seed, or of all runs together.
- *The exponent of ‖∇f‖* is the a for which d^a fits ‖∇f‖ best: the slope of log ‖∇f‖ over log d.
- *Runs that T ended* were still training after T epochs. Their robust accuracy might rise further, and they might yet
  leave a larger ball.
- *Inputs of norm 1* are what Theorem 3.1 assumes. Without bias f(cx) = c f(x) for c > 0. So |f|/‖x‖, η‖∇f‖²/‖x‖ and
  (‖δ‖/‖x‖)/‖∇f‖ are the values of |f|, η‖∇f‖² and η at x/‖x‖.
- *Where robust accuracy passes 50%* is interpolated between two neighbouring runs, if they are no more than a factor of
  2 apart. It is given as ε√d or V√m.

Theorem 3.1 also assumes d^2.4 ≤ m ≤ C4 exp(d^0.24), with a constant C4 that it does not name. Of the 21 pairs of d and
m in the paper's Figure 2, 4 meet the first condition: d = 25 at m = 10,000, and d = 25, 49, 100 at m = 100,000. None of
these meets the second unless C4 is 1,147 or more.

`plot_figures.py` writes this file from the rows alone.
"""


def tell(rows: dict[str, list[dict]]) -> str:
    """The text of claims.md, from the rows of each script."""
    tables, left_out = by_protocol(rows)
    sections = [
        Section(number, settings, [claim.examine(protocols[key]) for key in PROTOCOLS])
        for settings, protocols in sorted(tables.items())
        for number, claim in enumerate(CLAIMS, start=1)
    ]
    sections = [section for section in sections if any(section.findings)]
    main = {}
    for section in sections:  # the default settings come first, and stay on a tie
        if section.number not in main or how_many_runs(section) > how_many_runs(main[section.number]):
            main[section.number] = section
    text = [HEAD, summary(main), READING]
    text += [tell_section(main[number]) for number in sorted(main)]
    others = [section for section in sections if section is not main[section.number]]
    if others:
        text.append("## Other settings\n\nThe claims and what is asked for are those above.\n")
        text += [tell_section(section, again=True) for section in others]
    if left_out:
        runs = "1 run" if left_out == 1 else f"{left_out} runs"
        text.append(f"Left out: {runs} of Section 5.2 with `--bias` or `--box` alone.\n")
    return "\n".join(text)


def by_protocol(rows):
    """A dict of settings to protocol to script to rows, and how many runs are of neither of the PROTOCOLS."""
    tables, left_out = {}, 0
    for script in SCRIPTS:
        usual = ADVERSARIAL_SETTINGS
        if script == "ntk_normal":
            usual = {name: value for name, value in SETTINGS.items() if name != "bias"}  # it makes the protocol
        for settings, (runs,) in by_settings(usual, rows[script]).items():
            for row in runs:
                protocol = row["bias"], row.get("box", row["bias"])
                if protocol in PROTOCOLS:
                    empty = {key: {name: [] for name in SCRIPTS} for key in PROTOCOLS}
                    tables.setdefault(settings, empty)[protocol][script].append(row)
                else:
                    left_out += 1
    return tables, left_out


def rows_of(records):
    return distinct(row for record in records for row in record.rows)


def how_many_runs(section):
    return sum(len(rows_of(records)) for records in section.findings)


def verdict(records, undecided_too=False):
    """The records' checks in a word, with the share that holds and, if asked for, how many of them are undecided."""
    if not records:
        return "–"
    checks = [check for record in records for cell in record.cells.values() for check in cell.checks]
    undecided, holding = sum(check is None for check in checks), sum(map(bool, checks))
    if undecided == len(checks):
        return "open"
    word = "holds" if holding == len(checks) else "partly" if holding else "fails"
    return f"{word} ({holding} of {len(checks)}{f', {undecided} undecided' * (undecided_too and undecided > 0)})"


def summary(main):
    """The table of all claims; main is a dict of a claim's number to its Section."""
    head = ["", "claim", *(name.lower() for name in PROTOCOLS.values()), "settings"]
    lines = []
    for number, claim in enumerate(CLAIMS, start=1):
        section = main.get(number, Section(number, (), [[] for _ in PROTOCOLS]))
        verdicts = [verdict(records) for records in section.findings]
        lines.append([str(number), claim.title, *verdicts, ", ".join(section.settings)])
    return table(head, lines)


def tell_section(section, again=False):
    """The section in words; without what the claim says and asks for if that was told before."""
    claim, settings = CLAIMS[section.number - 1], ", ".join(section.settings)
    if again:
        text = [f"### {section.number}. {claim.title}: {settings or 'default settings'}\n"]
    else:
        text = [f"## {section.number}. {claim.title}\n"]
        text += [paragraph(f"The paper: {claim.source}."), paragraph(f"Holds if {claim.criterion}")]
        text += [paragraph(f"Settings: {settings}.")] if settings else []
    for name, records in zip(PROTOCOLS.values(), section.findings):
        text += [f"**{name}**: {in_short(records)}\n", *tables_of(records)]
    return "\n".join(text)


def in_short(records):
    """The verdict on the records, and what they rest on."""
    if not records:
        return "no runs that could tell."
    rows = rows_of(records)
    # The ball is told by its C0 or its V, by whichever takes fewer digits.
    ball = min("C0", "V", key=lambda column: len("".join(f"{value:.10g}" for value in grouped(rows, column))))
    columns = [column for column in ("width", "d", "eps", ball) if column in rows[0]]
    seeds = span(rows, "seed")
    seeds = f"one seed ({seeds})" if len(grouped(rows, "seed")) == 1 else f"seeds {seeds}"
    runs = "1 run" if len(rows) == 1 else f"{len(rows)} runs"
    told = verdict(records, undecided_too=True)
    return f"{told}. {runs}: {'; '.join(f'{SYMBOLS[column]} = {span(rows, column)}' for column in columns)}; {seeds}."


def tables_of(records):
    """A table for all records that are about the same columns, without columns in which nothing was measured."""
    texts = []
    for columns in dict.fromkeys(tuple(record.about) for record in records):
        same = [record for record in records if tuple(record.about) == columns]
        measured = [name for name in same[0].cells if {record.cells[name].text for record in same} - {"", "none"}]
        lines = [[*record.about.values(), *(record.cells[name].text or "–" for name in measured)] for record in same]
        texts.append(table([*columns, *measured], lines))
    return texts


def table(head, lines):
    """A Markdown table whose columns line up in plain text, too."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (head, *lines)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths)] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def paragraph(text):
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"
