"""MNIST's files: only the .gz files are read, which stay as they are, and no other data set is taken for MNIST."""

import gzip
import tempfile

from common import load_digits
from lib import RunError

import pytest


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_reading_leaves_nothing_behind(packed_mnist, tmp_path_factory, monkeypatch):
    temporary, before = tmp_path_factory.mktemp("temporary"), contents(packed_mnist)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    digits = load_digits(0, 1, 5, packed_mnist)
    assert (len(digits.train_y), len(digits.test_y)) == (12665, 2115)
    assert contents(packed_mnist) == before and not any(temporary.iterdir())


@pytest.mark.parametrize("content", [None, b"", gzip.compress(b"\x00\x00\x08\x03" + bytes(range(256)) * 50)])
def test_missing_torn_and_other_data_sets_files_are_refused_and_kept(packed_mnist, content):
    path = packed_mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    before = contents(packed_mnist)
    with pytest.raises(RunError, match="t10k-images.*not MNIST's; put the four"):
        load_digits(0, 1, 5, packed_mnist)
    assert contents(packed_mnist) == before
