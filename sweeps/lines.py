"""What the scripts beside this one share: how a grid of runs becomes command lines."""

import argparse
import shlex
import signal


def print_lines(documentation, runs, authors=False):
    """The whole of a script: print the command lines of runs(laptop=..., authors=... if there is that choice)."""
    command, _, description = documentation.partition("\n")
    parser = argparse.ArgumentParser(usage=command, description=description, allow_abbrev=False)
    parser.add_argument("--laptop", action="store_true", help="a grid that a laptop can run, as said above")
    if authors:
        parser.add_argument("--authors", action="store_true", help="with --bias --box, as the authors' scripts")
    print_each(runs(**vars(parser.parse_args())))


def print_each(runs):
    """Print the command lines of the runs."""
    allow_head()
    for script, options in runs:
        print(line(script, options))


def allow_head():
    """From now on a reader that closes the pipe early, as `| head` does, ends the program without an error."""
    if hasattr(signal, "SIGPIPE"):  # not on Windows
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def line(script, options):
    """The command line of a run: options is a dict of values, of lists, and of True for a bare flag."""
    words = ["python", script]
    for name, value in options.items():
        words.append(f"--{name}")
        words += [] if value is True else map(str, value if isinstance(value, list) else [value])
    return shlex.join(words)
