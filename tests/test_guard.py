"""A network or a loss that is changed in one place alone gives no numbers: the scripts refuse it in one line."""

import contextlib
import math

import advtrain
import common
import ntk_normal
from common import LossGradient, TwoLayerNet
from lib import RunError, pgd_kernels

import pytest
import torch
import torch.nn.functional as F

SCRIPTS = {
    "ntk_normal.py": "--width 30 --size 5 --T 1",
    "advtrain.py": "--width 30 --size 5 --T 1 --atk_iters 2",
    "advtraingap.py": "--width 30 --size 5 --T 1 --atk_iters 2 --gap 0.3 --bias --box",
}
NO_LONGER_FITS = "no longer fits"


def leaky_f(net, x):
    return (F.leaky_relu(net.weighted_input(x) @ net.W.T) @ net.a + net.output_bias) / math.sqrt(net.width)


@torch.no_grad()
def leaky_value_and_input_gradient(net, x):
    slopes = torch.where(net.weighted_input(x) @ net.W.T > 0, 1.0, 0.01)
    return leaky_f(net, x), (slopes * net.a) @ net.W[:, : net.d] / math.sqrt(net.width)


def leaky_loss_gradient(W, a, output_bias, x, y):
    z, scale = W @ x.T, -y / math.sqrt(len(a))
    slope = scale * torch.sigmoid(scale * (a @ F.leaky_relu(z) + output_bias))
    return LossGradient(torch.where(z > 0, 1.0, 0.01) * a[:, None], slope, x)


@pytest.fixture
def leaky(monkeypatch):
    """A function that makes the network leaky: in f alone or, if asked to, in all of common.py that SGD and PGD use."""

    def change(everywhere):
        monkeypatch.setattr(TwoLayerNet, "f", leaky_f)
        if everywhere:
            monkeypatch.setattr(TwoLayerNet, "value_and_input_gradient", leaky_value_and_input_gradient)
            for module in (common, ntk_normal, advtrain):
                monkeypatch.setattr(module, "loss_gradient", leaky_loss_gradient)

    return change


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
def test_another_activation_is_refused_before_training(leaky, script, tmp_path, name, everywhere):
    leaky(everywhere)
    if everywhere:
        pytest.importorskip("numba")
    ended = script(name, *SCRIPTS[name].split(), "--out", tmp_path / "rows.csv")
    error = ended.stderr.splitlines()[-1]
    assert (ended.code, ended.stdout) == (1, "") and NO_LONGER_FITS in error and "Traceback" not in ended.stderr
    culprit = {"ntk_normal.py": "smallest_step"}.get(name, "compiled") if everywhere else "value_and_input_gradient"
    assert culprit in error and not (tmp_path / "rows.csv").exists()


def test_another_activation_in_all_that_is_used_is_trained_and_attacked(leaky, digits, monkeypatch):
    leaky(everywhere=True)
    monkeypatch.setattr(pgd_kernels, "compiled", lambda function: None)
    x, y = digits.train_x[:320], digits.train_y[:320]
    net, reference = TwoLayerNet(25, 30), TwoLayerNet(25, 30)
    schedule = {"lr": 0.1, "bs": 32, "T": 1, "patience": 20}
    advtrain.adversarial_training(net, x, y, V=1.0, eps=0.1, atk_iters=1, **schedule)
    optimizer = torch.optim.SGD([reference.W], lr=0.1)
    attacked = x.clone().requires_grad_()
    F.softplus(-y * reference.f(attacked)).sum().backward()
    attacked = x + 0.1 * F.normalize(attacked.grad, dim=1)
    for batch_x, batch_y in zip(attacked.split(32), y.split(32)):
        optimizer.zero_grad()
        F.softplus(-batch_y * reference.f(batch_x)).mean().backward()
        optimizer.step()
    torch.testing.assert_close(net.W, reference.W)


def test_attacks_from_python_are_refused_too(leaky, digits):
    net, x, y = TwoLayerNet(25, 30), digits.test_x, digits.test_y
    attacks = [lambda x: common.smallest_step(net, x), lambda x: common.robust_accuracy(net, x, y, 0.1, 5)]
    attacks.append(lambda x: common.flipped(net, x, [4]))
    holes = x.clone()
    holes[10::2] = math.nan
    for attack in attacks:
        with pytest.raises(RunError, match="must be finite"):
            attack(holes)
    leaky(everywhere=False)
    for attack in attacks:
        with pytest.raises(RunError, match=f"value_and_input_gradient {NO_LONGER_FITS}"):
            attack(x)


