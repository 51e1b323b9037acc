"""pip install foolbox torchattacks && python benchmarks/attacks.py

Compares `common.pgd` with the attacks of two libraries on six adversarially trained networks, in five minutes, and prints
the table of docs/attacks.md.
"""

import sys
import warnings
from pathlib import Path

import foolbox
import torch
import torch.nn.functional as F
import torchattacks

sys.path.insert(0, str(Path(__file__).parents[1]))

import advtrain  # noqa: E402, from the folder above
import common  # noqa: E402

LAZY = 10 / 1000**0.5
NETWORKS = [  # size, eps, bias and box, T, width, V
    (10, 0.3, False, 20, 1000, LAZY),
    (10, 0.4, True, 20, 1000, LAZY),
    (28, 0.1, False, 10, 1000, LAZY),
    (28, 0.15, True, 10, 1000, LAZY),
    (28, 0.2, False, 40, 500, 0.8),
    (28, 0.2, True, 20, 500, 0.6),
]


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


def robust_accuracies(net, x, y, eps, authors):
    """Under 100 and 20 steps of our PGD, foolbox's, torchattacks' APGD, and steps that shrink."""
    labels, (low, high) = (y > 0).long(), (0, 1) if authors else (-2, 3)  # the wide box that no attack gets to
    ours = [common.robust_accuracy(net, x, y, eps, steps, authors) for steps in (100, 20)]
    plain = foolbox.attacks.L2PGD(steps=100, rel_stepsize=0.025, random_start=False)
    *_, wrong = plain(foolbox.PyTorchModel(net.eval(), bounds=(low, high), device="cpu"), x, labels, epsilons=[eps])
    rescaled, span, size = Rescaled(net, low, high).eval(), high - low, int(x.shape[1] ** 0.5)
    apgd = torchattacks.APGD(rescaled, norm="L2", eps=eps / span, steps=100, n_restarts=3, loss="ce")
    delta = low + span * apgd(((x - low) / span).reshape(-1, 1, size, size), labels).flatten(1) - x
    assert torch.linalg.vector_norm(delta, dim=1).max() <= eps * 1.0001
    robust = [~wrong[0], y * net.f(x + delta) > 0, with_shrinking_steps(net, x, y, eps, authors)]
    return ours + [one.double().mean().item() for one in robust]


def main():
    warnings.simplefilter("ignore")
    print("| protocol | m | d | ε | 100 steps | 20 steps | foolbox | APGD | shrinking |\n" + "|---" * 9 + "|")
    for size, eps, authors, T, width, V in NETWORKS:
        digits = common.load_digits(0, 1, size, normalize=True, seed=0)
        net = common.TwoLayerNet(size**2, width, bias=authors)
        schedule = {"atk_iters": 10, "lr": 0.01, "bs": 32, "T": T, "patience": 20, "box": authors}
        advtrain.adversarial_training(net, digits.train_x, digits.train_y, V, eps, **schedule)
        for budget in (0.8 * eps, eps, 1.2 * eps):
            accuracies = robust_accuracies(net, digits.test_x[::4], digits.test_y[::4], budget, authors)
            protocol = "bias and box" if authors else "paper's formulas"
            cells = [protocol, f"{width:,}", size**2, f"{budget:.2f}", *(f"{accuracy:.3f}" for accuracy in accuracies)]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
