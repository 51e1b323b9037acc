"""What runs on a GPU gives what the CPU gives. Skipped where there is no CUDA device."""

import csv
import subprocess
import sys

import common
from common import TwoLayerNet
from lib import ROOT
from lib.checkpoint import Checkpoint
from ntk_normal import train_until_exit

import pytest
import torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(params=[False, True], ids=["no-bias", "bias"])
def nets(digits, request):
    """The same network on the CPU and on the GPU, trained there for an epoch, in float64."""
    nets = [TwoLayerNet(25, 300, bias=request.param).double().to(device) for device in ("cpu", "cuda")]
    assert torch.equal(nets[0].W0, nets[1].W0.cpu())
    for net in nets:
        x, y = digits.train_x.double().to(net.W.device), digits.train_y.double().to(net.W.device)
        list(train_until_exit(net, x, y, [0.2], lr=0.1, bs=64, T=1))
    torch.testing.assert_close(nets[0].W, nets[1].W.cpu())
    return nets


def test_the_smallest_step(nets, digits):
    on_cpu, on_gpu = (common.smallest_step(net, digits.test_x.double().to(net.W.device)) for net in nets)
    for expected, found in zip(on_cpu, on_gpu):
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("attack", common.ATTACKS)
def test_attacks(nets, digits, attack, box):
    x, y = torch.nn.functional.normalize(digits.test_x.double(), dim=1), digits.test_y.double()
    (delta, robust), (gpu_delta, gpu_robust) = (
        common.ATTACKS[attack](net, x.to(net.W.device), y.to(net.W.device), 0.1, 20, box) for net in nets
    )
    assert (robust == gpu_robust.cpu()).double().mean() > 0.999 and 0 < robust.double().mean() < 1
    off = torch.linalg.vector_norm(delta - gpu_delta.cpu(), dim=1)
    assert (off < 1e-6).double().mean() > 0.99  # a gradient's sign, or a neuron at its kink, may fall either way


def test_projection():
    W0 = torch.randn(3_000_000, 25, device="cuda")  # of several blocks
    ball, W = common.LazyBall(W0, V=0.5), W0 + 0.12 * torch.randn_like(W0)
    distance = torch.linalg.vector_norm(W - W0, dim=1)
    torch.testing.assert_close(ball.distances(W), distance)
    projected = W.clone()
    ball.project(projected)
    assert 0 < (distance > 0.5).sum() < len(W) and 0.4999 < ball.deviation(projected) <= 0.5
    inside = distance < 0.4999
    assert torch.equal(projected[inside], W[inside])


@pytest.mark.parametrize("begun_on", ["cpu", "cuda"])
def test_training_goes_on_from_a_checkpoint(digits, tmp_path, capsys, begun_on):
    def exits(device, radii):
        saving = Checkpoint(tmp_path, "any", {}, seconds=0)  # saves at every step
        x, y = digits.train_x.to(device), digits.train_y.to(device)
        return train_until_exit(TwoLayerNet(25, 60).to(device), x, y, radii, 0.1, 64, 9, saving)

    first = next(exits(begun_on, [0.1, 0.3]))
    (second,) = exits("cuda", [0.3])
    assert "going on from" in capsys.readouterr().err
    (expected,) = train_until_exit(TwoLayerNet(25, 60), digits.train_x, digits.train_y, [0.3], 0.1, 64, 9)
    assert first.steps < second.steps and abs(second.steps - expected.steps) <= 2


@pytest.mark.parametrize("name, options", [("ntk_normal", ""), ("advtrain", "--T 3"), ("advtraingap", "--T 3 --box")])
def test_scripts(tmp_path, name, options):
    rows = []
    for device in ("cpu", "cuda"):
        command = f"{name}.py --size 5 --width 100 {options} --device {device} --out".split()
        subprocess.run([sys.executable, *command, tmp_path / f"{name}-{device}.csv"], cwd=ROOT, check=True)
        rows += csv.DictReader((tmp_path / f"{name}-{device}.csv").open())
    for column in ("train_loss", "rel_delta_mean" if name == "ntk_normal" else "robust_test_acc"):
        on_cpu, on_gpu = (float(row[column]) for row in rows)
        assert on_gpu == pytest.approx(on_cpu, rel=5e-3)
    assert [row["device"] for row in rows] == ["cpu", "cuda"]
