"""MNIST's files: unpacked once, by several processes at once, and again where they are damaged."""

import subprocess
import sys

import pytest

import common
from lib import RunError, mnist


def raw_files(folder):
    """The name and the time of every unpacked file."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "MNIST" / "raw").glob("*-ubyte")}


def test_files_that_are_whole_are_not_touched(digits, monkeypatch):
    before = raw_files(mnist.DATA_DIR)
    assert set(before) == set(mnist.UNPACKED_MD5)
    monkeypatch.setattr(mnist, "FileLock", None)  # a read-only folder can have no lock
    mnist.unpack(mnist.DATA_DIR)
    assert raw_files(mnist.DATA_DIR) == before


@pytest.mark.slow
def test_half_unpacked_files_are_unpacked_again(packed_mnist):
    mnist.unpack(packed_mnist)
    half = packed_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    half.write_bytes(half.read_bytes()[:1000])
    assert len(common.load_digits(0, 1, 5, packed_mnist).train_y) == 12665


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
    ended = subprocess.run(command, cwd=mnist.DATA_DIR.parent, stdout=subprocess.PIPE, text=True)
    assert ended.stdout == "[0, 0, 0]\n"


@pytest.mark.slow
def test_a_corrupt_file_without_a_network_is_an_error(packed_mnist):
    (packed_mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(RunError, match="MNIST"):
        common.load_digits(0, 1, 5, packed_mnist)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="put the four official .gz files there"):
        mnist.unpack(tmp_path / "file")
