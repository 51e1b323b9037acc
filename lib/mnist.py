"""MNIST's four files, in the folder from which torchvision reads them."""

import contextlib
import io
from pathlib import Path

from filelock import FileLock
from torchvision.datasets import MNIST
from torchvision.datasets.utils import check_integrity

from lib import RunError

DATA_DIR = Path(__file__).resolve().parent.parent / "data"
UNPACKED_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def unpack(data_dir: Path) -> None:
    """Leave MNIST's four unpacked files in data_dir/MNIST/raw, from the .gz files there or downloaded.

    Files that are whole are not touched, so a read-only folder serves. Unpacking holds a lock, and half-unpacked
    files of an interrupted run are unpacked again. Raises RunError.
    """
    raw = Path(data_dir) / "MNIST" / "raw"

    def damaged():
        return [raw / name for name, md5 in UNPACKED_MD5.items() if not check_integrity(raw / name, md5)]

    if not damaged():
        return
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with FileLock(raw / "unpacking.lock"), contextlib.redirect_stdout(io.StringIO()):
            for path in damaged():
                path.unlink(missing_ok=True)
            MNIST(data_dir, download=True)
    except (OSError, EOFError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        message = f"cannot unpack or download MNIST in {raw} ({reason}); put the four official .gz files there"
        raise RunError(message) from error
