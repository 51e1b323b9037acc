"""Folders that can be written, files that are whole or absent, and the names of files that belong to one run."""

import contextlib
import os
import tempfile
import zlib
from pathlib import Path

from lib import RunError


def check_folder(folder: Path) -> None:
    """Make the folder and see that it can be written. Raises RunError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error}") from error


def run_name(script: str, config: dict) -> str:
    """The name of a file that belongs to one run of a script, from the run's configuration."""
    name = "-".join([script, *(f"{column}={value}" for column, value in config.items())])
    if len(name) > 200:  # file systems take 255, and what is being written has a longer name
        name = f"{name[:180]}-{zlib.crc32(name.encode()):08x}"
    return f"{name}.pt"


def write_whole(path: Path, content) -> None:
    """Write a file of these bytes, so that a kill or a full disk leaves the old file. Raises RunError."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(part)
