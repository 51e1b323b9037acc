"""The machinery that the paper does not speak of: no file here need be read to know what an experiment does."""

import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class RunError(Exception):
    """A run that cannot start or go on, in one line for the user; scripts end with exit code 1."""


def finite(value: float) -> float:
    """The value of a loss or a weight, unless training diverged: raises RunError where it is NaN or infinite."""
    if not math.isfinite(value):
        raise RunError(f"training diverged, the loss or W became {value}: no row is written (try a smaller --lr)")
    return value


def _in_one_line(kind, error, traceback, otherwise=sys.excepthook):
    """End a script by one line after Ctrl-C while it imports PyTorch; later lib/signals.py does."""
    script = Path(sys.argv[0])
    if kind is KeyboardInterrupt and script.is_file() and script.resolve().parent == ROOT:
        print(f"{script.name}: interrupted", file=sys.stderr)
    else:
        otherwise(kind, error, traceback)


sys.excepthook = _in_one_line
