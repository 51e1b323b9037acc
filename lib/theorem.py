"""What saved networks say of Sections 3 and 4: `as_markdown` writes as theorem.md what plot_figures.py measured."""

import math
from collections.abc import Callable

from lib.claims import decimal, least_and_most, table
from lib.groups import DATA, exponents, grouped
from lib.results import data_in_words

import numpy as np

GAMMA = 0.01  # the paper's bounds may fail with this probability, at any one x
STEPS = (0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20)  # the C2 that are tried


def needed_C2(network: dict, shares: str = "flipped") -> float:
    """The least of the STEPS that flips every digit; infinite if none does. shares has the share that each flips."""
    return min([C2 for C2, share in network[shares].items() if share == 1], default=math.inf)


def needed_at_largest_value(network: dict) -> float:
    return needed_C2(network, "flipped_at_largest_value")


def needed_at_small_gradient(network: dict) -> float:
    return needed_C2(network, "flipped_at_small_gradient")


def value_bound(network: dict) -> float:
    """2 sqrt(log(2/gamma)) + C0, which no |f| in the ball should pass (Lemma 4.1)."""
    return 2 * math.sqrt(math.log(2 / GAMMA)) + network["C0"]


def neurons_bound(network: dict) -> float:
    """C0 sqrt(m) + sqrt(m log(1/gamma)/2), which no |S_v| should pass (Lemma 4.3)."""
    return network["C0"] * math.sqrt(network["width"]) + math.sqrt(network["width"] * math.log(1 / GAMMA) / 2)


def least_gradient(network: dict) -> float:
    return network["gradient"].min()


def mean_gradient_change(network: dict) -> float:
    """The mean over the digits that some step flips; 0 if none does."""
    known = network["gradient_change"][np.isfinite(network["gradient_change"])]
    return known.mean() if len(known) else 0.0


def range_of(values, digits: int = 2) -> str:
    """The least and the largest of the values."""
    return "–".join(least_and_most([*values], digits))


def slopes_in_d(networks: list[dict], quantity: Callable) -> list[float]:
    """The quantity's `exponents` of networks that differ in d and seed alone; infinite if the quantity is not finite."""
    slopes = []
    for same in grouped(networks, "trained", "width", "C0", *DATA).values():
        finite = all(math.isfinite(quantity(network)) for network in same)
        slopes += exponents(same, quantity) if finite else [math.inf]
    return slopes


def power_of_d(networks: list[dict], most: float, quantity: Callable) -> tuple[str, str]:
    """The quantity's exponents in d, in words, and whether all are at most this, for each C0 where it differs."""
    words, verdicts = [], {}
    for C0, own in grouped(networks, "C0").items():
        slopes = slopes_in_d(own, quantity)
        verdicts[C0] = yes_or_no(max(slopes) <= most) if slopes else "open"
        known = [slope for slope in slopes if math.isfinite(slope)]
        words.append(f"like d^{' to '.join(least_and_most(known)) if known else '?'} at C0 = {C0:g}")
    alike = len({*verdicts.values()}) == 1
    return ", ".join(words), verdicts[C0] if alike else "; ".join(f"C0 = {C0:g}: {verdicts[C0]}" for C0 in verdicts)


def yes_or_no(good: bool) -> str:
    return "yes" if good else "no"


def too_many(broken) -> bool:
    """Whether more than a share γ of the digits, bool (n,), break a bound."""
    return broken.mean() > GAMMA


def holds(broken) -> str:
    """Whether a bound holds, from the digits of each network that break it."""
    return yes_or_no(not any(map(too_many, broken)))


def fails_up_to(networks: list[dict], fails: Callable, what: str) -> tuple[str, str]:
    """Up to which d some network of each C0 fails, in words, and the verdict: a W that does not fail shows nothing."""
    failing = grouped([network for network in networks if fails(network)], "C0")
    if not failing:
        return "found none that breaks it", "open"
    largest = {C0: max(network["d"] for network in own) for C0, own in failing.items()}
    return f"{what} " + ", ".join(f"up to d = {d:g} at C0 = {C0:g}" for C0, d in largest.items()), "no"


