"""PGD: the plain way and the two compiled ones, against autograd and each other."""

import copy
import functools
import importlib.util
import math
import sys
from unittest import mock

import advtrain
import common
from common import TwoLayerNet
from lib import pgd_kernels

import numpy as np
import pytest
import torch
import torch.nn.functional as F


def autograd_pgd(net, x, y, eps, atk_iters, box):
    """PGD as Section 5.2 and the authors' scripts say it; returns every iterate of delta."""
    iterates = [torch.zeros_like(x)]
    for _ in range(atk_iters):
        delta = iterates[-1].clone().requires_grad_()
        F.softplus(-y * net.f(x + delta)).sum().backward()
        delta = delta.detach() + 2.5 * eps / atk_iters * F.normalize(delta.grad, dim=1)
        if box:
            delta = (x + delta).clamp(0, 1) - x
        iterates.append(delta * (eps / delta.norm(dim=1, keepdim=True)).clamp(max=1))
    return iterates


WAYS = {"plain": common.plain_pgd, "prediction": pgd_kernels.by_prediction, "neurons": pgd_kernels.by_neurons}
WAYS_AND_BOX = [(way, box) for way in WAYS for box in (False, True) if (way, box) != ("neurons", True)]


def pgd(way, net, x, y, eps, atk_iters, box=False):
    """`common.pgd` by one of the ways."""
    if way == "plain":
        return common.pgd(net, x, y, eps, atk_iters, box, way=common.plain_pgd)
    pytest.importorskip("numba")
    W = net.W[:, : net.d].detach()
    chosen = functools.partial(WAYS[way], **({"K": W @ W.T} if way == "neurons" else {}))
    with mock.patch.object(pgd_kernels, "among_compiled", lambda *_: chosen):
        return common.pgd(net, x, y, eps, atk_iters, box)


@pytest.mark.parametrize(("way", "box"), WAYS_AND_BOX)
def test_pgd_is_autograds(net, examples, way, box):
    x, y = examples
    y = torch.where(torch.arange(50) < 40, 1, -1) * net.f(x).detach().sign()  # ten are wrong from the start
    iterates = autograd_pgd(net, x, y, 0.3, 12, box)
    right = torch.stack([y * net.f(x + delta) > 0 for delta in iterates])
    delta, robust = pgd(way, net, x, y, 0.3, 12, box)
    torch.testing.assert_close(delta, iterates[-1])
    assert torch.equal(robust, right.all(dim=0))
    assert 5 < robust.sum() < 35, "the attack should turn some examples and leave some"


@pytest.mark.parametrize("box", [False, True])
def test_linf_pgd_is_autograds(net, examples, box):
    x, y = examples
    y, delta = y * net.f(x).detach().sign(), torch.zeros_like(x)
    right = y * net.f(x) > 0
    for _ in range(12):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(F.softplus(-y * net.f(x + delta)).sum(), delta)
        delta = (delta.detach() + 2.5 * 0.15 / 12 * gradient.sign()).clamp(-0.15, 0.15)
        delta = (x + delta).clamp(0, 1) - x if box else delta
        right &= y * net.f(x + delta) > 0
    assert 3 < right.sum() < 47
    found, robust = common.ATTACKS["linf"](net, x, y, 0.15, 12, box)
    torch.testing.assert_close(found, delta)
    assert torch.equal(robust, right)
    share = right.double().mean().item()
    assert common.robust_accuracy(net, x, y, 0.15, 12, box, common.ATTACKS["linf"]) == share


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "width", "eps", "bias"),
    [(5, 1000, 0.3, False), (5, 100, 0.3, True), (14, 300, 0.15, False), (14, 100, 0.1, True)],
)
def test_all_ways_decide_alike(lazy_net, size, width, eps, bias):
    net, data = lazy_net(size, width, bias)
    x, y = F.normalize(data.test_x, dim=1), data.test_y
    for ways, box in ((WAYS, False), (["plain", "prediction"], True)):
        results = []
        for way in ways:
            delta, robust = pgd(way, net, x, y, eps, 40, box)
            results.append((robust, (y * net.f(x + delta)).detach()))
        robust, margin = results[0]
        assert 0.02 < robust.double().mean() < 0.98, "the attack should turn some examples and leave some"
        for other_robust, other_margin in results[1:]:
            # An input of a neuron that is 0 but for rounding may turn it a step earlier or later. The iterates part
            # there, which can show in the decision only where the margin is as small.
            assert (robust != other_robust).double().mean() <= 1e-3
            assert margin.mean().item() == pytest.approx(other_margin.mean().item(), abs=1e-5)


def turned_off(size, width, seed, eps):
    """Networks of few neurons, which all turn off under the attack: where f is 0, rounding must not lend it a sign."""
    return TwoLayerNet(size**2, width, seed=seed), eps


