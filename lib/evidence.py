"""What the rows of the results say of each of the paper's claims: a function for each claim of lib/claims.py.

It takes the runs of one protocol, a dict of script to rows (`lib.groups.SCRIPTS`), and returns Records. They are empty
where there are no runs that could tell.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from lib.groups import (
    SCRIPTS,
    Crossing,
    crossings,
    exponents,
    grouped,
    keep_one_value,
    left_of_figure4,
    right_of_figure4,
    width_of_figure3,
    with_most_runs,
)
from lib.results import ended_by_T, inside_the_border, never_robust

SYMBOLS = {"width": "m", "d": "d", "eps": "ε", "C0": "C0", "V": "V", "normalize": "inputs", "seed": "seed"}
INPUTS = {0: "pixels", 1: "norm 1"}

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


# ------------------------------------------------------------------------------------------------ numbers in words


def mark(check):
    return {True: "✓", False: "✗", None: "?"}[check]


def judged(text, *checks):
    return Cell(f"{text} {''.join(map(mark, checks))}".rstrip(), checks)


def counted(checks):
    return Cell(f"{sum(checks)} of {len(checks)}", tuple(checks))


def span(rows, column):
    values = [INPUTS[value] if column == "normalize" else f"{value:,.10g}" for value in grouped(rows, column)]
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
    """Whether each network has a test error below 1%: a Record for each curve, and one for each network that has not."""
    records = []
    for group in curves(networks(runs["ntk_normal"])):
        means = [100 * np.mean([row["test_error"] for row in cell]) for cell in grouped(group, "seed").values()]
        by_d = {d: np.mean([row["test_error"] for row in cell]) for d, cell in grouped(group, "d").items()}
        worst = max(by_d, key=by_d.get)
        cells = {
            "networks below 1%": counted([row["test_error"] < 0.01 for row in group]),
            "mean test error": Cell(f"{over_seeds(means)}%"),
            "largest mean over seeds": Cell(f"{by_d[worst]:.2%} (d = {worst:g})" if len(means) > 1 else ""),
        }
        records.append(Record(about(group, "width", "C0", "normalize"), cells, group))
        for row in group:
            if row["test_error"] >= 0.01:
                cells = {"test error of 1% or more": Cell(f"{row['test_error']:.2%}")}
                records.append(Record(about([row], "width", "C0", "normalize", "d", "seed"), cells, [row]))
    return records


def curves(trained):
    """The rows of each width, C0 and kind of inputs, which is a curve against d."""
    return grouped(trained, "width", "C0", "normalize").values()


def networks(trained):
    """The rows of ntk_normal.csv, one a network: all the balls that T epochs did not leave have the same."""
    kept = {}
    for row in trained:
        run = row["size"], row["width"], row["normalize"], row["seed"]
        kept.setdefault((*run, None if ended_by_T(row) else row["C0"]), row)
    return list(kept.values())


def power_of_d(power, quantities, others=None):
    """Whether the quantities, a dict of name to function of a row, go like d^power; only C0 = 10 is judged.

    others is a function of the rows that were used, to a dict of further cells.
    """

    def examine(runs):
        records = []
        for group in curves(runs["ntk_normal"]):
            cells, used = {}, []
            for name, quantity in quantities.items():
                fitted, rows = exponents(group, quantity)
                cells |= exponent_cells(name, quantity, fitted, rows, power if group[0]["C0"] == 10 else None)
                used += rows
            if used:
                used = distinct(used)
                cells |= {"runs that T ended": how_many(used, ended_by_T)} | (others(used) if others else {})
                records.append(Record(about(used, "width", "C0", "normalize", "d"), cells, used))
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
    """Whether |f| and η‖∇f‖² at inputs of norm 1 stay bounded in d: a Record for each m and kind of inputs."""
    quantities = {
        "|f|/‖x‖": lambda row: row["abs_f_mean"] * ratio(row["rel_delta_mean"], row["delta_norm_mean"]),
        "η‖∇f‖²/‖x‖": lambda row: row["rel_delta_mean"] * row["grad_norm_mean"],
    }
    records = []
    # With bias f/‖x‖ is not f at norm 1.
    trained = [row for row in runs["ntk_normal"] if row["normalize"] or not row["bias"]]
    balls = [keep_one_value(rows, "C0", 10, "width", "size") for rows in grouped(trained, "normalize").values()]
    for group in curves(itertools.chain(*balls)):
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
            records.append(Record(about(used, "width", "C0", "normalize"), cells, distinct(used)))
    return records


def grows_with_C0(runs):
    """Whether the three quantities of Figure 3 grow with C0: a Record for each m, d and kind of inputs.

    Only the paper's m is judged, or the one that stands in for it.
    """
    quantities = {"‖∇f‖": "grad_norm_mean", "η": "eta_mean", "‖δ‖/‖x‖": "rel_delta_mean"}
    records = []
    for same in grouped(runs["ntk_normal"], "normalize").values():
        papers = width_of_figure3(same)
        for (width, _), cell in grouped(same, "width", "d").items():
            paths = paths_through_the_same_balls(cell)
            cells = {name: growth(paths, column, judge=width == papers) for name, column in quantities.items()}
            if any(measured.text for measured in cells.values()):
                rows = [row for path in paths for row in path]
                cells["C0 that T ended"] = Cell(span([row for row in cell if ended_by_T(row)], "C0") or "none")
                records.append(Record(about(rows, "width", "normalize", "d", "C0"), cells, rows))
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


def growth(paths, column, judge):
    """The factor by which the column grows from the first C0 to the last and, to judge it, whether at each step."""
    factors = [[ratio(after[column], before[column]) for before, after in itertools.pairwise(path)] for path in paths]
    if not np.size(factors) or not np.isfinite(factors).all():
        return Cell("")
    checks = np.mean(factors, axis=0) > 1 if judge else ()
    return judged(f"× {over_seeds([np.prod(factor) for factor in factors])}", *checks)


# ---------------------------------------------------------------------------------------------- Section 5.2, Figure 4


class Panel(NamedTuple):
    """A panel of Figure 4: where its rows are, its axes, and whether robust accuracy falls or rises along the second."""

    script: str
    select: Callable[[list[dict]], list[dict]]
    across: str
    up: str
    falls: bool

    @property
    def scaled(self) -> str:
        return f"{SYMBOLS[self.up]}√{SYMBOLS[self.across]}"

    def place(self, row: dict) -> float:
        """The row's ε√d or V√m."""
        return round(row[self.up] * math.sqrt(row[self.across]), 9)

    def cells(self, runs: dict) -> Iterator[tuple[list[dict], list[list[tuple]]]]:
        """For each d or m its rows, and for each seed its (place, robust accuracy)."""
        for cell in grouped(self.select(runs[self.script]), self.across).values():
            lines = grouped(cell, "seed").values()
            yield cell, [[(self.place(row), row["robust_test_acc"]) for row in line] for line in lines]

    def passes(self, by_seed: list[list[tuple]], level: float) -> tuple[str, Crossing, int]:
        """Where robust accuracy passes the level: in words, as the mean of the seeds' `crossings`, and how many these are.

        If they are none, the place is NaN, between ends that are as close as the runs tell.
        """
        if passed := crossings(by_seed, self.falls, level):
            found = Crossing(*np.mean(passed, axis=0).round(9))
            between = f"between {found.low:.1f} and {found.high:.1f}"
            text = between if math.isnan(found.place) else over_seeds([one.place for one in passed], 1)
            return text, found, len(passed)
        points = sorted(itertools.chain(*by_seed))
        (first, at_first), (last, _) = points[0], points[-1]
        if len({accuracy >= level for _, accuracy in points}) == 2:
            return "in no seed", Crossing(math.nan, 0, math.inf), 0
        if (at_first >= level) == self.falls:
            return f"after {last:.1f}, the last run", Crossing(math.nan, last, math.inf), 0
        return f"before {first:.1f}, the first run", Crossing(math.nan, 0, first), 0


