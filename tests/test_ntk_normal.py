"""Training until the lazy ball is left, against a look at W after every step, and the rows of Section 5.1."""

import math
import statistics

import common
import ntk_normal
from common import TwoLayerNet, loss_gradient, sgd_step
from lib import sgd_kernels
from lib.checkpoint import Checkpoint
from lib.results import read_rows
from ntk_normal import train_until_exit

import pytest
import torch


@pytest.mark.parametrize("bias", [False, True])
def test_training_steps_are_torch_sgds(digits, bias):
    net, reference = (TwoLayerNet(25, 60, bias=bias).double() for _ in range(2))
    x, y = digits.train_x[:500].double(), digits.train_y[:500].double()
    (exit,) = train_until_exit(net, x, y, [1e6], lr=0.1, bs=64, T=3)
    assert (exit.epochs, exit.steps, exit.left_ball) == (3, 24, False)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    for _ in range(3):
        for batch_x, batch_y in zip(x.split(64), y.split(64)):
            optimizer.zero_grad()
            torch.log(1 + torch.exp(-batch_y * reference.f(batch_x))).mean().backward()
            optimizer.step()
    torch.testing.assert_close(net.W, reference.W)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_exit_is_where_a_look_after_every_step_finds_it(digits, bias, sparse, monkeypatch):
    if not sparse:  # then the steps are the same bit for bit
        monkeypatch.setattr(sgd_kernels, "pays", lambda x, m: False)
    number = torch.float64 if sparse else torch.float32
    radii, x, y = [0.1, 0.3, 0.30001, 0.8], digits.train_x.to(number), digits.train_y.to(number)
    expected, steps = [], 0
    watched = TwoLayerNet(25, 80, bias=bias).to(number)
    inputs = watched.weighted_input(x)
    waiting = list(radii)
    while waiting:
        batch = slice(steps * 64 % 12672, steps * 64 % 12672 + 64)
        kept = watched.W.detach().clone()
        gradient = loss_gradient(watched.W.detach(), watched.a, watched.output_bias, inputs[batch], y[batch])
        sgd_step(watched.W.detach(), gradient, lr=0.1)
        while waiting and watched.deviation() > waiting[0]:
            expected.append((steps // 198, steps, kept))
            waiting.pop(0)
        steps += 1
    net = TwoLayerNet(25, 80, bias=bias).to(number)
    found = []
    for V, exit in zip(radii, train_until_exit(net, x, y, radii[::-1], lr=0.1, bs=64, T=100)):
        assert exit.left_ball and net.deviation().item() <= V
        found.append((exit.epochs, exit.steps, net.W.detach().clone()))
    assert [exit[:2] for exit in found] == [exit[:2] for exit in expected]
    assert found[0][1] < found[1][1] < found[3][1]
    for one, other in zip(found, expected):
        torch.testing.assert_close(one[2], other[2], rtol=0, atol=1e-9 if sparse else 0)
    assert torch.equal(net.W, found[-1][2])


def test_a_network_that_has_moved_before_leaves_its_ball_where_it_does(digits):
    x, y = digits.train_x.clone(), digits.train_y
    x[:, 3] = 0  # of this pixel alone the weights have moved
    net = TwoLayerNet(25, 60)
    with torch.no_grad():
        net.W[:, 3] += 0.3
    (exited,) = train_until_exit(net, x, y, [0.32], lr=0.1, bs=64, T=5)
    assert exited.left_ball and 0.3 < net.deviation() <= 0.32


def test_training_that_is_past_a_ball_it_has_to_give_again_starts_anew(digits, tmp_path, capsys):
    def exits():
        saving = Checkpoint(tmp_path, "any", {}, seconds=0)  # saves at every step
        yield from train_until_exit(TwoLayerNet(25, 60), digits.train_x, digits.train_y, [0.1, 0.3], 0.1, 64, 9, saving)

    first, second = (exited.steps for exited in exits())
    assert [exited.steps for exited in exits()] == [first, second] and "starts anew" in capsys.readouterr().err


@pytest.mark.parametrize("normalize", [False, True])
def test_every_column_is_what_the_library_says(tmp_path, script, normalize):
    options = "--num1 3 --num2 8 --size 6 --width 12 --C0 2 --bias --bs 50 --lr 0.2 --T 7 --seed 5 --device cpu"
    options += " --normalize --antialias" * normalize
    assert script("ntk_normal.py", *options.split(), "--out", tmp_path / "rows.csv").code == 0
    (row,) = read_rows(tmp_path / "rows.csv", ntk_normal.COLUMNS)
    data = common.load_digits(3, 8, 6, normalize=normalize, seed=5, antialias=normalize)
    net = common.TwoLayerNet(36, 12, seed=5, bias=True)
    (exited,) = train_until_exit(net, data.train_x, data.train_y, [2 / 12**0.5], lr=0.2, bs=50, T=7)
    step = common.smallest_step(net, data.test_x)
    losses = torch.log(1 + torch.exp(-data.train_y * net.f(data.train_x).detach()))
    expected = {
        "num1": 3, "num2": 8, "size": 6, "d": 36, "width": 12, "C0": 2, "V": 2 / 12**0.5, "bias": 1,
        "normalize": int(normalize), "antialias": int(normalize), "bs": 50, "lr": 0.2, "T": 7, "seed": 5, "epochs": exited.epochs,
        "steps": exited.steps, "left_ball": int(exited.left_ball),
        "max_deviation": net.deviation().item(), "train_loss": losses.mean().item(),
        "test_error": sum(y * f <= 0 for y, f in zip(data.test_y.tolist(), step.f.tolist())) / len(data.test_y),
        "abs_f_mean": statistics.mean(map(abs, step.f.tolist())), "no_flip": step.flips.tolist().count(False),
    }  # fmt: skip
    eta = [abs(eta) for eta in step.eta.tolist() if eta != math.inf]
    delta = [length for length in step.delta_norm.tolist() if length != math.inf]
    norms = [math.hypot(*x) for x, flips in zip(data.test_x.tolist(), step.flips.tolist()) if flips]
    relative = [length / norm for length, norm in zip(delta, norms)]
    measured = {"grad_norm": step.grad_norm.tolist(), "delta_norm": delta, "rel_delta": relative, "eta": eta}
    for name, values in measured.items():
        expected |= {f"{name}_mean": statistics.mean(values), f"{name}_std": statistics.pstdev(values)}
    assert expected["left_ball"] and (expected["no_flip"] > 0 or normalize)
    assert {column: float(row[column]) for column in expected} == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_the_first_command_gives_the_papers_numbers(tmp_path, script):
    """The ranges hold for any seed: an independent implementation measured 940 steps, 0.5 %, 0.97 and 2.14."""
    command = "--bs 64 --T 1000 --lr 0.1 --num1 0 --num2 1 --width 1000 --size 5 --C0 10 --seed 0"
    assert script("ntk_normal.py", *command.split(), "--out", tmp_path / "rows.csv").code == 0
    (row,) = read_rows(tmp_path / "rows.csv", ntk_normal.COLUMNS)
    assert row["left_ball"] == "1" and 700 < int(row["steps"]) < 1200
    assert float(row["test_error"]) < 0.01
    assert 0.9 < float(row["grad_norm_mean"]) / 5 < 1.05
    assert 1.95 < float(row["rel_delta_mean"]) * 5 < 2.35
    assert row["no_flip"] == "0"


def test_a_row_that_the_epochs_ended_says_so(tmp_path, script):
    out = tmp_path / "rows.csv"
    ended = script("ntk_normal.py", "--width", 20, "--size", 5, "--T", 1, "--C0", 900, 1, "--out", out)
    assert ended.code == 0
    left, stayed = read_rows(out, ntk_normal.COLUMNS)
    assert (stayed["left_ball"], stayed["epochs"], stayed["steps"]) == ("0", "1", "198")
    assert left["left_ball"] == "1"
    told = [line for line in ended.stdout.splitlines() if "deviation" in line]
    for line, row, end, option in zip(told, (left, stayed), ("left", "NOT out of"), ("--C0", "--T"), strict=True):
        assert f"{end} the lazy ball" in line
        assert f"test error {float(row['test_error']):.2%} (the paper's are below 1%; a larger {option} " in line
