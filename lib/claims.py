"""The paper's claims, compared with the rows of the results: `as_markdown` writes them as claims.md."""

import itertools
import math
from functools import partial
from math import inf
from operator import itemgetter
from typing import NamedTuple

from lib import groups
from lib.groups import crossings, exponents, grouped
from lib.results import SCRIPTS, cap_key, ended_by_T

import numpy as np

PROTOCOLS = {0: "paper's formulas", 1: "bias and box"}
INPUTS = {0: "pixels", 1: "norm 1"}
LEVELS = {"left": (0.95, 0.5, 0.05), "right": (0.05, 0.5, 0.9, 0.95)}  # of robust accuracy, in the panels of Figure 4
# 97.5% quantiles of Student's t at 1, 2, ... degrees of freedom, for 2 to 10 seeds.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
QUANTITIES = {
    "‖δ‖/‖x‖": itemgetter("rel_delta_mean"),
    "‖∇f‖": itemgetter("grad_norm_mean"),
    "η": itemgetter("eta_mean"),
    "η at x/‖x‖": groups.eta_at_norm_1,
    "|f|": itemgetter("abs_f_mean"),
    "η‖∇f‖²": lambda row: row["eta_mean"] * row["grad_norm_mean"] ** 2,
    "no flip": itemgetter("no_flip"),
    "deviation": lambda row: row["max_deviation"] / row["V"],
}


class Estimate(NamedTuple):
    """A number, between low and high as far as seeds and the grid's spacing allow; its tolerance is at_least to at_most."""

    best: float
    low: float
    high: float
    seeds: int  # that it rests on
    at_least: float
    at_most: float
    ended: bool = False  # whether T ended the runs that decide, so that more epochs might change it


def verdict(estimates: list[Estimate]) -> str:
    """The word for a claim that asks every estimate to lie within its tolerance; PAGE has the rule in words."""
    missed = [one for one in estimates if not one.at_least <= one.best <= one.at_most]
    if any(not one.ended and (one.high <= one.at_least or one.low >= one.at_most) for one in missed):
        return "no"
    within = [one.at_least <= one.low and one.high <= one.at_most for one in estimates]
    sure = all(within) and all(one.seeds > 1 and not one.ended for one in estimates)
    return "open" if missed else "yes" if sure else "likely"


def estimate(values: list[float], least: float, most: float, allowed=(), ended: bool = False) -> Estimate:
    """The Estimate of a mean over seeds. values has one of each seed, and allowed what else the mean may be."""
    mean, half = (np.mean(values), half_interval(values)) if len(values) else (math.nan, 0)
    ends = [*allowed, *([mean - half, mean + half] if len(values) else [])]
    return Estimate(mean, min(ends), max(ends), len(values), least, most, ended)


def half_interval(values: list[float]) -> float:
    """Half the 95% t interval of the mean of the values, one for each seed; 0 for a single one."""
    return T_QUANTILES[min(len(values) - 2, 8)] * np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0


def decimal(value, digits=2):
    return f"{round(value, digits) + 0:.{digits}f}".replace("-", "−").replace("inf", "∞").replace("nan", "?")


def least_and_most(values, digits=2):
    """The least and the largest of the values in words, or the one that both are."""
    return [*dict.fromkeys(decimal(end, digits) for end in (min(values), max(values)))]


def mean_text(values, digits=2):
    half = f" ± {half_interval(values):.{digits}f}" if len(values) > 1 else ""
    return decimal(np.mean(values), digits) + half if len(values) else "–"


def in_words(estimates, digits, unit):
    """The best estimates, in brackets all that is allowed, and how many more epochs might carry into the tolerance."""
    known = [one.best for one in estimates if math.isfinite(one.best)] or [math.nan]
    best = least_and_most(known, digits)
    allowed = least_and_most([end for one in estimates for end in (one.low, one.high)], digits)
    ended = sum(one.ended and not one.at_least <= one.best <= one.at_most for one in estimates)
    dash = " to " if best[0].startswith("−") else "–"
    text = dash.join(best) + unit + (f" [{', '.join(allowed)}]" if allowed != best else "")
    return text + (f"; T cut off {ended} of {len(estimates)}" if ended else "")