LEFT = Panel("advtrain", left_of_figure4, "d", "eps", falls=True)
RIGHT = Panel("advtraingap", right_of_figure4, "width", "V", falls=False)


def falls_past_5(runs):
    """Whether networks are robust up to ε√d = 4, as far as any classifier can be, and not beyond 5: a Record for each d."""
    records = []
    for cell, by_seed in LEFT.cells(runs):
        below, beyond = [row for row in cell if LEFT.place(row) <= 4], [row for row in cell if LEFT.place(row) > 5]
        cap = min((cap_of(row) for row in below), default=1)
        cells = {
            f"robust accuracy at {LEFT.scaled} ≤ 4": at_least(
                below, lambda row: 0.9 * cap_of(row), excuse=lambda row: ended_by_T(row) or "cap" not in row
            ),
            "lowest cap there": Cell(f"{cap:.2f}" if cap < 0.995 else ""),
            **levels(LEFT, by_seed, 0.95, 0.5),
            **zero(LEFT, by_seed, 4, 6, short=short_of_0(cell)),
            f"robust accuracy at {LEFT.scaled} > 5": accuracies(
                beyond, all(row["robust_test_acc"] <= 0.05 for row in beyond)
            ),
            **endings(cell),
        }
        records.append(Record(about(cell, "d"), cells, cell))
    return records + powers(LEFT, runs, {0.95: False, 0.5: False, 0.05: True})


