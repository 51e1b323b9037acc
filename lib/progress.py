"""What a run shows: its lines, and how far it has come.

That is a bar on a terminal or in a notebook, and elsewhere a line every minute.
"""

import functools
import os
import sys
import time
from collections.abc import Callable

from tqdm import tqdm


def say(text: str) -> None:
    """Print to stdout, beside any progress bar."""
    _print(text, sys.stdout)


def note(text: str) -> None:
    """Print to stderr, beside any progress bar."""
    _print(text, sys.stderr)


def warn(text: str) -> None:
    """Print a warning to stderr, beside any progress bar."""
    note(f"warning: {text}")


@functools.cache
def warn_once(text: str) -> None:
    """Print a warning that this process has not printed before."""
    warn(text)


def _print(text, stream):
    try:
        tqdm.write(text, file=stream)
        stream.flush()
    except OSError:  # a reader that goes away, as after `| head`, or a closed terminal, ends no run
        # Python would try again when it ends, and exit with another code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """The steps of a run, a range, to loop over. name tells the run apart from others; without one, no lines."""

    def __init__(self, name: str | None, steps: range, unit: str):
        form = "{desc}: {unit} {n_fmt} [{elapsed}, {rate_fmt}{postfix}]"  # not of how many: most runs end long before
        # Text in notebooks, too: tqdm.auto warns without ipywidgets, and its bar turns red where a run ends before T.
        notebook = "ipykernel.zmqshell" in sys.modules
        shown = {"disable": False, "file": sys.stdout} if notebook else {"disable": None}  # None: on a terminal only
        self.bar = tqdm(steps, name or "training", unit=unit, initial=steps.start, bar_format=form, **shown)
        self.name, self.unit, self.shown_at = name, unit, time.monotonic()
        if self.bar.disable and name:
            note(f"{name}: starts at {unit} {steps.start:,}")

    def __iter__(self):
        with self.bar:  # closed when the loop ends, however it does
            yield from self.bar

    def show(self, step: int, words: Callable[[], str]) -> None:
        """Show the words that the function gives, once a second in the bar, else once a minute: they may cost a little."""
        if time.monotonic() - self.shown_at < (60 if self.bar.disable else 1):
            return
        self.shown_at = time.monotonic()
        if not self.bar.disable:
            self.bar.set_postfix_str(words(), refresh=False)
        elif self.name:
            note(f"{self.name}: {self.unit} {step:,}, {words()}")