def no_C2_flips(networks: list[dict], needed: Callable) -> tuple[str, str]:
    """Up to which d some network of each C0 is not flipped whole by any of the STEPS, in words, and the verdict."""
    return fails_up_to(networks, lambda network: math.isinf(needed(network)), f"no C2 ≤ {STEPS[-1]} flips all")


def one_C2_flips(networks: list[dict], needed: Callable = needed_C2) -> tuple[str, str]:
    """The C2 that flips every digit of the networks of which one does, for each C0; how it grows with d; the verdict."""
    flips = [network for network in networks if math.isfinite(needed(network))]
    words = ", ".join(f"{max(map(needed, own)):g} at C0 = {C0:g}" for C0, own in grouped(flips, "C0").items())
    end, verdict = power_of_d(networks, 0.1, needed)
    if len(flips) < len(networks):
        end = no_C2_flips(networks, needed)[0]
        return f"{end}; elsewhere C2 = {words} does" if flips else end, verdict
    return f"C2 = {words}; {end}", verdict


def statements(networks: list[dict]):
    """The lines of the first table: what the paper says, what was measured, and whether that fits."""

    def means(name, digits=1):
        return range_of([one[name].mean() for one in networks], digits)

    says = "One C2 flips every image, at every d (Theorem 3.1)"
    for trained, own in grouped(networks, "trained").items():
        yield f"{says}, after {trained}", *one_C2_flips(own)
        says = "The same"
    yield "The same, at the W in the ball with the largest \\|f\\|", *one_C2_flips(networks, needed_at_largest_value)
    yield "The same, at a W in the ball with a small ∇f", *no_C2_flips(networks, needed_at_small_gradient)
    power, word = power_of_d(networks, 0.1, lambda one: one["R_pgd"] / math.log(one["d"]))
    R = [range_of([one[name] for one in networks], 1) for name in ("R_step", "R_pgd")]
    measured = f"R√d {R[0]} (one step), {R[1]} (PGD); by PGD R√d/log d {power}"
    yield "Robust error is 0.9 or more at R = Õ(1/√d) (Corollary 3.2), at the trained W", measured, word
    shares = [one["f_in_ball"] / value_bound(one) for one in networks]
    measured = f"means {means('f_at_W0')} at W0, {means('f_at_W')} at W, {means('f_in_ball')} in the ball"
    measured += f"; at most {decimal(max(share.max() for share in shares))} of the bound"
    yield "\\|f\\| ≤ 2√log(2/γ) + C0 for all W in the ball (Lemma 4.1)", measured, holds(share > 1 for share in shares)
    broken = [one["gradient"] < 0.25 for one in networks]
    measured = f"at least {range_of(map(least_gradient, networks))} √d, and below √d/4 for at most "
    measured += f"{max(one.mean() for one in broken):.1%} of a network's digits"
    yield "‖∇f‖ ≥ √d/4 (Lemma 4.2), at the trained W", measured, holds(broken)
    yield (
        "The same, at a W in the ball with a small ∇f",
        *fails_up_to(networks, lambda one: too_many(one["small_gradient"] < 0.25), "less"),
    )
    shares = [one["changeable"] / neurons_bound(one) for one in networks]
    did = [one["changed"].mean() / max(1, one["changeable"].mean()) for one in networks]
    measured = f"at most {decimal(max(share.max() for share in shares))} of the bound; "
    measured += f"{range_of(did)} of those that can did in training"
    says = "At most C0√m + √(m log(1/γ)/2) neurons can change sign in the ball (Lemma 4.3)"
    yield says, measured, holds(share > 1 for share in shares)
    power, word = power_of_d(networks, -0.1, mean_gradient_change)
    measured = f"{range_of(map(mean_gradient_change, networks))} √d; over √d {power}"
    yield "‖∇f(x + δ) − ∇f(x)‖ = o(√d) (Lemma 4.4), at the trained W and the smallest flipping δ", measured, word
    cone = max(one["cone"] for one in networks)
    yield "rW flips at the same δ as W (§3, cone)", f"‖δ‖ differs by {cone:.0e} of itself", yes_or_no(cone < 1e-9)


