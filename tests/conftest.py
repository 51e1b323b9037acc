import functools
import importlib
import os
import shutil
import sys
from typing import NamedTuple

# Networks as small as here gain nothing from threads, which other processes beside would make wait for one another.
os.environ["OMP_NUM_THREADS"] = "1"

import common
import ntk_normal
from lib import command_line, mnist

import pytest
import torch


@pytest.fixture(autouse=True)
def same_random_numbers_every_time():
    torch.manual_seed(0)


@pytest.fixture
def links(tmp_path):
    """Skips where no symbolic link can be made, as by most users of Windows."""
    try:
        (tmp_path / "link").symlink_to(tmp_path / "new")
    except OSError:
        pytest.skip("no symbolic link can be made here")
    (tmp_path / "link").unlink()


@pytest.fixture(scope="session")
def digits():
    """The digits 0 and 1 at 5 x 5 pixels, in a shuffled order."""
    return common.load_digits(0, 1, 5, seed=0)


@pytest.fixture
def packed_mnist(tmp_path):
    """A data folder of one's own with MNIST's .gz files."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist.DATA_DIR / "MNIST" / "raw").glob("*.gz"):
        shutil.copy(path, raw)
    return tmp_path


@pytest.fixture(params=[False, True], ids=["no-bias", "bias"])
def net(request):
    """A small network in float64, moved off its initialisation."""
    net = common.TwoLayerNet(6, 40, seed=3, bias=request.param).double()
    with torch.no_grad():
        net.W += 0.3 * torch.randn_like(net.W)
    return net


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(50, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(2, (50,), generator=generator) * 2.0 - 1


@pytest.fixture(scope="session")
def lazy_net():
    """A function of (size, width): a network trained on digits 0 and 1 up to the border of its lazy ball, C0 = 10.

    Tests share the networks, so that one that changes a network changes a copy.
    """

    @functools.cache
    def train(size, width, bias=False):
        data = common.load_digits(0, 1, size, seed=0)
        net = common.TwoLayerNet(size**2, width, bias=bias)
        radii = [10 / width**0.5]
        exits = ntk_normal.train_until_exit(net, data.train_x, data.train_y, radii, lr=0.1, bs=64, T=30)
        assert [exit.left_ball for exit in exits] == [True]
        return net, data

    return train


class Ended(NamedTuple):
    """How a script ended, as its shell sees it."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def script(monkeypatch, capsys):
    """A function that runs a script with arguments, on the CPU, and returns how it `Ended`.

    It runs the script in this process: to start one for each run, and import PyTorch there, would take minutes.
    """
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            command_line.run(importlib.import_module(name.removesuffix(".py")).main, name)
        except SystemExit as ended:
            code = ended.code
        stdout, stderr = capsys.readouterr()
        return Ended(1, stdout, f"{stderr}{code}\n") if isinstance(code, str) else Ended(code or 0, stdout, stderr)

    return run