def doubled(size, width, **_):
    """A network that begins at f = 0, every neuron twice with opposite signs, after a little training."""
    net = TwoLayerNet(size**2, width)
    half, data = width // 2, common.load_digits(0, 1, size, normalize=True)
    with torch.no_grad():
        net.W[half:], net.a[half:] = net.W[:half], -net.a[:half]
        net.W0.copy_(net.W)
    advtrain.adversarial_training(
        net, data.train_x[:2000], data.train_y[:2000], 1, 0.3, 5, lr=1e-4, bs=32, T=1, patience=9
    )
    return net, 0.3


@pytest.mark.parametrize("way", ["prediction", "neurons"])
@pytest.mark.parametrize(
    ("make", "size", "width", "options"),
    [
        (turned_off, 10, 2, {"seed": 6, "eps": 0.2}),
        (turned_off, 28, 4, {"seed": 9, "eps": 1}),
        (turned_off, 3, 10, {"seed": 0, "eps": 0.3}),
        (doubled, 10, 200, {}),
    ],
)
def test_rounding_decides_nothing(way, make, size, width, options):
    net, eps = make(size, width, **options)
    data = common.load_digits(0, 1, size, normalize=True)
    x, y = data.test_x, data.test_y
    exact = common.plain_pgd(copy.deepcopy(net).double(), x.double(), y.double(), eps, 20)[1]
    delta, robust = pgd(way, net, x, y, eps, 20)
    assert (robust != exact).double().mean() < 1e-3
    assert delta.norm(dim=1).max() <= eps * (1 + 1e-5)


def test_what_a_compiled_way_is_unsure_of_or_has_too_long_plain_pgd_does_again(net, examples):
    x, y = examples
    delta, robust = common.plain_pgd(net, x, y, 0.3, 5)

    def way(*_):
        wrong = delta.clone()
        wrong[:10], wrong[10:20], wrong[20:30] = 9, math.nan, 0
        return wrong, ~robust, torch.arange(50) >= 20

    found = pgd_kernels.checked(way, common.plain_pgd, net, x, y, 0.3, 5, False)
    assert torch.equal(found[0], delta) and torch.equal(found[1], robust)


@pytest.mark.parametrize("way", ["prediction", "neurons"])
def test_a_sign_that_rounding_may_decide_is_left_open_until_it_is_certain(way):
    pytest.importorskip("numba")
    net, x, y = TwoLayerNet(1, 4, bias=True), torch.ones(2, 1), torch.tensor([1.0, -1.0])
    with torch.no_grad():
        net.W.copy_(torch.tensor([[1.0, 4.0], [1.0, -4.0], [1.0, 2.0], [1.0, 2.0]]))
        net.a.copy_(torch.tensor([1.0, 1.0, -1.0, 1.0]))
        K = {"K": net.W[:, :1] @ net.W[:, :1].T} if way == "neurons" else {}
        for f, eps, robust, unsure in [
            (0.0, 1e-8, [True, True], [True, True]),
            (1e-6, 1e-8, [True, True], [True, True]),  # as both products come out
            (0.01, 1e-8, [True, False], [False, False]),
            (-0.01, 1e-8, [False, True], [False, False]),
            (0.0, 0.5, [False, False], [False, False]),  # the step has made it certain
        ]:
            net.output_bias.fill_(2 * f - 5)  # f(1) = (5 + output_bias) / 2
            found = WAYS[way](net, x, y, eps, 1, False, **K)
            assert [tensor.tolist() for tensor in found[1:]] == [robust, unsure]


@pytest.mark.slow
def test_predictions_stray_no_more_than_rounding_makes_plain_pgd():
    """In two dimensions nothing is left out of the plane of the predictions: all that they may be off by is rounding."""
    pytest.importorskip("numba")
    net, x = TwoLayerNet(2, 300), F.normalize(torch.randn(4000, 2), dim=1)
    y = net.f(x).detach().sign()
    exact = common.plain_pgd(copy.deepcopy(net).double(), x.double(), y.double(), 0.3, 1000)[0]
    plain, predicted = (way(net, x, y, 0.3, 1000, False)[0] for way in (common.plain_pgd, WAYS["prediction"]))
    strayed, unavoidable = (((delta - exact).norm(dim=1) > 3e-5).sum() for delta in (predicted, plain))
    assert unavoidable > 10 and strayed < 1.5 * unavoidable


