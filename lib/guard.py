"""Checks of what training and attacks are given, and that closed forms and compiled code fit the network and the loss.

Whoever changes one of these alone gets one line and no number. Closed forms are compared with autograd on a few examples.
net is a `common.TwoLayerNet`, x (n, d), y (n,), loss and loss_gradient are those of common.py.
"""

import math
from collections.abc import Callable

from lib import RunError

import torch


def must_agree(one: str, other: str, difference, unit) -> None:
    """Raise RunError unless difference, a tensor (n,) or (n, d), is below 1e-4 unit, (n,) or (), for a quarter of the n.

    one and other are the names of what was subtracted. Not for all n, since rounding may turn a neuron on in one of them and
    off in the other.
    """
    off = (difference.flatten(1) if difference.dim() > 1 else difference[:, None]).norm(dim=1)
    if 4 * (off <= 1e-4 * unit).sum() < len(off):
        raise RunError(f"{one} no longer fits {other}: change it likewise (docs/python.md)")


def check_labels(y: torch.Tensor) -> None:
    """Check that labels are -1 and +1. Raises RunError."""
    if y.dim() != 1 or not (y.abs() == 1).all():
        raise RunError("labels y must be -1 and +1, of shape (n,)")


@torch.enable_grad()
def check_input_gradient(net, x: torch.Tensor) -> None:
    """Check that `value_and_input_gradient` is that of net.f, by autograd on eight of the examples x. Raises RunError."""
    if not torch.isfinite(x).all():
        raise RunError("inputs x must be finite numbers")
    x = x[:8].detach().requires_grad_()
    f = net.f(x)
    (gradient,) = torch.autograd.grad(f.sum(), x)
    closed_f, closed_gradient = net.value_and_input_gradient(x)
    unit_f, unit_gradient = usual_sizes(net, x)
    names = "TwoLayerNet.value_and_input_gradient", "TwoLayerNet.f"
    must_agree(*names, closed_f - f, unit_f)
    must_agree(*names, closed_gradient - gradient, unit_gradient)


@torch.no_grad()
def usual_sizes(net, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sizes (n,) of w_s . x and () of w_s, which f and its gradient usually have: f itself may be 0."""
    row = torch.linalg.vector_norm(net.W) / math.sqrt(net.width)
    return torch.linalg.vector_norm(net.weighted_input(x), dim=1) * row / math.sqrt(net.d), row


def check_smallest_step(net, x: torch.Tensor, step) -> None:
    """Check that a `common.SmallestStep` is one of net.f, by f at eight of the examples x. Raises RunError."""
    check_input_gradient(net, x)
    f, (unit_f, _) = net.f(x[:8]), usual_sizes(net, x[:8])
    must_agree("smallest_step, exact for ReLU only,", "TwoLayerNet.f", step.f[:8] - f, unit_f)


def check_closed_forms(net, x: torch.Tensor, y: torch.Tensor, loss: Callable, loss_gradient: Callable) -> None:
    """Check that the closed forms are those of net.f and loss, only W is trained and labels are -1 and +1. Raises RunError."""
    names = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    if names != ["W"]:
        raise RunError(f"this code trains W only, and the network is to train {', '.join(names) or 'nothing'}")
    check_labels(y)
    check_input_gradient(net, x)
    # Where |f| is 0.5 and 20, but for a bias. A loss may treat its two classes differently, and have kinks on either side.
    few = x[:4].detach()
    scale = (1 / net.f(few).detach().abs()).clamp(max=100)[:, None]
    near, far, ones = 0.5 * scale * few, 20 * scale * few, y.new_ones(len(few))
    right = torch.where(net.f(far) < 0, -1, 1).to(y.dtype)
    for some_x, some_y in ((near, ones), (near, -ones), (far, right), (far, -right)):
        check_loss_gradient(net, some_x, some_y, loss, loss_gradient)


def check_loss_gradient(net, x: torch.Tensor, y: torch.Tensor, loss: Callable, loss_gradient: Callable) -> None:
    """Check loss_gradient at each of the examples by autograd on net.f and loss. Raises RunError."""
    differences, units = [], []
    for some_x, some_y in zip(x.split(1), y.split(1)):
        with torch.enable_grad():
            (exact,) = torch.autograd.grad(loss(net.f(some_x), some_y).sum(), net.W)
        gradient = loss_gradient(net.W.detach(), net.a, net.output_bias, net.weighted_input(some_x), some_y)
        units.append(torch.linalg.vector_norm(exact) + 1e-3 * torch.linalg.vector_norm(gradient.x))
        differences.append(exact.sub_(gradient.active @ (gradient.slope[:, None] * gradient.x)).norm())
    must_agree("loss_gradient", "TwoLayerNet.f and loss", torch.stack(differences), torch.stack(units))


def check_attack(net, x: torch.Tensor, y: torch.Tensor, eps: float, box: bool, loss: Callable) -> None:
    """Check that PGD on (x, y) can be trusted. Raises RunError.

    It is refused where the gradient is not that of net.f, where lowering y f would not raise the loss, where labels are not
    -1 and +1, eps is not in [1e-8, 1e8] and where, with a box, inputs are not in [0, 1].
    """
    check_labels(y)
    check_input_gradient(net, x)
    if not 1e-8 <= eps <= 1e8:
        raise RunError(f"eps must be from 1e-8 to 1e8, or float32 loses the attack, not {eps:g}")
    if box and not ((x >= -1e-6) & (x <= 1 + 1e-6)).all():
        raise RunError("with a box inputs must lie in [0, 1]: x + delta is clipped to it")
    if (loss(torch.linspace(-20, 20, 9), torch.ones(9)).diff() > 0).any():
        raise RunError("PGD lowers y f, and this loss rises with y f: write an attack that raises it (docs/python.md)")


def check_attacked(delta: torch.Tensor, robust: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> None:
    """Check that an attack on (x, y) returned delta (n, d) and robust (n,), bool. Raises RunError."""
    if delta.shape != x.shape or robust.shape != y.shape or robust.dtype != torch.bool:
        raise RunError(f"the attack must return delta (n, d) and robust (n,), bool, of all n = {len(y)} examples")
    if not torch.isfinite(delta).all():
        raise RunError("the attack returned a delta that is NaN or infinite")
