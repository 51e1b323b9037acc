"""The paper's claims, held against the rows of the results: CLAIMS, and `tell`, which words them as claims.md."""

import textwrap
from collections.abc import Callable
from typing import NamedTuple

from lib import evidence
from lib.evidence import SYMBOLS, Record, distinct, span
from lib.groups import ADVERSARIAL_SETTINGS, SCRIPTS, SETTINGS, by_settings, describe, eta_at_norm_1, grouped
from lib.results import cap_key

PROTOCOLS = {(0, 0): "Paper's formulas", (1, 1): "Authors' bias and box"}


class Claim(NamedTuple):
    """A claim of the paper: in brief, in its own words with their place, what is asked for, and who looks for it.

    width is the paper's m, if it is to be said where the runs have another.
    """

    title: str
    source: str
    criterion: str
    examine: Callable[[dict], list[Record]]
    width: float | None = None


class Section(NamedTuple):
    """What the runs with some settings say of a claim: a list of Records for each of the PROTOCOLS."""

    number: int
    settings: tuple
    findings: list[list[Record]]


# ---------------------------------------------------------------------------------------------------- the claims

CLAIMS = [
    Claim(
        "Every trained network has a test error below 1%",
        "“each of the trained models achieves a test error of less than 1%” (Section 5.1)",
        "each network has a test error below 1%. Balls that T epochs did not leave hold the same network; it counts "
        "once.",
        evidence.small_test_error,
    ),
    Claim(
        "A step of size ‖δ‖/‖x‖ = O(1/√d) flips every example",
        "“the minimum size of the perturbation vector (normalized by the input norm)” behaves as O(1/√d) (Section "
        "5.1, Figure 2 left); “a single gradient step on f suffices” for any x (Section 3, Theorem 3.1)",
        "the mean of ‖δ‖/‖x‖ falls like 1/√d: its fitted exponent is within 0.1 of −1/2. Only C0 = 10, as in Figure "
        "2, is judged. The last column is the largest sum of a mean and two standard deviations over the test examples.",
        evidence.power_of_d(-0.5, {"‖δ‖/‖x‖": lambda row: row["rel_delta_mean"]}, evidence.scaled_steps),
    ),
    Claim(
        "The gradient norm ‖∇f‖ is roughly Ω(√d)",
        "“the gradient norm behaves roughly as Ω(√d)” (Section 5.1, Figure 2 middle); ‖∇f‖ ≥ √d/4 (Lemma 4.2)",
        "the mean of ‖∇f‖ grows like √d: its fitted exponent is within 0.1 of 1/2. Only C0 = 10, as in Figure 2, is "
        "judged. The last column is to be compared with the 1/4 of Lemma 4.2.",
        evidence.power_of_d(0.5, {"‖∇f‖": lambda row: row["grad_norm_mean"]}, evidence.scaled_gradients),
    ),
    Claim(
        "The step size η is O(1/d)",
        "“the minimum step-size required to flip the label” behaves as O(1/d) (Section 5.1, Figure 2 right; Theorem "
        "3.1)",
        "the means of η and of (‖δ‖/‖x‖)/‖∇f‖ fall like 1/d: their fitted exponents are within 0.1 of −1. The second "
        "is what η would be at x/‖x‖, and its exponent the difference of those of claims 2 and 3. Only C0 = 10, as in "
        "Figure 2, is judged. Only of Section 5.2 does the paper say that inputs were scaled to norm 1, as Theorem 3.1 "
        "assumes; here networks trained on either are shown, where there are some.",
        evidence.power_of_d(-1, {"η": lambda row: row["eta_mean"], "(‖δ‖/‖x‖)/‖∇f‖": eta_at_norm_1}),
    ),
    Claim(
        "With C0, ‖∇f‖ and η grow, and so does ‖δ‖",
        "“as C0 increases, both the size of the gradient and the minimum step size required to flip the label "
        "increase, thereby increasing the size of the perturbation vector” (Section 5.1, Figure 3, at m = 100,000)",
        "each of ‖∇f‖, η and ‖δ‖/‖x‖ is larger at each C0 than at the one before, at every d. Only networks that left "
        "their ball count, and only the paper's m is judged, or the one that stands in for it. A cell gives the growth "
        "from the first C0 to the last, and a mark for each step between.",
        evidence.grows_with_C0,
        width=100000,
    ),
    Claim(
        "|f| and η‖∇f‖² are O(1)",
        "|f| ≤ 2√log(2/γ) + C0 with probability 1 − γ (Lemma 4.1); |η| = C2/‖∇f‖² (Theorem 3.1)",
        "neither |f|/‖x‖ nor η‖∇f‖²/‖x‖ grows with d: their fitted exponents are at most 0.1. The ranges are over d, "
        "of means over seeds.",
        evidence.bounded,
    ),
    Claim(
        "Networks are robust below ε = 5/√d and not above",
        "“for perturbation sizes slightly larger than 5/√d, the robust accuracy drops to 0, while the trained "
        "networks are robust against smaller perturbations” (Section 5.2, Figure 4 left)",
        "at every d robust accuracy is at least 0.9 times the cap up to ε√d = 4, passes 0.05 between 4 and 6, and is "
        "at most 0.05 beyond 5. Also, ε at 0.05 must go like a power of d within 0.1 of −1/2. The paper's 5/√d is where "
        "robust accuracy reaches 0; where it passes 0.95 and 0.5 is told, not judged. The cap is the most that any "
        "classifier can reach, since two test digits with different labels, at most 2ε apart, cannot both be right "
        "(sweeps/figure4_cap.py). It is told where it is below 1, and where it is unknown an accuracy that is too low is "
        "a ?. It never falls below the share of the commoner digit, 0.54 for 0 and 1.",
        evidence.falls_past_5,
    ),
    Claim(
        "The radius V at which networks become robust goes like 1/√m",
        "“a phase transition in the robust test accuracy at value of V around O(1/√m)” (Section 5.2, Figure 4 right)",
        "the V at which robust accuracy passes 0.05, 0.5, 0.9 and 0.95 go like powers of m within 0.1 of −1/2. Only "
        "levels that it passes at three m or more are judged. The paper's 25/√m is where the transition ends, not its "
        "middle; claims 9 and 10 are about its ends.",
        evidence.rises_like_a_root,
    ),
    Claim(
        "Just past V = 25/√m networks are nearly wholly robust",
        "“even a slight deviation from the 25/√m radius allows for training networks that are completely robust "
        "against the PGD attacks” (Section 5.2, Figure 4 right)",
        "at every m with runs beyond V√m = 25 robust accuracy is at least 0.95 in all of them.",
        evidence.robust_past_25,
    ),
    Claim(
        "With a smaller V robust accuracy quickly drops to 0",
        "“With a smaller radius, however, the robust test accuracy quickly drops to 0” (Section 5.2, Figure 4 right)",
        "at every m robust accuracy is down to 0.05 at half of 25/√m: it passes 0.05 at V√m = 12.5 or more. That half "
        "is quick enough is our reading.",
        evidence.zero_before_25,
    ),
    Claim(
        "Every network lies in its lazy ball",
        "“the models that our training algorithm returns are guaranteed to satisfy the lazy regime assumption” "
        "(Section 5.1; Definition 2.1); “after each gradient step, we project the weights” (Section 5.2)",
        "each network's largest deviation is at most V. Only networks of the paper's formulas are judged. The authors' "
        "own networks lie outside, by up to 6%, since their scripts project once an epoch, after they have measured. "
        "Ours with bias and box are projected after each step and lie inside, which says nothing of theirs.",
        evidence.in_the_ball,
    ),
    Claim(
        "The projection does not hurt the test accuracy",
        "the projection “does not hurt the test accuracy of the trained models” (Section 5.2)",
        "at every m and V the test accuracy is at most 1 percentage point below that at the largest V, which projects "
        "least.",
        evidence.keeps_test_accuracy,
    ),
]


