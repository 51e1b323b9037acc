"""python plot_figures.py --results results --out figures --figure 2 3 4

Draws the paper's Figures 2 to 4, as PNG and PDF, from the rows that ntk_normal.py, advtrain.py and advtraingap.py
wrote to the folder --results; when it draws all of them, it also holds the paper's claims against the rows, in
claims.md. The files figure2, figure3 and figure4 hold the runs with the scripts' default settings. On stderr it says
how many runs of the grids in sweeps/ are there; --missing prints the commands of the others instead of drawing. Runs
with other digits, bs, lr, T, atk_iters or patience are never averaged with those: they get figures of their own, named
after what differs. So do runs with bias in Figures 2 and 3; in Figure 4 bias and box get panels. --networks also draws
a gallery of smallest flipping steps.
"""

import argparse
import functools
import itertools
import math
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws without a display

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

import advtrain
import ntk_normal
from common import load_digits, load_network, smallest_step
from lib import RunError, claims, command_line
from lib.files import check_folder, write_whole
from lib.groups import (
    ADVERSARIAL_SETTINGS,
    SETTINGS,
    by_settings,
    crossings,
    ended_by_T,
    fix,
    grouped,
    latest_of_each_run,
    left_of_figure4,
    of_the_same_runs,
    right_of_figure4,
)
from lib.progress import say
from lib.results import configuration_columns, numbers, read_rows, results_files
from sweeps import figure2, figure3, figure4_left, figure4_right, lines

# Each part of a figure: the script that runs it, and its grid, as a function of laptop (and authors, in Figure 4).
GRIDS = {
    "2": ("ntk_normal", figure2.runs),
    "3": ("ntk_normal", figure3.runs),
    "4 left": ("advtrain", figure4_left.runs),
    "4 right": ("advtraingap", figure4_right.runs),
}
COLUMNS = {
    "ntk_normal": ntk_normal.COLUMNS,
    "advtrain": advtrain.COLUMNS,
    "advtraingap": advtrain.COLUMNS,
}
ADDED = {"ntk_normal": ntk_normal.ADDED, "advtrain": advtrain.ADDED, "advtraingap": advtrain.ADDED}
PROTOCOLS = {(0, 0): "paper's formulas", (1, 1): "with bias and box", (1, 0): "with bias", (0, 1): "with box"}

STYLE = {"font.size": 7.5, "axes.titlesize": 7.5, "figure.titlesize": 7.5, "legend.fontsize": 6.5}
STYLE |= {"axes.linewidth": 0.6, "lines.linewidth": 1.1, "lines.markersize": 3.5, "hatch.linewidth": 0.4}
WIDTH_COLOURS = {1000: "tab:red", 10000: "tab:orange", 100000: "tab:blue"}
COLOURS = ("#CC79A7", "#000000", "#56B4E9", "#8C6D31")
MARKERS = "os^Dv<>pP*"


def main():
    args = parse_arguments()
    if args.missing is not None:
        print_missing(args)
    else:
        draw(args)


def parse_arguments() -> argparse.Namespace:
    parser = command_line.bare_parser(__doc__)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="the folder with the CSVs (default: results)"
    )
    parser.add_argument("--out", type=Path, default="figures", help="the folder to draw into (default: figures)")
    figure = {"type": command_line.whole_number(2, 4), "nargs": "+", "default": [2, 3, 4]}
    parser.add_argument("--figure", **figure, help="which of the figures 2, 3 and 4 (default: all)")
    only = {"type": command_line.whole_number(2, 4), "metavar": ""}
    parser.add_argument("--missing", **only, help="only print the commands of the runs that this figure still lacks")
    parser.add_argument("--laptop", action="store_true", help="with --missing: of the thinner grid")
    parser.add_argument("--authors", action="store_true", help="with --missing 4: of the runs with bias and box")
    parser.add_argument(
        "--networks", type=Path, metavar="", help="also draw a gallery from what ntk_normal.py --save-dir saved here"
    )
    return parser.parse_args()


