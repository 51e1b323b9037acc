"""MNIST as torchvision reads it, from the .gz files in data/."""

import functools
import tempfile
from pathlib import Path

from torchvision.datasets import MNIST
from torchvision.datasets.utils import check_integrity, extract_archive

from lib import RunError

DATA_DIR = Path(__file__).resolve().parent.parent / "data"


@functools.cache
def read(data_dir: Path) -> tuple[MNIST, MNIST]:
    """MNIST's training and test images, from the four official .gz files in data_dir/MNIST/raw.

    They are unpacked into a temporary folder: data_dir may be read-only, and any number of processes may read it at
    once. Raises RunError where a file is missing or is not MNIST's by its md5 sum (Fashion-MNIST and others have files of
    the same names), or the temporary folder has no space.
    """
    packed = [Path(data_dir) / "MNIST" / "raw" / name for name, _ in MNIST.resources]
    for path, (_, md5) in zip(packed, MNIST.resources):
        if not check_integrity(path, md5):
            raise RunError(f"{path} is missing or not MNIST's; put the four official .gz files there")
    try:
        with tempfile.TemporaryDirectory(prefix="mnist-") as folder:
            raw = Path(folder) / "MNIST" / "raw"
            raw.mkdir(parents=True)
            for path in packed:
                extract_archive(path, raw)
            return MNIST(folder, train=True), MNIST(folder, train=False)
    except OSError as error:
        raise RunError(f"cannot unpack MNIST: {error}") from error
