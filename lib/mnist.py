"""MNIST's four files, in the folder from which torchvision reads them. Nothing of another data set is touched."""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from torchvision.datasets import MNIST
from torchvision.datasets.utils import check_integrity, download_url, extract_archive

from lib import RunError
from lib.progress import warn

DATA_DIR = Path(__file__).resolve().parent.parent / "data"
UNPACKED_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
PACKED_MD5 = {Path(name).stem: md5 for name, md5 in MNIST.resources}


@contextlib.contextmanager
def unpacked(data_dir: Path) -> Iterator[Path]:
    """A context that gives the folder from which torchvision's MNIST can read, data_dir where that is possible.

    The four unpacked files in data_dir/MNIST/raw are made from the .gz files there, or downloaded where there are none.
    Where that folder cannot be written, they are made in a temporary one, for the time of the context. Fashion-MNIST and
    others have files of the same names: only files with MNIST's md5 sums are used, and no other is ever removed.

    Raises RunError where a file is something else, or cannot be unpacked or downloaded.
    """
    raw = Path(data_dir) / "MNIST" / "raw"
    if not missing(raw):
        yield data_dir
        return
    with contextlib.ExitStack() as stack:
        try:
            raw.mkdir(parents=True, exist_ok=True)
            writable = os.access(raw, os.W_OK)
            if writable:
                stack.enter_context(FileLock(raw / "unpacking.lock"))
                for left in raw.glob(".unpacking-*"):  # by a run that was killed: the lock says that it is no more
                    shutil.rmtree(left, ignore_errors=True)
            spare = stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix=".unpacking-", dir=raw if writable else None, ignore_cleanup_errors=True
                )
            )
            if names := missing(raw):
                unpack(raw, Path(spare), names)
                if writable:
                    move(Path(spare) / "MNIST" / "raw", raw, names)
        except (OSError, EOFError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            message = f"cannot unpack or download MNIST in {raw} ({reason}); put the four official .gz files there"
            raise RunError(message) from error
        yield data_dir if writable else Path(spare)


def missing(raw: Path) -> list[str]:
    """Those of the four unpacked files that are not there, or not MNIST's."""
    return [name for name, md5 in UNPACKED_MD5.items() if not check_integrity(raw / name, md5)]


def unpack(raw: Path, spare: Path, names: list[str]) -> None:
    """Make the named files in spare/MNIST/raw, from MNIST's .gz files in raw, or downloaded where there are none.

    Links to the others, so that all four are there. Raises RunError where a file in raw has one of the names, or that of
    its .gz file, and is something else.
    """
    beside = spare / "MNIST" / "raw"
    beside.mkdir(parents=True)
    for name in UNPACKED_MD5:
        path, packed = raw / name, raw / f"{name}.gz"
        if name not in names:
            os.symlink(path.resolve(), beside / name)
        elif check_integrity(packed, PACKED_MD5[name]):
            extract_archive(packed, beside)
        else:
            for something_else in (path, packed):
                if something_else.exists():
                    message = f"{something_else} is not MNIST: another data set's or a damaged file; move it away"
                    raise RunError(message)
            download(packed.name, beside)
            extract_archive(beside / packed.name, beside)


def download(filename: str, folder: Path) -> None:
    """Download one of the four .gz files. Raises RuntimeError where no mirror has it."""
    errors = []
    for mirror in MNIST.mirrors:
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                return download_url(mirror + filename, folder, md5=dict(MNIST.resources)[filename])
        except (OSError, RuntimeError) as error:
            errors.append(f"{mirror}: {error}")
    raise RuntimeError(f"no mirror gave {filename}: {'; '.join(errors)}")


def move(beside: Path, raw: Path, names: list[str]) -> None:
    """Move the unpacked files, and those that were downloaded, from beside to raw; what is something else is kept."""
    for path in sorted(beside.iterdir()):
        unpacked_now = path.name in names
        downloaded = path.suffix == ".gz" and not (raw / path.name).exists()
        if unpacked_now and (raw / path.name).exists() and not starts_like(raw / path.name, path):
            aside = raw / f"{path.name}.aside"
            os.replace(raw / path.name, aside)
            warn(f"{raw / path.name} was not MNIST; it is now {aside.name}")
        if unpacked_now or downloaded:
            os.replace(path, raw / path.name)


def starts_like(half: Path, whole: Path) -> bool:
    """Whether a file is the beginning of another, as one is that was still being written when a run was killed."""
    content = half.read_bytes()
    return whole.read_bytes()[: len(content)] == content
