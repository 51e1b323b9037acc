"""What a run shows: its lines, and how far it has come, by a bar on a terminal, elsewhere by a line every minute."""

import os
import sys
import time

from tqdm import tqdm

SECONDS = 60


def say(text: str) -> None:
    """Print to stdout, beside any progress bar."""
    _write(text, sys.stdout)


def note(text: str) -> None:
    """Print to stderr, beside any progress bar."""
    _write(text, sys.stderr)


def warn(text: str) -> None:
    """Print a warning to stderr, beside any progress bar."""
    note(f"warning: {text}")


def _write(text, stream):
    try:
        tqdm.write(text, file=stream)
        stream.flush()
    except OSError:
        # Nobody listens, as after `| head`: the run goes on in silence. At its end Python would complain about what is
        # left to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """The steps of a run, a range, to loop over. name tells the run apart from others beside it; without one, no lines.

    There is no estimate of the time left: nobody knows when a network leaves its ball, or stops to gain.
    """

    def __init__(self, name: str | None, steps: range, total: int, unit: str):
        form = "{desc}: {n_fmt} of at most {total_fmt} {unit}s [{elapsed}, {rate_fmt}{postfix}]"
        about = {"desc": name or "training", "initial": steps.start, "total": total, "unit": unit, "bar_format": form}
        self.bar = tqdm(steps, disable=None, **about)
        self.name, self.unit, self.step, self.told_at = name, unit, steps.start, time.monotonic()
        if self.bar.disable and name:
            note(f"{name}: starts at {unit} {steps.start:,}, of at most {total:,}")

    def __iter__(self):
        with self.bar:  # closed when the loop ends, however it does
            for step in self.bar:
                self.step = step
                yield step

    def tell(self, words: str, *values) -> None:
        """Show the words, now and then, with the values put into their {}."""
        if not self.bar.disable:
            self.bar.set_postfix_str(words.format(*values), refresh=False)
        elif self.name and time.monotonic() - self.told_at >= SECONDS:
            self.told_at = time.monotonic()
            note(f"{self.name}: {self.unit} {self.step:,}, {words.format(*values)}")
