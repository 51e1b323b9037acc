"""How far a run has come: a bar on a terminal, elsewhere a line when it starts and one every minute."""

import sys
import time

from tqdm import tqdm

SECONDS = 60


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
            tqdm.write(f"{name}: starts at {unit} {steps.start:,}, of at most {total:,}", file=sys.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def __iter__(self):
        for step in self.bar:
            self.step = step
            yield step

    def tell(self, words: str, *values) -> None:
        """Show the words, now and then, with the values put into their {}."""
        if not self.bar.disable:
            self.bar.set_postfix_str(words.format(*values), refresh=False)
        elif self.name and time.monotonic() - self.told_at >= SECONDS:
            self.told_at = time.monotonic()
            line = f"{self.name}: {self.unit} {self.step:,}, {words.format(*values)}"
            tqdm.write(line, file=sys.stderr)
