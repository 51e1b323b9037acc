"""python plot_figures.py --results results/paper results --out figures --figure 2 3 4

Draws the paper's Figures 2 to 4, as PNG and PDF, from the rows that ntk_normal.py, advtrain.py and advtraingap.py wrote
to the folders --results. If a run is in several folders, the last folder's row counts. Of rows that differ only in T, the
longest run's counts. With all three figures it also writes what the rows say of the paper's claims, claims.md.

figure2, figure3 and figure4 hold the runs with the scripts' default settings. Runs with other data, attacks, bs, lr,
atk_iters or patience are never averaged with those: they get figures of their own, named after what differs, such as
figure4-steps20. So do runs with bias or normalize in Figures 2 and 3; in Figure 4 bias and box get panels. Runs that T
ended are marked.

Figure 2 is for one C0, Figure 3 for one width, Figure 4 left for one of both. --C0 and --width choose; otherwise it is
the paper's value if it has two rows or more, otherwise the one with most. Other widths get Figures 3 of their own, such as
figure3-m10000. The claims do not depend on this choice.

On stderr it says how many runs of the grids in sweeps/ are there; --missing prints the commands of the others instead
of drawing. --networks also draws saved networks: a gallery of smallest flipping steps, and the theorem. A table
figure4_cap.csv in --results, of the most that any classifier can reach, is drawn into Figure 4 left.
"""

import argparse
import copy
import io
import itertools
import math
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import advtrain
import ntk_normal
from common import (
    TwoLayerNet,
    changeable_neurons,
    changed_neurons,
    flipped,
    gradient_and_flips,
    gradient_change,
    in_chunks,
    largest_value_in_ball,
    load_digits,
    load_network,
    move_against_gradient,
    move_to_largest_value,
    robust_accuracy,
    smallest_step,
)
from lib import ROOT, RunError, claims, command_line, results, theorem
from lib.files import check_folder, write_whole
from lib.groups import (
    AXES,
    DATA,
    DEFAULTS,
    by_settings,
    crossing,
    crossings,
    describe,
    ends_in_words,
    eta_at_norm_1,
    exponents,
    grouped,
    keep_one_value,
    latest_of_each_run,
    left_of_figure4,
    right_of_figure4,
    span,
    width_of_figure3,
)
from lib.progress import note, say, warn
from lib.results import (
    cap_key,
    configuration_columns,
    ended_by_T,
    key_columns,
    most_epochs,
    numbers,
    read_caps,
    read_rows,
    results_files,
)
from lib.ticks import cell_edges, tick_each, tick_log
from sweeps import figure2, figure3, figure4_left, figure4_right, lines

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from tqdm import tqdm

# Each part of a figure: the script that runs it, and its grid, as a function of laptop (and authors, in Figure 4).
GRIDS = {
    "2": ("ntk_normal", figure2.runs),
    "3": ("ntk_normal", figure3.runs),
    "4 left": ("advtrain", figure4_left.runs),
    "4 right": ("advtraingap", figure4_right.runs),
}
RESULTS = [Path("results/paper"), Path("results")]
COLUMNS = {"ntk_normal": ntk_normal.COLUMNS, "advtrain": advtrain.COLUMNS, "advtraingap": advtrain.COLUMNS}
BIAS_AND_BOX = {(0, 0): "paper's formulas", (1, 1): "with bias and box", (1, 0): "with bias", (0, 1): "with box"}
# What --C0 and --width choose for each part; the other parts have all there are on an axis, or as curves.
CHOICES = {"2": ("C0",), "3": ("width",), "4 left": ("width", "C0"), "4 right": ()}

SYMBOLS = {"d": "$d$", "eps": r"$\varepsilon$", "width": "$m$", "V": "$V$", "C0": "$C_0$"}

# Figures 2 and 3: a panel's title, what it shows of a row and how that is written, and the paper's rate as a power of d.
PANELS = [
    ("smallest flipping step", itemgetter("rel_delta_mean"), r"$\|\delta\|\,/\,\|x\|$", -0.5, r"$c\,/\sqrt{d}$"),
    ("gradient", itemgetter("grad_norm_mean"), r"$\|\nabla f\|$", 0.5, r"$c\,\sqrt{d}$"),
    ("step size", itemgetter("eta_mean"), r"$|\eta|$", -1.0, r"$c\,/\,d$"),
    (r"added: step size at $x/\|x\|$", eta_at_norm_1, r"$(\|\delta\|\,/\,\|x\|)\,/\,\|\nabla f\|$", -1.0, r"$c\,/\,d$"),
]
LEARNING = {"train_loss": "training loss", "train_robust_acc": "robust training accuracy", "test_acc": "test accuracy"}
LEARNING |= {"deviation_over_V": "deviation / $V$"}


class Side(NamedTuple):
    """A side of Figure 4: which rows it takes, their axes, what they have in common, and the paper's threshold."""

    of: Callable
    across: str
    up: str
    common: tuple
    scale: float  # the threshold is this over the root of what is across


LEFT = Side(left_of_figure4, "d", "eps", ("width", "C0"), 5)
RIGHT = Side(right_of_figure4, "width", "V", ("d", "eps"), 25)

STYLE = {"font.size": 8, "axes.titlesize": 8, "figure.titlesize": 8, "legend.fontsize": 7}
STYLE |= {"xtick.labelsize": 7, "ytick.labelsize": 7, "legend.handlelength": 2.2}
STYLE |= {"axes.linewidth": 0.6, "lines.linewidth": 1.1, "lines.markersize": 4, "hatch.linewidth": 0.4}
WIDTH_COLOURS = {1000: "tab:red", 10000: "tab:orange", 100000: "tab:blue"}
COLOURS = ("#CC79A7", "#000000", "#56B4E9", "#8C6D31")
MARKERS = "os^Dv<>pP*"


