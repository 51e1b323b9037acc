"""MNIST's files: only the .gz files are read, which stay as they are, and no other data set is taken for MNIST."""

import gzip
import hashlib
import struct
import tempfile

import advtrain
import ntk_normal
from common import load_digits
from lib import RunError, mnist
from lib.results import read_rows

import pytest
import torch


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_reading_leaves_nothing_behind(packed_mnist, tmp_path_factory, monkeypatch):
    temporary, before = tmp_path_factory.mktemp("temporary"), contents(packed_mnist)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    digits = load_digits(0, 1, 5, packed_mnist)
    assert (len(digits.train_y), len(digits.test_y)) == (12665, 2115)
    assert contents(packed_mnist) == before and not any(temporary.iterdir())


def made_up_files(folder, dataset, monkeypatch):
    """The .gz files of the data set, of eight made-up images of the classes 3 and 8, and torchvision's sums for them."""
    kind, images = mnist.DATASETS[dataset], torch.arange(8 * 784, dtype=torch.uint8).reshape(8, 28, 28)
    labels, sums = torch.tensor([3, 8] * 4), []
    files = kind.resources if isinstance(kind.resources, list) else kind.resources["train"] + kind.resources["test"]
    for url, _ in files:
        if "idx2-int" in url:  # QMNIST: eight columns
            content = (
                struct.pack(">BBBBII", 0, 0, 12, 2, 8, 8)
                + labels.repeat(8, 1).T.contiguous().numpy().astype(">i4").tobytes()
            )
        elif "labels" in url:
            content = struct.pack(">BBBBI", 0, 0, 8, 1, 8) + labels.byte().numpy().tobytes()
        else:
            content = struct.pack(">BBBBIII", 0, 0, 8, 3, 8, 28, 28) + images.numpy().tobytes()
        path = folder / dataset / "raw" / url.rpartition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content, mtime=0))
        sums.append((url, hashlib.md5(path.read_bytes()).hexdigest()))
    resources = sums if isinstance(kind.resources, list) else {"train": sums[:2], "test": sums[2:]}
    monkeypatch.setattr(kind, "resources", resources)
    return images


def test_a_data_set_that_is_not_known_is_refused():
    with pytest.raises(RunError, match="no data set CIFAR10; choose from MNIST, Fa"):
        load_digits(0, 1, 5, dataset="CIFAR10")


@pytest.mark.parametrize("dataset", ["FashionMNIST", "KMNIST", "QMNIST"])
def test_data_sets_like_mnist_are_read_and_have_a_column(tmp_path, monkeypatch, script, dataset):
    images = made_up_files(tmp_path, dataset, monkeypatch)
    digits = load_digits(3, 8, 28, tmp_path, dataset=dataset)
    torch.testing.assert_close(digits.test_x, images.flatten(1) / 255)
    assert digits.train_y.tolist() == [-1, 1] * 4
    with pytest.raises(RunError, match="0 and 1 are no two digits"):
        load_digits(0, 1, 28, tmp_path, dataset=dataset)
    options = f"--dataset {dataset} --num1 3 --num2 8 --size 5 --width 20 --T 1 --C0 5 --data-dir".split()
    for module in (ntk_normal, advtrain):  # without MNIST's files
        name, out = module.__name__, tmp_path / f"{module.__name__}.csv"
        ended = script(f"{name}.py", *options, tmp_path, "--out", out)
        assert ended.code == 0 and ended.stdout.startswith(f"{dataset} 3/8, d 25,")
        (row,) = read_rows(out, module.COLUMNS)
        assert row["dataset"] == dataset
    missing = script("ntk_normal.py", *options, tmp_path / "none", "--out", tmp_path / "none" / "rows.csv")
    assert missing.code == 1 and f"import {dataset} as" in missing.stderr and missing.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"", gzip.compress(b"\x00\x00\x08\x03" + bytes(range(256)) * 50)])
def test_missing_torn_and_other_data_sets_files_are_refused_and_kept(packed_mnist, content):
    path = packed_mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    before = contents(packed_mnist)
    with pytest.raises(RunError, match="t10k-images.*not MNIST's; get it by python -c"):
        load_digits(0, 1, 5, packed_mnist)
    assert contents(packed_mnist) == before