def figure2(runs, *inputs, C0=10):
    """The curves of Figure 2 for these INPUTS: a dict of (normalize, width, C0) to rows."""
    rows = [row for row in runs["ntk_normal"] if row["C0"] == C0 and row["normalize"] in inputs]
    return grouped(rows, "normalize", "width", "C0")


def worst_error(runs, inputs, least_C0, most_C0):
    rows = [row for row in runs["ntk_normal"] if row["normalize"] == inputs and least_C0 <= row["C0"] <= most_C0]
    if rows:
        error = 100 * max(row["test_error"] for row in rows)
        missed = [row for row in rows if row["test_error"] > 0.01]
        ended = bool(missed) and all(map(ended_by_T, missed))
        yield Estimate(error, error, error, len(grouped(rows, "seed")), -inf, 1, ended)


def slopes(rows, symbol):
    """The exponents in d of the quantity, one of each seed, over all d and from d = 100 on."""
    rows = [row for own in groups.with_most_runs(grouped(rows, "seed")).values() for row in own]
    upper = [row for row in rows if row["d"] >= 100]
    return exponents(rows, QUANTITIES[symbol]), exponents(upper, QUANTITIES[symbol])


def powers_of_d(runs, symbol, least, most, inputs):
    for rows in figure2(runs, inputs).values():
        over_all, upper = slopes(rows, symbol)
        if over_all:
            half = half_interval(upper)
            ends = [np.mean(upper) - half, np.mean(upper) + half] if upper else []
            yield estimate(over_all, least, most, ends, any(map(ended_by_T, rows)))


def figure3(runs):
    """Figure 3's m, and a dict of d to the rows, by C0, of each seed whose network left as many balls as any seed's."""
    rows, paths = groups.keep_one_value(runs["ntk_normal"], "normalize", 0), {}
    width = groups.width_of_figure3(rows) if rows else 0
    for d, there in grouped([row for row in rows if row["width"] == width and not ended_by_T(row)], "d").items():
        found = [sorted(own, key=itemgetter("C0")) for own in grouped(there, "seed").values()]
        balls = [[row["C0"] for row in own] for own in found]
        most = max(balls, key=lambda own: (len(own), balls.count(own), own))
        paths |= {d: [path for path, own in zip(found, balls) if own == most]} if len(most) > 1 else {}
    return width, paths


def factors_over_C0(paths, symbol):
    """The quantity's factors from the first C0 to the last, one of each seed, and its mean factor at each step."""
    values = np.array([[QUANTITIES[symbol](row) for row in path] for path in paths])
    alive = (np.isfinite(values) & (values > 0)).all()
    return (values[:, -1] / values[:, 0], (values[:, 1:] / values[:, :-1]).mean(axis=0)) if alive else ([], [])


def grows_with_C0(runs, symbol):
    grown = [factors_over_C0(paths, symbol) for paths in figure3(runs)[1].values()]
    return [estimate(factors, 1, inf, steps) for factors, steps in grown if len(factors)]


def none_beyond(runs, symbol, most, scripts):
    rows = [row for script in scripts for row in runs[script]]
    worst = max(map(QUANTITIES[symbol], rows), default=0)
    return [Estimate(worst, worst, worst, len(grouped(rows, "seed")), -inf, most)] if rows else []


def passing(rows, panel, level):
    """The `Crossing` of each seed, where robust accuracy passes the level, and whether T ended a run that decides it.

    More epochs may raise robust accuracy, so that a run below the level is an end only if T did not end it.
    """
    left, sure = panel == "left", {}
    found = crossings(rows, "scaled", left, level)
    for seed, one in found.items():
        below = [row for row in rows if row["seed"] == seed and row["robust_test_acc"] < level and not ended_by_T(row)]
        at = [row["scaled"] for row in below]
        sure[seed] = one._replace(high=min(at, default=inf)) if left else one._replace(low=max(at, default=0))
    return sure, sure != found


