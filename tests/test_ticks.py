"""lib/ticks.py: every run has a tick, and every value a tick and a cell around it."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from lib import ticks


@pytest.mark.parametrize("positions", [[250, 1000, 16000], [size**2 for size in range(5, 29)]])
def test_every_position_has_a_tick_and_the_ends_a_label(positions):
    ax = Figure(figsize=(2.4, 2)).subplots(subplot_kw={"xscale": "log"})
    ax.set_xlim(positions[0] / 1.2, positions[-1] * 1.2)
    ticks.tick_each(ax, positions)
    ax.figure.draw_without_rendering()
    shown = [*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks()]
    labels = {round(tick.get_loc()): tick.label1.get_text().strip() for tick in shown}
    assert sorted(labels) == positions and all(text in ("", f"{at:,}") for at, text in labels.items())
    assert labels[positions[0]] and labels[positions[-1]]


@pytest.mark.parametrize("extent", [[0.2, 0.44], [0.00047, 0.00104], [0.02, 0.41], [1, 5000]])
def test_no_value_is_far_from_a_tick(extent):
    ax = Figure().subplots(subplot_kw={"yscale": "log"})
    ax.set_ylim(extent)
    ticks.tick_log(ax)
    low, high = extent
    inside = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert len(inside) >= 2
    assert max(inside[0] / low, high / inside[-1], *np.divide(inside[1:], inside[:-1])) < 3


def test_cells_end_halfway_between_their_centres():
    np.testing.assert_allclose(ticks.cell_edges([25, 100, 200]), [12.5, 50, 200 / 2**0.5, 200 * 2**0.5])
    low, high = ticks.cell_edges([100])
    assert low < 100 < high and low * high == pytest.approx(100**2)
