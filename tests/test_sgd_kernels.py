"""SGD steps on inputs that are mostly 0, against the dense ones of common.py."""

import math

import common
from lib import sgd_kernels

import pytest
import torch


@pytest.fixture
def steps():
    """A function that takes one step on each batch, the sparse way and the dense way, and returns both W and slopes."""
    pytest.importorskip("numba")

    def run(net, x, y, bs, lr=0.1):
        dense = net.W.detach().clone()
        sparse = sgd_kernels.neurons_side_by_side(dense)
        batches = sgd_kernels.sparse_batches(x, bs, net.width)
        slopes = [], []
        for batch, batch_x, batch_y in zip(batches, x.split(bs), y.split(bs), strict=True):
            for W, one, way, kept in ((sparse, batch, sgd_kernels, slopes[0]), (dense, batch_x, common, slopes[1])):
                gradient = way.loss_gradient(W, net.a, net.output_bias, one, batch_y)
                kept.append(gradient.slope.clone())
                way.sgd_step(W, gradient, lr)
        return sparse, dense, torch.cat(slopes[0]), torch.cat(slopes[1])

    return run


def sparse_inputs(n, d, share, seed=0):
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(n, d, generator=generator) < share
    x = torch.randn(n, d, generator=generator, dtype=torch.float64) * kept
    return x, torch.randint(2, (n,), generator=generator) * 2.0 - 1


@pytest.mark.parametrize("width", [1, sgd_kernels.BLOCK - 1, sgd_kernels.BLOCK, 2 * sgd_kernels.BLOCK + 76])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_sparse_steps_are_the_dense_ones(steps, width, share):
    x, y = sparse_inputs(50, 9, share)
    net = common.TwoLayerNet(8, width, seed=2, bias=True).double()
    sparse, dense, slope, dense_slope = steps(net, x, y, bs=16)
    torch.testing.assert_close(slope, dense_slope)
    torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-13)
    assert share == 0 or (dense - net.W0).abs().max() > 1e-3


def test_the_threads_do_not_matter(steps, digits):
    net, before = common.TwoLayerNet(25, 40000), torch.get_num_threads()
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        assert len(sgd_kernels.in_parts(net.width, entries=2000)) == threads
        results.append(steps(net, digits.train_x[:300], digits.train_y[:300], bs=150))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(results[0][::2], results[1][::2]))


def test_what_is_not_a_number_stays_so(steps):
    x, y = sparse_inputs(20, 9, 0.7)
    net = common.TwoLayerNet(9, 10).double()
    with torch.no_grad():
        net.W[3, :] = math.nan
    sparse, dense, slope, dense_slope = steps(net, x, y, bs=20)
    assert torch.equal(slope.isnan(), dense_slope.isnan()) and slope.isnan().any()
    assert torch.equal(sparse.isnan(), dense.isnan())