def main():
    args = parse_arguments()
    matplotlib.use("Agg")  # draws without a display
    plt.rcdefaults()  # whatever the user's matplotlibrc says
    plt.rcParams.update(STYLE)
    if args.curves:
        save({"curves": draw_learning(args.curves)}, args.out)
        return
    for folder in args.results:
        warn_of_unread_files(folder)
    if args.missing is not None:
        print_missing(args)
    else:
        draw(args)


def parse_arguments() -> argparse.Namespace:
    parser = command_line.bare_parser(__doc__)
    folders = "the folders with the CSVs (default: results/paper, which has ours, and results, where yours are)"
    parser.add_argument("--results", type=Path, nargs="+", default=RESULTS, metavar="FOLDER", help=folders)
    parser.add_argument("--out", type=Path, default="figures", help="the folder to draw into (default: figures)")
    figure = {"type": command_line.whole_number(2, 4), "nargs": "+", "default": [2, 3, 4]}
    parser.add_argument("--figure", **figure, help="which of the figures 2, 3 and 4 (default: all)")
    only = {"type": command_line.whole_number(2, 4), "metavar": "FIGURE"}
    parser.add_argument("--missing", **only, help="only print the commands of the runs that this figure still lacks")
    parser.add_argument("--laptop", action="store_true", help="with --missing: of the thinner grid")
    parser.add_argument("--authors", action="store_true", help="with --missing 4: of the runs with bias and box")
    parser.add_argument(
        "--networks",
        type=Path,
        metavar="FOLDER",
        help="also draw a gallery and the theorem from what --save-dir saved here",
    )
    choice = "where the rows have several (default: the paper's, if it has enough rows)"
    for option, kind, figures in (("--C0", command_line.positive, "2"), ("--width", command_line.whole_number(1), "3")):
        parser.add_argument(option, type=kind, metavar="", help=f"that of Figures {figures} and 4 left, {choice}")
    parser.add_argument(
        "--curves", type=Path, metavar="FILE", help="only draw the curves that a script's --log wrote there"
    )
    args = parser.parse_args()
    if files := [str(path) for path in args.results if path.is_file()]:
        parser.error(f"--results must be a folder, not the file {files[0]}")
    drawn = [] if args.missing or args.curves else parts_of(args.figure)
    counts = {option: any(option in CHOICES[part] for part in drawn) for option in ("C0", "width")}
    counts |= {"laptop": args.missing, "authors": args.missing == 4}
    if ignored := [option for option in counts if getattr(args, option) and not counts[option]]:
        parser.error(f"--{ignored[0]} changes nothing here")
    return args


def print_missing(args):
    """Print the commands of the runs that the figure args.missing lacks, with the --out that args.results asks for."""
    parts = parts_of([args.missing])
    rows = {script: read_runs(args.results, script) for script, _ in parts.values()}
    choice = {"authors": args.authors} if args.missing == 4 else {}
    for part, (script, _) in parts.items():
        out = {} if args.results == RESULTS else {"out": args.results[-1] / f"{script}.csv"}
        lacking, _ = lacking_runs(part, rows[script], laptop=args.laptop, **choice)
        lines.print_each((name, options | out) for name, options in lacking)


def draw(args):
    """Draw the figures asked for and, if these are all, write the claims. Raises RunError where there is nothing to."""
    parts = parts_of(args.figure)
    rows = {script: read_runs(args.results, script) for script, _ in parts.values()}
    chosen = {part: on_log_axes(part, choose(part, rows[script], args)) for part, (script, _) in parts.items()}
    caps = read_caps(ROOT / RESULTS[0], *args.results)
    for part, (script, _) in parts.items():
        say_how_many(part, rows[script])
    drawn = draw_figures(chosen, caps)
    if args.networks:
        drawn |= draw_networks(args.networks)
    if not drawn:
        folders, figures = (" ".join(map(str, several)) for several in (args.results, args.figure))
        need = "; figure 3 needs several C0 at one width (ntk_normal.py --C0 10 20)" if 3 in args.figure else ""
        raise RunError(f"no rows for figure {figures} in {folders}{need}")
    # The paper claims nothing of other data.
    papers = {
        script: [row for row in own if all(row[name] == DATA[name] for name in DATA)] for script, own in rows.items()
    }
    if parts == GRIDS and any(papers.values()):
        drawn["claims.md"] = claims.as_markdown(papers, caps)
    save(drawn, args.out)


def parts_of(figures: list[int]) -> dict:
    return {part: grid for part, grid in GRIDS.items() if int(part[0]) in figures}


def choose(part: str, rows: list[dict], args) -> list[dict]:
    """The rows with the C0 and the width that args choose for this part of a figure. Raises RunError if none has."""
    for column in CHOICES[part]:
        value, there = getattr(args, column), grouped(rows, column)
        if value is not None and rows:
            value = float(f"{value:.10g}")  # as `latest_of_each_run` rounds the rows
            if value not in there:
                others = ", ".join(f"{other:.10g}" for other in there)
                raise RunError(f"no row for figure {part} has {column} {value:.10g}; there is {others}")
            rows = there[value]
    return rows


def on_log_axes(part: str, rows: list[dict]) -> list[dict]:
    """The rows without those that Figures 2 and 3 cannot show: of networks without gradient, or that no step flips."""
    if part in ("2", "3"):
        shown = [row for row in rows if all(0 < quantity(row) < math.inf for _, quantity, *_ in PANELS[:3])]
        if hidden := len(rows) - len(shown):
            warn(f"figure {part} leaves out {hidden} of {len(rows)} rows: no gradient, or no step that flips")
        return shown
    return rows