def known_places(found):
    return [one.place for one in found.values() if math.isfinite(one.place)]


def of_high_cap(runs, panel):
    """The panel's d, or all m, where some classifier could be robust up to ε√d = 4."""
    return {across: rows for across, rows in runs[panel].items() if rows[0].get("cap_at_4", 1) >= 0.95}


def passes(runs, panel, level, least, most, of_cap=False):
    for rows in (runs[panel] if of_cap else of_high_cap(runs, panel)).values():
        found, _ = passing(rows, panel, level * rows[0]["cap_at_4"] if of_cap else level)
        ends = np.mean([(one.low, one.high) for one in found.values()], axis=0).round(9)
        yield estimate(known_places(found), least, most, ends)


def sharpness(runs, most):
    """By what factor ε grows while robust accuracy falls from 95% to 5%."""
    for rows in of_high_cap(runs, "left").values():
        starts, ends = (np.array([*passing(rows, "left", level)[0].values()]) for level in (0.95, 0.05))
        with np.errstate(divide="ignore"):  # where the first run has less than 95%
            factors, lows, highs = ends[:, 0] / starts[:, 0], ends[:, 1] / starts[:, 2], ends[:, 2] / starts[:, 1]
        yield estimate(factors[np.isfinite(factors)], 1, most, [max(lows.mean(), 1), highs.mean()])


def grows_with_V(runs):
    """By how many points robust accuracy grows from one V to the next, for each m."""
    for rows in runs["right"].values():
        for before, after in itertools.pairwise(grouped(rows, "V").values()):
            earlier = {row["seed"]: row["robust_test_acc"] for row in before}
            grown = [100 * (row["robust_test_acc"] - earlier[row["seed"]]) for row in after if row["seed"] in earlier]
            if grown:
                yield estimate(grown, 0, inf, (), any(map(ended_by_T, before + after)))


def exponent_of_brackets(across: list[float], found: list[tuple]) -> tuple[float, float, float]:
    """The slope of log(place) over log(across), and the least and the most of it; found has (place, low, high) of each."""
    logs = np.log(across) - np.log(across).mean()
    with np.errstate(divide="ignore", invalid="ignore"):  # where T ended every run below the level
        ends = np.log(found) * (logs / np.square(logs).sum())[:, None]
    return ends[:, 0].sum(), ends[:, 1:].min(axis=1).sum(), ends[:, 1:].max(axis=1).sum()


def powers_of_places(runs, panel, levels):
    """The exponents of ε in d, or of V in m, at the levels of robust accuracy that it passes at three d or m, or more."""
    for level in levels:
        known = {}
        for across, rows in of_high_cap(runs, panel).items():
            found = passing(rows, panel, level)[0].items()
            found = {seed: np.array(one) / math.sqrt(across) for seed, one in found if math.isfinite(one.place)}
            if found:
                known[across] = found
        seeds = sorted(set.intersection(*map(set, known.values()))) if len(known) > 2 else []
        fitted = [exponent_of_brackets([*known], [found[seed] for found in known.values()]) for seed in seeds]
        if fitted:
            yield estimate([one[0] for one in fitted], -0.6, -0.4, np.mean(fitted, axis=0)[1:])


def robust_past_25(runs):
    beyond = [row for rows in runs["right"].values() for row in rows if row["scaled"] > 25]
    for rows in grouped(beyond, "width", "V").values():
        yield estimate([100 * row["robust_test_acc"] for row in rows], 95, inf, (), any(map(ended_by_T, rows)))


def accuracy_lost(runs, least_robust):
    """How far test accuracy is below the largest V's, for each m and V with this robust accuracy or more."""
    for rows in runs["right"].values():
        *smaller, largest = grouped(rows, "V").values()
        best = np.mean([row["test_acc"] for row in largest])
        for same in smaller:
            if np.mean([row["robust_test_acc"] for row in same]) >= least_robust:
                lost = [100 * (best - row["test_acc"]) for row in same]
                yield estimate(lost, -inf, 1, (), any(map(ended_by_T, same)))


