"""The command line: the options that the training scripts share, and errors that are one line on stderr."""

import argparse
import math
import os
import re
import signal
import sys
from pathlib import Path

import torch

from lib import RunError, stopping
from lib.files import check_folder
from lib.mnist import DATA_DIR
from lib.results import configuration_columns


def whole_number(at_least: int, at_most: int = 2**31 - 1):
    """An argparse type: a whole number in the given range, ends included; 1e5 is one, too."""

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not value.is_integer():
            raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
        if not at_least <= value <= at_most:
            raise argparse.ArgumentTypeError(f"must be from {at_least} to {at_most}, not {text}")
        return int(value)

    return parse


def positive(text: str) -> float:
    """An argparse type: a number above 0 that float32 can hold."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not torch.finfo(torch.float32).tiny <= value <= torch.finfo(torch.float32).max:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def csv_file(text: str) -> Path:
    """An argparse type: the path of a CSV, and not of the folder to put one in."""
    if Path(text).suffix != ".csv" or text.endswith("/"):
        raise argparse.ArgumentTypeError(f"must be a file that ends in .csv, not {text!r}")
    return Path(text)


def device(text: str) -> str:
    """An argparse type: auto, cpu or cuda, made cpu or cuda."""
    if text not in ("auto", "cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"must be auto, cpu or cuda, not {text!r}")
    if text == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("no CUDA device is available here")
    return "cuda" if text != "cpu" and torch.cuda.is_available() else "cpu"


def bare_parser(documentation: str) -> argparse.ArgumentParser:
    """A parser whose help starts with documentation's first line, a command; its errors are one line."""
    command, _, description = documentation.partition("\n")
    parser = argparse.ArgumentParser(
        usage=f"%(prog)s [options], as in\n\n  {command}",
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: error: {message} (see --help)\n")
    return parser


def training_parser(documentation: str, bs: int, lr: float, out: str) -> argparse.ArgumentParser:
    """The `bare_parser` with the options that all three training scripts share, and the defaults that they do not."""
    parser = bare_parser(documentation)
    options = [
        ("--num1", whole_number(0, 9), 0, "the digit labelled y = -1"),
        ("--num2", whole_number(0, 9), 1, "the digit labelled y = +1"),
        ("--size", whole_number(1, 28), 28, "downsample the images to size x size, so that d = size^2"),
        ("--width", whole_number(1), 1000, "m, the number of hidden neurons"),
        ("--bs", whole_number(1), bs, "mini-batch size of SGD"),
        ("--lr", positive, lr, "learning rate of SGD"),
        ("--T", whole_number(1), 1000, "the most epochs to train for"),
        ("--seed", whole_number(0), 0, "draws W0, a and the order of the training examples"),
        ("--device", device, "auto", "auto, cpu or cuda"),
        ("--data-dir", Path, DATA_DIR, "the folder with MNIST/raw and the four .gz files in it"),
        ("--out", csv_file, out, "the CSV that the row is appended to"),
        ("--checkpoint-seconds", positive, 180, "how often to save the state of a long run, from which it goes on"),
    ]
    add_options(parser, options)
    parser.add_argument("--checkpoint-dir", type=Path, metavar="", help="where (default: checkpoints, beside --out)")
    parser.add_argument("--save-dir", type=Path, metavar="", help="a folder to save the trained network in")
    parser.add_argument(
        "--bias", action="store_true", help="the authors' network: a trained hidden bias, a fixed output one"
    )
    parser.add_argument("--force", action="store_true", help="run again, although --out has the row already")
    return parser


def add_options(parser: argparse.ArgumentParser, options: list[tuple]) -> None:
    """Add (name, type, default, explanation) options to the parser; their help ends with the default."""
    for name, kind, default, explanation in options:
        parser.add_argument(name, type=kind, default=default, metavar="", help=f"{explanation} (default: %(default)s)")


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of a `training_parser`; ends the program with exit code 2 where they make no sense.

    Sees that the folders named there can be written, before anything takes time. Raises RunError.
    """
    args = parser.parse_args()
    if args.num1 == args.num2:
        parser.error(f"--num1 and --num2 must be two digits, not {args.num1} twice")
    for folder in (args.save_dir, args.checkpoint_dir):
        if folder:
            check_folder(folder)
    args.checkpoint_dir = args.checkpoint_dir or args.out.parent / "checkpoints"
    return args


def configuration(args: argparse.Namespace, columns: list[str], C0: float, V: float) -> dict:
    """The configuration of a run, by those of the columns that say which run a row is."""
    options = vars(args) | {"d": args.size**2, "C0": C0, "V": V}
    # An option that is on or off becomes 1 or 0.
    return {name: options[name] + 0 for name in configuration_columns(columns)}


def run(main, script: str) -> None:
    """Call the main of the script, a path; what ends it early is told in one line on stderr and by the exit code.

    The code is 1 after a RunError, 130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP.
    """
    name = Path(script).name
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by whoever started the script
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, stream).reconfigure(errors="backslashreplace")  # a path may have what ASCII lacks
    try:
        with stopping.listening():
            main()
    except RunError as error:
        sys.exit(f"{name}: error: {error}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search("out of memory|allocate memory", str(error)):
            raise
        sys.exit(f"{name}: error: out of memory ({' '.join(str(error).split())})")
    except (stopping.Stopped, KeyboardInterrupt) as stop:
        stopped = stop if isinstance(stop, stopping.Stopped) else stopping.Stopped(signal.SIGINT)
        print(f"{name}: interrupted by {signal.Signals(stopped.signum).name}; {stopped.kept}", file=sys.stderr)
        sys.exit(128 + stopped.signum)
