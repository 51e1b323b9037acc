"""MNIST's files: unpacked once, by one process, and never in the place of another data set's."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import load_digits
from lib import RunError, mnist

ROOT = Path(__file__).resolve().parent.parent
IMAGES = "train-images-idx3-ubyte"


def raw_of(folder):
    return folder / "MNIST" / "raw"


def contents(folder):
    return {path.name: path.read_bytes() for path in raw_of(folder).iterdir() if path.suffix != ".lock"}


@pytest.fixture
def unpacked_mnist(packed_mnist):
    with mnist.unpacked(packed_mnist) as folder:
        assert folder == packed_mnist
    return packed_mnist


def test_unpacking_leaves_the_eight_files_alone(unpacked_mnist):
    names = set(mnist.UNPACKED_MD5) | {f"{name}.gz" for name in mnist.UNPACKED_MD5}
    assert set(contents(unpacked_mnist)) == names
    assert mnist.missing(raw_of(unpacked_mnist)) == []


def test_half_unpacked_files_are_unpacked_again(unpacked_mnist):
    half = raw_of(unpacked_mnist) / IMAGES
    half.write_bytes(half.read_bytes()[:1000])
    assert len(load_digits(0, 1, 5, unpacked_mnist).train_y) == 12665
    assert len(contents(unpacked_mnist)) == 8


# Forks processes that all read the digits from one folder.
READERS = """
import common, os, sys
for _ in range(3):
    if not os.fork():
        try:
            os._exit(len(common.load_digits(0, 1, 5, sys.argv[1]).train_y) != 12665)
        finally:
            os._exit(1)
print([os.wait()[1] for _ in range(3)])
"""


@pytest.mark.slow
def test_processes_unpacking_at_once_all_read_whole_files(packed_mnist):
    command = [sys.executable, "-c", READERS, packed_mnist]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert ended.stdout == "[0, 0, 0]\n"


def test_files_that_are_whole_need_no_lock(unpacked_mnist, monkeypatch):
    before = contents(unpacked_mnist)
    monkeypatch.setattr(mnist, "FileLock", None)  # a read-only folder can have none
    with mnist.unpacked(unpacked_mnist) as folder:
        assert folder == unpacked_mnist
    assert contents(unpacked_mnist) == before


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="put the four official .gz files there"), mnist.unpacked(tmp_path / "file"):
        pass


@pytest.mark.parametrize("what", ["unpacked", "half unpacked", "packed", "half packed", "packed and unpacked"])
def test_another_data_sets_files_are_refused_and_kept(unpacked_mnist, what):
    """Fashion-MNIST, KMNIST and EMNIST have files of the same names, which a user may well put there."""
    raw = raw_of(unpacked_mnist)
    for path in raw.iterdir():
        path.unlink()
    foreign = b"\x00\x00\x08\x03" + bytes(range(256)) * 50
    for name in mnist.UNPACKED_MD5:
        if what != "packed" and "unpacked" in what:
            (raw / name).write_bytes(foreign[:2000] if "half" in what else foreign)
        if what in ("packed", "half packed", "packed and unpacked"):
            packed = gzip.compress(foreign)
            (raw / f"{name}.gz").write_bytes(packed[:50] if "half" in what else packed)
    before = contents(unpacked_mnist)
    with pytest.raises(RunError, match="is not MNIST"):
        load_digits(0, 1, 5, unpacked_mnist)
    assert contents(unpacked_mnist) == before


def test_another_data_sets_file_is_set_aside_where_mnists_own_can_mend_it(unpacked_mnist, capsys):
    path = raw_of(unpacked_mnist) / IMAGES
    path.write_bytes(b"something else")
    assert len(load_digits(0, 1, 5, unpacked_mnist).train_y) == 12665
    assert path.with_name(f"{IMAGES}.aside").read_bytes() == b"something else"
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert IMAGES in warning


def test_missing_files_without_a_network_are_an_error(packed_mnist):
    packed = raw_of(packed_mnist) / f"{IMAGES}.gz"
    packed.unlink()
    before = contents(packed_mnist)
    with pytest.raises(RunError, match="cannot unpack or download MNIST"):
        load_digits(0, 1, 5, packed_mnist)
    assert contents(packed_mnist) == before


def test_only_what_is_missing_is_downloaded(unpacked_mnist, monkeypatch):
    raw, asked = raw_of(unpacked_mnist), []
    packed = (raw / f"{IMAGES}.gz").read_bytes()
    for path in (raw / IMAGES, *raw.glob("*.gz")):
        path.unlink()

    def download(filename, folder):
        asked.append(filename)
        (folder / filename).write_bytes(packed)

    monkeypatch.setattr(mnist, "download", download)
    assert len(load_digits(0, 1, 5, unpacked_mnist).train_y) == 12665
    assert asked == [f"{IMAGES}.gz"]
    assert (raw / f"{IMAGES}.gz").read_bytes() == packed


def test_a_folder_that_cannot_be_written_is_read_all_the_same(packed_mnist, monkeypatch):
    before = contents(packed_mnist)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write whatever the rights say
    with mnist.unpacked(packed_mnist) as folder:
        assert folder != packed_mnist
        assert mnist.missing(raw_of(folder)) == []
    assert not folder.exists()
    assert len(load_digits(0, 1, 5, packed_mnist).train_y) == 12665
    assert contents(packed_mnist) == before


def test_what_a_killed_run_left_is_removed(packed_mnist):
    left = raw_of(packed_mnist) / ".unpacking-abc"
    left.mkdir()
    (left / IMAGES).write_bytes(b"half")
    with mnist.unpacked(packed_mnist):
        assert not left.exists()