PAGE = """# The paper's claims

- *yes*: the whole range is within the tolerance.
- *likely*: the best estimate is.
- *no*: nothing in the range is.
- *open*: anything else, or T cut off the runs that decide.

A claim with several estimates (say, one for each d) is *yes* or *likely* only if all of them are at least that. One *no* makes
it *no*. Round brackets behind a claim give its source and our reading. The paper's O and Ω are read as equalities, since it
draws them as curves.

Each cell gives the best estimates, smallest to largest. Square brackets give the range that remains possible, from

- the 95% t interval over seeds;
- where a level is passed: also the runs on either side. A run below the level does not count if T cut it off, since more
  epochs might lift it;
- exponents in d: also the fit from d = 100 on;
- growth with C0: also each step from one C0 to the next.

"T cut off 6 of 15": 6 of 15 estimates miss their tolerance, and more epochs might change that. With one seed there is no
interval, and *likely* is the best verdict. The 1% is the paper's. All other tolerances are ours: 0.1 for exponents, the rest in
the first column.

{claims}
*Bias and box*: the trained bias and, in Figure 4, the clipping to [0, 1] of the authors' scripts. *Norm 1*: trained on inputs
scaled as the theorem assumes, as all in Figure 4. *Cap*: the highest robust accuracy that any classifier can have at this d and
ε; a d is of *high cap* if it is 95% or more at ε√d = 4. *T*: the most epochs. An asterisk: T cut off a run that decides.
Exponents of ε and V are fitted at each level that three or more d or m pass. The smallest balls cannot learn, whatever the
attack: at V = 0.05 clean training in them loses as much ([docs/sensitivity.md](../docs/sensitivity.md)). We did not compare the
heights of the paper's curves, which it does not print.

## Exponents in d (Figure 2)

Over all d; from d = 100 on. ± is half the t interval. η at x/‖x‖ is (‖δ‖/‖x‖)/‖∇f‖, without bias: exact for one example, here a
ratio of means. For pixels η itself falls more slowly, because ‖x‖ grows like √d.

{exponents}
## Growth with C0 (Figure 3): factors from the first ball to the last that the networks left
{growth}
## Figure 4 left: ε√d at which robust accuracy passes a level ({advtrain})
{left}
## Figure 4 right: V√m at which robust accuracy passes a level ({advtraingap})
{right}
## Test errors (Figure 2)

{errors}"""