# ------------------------------------------------------------------------------------------------------- claims.md

HEAD = f"""# The paper's claims, checked against the runs

This file says how {len(CLAIMS)} claims of the paper fare in the runs of the results folder. Each claim is split into checks, such
as one for each width. The table says how many of them hold:

- *holds (35 of 35)*: all 35 checks hold.
- *partly (5 of 18, 3 undecided)*: 5 of 18 checks hold, the runs cannot decide 3, and the others fail.
- *fails (0 of 14)*: no check holds.
- *open*: the runs are too few, too short or too far apart to decide any check.
- –: no runs could tell.

*Paper's formulas* are runs of the network and the attack as the paper writes them. *Authors' bias and box* are runs
with a trained bias (`--bias`) and, in Section 5.2, with attacks clipped to pixels from 0 to 1 (`--box`), as in the
authors' scripts. What else these scripts do differently is in docs/protocol.md, and not in these runs.

A claim may have runs with several settings, such as another T. The table has those settings of which there are most
runs. The last column names what differs from the scripts' defaults, and a width m that stands in for the paper's.
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
- *Runs that T ended* were still in their ball after T epochs (Section 5.1), or still gaining (Section 5.2). More epochs
  might raise their robust accuracy, so one that is too low is a ?.
- *Runs stopped at 0* are those of Section 5.2 that patience ended at a robust training accuracy below 0.001. As 0 gains
  nothing, that is mostly after 21 epochs. Those that we trained for all 100 epochs stayed there (docs/protocol.md).
- *Inputs of norm 1* are what Theorem 3.1 assumes. Without bias f(cx) = c f(x) for c > 0. So |f|/‖x‖, η‖∇f‖²/‖x‖ and
  (‖δ‖/‖x‖)/‖∇f‖ are the values of |f|, η‖∇f‖² and η at x/‖x‖. Where some networks were trained on such inputs
  (`--normalize`), a column says which.
- *0.95 at ε√d* is the ε√d at which robust accuracy passes 0.95. It is interpolated between two neighbouring runs, if
  they are no more than a factor of 2 apart. The same for other levels, and for V√m. With several seeds it is a mean; seeds
  with fewer runs than others are left out. A power of d or m is fitted to these places.
- *As the runs on either side allow*: the true place may be anywhere between the two runs, and the power with it. A place
  or power has a ✓ if the interpolated one is what is asked for, a ✗ if none between the two runs would be, and a ?
  otherwise. A place also has a ? if a seed that was left out contradicts it. And it has a ? if it comes too early, but T
  ended the run there: more epochs might move it on.

Theorem 3.1 also assumes max(d^2.4, C3 log(1/γ)) ≤ m ≤ C4 exp(d^0.24), with constants that it does not name. Of the 21
pairs of d and m in the paper's Figure 2, 4 have d^2.4 ≤ m: d = 25 at m = 10,000, and d = 25, 49, 100 at m = 100,000. None
of these meets the last condition unless C4 is 1,147 or more.

`plot_figures.py` writes this file from the rows alone.
"""


