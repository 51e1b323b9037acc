"""python plot_figures.py --results results --out figures --figure 2 3 4

Draws the paper's Figures 2 to 4, as PNG and PDF, from the rows that ntk_normal.py, advtrain.py and advtraingap.py
wrote to the folder --results, and holds the paper's claims against the rows in claims.md. The files figure2, figure3
and figure4 hold the runs with the scripts' default settings. On stderr it says how many runs of the grids in sweeps/
are there; --missing prints the commands of the others instead of drawing. Runs with other digits, bs, lr, T, atk_iters
or patience are never averaged with those: they get figures of their own, named after what differs. So do runs with
bias in Figures 2 and 3; in Figure 4 bias and box get panels. --networks also draws a gallery of smallest flipping
steps.
"""

import itertools
import math
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")  # draws without a display

import numpy as np
import torch
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
    if args.networks:
        drawn["gallery"] = draw_gallery(args.networks)
    if not any(drawn.values()):
        raise common.RunError(f"{args.results} has no rows for figure {' '.join(map(str, args.figure))}")
    for name, figure in drawn.items():
        if figure:
            save(figure, args.out / name)
    if len(rows) == len(COLUMNS) and any(rows.values()):
        write(args.out / "claims.md", tell_claims(rows))


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


def save(figure, path):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(f"{path}.png", dpi=300)
        figure.savefig(f"{path}.pdf", metadata={"CreationDate": None})  # the same rows give the same file
    except OSError as error:
        raise common.RunError(f"cannot write {path}: {error}")
    print(f"{path}.png {path}.pdf")


def write(path, text):
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise common.RunError(f"cannot write {path}: {error}")
    print(path)


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
        rows = left_of_figure4([row for row in left if (row["bias"], row["box"]) == protocol])
        ax_left.set(title=f"left, {title}", xlabel="$d$", ylabel=r"$\varepsilon$")
        if draw_map(ax_left, rows, "size", range(5, 29), "eps"):
            draw_bound(ax_left, lambda size: 5 / size, r"$5/\sqrt{d}$")
            count = seeds(grouped(rows, "size", "eps"))
            ax_left.set_title(f"left, {title}\n$m$ = {rows[0]['width']:,g}, $C_0$ = {rows[0]['C0']:g}, {count}")
            ax_left.xaxis.set_major_locator(FixedLocator(SIZES[::2]))
            ax_left.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size**2:g}"))

        rows = right_of_figure4([row for row in right if (row["bias"], row["box"]) == protocol])
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


def left_of_figure4(rows):
    return fix(fix(rows, "width", 1000, "size", "eps"), "C0", 10, "size", "eps")


def right_of_figure4(rows):
    return fix(fix(rows, "size", 28, "width", "V"), "eps", 0.2, "width", "V")


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


# ----------------------------------------------------------------------------------------------------- gallery