def draw_figures(rows: dict[str, list[dict]], caps: dict) -> dict[str, Figure]:
    """The figures by the name of their file, from the rows of each part; none where there are no rows."""
    drawn = {}
    for settings, (runs,) in by_settings(DEFAULTS["ntk_normal"], rows.get("2", [])).items():
        runs = keep_one_value(runs, "C0", 10)
        drawn["-".join(["figure2", *describe(settings)[0]])] = draw_curves(runs, settings, "width")
    for settings, (runs,) in by_settings(DEFAULTS["ntk_normal"], rows.get("3", [])).items():
        papers = width_of_figure3(runs)
        for width, same in grouped(runs, "width").items():
            other = [] if width == papers else [f"m{width:.10g}"]
            if len(grouped(same, "C0")) > 1:  # else it would show a curve of Figure 2
                drawn["-".join(["figure3", *describe(settings)[0], *other])] = draw_curves(same, settings, "C0")
    both = rows.get("4 left", []), rows.get("4 right", [])
    for settings, (left, right) in by_settings(DEFAULTS["advtrain"], *both).items():
        drawn["-".join(["figure4", *describe(settings)[0]])] = draw_maps(settings, left, right, caps)
    return drawn


def save(drawn: dict[str, Figure | str], folder: Path):
    """Write the figures, by name, and texts, by name with ending, to the folder, each file whole. Raises RunError."""
    check_folder(folder)
    for name, content in drawn.items():
        path = folder / name
        if isinstance(content, str):
            write_whole(path, content.encode())
            say(f"{path}")
        else:
            # The same rows give the same file.
            kinds = {"png": {"dpi": 300}, "pdf": {"metadata": {"CreationDate": None}}}
            for kind, options in kinds.items():
                content.savefig(file := io.BytesIO(), format=kind, **options)
                write_whole(f"{path}.{kind}", file.getbuffer())
            say(f"{path}.png {path}.pdf")


# --------------------------------------------------------------------------------------------- what runs are there


def read_runs(folders: list[Path], script: str) -> list[dict]:
    """The rows of all the script's results files in the folders as `numbers`, one of each run: the last folder's last.

    Of a folder's rows that differ in T alone one that T ended gives way to a longer run. Says on stderr how many rows of
    a later folder are of shorter runs than an earlier one's. Raises RunError where a file cannot be read, or has a column of
    the user's own that runs would be averaged over.
    """
    columns, rows = COLUMNS[script], []
    if added := {*configuration_columns(columns)} - {*DEFAULTS[script]} - AXES:
        names = ", ".join(sorted(added))
        raise RunError(f"figures would average over {names}: add it to DEFAULTS and DESCRIPTIONS in lib/groups.py")
    key = key_columns(script, columns)
    for folder in folders:
        own = [numbers(row) for path in results_files(folder, script) for row in read_rows(path, columns)]
        rows += sorted(own, key=most_epochs)
    runs, longest = latest_of_each_run(rows, key), latest_of_each_run(sorted(rows, key=most_epochs), key)
    if shorter := sum(most_epochs(run) < most_epochs(other) for run, other in zip(runs, longest)):
        note(f"{shorter} runs of {script}.py that T cut off take the place of longer ones of an earlier folder")
    if changed := sum(run["code"].endswith("+") for run in runs):
        note(f"{changed} runs of {script}.py are of changed code (+ in the column code)")
    return runs


def lacking_runs(part: str, rows: list[dict], **choice) -> tuple[list, int]:
    """The runs of a part's grid, as (script, options), that the rows lack some row of, and how many runs it has."""
    script, grid = GRIDS[part]
    defaults = DEFAULTS[script] | ({} if script == "ntk_normal" else {"bias": 0, "box": 0})
    runs, lacking, there = list(grid(**choice)), [], set()
    for name, options in runs:
        wanted = defaults | {"V" if option == "gap" else option: value for option, value in options.items()}
        T = wanted.pop("T", 1000)  # the scripts' default
        if not there:  # all runs have the same options, and the same T
            whole = [row for row in rows if most_epochs(row) >= T]
            there = {tuple(row[column] for column in wanted) for row in whole}
        if not there.issuperset(itertools.product(*(v if isinstance(v, list) else [v] for v in wanted.values()))):
            lacking.append((name, options))
    return lacking, len(runs)


def say_how_many(part, rows):
    """Say on stderr how many runs of the paper's and of the laptop's grid are there, in Figure 4 for both protocols."""
    for authors in (False, True) if part.startswith("4") else (None,):
        counts = []
        for laptop, whose in ((False, "paper"), (True, "laptop")):
            choice = {} if authors is None else {"authors": authors}
            lacking, count = lacking_runs(part, rows, laptop=laptop, **choice)
            counts += [f"{count - len(lacking)} of the {whose}'s {count} runs"] if len(lacking) < count else []
        protocol = "" if authors is None else f", {BIAS_AND_BOX[authors, authors]}"
        if counts:
            note(f"figure {part}{protocol}: {', '.join(counts)}")


def warn_of_unread_files(folder):
    """Say on stderr which CSVs in folder have no name to be read by."""
    read = {path for script in COLUMNS for path in results_files(folder, script)} | {folder / "figure4_cap.csv"}
    if others := sorted(path.name for path in folder.glob("*.csv") if path not in read):
        names = ", ".join(f"{script}.csv" for script in COLUMNS)
        warn(f"only {names} and such as advtrain-2.csv are read, and not {', '.join(others)}")


# ---------------------------------------------------------------------------------------------- Figures 2 and 3


