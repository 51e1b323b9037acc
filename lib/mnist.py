"""MNIST as torchvision reads it, from the .gz files in data/."""

import functools
import tempfile
from pathlib import Path

from lib import RunError
from lib.files import remove_leftovers

from torchvision.datasets import MNIST
from torchvision.datasets.utils import check_integrity, extract_archive

DATA_DIR = Path(__file__).resolve().parent.parent / "data"
PREFIX = "lazy-training-mnist-"


@functools.cache
def read(data_dir: Path) -> tuple[MNIST, MNIST]:
    """MNIST's training and test images, from the four official .gz files in data_dir/MNIST/raw.

    They are unpacked into a temporary folder: data_dir may be read-only, and any number of processes may read it at
    once. Raises RunError where a file is missing or is not MNIST's by its md5 sum (Fashion-MNIST and others have files of
    the same names), or cannot be read, or the temporary folder has no space.
    """
    try:
        remove_leftovers(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
        with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
            raw = Path(folder) / "MNIST" / "raw"
            raw.mkdir(parents=True)
            for name, md5 in MNIST.resources:
                packed = Path(data_dir) / "MNIST" / "raw" / name
                if not check_integrity(packed, md5):
                    raise RunError(f"{packed} is missing, or is not MNIST's; put the four official .gz files there")
                extract_archive(packed, raw)
            return MNIST(folder, train=True), MNIST(folder, train=False)
    except OSError as error:
        raise RunError(f"cannot unpack MNIST: {error}") from error
