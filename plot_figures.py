"""python plot_figures.py --results results --out figures --figure 2 3 4

Draws the paper's Figures 2 to 4, as PNG and PDF, from the rows that ntk_normal.py, advtrain.py and advtraingap.py
wrote to the folder --results; when it draws all of them, it also holds the paper's claims against the rows, in
claims.md. The files figure2, figure3 and figure4 hold the runs with the scripts' default settings. On stderr it says
how many runs of the grids in sweeps/ are there; --missing prints the commands of the others instead of drawing. Runs
with other digits, bs, lr, T, atk_iters or patience are never averaged with those: they get figures of their own, named
after what differs. So do runs with bias in Figures 2 and 3; in Figure 4 bias and box get panels. --networks also draws
a gallery of smallest flipping steps.
"""

import itertools
import math
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws without a display

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

import common
import ntk_normal

sys.path.append(str(Path(__file__).resolve().parent / "sweeps"))

import figure2
import figure3
import figure4_left
import figure4_right
import lines

# Each part of a figure: the script that runs it, and its grid, as a function of laptop (and authors, in Figure 4).
GRIDS = {
    "2": ("ntk_normal", figure2.runs),
    "3": ("ntk_normal", figure3.runs),
    "4 left": ("advtrain", figure4_left.runs),
    "4 right": ("advtraingap", figure4_right.runs),
}
COLUMNS = {
    "ntk_normal": ntk_normal.COLUMNS,
    "advtrain": common.ADVERSARIAL_COLUMNS,
    "advtraingap": common.ADVERSARIAL_COLUMNS,
}
# What makes runs comparable, and the scripts' defaults for it.
SETTINGS = {"num1": 0, "num2": 1, "bias": 0, "bs": 64, "lr": 0.1, "T": 1000}
ADVERSARIAL_SETTINGS = {"num1": 0, "num2": 1, "bs": 32, "lr": 0.01, "T": 1000, "atk_iters": 100, "patience": 20}
PROTOCOLS = {(0, 0): "paper's formulas", (1, 1): "with bias and box", (1, 0): "with bias", (0, 1): "with box"}

WIDTH_COLOURS = {1000: "tab:red", 10000: "tab:orange", 100000: "tab:blue"}
COLOURS = ("#CC79A7", "#000000", "#56B4E9", "#8C6D31")
MARKERS = "os^Dv<>pP*"


def main():
    args = parse_arguments()
    plt.rcParams.update({"font.size": 7.5, "axes.titlesize": 7.5, "figure.titlesize": 7.5, "legend.fontsize": 6.5})
    plt.rcParams.update(
        {"axes.linewidth": 0.6, "lines.linewidth": 1.1, "lines.markersize": 3.5, "hatch.linewidth": 0.4}
    )
    parts = [part for part in GRIDS if int(part[0]) in (args.figure if args.missing is None else [args.missing])]
    rows = {GRIDS[part][0]: read_runs(args.results, GRIDS[part][0]) for part in parts}
    if args.missing is not None:
        for part in parts:
            script = GRIDS[part][0]
            choice = {"authors": args.authors} if args.missing == 4 else {}
            out = {} if args.results == Path("results") else {"out": args.results / f"{script}.csv"}
            lacking, _ = missing(part, rows[script], laptop=args.laptop, **choice)
            lines.print_each((name, options | out) for name, options in lacking)
        return
    for part in parts:
        say_how_many(part, rows[GRIDS[part][0]])
    drawn = {}
    if {2, 3} & set(args.figure):
        for settings, (runs,) in by_settings(SETTINGS, rows["ntk_normal"]).items():
            if 2 in args.figure:
                drawn["_".join(["figure2", *settings])] = draw_curves(runs, settings, "width", "C0", usual=10)
            if 3 in args.figure:
                drawn["_".join(["figure3", *settings])] = draw_curves(runs, settings, "C0", "width", usual=100000)
    if 4 in args.figure:
        for settings, runs in by_settings(ADVERSARIAL_SETTINGS, rows["advtrain"], rows["advtraingap"]).items():
            drawn["_".join(["figure4", *settings])] = draw_maps(settings, *runs)
    if args.networks:
        drawn["gallery"] = draw_gallery(args.networks)
    if not any(drawn.values()):
        raise common.RunError(f"{args.results} has no rows for figure {' '.join(map(str, args.figure))}")
    if len(rows) == len(COLUMNS) and any(rows.values()):
        drawn["claims.md"] = tell_claims(rows)
    save({name: content for name, content in drawn.items() if content}, args.out)


def parse_arguments():
    parser = common.bare_parser(__doc__)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="the folder with the CSVs (default: results)"
    )
    parser.add_argument("--out", type=Path, default="figures", help="the folder to draw into (default: figures)")
    figure = {"type": common.whole_number(2, 4), "nargs": "+", "default": [2, 3, 4]}
    parser.add_argument("--figure", **figure, help="which of the figures 2, 3 and 4 (default: all)")
    only = {"type": common.whole_number(2, 4), "metavar": ""}
    parser.add_argument("--missing", **only, help="only print the commands of the runs that this figure still lacks")
    parser.add_argument("--laptop", action="store_true", help="with --missing: of the thinner grid")
    parser.add_argument("--authors", action="store_true", help="with --missing 4: of the runs with bias and box")
    parser.add_argument(
        "--networks", type=Path, metavar="", help="also draw a gallery from what ntk_normal.py --save-dir saved here"
    )
    return parser.parse_args()