def print_missing(args):
    """Print the commands of the runs that the figure args.missing lacks, with the --out that args.results asks for."""
    parts = parts_of([args.missing])
    rows = {script: read_runs(args.results, script) for script, _ in parts.values()}
    choice = {"authors": args.authors} if args.missing == 4 else {}
    for part, (script, _) in parts.items():
        out = {} if args.results == Path("results") else {"out": args.results / f"{script}.csv"}
        lacking, _ = missing(part, rows[script], laptop=args.laptop, **choice)
        lines.print_each((name, options | out) for name, options in lacking)


def draw(args):
    """Draw the figures asked for and, if these are all, write the claims. Raises RunError where there is nothing to."""
    plt.rcParams.update(STYLE)
    parts = parts_of(args.figure)
    rows = {script: read_runs(args.results, script) for script, _ in parts.values()}
    for part, (script, _) in parts.items():
        say_how_many(part, rows[script])
    drawn = draw_figures(args.figure, rows)
    if args.networks:
        drawn["gallery"] = draw_gallery(args.networks)
    if not drawn:
        raise RunError(
            f"{args.results} has no rows for figure {' '.join(map(str, args.figure))}{left_out(args.results)}"
        )
    if len(rows) == len(COLUMNS) and any(rows.values()):
        drawn["claims.md"] = claims.tell(rows, read_caps(args.results))
    save(drawn, args.out)


def read_caps(folder: Path) -> dict:
    path = folder / "figure4_cap.csv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    cells = [[float(cell) for cell in line.split(",")] for line in lines]
    return {(num1, num2, d, eps): cap for num1, num2, _, d, eps, cap in cells}


def parts_of(figures: list[int]) -> dict:
    return {part: grid for part, grid in GRIDS.items() if int(part[0]) in figures}


def draw_figures(figures: list[int], rows: dict[str, list[dict]]) -> dict[str, Figure]:
    """The figures by the name of their file, from each script's rows; none where there are no rows."""
    drawn = {}
    if {2, 3} & set(figures):
        for settings, (runs,) in by_settings(SETTINGS, rows["ntk_normal"]).items():
            if 2 in figures and runs:
                drawn["_".join(["figure2", *settings])] = draw_curves(runs, settings, "width", "C0", usual=10)
            if 3 in figures and runs:
                drawn["_".join(["figure3", *settings])] = draw_curves(runs, settings, "C0", "width", usual=100000)
    if 4 in figures:
        for settings, (left, right) in by_settings(ADVERSARIAL_SETTINGS, rows["advtrain"], rows["advtraingap"]).items():
            if left or right:
                drawn["_".join(["figure4", *settings])] = draw_maps(settings, left, right)
    return drawn


def left_out(folder: Path) -> str:
    """The CSVs in folder that have no name to be read by, in words, such as "; not read: mine.csv"."""
    read = {path for script in COLUMNS for path in results_files(folder, script)}
    others = sorted(path.name for path in folder.glob("*.csv") if path not in read)
    names = ", ".join(f"{script}*.csv" for script in COLUMNS)
    return f"; it reads {names} and left out {', '.join(others)}" if others else ""


def save(drawn: dict[str, Figure | str], folder: Path):
    """Write the figures, by name, and texts, by name with ending, to the folder, each file whole. Raises RunError."""
    check_folder(folder)
    for name, content in drawn.items():
        path = folder / name
        if isinstance(content, str):
            write_whole(path, lambda file, text=content: file.write(text.encode()))
            say(f"{path}")
        else:
            # The same rows give the same file.
            kinds = {"png": {"dpi": 300}, "pdf": {"metadata": {"CreationDate": None}}}
            for kind, options in kinds.items():
                write_whole(f"{path}.{kind}", functools.partial(content.savefig, format=kind, **options))
            say(f"{path}.png {path}.pdf")


# --------------------------------------------------------------------------------------------- what runs are there


def read_runs(folder: Path, script: str) -> list[dict]:
    """The rows of all the script's results files in folder as dicts of floats, of rows of the same run the last.

    Raises RunError where a file cannot be read.
    """
    columns = COLUMNS[script]
    rows = [numbers(row) for path in results_files(folder, script) for row in read_rows(path, columns, ADDED[script])]
    return latest_of_each_run(rows, configuration_columns(columns))


