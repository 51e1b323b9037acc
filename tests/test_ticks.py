"""lib/ticks.py: where ticks stand, and which have a label."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from lib import ticks


def horizontal(places):
    """The labels of the ticks at the places, by place, of an axis as wide as a panel's."""
    figure = Figure(figsize=(2.4, 2))
    ax = figure.subplots(subplot_kw={"xscale": "log"})
    ax.set_xlim(places[0] / 1.2, places[-1] * 1.2)
    ticks.tick_each(ax, places)
    figure.draw_without_rendering()
    shown = [*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks()]
    return {round(tick.get_loc()): tick.label1.get_text() for tick in shown}


def test_every_place_has_a_tick_and_those_too_near_a_label_below():
    labels = horizontal([25, 49, 100, 196, 400, 625, 784])
    above = {d: str(d) for d in (25, 49, 100, 196, 400, 784)}
    assert labels == above | {625: "\n625"}


def test_of_many_places_each_has_a_tick_and_some_a_label():
    places = [size**2 for size in range(5, 29)]
    labels = horizontal(places)
    assert sorted(labels) == places and labels[784] and labels[25] and not all(labels.values())


def test_widths_are_labelled_in_thousands():
    assert horizontal([250, 1000, 16000])[16000] == "16,000"


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
