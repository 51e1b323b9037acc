"""What saved networks say of Sections 3 and 4: `as_markdown` writes as theorem.md what plot_figures.py measured."""

import math
from collections.abc import Callable
from operator import itemgetter

from lib.claims import decimal, table
from lib.groups import DATA, grouped
from lib.results import data_in_words

import numpy as np

GAMMA = 0.01  # the paper's bounds may fail with this probability, at any one x
STEPS = (0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20)  # the C2 that are tried


def needed_C2(network: dict) -> float:
    """The least of the STEPS from which on every digit flips; infinite if there is none."""
    last = max((C2 for C2, share in network["flipped"].items() if share < 1), default=0)
    return min([tried for tried in STEPS if tried > last], default=math.inf)


def value_over_bound(network: dict) -> float:
    """The largest |f| in the ball, over 2 sqrt(log(2/gamma)) + C0 (Lemma 4.1)."""
    return network["f_in_ball"].max() / (2 * math.sqrt(math.log(2 / GAMMA)) + network["C0"])


def neurons_over_bound(network: dict) -> float:
    """The largest |S_v|, over C0 sqrt(m) + sqrt(m log(1/gamma)/2) (Lemma 4.3)."""
    m = network["width"]
    return network["changeable"].max() / (network["C0"] * math.sqrt(m) + math.sqrt(m * math.log(1 / GAMMA) / 2))


def least_gradient(network: dict) -> float:
    return network["gradient"].min()


def gradient_change(network: dict) -> float:
    return network["gradient_change"].mean()


def powers_of_d(networks: list[dict], quantity: Callable) -> list[float]:
    """The exponents in d of the quantity: one for all networks alike but in d, where there are three d or more."""
    slopes = []
    for same in grouped(networks, "trained", "width", "C0", "seed", *DATA).values():
        points = [(network["d"], quantity(network)) for network in same if 0 < quantity(network) < math.inf]
        if len({d for d, _ in points}) > 2:
            slopes.append(np.polyfit(*np.log(points).T, 1)[0])
    return slopes


def span(values, digits: int = 2) -> str:
    """The least and the largest of the values, those that are known."""
    known = [value for value in values if math.isfinite(value)]
    return " to ".join(dict.fromkeys(decimal(end, digits) for end in (min(known), max(known)))) if known else "–"


def yes_or_no(good: bool) -> str:
    return "yes" if good else "no"


def growth(networks: list[dict], most: float, *quantities: Callable) -> tuple[str, str]:
    """The quantities' exponents in d, in words, and whether all are at most this, for each C0 where it differs."""
    words, verdicts = [], {}
    for C0, own in grouped(networks, "C0").items():
        slopes = [slope for quantity in quantities for slope in powers_of_d(own, quantity)]
        words += [f"like d^{span(slopes)} at C0 = {C0:g}"] if slopes else []
        verdicts |= {C0: yes_or_no(max(slopes) <= most)} if slopes else {}
    if len({*verdicts.values()}) == 1:
        return ", ".join(words), verdicts.popitem()[1]
    return ", ".join(words) or "too few d", "; ".join(f"C0 = {C0:g}: {word}" for C0, word in verdicts.items()) or "open"