def slopes(dloss_df):
    """A `loss_gradient` of which the loss has this derivative, a function of (f, y)."""

    def loss_gradient(W, a, output_bias, x, y):
        z = W @ x.T
        f = (a @ z.relu() + output_bias) / math.sqrt(len(a))
        return LossGradient((z > 0) * a[:, None], dloss_df(f, y) / math.sqrt(len(a)), x)

    return loss_gradient


def hinge(f, y):
    return F.relu(1 - y * f)


def square(f, y):
    return (1 - y * f).square()


def exponential(f, y):
    return torch.exp(-y * f)


def weighted(f, y):
    return F.softplus(-y * f) * (2 + y)


def clipped(f, y):
    return F.softplus(-y * f).clamp(max=2)


@pytest.mark.parametrize(
    ("another", "dloss_df", "refused"),
    [
        (hinge, lambda f, y: -y * torch.sigmoid(-y * f), "loss_gradient no longer fits"),
        (hinge, lambda f, y: -y, "loss_gradient no longer fits"),  # right where y f < 1
        (hinge, lambda f, y: -1.01 * y * (y * f < 1), "loss_gradient no longer fits"),
        (common.loss, lambda f, y: -y * torch.sigmoid(-y * f) * (f.abs() > 5), "loss_gradient no longer fits"),
        (weighted, lambda f, y: -y * torch.sigmoid(-y * f), "loss_gradient no longer fits"),
        (clipped, lambda f, y: -y * torch.sigmoid(-y * f), "loss_gradient no longer fits"),
        (hinge, lambda f, y: -y * (y * f < 1), None),
        (exponential, lambda f, y: -y * torch.exp(-y * f), None),
        (square, lambda f, y: 2 * (f - y), "loss rises with y f"),
    ],
)
def test_another_loss_is_trained_if_it_is_whole_and_what_PGD_raises(digits, monkeypatch, another, dloss_df, refused):
    monkeypatch.setattr(common, "loss", another)
    for module in (common, advtrain):
        monkeypatch.setattr(module, "loss_gradient", slopes(dloss_df))
    x, y, net = 5 * digits.train_x[:64], digits.train_y[:64], TwoLayerNet(25, 30)
    schedule = {"eps": 0.1, "atk_iters": 2, "lr": 1e-3, "bs": 64, "T": 1, "patience": 20}
    with pytest.raises(RunError, match=refused) if refused else contextlib.nullcontext():
        run = advtrain.adversarial_training(net, x, y, V=1.0, **schedule)
        delta, _ = common.pgd(net, x, y, 0.1, 2)
        assert run.train_loss == pytest.approx(another(net.f(x + delta), y).mean().item())


def test_compiled_steps_are_refused_once_the_plain_ones_are_others(digits, monkeypatch):
    pytest.importorskip("numba")
    net, x, y = TwoLayerNet(25, 300), F.normalize(digits.train_x, dim=1)[:99], digits.train_y[:99]
    plain_pgd = common.plain_pgd
    for module, name, change in [
        (common, "plain_pgd", lambda steps: lambda net, x, y, eps, *others: steps(net, x, y, 0.4 * eps, *others)),
        (ntk_normal, "sgd_step", lambda step: lambda W, gradient, lr: step(W.mul_(0.999), gradient, lr)),
    ]:
        monkeypatch.setattr(module, name, change(getattr(module, name)))
    with pytest.raises(RunError, match="compiled code .* no longer fits plain_pgd"):
        common.pgd(net, x, y, 0.3, 20)
    monkeypatch.setattr(common, "plain_pgd", lambda *arguments: (plain_pgd(*arguments)[0], torch.zeros(8).bool()))
    with pytest.raises(RunError, match="compiled code .* no longer fits plain_pgd"):
        common.pgd(net, x, net.f(x).detach().sign(), 0.01, 20)
    with pytest.raises(RunError, match="compiled code .* no longer fits loss_gradient and sgd_step"):
        list(ntk_normal.train_until_exit(net, digits.train_x, digits.train_y, [1.0], lr=0.1, bs=64, T=1))


