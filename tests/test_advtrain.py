"""Adversarial training, step by step against its parts, and the rows of Section 5.2's two scripts."""

import math
import sys

import advtrain
import advtraingap
import common
from advtrain import adversarial_training
from common import LazyBall, TwoLayerNet, loss_gradient, sgd_step
from lib import RunError
from lib.results import CURVES, numbers, read_rows

import pytest
import torch
import torch.nn.functional as F
from made_up import adversarial_row


@pytest.mark.parametrize("bias", [False, True])
def test_adversarial_training_projects_after_every_step(bias):
    data = common.load_digits(0, 1, 5, normalize=True, seed=0)
    x, y, V = data.train_x[:400], data.train_y[:400], 0.08
    net, reference = (TwoLayerNet(25, 60, bias=bias) for _ in range(2))
    run = adversarial_training(net, x, y, V, eps=0.1, atk_iters=5, lr=0.1, bs=32, T=6, patience=20)
    ball = LazyBall(reference.W0, V)
    moved = 0
    for _ in range(6):
        attacked = reference.weighted_input(x + common.pgd(reference, x, y, 0.1, 5)[0])
        for batch_x, batch_y in zip(attacked.split(32), y.split(32)):
            gradient = loss_gradient(reference.W.detach(), reference.a, reference.output_bias, batch_x, batch_y)
            sgd_step(reference.W.detach(), gradient, lr=0.1)
            moved += bool(reference.deviation() > V)
            ball.project(reference.W)
    assert 0 < moved < 6 * 13, "the test should see steps that are projected and steps that need not be"
    assert torch.equal(net.W, reference.W)
    assert net.deviation().item() <= V
    delta, robust = common.pgd(reference, x, y, 0.1, 5)
    assert (run.epochs, run.steps) == (6, 6 * 13)
    assert run.train_robust_acc == robust.double().mean().item()
    assert run.train_loss == pytest.approx(F.softplus(-y * reference.f(x + delta)).mean().item())


def test_a_network_that_has_moved_before_stays_in_its_ball(digits):
    x = digits.train_x[digits.train_y == 1][:320]  # of one digit alone: every step goes outwards
    net, V, schedule = TwoLayerNet(25, 60), 0.03, {"lr": 0.01, "bs": 32, "patience": 20}
    for T in (20, 1):
        adversarial_training(net, x, torch.ones(320), V, eps=0.1, atk_iters=1, T=T, **schedule)
        assert 0.99 * V < net.deviation() <= V


@pytest.mark.parametrize(
    ("robust_out_of_10000", "epochs"),
    [
        ([5000] * 9, 3),  # three epochs in a row without a gain are more than two
        ([5000, 5001, 5002, 5003, 5004, 5005], 3),  # 1e-4 is no gain
        ([5000, 4000, 3000, 2000, 9000, 9000], 3),  # nor is a fall
        ([5000, 5000, 5000, 5002, 5002, 5002, 5002, 9000], 6),  # more than 1e-4 is, and starts the count again
        ([1000, 2000, 3000, 4000, 5000, 6000, 7000], 6),  # T
    ],
)
def test_patience_counts_epochs_in_a_row_without_a_gain(digits, robust_out_of_10000, epochs):
    accuracies = iter(robust_out_of_10000)

    def attack(net, x, *_):
        return torch.zeros_like(x), torch.arange(10000) < next(accuracies)

    x, y = digits.train_x[:10000], digits.train_y[:10000]
    schedule = {"lr": 0.01, "bs": 10000, "T": 6, "patience": 2}
    run = adversarial_training(TwoLayerNet(25, 4), x, y, V=1.0, eps=0.1, atk_iters=1, attack=attack, **schedule)
    assert (run.epochs, run.steps) == (epochs, epochs)
    assert run.train_robust_acc == robust_out_of_10000[epochs] / 10000


