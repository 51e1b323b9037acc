"""python plot_figures.py --results results --out figures --figure 2 3 4

Draws the paper's Figures 2 to 4, as PNG and PDF, from the rows that ntk_normal.py, advtrain.py and advtraingap.py
wrote to the folder --results. The files figure2, figure3 and figure4 hold the runs with the scripts' default
settings. On stderr it says how many runs of the grids in sweeps/ are there; --missing prints the commands of the
others instead of drawing. Runs with other digits, bs, lr, T, atk_iters or patience are never averaged with those:
they get figures of their own, named after what differs. So do runs with bias in Figures 2 and 3; in Figure 4 bias and
box get panels.
"""

import itertools
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws without a display

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
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
SIZES = sorted({options["size"] for _, options in figure2.runs()})
WIDTHS = sorted({options["width"] for _, options in figure4_right.runs()})
TWENTIETHS = sorted({options["gap"] for _, options in figure4_right.runs()})

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
            choice = {"authors": args.authors} if args.missing == 4 else {}
            for script, options in missing(part, rows[GRIDS[part][0]], laptop=args.laptop, **choice)[0]:
                out = {} if args.results == Path("results") else {"out": args.results / script.replace(".py", ".csv")}
                print(lines.line(script, options | out))
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
    if not any(drawn.values()):
        raise common.RunError(f"{args.results} has no rows for figure {' '.join(map(str, args.figure))}")
    for name, figure in drawn.items():
        if figure:
            save(figure, args.out / name)


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
    return parser.parse_args()


def save(figure, path):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for ending in ("png", "pdf"):
            figure.savefig(f"{path}.{ending}", dpi=300)
    except OSError as error:
        raise common.RunError(f"cannot write {path}: {error}")
    print(f"{path}.png {path}.pdf")


# ---------------------------------------------------------------------------------------------- rows to groups


def read_runs(folder, script):
    """The rows of all the script's results files in folder as dicts of floats, of rows of the same run the last."""
    columns = COLUMNS[script]
    rows = [
        common.numbers(row) for path in common.results_files(folder, script) for row in common.read_rows(path, columns)
    ]
    configuration = common.configuration_columns(columns)
    return list({tuple(row[column] for column in configuration): row for row in rows}.values())


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


def fix(rows, column, usual, *axes):
    """Only the rows with one value of the column: the paper's, unless it alone would leave a single curve or line.

    Of other values it is the one with the most cells over the axes, of which the first tells curves apart.
    """

    def merit(value):
        members = groups[value]
        return min(len(grouped(members, axes[0])), 2), value == usual, len(grouped(members, *axes))

    groups = grouped(rows, column)
    return groups[max(groups, key=merit)] if groups else []


# ---------------------------------------------------------------------------------------------- Figures 2 and 3


