"""Ticks and cells of the figures' axes: plain numbers where runs are."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator


def tick_log(ax: Axes) -> None:
    """Ticks in plain numbers on the logarithmic vertical axis, which has its limits."""
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7) if high < 16 * low else (1, 2, 3, 5)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def tick_each(ax: Axes, positions: list[float]) -> None:
    """A tick at each of the sorted positions on the logarithmic horizontal axis, which has its limits.

    Labels stand on two lines, the lower for those with no room on the upper; some of many stay without.
    """
    width = np.log(ax.get_xlim()[1] / ax.get_xlim()[0])
    labels, lines = {}, {"": np.inf, "\n": np.inf}  # where the last label of a line stands
    for position in reversed(positions):  # from the right, where they are closest
        label = f"{position:,.10g}"
        room = (0.03 + 0.025 * len(label)) * width
        for line, last in lines.items():
            if position not in labels and np.log(last / position) > room:
                labels[position], lines[line] = line + label, position
    ax.xaxis.set_major_locator(FixedLocator(list(labels)))
    ax.xaxis.set_minor_locator(FixedLocator([position for position in positions if position not in labels]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: labels[value]))
    ax.xaxis.set_minor_formatter(NullFormatter())


def cell_edges(centres: list[float]) -> np.ndarray:
    """The limits of cells around two or more sorted centres on a logarithmic axis, halfway between them."""
    centres = np.log(centres)
    between = (centres[1:] + centres[:-1]) / 2
    limits = np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])
    return np.exp(limits)
