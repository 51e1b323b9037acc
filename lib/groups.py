"""Rows of the results by setting, column and seed, as the figures and the claims both need them.

A row is a dict of column name to number. m is its `width`, d its `size` squared; results/README.md explains every column.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

from lib.results import TEXT, ended_by_T

import numpy as np

# The scripts' defaults for what makes runs comparable: runs that differ in any of these are never averaged. T is not among
# them: it only bounds a run, and changes nothing in one that ended before.
DATA = {"dataset": "MNIST", "num1": 0, "num2": 1, "antialias": 0}
SETTINGS = DATA | {"bias": 0, "normalize": 0, "bs": 64, "lr": 0.1}
ADVERSARIAL_SETTINGS = DATA | {"attack": "l2", "bs": 32, "lr": 0.01, "atk_iters": 100, "patience": 20}
DEFAULTS = {"ntk_normal": SETTINGS, "advtrain": ADVERSARIAL_SETTINGS, "advtraingap": ADVERSARIAL_SETTINGS}
# The other columns that say which run a row is: figures have them on axes, as curves or in panels, or take means over them.
AXES = {"size", "d", "width", "C0", "V", "eps", "bias", "box", "T", "seed"}

# How a setting is described: in the name of a file, which LaTeX and shells take as it is, and in words.
DESCRIPTIONS = {
    "dataset": ("{}", "{}"),
    "antialias": ("antialias", "downsampled with antialiasing"),
    "attack": ("{}", "{} attack"),
    "bias": ("bias", "with bias"),
    "normalize": ("normalize", "inputs of norm 1"),
    "bs": ("bs{}", "batch size {}"),
    "lr": ("lr{}", "learning rate {}"),
    "atk_iters": ("steps{}", "{} PGD steps"),
    "patience": ("patience{}", "patience of {} epochs"),
}


def latest_of_each_run(rows: list[dict], key: list[str]) -> list[dict]:
    """Of the rows with equal values in the key columns, but for T, the last, sorted by these values.

    Their values are rounded to ten digits, since other programs may have saved some rows with fewer.
    """
    key = [column for column in key if column != "T"]
    rounded = [column for column in key if column not in TEXT]
    rows = [row | {column: float(f"{row[column]:.10g}") for column in rounded} for row in rows]
    latest = {tuple(row[column] for column in key): row for row in rows}
    return [latest[run] for run in sorted(latest)]


def by_settings(defaults: dict, *files: list[dict]) -> dict[tuple, list[list[dict]]]:
    """A dict of settings, what differs from the defaults, as (("num1", 3), ("num2", 8)), to a list of rows of each file."""
    runs = {}
    for index, rows in enumerate(files):
        for row in rows:
            settings = tuple((name, row[name]) for name in defaults if row[name] != defaults[name])
            runs.setdefault(settings, [[] for _ in files])[index].append(row)
    return runs


def describe(settings: tuple) -> tuple[list[str], list[str]]:
    """The settings of `by_settings` as parts of a file's name, such as ["digits3and8", "steps20"], and in words."""
    values, names, words = dict(settings), [], []
    if "num1" in values or "num2" in values:
        num1, num2 = (values.pop(name, DATA[name]) for name in ("num1", "num2"))
        kind = "classes" if "dataset" in values else "digits"
        names.append(f"{kind}{num1:g}and{num2:g}")
        words.append(f"{kind} {num1:g} and {num2:g}")
    for name, value in values.items():
        in_name, in_words = DESCRIPTIONS[name]
        text, comma = (value, value) if name in TEXT else (f"{value:.10g}", f"{value:,.10g}")
        names.append(in_name.format(text.replace(".", "p")))  # LaTeX takes a point for the start of the ending
        words.append(in_words.format(comma))
    return names, words


def span(values: list[float]) -> str:
    """The least and the most of the values in words, such as 100–1,000, or the one that both are."""
    return "–".join(f"{end:,g}" for end in sorted({min(values), max(values)}))


def ends_in_words(rows: list[dict]) -> str:
    """The `span` of T over the rows that T ended, one or more."""
    return span([row["T"] for row in rows if ended_by_T(row)])