def test_an_attack_of_ones_own_may_use_autograd_and_must_leave_no_example_out(digits):
    x, y, nets = digits.train_x[:300], digits.train_y[:300], [TwoLayerNet(25, 30) for _ in range(2)]
    schedule = {"lr": 0.1, "bs": 32, "T": 2, "patience": 20}

    def one_step(net, x, y, eps, atk_iters, box):
        (gradient,) = torch.autograd.grad(F.softplus(-y * net.f(x.requires_grad_())).sum(), x)
        delta = eps * F.normalize(gradient, dim=1)
        return delta, y * net.f(x + delta) > 0

    def closed_form(net, x, y, eps, atk_iters, box):
        _, gradient = net.value_and_input_gradient(x)
        delta = -eps * y[:, None] * F.normalize(gradient, dim=1)
        return delta, y * net.f(x + delta) > 0

    for net, attack in zip(nets, (one_step, closed_form)):
        adversarial_training(net, x, y, V=0.1, eps=0.1, atk_iters=1, attack=attack, **schedule)
    assert nets[0].deviation() > 0.01
    torch.testing.assert_close(nets[0].W, nets[1].W)

    def half(net, x, y, *others):
        return closed_form(net, x[:150], y[:150], *others)

    def shares(*arguments):
        delta, robust = closed_form(*arguments)
        return delta, robust.float()

    def no_numbers(*arguments):
        delta, robust = closed_form(*arguments)
        return delta * math.nan, robust

    shapes = r"must return .* of all n = 300 examples"
    for attack, reason in ((half, shapes), (shares, shapes), (no_numbers, "delta that is NaN")):
        with pytest.raises(RunError, match=reason):
            adversarial_training(nets[0], x, y, V=0.1, eps=0.1, atk_iters=1, attack=attack, **schedule)
        with pytest.raises(RunError, match=reason):
            common.robust_accuracy(nets[0], x, y, 0.1, 1, attack=attack)
    robust = closed_form(nets[0], x, y, 0.1, 1, False)[1].double().mean().item()
    assert common.robust_accuracy(nets[0], x, y, 0.1, 1, attack=closed_form) == robust


@pytest.mark.parametrize(("name", "radius"), [("advtrain.py", ["--C0", "3"]), ("advtraingap.py", ["--gap", "0.6"])])
def test_every_column_is_what_the_library_says(tmp_path, script, name, radius):
    options = "--num1 3 --num2 8 --size 6 --width 30 --bs 50 --lr 0.2 --T 3 --patience 2 --eps 0.1 --atk_iters 4"
    options += " --seed 4 --bias --box --antialias --device cpu"
    assert script(name, *options.split(), *radius, "--out", tmp_path / "rows.csv").code == 0
    (row,) = read_rows(tmp_path / "rows.csv", advtrain.COLUMNS)
    V = 3 / 30**0.5 if name == "advtrain.py" else 0.6
    data = common.load_digits(3, 8, 6, normalize=True, seed=4, antialias=True)
    net = common.TwoLayerNet(36, 30, seed=4, bias=True)
    attack = {"eps": 0.1, "atk_iters": 4, "box": True}
    schedule = {"lr": 0.2, "bs": 50, "T": 3, "patience": 2}
    run = adversarial_training(net, data.train_x, data.train_y, V, **attack, **schedule)
    delta, robust = common.pgd(net, data.test_x, data.test_y, **attack)
    expected = {
        "num1": 3, "num2": 8, "size": 6, "d": 36, "antialias": 1, "width": 30, "C0": V * 30**0.5, "V": V, "eps": 0.1, "atk_iters": 4,
        "bias": 1, "box": 1, "bs": 50, "lr": 0.2, "T": 3, "patience": 2, "seed": 4, "epochs": run.epochs,
        "steps": run.steps, "train_loss": run.train_loss, "train_robust_acc": run.train_robust_acc,
        "test_acc": (net.f(data.test_x) * data.test_y > 0).double().mean().item(),
        "robust_test_acc": robust.double().mean().item(), "max_deviation": net.deviation().item(),
    }  # fmt: skip
    assert 0.1 < expected["robust_test_acc"] < expected["test_acc"]
    assert {column: float(row[column]) for column in expected} == pytest.approx(expected, rel=1e-5)


def test_the_attack_is_a_column_and_both_trains_and_tests(tmp_path, script):
    options = "--size 5 --width 60 --T 2 --eps 0.05 --atk_iters 3 --out".split()
    for attack in ("l2", "linf"):
        assert script("advtrain.py", "--attack", attack, *options, tmp_path / "rows.csv").code == 0
    l2, linf = read_rows(tmp_path / "rows.csv", advtrain.COLUMNS)
    assert (l2["attack"], linf["attack"]) == ("l2", "linf")
    data, net = common.load_digits(0, 1, 5, normalize=True, seed=0), TwoLayerNet(25, 60)
    attacked_by = {"eps": 0.05, "atk_iters": 3, "attack": common.ATTACKS["linf"]}
    schedule = {"V": 10 / 60**0.5, "lr": 0.01, "bs": 32, "T": 2, "patience": 20}
    adversarial_training(net, data.train_x, data.train_y, **schedule, **attacked_by)
    assert float(linf["robust_test_acc"]) == common.robust_accuracy(net, data.test_x, data.test_y, **attacked_by)


