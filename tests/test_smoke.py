"""The scripts as a stranger first meets them: from the shell, in another folder."""

import csv
import os
import subprocess
import sys

import pytest

from lib import mnist

COMMANDS = {
    "ntk_normal": "ntk_normal.py --width 20 --size 5 --T 2 --C0 2 4 --out ntk_normal.csv",
    "advtrain": "advtrain.py --width 20 --size 5 --T 2 --atk_iters 2 --out advtrain.csv",
    "advtraingap": "advtraingap.py --width 20 --size 5 --T 2 --atk_iters 2 --gap 0.3 --bias --box --out advtraingap.csv",
    "a bad option": "advtrain.py --width 0",
    "another file": "advtrain.py --out other.csv",
    "benchmark": "benchmarks/speed.py --help",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    return folder


@pytest.fixture(scope="module")
def ended(folder):
    """For each of the commands its exit code, stdout and stderr. They run side by side: most of their time is imports."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = {}
    for name, command in COMMANDS.items():
        script, *arguments = command.split()
        command = [sys.executable, mnist.DATA_DIR.parent / script, *arguments]
        started[name] = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
    outputs = {name: process.communicate() for name, process in started.items()}
    return {name: (process.returncode, *outputs[name]) for name, process in started.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told", "count"),
    [("ntk_normal", "smallest flip", 2), ("advtrain", "robust test", 1), ("advtraingap", "robust test", 1)],
)
def test_a_first_run_writes_its_rows_and_tells_what_came_out(ended, folder, name, told, count):
    code, stdout, stderr = ended[name]
    assert code == 0 and "starts" in stderr and stderr.count("\n") == 1
    assert stdout.startswith("digits 0/1, d 25, width 20") and stdout.count(told) == count
    with open(folder / f"{name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    assert all(0 < float(row["max_deviation"]) <= float(row["V"]) and row["device"] == "cpu" for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "code", "reason"),
    [
        ("a bad option", 2, "error: argument --width: must be from 1"),
        ("another file", 1, "error: other.csv has other columns"),
    ],
)
def test_a_mistake_ends_with_one_line_and_an_exit_code(ended, mistake, code, reason):
    code_then, stdout, stderr = ended[mistake]
    assert (code_then, stdout, stderr.count("\n")) == (code, "", 1)
    assert stderr.startswith(f"advtrain.py: {reason}")


@pytest.mark.slow
def test_the_benchmark_is_a_script_of_its_own(ended):
    code, stdout, stderr = ended["benchmark"]
    assert (code, stderr) == (0, "") and "python benchmarks/speed.py" in stdout