def statements(networks: list[dict]):
    """The lines of the first table: what the paper says, what was measured, and whether that fits."""
    measured_once = ("f_at_W0", "f_at_W", "f_in_ball", "R_step", "R_pgd", "cone")
    each = {name: [one[name] for one in networks] for name in measured_once}
    over_bound = {
        "f": [*map(value_over_bound, networks)],
        "neurons": [*map(neurons_over_bound, networks)],
        "gradient": [*map(least_gradient, networks)],
    }
    enough = {C0: max(map(needed_C2, own)) for C0, own in grouped(networks, "C0").items()}
    power, word = growth(networks, 0.1, needed_C2)
    C2 = ", ".join(f"{C2:g} at C0 = {C0:g}" for C0, C2 in enough.items()).replace("inf", f"more than {STEPS[-1]}")
    yield "One C2 flips every image, at every d (Theorem 3.1)", f"C2 = {C2}; {power}", word
    power, word = growth(networks, 0.1, itemgetter("R_step"), itemgetter("R_pgd"))
    steps, pgd = span(each["R_step"], 1), span(each["R_pgd"], 1)
    yield "Robust error is 0.9 at R = Õ(1/√d) (Corollary 3.2)", f"R√d {steps}, by PGD {pgd}; {power}", word
    means = [span(map(np.mean, each[name]), 1) for name in ("f_at_W0", "f_at_W", "f_in_ball")]
    measured = "means {} at W0, {} at W, {} in the ball; largest {} of the bound".format(*means, span(over_bound["f"]))
    yield "\\|f\\| ≤ 2√log(2/γ) + C0 in the ball (Lemma 4.1)", measured, yes_or_no(max(over_bound["f"]) <= 1)
    least = over_bound["gradient"]
    yield "‖∇f‖ ≥ √d/4 (Lemma 4.2)", f"smallest {span(least)} √d", yes_or_no(min(least) >= 0.25)
    did = span([one["changed"].mean() / one["changeable"].mean() for one in networks])
    measured = f"largest {span(over_bound['neurons'])} of the bound; of these {did} did"
    says = "At most C0√m + √(m log(1/γ)/2) neurons can change sign (Lemma 4.3)"
    yield says, measured, yes_or_no(max(over_bound["neurons"]) <= 1)
    power, word = growth(networks, 0, gradient_change)
    changes = span(map(gradient_change, networks))
    yield "‖∇f(x + δ) − ∇f(x)‖ = o(√d) (Lemma 4.4)", f"{changes} √d; over √d {power}", word
    cone = max(each["cone"])
    yield "rW flips at the same δ as W (§3, cone)", f"‖δ‖ differs by {cone:.0e} of itself", yes_or_no(cone < 1e-9)


def as_markdown(networks: list[dict]) -> str:
    """The text of theorem.md, from what `plot_figures.measure` gave for each network."""
    head = ["", "m", "C0", "seed", "C2", "\\|f\\| at W0", "at W", "in the ball", "‖∇f‖/√d, least"]
    head += ["can change sign", "did", "of C0√m", "gradient's change/√d", "R√d, one step", "PGD"]
    lines = []
    for one in networks:
        neurons = [*(one[name].mean() for name in ("changeable", "changed")), one["C0"] * math.sqrt(one["width"])]
        line = [f"{one['trained']}, {data_in_words(one)}", f"{one['width']:,}", f"{one['C0']:g}", f"{one['seed']}"]
        line += [f"{needed_C2(one):g}".replace("inf", f"> {STEPS[-1]}")]
        line += [decimal(one[name].mean(), 1) for name in ("f_at_W0", "f_at_W", "f_in_ball")]
        line += [decimal(least_gradient(one)), *(f"{number:,.0f}" for number in neurons), decimal(gradient_change(one))]
        lines.append(line + [span([one[name]], 1) for name in ("R_step", "R_pgd")])
    first = table(["the paper says", "measured", "verdict"], statements(networks))
    return PAGE.format(statements=first, networks=table(head, lines), count=len(networks), gamma=GAMMA)


PAGE = """# The theorem and its lemmas, on trained networks

The paper's bounds are for any one x of norm 1, with probability 1 − γ over W0 and a. Here they are held against every fourth
test digit, scaled to norm 1, of {count} networks, at γ = {gamma}. *Yes* says that no digit of no network breaks a bound. Where
the paper names no constant, it says that what should be bounded grows at most like d^0.1, and that the change of the
gradient over √d falls. That is a fit over a few d, and no proof.

{statements}
C2 is the least of those tried from which on the step η = C2/‖∇f‖² flips all digits. The largest |f| in the ball and the
neurons that can change sign are exact, over all W in it. ‖∇f‖ and its change are the trained W's, the latter at the δ
that flips. R is where a tenth of the digits is still right, after the smallest step or 20 steps of PGD.

Theorem 3.1 also asks for m ≥ d^2.4: 2,264 at d = 25, 63,096 at d = 100, 8.8 million at d = 784.

{networks}"""
