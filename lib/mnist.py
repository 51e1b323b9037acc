"""MNIST and the data sets like it, as torchvision reads them, from the .gz files in data/."""

import functools
import tempfile
from pathlib import Path

from lib import ROOT, RunError
from lib.files import remove_leftovers

from torchvision.datasets import KMNIST, MNIST, QMNIST, FashionMNIST
from torchvision.datasets.utils import check_integrity, extract_archive

DATA_DIR = ROOT / "data"
DATASETS = {kind.__name__: kind for kind in (MNIST, FashionMNIST, KMNIST, QMNIST)}
PREFIX = "lazy-training-mnist-"


@functools.cache
def read(data_dir: Path, dataset: str = "MNIST") -> tuple[MNIST, MNIST]:
    """The training and test images of one of the `DATASETS`, from its official .gz files in data_dir/dataset/raw.

    They are unpacked into a temporary folder: data_dir may be read-only, and any number of processes may read it at
    once. Raises RunError where a file is missing or, by its md5 sum, another one (these data sets have files of the same
    names), or cannot be read, the temporary folder has no space, or there is no such data set.
    """
    if dataset not in DATASETS:
        raise RunError(f"there is no data set {dataset}; choose from {', '.join(DATASETS)}")
    kind = DATASETS[dataset]
    files = kind.resources if isinstance(kind.resources, list) else kind.resources["train"] + kind.resources["test"]
    download = f"[D({str(data_dir)!r}, train=train, download=True) for train in (True, False)]"
    try:
        remove_leftovers(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
        with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
            raw = Path(folder) / dataset / "raw"
            raw.mkdir(parents=True)
            for url, md5 in files:
                packed = Path(data_dir) / dataset / "raw" / Path(url).name
                if not check_integrity(packed, md5):
                    get = f'python -c "from torchvision.datasets import {dataset} as D; {download}"'
                    raise RunError(f"{packed} is missing, or is not {dataset}'s; get it by {get}")
                extract_archive(packed, raw)
            return kind(folder, train=True), kind(folder, train=False)
    except OSError as error:
        raise RunError(f"cannot unpack {dataset}: {error}") from error