def test_compiled_steps_are_refused_for_momentum(digits, monkeypatch):
    pytest.importorskip("numba")
    velocity = {}

    def with_momentum(W, gradient, lr):
        step = gradient.active @ (gradient.x * gradient.slope[:, None]) / len(gradient.x)
        velocity[W.data_ptr()] = 0.9 * velocity.get(W.data_ptr(), 0) + step
        W.sub_(lr * velocity[W.data_ptr()])

    monkeypatch.setattr(ntk_normal, "sgd_step", with_momentum)
    with pytest.raises(RunError, match="compiled code .* no longer fits loss_gradient and sgd_step"):
        list(
            ntk_normal.train_until_exit(TwoLayerNet(25, 30), digits.train_x, digits.train_y, [1.0], lr=0.1, bs=64, T=1)
        )


@pytest.mark.parametrize(
    ("eps", "box", "shift", "reason"),
    [
        (1.1e8, False, 0, "eps must be from 1e-8 to 1e8"),  # of far larger ones the square overflows
        (0.9e-8, False, 0, "eps must be from 1e-8 to 1e8"),  # of far smaller ones it underflows
        (0.1, True, -0.5, "inputs must lie in"),
        (0.1, True, 0.5, "inputs must lie in"),
    ],
)
def test_pgd_refuses_what_it_cannot_do(digits, eps, box, shift, reason):
    net, x, y = TwoLayerNet(25, 30), digits.test_x + shift, digits.test_y
    for attack in (common.pgd, common.robust_accuracy):
        with pytest.raises(RunError, match=reason):
            attack(net, x, y, eps, 5, box)


def test_pgd_takes_what_rounding_leaves_and_large_and_small_eps(digits):
    net, y = TwoLayerNet(25, 30), digits.test_y
    common.pgd(net, digits.test_x.clamp(1e-7) * (1 + 1e-7), y, 0.1, 2, box=True)  # as rounding leaves them
    for allowed in (1e-6, 1e4):
        delta, _ = common.pgd(net, digits.test_x, y, allowed, 5, False)
        assert delta.norm(dim=1).max() <= allowed * (1 + 1e-5)
        common.pgd(net, digits.test_x, y, allowed, 5, True)


def test_no_network_outside_its_ball_is_kept(digits):
    far, steep = TwoLayerNet(25, 30), TwoLayerNet(25, 30)
    far.W0 += 1
    steep.a *= 5  # rows move further than `LazyBall.longest_move` says
    for net, reason in ((far, "before any step"), (steep, "left the ball unnoticed")):
        with pytest.raises(RunError, match=reason):
            list(ntk_normal.train_until_exit(net, digits.train_x, digits.train_y, [0.5], lr=0.02, bs=64, T=20))


def test_a_network_that_trains_more_than_W_or_nothing_is_refused(digits):
    class Deeper(TwoLayerNet):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.last = torch.nn.Parameter(torch.ones(()))

        def f(self, x):
            return self.last * super().f(x)

    frozen = TwoLayerNet(25, 30)
    frozen.W.requires_grad_(False)
    for net, named in ((Deeper(25, 30), "W, last"), (frozen, "nothing")):
        with pytest.raises(RunError, match=f"trains W only, and the network is to train {named}"):
            common.check_closed_forms(net, digits.train_x, digits.train_y)


def test_labels_that_are_no_signs_or_too_few_are_refused(digits):
    net, x, y = TwoLayerNet(25, 30), digits.test_x, digits.test_y
    measures = common.accuracy, common.mean_loss, ntk_normal.flip_columns
    for use in (common.check_closed_forms, *measures, lambda *data: common.pgd(*data, 0.1, 2)):
        for labels in ((y > 0).float(), y[:, None]):
            with pytest.raises(RunError, match="labels y must be -1 and"):
                use(net, x, labels)
    for use in (common.accuracy, common.mean_loss, lambda *data: common.pgd(*data, 0.1, 2)):
        with pytest.raises(RunError, match="as many labels"):
            use(net, x, y[:200])