def save(drawn, folder):
    """Write the figures, a dict by name, and texts, by name with ending, to the folder."""
    for name, content in drawn.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content, encoding="utf-8")
                print(path)
            else:
                content.savefig(f"{path}.png", dpi=300)
                content.savefig(f"{path}.pdf", metadata={"CreationDate": None})  # the same rows give the same file
                print(f"{path}.png {path}.pdf")
        except OSError as error:
            raise common.RunError(f"cannot write {path}: {error}")


# ---------------------------------------------------------------------------------------------- rows to groups


def read_runs(folder, script):
    """The rows of all the script's results files in folder as dicts of floats, of rows of the same run the last.

    They are sorted by their configuration: what is made of them does not depend on which run ended first.
    """
    columns = COLUMNS[script]
    rows = [
        common.numbers(row) for path in common.results_files(folder, script) for row in common.read_rows(path, columns)
    ]
    configuration = common.configuration_columns(columns)
    last = {tuple(row[column] for column in configuration): row for row in rows}
    return [last[run] for run in sorted(last)]


def missing(part, rows, **choice):
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


def by_settings(defaults, *files):
    """The runs of the files by their settings: a dict of settings to a list of rows for each file.

    Settings are what differs from the defaults, as ("num1=3", "num2=8"), so those of the default runs are ().
    """
    runs = {(): [[] for _ in files]}
    for place, rows in enumerate(files):
        for row in rows:
            settings = tuple(f"{key}={row[key]!r}".removesuffix(".0") for key in defaults if row[key] != defaults[key])
            runs.setdefault(settings, [[] for _ in files])[place].append(row)
    return runs


def grouped(rows, *columns):
    """The rows by their values in the columns: a sorted dict of a value, or a tuple of values, to rows."""
    groups = {}
    for row in rows:
        key = tuple(row[column] for column in columns)
        groups.setdefault(key if len(key) > 1 else key[0], []).append(row)
    return dict(sorted(groups.items()))


def ended_by_T(row):
    """Whether T epochs ended a run: inside its ball in Section 5.1, before its patience was used up in Section 5.2."""
    return row["left_ball"] == 0 if "left_ball" in row else row["epochs"] == row["T"]


def fix(rows, column, usual, *axes):
    """Only the rows with one value of the column: the paper's, unless it alone would leave a single curve or line.

    Of other values it is the one with the most cells over the axes, of which the first tells curves apart.
    """

    def merit(value):
        members = groups[value]
        return min(len(grouped(members, axes[0])), 2), value == usual, len(grouped(members, *axes))

    groups = grouped(rows, column)
    return groups[max(groups, key=merit)] if groups else []


def of_the_same_runs(rows):
    """Of each size only the seeds that have every C0, if any: others would shift one C0's curve against another's."""
    count, kept = len(grouped(rows, "C0")), []
    for cell in grouped(rows, "size").values():
        whole = [path for path in grouped(cell, "seed").values() if len(path) == count]
        kept += itertools.chain(*whole) if whole else cell
    return kept


# ---------------------------------------------------------------------------------------------- Figures 2 and 3


def draw_curves(rows, settings, curve, fixed, usual):
    """Figure 2, a curve for each width at one C0, or Figure 3, a curve for each C0 at one width, against d."""
    if not rows:
        return None
    rows = fix(rows, fixed, usual, curve, "size")
    rows = of_the_same_runs(rows) if curve == "C0" else rows
    log = {"xscale": "log", "yscale": "log"}
    drawn, axes = plt.subplots(1, 3, figsize=(5.5, 2.3), layout="constrained", subplot_kw=log)
    colours, markers = itertools.cycle(COLOURS), itertools.cycle(MARKERS)
    styles = {}
    for place, value in enumerate(grouped(rows, curve)):
        colour = curve == "width" and WIDTH_COLOURS.get(value) or next(colours)
        # Equal curves stay visible, the larger markers beneath.
        size = {"markersize": 3 + place, "zorder": 2.5 - place / 100}
        styles[value] = {"color": colour, "marker": next(markers), **size}
    for ax, column, title, power, bound in [
        (axes[0], "rel_delta_mean", r"$\|\delta\|\,/\,\|x\|$", -0.5, r"$c/\sqrt{d}$"),
        (axes[1], "grad_norm_mean", r"$\|\nabla f\|$", 0.5, r"$c\sqrt{d}$"),
        (axes[2], "eta_mean", r"$|\eta|$", -1.0, r"$c/d$"),
    ]:
        scales, extent = [], []
        ax.autoscale(False)  # it cannot tell a single run from no range at all
        for value, style in styles.items():
            cells = grouped([row for row in rows if row[curve] == value and np.isfinite(row[column])], "d")
            if not cells:
                continue
            d = np.array(list(cells))
            mean = np.array([np.mean([row[column] for row in cell]) for cell in cells.values()])
            spread = np.array([np.std([row[column] for row in cell], ddof=len(cell) > 1) for cell in cells.values()])
            ended = np.array([any(ended_by_T(row) for row in cell) for cell in cells.values()])
            ax.plot(d, mean, **style)
            ax.plot(d[ended], mean[ended], **style | {"linestyle": "none", "markerfacecolor": "white"})
            band = np.maximum(mean - spread, mean / 10), mean + spread
            ax.fill_between(d, *band, color=style["color"], alpha=0.25, linewidth=0)
            extent += [*band[0], *band[1]]
            scales.append(np.log(mean) - power * np.log(d))
        d = np.array(sorted({row["d"] for row in rows}))
        if scales and len(d) > 1:
            rate = np.exp(np.mean(np.concatenate(scales))) * d**power
            ax.plot(d, rate, color="tab:green", linestyle="--", linewidth=1.5, zorder=3)
            ax.legend(ax.lines[-1:], [bound], frameon=False)
            extent += [*rate]
        ax.set(title=title, xlabel="$d$")
        log_ticks(ax, {row["d"] for row in rows}, extent)

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