def draw_curves(rows, settings, curve, fixed, usual):
    """Figure 2, a curve for each width at one C0, or Figure 3, a curve for each C0 at one width, against d."""
    if not rows:
        return None
    rows = fix(rows, fixed, usual, curve, "size")
    log = {"xscale": "log", "yscale": "log"}
    drawn, axes = plt.subplots(1, 3, figsize=(5.5, 2.3), layout="constrained", subplot_kw=log)
    colours, markers = itertools.cycle(COLOURS), itertools.cycle(MARKERS)
    styles = {
        value: {"color": curve == "width" and WIDTH_COLOURS.get(value) or next(colours), "marker": next(markers)}
        for value in grouped(rows, curve)
    }
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
            ended = np.array([any(row["left_ball"] == 0 for row in cell) for cell in cells.values()])
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
    if any(row["left_ball"] == 0 for row in rows):
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
    present = {(0, 0)} | {(row["bias"], row["box"]) for row in left + right}
    protocols = [key for key in PROTOCOLS if key in present]
    drawn, axes = plt.subplots(
        len(protocols), 2, figsize=(5.5, 0.4 + 2.2 * len(protocols)), layout="constrained", squeeze=False
    )
    for protocol, (ax_left, ax_right) in zip(protocols, axes):
        title = PROTOCOLS[protocol]
        rows = [row for row in left if (row["bias"], row["box"]) == protocol]
        rows = fix(fix(rows, "width", 1000, "size", "eps"), "C0", 10, "size", "eps")
        ax_left.set(title=f"left, {title}", xlabel="$d$", ylabel=r"$\varepsilon$")
        if draw_map(ax_left, rows, "size", range(5, 29), "eps"):
            draw_bound(ax_left, lambda size: 5 / size, r"$5/\sqrt{d}$")
            count = seeds(grouped(rows, "size", "eps"))
            ax_left.set_title(f"left, {title}\n$m$ = {rows[0]['width']:,g}, $C_0$ = {rows[0]['C0']:g}, {count}")
            ax_left.xaxis.set_major_locator(FixedLocator(SIZES[::2]))
            ax_left.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size**2:g}"))

        rows = [row for row in right if (row["bias"], row["box"]) == protocol]
        rows = fix(fix(rows, "size", 28, "width", "V"), "eps", 0.2, "width", "V")
        ax_right.set(title=f"right, {title}", xlabel="$m$", ylabel="$V$", xscale="log")
        if draw_map(ax_right, rows, "width", WIDTHS, "V"):
            draw_bound(ax_right, lambda width: 25 / np.sqrt(width), r"$25/\sqrt{m}$")
            count = seeds(grouped(rows, "width", "V"))
            ax_right.set_title(f"right, {title}\n$d$ = {rows[0]['d']:g}, $\\varepsilon$ = {rows[0]['eps']:g}, {count}")
            ax_right.xaxis.set_major_locator(FixedLocator(WIDTHS[::2]))
            ax_right.xaxis.set_major_formatter(FuncFormatter(lambda width, _: f"{width:,g}"))
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), "cividis")
    drawn.colorbar(scale, ax=axes, label="robust test accuracy", aspect=30)
    if settings:
        drawn.suptitle(", ".join(settings))
    return drawn


def draw_map(ax, rows, horizontal, across, vertical):
    """Robust test accuracy, mean over seeds, in the cells of the paper's grid and of the rows; True if there are rows.

    Cells without runs are hatched.
    """
    ax.patch.set(facecolor="0.95", edgecolor="0.8", hatch="xxxx")
    if not rows:
        ax.set(xticks=[], yticks=[])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.text(0.5, 0.5, "no runs", transform=ax.transAxes, ha="center", va="center", backgroundcolor="white")
        return False
    across = sorted({*across, *grouped(rows, horizontal)})
    up = sorted({*TWENTIETHS, *grouped(rows, vertical)})
    accuracy = np.full((len(up), len(across)), np.nan)
    for (x, y), cell in grouped(rows, horizontal, vertical).items():
        accuracy[up.index(y), across.index(x)] = np.mean([row["robust_test_acc"] for row in cell])
    log = ax.get_xscale() == "log"
    ax.pcolormesh(edges(across, log), edges(up), accuracy, vmin=0, vmax=1, cmap="cividis")
    ax.set(xlim=edges(across, log)[[0, -1]], ylim=edges(up)[[0, -1]])
    ax.xaxis.set_minor_locator(NullLocator())
    return True


def edges(centres, log=False):
    """The limits of cells around sorted centres, halfway between them (of their logarithms)."""
    centres = np.log(centres) if log else np.array(centres)
    between = (centres[1:] + centres[:-1]) / 2
    limits = np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])
    return np.exp(limits) if log else limits


def draw_bound(ax, bound, label):
    """The paper's threshold as a curve across the map."""
    x = np.linspace(*ax.get_xlim(), 2000)
    ax.plot(x, bound(x), color="white", lw=2.4, scaley=False)
    ax.plot(x, bound(x), color="tab:red", label=label, scaley=False)
    ax.legend(loc="upper right", framealpha=0.9)


if __name__ == "__main__":
    common.run(main)