def short_of_0(cell):
    """Whether T ended the first run below 0.05 of some seed that has all runs: more epochs might take it above."""
    whole = with_most_runs(list(grouped(cell, "seed").values()))
    below = [[row for row in line if row["robust_test_acc"] < 0.05] for line in whole]
    return any(ended_by_T(min(rows, key=LEFT.place)) for rows in below if rows)


def cap_of(row):
    """The most that any classifier's robust accuracy can be, 1 if nobody knows."""
    return row.get("cap", 1)


def rises_like_a_root(runs):
    """Whether V at some levels of robust accuracy goes like 1/√m: a Record for each m and one for each level."""
    asked = dict.fromkeys((0.05, 0.5, 0.9, 0.95), True)
    records = [
        Record(about(cell, "width"), levels(RIGHT, by_seed, *asked) | endings(cell), cell)
        for cell, by_seed in RIGHT.cells(runs)
    ]
    return records + powers(RIGHT, runs, asked)


def robust_past_25(runs):
    """Whether networks are robust beyond V√m = 25: a Record for each m."""
    records = []
    for cell, by_seed in RIGHT.cells(runs):
        beyond = [row for row in cell if RIGHT.place(row) > 25]
        cells = {
            f"robust accuracy at {RIGHT.scaled} > 25": at_least(beyond, lambda row: 0.95, excuse=ended_by_T),
            "of these runs T ended": how_many(beyond, ended_by_T) if beyond else Cell(""),
            **levels(RIGHT, by_seed, 0.95),
        }
        records.append(Record(about(cell, "width"), cells, cell))
    return records


def zero_before_25(runs):
    """Whether robust accuracy is near 0 at half of V√m = 25: a Record for each m."""
    records = []
    for cell, by_seed in RIGHT.cells(runs):
        below = [row["robust_test_acc"] for row in cell if RIGHT.place(row) <= 12.5]
        told = {f"robust accuracy at {RIGHT.scaled} ≤ 12.5": Cell(extent(below) if below else "")}
        records.append(Record(about(cell, "width"), told | zero(RIGHT, by_seed, 12.5, math.inf), cell))
    return records


def accuracies(rows, check):
    """The range of the rows' robust accuracies, judged by the check."""
    return judged(extent([row["robust_test_acc"] for row in rows]), check) if rows else Cell("")


