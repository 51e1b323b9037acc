import shutil

import pytest
import torch

import common
from lib import mnist


@pytest.fixture(autouse=True)
def same_random_numbers_every_time():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits():
    """The digits 0 and 1 at 5 x 5 pixels, in a shuffled order."""
    return common.load_digits(0, 1, 5, seed=0)


@pytest.fixture
def packed_mnist(tmp_path):
    """A data folder with MNIST's .gz files alone."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist.DATA_DIR / "MNIST" / "raw").glob("*.gz"):
        shutil.copy(path, raw)
    return tmp_path


@pytest.fixture(scope="session")
def lazy_net():
    """A function of (size, width): a network trained on digits 0 and 1 up to the border of its lazy ball, C0 = 10."""

    def train(size, width, bias=False):
        data = common.load_digits(0, 1, size, seed=0)
        net = common.TwoLayerNet(size**2, width, bias=bias)
        exits = common.train_until_exit(net, data.train_x, data.train_y, [10 / width**0.5], 0.1, 64, 30)
        assert [exit.left_ball for exit in exits] == [True]
        return net, data

    return train