def draw_maps(settings, left, right):
    """Figure 4: robust test accuracy over (d, eps) and over (width, V), a line of panels for each protocol."""
    if not left and not right:
        return None
    short = lines.adversarial_options(laptop=True, authors=False)
    laptop = settings == tuple(f"{name}={value}" for name, value in short.items())
    sizes, epsilons = grid_axes("4 left", laptop, "size", "eps")
    widths, radii = grid_axes("4 right", laptop, "width", "gap")
    present = {(0, 0)} | {(row["bias"], row["box"]) for row in left + right}
    protocols = [key for key in PROTOCOLS if key in present]
    drawn, axes = plt.subplots(
        len(protocols), 2, figsize=(5.5, 0.4 + 2.2 * len(protocols)), layout="constrained", squeeze=False
    )
    for protocol, (ax_left, ax_right) in zip(protocols, axes):
        title = PROTOCOLS[protocol]
        rows = left_of_figure4([row for row in left if (row["bias"], row["box"]) == protocol])
        ax_left.set(title=f"left, {title}", xlabel="$d$", ylabel=r"$\varepsilon$")
        if draw_map(ax_left, rows, "size", sizes, "eps", epsilons, falls=True):
            draw_bound(ax_left, lambda size: 5 / size, r"$5/\sqrt{d}$", "upper right")
            count = seeds(grouped(rows, "size", "eps"))
            ax_left.set_title(f"left, {title}\n$m$ = {rows[0]['width']:,g}, $C_0$ = {rows[0]['C0']:g}, {count}")
            ax_left.xaxis.set_major_locator(FixedLocator((5, 7, 10, 14, 20, 28)))
            ax_left.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size**2:g}"))

        rows = right_of_figure4([row for row in right if (row["bias"], row["box"]) == protocol])
        ax_right.set(title=f"right, {title}", xlabel="$m$", ylabel="$V$", xscale="log")
        if draw_map(ax_right, rows, "width", widths, "V", radii, falls=False):
            draw_bound(ax_right, lambda width: 25 / np.sqrt(width), r"$25/\sqrt{m}$", "lower left")
            count = seeds(grouped(rows, "width", "V"))
            ax_right.set_title(f"right, {title}\n$d$ = {rows[0]['d']:g}, $\\varepsilon$ = {rows[0]['eps']:g}, {count}")
            ax_right.xaxis.set_major_locator(FixedLocator(widths))
            ax_right.xaxis.set_major_formatter(FuncFormatter(lambda width, _: f"{width:,g}"))
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), "cividis")
    drawn.colorbar(scale, ax=axes, label="robust test accuracy", aspect=30)
    if settings:
        drawn.suptitle(", ".join(settings))
    return drawn


def grid_axes(part, laptop, *options):
    """The values of the options in the grid of a part of Figure 4: the paper's, or the laptop's thinner one."""
    grid = [run for _, run in GRIDS[part][1](laptop=laptop)]
    return [sorted({run[option] for run in grid}) for option in options]


def left_of_figure4(rows):
    return fix(fix(rows, "width", 1000, "size", "eps"), "C0", 10, "size", "eps")


def right_of_figure4(rows):
    return fix(fix(rows, "size", 28, "width", "V"), "eps", 0.2, "width", "V")