def at_least(rows, bound, excuse):
    """The range of the rows' robust accuracies, and whether each is as high as its bound, a function of the row.

    One that is not decides nothing if it has an excuse: with more epochs, say, it might have come to be.
    """
    missed = [row for row in rows if row["robust_test_acc"] < bound(row)]
    return accuracies(rows, not missed or (None if all(map(excuse, missed)) else False))


def levels(panel, by_seed, *asked):
    """Where robust accuracy passes the levels: a cell for each."""
    return {f"{level:g} at {panel.scaled}": Cell(panel.passes(by_seed, level)[0]) for level in asked}


def zero(panel, by_seed, least, most, short=False):
    """The cells on where robust accuracy passes 0.05, judged by whether that is from least to most.

    short: whether with more epochs it might pass 0.05 further on.
    """
    text, found, count = panel.passes(by_seed, 0.05)
    check = within(found, least, most)
    # The mean leaves out seeds with fewer runs, or with an unknown place; where theirs cannot be as asked, nobody can tell.
    whole, alone = with_most_runs(by_seed), [(line, panel.passes([line], 0.05)[1]) for line in by_seed]
    left_out = [one for line, one in alone if line not in whole or math.isnan(one.place)]
    if check and any(within(one, least, most) is False for one in left_out):
        check = None
    if check is False and found.high <= least and short:
        check = None
    return {
        f"0.05 at {panel.scaled}": judged(text, check),
        "runs on either side": Cell(f"{found.low:.1f} and {found.high:.1f}" if count else ""),
        "seeds in this mean": Cell(f"{count} of {len(by_seed)}" if 0 < count < len(by_seed) else ""),
    }


def endings(cell):
    return {
        "runs that T ended": how_many(cell, ended_by_T),
        "runs stopped at 0": how_many(cell, lambda row: not ended_by_T(row) and never_robust(row)),
        "runs never at the ball's border": how_many(cell, inside_the_border),
    }


def within(found, least, most):
    """Whether a place lies from least to most: True if it does as interpolated, False if nothing in its bracket does."""
    if least <= found.place <= most or (least <= found.low and found.high <= most):
        return True
    return False if found.high <= least or found.low >= most else None


def powers(panel, runs, asked):
    """A Record for each level of robust accuracy on how its place goes with d or m; asked says which are judged."""
    records = []
    for level, judge in asked.items():
        found = {}
        for cell, by_seed in panel.cells(runs):
            _, place, _ = panel.passes(by_seed, level)
            if not math.isnan(place.place):
                across = cell[0][panel.across]
                found[across] = np.array(place) / math.sqrt(across)
        if len(found) >= 3:
            slope = Crossing(*exponent_of_brackets(np.array(list(found)), np.array(list(found.values()))))
            text = decimal(slope.place)
            cells = {
                f"{SYMBOLS[panel.up]} goes like {SYMBOLS[panel.across]} to the power": (
                    judged(text, within(slope, -0.6, -0.4)) if judge else Cell(text)
                ),
                "as the runs on either side allow": Cell(f"{decimal(slope.low)} to {decimal(slope.high)}"),
            }
            values = span([{panel.across: across} for across in found], panel.across)
            records.append(Record({"robust accuracy": f"{level:g}", SYMBOLS[panel.across]: values}, cells, []))
    return records


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
                "other V at most 1 percentage point below": counted(
                    [mean[V] >= mean[largest] - 0.01 for V in sorted(mean)[:-1]]
                ),
            }
            records.append(Record(about(cell, "width"), cells, cell))
    return records


def in_the_ball(runs):
    """Whether every network lies in its lazy ball (Definition 2.1): one Record, without the networks with bias."""
    rows = [row for script in SCRIPTS for row in runs[script] if not row["bias"]]
    if not rows:
        return []
    deviations = [row["max_deviation"] / row["V"] for row in rows]
    cells = {
        "networks in their ball": counted([deviation <= 1 for deviation in deviations]),
        "largest deviation, in units of V": Cell(f"{max(deviations):.9f}"),
    }
    return [Record({}, cells, rows)]
