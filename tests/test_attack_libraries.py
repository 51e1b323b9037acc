"""pip install foolbox torchattacks && python -m pytest -s tests/test_attack_libraries.py

`common.pgd` beside the attacks of two libraries, on adversarially trained networks; skipped where either is missing.
With -s it prints the table of docs/attacks.md.
"""

import warnings

import pytest
import torch
import torch.nn.functional as F

import advtrain
import common

foolbox = pytest.importorskip("foolbox")
torchattacks = pytest.importorskip("torchattacks")


class Rescaled(torch.nn.Module):
    """The network of inputs whose [0, 1] is [low, high], since torchattacks knows no other box than [0, 1]."""

    def __init__(self, net, low, high):
        super().__init__()
        self.net, self.low, self.high = net, low, high

    def forward(self, x):
        return self.net(self.low + (self.high - self.low) * x)


def with_shrinking_steps(net, x, y, eps, box):
    """PGD as `common.pgd`, but with steps from 2 eps down by 5% each; True where it finds nothing."""
    delta, robust = torch.zeros_like(x), y * net.f(x) > 0
    for iteration in range(100):
        delta -= 2 * eps * 0.95**iteration * y[:, None] * F.normalize(net.value_and_input_gradient(x + delta)[1], dim=1)
        if box:
            delta = (x + delta).clamp(0, 1) - x
        delta *= (eps / torch.linalg.vector_norm(delta, dim=1, keepdim=True)).clamp(max=1)
        robust &= y * net.value_and_input_gradient(x + delta)[0] > 0
    return robust


@pytest.mark.parametrize(
    ("size", "eps", "authors", "T", "width", "V"),
    [
        (10, 0.3, False, 20, 1000, 10 / 1000**0.5),
        (10, 0.4, True, 20, 1000, 10 / 1000**0.5),
        (28, 0.1, False, 10, 1000, 10 / 1000**0.5),
        (28, 0.15, True, 10, 1000, 10 / 1000**0.5),
        (28, 0.2, False, 40, 500, 0.8),
        (28, 0.2, True, 20, 500, 0.6),
    ],
)
def test_robust_accuracy_beside_the_libraries(size, eps, authors, T, width, V):
    digits = common.load_digits(0, 1, size, normalize=True, seed=0)
    net = common.TwoLayerNet(size**2, width, bias=authors)
    schedule = {"atk_iters": 10, "lr": 0.01, "bs": 32, "T": T, "patience": 20, "box": authors}
    advtrain.adversarial_training(net, digits.train_x, digits.train_y, V, eps, **schedule)
    x, y = digits.test_x[::4], digits.test_y[::4]
    labels, (low, high) = (y > 0).long(), (0, 1) if authors else (-2, 3)  # the wide box that no attack gets to
    named = foolbox.PyTorchModel(net.eval(), bounds=(low, high), device="cpu")
    plain = foolbox.attacks.L2PGD(steps=100, rel_stepsize=0.025, random_start=False)
    rescaled = Rescaled(net, low, high).eval()
    protocol = "with bias and box" if authors else "paper formulas"
    print(f"\nm {width}, d {size**2}, {protocol}: ours, with 20 steps, foolbox, APGD, shrinking steps")
    for budget in (0.8 * eps, eps, 1.2 * eps):
        ours, with_20 = (common.robust_accuracy(net, x, y, budget, steps, authors) for steps in (100, 20))
        *_, wrong = plain(named, x, labels, epsilons=[budget])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            span = high - low
            apgd = torchattacks.APGD(rescaled, norm="L2", eps=budget / span, steps=100, n_restarts=3, loss="ce")
            found = apgd(((x - low) / span).reshape(-1, 1, size, size), labels)
        delta = low + span * found.flatten(1) - x
        assert torch.linalg.vector_norm(delta, dim=1).max() <= budget * 1.0001
        theirs = 1 - wrong[0].double().mean().item()
        strong = (y * net.f(x + delta) > 0).double().mean().item()
        shrinking = with_shrinking_steps(net, x, y, budget, authors).double().mean().item()
        print(f"eps {budget:.3f}: {ours:.3f} {with_20:.3f} {theirs:.3f} {strong:.3f} {shrinking:.3f}")
        assert abs(ours - theirs) <= 0.01
        # APGD is ahead near the drop; steps that start long and shrink, as its do, are all that it takes to keep up.
        assert -0.01 <= ours - strong <= 0.05 and -0.01 <= with_20 - strong <= 0.05
        assert abs(shrinking - strong) <= 0.01