def draw_map(ax, rows, horizontal, across, vertical, up, falls):
    """Robust test accuracy, mean over seeds, in the cells (across, up) and those of the rows; True if there are rows.

    Cells without runs are hatched; a dot marks those with a run that T epochs ended, a line in each column where robust
    accuracy passes one half, mean over the `crossings`.
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
    log = ax.get_xscale() == "log"
    sides, levels = edges(across, log), edges(up)
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
        by_seed = [[(row[vertical], row["robust_test_acc"]) for row in line] for line in grouped(cell, "seed").values()]
        found = crossings(by_seed, falls)
        half = np.mean(found, axis=0)[0] if found else np.nan
        left, right = sides[across.index(column) :][:2]
        halves += [(left, half), (right, half), (right, np.nan)]
    if np.isfinite(halves).all(axis=1).any():
        outline = [withStroke(linewidth=2, foreground="black")]
        ax.plot(*zip(*halves), color="white", lw=1, solid_capstyle="butt", path_effects=outline, label="one half")
    return True


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


def draw_gallery(folder):
    """Test digits, their smallest flipping steps and the sums, a line for each network of ntk_normal.py in folder."""
    saved = [common.load_network(path) for path in sorted(folder.glob("ntk_normal-*.pt"))]
    if not saved:
        raise common.RunError(f"{folder} has no network that ntk_normal.py --save-dir saved")
    saved.sort(key=lambda network: [network[1][column] for column in ("d", "width", "C0", "bias", "seed")])
    drawn = plt.figure(figsize=(7.5, 0.45 + 0.85 * len(saved)), layout="constrained")
    grid = drawn.add_gridspec(len(saved), 15, width_ratios=[1, 1, 1, 0.2] * 3 + [1, 1, 1])
    for line, (net, config) in enumerate(saved):
        digits = common.load_digits(config["num1"], config["num2"], config["size"])
        # The first two of each digit: nobody chose them.
        x = torch.cat([digits.test_x[digits.test_y == y][:2] for y in (-1, 1)])
        step = common.smallest_step(net, x)
        eta = step.eta.where(step.flips, 0)[:, None].float()
        delta = eta * net.value_and_input_gradient(x)[1]
        relative = step.delta_norm / torch.linalg.vector_norm(x, dim=1)
        for column, (image, change) in enumerate(zip(x, delta)):
            axes = [drawn.add_subplot(grid[line, 4 * column + place]) for place in range(3)]
            largest = change.abs().max().item()
            # Clipped to [0, 1] the sum would often keep its class: both get the greys that the sum needs.
            greys = min(0, (image + change).min().item()), max(1, (image + change).max().item())
            show(axes[0], image, "gray", *greys)
            show(axes[1], change, "RdBu", -(largest or 1), largest or 1)
            show(axes[2], image + change, "gray", *greys)
            axes[1].set_xlabel(f"± {largest:.2g}")
            axes[2].set_xlabel(f"{relative[column]:.2f}" if step.flips[column] else "never flips")
            if line == 0:
                for ax, title in zip(axes, ("$x$", r"$\delta$", r"$x + \delta$")):
                    ax.set_title(title)
            if column == 0:
                label = f"$d$ = {config['d']}, $m$ = {config['width']:,}\n$C_0$ = {config['C0']:g}"
                label += f", seed {config['seed']}" + ", bias" * config["bias"]
                axes[0].set_ylabel(label, fontsize=5.5)
    drawn.supxlabel(
        r"Under $x + \delta$: the size $\|\delta\|/\|x\|$ of the smallest step that flips the sign of $f$. "
        r"Under $\delta$: the ends of its colours. $x$ and $x + \delta$ share their greys.",
        fontsize=6.5,
    )
    return drawn


def show(ax, pixels, colours, low, high):
    size = math.isqrt(len(pixels))
    ax.imshow(pixels.reshape(size, size).numpy(), cmap=colours, vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[])


# ------------------------------------------------------------------------------------------- the paper's claims

CLAIMS_HEAD = """# The paper's claims, held against the runs

Written by `plot_figures.py` from the rows of the CSVs alone. *Paper's formulas*: runs without `--bias` and `--box`.
*Authors' protocol*: runs with the authors' bias (`--bias`) and, in Section 5.2, pixel box (`--box`); what else their
scripts do differently is in the README, and not in these runs. *± h*: half the width of a 95% t interval over the
seeds, which tells how the seeds scatter and not how well a power law fits; a number without it is of one seed.

*Holds in part (2 of 3)*: so many of the checks in "holds if" do. ✓ holds, ✗ does not, ? the runs are too few or too far
apart to tell. –: no runs that could tell. The tolerances are ours: the paper has none. *T ended n of k*: so many runs
were still training when T ended them; robust accuracy might rise further, and a larger ball might yet be left.

