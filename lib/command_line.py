"""The command line: the options that the training scripts share, and errors that are one line on stderr."""

import argparse
import contextlib
import os
import re
import signal
import sys
from pathlib import Path

from lib import RunError, signals
from lib.files import check_folder
from lib.groups import DATA
from lib.mnist import DATA_DIR, DATASETS
from lib.progress import note
from lib.results import SCRIPTS, belongs, configuration_columns

import torch


def whole_number(at_least: int, at_most: int = 2**31 - 1):
    """An argparse type: a whole number in the given range, ends included; 1e5 is one, too."""

    def parse(text):
        with contextlib.suppress(ValueError):
            value = float(text)
            if value.is_integer() and at_least <= value <= at_most:
                return int(value)
        raise argparse.ArgumentTypeError(f"must be a whole number from {at_least} to {at_most}, not {text!r}")

    return parse


def positive(text: str) -> float:
    """An argparse type: a number above 0 that float32 can hold."""
    with contextlib.suppress(ValueError):
        value = float(text)
        if torch.finfo(torch.float32).tiny <= value <= torch.finfo(torch.float32).max:
            return value
    raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")


def csv_file(text: str) -> Path:
    """An argparse type: the path of a CSV, and not of the folder to put one in."""
    if Path(text).suffix != ".csv" or text.endswith("/"):
        raise argparse.ArgumentTypeError(f"must be the name of a .csv file, not {text!r}")
    return Path(text)


def device(text: str) -> str:
    """An argparse type: auto, cpu or cuda, made cpu or cuda."""
    if text not in ("auto", "cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"must be auto, cpu or cuda, not {text!r}")
    if text == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("cannot be cuda: no CUDA device is available")
    return "cuda" if text != "cpu" and torch.cuda.is_available() else "cpu"


def bare_parser(documentation: str) -> argparse.ArgumentParser:
    """A parser whose help starts with documentation's first line, a command; its errors are one line."""
    command, _, description = (documentation or "").partition("\n")  # there is none under python -OO
    usage = f"%(prog)s [options], as in\n\n  {command}"
    form = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = argparse.ArgumentParser(usage=usage, description=description, **form)
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: error: {message} (see --help)\n")
    return parser


def training_parser(documentation: str, bs: int, lr: float, out: str) -> argparse.ArgumentParser:
    """The `bare_parser` with the options that all three training scripts share, and the defaults that they do not."""
    parser = bare_parser(documentation)
    named = f"{', '.join(DATASETS)}, from the folder --data-dir (default: MNIST)"
    parser.add_argument("--dataset", choices=DATASETS, default="MNIST", help=named)
    options = [
        ("--num1", whole_number(0, 9), 0, "the digit, or other class, labelled y = -1"),
        ("--num2", whole_number(0, 9), 1, "the digit, or other class, labelled y = +1"),
        ("--size", whole_number(1, 28), 28, "images are downsampled to size x size pixels, so that d = size^2"),
        ("--width", whole_number(1), 1000, "m, the number of hidden neurons"),
        ("--bs", whole_number(1), bs, "mini-batch size of SGD"),
        ("--lr", positive, lr, "learning rate of SGD"),
        ("--T", whole_number(1), 1000, "train for so many epochs at most"),
        ("--seed", whole_number(0), 0, "the seed of W0, a and the order of the training examples"),
        ("--device", device, "auto", "auto, cpu or cuda"),
        ("--data-dir", Path, DATA_DIR, "the folder that has the .gz files in MNIST/raw, or FashionMNIST/raw and so on"),
        ("--out", csv_file, out, "the CSV that the row is appended to"),
        ("--checkpoint-seconds", positive, 180, "how often to save the state of a long run, to go on from"),
    ]
    add_options(parser, options)
    folder = "where to save it (default: checkpoints, beside --out)"
    parser.add_argument("--checkpoint-dir", type=Path, metavar="", help=folder)
    log = "append a row an epoch to this CSV: losses, accuracies, deviation (plot_figures.py --curves)"
    parser.add_argument("--log", type=csv_file, metavar="", help=log)
    parser.add_argument("--save-dir", type=Path, metavar="", help="save the trained network in this folder")
    bias = "train the authors' network, which has a trained hidden bias and a fixed output bias"
    parser.add_argument("--bias", action="store_true", help=bias)
    antialias = "downsample with antialiasing, which the authors' scripts do not"
    parser.add_argument("--antialias", action="store_true", help=antialias)
    parser.add_argument("--force", action="store_true", help="run, even if the row is there already")
    return parser


def add_options(parser: argparse.ArgumentParser, options: list[tuple]) -> None:
    """Add (name, type, default, explanation) options to the parser; their help ends with the default."""
    for name, kind, default, explanation in options:
        parser.add_argument(name, type=kind, default=default, metavar="", help=f"{explanation} (default: %(default)s)")


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of a `training_parser`; ends the program with exit code 2 where they make no sense.

    Raises RunError where a folder cannot be written: better before training than after it.
    """
    args = parser.parse_args()
    if args.num1 == args.num2:
        parser.error(f"--num1 and --num2 must be two different digits, not {args.num1} twice")
    if args.log and any(belongs(args.log, script) for script in SCRIPTS):
        parser.error(f"--log must not be named like the rows of a script, as {args.log.name} is")
    if args.log and args.log.resolve() == args.out.resolve():
        parser.error("--log and --out must be two files")
    for folder in filter(None, (args.save_dir, args.checkpoint_dir, args.log and args.log.parent)):
        check_folder(folder)
    args.checkpoint_dir = args.checkpoint_dir or args.out.parent / "checkpoints"
    # For attacks of the user's own that draw random numbers, others than W0's: here nothing does.
    torch.manual_seed(2**32 + args.seed)
    # Threads that share a small network wait for each other, on a busy machine most of the time.
    if args.width < 2000 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    return args


def data_options(args: argparse.Namespace) -> dict:
    """The options that `common.load_digits` takes, but for normalize, which each script decides."""
    return {name: getattr(args, name) for name in (*DATA, "size", "seed", "data_dir", "device")}


def configuration(args: argparse.Namespace, columns: list[str], C0: float, V: float) -> dict:
    """The configuration of a run, by those of the columns that say which run a row is."""
    options = vars(args) | {"d": args.size**2, "C0": C0, "V": V}
    values = {name: options[name] for name in configuration_columns(columns)}
    return {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}


def run(main, script: str) -> None:
    """Call the main of the script, a path; one line on stderr and the exit code say what ended it early.

    The code is 1 after a RunError, 130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP.
    """
    name = Path(script).name
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a path may have what the terminal's encoding lacks
    # With TF32, which some containers switch on, a GPU's products have three digits.
    torch.set_float32_matmul_precision("highest")
    try:
        given = [word.partition("=")[0] for word in sys.argv[1:] if word.startswith("--")]
        if twice := [word for word in given if given.count(word) > 1]:
            raise RunError(f"{twice[0]} is given more than once, and only the last would count")
        with signals.listening():
            main()
    except RunError as error:
        sys.exit(f"{name}: error: {error}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search(
            "out of memory|allocate memory|CUBLAS_STATUS_ALLOC_FAILED", str(error)
        ):
            raise
        sys.exit(f"{name}: error: out of memory ({' '.join(str(error).split())})")
    except signals.Stopped as stopped:
        note(f"{name}: interrupted by {signal.Signals(stopped.signum).name}; {stopped.kept}")
        sys.exit(128 + stopped.signum)