@pytest.mark.parametrize("way", WAYS)
def test_robust_is_robust_at_every_iterate(way):
    net = TwoLayerNet(1, 2, bias=True)  # f = (|x| - 1) / sqrt(2)
    with torch.no_grad():
        net.W.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        net.a[:], net.output_bias[...] = 1, -1
    x, y = torch.tensor([[1.25], [5.0]]), torch.ones(2)
    delta, robust = pgd(way, net, x, y, 2.0, 2)  # x + delta is -0.75, then 1.75
    torch.testing.assert_close(delta, torch.tensor([[0.5], [-2.0]]))
    assert robust.tolist() == [False, True]
    single = TwoLayerNet(1, 1)  # f = relu(x), which is 0 at x + delta = -0.5
    single.W.data[:], single.a[:] = 1, 1
    assert not pgd(way, single, x[:1] - 0.75, y[:1], 1.0, 1)[1]


@pytest.mark.parametrize("way", WAYS)
def test_where_no_neuron_is_active_there_is_no_gradient_to_follow(way):
    net = TwoLayerNet(4, 12)
    with torch.no_grad():
        net.W.abs_()
    x = torch.tensor([[0.0] * 4, [-1.0] * 4, [0.5] * 4])
    delta, robust = pgd(way, net, x, torch.ones(3), 2.0, 3)
    assert delta[:2].abs().max() == 0 and not robust[:2].any() and delta[2].norm() > 0


def made_for_doubt(name):
    """Weights with which predictions are as wrong as they can be, or neurons as often at 0."""
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(300, 40, generator=generator)
    if name == "all rows alike":  # what is off moves all neurons at once
        W = W[:1] + 0.01 * W
    elif name == "two dimensions":
        W = torch.randn(300, 2, generator=generator) @ torch.randn(2, 40, generator=generator)
    elif name == "long and short rows":
        W *= torch.logspace(-3, 2, 300)[torch.randperm(300, generator=generator), None]
    elif name == "few bits":  # many products of exactly 0
        W = (2 * W).round()
    return W


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("name", ["all rows alike", "two dimensions", "long and short rows", "few bits"])
def test_predictions_are_never_trusted_too_far(name, box):
    pytest.importorskip("numba")
    net = TwoLayerNet(40, 300, seed=1, bias=True).double()
    with torch.no_grad():
        net.W[:, :40] = made_for_doubt(name)
    x = torch.rand(200, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64).round(decimals=1)
    y = net.f(x).detach().sign()
    eps = 1.5 * ((y * net.f(x)).detach() / net.value_and_input_gradient(x)[1].norm(dim=1)).median().item()
    for atk_iters in (8, 60):
        delta, robust = common.plain_pgd(net, x, y, eps, atk_iters, box)
        found, still_robust, unsure = pgd_kernels.by_prediction(net, x, y, eps, atk_iters, box)
        assert unsure.sum() < 40
        assert torch.equal(still_robust[~unsure], robust[~unsure])
        assert 10 < robust.sum() < 190
        torch.testing.assert_close(found[~unsure], delta[~unsure], rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", ["prediction", "neurons"])
def test_threads_share_the_examples(lazy_net, way):
    net, data = lazy_net(10, 200)
    x, before = F.normalize(data.test_x, dim=1)[:501], torch.get_num_threads()
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(pgd(way, net, x, data.test_y[:501], 0.1, 10))
    torch.set_num_threads(before)
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-6)


def test_without_numba_nothing_is_compiled(monkeypatch, capsys):
    pytest.importorskip("numba")

    def as_without():
        pgd_kernels.numba_or_none.cache_clear()
        pgd_kernels.compiled.cache_clear()
        x, y = torch.rand(8, 6), torch.ones(8)
        way = pgd_kernels.fastest(TwoLayerNet(6, 40), common.plain_pgd, x, y, 0.1, 10, box=False)
        return way is common.plain_pgd, capsys.readouterr().err

    try:
        assert not as_without()[0]
        monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
        assert as_without() == (True, "")
        monkeypatch.setitem(sys.modules, "numba", None)  # it is not installed
        assert as_without() == (True, "")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # it is, and cannot be imported
        without, warned = as_without()
        assert without and warned.count("\n") == 1 and "does not work (ModuleNotFoundError" in warned
    finally:
        pgd_kernels.numba_or_none.cache_clear()
        pgd_kernels.compiled.cache_clear()


def test_a_cache_of_compiled_code_that_does_not_work_is_one_warning(monkeypatch, capsys):
    njit = pytest.importorskip("numba").njit

    def without_cache(function, cache=False, **options):
        if cache:
            raise RuntimeError("damaged")
        return njit(function, **options)

    def double(x):
        x *= 2

    monkeypatch.setattr("numba.njit", without_cache)
    for kind in (np.float32, np.float64):
        pgd_kernels.compiled(double)(x := np.ones(3, kind))
        assert x.tolist() == [2, 2, 2]
    assert capsys.readouterr().err.count("numba's cache in") == 1