Quantities are means over the test examples, and ratios and products are of these means. Without bias f(cx) = c f(x)
for c > 0, so that |f|/‖x‖, η‖∇f‖²/‖x‖ and (‖δ‖/‖x‖)/‖∇f‖ are |f|, η‖∇f‖² and η at x/‖x‖, the norm 1 that Theorem 3.1
assumes. It also assumes d^2.4 ≤ m ≤ C4 exp(d^0.24) with a constant C4 that it does not name. Of the 21 pairs of d and
m in the paper's Figure 2, 4 meet the first, d = 25 at m = 10,000 and d = 25, 49, 100 at m = 100,000, and of these none
the second unless C4 is 1,147 or more. In Figure 4, where robust accuracy passes one half is interpolated between the
neighbouring runs, in brackets, if they are no more than a factor of 2 apart; ε is given as ε√d there, and V as V√m.
"""

SYMBOLS = {"width": "m", "d": "d", "eps": "ε", "C0": "C0", "V": "V", "seed": "seed"}

# 97.5% quantiles of Student's t at 1, 2, ... degrees of freedom, for 2 to 10 seeds.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Finding:
    """What the runs say of a claim: lines to read, whether each of its checks holds, None if untold, and their rows."""

    def __init__(self):
        self.lines, self.checks, self.rows = [], [], []

    def add(self, line, checks=(), rows=()):
        self.lines.append(line)
        self.checks += checks
        known = set(map(id, self.rows))  # several lines may rest on the same rows
        self.rows += [row for row in rows if id(row) not in known]

    def text(self):
        if not self.rows:
            return "–"
        undecided = sum(check is None for check in self.checks)
        holding = sum(map(bool, self.checks))
        if undecided == len(self.checks):
            verdict = "undecided"
        elif holding == len(self.checks):
            verdict = "holds"
        else:
            verdict = "holds in part" if holding else "does not hold"
        counts = [f"{holding} of {len(self.checks)}"] if verdict == "holds in part" else []
        counts += [f"{undecided} undecided"] if 0 < undecided < len(self.checks) else []
        counts += ["one seed"] if len(grouped(self.rows, "seed")) == 1 else []
        return "<br>".join([f"**{verdict}**" + f" ({', '.join(counts)})" * bool(counts), *self.lines])

    def basis(self):
        """The rows in words, such as "105 runs: m 1,000, 10,000, 100,000; d 25 to 784; C0 10; seed 0 to 4"."""
        if not self.rows:
            return "none"
        ball = min("C0", "V", key=lambda column: len(grouped(self.rows, column)))
        columns = [column for column in ("width", "d", "eps", ball, "seed") if column in self.rows[0]]
        return f"{len(self.rows)} runs: {'; '.join(span(self.rows, column) for column in columns)}"


def tell_claims(rows):
    """The text of claims.md, from a dict of each script's rows: a table for each settings that ran."""
    tables, left_out = {}, 0
    for script in COLUMNS:
        usual = ADVERSARIAL_SETTINGS
        if script == "ntk_normal":
            usual = {name: value for name, value in SETTINGS.items() if name != "bias"}  # a column of the table
        for settings, (runs,) in by_settings(usual, rows[script]).items():
            for row in runs:
                protocol = row["bias"], row.get("box", row["bias"])
                if protocol in ((0, 0), (1, 1)):
                    empty = {key: {name: [] for name in COLUMNS} for key in ((0, 0), (1, 1))}
                    tables.setdefault(settings, empty)[protocol][script].append(row)
                else:
                    left_out += 1
    text = [CLAIMS_HEAD]
    for settings, protocols in sorted(tables.items()):
        text.append(f"## Runs with {', '.join(settings) or 'the default settings'}\n")
        text.append("| | claim | holds if | paper's formulas | authors' protocol | rests on |\n|-|-|-|-|-|-|")
        for number, (claim, criterion, examine) in enumerate(CLAIMS, start=1):
            formulas, authors = map(examine, protocols.values())
            if formulas.rows or authors.rows:
                cells = [str(number), claim, criterion, formulas.text(), authors.text()]
                text.append(f"| {' | '.join(cells)} | {formulas.basis()}<br>{authors.basis()} |")
        text.append("")
    if left_out:
        text.append(f"In no column: {left_out} runs of Section 5.2 with `--bias` or `--box` alone.\n")
    return "\n".join(text)


def span(rows, column):
    values = [f"{value:,.10g}" for value in grouped(rows, column)]
    return f"{SYMBOLS[column]} {', '.join(values) if len(values) < 4 else f'{values[0]} to {values[-1]}'}"


def at(row, *columns):
    return ", ".join(span([row], column) for column in columns)


def extent(values):
    return f"{min(values):.2f} to {max(values):.2f}"


def over_seeds(values, digits=2):
    """The mean of the values, one for each seed, as text, with half the width of its 95% t interval."""
    mean = f"{round(np.mean(values), digits) + 0:.{digits}f}".replace("-", "−")
    if len(values) < 2:
        return mean
    half = T_QUANTILES[min(len(values) - 2, 8)] * np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{mean} ± {half:.{digits}f}"


def mark(check):
    return {True: "✓", False: "✗", None: "?"}[check]


def ratio(numerator, denominator):
    return numerator / denominator if denominator else math.nan


def networks(trained):
    """The rows of ntk_normal.csv, in `read_runs`' order, one a network: all balls that T epochs did not leave have one."""
    kept = {}
    for row in trained:
        kept.setdefault((row["size"], row["width"], row["seed"], None if ended_by_T(row) else row["C0"]), row)
    return list(kept.values())


