"""The bound on the deviation, against the deviation itself after every step of SGD."""

import math

import pytest
import torch

from common import LazyBall, TwoLayerNet, loss_gradient, sgd_step
from lib import RunError
from lib.reach import Reach


@pytest.mark.parametrize("bias", [False, True])
def test_the_bound_is_never_below_the_deviation(digits, bias):
    net = TwoLayerNet(25, 80, bias=bias)
    W, ball = net.W.detach(), LazyBall(net.W0, 0.3)
    x, y = net.weighted_input(digits.train_x[:1000]), digits.train_y[:1000]
    lengths = torch.linalg.vector_norm(x, dim=1)
    reach = Reach(ball, lr=0.1, longest=lengths.max().item())
    batches = list(zip(x.split(64), y.split(64), lengths.split(64))) * 6
    assert len(batches[15][1]) == 40, "the last batch of an epoch should be smaller"
    certain = uncertain = 0
    for step, (batch_x, batch_y, batch_lengths) in enumerate(batches):
        gradient = loss_gradient(W, net.a, net.output_bias, batch_x, batch_y)
        sgd_step(W, gradient, lr=0.1)
        reach.add(gradient.slope, batch_lengths)
        deviation = ball.deviation(W).item()
        coarse = reach.bound
        assert deviation <= coarse
        for V in (0.05, 0.1, 0.2, 0.4, 0.8):
            if not reach.may_exceed(V):
                assert deviation <= V
                certain += coarse > V  # what the coarser sum alone could not tell
            else:
                uncertain += deviation <= V
        if step % 5 == 0:
            assert deviation <= reach.sum_up() <= coarse
        if step % 30 == 29:
            assert reach.look(W) == reach.bound == deviation
    assert certain > 10 and uncertain > 10, "the bound should be of use, and no more than a bound"


@pytest.mark.parametrize("bias", [False, True])
def test_the_bound_is_the_deviation_where_all_examples_are_one(bias):
    net = TwoLayerNet(4, 30, bias=bias).double()
    W, ball, lr = net.W.detach(), LazyBall(net.W0, 5.0), 0.5
    example = net.weighted_input(torch.tensor([[0.5, 1.0, 0.0, 2.0]]).double())
    reach = Reach(ball, lr, longest=example.norm().item())
    for n in (4, 4, 3, 4, 1):
        x = example.repeat(n, 1)
        gradient = loss_gradient(W, net.a, net.output_bias, x, torch.ones(n).double())
        sgd_step(W, gradient, lr)
        reach.add(gradient.slope, torch.linalg.vector_norm(x, dim=1))
    deviation = ball.deviation(W).item()
    coarse = 5 * (lr * reach.longest / math.sqrt(30) + ball.rounding)
    assert reach.bound == pytest.approx(coarse) and deviation < 0.9 * coarse
    assert reach.sum_up() == pytest.approx(deviation + 5 * ball.rounding, rel=1e-9)


def test_what_is_not_finite_ends_training():
    W0 = torch.zeros(3, 2)
    for slope in (math.nan, math.inf):
        reach = Reach(LazyBall(W0, 1.0), lr=0.1, longest=1.0)
        reach.add(torch.tensor([slope, 0.0]), torch.ones(2))
        with pytest.raises(RunError, match="diverged"):
            reach.sum_up()
    with pytest.raises(RunError, match="diverged"):
        Reach(LazyBall(W0, 1.0), lr=0.1).look(torch.full((3, 2), math.nan))
