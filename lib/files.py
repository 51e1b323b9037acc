"""Folders that can be written, files that are whole or absent, locks, and the names of files that belong to one run."""

import contextlib
import glob
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable
from pathlib import Path

from lib import RunError
from lib.progress import warn_once

from filelock import FileLock, Timeout


def check_folder(folder: Path) -> None:
    """Make the folder, or what a link of that name points to, and see that it can be written to. Raises RunError."""
    try:
        os.makedirs(os.path.realpath(folder), exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))  # a full disk may take a file, but nothing in it
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error}") from error


@contextlib.contextmanager
def locked(path: Path, timeout: float):
    """A context in which no other process has the lock at path; a negative timeout, in seconds, waits for ever.

    Without a lock, and with a warning, where the file system has none. Raises filelock.Timeout.
    """
    with contextlib.ExitStack() as stack:
        try:
            # filelock's other way, a marker file, is for ever in the way once its process was killed on another host.
            stack.enter_context(FileLock(path, timeout=timeout, fallback_to_soft=False))
        except Timeout:
            raise
        except OSError as error:
            warn_once(f"goes on without the lock {path} ({error}): let no other process write there meanwhile")
        yield


def run_name(script: str, config: dict, ending: str) -> str:
    """The name of a file that belongs to one run of a script, from the run's configuration."""
    name = "-".join([script, *(f"{column}={value}" for column, value in config.items())])
    if len(name) > 95:  # below 120 with what is added while it is written: Windows takes 260 for a whole path
        name = f"{name[:86]}-{zlib.crc32(name.encode()):08x}"
    return name + ending


def write_whole(path: Path, content) -> None:
    """Write a file of these bytes, so that a kill or a full disk leaves the old file. Raises RunError."""
    part = f"{path}.{os.getpid()}.part"
    remove_leftovers(glob.glob(f"{glob.escape(str(path))}.*.part"))
    try:
        Path(part).unlink(missing_ok=True)  # in a container all runs may have the same process number
        with open(part, "xb") as file:  # x follows no link that someone put there
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(part)


def remove_leftovers(paths: Iterable) -> None:
    """Remove the files and folders that killed runs have left half-written: those of an hour ago or before."""
    for path in paths:
        with contextlib.suppress(OSError):
            if os.lstat(path).st_mtime < time.time() - 3600:
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
