"""What the scripts beside this one share: how a grid of runs becomes command lines, and how they are run here."""

import argparse
import inspect
import math
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHOICES = {
    "laptop": "a grid that a laptop can run, as said above",
    "quick": "a grid of a minute, as said above",
    "authors": "with --bias --box, as the authors' scripts",
}


def print_lines(documentation, runs):
    """The whole of a script: print the command lines of runs(...), or run them; its arguments are the script's flags."""
    command, _, description = (documentation or "").partition("\n")
    parser = argparse.ArgumentParser(usage=command, description=description, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, metavar="N", help="print no commands but run them here, N at a time")
    for choice in inspect.signature(runs).parameters:
        parser.add_argument(f"--{choice}", action="store_true", help=CHOICES[choice])
    choices = vars(parser.parse_args())
    jobs = choices.pop("jobs")
    if jobs is None:
        print_each(runs(**choices))
    elif jobs < 1:
        parser.error("--jobs must be 1 or more")
    else:
        sys.exit(run_each(runs(**choices), jobs))


def run_each(runs, jobs):
    """Run the runs, so many at a time, and return the exit code: 1 where one failed, 128 + signal after a signal."""
    sys.path.insert(0, str(ROOT))  # where lib is, also when a script beside this one runs
    from lib import stopping
    from lib.progress import note

    from tqdm import tqdm

    waiting, running, seconds, ends, shown = list(runs), {}, [], [], -math.inf
    total, code, text = len(waiting), 0, "nothing was run"
    bar = tqdm(bar_format="{desc}", disable=None)  # on a terminal only
    try:
        with stopping.listening(), tempfile.TemporaryDirectory() as folder, bar:
            stopping.defer(True)
            while (waiting or running) and not stopping.asked():
                while waiting and len(running) < jobs:
                    run, said = waiting.pop(0), Path(folder, str(len(waiting)))
                    running[start(run, said, jobs)] = run, said, time.monotonic()
                time.sleep(0.1)
                now = time.monotonic()
                for process in [process for process in running if process.poll() is not None]:
                    run, said, started = running.pop(process)
                    output = said.read_text(errors="replace").rstrip()
                    if process.returncode:
                        last = output.rpartition("\n")[2]
                        ends.append(f"{line(*run)}\n  failed with exit code {process.returncode}: {last}")
                    elif "skipped: " not in output:  # those say nothing of how long the others take
                        seconds.append(now - started)
                left = len(waiting) + len(running)
                text = f"{total - left:,} of {total:,} runs done, {left:,} left"
                if seconds and left:
                    mean = statistics.mean(seconds)
                    spent = sum(min(mean, now - started) for *_, started in running.values())
                    text += f", about {timedelta(seconds=round((mean * left - spent) / min(jobs, left)))}"
                bar.set_description_str(text)
                if bar.disable and (now - shown >= 60 or not left):
                    shown = now
                    note(text)
            # A terminal's Ctrl-C has reached the runs; a second SIGINT would end them unsaved, on Windows SIGTERM, too.
            for process in running if os.name != "nt" else ():
                process.terminate()
            for process in running:
                process.wait()
            stopping.defer(False)
    except stopping.Stopped as stopped:
        name = signal.Signals(stopped.signum).name
        ends.append(f"interrupted by {name}: {text}; the same command goes on from the states that the runs saved")
        code = 128 + stopped.signum
    for text in ends:
        note(text)
    return code or int(bool(ends))


def start(run, said, jobs):
    """Start one run of so many at a time; what it says goes to the file said."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    environment = {"OMP_NUM_THREADS": str(max(1, cores // jobs))} | os.environ
    with open(said, "wb") as file:
        streams = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}
        return subprocess.Popen([sys.executable, *words(*run)], cwd=ROOT, env=environment, **streams)


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
    """The command line of a run."""
    return shlex.join(["python", *words(script, options)])


def words(script, options):
    """What a run gives python: options is a dict of values, of lists, and of True for a bare flag."""
    given = [script]
    for name, value in options.items():
        given.append(f"--{name}")
        given += [] if value is True else map(str, value if isinstance(value, list) else [value])
    return given