def tell(rows: dict[str, list[dict]], caps: dict[tuple, float]) -> str:
    """The text of claims.md, from the rows of each script and the table of sweeps/figure4_cap.py.

    caps is a dict of (num1, num2, d, eps) to the most that robust accuracy can be.
    """
    tables, left_out = by_protocol(rows | {"advtrain": [with_cap(row, caps) for row in rows["advtrain"]]})
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


def with_cap(row, caps):
    """The row with a column for its cap, where caps has one."""
    return row | {"cap": caps[cap_key(row)]} if cap_key(row) in caps else row


def by_protocol(rows):
    """A dict of settings to protocol to script to rows, and how many runs are of neither of the PROTOCOLS."""
    tables, left_out = {}, 0
    for script in SCRIPTS:
        usual = ADVERSARIAL_SETTINGS
        if script == "ntk_normal":
            # Bias makes the protocol, and inputs of norm 1 are told beside the others.
            usual = {name: value for name, value in SETTINGS.items() if name not in ("bias", "normalize")}
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


def checks_of(records):
    return [check for record in records for cell in record.cells.values() for check in cell.checks]


def how_many_runs(section):
    return sum(len(rows_of(records)) for records in section.findings)


def verdict(records):
    """The records' checks in a word, with the share that holds and how many of them are undecided."""
    if not records:
        return "–"
    checks = checks_of(records)
    undecided, holding = sum(check is None for check in checks), sum(map(bool, checks))
    if undecided == len(checks):
        return "open"
    word = "holds" if holding == len(checks) else "partly" if holding else "fails"
    return f"{word} ({holding} of {len(checks)}{f', {undecided} undecided' * (undecided > 0)})"


