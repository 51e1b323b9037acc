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
    """A dict of settings, what differs from the defaults, as ("num1=3", "num2=8") or (), to a list of rows of each file."""
    runs = {}
    for index, rows in enumerate(files):
        for row in rows:
            settings = tuple(f"{key}={row[key]}".removesuffix(".0") for key in defaults if row[key] != defaults[key])
            runs.setdefault(settings, [[] for _ in files])[index].append(row)
    return runs


def describe(settings: tuple) -> tuple[list[str], list[str]]:
    """The settings of `by_settings` as parts of a file's name, such as ["digits3and8", "steps20"], and in words."""
    values = dict(setting.split("=") for setting in settings)
    pair = [values.pop(name, SETTINGS[name]) for name in ("num1", "num2")]
    names, words = [], []
    if pair != [SETTINGS["num1"], SETTINGS["num2"]]:
        kind = "classes" if "dataset" in values else "digits"
        names.append("{}{}and{}".format(kind, *pair))
        words.append("{} {} and {}".format(kind, *pair))
    for setting, value in values.items():
        in_name, in_words = DESCRIPTIONS[setting]
        names.append(in_name.format(value.replace(".", "p")))  # LaTeX takes a point for the start of the ending
        words.append(in_words.format(value if setting in TEXT else f"{float(value):,.10g}"))
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


def keep_one_value(rows: list[dict], column: str, usual: float, *axes: str) -> list[dict]:
    """Only the rows with one value of the column: the paper's, if these are enough, else the one with the most points.

    They are enough with half as many points over the axes as another value has, and with more than one value on the
    first axis, where another has that.
    """

    def merit(value):
        points = len(grouped(groups[value], *axes))
        return min(len(grouped(groups[value], axes[0])), 2), value == usual and 2 * points >= most, points

    groups = grouped(rows, column)
    most = max((len(grouped(same, *axes)) for same in groups.values()), default=0)
    return groups[max(groups, key=merit)] if groups else []


def exponents(rows: list[dict], quantity: Callable[[dict], float]) -> tuple[list[float], list[dict]]:
    """Slopes of log(quantity) over log(d), one for each seed with as many rows as any, 3 or more; their rows."""
    slopes, used = [], []
    for own in with_most_runs(grouped(rows, "seed")).values():
        values = np.array([quantity(row) for row in own])
        if len(own) >= 3 and (np.isfinite(values) & (values > 0)).all():
            slopes.append(np.polyfit(np.log([row["d"] for row in own]), np.log(values), 1)[0])
            used += own
    return slopes, used


def eta_at_norm_1(row: dict) -> float:
    """η at x/‖x‖, of means over the test examples; NaN where η is that, and with bias, where f is not homogeneous."""
    known = not row["bias"] and not row["normalize"] and row["grad_norm_mean"]
    return row["rel_delta_mean"] / row["grad_norm_mean"] if known else math.nan


def width_of_figure3(rows: list[dict]) -> float:
    """The width that Figure 3 is about, the paper's 100,000 if it can be; sizes with a single C0 do not count."""
    points = grouped(rows, "width", "size").values()
    compared = [row for same in points if len(grouped(same, "C0")) > 1 for row in same]
    return keep_one_value(compared or rows, "width", 100000, "C0", "size")[0]["width"]


def left_of_figure4(rows: list[dict]) -> list[dict]:
    """The rows of one width and one C0, the paper's 1,000 and 10 if they can be."""
    return keep_one_value(keep_one_value(rows, "width", 1000, "size", "eps"), "C0", 10, "size", "eps")


def right_of_figure4(rows: list[dict]) -> list[dict]:
    """The rows of one size and one eps, the paper's 28 and 0.2 if they can be."""
    return keep_one_value(keep_one_value(rows, "size", 28, "width", "V"), "eps", 0.2, "width", "V")


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
    """The `crossing` in the column vertical of each seed that has as many runs as any.

    Seeds with fewer runs would shift a mean. Where a seed does not pass the level, the place is NaN, and the ends say
    where it still may pass it: after the last run or before the first.
    """
    found = {}
    for seed, own in with_most_runs(grouped(rows, "seed")).items():
        runs = sorted((row[vertical], row["robust_test_acc"]) for row in own)
        found[seed] = crossing(runs, falls, level)
        if not found[seed]:
            above = [accuracy >= level for _, accuracy in runs]
            low = runs[-1][0] if above[-1] == falls else 0
            high = runs[0][0] if above[0] != falls else math.inf
            found[seed] = Crossing(math.nan, low, high) if low < high else Crossing(math.nan, 0, math.inf)
    return found


def crossing(runs: list[tuple], falls: bool, level: float) -> Crossing | None:
    """Where one seed's robust accuracy first falls, or rises, past the level.

    runs has ε or V, in any unit, and robust accuracy. The place is NaN between runs more than a factor of 2 apart.
    """
    for (low, before), (high, after) in itertools.pairwise(sorted(runs)):
        if (before >= level > after) if falls else (before < level <= after):
            place = low + (high - low) * (level - before) / (after - before)
            near = high <= 2 * low + 1e-6  # 0.2 √m, rounded, may be a trifle more than twice 0.1 √m
            return Crossing(place if near else math.nan, low, high)
    return None