def draw_curves(rows: list[dict], settings: tuple, curve: str) -> Figure:
    """Figure 2, a curve for each width, or Figure 3, a curve for each C0, against d.

    At a single d the widths, or the C0, are one curve: against them.
    """
    rows = of_the_same_runs(rows) if curve == "C0" else rows
    symbol = SYMBOLS[curve]
    across = "d" if len(grouped(rows, "d")) > 1 or len(grouped(rows, curve)) == 1 else curve
    styles = curve_styles(curve, grouped(rows, curve)) if across == "d" else {None: {"color": "black", "marker": "o"}}
    # At inputs of norm 1 eta is what the fourth panel shows, with bias nobody knows it.
    panels = PANELS[:3] if rows[0]["normalize"] or rows[0]["bias"] else PANELS
    shape, size = ((2, 2), (6, 5)) if len(panels) == 4 else ((1, 3), (7, 2.8))
    log = {"xscale": "log", "yscale": "log"}
    drawn, axes = plt.subplots(*shape, figsize=size, layout="constrained", subplot_kw=log)
    for ax, panel in zip(axes.flat, panels):
        draw_panel(ax, rows, across, curve, styles, *panel)
        ax.set_xlabel("$d$" if across == "d" else symbol)

    handles = [Line2D([], [], **style) for value, style in styles.items() if value]
    labels = [f"{symbol} = {value:,.10g}" for value in styles if value]
    if any(ended_by_T(row) for row in rows):
        handles.append(Line2D([], [], color="0.4", marker="o", markerfacecolor="none", linestyle="none"))
        labels.append(f"still inside the ball after {ends_in_words(rows)} epochs")
    if handles:
        drawn.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    at = [f"$d$ = {rows[0]['d']:g}"] if across != "d" else []
    at.append(f"$m$ = {rows[0]['width']:,g}" if curve == "C0" else f"$C_0$ = {rows[0]['C0']:g}")
    at += [*describe(settings)[1], seeds(grouped(rows, curve, "d"), "mean and standard deviation")]
    without = sum(row["no_flip"] for row in rows)
    at += [f"{without:,g} rays that never flip left out"] if without else []
    errors = sum(row["test_error"] >= 0.01 for row in rows)
    at += [f"{errors} of {len(rows)} networks above 1% test error"] if errors else []
    drawn.suptitle(", ".join(at))
    return drawn


def of_the_same_runs(rows: list[dict]) -> list[dict]:
    """Of each size only the seeds that have every C0 there; if none has, those that have every C0 of another size.

    Other seeds would shift one C0's curve against another's, or one part of a curve against the rest. A size with no
    such seed keeps all its rows.
    """
    count, sizes = len(grouped(rows, "C0")), grouped(rows, "size").values()
    whole = [{seed for seed, path in grouped(same, "seed").items() if len(path) == count} for same in sizes]
    anywhere, kept = set().union(*whole), []
    for same, here in zip(sizes, whole):
        kept += [row for row in same if row["seed"] in (here or anywhere)] or same
    return kept


def curve_styles(curve, values):
    """How the curve of each value is drawn: widths in the paper's colours, C0 from light to dark."""
    colours, markers = itertools.cycle(COLOURS), itertools.cycle(MARKERS)
    styles, last = {}, max(len(values) - 1, 1)
    for index, value in enumerate(values):
        style = {"marker": next(markers), "zorder": 2.5 - index / 100}
        if curve == "width":
            # Equal curves stay visible, the thicker ones beneath.
            style |= {"color": WIDTH_COLOURS.get(value) or next(colours)}
            style |= {"markersize": 3 + 3.5 * index / last, "linewidth": 0.9 + 1.2 * index / last}
        else:
            style |= {"color": plt.get_cmap("plasma")(0.82 * (1 - index / last))}
        styles[value] = style
    return styles


def draw_panel(ax, rows, across, curve, styles, title, quantity, symbol, power, bound):
    """The quantity's mean over seeds, a curve for each of the styles, and over d the paper's rate c d^power.

    The title has the fitted powers of the curves that have every d and no run that T ended, as lib/claims.py fits them,
    and of the largest C0 that of what there is.
    """
    positions = sorted(grouped(rows, across))
    scales, extent, powers, largest = [], [], {}, ""
    ax.autoscale(False)  # it cannot tell a single run from no range at all
    for value, style in styles.items():
        own = [row for row in rows if value in (None, row[curve]) and np.isfinite(quantity(row))]
        if own:
            d, mean, band = draw_curve(ax, grouped(own, across), quantity, style)
            extent += [*band[0], *band[1]]
            scales.append(np.log(mean) - power * np.log(d))
            if across == "d" and len(d) > 2:
                as_drawn = np.polyfit(np.log(d), np.log(mean), 1)[0]
                # Over fewer d than others have, a power would tell less than it seems to.
                if len(d) == len(positions) and not any(map(ended_by_T, own)):
                    # Without seeds that have the usual sizes the power of what is drawn.
                    powers[value] = np.mean(exponents(own, quantity) or [as_drawn])
                elif curve == "C0" and value == max(styles):
                    largest = f"\n$d^{{{as_drawn:.2f}}}$ at $C_0$ = {value:.10g}, $d$ ≤ {d[-1]:g}"
    if scales and across == "d" and len(positions) > 1:
        rate = np.exp(np.mean(np.concatenate(scales))) * np.array(positions) ** power
        ax.plot(positions, rate, color="tab:green", linestyle="--", linewidth=1.5, zorder=3)
        ax.legend(ax.lines[-1:], [f"paper: {bound}"], frameon=False)
        extent += [*rate]
    if powers:
        ends = sorted({min(powers.values()), max(powers.values())}, key=abs)
        measured = " to ".join(dict.fromkeys(f"$d^{{{end:.2f}}}$" for end in ends))
        title += f"\nmeasured: {measured}"
        if len(powers) < len(styles) and curve == "C0":
            title += f" at {SYMBOLS[curve]} = {', '.join(f'{own:,.10g}' for own in powers)}"
        title += largest
    ax.set_title(title)
    ax.set_ylabel(symbol)
    ax.set_xlim(positions[0] / 1.2, positions[-1] * 1.2)
    tick_each(ax, positions)
    if extent:
        # A single value would have no room and no tick: the axis spans a factor of 2.2 at least.
        middle, factor = np.sqrt(min(extent) * max(extent)), np.sqrt(max(max(extent) / min(extent), 2)) * 1.1
        ax.set_ylim(middle / factor, middle * factor)
    tick_log(ax)