def as_markdown(networks: list[dict]) -> str:
    """The text of theorem.md, from what `plot_figures.measure` gave for each network."""
    head = ["", "m", "C0", "seed", "C2", "C2 at the largest \\|f\\|", "\\|f\\| at W0", "at W", "most in the ball"]
    head += [
        "least ‖∇f‖/√d",
        "at a W in the ball",
        "can change sign",
        "did",
        "C0√m",
        "gradient's change/√d",
        "R√d",
        "by PGD",
    ]
    lines = []
    for one in networks:
        line = [f"{one['trained']}, {data_in_words(one)}", f"{one['width']:,}", f"{one['C0']:g}", f"{one['seed']}"]
        tried = needed_C2(one), needed_at_largest_value(one)
        line += [f"{C2:g}".replace("inf", f"> {STEPS[-1]}") for C2 in tried]
        line += [decimal(one[name].mean(), 1) for name in ("f_at_W0", "f_at_W", "f_in_ball")]
        line += [decimal(least_gradient(one)), decimal(one["small_gradient"].min())]
        neurons = [*(one[name].mean() for name in ("changeable", "changed")), one["C0"] * math.sqrt(one["width"])]
        line += [*(f"{number:,.0f}" for number in neurons), decimal(mean_gradient_change(one))]
        lines.append(line + [decimal(one[name], 1) for name in ("R_step", "R_pgd")])
    seeds = (len(grouped(own, "seed")) for own in grouped(networks, "trained").values())
    best = "yes" if min(seeds) > 1 else "likely"
    judged = [[*line, word.replace("yes", best)] for *line, word in statements(networks)]
    first = table(["the paper says", "measured", "verdict"], judged)
    draws = len(grouped(networks, "d", "width", "seed"))
    words = {"count": len(networks), "draws": draws, "gamma": GAMMA}
    return PAGE.format(statements=first, networks=table(head, lines), **words)


PAGE = """# The theorem and its lemmas, on trained networks

Each bound of the paper is for a single x of norm 1 and holds for all W in the ball at once. It may fail with probability γ over
W0 and a. We check the bounds at γ = {gamma}, on {count} networks with {draws} different W0, on every fourth test digit scaled to
norm 1.

*Yes*: at most a share γ of any network's digits break the bound, and C2 flips them all. If the paper leaves a constant open, *yes*
means that the bounded quantity grows no faster than d^0.1 (Lemma 4.4: the change over √d falls faster than d^−0.1). With one
seed we write *likely* for *yes*. A fit over a few d proves nothing, and a *no* at small d refutes nothing: the theorem is for
large d.

{statements}
C2 is the least of those tried for which the step |η| = C2/‖∇f‖² flips every digit. The largest |f| and the neurons that can
change sign are exact, over all W in the ball. For the W with a small ∇f we move every neuron against ∇f, at right angles to x.
This shortens ∇f by about C0/2, which is the O(1) in the proof of Lemma 4.2. The lemma's informal statement asks only for d ≥
Ω(log(m/γ)/m), so this Ω must hide C0. R is the radius at which 10% of the digits are still classified correctly, after the
smallest step or 20 steps of PGD. log d stands for the logarithms that Õ hides.

Theorem 3.1 also asks for d^2.4 ≤ m ≤ C4 exp(d^0.24), where d^2.4 is 2,265 at d = 25, 63,096 at d = 100 and 8.8 million at d =
784. Only four pairs of the paper's Figure 2 meet the lower bound: d = 25 with m = 10,000 and 100,000, and d = 49 and 100 with m =
100,000. The upper bound is 9 C4 at d = 25 and 141 C4 at d = 784.

{networks}"""