# Each claim with its tolerance, the digits and the unit of its numbers, and a function that gives Estimates, with what it
# takes beside the runs of one protocol.
CLAIMS = [
    ("Every test error is below 1% (Fig. 2, pixels)", 2, "% at most", worst_error, 0, 10, 10),
    ("Every test error is below 1% (Fig. 2, norm 1)", 2, "% at most", worst_error, 1, 10, 10),
    ("Every test error is below 1% (Fig. 3, pixels, C0 ≥ 20)", 2, "% at most", worst_error, 0, 20, inf),
    ("‖δ‖/‖x‖ falls like d^−0.5 (Fig. 2, pixels)", 2, "", powers_of_d, "‖δ‖/‖x‖", -0.6, -0.4, 0),
    ("‖δ‖/‖x‖ falls like d^−0.5 (Fig. 2, norm 1)", 2, "", powers_of_d, "‖δ‖/‖x‖", -0.6, -0.4, 1),
    ("‖∇f‖ grows like d^0.5 (Fig. 2, pixels)", 2, "", powers_of_d, "‖∇f‖", 0.4, 0.6, 0),
    ("‖∇f‖ grows like d^0.5 (Fig. 2, norm 1)", 2, "", powers_of_d, "‖∇f‖", 0.4, 0.6, 1),
    ("η falls like d^−1 (Fig. 2, pixels)", 2, "", powers_of_d, "η", -1.1, -0.9, 0),
    ("η falls like d^−1 (Fig. 2, norm 1)", 2, "", powers_of_d, "η", -1.1, -0.9, 1),
    ("\\|f\\| does not grow with d (Lemma 4.1, norm 1)", 2, "", powers_of_d, "|f|", -inf, 0.1, 1),
    ("η‖∇f‖² does not grow with d (C2 of Theorem 3.1, norm 1)", 2, "", powers_of_d, "η‖∇f‖²", -inf, 0.1, 1),
    ("Some step along ∇f flips every test example (§5.1)", 0, " not flipped", none_beyond, "no flip", 0, SCRIPTS[:1]),
    ("‖∇f‖ grows with C0 at every d (Fig. 3)", 2, "-fold", grows_with_C0, "‖∇f‖"),
    ("η grows with C0 at every d (Fig. 3)", 2, "-fold", grows_with_C0, "η"),
    ("‖δ‖ grows with C0 at every d (Fig. 3)", 2, "-fold", grows_with_C0, "‖δ‖/‖x‖"),
    ("Robust accuracy falls to 0 at ε√d = 5 (§5.2; 5% at 4 to 6; d of high cap)", 1, "", passes, "left", 0.05, 4, 6),
    ("Networks are robust to smaller ε (§5.2; 90% of the cap at ε√d = 4)", 1, "", passes, "left", 0.9, 4, inf, True),
    ("The same (50% of the cap at ε√d = 4)", 1, "", passes, "left", 0.5, 4, inf, True),
    ("The drop is sharp (§5.2; 95% to 5% within twofold ε; d of high cap)", 1, "-fold", sharpness, 2),
    ("The ε of 5% goes like d^−0.5 (§5.2; d of high cap)", 2, "", powers_of_places, "left", [0.05]),
    ("Robust accuracy grows with V (§3; never falls from one V to the next)", 1, " points", grows_with_V),
    ("V for robust networks goes like m^−0.5 (§5.2)", 2, "", powers_of_places, "right", LEVELS["right"]),
    ("Networks are completely robust past V√m = 25 (§5.2; 95%)", 1, "%", robust_past_25),
    ("Below V√m = 25 robust accuracy soon drops to 0 (§5.2; 5% past 12.5)", 1, "", passes, "right", 0.05, 12.5, inf),
    ("Every network lies in its lazy ball (§5)", 3, " V", none_beyond, "deviation", 1, SCRIPTS),
    ("The projection keeps test accuracy (§5.2; 1 point of the largest V's)", 1, " points lost", accuracy_lost, 0),
    ("The same where robust accuracy is 10% or more", 1, " points lost", accuracy_lost, 0.1),
]


def by_protocol(rows, caps):
    """For each protocol a dict of script, and of panel of Figure 4, to rows; and in words each script's settings.

    Of several settings it takes those with most runs; the words say how many of them T ended. A panel is a dict of d, or
    m, to rows with a column `scaled`, which is ε√d, or V√m. In the left one `cap_at_4` is the most that any classifier can
    reach at ε√d = 4, 1 if unknown.
    """
    runs, settings = {name: {} for name in PROTOCOLS.values()}, {}
    for script, every in rows.items():
        usual = {name: value for name, value in groups.DEFAULTS[script].items() if name not in ("bias", "normalize")}
        sets = groups.by_settings(usual, [row for row in every if row["bias"] == row.get("box", row["bias"])])
        most = max(sorted(sets), key=lambda own: len(sets[own][0]), default=())
        taken = sets.get(most, [[]])[0]
        settings[script] = ", ".join(groups.describe(most)[1]) or "the scripts' defaults"
        if ended := sum(map(ended_by_T, taken)):
            settings[script] += f"; T = {groups.ends_in_words(taken)} cut off {ended} of {len(taken)} runs"
        for bias, name in PROTOCOLS.items():
            runs[name][script] = [row for row in taken if row["bias"] == bias]
    for own in runs.values():
        left, right = groups.left_of_figure4(own["advtrain"]), groups.right_of_figure4(own["advtraingap"])
        left = [row | {"scaled": round(row["eps"] * row["size"], 9)} for row in left]
        right = [row | {"scaled": round(row["V"] * math.sqrt(row["width"]), 9)} for row in right]
        own |= {"left": grouped(left, "d"), "right": grouped(right, "width")}
        for row in left:
            row["cap_at_4"] = caps.get(cap_key(row), {}).get(4 / row["size"], 1)
    return runs, settings