def draw_curve(ax, cells, quantity, style):
    """One curve with its band of a standard deviation over seeds; hollow markers where T epochs ended a run."""
    x = np.array(list(cells))
    values = [[quantity(row) for row in cell] for cell in cells.values()]
    mean = np.array([np.mean(cell) for cell in values])
    spread = np.array([np.std(cell, ddof=len(cell) > 1) for cell in values])
    ended = np.array([any(ended_by_T(row) for row in cell) for cell in cells.values()])
    ax.plot(x, mean, **style, markevery=list(~ended))
    ax.plot(x[ended], mean[ended], **style | {"linestyle": "none", "markerfacecolor": "none", "zorder": 2.9})
    band = np.maximum(mean - spread, mean / 10), mean + spread
    ax.fill_between(x, *band, color=style["color"], alpha=0.2, linewidth=0)
    return x, mean, band


def seeds(cells, what="mean"):
    """In words, over how many seeds the means of the cells are; in a cell, each row is another seed's."""
    counts = {len(cell) for cell in cells.values()}
    return "1 seed" if counts == {1} else f"{what} over {span(counts)} seeds"


# ----------------------------------------------------------------------------------------------------- Figure 4


def draw_maps(settings: tuple, left: list[dict], right: list[dict], caps: dict) -> Figure:
    """Figure 4: robust test accuracy over (d, eps) and over (width, V), a line of panels for each protocol."""
    present = {(row["bias"], row["box"]) for row in left + right}
    protocols = [key for key in BIAS_AND_BOX if key in present]
    sides = [(side, rows) for side, rows in ((LEFT, left), (RIGHT, right)) if rows]
    shape = len(protocols), len(sides)
    size = 1.1 + 2.7 * len(sides), 1 + 2.4 * len(protocols)
    drawn, axes = plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)
    marks = {}
    # The paper's attack is the l2 one.
    names = BIAS_AND_BOX if (left + right)[0]["attack"] == "l2" else BIAS_AND_BOX | {(0, 0): "no bias, no box"}
    for protocol, line in zip(protocols, axes):
        for ax, (side, rows) in zip(line, sides):
            draw_side(ax, side, [row for row in rows if (row["bias"], row["box"]) == protocol], names[protocol], caps)
            marks |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels())}
    if marks:  # some panel is a map
        scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), "cividis")
        drawn.colorbar(scale, ax=axes, label="robust test accuracy", aspect=15 * len(protocols))
        drawn.legend(marks.values(), marks, loc="outside lower center", ncols=len(sides), facecolor="0.92")
    drawn.suptitle(", ".join(describe(settings)[1]) or None)
    return drawn


def draw_side(ax, side, rows, title, caps):
    """One panel of Figure 4: a map, or a curve where the rows have one value of what is across or up."""
    rows, across, up = side.of(rows), side.across, side.up
    ax.set(title=title, xlabel=SYMBOLS[across], ylabel=SYMBOLS[up])
    if not rows:
        ax.patch.set(facecolor="0.95", edgecolor="0.8", hatch="xxxx")
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "no runs", transform=ax.transAxes, ha="center", va="center", backgroundcolor="white")
        return
    single = [column for column in (across, up) if len(grouped(rows, column)) == 1][:1]
    if single:
        over = up if single == [across] else across
        cells = grouped(rows, over)
        draw_curve(ax, cells, itemgetter("robust_test_acc"), {"color": "black", "marker": "o"})
        ax.set(xlabel=SYMBOLS[over], ylabel="robust test accuracy", ylim=(-0.03, 1.03), xticks=[*cells])
    else:
        draw_map(ax, rows, across, up, falls=side is LEFT)
        if side is LEFT:
            hatch_caps(ax, rows, caps)
        if rows[0]["attack"] == "l2":
            draw_bound(ax, side)
    at = ", ".join(f"{SYMBOLS[column]} = {rows[0][column]:,g}" for column in (*single, *side.common))
    ended = sum(map(ended_by_T, rows))
    words = f"\n{ended} of {len(rows)} runs cut off by T = {ends_in_words(rows)} epochs" if ended else ""
    ax.set_title(f"{title}\n{at}, {seeds(grouped(rows, across, up))}{words}", fontsize=7.5)


def draw_map(ax, rows, horizontal, vertical, falls):
    """Robust test accuracy, mean over seeds, in the cells of the rows.

    Cells without runs are hatched, those with a run that T ended dotted. Lines join the places, one in each column, where
    robust accuracy passes a level.
    """
    ax.patch.set(facecolor="0.95", edgecolor="0.8", hatch="xxxx")
    columns, up = grouped(rows, horizontal), [*grouped(rows, vertical)]
    across = [*columns]
    accuracy = np.full((len(up), len(across)), np.nan)
    sides, heights = cell_edges(across), cell_edges(up)
    # Here the paper's thresholds are straight.
    ax.set(xscale="log", yscale="log", xlim=sides[[0, -1]], ylim=heights[[0, -1]])
    for (x, y), cell in grouped(rows, horizontal, vertical).items():
        accuracy[up.index(y), across.index(x)] = np.mean([row["robust_test_acc"] for row in cell])
    ax.pcolormesh(sides, heights, accuracy, vmin=0, vmax=1, cmap="cividis")
    if ended := [*grouped([row for row in rows if ended_by_T(row)], horizontal, vertical)]:
        style = {"marker": "o", "markersize": 2, "color": "white", "markeredgecolor": "black", "markeredgewidth": 0.4}
        ax.plot(*zip(*ended), **style, linestyle="none", label="$T$ cut off a run here", zorder=3)
    outline = [withStroke(linewidth=2.4, foreground="black")]
    for level, dashes, marker in ((0.95, "-", "^"), (0.5, "--", "o"), (0.05, ":", "v")):
        passed = [mean_crossing(own, vertical, falls, level) for own in columns.values()]
        style = {"color": "white", "linestyle": dashes, "marker": marker, "path_effects": outline, "zorder": 4}
        style["markersize"] = 4 if len(across) < 12 else 2.5
        hidden = "" if np.isfinite(passed).any() else "_"  # from the legend
        ax.plot(across, passed, **style, label=f"{hidden}robust accuracy passes {level:g}")
    if np.isnan(accuracy).any():
        ax.fill_between([], [], facecolor="0.95", edgecolor="0.8", hatch="xxxx", label="no runs")
    tick_each(ax, across)
    tick_log(ax)


