"""The grids in sweeps/: their lines, their options, and the job array that runs them."""

import importlib
import inspect
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from lib import RunError
from sweeps import figure2, figure3, figure4_left, figure4_right, lines, theorem

import pytest

SWEEPS = Path(lines.__file__).parent
GRIDS = {"figure2": figure2, "figure3": figure3, "figure4_left": figure4_left, "figure4_right": figure4_right}
GRIDS["theorem"] = theorem
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
posix = pytest.mark.skipif(os.name == "nt", reason="needs bash, or signals between processes, which Windows lacks")


@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("figure2 --laptop", 105),
        ("figure2 --quick", 7),
        ("figure3", 35),
        ("figure4_left --laptop --authors", 180),
        ("figure4_right", 700),
        ("theorem", 27),
    ],
)
def test_a_grid_is_printed_as_a_script_and_imported_as_a_module(command, count):
    name, *choice = command.split()
    printed = subprocess.run([sys.executable, SWEEPS / f"{name}.py", *choice], check=True, **PIPES).stdout.splitlines()
    assert len(printed) == len(set(printed)) == count
    flags = {word.removeprefix("--"): True for word in choice}
    assert printed == [lines.line(*run) for run in GRIDS[name].runs(**flags)]


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("name", GRIDS)
def test_the_scripts_take_every_option_of_the_sweeps(tmp_path, monkeypatch, name, every):
    monkeypatch.chdir(tmp_path)
    flags = dict.fromkeys(inspect.signature(GRIDS[name].runs).parameters, every)
    _, *argv = shlex.split(lines.line(*[*GRIDS[name].runs(**flags)][-1]))
    monkeypatch.setattr(sys, "argv", [*argv, "--data-dir", "none"])
    # Once all options are understood, the script looks for the data.
    with pytest.raises(RunError, match="MNIST"):
        importlib.import_module(argv[0].removesuffix(".py")).main()


@posix
def test_lines_may_go_to_head():
    with subprocess.Popen([sys.executable, SWEEPS / "figure4_left.py"], **PIPES) as process:
        assert process.stdout.readline().startswith("python advtrain.py ")
        process.stdout.close()  # 2,400 lines are more than a pipe holds
        assert process.stderr.read() == ""


# Makes a file --out, then takes so many --seconds; fails after 0.1.
MADE_UP = """
import signal, sys, time
def save(signum, _):
    time.sleep(0.3)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
open(sys.argv[2], "w").close()
time.sleep(float(sys.argv[4]))
if sys.argv[4] == "0.1": sys.exit("run.py: error: no such thing")
"""


def made_up_runs(folder, *seconds):
    (folder / "run.py").write_text(MADE_UP)
    return [(str(folder / "run.py"), {"out": f"{folder}/{i}.out", "seconds": some}) for i, some in enumerate(seconds)]


def test_jobs_run_a_grid_here_and_name_what_failed(tmp_path, capsys):
    runs = made_up_runs(tmp_path, 0.1, 0, 0)
    assert lines.run_each(runs, jobs=2) == 1
    assert len([*tmp_path.glob("*.out")]) == 3
    *_, bar, command, reason = capsys.readouterr().err.splitlines()
    assert "3/3" in bar and command == lines.line(*runs[0])
    assert "exit code 1: run.py: error: no such thing" in reason


@pytest.mark.slow
@posix
def test_sigterm_to_a_sweep_with_jobs_is_passed_on_to_the_runs(tmp_path):
    long = {"width": 300, "size": 10, "C0": 900, "checkpoint-seconds": 0.1, "out": str(tmp_path / "rows.csv")}
    runs = [("ntk_normal.py", {"seed": seed, **long}) for seed in range(3)]
    code = f"import sys; from sweeps import lines; sys.exit(lines.run_each({runs}, jobs=2))"
    no_gpu = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    sweep = subprocess.Popen([sys.executable, "-c", code], cwd=lines.ROOT, env=no_gpu, **PIPES)
    while len(list(tmp_path.glob("checkpoints/*.checkpoint"))) < 2 and sweep.poll() is None:
        time.sleep(0.1)
    sweep.send_signal(signal.SIGTERM)
    last = sweep.communicate(timeout=60)[1].splitlines()[-1]
    assert sweep.returncode == 143
    assert last.startswith("interrupted by SIGTERM: 0 of 3 runs done; the same command goes on")
    assert len(list(tmp_path.glob("checkpoints/*.checkpoint"))) == 2 and not (tmp_path / "rows.csv").exists()


def task_of_a_job_array(tmp_path, task, skip="0", **more):
    """The process of sweeps/slurm.sbatch as the task of grid.py, with a scontrol that writes its arguments to a file."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/requests\n')
    scontrol.chmod(0o755)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": task, "SKIP": skip, "PATH": path}
    return subprocess.Popen(["bash", SWEEPS / "slurm.sbatch", tmp_path / "grid.py"], env=environment, **PIPES, **more)


@posix
@pytest.mark.parametrize(
    ("task", "skip", "output", "code"),
    [("1", "0", "one", 0), ("2", "0", "two", 0), ("1", "1", "two", 0), ("2", "1", "", 1)],
)
def test_each_task_of_a_job_array_runs_its_line(tmp_path, task, skip, output, code):
    (tmp_path / "grid.py").write_text("print('echo one')\nprint('echo two')\n")
    process = task_of_a_job_array(tmp_path, task, skip)
    assert process.communicate()[0].splitlines()[1:] == output.split() and process.returncode == code
    assert not (tmp_path / "requests").exists()


# A run that SIGTERM asks to end takes a while to save its state.
RUN = """
import signal, sys, time

def save(signum, _):
    signal.signal(signum, signal.SIG_IGN)
    time.sleep(0.5)
    print("saved", flush=True)
    sys.exit(int(sys.argv[1]))

signal.signal(signal.SIGTERM, save)
print("starts", flush=True)
time.sleep(60)
"""


@posix
@pytest.mark.parametrize(
    ("name", "everyone", "code", "requests"),
    [
        ("SIGUSR1", False, 143, "requeue 7_1\n"),  # the time limit is near
        ("SIGUSR1", False, 0, ""),  # and the run ended in time
        ("SIGUSR1", False, 1, ""),
        ("SIGTERM", False, 143, ""),  # scancel, or preemption, after which Slurm itself requeues
        ("SIGTERM", True, 143, ""),  # which the run hears, too, where Slurm tracks processes otherwise
    ],
)
def test_a_task_goes_back_into_the_queue_only_near_its_time_limit(tmp_path, name, everyone, code, requests):
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "grid.py").write_text(f"print('python {tmp_path}/run.py {code}')\n")
    (tmp_path / "requests").touch()
    process = task_of_a_job_array(tmp_path, "1", start_new_session=True)
    assert process.stdout.readline().startswith("python ") and process.stdout.readline() == "starts\n"
    (os.killpg if everyone else os.kill)(process.pid, getattr(signal, name))
    output, errors = process.communicate(timeout=30)
    assert (output, errors, process.returncode) == ("saved\n", "", code)
    assert (tmp_path / "requests").read_text() == requests