def grouped(rows: list[dict], *columns: str) -> dict:
    """The rows by their values in the columns: a sorted dict of a value, or a tuple of values, to rows."""
    groups = {}
    for row in rows:
        key = tuple(row[column] for column in columns)
        groups.setdefault(key if len(key) > 1 else key[0], []).append(row)
    return dict(sorted(groups.items()))


def keep_one_value(rows: list[dict], column: str, usual: float) -> list[dict]:
    """Only the rows with one value of the column: the paper's if it has two or more, else the one that most rows have."""
    groups = grouped(rows, column)
    paper = groups.get(usual, [])
    return paper if len(paper) > 1 else max(groups.values(), key=len, default=[])


def exponents(rows: list[dict], quantity: Callable[[dict], float]) -> list[float]:
    """Slopes of log(quantity) over log(d), one for each seed with as many rows as any, 3 or more."""
    slopes = []
    for own in with_most_runs(grouped(rows, "seed")).values():
        values = np.array([quantity(row) for row in own])
        if len(own) >= 3 and (np.isfinite(values) & (values > 0)).all():
            slopes.append(np.polyfit(np.log([row["d"] for row in own]), np.log(values), 1)[0])
    return slopes


def eta_at_norm_1(row: dict) -> float:
    """η at x/‖x‖, of means over the test examples; NaN where η is that, and with bias, where f is not homogeneous."""
    known = not row["bias"] and not row["normalize"] and row["grad_norm_mean"]
    return row["rel_delta_mean"] / row["grad_norm_mean"] if known else math.nan


def width_of_figure3(rows: list[dict]) -> float:
    """The width that Figure 3 is about, the paper's 100,000 if it can be; sizes with a single C0 do not count."""
    points = grouped(rows, "width", "size").values()
    compared = [row for same in points if len(grouped(same, "C0")) > 1 for row in same]
    return keep_one_value(compared or rows, "width", 100000)[0]["width"]


def left_of_figure4(rows: list[dict]) -> list[dict]:
    """The rows of one width and one C0, the paper's 1,000 and 10 if they can be."""
    return keep_one_value(keep_one_value(rows, "width", 1000), "C0", 10)


def right_of_figure4(rows: list[dict]) -> list[dict]:
    """The rows of one size and one eps, the paper's 28 and 0.2 if they can be."""
    return keep_one_value(keep_one_value(rows, "size", 28), "eps", 0.2)


class Crossing(NamedTuple):
    """Where robust accuracy passes a level: interpolated between the runs at low and high, or NaN if that is unknown."""

    place: float
    low: float
    high: float


def with_most_runs(by_seed: dict) -> dict:
    """Of a dict of seeds to runs those seeds that have as many runs as any."""
    most = max(map(len, by_seed.values()), default=0)
    return {seed: runs for seed, runs in by_seed.items() if len(runs) == most}


def crossings(rows: list[dict], vertical: str, falls: bool, level: float) -> dict[float, Crossing]:
    """The `crossing` in the column vertical of each seed that has as many runs as any: others would shift a mean."""
    seeds = with_most_runs(grouped(rows, "seed"))
    points = {seed: [(row[vertical], row["robust_test_acc"]) for row in own] for seed, own in seeds.items()}
    return {seed: crossing(own, falls, level) for seed, own in points.items()}


def crossing(runs: list[tuple], falls: bool, level: float) -> Crossing:
    """Where one seed's robust accuracy first falls, or rises, past the level; runs has ε or V, in any unit, and accuracy.

    The place is NaN between runs more than a factor of 2 apart, and where it does not pass, but may after the last run or before
    the first.
    """
    runs = sorted(runs)
    for (low, before), (high, after) in itertools.pairwise(runs):
        if (before >= level > after) if falls else (before < level <= after):
            place = low + (high - low) * (level - before) / (after - before)
            near = high <= 2 * low + 1e-6  # 0.2 √m, rounded, may be a trifle more than twice 0.1 √m
            return Crossing(place if near else math.nan, low, high)
    (first, begins), (last, ends) = ((at, accuracy >= level) for at, accuracy in (runs[0], runs[-1]))
    if begins != ends:  # it passes the other way
        return Crossing(math.nan, 0, math.inf)
    return Crossing(math.nan, last, math.inf) if ends == falls else Crossing(math.nan, 0, first)