def mean_crossing(rows: list[dict], vertical: str, falls: bool, level: float) -> float:
    """Where robust accuracy passes the level, in the column vertical of the rows: mean of the known places, or NaN."""
    known = claims.known_places(crossings(rows, vertical, falls, level))
    return np.mean(known) if known else np.nan


def hatch_caps(ax, rows, caps):
    """Hatch where in a map over (d, eps) no classifier can have a robust accuracy of 0.95, from eps where its cap is."""
    same = {d: line for (*data, d), line in caps.items() if data == [*cap_key(rows[0])][:-1]}
    passed = {d: crossing(line.items(), True, 0.95).place for d, line in same.items()}
    passed = {d: place for d, place in passed.items() if math.isfinite(place)}
    x, limit = np.geomspace(*ax.get_xlim(), 500), ax.get_ylim()[1]
    lowest = np.interp(np.log(x), np.log(sorted(passed)), [passed[d] for d in sorted(passed)]) if passed else limit
    if np.any(lowest < limit):
        style = {"edgecolor": "0.75", "hatch": "////", "linewidth": 0.8, "zorder": 2}
        ax.fill_between(x, lowest, limit, where=lowest < limit, facecolor="none", **style)
        ax.fill_between([], [], facecolor=plt.get_cmap("cividis")(0), **style, label="no classifier can reach 0.95")


def draw_bound(ax, side):
    """The paper's threshold, where it passes through the map."""
    x, (low, high) = np.geomspace(*ax.get_xlim(), 500), ax.get_ylim()
    y = side.scale / np.sqrt(x)
    style = {"color": "tab:red", "linewidth": 1.5, "path_effects": [withStroke(linewidth=2.6, foreground="white")]}
    label = rf"the paper's ${side.scale}\,/\sqrt{{{SYMBOLS[side.across].strip('$')}}}$"
    if ((low < y) & (y < high)).any():
        ax.plot(x, y, **style, label=label, scaley=False, zorder=3)


# ----------------------------------------------------------------------------------------------- learning curves


def draw_learning(path: Path) -> Figure:
    """What --log wrote of each run over its epochs. Raises RunError.

    A run that came to an epoch again, after a kill or with --force, is drawn from there as it went the last time.
    """
    runs = {}
    for row in map(numbers, read_rows(path, results.CURVES)):
        before = runs.get(row["run"], [])
        runs[row["run"]] = [*(earlier for earlier in before if earlier["epoch"] < row["epoch"]), row]
    if not runs:
        raise RunError(f"{path} has no rows")
    shared = set.intersection(*(set(run.split()) for run in runs))
    panels = [column for column in LEARNING if any(math.isfinite(row[column]) for own in runs.values() for row in own)]
    drawn, axes = plt.subplots(1, len(panels), figsize=(2.3 * len(panels), 2.6), layout="constrained", squeeze=False)
    axes = axes[0]
    for ax, column in zip(axes, panels):
        for run, own in runs.items():
            label = " ".join(word for word in run.split() if word not in shared)
            ax.plot([row["epoch"] for row in own], [row[column] for row in own], label=label or "_")
        ax.set(
            title=LEARNING[column],
            xlabel="epoch",
            **{"yscale": "log"} if column == "train_loss" else {"ylim": (0, None)},
        )
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", frameon=False)
    return drawn


# ----------------------------------------------------------------------------------------------- saved networks


def draw_networks(folder: Path) -> dict[str, Figure | str]:
    """The gallery of one network of ntk_normal.py for each data set and d; the theorem, of all networks without bias.

    Raises RunError where the folder has no network that a script saved, or a file that is none.
    """
    paths = (path for script in COLUMNS for path in sorted(folder.glob(f"{script}-*.pt")))
    saved = [(net, DATA | config) for net, config in map(load_network, paths)]  # older files lack some
    if not saved:
        raise RunError(f"{folder} has no network that a script saved with --save-dir")
    saved.sort(
        key=lambda network: [network[1].get(column, 0) for column in ("d", "width", "C0", "bias", "seed", "eps")]
    )
    first_of_each_d = {}
    for net, config in saved:
        if "normalize" in config:  # ntk_normal.py's
            first_of_each_d.setdefault(itemgetter(*DATA, "d")(config), (net, config))
    drawn = {"gallery": draw_gallery([*first_of_each_d.values()])} if first_of_each_d else {}
    fit = [network for network in saved if not network[0].bias and network[0].d > 1]
    if len(fit) < len(saved):
        others = f"{len(saved) - len(fit)} of {len(saved)}"
        warn(f"the theorem is of networks without bias, at d > 1: {others} in {folder} are left out of it")
    if fit:
        networks = [measure(*network) for network in tqdm(fit, "measuring", unit="network", disable=None)]
        drawn |= {"theorem": draw_theorem(networks), "theorem.md": theorem.as_markdown(networks)}
    return drawn


