"""The scripts as a stranger first meets them: from the shell, in another folder."""

import csv
import os
import subprocess
import sys

import pytest

from lib import mnist

ROOT = mnist.DATA_DIR.parent


def shell(folder, name, *arguments):
    command = [sys.executable, str(ROOT / name), *map(str, arguments)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("ntk_normal.py", "--C0 2 4", "smallest flip"),
        ("advtrain.py", "--atk_iters 2", "robust test"),
        ("advtraingap.py", "--atk_iters 2 --gap 0.3 --bias --box", "robust test"),
    ],
)
def test_a_first_run_writes_its_rows_and_tells_what_came_out(name, options, told, tmp_path):
    ended = shell(tmp_path, name, *"--width 20 --size 5 --T 2 --out rows.csv".split(), *options.split())
    assert (ended.returncode, ended.stderr) == (0, "")
    with open(tmp_path / "rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (2 if name == "ntk_normal.py" else 1)
    assert ended.stdout.count(told) == len(rows) and ended.stdout.startswith("digits 0/1, d 25, width 20")
    assert all(0 < float(row["max_deviation"]) <= float(row["V"]) and row["device"] == "cpu" for row in rows)


@pytest.mark.slow
def test_mistakes_end_with_one_line_and_an_exit_code(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for arguments, code, reason in (
        (["--width", "0"], 2, "error: argument --width: must be"),
        (["--out", "other.csv"], 1, "error: other.csv has other columns"),
    ):
        ended = shell(tmp_path, "advtrain.py", *arguments)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1)
        assert ended.stderr.startswith(f"advtrain.py: {reason}")


@pytest.mark.slow
def test_the_benchmark_is_a_script_of_its_own(tmp_path):
    ended = shell(tmp_path, "benchmarks/speed.py", "--help")
    assert (ended.returncode, ended.stderr) == (0, "") and "python benchmarks/speed.py" in ended.stdout