def small_test_error(runs):
    finding = Finding()
    for group in grouped(networks(runs["ntk_normal"]), "width", "C0").values():
        above = [row for row in group if row["test_error"] >= 0.01]
        means = [100 * np.mean([row["test_error"] for row in cell]) for cell in grouped(group, "seed").values()]
        by_d = {d: np.mean([row["test_error"] for row in cell]) for d, cell in grouped(group, "d").items()}
        line = (
            f"{at(group[0], 'width', 'C0')}: mean {over_seeds(means)}%, {len(group) - len(above)} of {len(group)} below"
        )
        line += ", but " * bool(above) + ", ".join(f"{row['test_error']:.2%} ({at(row, 'd', 'seed')})" for row in above)
        worst = max(by_d, key=by_d.get)
        line += f"; mean over seeds at most {by_d[worst]:.2%} (d {worst:g})" * (len(means) > 1)
        finding.add(line, [row["test_error"] < 0.01 for row in group], group)
    return finding


def power_of_d(power, *named_quantities, last_line=None):
    """Whether the quantities, (name, function of a row), go like d^power; only C0 = 10, as in Figure 2, is judged.

    last_line is a function of the rows that were used, for what else there is to say of them.
    """

    def examine(runs):
        finding = Finding()
        for name, quantity in named_quantities:
            others = []
            for group in grouped(runs["ntk_normal"], "width", "C0").values():
                fitted, rows = exponents(group, quantity)
                if not fitted:
                    continue
                notes = [at(rows[0], "width", "C0"), span(rows, "d")]
                notes += ["T ended some"] if any(ended_by_T(row) for row in rows) else []
                if rows[0]["C0"] == 10:
                    upper, _ = exponents([row for row in rows if row["d"] >= 100], quantity)
                    notes += [f"from d 100 on {over_seeds(upper)}"] if upper else []
                    check = abs(np.mean(fitted) - power) <= 0.1
                    finding.add(f"{name}: {over_seeds(fitted)} {mark(check)} ({', '.join(notes)})", [check], rows)
                else:
                    others.append((f"{over_seeds(fitted)} ({', '.join(notes)})", rows))
            if others:
                told, rows = zip(*others)
                finding.add(f"{name}, not judged: {'; '.join(told)}", rows=itertools.chain(*rows))
        if last_line and finding.rows:
            finding.add(last_line(finding.rows))
        return finding

    return examine


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
    """Without bias; with it f is not proportional to x."""
    return math.nan if row["bias"] else ratio(row["rel_delta_mean"], row["grad_norm_mean"])


def scaled_steps(rows):
    without = sum(row["no_flip"] for row in rows)
    scaled = [row["rel_delta_mean"] * row["size"] for row in rows]
    high = max((row["rel_delta_mean"] + 2 * row["rel_delta_std"]) * row["size"] for row in rows)
    told = f"mean ‖δ‖/‖x‖·√d {extent(scaled)}, with two standard deviations up to {high:.2f}"
    return f"{without:,g} examples that no step flips; {told}"


def scaled_gradients(rows):
    scaled = [row["grad_norm_mean"] / row["size"] for row in rows]
    return f"mean ‖∇f‖/√d {extent(scaled)} (Lemma 4.2: at least 1/4)"


def grows_with_C0(runs):
    finding = Finding()
    for cell in grouped(fix(runs["ntk_normal"], "width", 100000, "C0", "size"), "d").values():
        left = [row for row in cell if not ended_by_T(row)]  # the others did not get as far as their C0
        paths = grouped(left, "seed").values()
        balls = [[row["C0"] for row in path] for path in paths]
        # Only the seeds with the same balls, as many as any has, can be averaged step by step.
        most = max(balls, key=lambda own: (len(own), balls.count(own)), default=[])
        paths = [path for path, own in zip(paths, balls) if own == most]
        quantities, checks = [], []
        for name, column in (("‖∇f‖", "grad_norm_mean"), ("η", "eta_mean"), ("‖δ‖/‖x‖", "rel_delta_mean")):
            factors = [
                [ratio(after[column], before[column]) for before, after in itertools.pairwise(path)] for path in paths
            ]
            if np.size(factors) and np.isfinite(factors).all():
                steps = np.mean(factors, axis=0) > 1
                total = over_seeds([np.prod(factor) for factor in factors])
                quantities.append(f"{name} × {total} ({sum(steps)} of {len(steps)} steps up)")
                checks += list(steps)
        if checks:
            rows = [row for path in paths for row in path]
            ended = [row for row in cell if ended_by_T(row)]
            quantities += [f"T ended {span(ended, 'C0')}"] if ended else []
            finding.add(f"{at(rows[0], 'width', 'd')}, {span(rows, 'C0')}: {', '.join(quantities)}", checks, rows)
    return finding


