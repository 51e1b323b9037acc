"""What the scripts beside this one share: how a grid of runs becomes command lines, and how they are run here."""

import argparse
import inspect
import os
import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLAGS = {
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
        parser.add_argument(f"--{choice}", action="store_true", help=FLAGS[choice])
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
    from lib import signals
    from lib.progress import note

    from tqdm import tqdm

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    environment = {"OMP_NUM_THREADS": str(max(1, cores // jobs))} | os.environ
    runs, running, failed, ending = list(runs), set(), [], threading.Event()

    def run_one(run):
        if ending.is_set():
            return
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen([sys.executable, *words(*run)], cwd=ROOT, env=environment, **streams) as process:
            running.add(process)
            if ending.is_set():  # since the look above
                end(process)
            said = process.communicate()[0].decode(errors="replace")
            running.remove(process)
        if process.returncode and not ending.is_set():
            reason = said.rstrip().rpartition("\n")[2]
            failed.append(f"{line(*run)}\n  failed with exit code {process.returncode}: {reason}")

    def end(process):
        # A terminal's Ctrl-C has reached the runs; a second SIGINT would end them unsaved, on Windows SIGTERM, too.
        if os.name != "nt":
            process.terminate()

    bar = tqdm(total=len(runs), unit="run", mininterval=1 if sys.stderr.isatty() else 60)
    code = 0
    try:
        with signals.listening(), bar, ThreadPoolExecutor(jobs) as pool:
            try:
                for ended in as_completed([pool.submit(run_one, run) for run in runs]):
                    ended.result()
                    bar.update()
            finally:
                ending.set()
                for process in list(running):
                    end(process)
    except signals.Stopped as stopped:
        name, code = signal.Signals(stopped.signum).name, 128 + stopped.signum
        done = f"{bar.n} of {len(runs)} runs done"
        failed.append(f"interrupted by {name}: {done}; the same command goes on from the states that the runs saved")
    for text in failed:
        note(text)
    return code or int(bool(failed))


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