@pytest.mark.parametrize("name", ["advtrain.py", "ntk_normal.py"])
def test_the_log_has_a_row_an_epoch_of_what_the_network_then_is(tmp_path, script, name):
    options = (
        f"{name} --size 5 --width 60 --C0 50 --out {tmp_path / 'rows.csv'} --log {tmp_path / 'log' / 'curves.csv'}"
    )
    options += " --eps 0.1 --atk_iters 3" if name == "advtrain.py" else ""
    for T in (1, 3):
        assert script(*options.split(), "--T", T).code == 0
    logged = [numbers(row) for row in read_rows(tmp_path / "log" / "curves.csv", CURVES)]
    rows = [numbers(row) for row in read_rows(tmp_path / "rows.csv", sys.modules[name[:-3]].COLUMNS)]
    assert len({row["run"] for row in logged}) == 2  # of T = 1 and 3
    if name == "advtrain.py":  # the network before the first epoch, and after each
        assert [row["epoch"] for row in logged] == [0, 1, 0, 1, 2, 3]
        ends = logged[1], logged[5]
        for end, row in zip(ends, rows):
            assert all(end[column] == row[column] for column in ("train_loss", "train_robust_acc", "test_acc"))
            assert end["deviation_over_V"] == pytest.approx(row["max_deviation"] / row["V"])
    else:  # before each
        assert [row["epoch"] for row in logged] == [0, 0, 1, 2]
        after_1, row = logged[2], rows[0]
        assert (
            after_1["train_loss"] == pytest.approx(row["train_loss"]) and after_1["test_acc"] == 1 - row["test_error"]
        )
        assert after_1["deviation_over_V"] == pytest.approx(row["max_deviation"] / row["V"])


def test_the_defaults_are_the_papers(monkeypatch):
    parser = advtrain.adversarial_parser("", "any.csv")
    defaults = {"eps": 0.2, "atk_iters": 100, "patience": 20, "bs": 32, "lr": 0.01, "T": 1000, "width": 1000}
    defaults |= {"size": 28, "num1": 0, "num2": 1, "seed": 0}
    assert {name: parser.get_default(name) for name in defaults} == defaults
    found = []
    for module in (advtrain, advtraingap):
        monkeypatch.setattr(module, "train_and_attack", lambda script, args, C0, V: found.extend((C0, V)))
        monkeypatch.setattr("sys.argv", [f"{module.__name__}.py"])
        module.main()
    assert found == pytest.approx([10, 10 / 1000**0.5, 0.1 * 1000**0.5, 0.1])


def test_training_never_ends_outside_the_ball(digits, monkeypatch):
    options = {"eps": 0.1, "atk_iters": 1, "bs": 64, "T": 1, "patience": 20}
    x, y = F.normalize(digits.train_x, dim=1), digits.train_y
    for lr in (1e8, 1e12):
        net = TwoLayerNet(25, 20)
        adversarial_training(net, x, y, V=0.3, lr=lr, **options)
        assert 0.29 < net.deviation() <= 0.3
    project = LazyBall.project
    for too_far in (1.5, 1e9):
        monkeypatch.setattr(LazyBall, "project", lambda ball, W: project(LazyBall(ball.W0, too_far * ball.V), W))  # noqa: B023
        with pytest.raises(RunError, match="outside the ball of radius 0.3"):
            adversarial_training(TwoLayerNet(25, 20), x, y, V=0.3, lr=1, **options)


def test_d_is_that_of_the_data(tmp_path, script, monkeypatch):
    def load_digits(*_, **__):
        x, y = torch.rand(40, 3), torch.ones(40)
        return common.Digits(x, y, x, y)

    for name in ("advtrain", "ntk_normal"):
        monkeypatch.setattr(f"{name}.load_digits", load_digits)
        out = tmp_path / f"{name}.csv"
        assert script(f"{name}.py", "--width", 20, "--size", 5, "--T", 1, "--C0", 5, "--out", out).code == 0
        (row,) = read_rows(out, sys.modules[name].COLUMNS)
        assert row["d"] == "3"


def test_the_summary_says_what_ended_training():
    for others, end in [
        ({}, "100 epochs (cut off by T), deviation 0.3,"),
        ({"epochs": 90}, "90 epochs (ended by patience), deviation 0.3,"),
        ({"epochs": 21, "train_robust_acc": 0}, "21 epochs (ended by patience at robust accuracy 0), deviation 0.3,"),
        ({"max_deviation": 0.2}, "100 epochs (cut off by T), deviation 0.2 (not at the ball's border),"),
    ]:
        row = adversarial_row(28, 1000, 0.3, 0.2, 0, 0.5, T=100, epochs=100) | others
        assert end in advtrain.summary(row)