def bounded(runs):
    finding = Finding()
    named_quantities = [
        ("\\|f\\|/‖x‖", lambda row: row["abs_f_mean"] * ratio(row["rel_delta_mean"], row["delta_norm_mean"])),
        ("η‖∇f‖²/‖x‖", lambda row: row["rel_delta_mean"] * row["grad_norm_mean"]),
    ]
    trained = [row for row in runs["ntk_normal"] if not row["bias"]]  # with bias f at norm 1 is not f/‖x‖
    for group in grouped(fix(trained, "C0", 10, "width", "size"), "width").values():
        for name, quantity in named_quantities:
            fitted, rows = exponents(group, quantity)
            if fitted:
                values = [np.mean([quantity(row) for row in cell]) for cell in grouped(rows, "d").values()]
                check = np.mean(fitted) <= 0.1
                line = f"{at(rows[0], 'width')}: {name} {extent(values)} over d, exponent {over_seeds(fitted)}"
                finding.add(f"{line} {mark(check)}", [check], rows)
    return finding


def threshold(script, select, across, up, constant, falls):
    """Whether robust test accuracy falls, or rises, past one half at up = constant / sqrt(across)."""

    def examine(runs):
        finding, halves = Finding(), {}
        for value, cell in grouped(select(runs[script]), across).items():
            by_seed = [
                [(round(row[up] * math.sqrt(value), 9), row["robust_test_acc"]) for row in line]
                for line in grouped(cell, "seed").values()
            ]
            found, half = one_half(by_seed, constant, falls)
            if found is not None:
                halves[value] = found / math.sqrt(value)
            judged = [*one_side(by_seed, 0.8 * constant, "up to", falls), half]
            judged += one_side(by_seed, constant, "beyond", not falls)
            notes = [f"{note} {mark(check)}" for note, check in judged]
            ended = sum(ended_by_T(row) for row in cell)
            notes += [f"T ended {ended} of {len(cell)}"] if ended else []
            inside = sum(row["max_deviation"] < 0.99 * row["V"] for row in cell)
            notes += [f"{inside} never at the ball's border"] if inside else []
            finding.add(f"{at(cell[0], across)}: {', '.join(notes)}", [check for _, check in judged], cell)
        if len(halves) >= 3:
            power, least, most = exponent_of_brackets(np.array(list(halves)), np.array(list(halves.values())))
            check = within(least, most, -0.6, -0.4)
            told = f"{power:.2f} ({least:.2f} to {most:.2f}) {mark(check)}".replace("-", "−")
            finding.add(f"{SYMBOLS[up]} at one half goes like {SYMBOLS[across]}^{told}", [check])
        return finding

    return examine


def within(low, high, least, most):
    """Whether a number known to lie from low to high lies from least to most, None if the bracket cannot tell."""
    return True if least <= low and high <= most else False if high <= least or low >= most else None


def exponent_of_brackets(across, found):
    """The slope of log(place) over log(across), and the least and the most of it within the brackets.

    found has a line (place, low, high) for each value of across.
    """
    logs = np.log(across) - np.log(across).mean()
    ends = np.log(found) * (logs / np.square(logs).sum())[:, None]
    return ends[:, 0].sum(), ends[:, 1:].min(axis=1).sum(), ends[:, 1:].max(axis=1).sum()


def one_side(by_seed, limit, words, robust):
    """A list of the (note, check) on the (place, robust accuracy) of all seeds "up to" or "beyond" the limit, if any.

    The check is 0.9 at least on the side where the networks should be robust, and 0.05 at most on the other.
    """
    accuracies = [accuracy for line in by_seed for place, accuracy in line if (place > limit) == (words == "beyond")]
    if not accuracies:
        return []
    check = min(accuracies) >= 0.9 if robust else max(accuracies) <= 0.05
    return [(f"{extent(accuracies)} {words} {limit:g}", check)]


def one_half(by_seed, constant, falls):
    """Where robust accuracy passes one half, mean over seeds, and the (note, check) whether within 20% of the constant.

    Where is (place, low, high), the place between its neighbouring runs, or None where these are too far apart.
    """
    passed = crossings(by_seed, falls)
    least, most = 0.8 * constant, 1.2 * constant
    if passed:
        found = place, low, high = np.mean(passed, axis=0).round(9)
        check = within(low, high, least, most)
        some = f" in {len(passed)} of {len(by_seed)} seeds" * (len(passed) < len(by_seed))
        if np.isnan(place):
            return None, (f"one half between {low:.1f} and {high:.1f}{some}", check)
        told = f"one half at {over_seeds([place for place, _, _ in passed], 1)} ({low:.1f} to {high:.1f}){some}"
        return found, (told, check)
    points = sorted(point for line in by_seed for point in line)
    sides = [{accuracy >= 0.5 for _, accuracy in line} for line in by_seed]
    if len(set.union(*sides)) == 2:
        words = f"{'falls' if falls else 'rises'} past one half in no seed"
        return None, (words, False if {True, False} in sides else None)
    if (points[0][1] >= 0.5) == falls:
        words = f"{'above' if falls else 'below'} one half up to {points[-1][0]:.1f}, the last run"
        return None, (words, False if points[-1][0] >= most else None)
    words = f"{'below' if falls else 'above'} one half from {points[0][0]:.1f} on, the first run"
    return None, (words, False if points[0][0] <= least else None)