def draw_gallery(saved: list[tuple[TwoLayerNet, dict]]) -> Figure:
    """Test digits, their smallest flipping steps and the sums, a line for each saved network."""
    drawn = plt.figure(figsize=(6.5, 0.6 + 1.32 * len(saved)), layout="constrained")
    grid = drawn.add_gridspec(len(saved), 7, width_ratios=[1, 1, 1, 0.15, 1, 1, 1])
    for line, (net, config) in enumerate(saved):
        axes = [[drawn.add_subplot(grid[line, 4 * digit + column]) for column in range(3)] for digit in range(2)]
        draw_steps(axes, net, config)
        label = f"$d$ = {config['d']}\n$m$ = {config['width']:,}, $C_0$ = {config['C0']:g}\nseed {config['seed']}"
        axes[0][0].set_ylabel(label + ", bias" * config["bias"] + ", norm 1" * config["normalize"], fontsize=7)
        if line == 0:
            for ax, title in zip(itertools.chain(*axes), itertools.cycle(("$x$", r"$\delta$", r"$x + \delta$"))):
                ax.set_title(title)
    drawn.supxlabel(
        r"$\delta$ is the smallest step along $\nabla f$ that flips the sign of $f$, and 0.1% more. "
        r"$x$ and $x + \delta$ share their greys.",
        fontsize=7,
    )
    return drawn


def draw_steps(axes, net, config):
    """The first test example of each digit: nobody chose them. axes has two lines of three."""
    digits = load_digits(**{name: config[name] for name in (*DATA, "size", "normalize")})
    x = torch.cat([digits.test_x[digits.test_y == y][:1] for y in (-1, 1)])
    step = smallest_step(net, x)
    # At the smallest step itself f is 0, up to rounding.
    eta = 1.001 * step.eta.where(step.flips, 0)[:, None].float()
    delta = eta * net.value_and_input_gradient(x)[1]
    relative = torch.linalg.vector_norm(delta, dim=1) / torch.linalg.vector_norm(x, dim=1)
    values = zip(net.f(x).tolist(), relative.tolist(), net.f(x + delta).tolist())
    for (ax, ax_step, ax_sum), image, change, (before, size, after), flips in zip(axes, x, delta, values, step.flips):
        largest = change.abs().max().item()
        # Clipped to [0, 1] the sum would often keep its class: both get the greys that the sum needs.
        greys = min(0, (image + change).min().item()), max(image.max().item(), (image + change).max().item())
        show(ax, image, "gray", *greys)
        show(ax_step, change, "RdBu_r", -(largest or 1), largest or 1)
        show(ax_sum, image + change, "gray", *greys)
        ax.set_xlabel(f"$f$ = ${before:+.2f}$")
        ax_step.set_xlabel(f"$\\|\\delta\\|\\,/\\,\\|x\\|$ = {size:.2f}\nred ${largest:+.2g}$, blue ${-largest:+.2g}$")
        ax_sum.set_xlabel(f"$f$ = ${after:+.4f}$" if flips else "never flips")


def show(ax, pixels, colours, low, high):
    size = math.isqrt(len(pixels))
    ax.imshow(pixels.reshape(size, size).numpy(), cmap=colours, vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[])


# ------------------------------------------------------------------------------- the theorem (Sections 3 and 4)


def measure(net: TwoLayerNet, config: dict) -> dict:
    """What the theorem and its lemmas speak of, for one network, over every fourth test digit, scaled to norm 1.

    The configuration, arrays of the digits' values, and numbers; `lib.theorem` holds them against the paper. Raises RunError
    where the network is not in its lazy ball.
    """
    if (deviation := net.deviation().item()) > 1.0001 * config["V"]:
        raise RunError(
            f"a saved network is {deviation:.4g} from its W0, outside its lazy ball of V = {config['V']:.4g}"
        )
    digits = load_digits(**{name: config[name] for name in (*DATA, "size")}, normalize=True)
    inked = digits.test_x.any(dim=1)  # the others have no norm 1
    x, y = digits.test_x[inked][::4], digits.test_y[inked][::4]
    parts = [measure_each(net, *part, config["V"]) for part in in_chunks(net.width, x, y)]
    each = {name: torch.cat([part[name] for part in parts], dim=-1).double().numpy() for name in parts[0]}
    flips = ("flipped", "flipped_at_largest_value", "flipped_at_small_gradient")
    shares = {name: dict(zip(theorem.STEPS, each.pop(name).mean(axis=1))) for name in flips}
    R_step = np.quantile(each.pop("radius"), 0.9, method="higher") * math.sqrt(net.d)
    scales = {"R_step": R_step, "R_pgd": radius_of_pgd(net, x, y) * math.sqrt(net.d)}
    trained = "SGD" if config.get("normalize", 1) else "SGD on pixels"
    if "eps" in config:
        l2 = config.get("attack", "l2") == "l2"
        at = f"ε√d = {config['eps'] * config['size']:.1f}" if l2 else f"{config['attack']} ε = {config['eps']:g}"
        trained = f"adversarial training at {at}"
    return config | each | scales | shares | {"trained": trained, "cone": change_in_cone(net, x[:64])}


def measure_each(net, x, y, V):
    """The quantities of Sections 3 and 4 at each example, tensors (n,) or (C2, n); gradients are over sqrt(d)."""
    step, (f, gradient) = smallest_step(net, x), net.value_and_input_gradient(x)
    delta = 1.001 * step.eta.where(step.flips, 0)[:, None].float() * gradient
    _, flips_at_largest = gradient_and_flips(net, x, move_to_largest_value(net, x, V), theorem.STEPS)
    small_gradient, flips_at_small = gradient_and_flips(net, x, move_against_gradient(net, x, V), theorem.STEPS)
    return {
        "flipped": flipped(net, x, theorem.STEPS),
        "flipped_at_largest_value": flips_at_largest,
        "flipped_at_small_gradient": flips_at_small,
        "f_at_W0": largest_value_in_ball(net, x, V=0),
        "f_at_W": f.abs(),
        "f_in_ball": largest_value_in_ball(net, x, V),
        "gradient": step.grad_norm / math.sqrt(net.d),
        "small_gradient": small_gradient / math.sqrt(net.d),
        "changeable": changeable_neurons(net, x, V),
        "changed": changed_neurons(net, x),
        "gradient_change": (gradient_change(net, x, delta) / math.sqrt(net.d)).where(step.flips, math.nan),
        "radius": step.delta_norm.where(y * f > 0, 0),
    }


