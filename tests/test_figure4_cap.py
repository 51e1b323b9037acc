"""sweeps/figure4_cap.py: the most that any classifier's robust accuracy can be."""

import csv
import itertools
from pathlib import Path

import common
from sweeps import figure4_cap, figure4_left

import numpy as np
import pytest
import torch

RESULTS = Path(figure4_cap.__file__).parents[1] / "results" / "paper"


def most_edges(edges):
    """By brute force: the most edges that no two share an end, or 0 without rows."""
    if not len(edges):
        return 0
    rest = [1 + most_edges(np.delete(edges[1:], column, 1)) for column in np.flatnonzero(edges[0])]
    return max([most_edges(edges[1:]), *rest])


def graphs(count):
    """Random graphs with 3 edges a row at most, on average: in these long paths are needed, and dead ends are met."""
    random = np.random.default_rng(0)
    for _ in range(count):
        shape = random.integers(1, 8, size=2)
        yield random.random(shape) < 3 * random.random() / shape[1]


def test_a_maximum_matching_is_that_of_brute_force():
    sizes = [(figure4_cap.maximum_matching(edges), most_edges(edges)) for edges in graphs(1000)]
    assert all(size == most for size, most in sizes) and {most for _, most in sizes} == {*range(8)}


def test_the_cap_is_the_share_of_the_most_images_without_a_near_pair(monkeypatch):
    # On a line at 0, 0.3 and 0.9, and at 0.5, 0.7 and 2: pairs 0.2, 0.4, 0.5, 0.7, 1.1, ... apart.
    def few(*arguments, normalize):
        assert arguments == (3, 8, 2) and normalize
        x = torch.tensor([[0, 0, 0, 0], [0.5, 0, 0, 0], [0.3, 0, 0, 0], [0.7, 0, 0, 0], [0.9, 0, 0, 0], [2, 0, 0, 0]])
        return common.Digits(None, None, x, torch.tensor([-1.0, 1, -1, 1, -1, 1]))

    monkeypatch.setattr(figure4_cap, "load_digits", few)
    lines = list(figure4_cap.caps(3, 8, [2], [0.05, 0.105, 0.26, 2]))
    assert [line[:5] for line in lines] == [(3, 8, 2, 4, eps) for eps in (0.05, 0.105, 0.26, 2)]
    assert [line[5] for line in lines] == pytest.approx([1, 4 / 6, 4 / 6, 3 / 6])


def table():
    with open(RESULTS / "figure4_cap.csv", newline="") as file:
        return list(csv.reader(file))


def test_the_table_has_the_papers_grid_and_falls_with_eps():
    head, *lines = table()
    assert head == ["num1", "num2", "size", "d", "eps", "cap"]
    cap = {(int(size), float(eps)): float(value) for num1, num2, size, d, eps, value in lines}
    grid = {(options["size"], options["eps"]) for _, options in figure4_left.runs()}
    assert {*cap} == grid | {(size, 4 / size) for size, _ in grid}
    assert {line[0] + line[1] for line in lines} == {"01"} and all(int(line[3]) == int(line[2]) ** 2 for line in lines)
    for (size, low), (its_size, high) in itertools.pairwise(sorted(cap)):
        assert size != its_size or cap[size, low] >= cap[size, high]


def test_the_table_is_what_the_script_finds():
    grid = sorted({options["eps"] for _, options in figure4_left.runs()})
    found = [[*map(str, line)] for line in figure4_cap.caps(0, 1, [5], grid)]
    assert found == table()[1 : 1 + len(found)]