def crossings(by_seed, falls):
    """The `crossing` of each seed that has one, but if some say where, only of those."""
    found = [passed for passed in (crossing(line, falls) for line in by_seed) if passed]
    return [passed for passed in found if np.isfinite(passed[0])] or found


def crossing(line, falls):
    """Where one seed's robust accuracy first passes one half, and between which two places (low, high), or None.

    Where is interpolated, or NaN if the two are more than a factor of 2 apart.
    """
    for (low, before), (high, after) in itertools.pairwise(sorted(line)):
        if (before >= 0.5 > after) if falls else (before < 0.5 <= after):
            place = low + (high - low) * (0.5 - before) / (after - before)
            near = high <= 2 * low + 1e-6  # places are rounded: 0.2 √m may be a trifle more than twice 0.1 √m
            return place if near else math.nan, low, high
    return None


def keeps_test_accuracy(runs):
    finding = Finding()
    for cell in grouped(right_of_figure4(runs["advtraingap"]), "width").values():
        by_V = grouped(cell, "V")
        mean = {V: np.mean([row["test_acc"] for row in same]) for V, same in by_V.items()}
        if len(by_V) > 1:
            largest, worst = max(mean), min(mean, key=mean.get)
            told = [
                f"{mean[V]:.1%} at V {V:g} ({np.mean([row['epochs'] for row in by_V[V]]):g} epochs)"
                for V in (largest, worst)
            ]
            checks = [mean[V] >= mean[largest] - 0.01 for V in sorted(mean)[:-1]]
            finding.add(f"{at(cell[0], 'width')}: {told[0]}, least {told[1]}", checks, cell)
    return finding


def in_the_ball(runs):
    finding = Finding()
    rows = [row for script in COLUMNS for row in runs[script]]
    if rows:
        deviations = [row["max_deviation"] / row["V"] for row in rows]
        finding.add(f"largest deviation {max(deviations):.9f} V", [share <= 1 for share in deviations], rows)
    return finding


# The paper's words and their place, what is asked for, and who looks for it in the rows, a dict by script.
CLAIMS = [
    ("Every trained network has a test error below 1% (§5.1)", "each network has", small_test_error),
    (
        "A step of size ‖δ‖/‖x‖ = O(1/√d) flips every x (§5.1, Figure 2 left; Theorem 3.1)",
        "mean falls like 1/√d: fitted exponent within 0.1 of −1/2, at C0 = 10",
        power_of_d(-0.5, ("‖δ‖/‖x‖", lambda row: row["rel_delta_mean"]), last_line=scaled_steps),
    ),
    (
        "‖∇f‖ is roughly Ω(√d) (§5.1, Figure 2 middle; Lemma 4.2)",
        "mean grows like √d: fitted exponent within 0.1 of 1/2, at C0 = 10",
        power_of_d(0.5, ("‖∇f‖", lambda row: row["grad_norm_mean"]), last_line=scaled_gradients),
    ),
    (
        "η is O(1/d) (§5.1, Figure 2 right; Theorem 3.1)",
        "mean falls like 1/d: fitted exponent within 0.1 of −1, of η and of (‖δ‖/‖x‖)/‖∇f‖, at C0 = 10 (the "
        "latter's is the difference of the two exponents above)",
        power_of_d(-1, ("η", lambda row: row["eta_mean"]), ("(‖δ‖/‖x‖)/‖∇f‖", eta_at_norm_1)),
    ),
    (
        "With C0 both ‖∇f‖ and η grow, and so does ‖δ‖ (§5.1, Figure 3, at m = 100,000)",
        "each is larger at each C0 than at the one before, at every d, of the networks that left their ball",
        grows_with_C0,
    ),
    (
        "\\|f\\| = O(1) and η‖∇f‖² = O(1) (Lemma 4.1; step size of Theorem 3.1)",
        "fitted exponent in d at most 0.1, of both over ‖x‖",
        bounded,
    ),
    (
        "Networks are robust below ε = 5/√d, there robust accuracy drops sharply, to 0 above (§5.2, Figure 4 left)",
        "at every d at least 0.9 up to ε√d = 4, one half between 4 and 6, at most 0.05 beyond 5; "
        "exponent of ε at one half within 0.1 of −1/2",
        threshold("advtrain", left_of_figure4, "d", "eps", 5, falls=True),
    ),
    (
        "Networks are wholly robust just past V = 25/√m, and below robust accuracy drops to 0 (§5.2, Figure 4 right)",
        "at every m at most 0.05 up to V√m = 20, one half between 20 and 30, at least 0.9 beyond 25; "
        "exponent of V at one half within 0.1 of −1/2",
        threshold("advtraingap", right_of_figure4, "width", "V", 25, falls=False),
    ),
    ("Every network lies in its lazy ball (Definition 2.1; §5.1, §5.2)", "each deviation is at most V", in_the_ball),
    (
        "The projection does not hurt the test accuracy (§5.2)",
        "at no V it is more than 1% below that at the largest V, which projects least, at every m",
        keeps_test_accuracy,
    ),
]


if __name__ == "__main__":
    common.run(main)