def radius_of_pgd(net, x, y):
    """The eps at which 20 steps of PGD leave a tenth of the examples right, within 1%; NaN outside [0.5, 32] / sqrt(d)."""

    def holds(eps):
        return robust_accuracy(net, x, y, eps, atk_iters=20) > 0.1

    low, high = 0.5 / math.sqrt(net.d), 32 / math.sqrt(net.d)
    if holds(high) or not holds(low):
        return math.nan
    while high > 1.01 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return math.sqrt(low * high)


def change_in_cone(net, x):
    """How much ||delta|| of the smallest steps changes, as a share of itself, when W is multiplied by 0.1 and by 10."""
    net, x = copy.deepcopy(net).double(), x.double()
    W, delta_norms = net.W.detach().clone(), []
    for r in (1, 0.1, 10):
        net.W.data = r * W
        delta_norms.append(smallest_step(net, x).delta_norm)
    ratios = torch.stack(delta_norms[1:]) / delta_norms[0]
    return (ratios.nan_to_num(nan=1) - 1).abs().max().item()  # infinite over infinite where nothing flips


def draw_theorem(networks: list[dict]) -> Figure:
    """Theorem 3.1 and Lemmas 4.2 to 4.4 on the networks of `measure`, a panel each."""
    drawn, ((flips, gradient), (neurons, change)) = plt.subplots(2, 2, figsize=(6.5, 5.6), layout="constrained")
    sizes, widths, kinds = (grouped(networks, *columns) for columns in (["d"], ["width"], ["trained", "C0"]))
    d_colours = {d: plt.get_cmap("plasma")(0.85 * index / max(1, len(sizes) - 1)) for index, d in enumerate(sizes)}
    others = itertools.cycle(COLOURS)
    m_colours = {width: WIDTH_COLOURS.get(width) or next(others) for width in widths}
    dashes = dict(zip(kinds, itertools.cycle(("-", "--", ":", "-."))))
    for one in networks:
        style = {"color": d_colours[one["d"]], "linestyle": dashes[one["trained"], one["C0"]], "linewidth": 0.8}
        flips.plot([0, *one["flipped"]], [0, *one["flipped"].values()], **style)
        style |= {"linestyle": "none", "marker": "o"}
        neurons.plot(one["width"], one["changeable"].mean(), **style, markerfacecolor="none")
        neurons.plot(one["width"], one["changed"].mean(), **style)
    for (how, C0, width, *_), same in grouped(networks, "trained", "C0", "width", "seed", *DATA).items():
        style = {"color": m_colours[width], "linestyle": dashes[how, C0], "marker": "o"}
        for ax, quantity in ((gradient, theorem.least_gradient), (change, theorem.mean_gradient_change)):
            ax.plot([one["d"] for one in same], [*map(quantity, same)], **style)
        in_ball = [one["small_gradient"].min() for one in same]
        gradient.plot([one["d"] for one in same], in_ball, **style | {"marker": "x", "linewidth": 0.5})

    paper = {"color": "tab:green", "linestyle": "--"}
    gradient.axhline(0.25, **paper)
    ends = np.array([min(widths) / 1.5, max(widths) * 1.5])
    for C0 in grouped(networks, "C0"):
        neurons.plot(ends, C0 * np.sqrt(ends), **paper)
        at = np.prod(ends ** [0.75, 0.25])
        neurons.text(at, 1.1 * C0 * at**0.5, rf"{C0:g}$\sqrt{{m}}$", color="tab:green", rotation=25)
    neurons.set(title="Lemma 4.3: neurons that can change sign\n(hollow), and that did", xlabel="$m$")
    neurons.set(xscale="log", yscale="log", xlim=ends, ylabel="neurons")
    tick_each(neurons, [*widths])
    tick_log(neurons)
    flips.set(
        title=r"Theorem 3.1: one step of $|\eta| = C_2/\|\nabla f\|^2$",
        xlabel="$C_2$",
        ylabel="share of digits flipped",
    )
    flips.set_xlim(0, 1.1 * min(20, max(map(theorem.needed_C2, networks))))
    gradient.set(
        title="Lemma 4.2: the smallest gradient, at $W$\n(dots), and at a $W$ in the ball (crosses)",
        ylabel=r"$\|\nabla f(x)\|\,/\,\sqrt{d}$",
    )
    change.set_title("Lemma 4.4: how the gradient changes\nalong the smallest flipping step")
    change.set_ylabel(r"$\|\nabla f(x+\delta) - \nabla f(x)\|\,/\,\sqrt{d}$")
    for ax in (gradient, change):
        ax.set(xlabel="$d$", xscale="log", xlim=(min(sizes) / 1.2, max(sizes) * 1.2), ylim=(0, None))
        tick_each(ax, [*sizes])

    lines = [({"color": colour}, f"$d$ = {d:g}") for d, colour in d_colours.items()]
    lines += [({"color": colour, "marker": "o"}, f"$m$ = {width:,}") for width, colour in m_colours.items()]
    lines += [({"color": "0.3", "linestyle": dash}, f"{how}, $C_0$ = {C0:g}") for (how, C0), dash in dashes.items()]
    lines += [(paper, "the paper's bound, or its first term")]
    handles = [Line2D([], [], label=label, **style) for style, label in lines]
    drawn.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return drawn


if __name__ == "__main__":
    command_line.run(main, __file__)