def missing(part: str, rows: list[dict], **choice) -> tuple[list, int]:
    """The runs of a part's grid, as (script, options), that the rows lack some row of, and how many runs it has."""
    script, runs = GRIDS[part]
    defaults = SETTINGS if script == "ntk_normal" else ADVERSARIAL_SETTINGS | {"bias": 0, "box": 0}
    runs, lacking, there = list(runs(**choice)), [], {}
    for name, options in runs:
        wanted = defaults | {"V" if option == "gap" else option: value for option, value in options.items()}
        columns = tuple(wanted)
        if columns not in there:
            there[columns] = {tuple(row[column] for column in columns) for row in rows}
        values = [value if isinstance(value, list) else [value] for value in wanted.values()]
        if not there[columns].issuperset(itertools.product(*values)):
            lacking.append((name, options))
    return lacking, len(runs)


def say_how_many(part, rows):
    """Say on stderr how many runs of the paper's and of the laptop's grid are there, in Figure 4 for both protocols."""
    for authors in (False, True) if part.startswith("4") else (None,):
        counts = []
        for laptop, whose in ((False, "paper"), (True, "laptop")):
            choice = {} if authors is None else {"authors": authors}
            lacking, count = missing(part, rows, laptop=laptop, **choice)
            counts.append(f"{count - len(lacking)} of the {whose}'s {count} runs")
        protocol = "" if authors is None else f", {PROTOCOLS[authors, authors]}"
        print(f"figure {part}{protocol}: {', '.join(counts)}", file=sys.stderr)


# ---------------------------------------------------------------------------------------------- Figures 2 and 3


def draw_curves(rows: list[dict], settings: tuple, curve: str, fixed: str, usual: float) -> Figure:
    """Figure 2, a curve for each width at one C0, or Figure 3, a curve for each C0 at one width, against d."""
    rows = fix(rows, fixed, usual, curve, "size")
    rows = of_the_same_runs(rows) if curve == "C0" else rows
    log = {"xscale": "log", "yscale": "log"}
    drawn, axes = plt.subplots(1, 3, figsize=(5.5, 2.3), layout="constrained", subplot_kw=log)
    styles = curve_styles(curve, grouped(rows, curve))
    for ax, column, title, power, bound in [
        (axes[0], "rel_delta_mean", r"$\|\delta\|\,/\,\|x\|$", -0.5, r"$c/\sqrt{d}$"),
        (axes[1], "grad_norm_mean", r"$\|\nabla f\|$", 0.5, r"$c\sqrt{d}$"),
        (axes[2], "eta_mean", r"$|\eta|$", -1.0, r"$c/d$"),
    ]:
        draw_panel(ax, rows, curve, styles, column, power, bound)
        ax.set(title=title, xlabel="$d$")

    symbol = "m" if curve == "width" else "C_0"
    handles = [Line2D([], [], **style) for style in styles.values()]
    labels = [f"${symbol}$ = {value:,.10g}" for value in styles]
    if any(ended_by_T(row) for row in rows):
        handles.append(Line2D([], [], color="0.4", marker="o", markerfacecolor="white", linestyle="none"))
        labels.append("stayed in the ball for all $T$ epochs")
    drawn.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    at = f"$C_0$ = {rows[0]['C0']:g}" if fixed == "C0" else f"$m$ = {rows[0]['width']:,g}"
    without = sum(row["no_flip"] for row in rows)
    unflipped = [f"{without:,g} rays that never flip left out"] if without else []
    drawn.suptitle(", ".join([at, *settings, seeds(grouped(rows, curve, "d")), *unflipped]))
    return drawn


def curve_styles(curve, values):
    """How the curve of each value is drawn, in Figure 2 in the paper's colours."""
    colours, markers = itertools.cycle(COLOURS), itertools.cycle(MARKERS)
    styles = {}
    for place, value in enumerate(values):
        colour = curve == "width" and WIDTH_COLOURS.get(value) or next(colours)
        # Equal curves stay visible, the larger markers beneath.
        size = {"markersize": 3 + place, "zorder": 2.5 - place / 100}
        styles[value] = {"color": colour, "marker": next(markers), **size}
    return styles