def table(head, lines):
    return "".join(f"|{'|'.join(line)}|\n" for line in (head, ["---"] * len(head), *lines))


def exponent_lines(name, runs):
    largest = max((row["C0"] for row in runs["ntk_normal"] if row["width"] == 100000), default=10)
    beyond = {key: rows for key, rows in figure2(runs, 0, C0=largest).items() if key[1] == 100000}
    for (inputs, width, C0), rows in (figure2(runs, *INPUTS) | beyond).items():
        fitted = [slopes(rows, symbol) for symbol in [*QUANTITIES][:4]]
        cells = [f"{mean_text(every)}; {mean_text(upper)}".removesuffix("; –") for every, upper in fitted]
        if seeds := max(len(every) for every, _ in fitted):
            where = f"d ≤ {max(row['d'] for row in rows):g}, T cut off {sum(map(ended_by_T, rows))} of {len(rows)}"
            yield [name, INPUTS[inputs], f"{width:,g}", f"{C0:g}{f' ({where})' * (C0 > 10)}", *cells, f"{seeds}"]


def growth_lines(name, runs):
    width, by_d = figure3(runs)
    for d, paths in by_d.items():
        grown = [mean_text(factors_over_C0(paths, symbol)[0]) for symbol in [*QUANTITIES][:3]]
        balls = f"{paths[0][0]['C0']:g} to {paths[0][-1]['C0']:g}"
        yield [name, f"{width:,g}", f"{d:g}", balls, *grown, f"{len(paths)}"]


def places_text(found):
    known = known_places(found)
    return mean_text(known, 1) + (f" ({len(known)} of {len(found)} seeds)" if 0 < len(known) < len(found) else "")


def level_lines(panel, name, runs):
    for across, rows in runs[panel].items():
        found = [passing(rows, panel, level) for level in LEVELS[panel]]
        cells = [places_text(places) + "*" * ended for places, ended in found]
        yield [name, f"{across:,g}", *cells, f"{len(groups.with_most_runs(grouped(rows, 'seed')))}"]


def errors_text(runs):
    for inputs, kind in INPUTS.items():
        if rows := [row for rows in figure2(runs, inputs).values() for row in rows]:
            worst, below = max(rows, key=itemgetter("test_error")), sum(row["test_error"] < 0.01 for row in rows)
            where = "m = {width:,g}, d = {d:g}, seed {seed:g}".format(**worst)
            yield f"{kind} {below} of {len(rows)} networks below 1%, worst {worst['test_error']:.1%} ({where})"


def as_markdown(rows: dict[str, list[dict]], caps: dict[tuple, dict[float, float]]) -> str:
    """The text of claims.md, from the rows of each script and the caps of `lib.results.read_caps`."""
    runs, settings = by_protocol(rows, caps)
    claims = []
    for title, digits, unit, find, *args in CLAIMS:
        found = [[*find(own, *args)] for own in runs.values()]
        first, second = (verdict(estimates) if estimates else "–" for estimates in found)
        word = first if second in ("–", first) else f"{first}; bias and box: {second}"
        claims.append([title, *(in_words(own, digits, unit) if own else "–" for own in found), word])
    tables, symbols = {"claims": table(["the paper says", *runs, "verdict"], claims)}, [*QUANTITIES]
    for name, lines, head in [
        ("exponents", exponent_lines, ["inputs", "m", "C0", *symbols[:4]]),
        ("growth", growth_lines, ["m", "d", "C0", *symbols[:3]]),
        ("left", partial(level_lines, "left"), ["d", *(f"{level:.0%}" for level in LEVELS["left"])]),
        ("right", partial(level_lines, "right"), ["m", *(f"{level:.0%}" for level in LEVELS["right"])]),
    ]:
        tables[name] = table(["", *head, "seeds"], [line for protocol in runs.items() for line in lines(*protocol)])
    errors = "".join(f"- {name}: {'; '.join(errors_text(own))}\n" for name, own in runs.items())
    return PAGE.format(errors=errors, **tables, **settings)