def draw_gallery(folder):
    """Test digits, their smallest flipping steps and the sums, a line for each network of ntk_normal.py in folder."""
    saved = [common.load_network(path) for path in sorted(folder.glob("ntk_normal-*.pt"))]
    if not saved:
        raise common.RunError(f"{folder} has no network that ntk_normal.py --save-dir saved")
    saved.sort(key=lambda one: (one[1]["d"], one[1]["width"], one[1]["seed"]))
    drawn = plt.figure(figsize=(7.5, 0.45 + 0.85 * len(saved)), layout="constrained")
    grid = drawn.add_gridspec(len(saved), 15, width_ratios=[1, 1, 1, 0.2] * 3 + [1, 1, 1])
    for line, (net, config) in enumerate(saved):
        digits = common.load_digits(config["num1"], config["num2"], config["size"])
        # The first two of each digit: nobody chose them.
        x = torch.cat([digits.test_x[digits.test_y == y][:2] for y in (-1, 1)])
        step = common.smallest_step(net, x)
        eta = step.eta.where(step.flips, 0)[:, None].float()
        delta = eta * net.value_and_input_gradient(x)[1]
        for column, (image, change, delta_norm) in enumerate(zip(x, delta, step.delta_norm)):
            axes = [drawn.add_subplot(grid[line, 4 * column + place]) for place in range(3)]
            largest = change.abs().max().item() or 1
            show(axes[0], image, "gray", 0, 1)
            show(axes[1], change, "RdBu", -largest, largest)
            show(axes[2], image + change, "gray", 0, 1)
            axes[1].set_xlabel(f"± {largest:.2g}")
            axes[2].set_xlabel(f"{delta_norm / torch.linalg.vector_norm(image):.2f}")
            if line == 0:
                for ax, title in zip(axes, ("$x$", r"$\delta$", r"$x + \delta$")):
                    ax.set_title(title)
            if column == 0:
                axes[0].set_ylabel(f"$d$ = {config['d']}\n$m$ = {config['width']:,}\n$C_0$ = {config['C0']:g}")
    drawn.supxlabel(
        r"Under $x + \delta$, drawn clipped to [0, 1]: the size $\|\delta\|/\|x\|$ of the smallest step that flips "
        r"the sign of $f$. Under $\delta$: the ends of its colours.",
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
*Authors' protocol*: runs with `--bias` and, in Section 5.2, `--box`. *± h*: half the width of a 95% t interval over
the seeds; a figure without it is of one seed. *Holds in part*: some of what is asked for holds, or at some d, m or C0.
"""

SYMBOLS = {"width": "m", "d": "d", "eps": "ε", "C0": "C0", "V": "V", "seed": "seed"}

# 97.5% quantiles of Student's t at 1, 2, ... degrees of freedom, for 2 to 10 seeds.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Finding(NamedTuple):
    """What the runs say of a claim: lines to read, whether each thing that it asks for holds, the rows behind them."""

    measured: list
    checks: list
    rows: list


def tell_claims(rows):
    """The text of claims.md, from a dict of each script's rows: a table for each settings that ran."""
    tables = {}
    for script in COLUMNS:
        usual = ADVERSARIAL_SETTINGS
        if script == "ntk_normal":
            usual = {name: value for name, value in SETTINGS.items() if name != "bias"}  # a column of the table
        for settings, (runs,) in by_settings(usual, rows[script]).items():
            for row in runs:
                protocols = tables.setdefault(settings, {})
                protocol = row["bias"], row.get("box", row["bias"])
                protocols.setdefault(protocol, {name: [] for name in COLUMNS})[script].append(row)
    text = [CLAIMS_HEAD]
    for settings, protocols in sorted(tables.items()):
        lines = []
        for number, (claim, criterion, find) in enumerate(CLAIMS, start=1):
            found = [find(protocols[key]) if key in protocols else None for key in ((0, 0), (1, 1))]
            if any(found):
                told = ["<br>".join([verdict(one), *one.measured]) if one else "no runs" for one in found]
                bases = "<br>".join(basis(one.rows) if one else "none" for one in found)
                lines.append(f"| {number} | {claim} | {criterion} | {told[0]} | {told[1]} | {bases} |")
        if lines:
            text.append(f"## Runs with {', '.join(settings) or 'the default settings'}\n")
            text.append("| | claim | holds if | paper's formulas | authors' protocol | rests on |\n|-|-|-|-|-|-|")
            text += [*lines, ""]
    return "\n".join(text)


def verdict(finding):
    words = "holds" if all(finding.checks) else "holds in part" if any(finding.checks) else "does not hold"
    return f"**{words}**"


def basis(rows):
    """The rows behind a finding in words, such as "105 runs: m 1,000, 10,000, 100,000, d 25 to 784, ..."."""
    ball = min("C0", "V", key=lambda column: len(grouped(rows, column)))
    spans = []
    for column in ("width", "d", "eps", ball, "seed"):
        if column in rows[0]:
            values = [f"{value:,.10g}" for value in grouped(rows, column)]
            spans.append(
                f"{SYMBOLS[column]} {', '.join(values) if len(values) < 4 else f'{values[0]} to {values[-1]}'}"
            )
    return f"{len(rows)} runs: {', '.join(spans)}"


def at(row, *columns):
    return ", ".join(f"{SYMBOLS[column]} {row[column]:,.10g}" for column in columns)


def over_seeds(values, digits=2):
    """The mean of the values, one for each seed, as text, with half the width of its 95% t interval."""
    mean = f"{np.mean(values):.{digits}f}".replace("-", "−")
    if len(values) < 2:
        return mean
    half = T_QUANTILES[min(len(values) - 2, 8)] * np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{mean} ± {half:.{digits}f}"


def networks(trained):
    """The rows of ntk_normal.csv, without those that repeat a network: it got no further than a smaller ball."""
    kept = {}
    for row in sorted(trained, key=lambda row: row["C0"]):
        kept.setdefault((row["size"], row["width"], row["seed"], row["left_ball"] and row["C0"]), row)
    return list(kept.values())


def test_error(runs):
    rows = networks(runs["ntk_normal"])
    if not rows:
        return None
    checks = [row["test_error"] < 0.01 for row in rows]
    worst = max(rows, key=lambda row: row["test_error"])
    measured = [
        f"{sum(checks)} of {len(rows)} networks have",
        f"largest: {worst['test_error']:.2%} ({at(worst, 'width', 'd', 'C0', 'seed')})",
    ]
    for group in grouped(rows, "width", "C0").values():
        means = [100 * np.mean([row["test_error"] for row in cell]) for cell in grouped(group, "seed").values()]
        measured.append(f"mean: {over_seeds(means)}% ({at(group[0], 'width', 'C0')})")
    return Finding(measured, checks, rows)


def power_of_d(power, quantities):
    """The claim that quantities, functions of a row by name, go like d^power at every width and C0 that ran."""

    def find(runs):
        measured, checks, rows = [], [], []
        for name, quantity in quantities.items():
            for group in grouped(runs["ntk_normal"], "width", "C0").values():
                fitted, whole = exponents(group, quantity)
                if fitted:
                    ended = ", some ended by T" if any(row["left_ball"] == 0 for row in whole) else ""
                    measured.append(f"{name}: {over_seeds(fitted)} ({at(whole[0], 'width', 'C0')}{ended})")
                    checks.append(abs(np.mean(fitted) - power) <= 0.1)
                    rows += [row for row in whole if row not in rows]
        return Finding(measured, checks, rows) if rows else None

    return find


def exponents(rows, quantity):
    """The slope of log(quantity) over log(d) for each seed with all sizes, three at least, and those seeds' rows."""
    sizes, fitted, whole = len(grouped(rows, "size")), [], []
    for cell in grouped(rows, "seed").values():
        values = [quantity(row) for row in cell]
        if len(cell) == sizes >= 3 and np.isfinite(values).all() and min(values) > 0:
            fitted.append(np.polyfit(np.log([row["d"] for row in cell]), np.log(values), 1)[0])
            whole += cell
    return fitted, whole


def grows_with_C0(runs):
    measured, checks, rows = [], [], []
    for d, cell in grouped(fix(networks(runs["ntk_normal"]), "width", 100000, "C0", "size"), "d").items():
        through = [run for run in grouped(cell, "seed").values() if len(run) > 1]
        if not through:
            continue
        ended = " (some ended by T)" if any(run[-1]["left_ball"] == 0 for run in through) else ""
        factors = []
        for name, column in (("‖∇f‖", "grad_norm_mean"), ("η", "eta_mean"), ("‖δ‖/‖x‖", "rel_delta_mean")):
            factor = [run[-1][column] / run[0][column] for run in through]
            factors.append(f"{name} × {over_seeds(factor)}")
            checks.append(np.mean(factor) > 1)
        to = max(run[-1]["C0"] for run in through)
        measured.append(f"{at(cell[0], 'width', 'd')}, C0 {cell[0]['C0']:g} to {to:g}{ended}: {', '.join(factors)}")
        rows += [row for run in through for row in run]
    return Finding(measured, checks, rows) if rows else None


def bounded(runs):
    """|f| and eta ||grad f||^2 at the theorem's ||x|| = 1: without bias both are proportional to ||x||."""
    quantities = {
        "\\|f\\|/‖x‖": lambda row: row["abs_f_mean"] * row["rel_delta_mean"] / row["delta_norm_mean"],
        "η‖∇f‖²/‖x‖": lambda row: row["rel_delta_mean"] * row["grad_norm_mean"],
    }
    measured, checks, rows = [], [], []
    for cell in grouped(fix(runs["ntk_normal"], "C0", 10, "width", "size"), "width").values():
        for name, quantity in quantities.items():
            fitted, whole = exponents(cell, quantity)
            if fitted:
                values = [np.mean([quantity(row) for row in same]) for same in grouped(whole, "d").values()]
                span = f"{min(values):.2f} to {max(values):.2f}"
                measured.append(f"{at(whole[0], 'width')}: {name} {span}, exponent {over_seeds(fitted)}")
                checks.append(np.mean(fitted) <= 0.1)
                rows += [row for row in whole if row not in rows]
    return Finding(measured, checks, rows) if rows else None


def crossings(rows, up):
    """For each seed, the first value of the column up at which robust test accuracy crosses one half, interpolated."""
    found = []
    for line in grouped(rows, "seed").values():
        points = sorted((row[up], row["robust_test_acc"]) for row in line)
        for (low, before), (high, after) in itertools.pairwise(points):
            if (before - 0.5) * (after - 0.5) <= 0 and before != after:
                found.append(low + (high - low) * (0.5 - before) / (after - before))
                break
    return found


def threshold(script, chosen, across, up, constant, fits_above):
    """The claim that robust test accuracy passes one half at up = constant / sqrt(across), and fits above that."""

    def find(runs):
        measured, checks, rows = [], [], []
        for value, cell in grouped(chosen(runs[script]), across).items():
            crossed = [place * math.sqrt(value) for place in crossings(cell, up)]
            beyond = [row["robust_test_acc"] for row in cell if row[up] * math.sqrt(value) > constant * (1 + 1e-9)]
            level = "above" if cell[0]["robust_test_acc"] > 0.5 else "below"
            told = [f"crosses one half at {over_seeds(crossed, 1)}" if crossed else f"stays {level} one half"]
            told += [f"{min(beyond):.2f} to {max(beyond):.2f} beyond {constant}"] if beyond else []
            measured.append(f"{at(cell[0], across)}: {', '.join(told)}")
            checks += [abs(np.mean(crossed) / constant - 1) <= 0.2] if crossed else []
            checks += [all(map(fits_above, beyond))] if beyond else []
            rows += cell
        return Finding(measured, checks, rows) if checks else None

    return find


def keeps_test_accuracy(runs):
    """Whether small balls have the test accuracy of the largest one at the same width."""
    measured, checks, rows = [], [], []
    for cell in grouped(right_of_figure4(runs["advtraingap"]), "width").values():
        by_V = {V: np.mean([row["test_acc"] for row in same]) for V, same in grouped(cell, "V").items()}
        if len(by_V) > 1:
            worst = min(by_V, key=by_V.get)
            largest = max(by_V)
            measured.append(
                f"{at(cell[0], 'width')}: {by_V[largest]:.1%} at V {largest:g}, least {by_V[worst]:.1%} at V {worst:g}"
            )
            checks.append(by_V[worst] >= by_V[largest] - 0.01)
            rows += cell
    return Finding(measured, checks, rows) if rows else None


def in_the_ball(runs):
    rows = [row for script in runs.values() for row in script]
    if not rows:
        return None
    far = [row["max_deviation"] / row["V"] for row in rows]
    checks = [ratio <= 1 for ratio in far]
    return Finding(
        [f"{sum(checks)} of {len(far)} networks do", f"largest deviation: V less {1 - max(far):.0e} V"], checks, rows
    )


# The paper's words and their place, what is asked for, and who looks for it in the rows of the three scripts.
CLAIMS = [
    ("Every trained network has a test error below 1% (§5.1)", "every network has", test_error),
    (
        "‖δ‖/‖x‖ of the smallest flip falls like 1/√d (§5.1, Figure 2 left; Theorem 3.1)",
        "fitted exponent within 0.1 of −1/2",
        power_of_d(-0.5, {"‖δ‖/‖x‖": lambda row: row["rel_delta_mean"]}),
    ),
    (
        "‖∇f‖ grows like √d (§5.1, Figure 2 middle; Lemma 4.2)",
        "fitted exponent within 0.1 of 1/2",
        power_of_d(0.5, {"‖∇f‖": lambda row: row["grad_norm_mean"]}),
    ),
    (
        "η falls like 1/d (§5.1, Figure 2 right; Theorem 3.1 for ‖x‖ = 1)",
        "fitted exponent within 0.1 of −1, of η as plotted and of (‖δ‖/‖x‖)/‖∇f‖, which is η for x/‖x‖",
        power_of_d(
            -1,
            {
                "η": lambda row: row["eta_mean"],
                "η for x/‖x‖": lambda row: row["rel_delta_mean"] / row["grad_norm_mean"],
            },
        ),
    ),
    (
        "With C0 both ‖∇f‖ and η grow, and so does ‖δ‖ (§5.1, Figure 3)",
        "all three are larger at the largest C0 than at the smallest, at every d",
        grows_with_C0,
    ),
    (
        "f = O(1) and η‖∇f‖² = O(1) (Lemma 4.1, step size of Theorem 3.1, for ‖x‖ = 1)",
        "fitted exponent in d at most 0.1, of both over ‖x‖",
        bounded,
    ),
    (
        "Robust accuracy drops sharply about ε = 5/√d and is 0 above (§5.2, Figure 4 left)",
        "ε√d within 20% of 5 where it crosses one half, at most 0.05 beyond 5, at every d",
        threshold("advtrain", left_of_figure4, "d", "eps", 5, lambda accuracy: accuracy <= 0.05),
    ),
    (
        "Robust accuracy rises to 1 just past V = 25/√m, below it drops to 0 (§5.2, Figure 4 right)",
        "V√m within 20% of 25 where it crosses one half, at least 0.95 beyond 25, at every m",
        threshold("advtraingap", right_of_figure4, "width", "V", 25, lambda accuracy: accuracy >= 0.95),
    ),
    ("Every network lies in its lazy ball (Definition 2.1, §5.2)", "largest deviation at most V", in_the_ball),
    (
        "The projection does not hurt the test accuracy (§5.2)",
        "no V has a test accuracy more than 1% below that of the largest V, at every m",
        keeps_test_accuracy,
    ),
]


if __name__ == "__main__":
    common.run(main)