def draw_panel(ax, rows, curve, styles, column, power, bound):
    """The column's mean over seeds against d, a curve for each of the styles, and the paper's rate c d^power."""
    scales, extent = [], []
    ax.autoscale(False)  # it cannot tell a single run from no range at all
    for value, style in styles.items():
        cells = grouped([row for row in rows if row[curve] == value and np.isfinite(row[column])], "d")
        if cells:
            d, mean, band = draw_curve(ax, cells, column, style)
            extent += [*band[0], *band[1]]
            scales.append(np.log(mean) - power * np.log(d))
    d = np.array(sorted({row["d"] for row in rows}))
    if scales and len(d) > 1:
        rate = np.exp(np.mean(np.concatenate(scales))) * d**power
        ax.plot(d, rate, color="tab:green", linestyle="--", linewidth=1.5, zorder=3)
        ax.legend(ax.lines[-1:], [bound], frameon=False)
        extent += [*rate]
    log_ticks(ax, d, extent)


def draw_curve(ax, cells, column, style):
    """One curve with its band of a standard deviation over seeds; hollow markers where T epochs ended a run."""
    d = np.array(list(cells))
    mean = np.array([np.mean([row[column] for row in cell]) for cell in cells.values()])
    spread = np.array([np.std([row[column] for row in cell], ddof=len(cell) > 1) for cell in cells.values()])
    ended = np.array([any(ended_by_T(row) for row in cell) for cell in cells.values()])
    ax.plot(d, mean, **style)
    ax.plot(d[ended], mean[ended], **style | {"linestyle": "none", "markerfacecolor": "white"})
    band = np.maximum(mean - spread, mean / 10), mean + spread
    ax.fill_between(d, *band, color=style["color"], alpha=0.25, linewidth=0)
    return d, mean, band


def log_ticks(ax, dimensions, extent):
    """Both logarithmic axes labelled in plain numbers, the horizontal one at the dimensions that were run."""
    shown = []
    for d in sorted(dimensions):
        if not shown or d > 1.6 * shown[-1]:
            shown.append(d)
    ax.set_xlim(shown[0] / 1.2, max(dimensions) * 1.2)
    if extent:
        # A single value would have no room and no tick: the axis spans a factor of 2.2 at least.
        middle, factor = np.sqrt(min(extent) * max(extent)), np.sqrt(max(max(extent) / min(extent), 2)) * 1.1
        ax.set_ylim(middle / factor, middle * factor)
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_minor_locator(NullLocator())
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def seeds(cells):
    """How many seeds the cells, groups of rows that differ in the seed alone, are the mean of."""
    counts = {len(cell) for cell in cells.values()}
    return "1 seed" if counts == {1} else f"{'-'.join(map(str, sorted({min(counts), max(counts)})))} seeds"


# ----------------------------------------------------------------------------------------------------- Figure 4


def draw_maps(settings: tuple, left: list[dict], right: list[dict]) -> Figure:
    """Figure 4: robust test accuracy over (d, eps) and over (width, V), a line of panels for each protocol."""
    laptop = settings == tuple(f"{name}={value}" for name, value in figure4_left.LAPTOP.items())
    present = {(0, 0)} | {(row["bias"], row["box"]) for row in left + right}
    protocols = [key for key in PROTOCOLS if key in present]
    drawn, axes = plt.subplots(
        len(protocols), 2, figsize=(5.5, 0.4 + 2.2 * len(protocols)), layout="constrained", squeeze=False
    )
    for protocol, (ax_left, ax_right) in zip(protocols, axes):
        title = PROTOCOLS[protocol]
        draw_left(ax_left, [row for row in left if (row["bias"], row["box"]) == protocol], f"left, {title}", laptop)
        draw_right(ax_right, [row for row in right if (row["bias"], row["box"]) == protocol], f"right, {title}", laptop)
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), "cividis")
    drawn.colorbar(scale, ax=axes, label="robust test accuracy", aspect=30)
    if settings:
        drawn.suptitle(", ".join(settings))
    return drawn