def summary(main):
    """The table of all claims; main is a dict of a claim's number to its Section."""
    head = ["", "claim", *(name.lower() for name in PROTOCOLS.values()), "settings"]
    lines = []
    for number, claim in enumerate(CLAIMS, start=1):
        section = main.get(number, Section(number, (), [[] for _ in PROTOCOLS]))
        verdicts = [verdict(records) for records in section.findings]
        lines.append([str(number), claim.title, *verdicts, told_settings(section)])
    return table(head, lines)


def tell_section(section, again=False):
    """The section in words; without what the claim says and asks for if that was told before."""
    claim, settings = CLAIMS[section.number - 1], told_settings(section)
    if again:
        text = [f"### {section.number}. {claim.title}: {settings or 'default settings'}\n"]
    else:
        text = [f"## {section.number}. {claim.title}\n"]
        text += [paragraph(f"The paper: {claim.source}."), paragraph(f"Holds if {claim.criterion}")]
        text += [paragraph(f"Settings: {settings}.")] if settings else []
    for name, records in zip(PROTOCOLS.values(), section.findings):
        text += [f"**{name}**: {in_short(records)}\n", *tables_of(records)]
    return "\n".join(text)


def told_settings(section):
    """The settings in words, with the width that stands in for the paper's, and with its protocol if not all have it."""
    words, width = describe(section.settings)[1], CLAIMS[section.number - 1].width
    protocols = {}
    for name, records in zip(PROTOCOLS.values(), section.findings):
        judged = rows_of(record for record in records if checks_of([record]))
        if width and judged:
            others = span([row for row in judged if row["width"] != width], "width")
            protocols.setdefault(others, []).append(name.lower())
    for others, names in protocols.items():
        if others:
            whose = f" ({', '.join(names)})" if len(protocols) > 1 else ""
            words.append(f"m = {others} in place of {width:,.10g}{whose}")
    return ", ".join(words)


def in_short(records):
    """The verdict on the records, and what they rest on."""
    if not records:
        return "no runs that could tell."
    rows = rows_of(records)
    # The ball is told by its C0 or its V, by whichever takes fewer digits.
    ball = min("C0", "V", key=lambda column: len("".join(f"{value:.10g}" for value in grouped(rows, column))))
    columns = [column for column in ("width", "d", "eps", ball) if column in rows[0]]
    columns += ["normalize"] * any(row.get("normalize") for row in rows)
    seeds = span(rows, "seed")
    seeds = f"one seed ({seeds})" if len(grouped(rows, "seed")) == 1 else f"seeds {seeds}"
    runs = "1 run" if len(rows) == 1 else f"{len(rows)} runs"
    where = "; ".join(f"{SYMBOLS[column]} = {span(rows, column)}" for column in columns)
    return f"{verdict(records)}. {runs}: {where}; {seeds}."


def tables_of(records):
    """A table for all records that are about the same columns, without columns in which nothing was measured.

    Inputs are told where some have norm 1.
    """
    texts = []
    for columns in dict.fromkeys(tuple(record.about) for record in records):
        same = [record for record in records if tuple(record.about) == columns]
        measured = [name for name in same[0].cells if {record.cells[name].text for record in same} - {"", "none"}]
        columns = [
            name for name in columns if name != "inputs" or {record.about[name] for record in same} != {"pixels"}
        ]
        lines = [
            [*(record.about[name] for name in columns), *(record.cells[name].text or "–" for name in measured)]
            for record in same
        ]
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
