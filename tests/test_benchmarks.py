"""The authors' procedure as benchmarks/authors_protocol.py follows it, and Section 5.1 in float64."""

import csv
import importlib.util

import ntk_normal
from common import TwoLayerNet, load_digits, smallest_step
from lib import ROOT

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def protocol():
    path = ROOT / "benchmarks" / "authors_protocol.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def test_the_authors_random_numbers_are_those_of_two_global_streams(protocol):
    np.random.seed(3)  # noqa: NPY002, as the scripts do
    torch.manual_seed(3)
    sorted_digits = load_digits(0, 1, 5)
    order = np.concatenate([np.flatnonzero(sorted_digits.train_y == y) for y in (-1, 1)])
    np.random.shuffle(shuffled := np.arange(len(order)))  # noqa: NPY002
    first, second = torch.nn.Linear(25, 40), torch.nn.Linear(40, 1)
    W, b = first.weight.data.normal_(), first.bias.data.normal_()
    a, c = (np.sign(np.random.normal(size=shape)) for shape in (second.weight.shape, second.bias.shape))  # noqa: NPY002
    digits, net = protocol.draw_as_they_do(3, 5, 40, normalize=False)
    assert torch.equal(digits.train_x, sorted_digits.train_x[order[shuffled]])
    assert torch.equal(digits.train_y, sorted_digits.train_y[order[shuffled]])
    assert torch.equal(net.W, torch.cat([W, b[:, None]], dim=1)) and torch.equal(net.W0, net.W)
    assert net.a.tolist() == a[0].tolist() and net.output_bias.item() == c[0]


def test_walks_end_where_real_ones_do(protocol):
    net, x = TwoLayerNet(6, 40, bias=True).double(), torch.rand(30, 6, dtype=torch.float64)
    f, gradient = net.value_and_input_gradient(x)
    y = f.sign()
    y[0] *= -1
    direction = -f.sign()[:, None] * torch.nn.functional.normalize(gradient, dim=1)
    lengths, ends = 0.001 * torch.arange(1, 5001, dtype=torch.float64), []
    for i in range(len(x)):
        flipped = f[i] * net.f(x[i] + lengths[:, None] * direction[i]) < 0
        ends.append(lengths[flipped.byte().argmax()] if flipped.any() else 5.0)
    expected = torch.tensor(ends, dtype=torch.float64).where(y * f > 0, 0.0)
    walked = protocol.walks(smallest_step(net, x), y)
    torch.testing.assert_close(walked, expected)
    assert walked[0] == 0 and walked.max() == 5.0


def test_section_5_1_in_float64_differs_by_rounding(script, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    for changed in ("load_digits", "TwoLayerNet", "SCRIPT", "__doc__"):  # put back after the test
        monkeypatch.setattr(ntk_normal, changed, getattr(ntk_normal, changed))
    rows = []
    for name in ("ntk_normal", "sensitivity"):
        path = tmp_path / f"{name}.csv"
        assert script(f"{name}.py", "--width", 20, "--size", 5, "--C0", 3, "--out", path).code == 0
        rows += csv.DictReader(path.read_text().splitlines())
    for column in ("train_loss", "rel_delta_mean", "max_deviation"):
        single, double = (float(row[column]) for row in rows)
        assert single != double and single == pytest.approx(double, rel=1e-4)
    assert rows[0]["test_error"] == rows[1]["test_error"] and len(rows) == 2
    ended = script("sensitivity.py", "--width", 20, "--out", tmp_path / "ntk_normal.csv")
    assert ended.code == 1 and "choose another --out" in ended.stderr