def draw_left(ax, rows, title, laptop):
    rows = left_of_figure4(rows)
    sizes, epsilons = grid_axes("4 left", laptop, "size", "eps")
    ax.set(title=title, xlabel="$d$", ylabel=r"$\varepsilon$")
    if draw_map(ax, rows, "size", sizes, "eps", epsilons, falls=True):
        draw_bound(ax, lambda size: 5 / size, r"$5/\sqrt{d}$", "upper right")
        count = seeds(grouped(rows, "size", "eps"))
        ax.set_title(f"{title}\n$m$ = {rows[0]['width']:,g}, $C_0$ = {rows[0]['C0']:g}, {count}")
        ax.xaxis.set_major_locator(FixedLocator((5, 7, 10, 14, 20, 28)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size**2:g}"))


def draw_right(ax, rows, title, laptop):
    rows = right_of_figure4(rows)
    widths, radii = grid_axes("4 right", laptop, "width", "gap")
    ax.set(title=title, xlabel="$m$", ylabel="$V$", xscale="log")
    if draw_map(ax, rows, "width", widths, "V", radii, falls=False):
        draw_bound(ax, lambda width: 25 / np.sqrt(width), r"$25/\sqrt{m}$", "lower left")
        count = seeds(grouped(rows, "width", "V"))
        ax.set_title(f"{title}\n$d$ = {rows[0]['d']:g}, $\\varepsilon$ = {rows[0]['eps']:g}, {count}")
        ax.xaxis.set_major_locator(FixedLocator(widths))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda width, _: f"{width:,g}"))


def grid_axes(part, laptop, *options):
    """The values of the options in the grid of a part of Figure 4: the paper's, or the laptop's thinner one."""
    grid = [run for _, run in GRIDS[part][1](laptop=laptop)]
    return [sorted({run[option] for run in grid}) for option in options]


def draw_map(ax, rows, horizontal, across, vertical, up, falls):
    """Robust test accuracy, mean over seeds, in the cells (across, up) and those of the rows; True if there are rows.

    Cells without runs are hatched. A dot marks those with a run that T epochs ended, a line in each column where robust
    accuracy passes 50%.
    """
    ax.patch.set(facecolor="0.95", edgecolor="0.8", hatch="xxxx")
    if not rows:
        ax.set(xticks=[], yticks=[])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.text(0.5, 0.5, "no runs", transform=ax.transAxes, ha="center", va="center", backgroundcolor="white")
        return False
    across = sorted({*across, *grouped(rows, horizontal)})
    up = sorted({*up, *grouped(rows, vertical)})
    accuracy = np.full((len(up), len(across)), np.nan)
    cells = grouped(rows, horizontal, vertical)
    for (x, y), cell in cells.items():
        accuracy[up.index(y), across.index(x)] = np.mean([row["robust_test_acc"] for row in cell])
    sides, levels = edges(across, log=ax.get_xscale() == "log"), edges(up)
    ax.pcolormesh(sides, levels, accuracy, vmin=0, vmax=1, cmap="cividis")
    ax.set(xlim=sides[[0, -1]], ylim=levels[[0, -1]])
    ax.tick_params(axis="x", labelsize=5.5)
    ax.xaxis.set_minor_locator(NullLocator())
    ended = [place for place, cell in cells.items() if any(ended_by_T(row) for row in cell)]
    if ended:
        dot = {"s": 2.5, "color": "white", "edgecolor": "black", "linewidth": 0.3, "zorder": 3}
        ax.scatter(*zip(*ended), **dot, label="ended by $T$")
    halves = []
    for column, cell in grouped(rows, horizontal).items():
        half = mean_crossing(cell, vertical, falls)
        left, right = sides[across.index(column) :][:2]
        halves += [(left, half), (right, half), (right, np.nan)]
    if np.isfinite(halves).all(axis=1).any():
        outline = [withStroke(linewidth=2, foreground="black")]
        ax.plot(*zip(*halves), color="white", lw=1, solid_capstyle="butt", path_effects=outline, label="one half")
    return True


def mean_crossing(rows, vertical, falls):
    """Where robust accuracy passes 50% in a column of a map, mean over the seeds' `crossings`, or NaN."""
    by_seed = [[(row[vertical], row["robust_test_acc"]) for row in line] for line in grouped(rows, "seed").values()]
    found = crossings(by_seed, falls)
    return np.mean(found, axis=0)[0] if found else np.nan


def edges(centres, log=False):
    """The limits of cells around sorted centres, halfway between them (of their logarithms)."""
    centres = np.log(centres) if log else np.array(centres)
    between = (centres[1:] + centres[:-1]) / 2
    limits = np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])
    return np.exp(limits) if log else limits


def draw_bound(ax, bound, label, corner):
    """The paper's threshold as a curve across the map, and the legend in the corner where robust accuracy is 0."""
    x = np.linspace(*ax.get_xlim(), 2000)
    ax.plot(x, bound(x), color="white", lw=2.4, scaley=False)
    ax.plot(x, bound(x), color="tab:red", label=label, scaley=False)
    ax.legend(loc=corner, framealpha=0.9)


# ----------------------------------------------------------------------------------------------------- gallery


def draw_gallery(folder: Path) -> Figure:
    """Test digits, their smallest flipping steps and the sums, a line for each network of ntk_normal.py in folder.

    Raises RunError where the folder has no network, or a file that is none.
    """
    saved = [load_network(path) for path in sorted(folder.glob("ntk_normal-*.pt"))]
    if not saved:
        raise RunError(f"{folder} has no network that ntk_normal.py --save-dir saved")
    saved.sort(key=lambda network: [network[1][column] for column in ("d", "width", "C0", "bias", "seed")])
    drawn = plt.figure(figsize=(7.5, 0.45 + 0.85 * len(saved)), layout="constrained")
    grid = drawn.add_gridspec(len(saved), 15, width_ratios=[1, 1, 1, 0.2] * 3 + [1, 1, 1])
    for line, (net, config) in enumerate(saved):
        axes = [[drawn.add_subplot(grid[line, 4 * digit + place]) for place in range(3)] for digit in range(4)]
        draw_steps(axes, net, config)
        label = f"$d$ = {config['d']}, $m$ = {config['width']:,}\n$C_0$ = {config['C0']:g}"
        axes[0][0].set_ylabel(f"{label}, seed {config['seed']}" + ", bias" * config["bias"], fontsize=5.5)
        if line == 0:
            for ax, title in zip(itertools.chain(*axes), itertools.cycle(("$x$", r"$\delta$", r"$x + \delta$"))):
                ax.set_title(title)
    drawn.supxlabel(
        r"Under $x + \delta$: the size $\|\delta\|/\|x\|$ of the smallest step that flips the sign of $f$. "
        r"Under $\delta$: the ends of its colours. $x$ and $x + \delta$ share their greys.",
        fontsize=6.5,
    )
    return drawn


def draw_steps(axes, net, config):
    """The first two test examples of each digit: nobody chose them. axes has four lines of three."""
    digits = load_digits(config["num1"], config["num2"], config["size"], normalize=config["normalize"])
    x = torch.cat([digits.test_x[digits.test_y == y][:2] for y in (-1, 1)])
    step = smallest_step(net, x)
    eta = step.eta.where(step.flips, 0)[:, None].float()
    delta = eta * net.value_and_input_gradient(x)[1]
    relative = step.delta_norm / torch.linalg.vector_norm(x, dim=1)
    for (ax, ax_step, ax_sum), image, change, size, flips in zip(axes, x, delta, relative, step.flips):
        largest = change.abs().max().item()
        # Clipped to [0, 1] the sum would often keep its class: both get the greys that the sum needs.
        greys = min(0, (image + change).min().item()), max(1, (image + change).max().item())
        show(ax, image, "gray", *greys)
        show(ax_step, change, "RdBu", -(largest or 1), largest or 1)
        show(ax_sum, image + change, "gray", *greys)
        ax_step.set_xlabel(f"± {largest:.2g}")
        ax_sum.set_xlabel(f"{size:.2f}" if flips else "never flips")


def show(ax, pixels, colours, low, high):
    size = math.isqrt(len(pixels))
    ax.imshow(pixels.reshape(size, size).numpy(), cmap=colours, vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[])


if __name__ == "__main__":
    command_line.run(main, __file__)
