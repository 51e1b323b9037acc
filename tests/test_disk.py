"""Full disks and several processes at once: one line, and nothing that was written is lost."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import advtrain
import ntk_normal
from lib.results import append_row, read_rows

ROOT = Path(__file__).resolve().parent.parent
TINY = "--width 20 --size 5 --T 2".split()
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def small_disk(tmp_path):
    """A function of options such as size=64k: a folder on a file system of its own. Skips where none can be mounted."""
    mounted = []

    def mount(options):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            failed = subprocess.run(command, capture_output=True).returncode
        except OSError:
            failed = True
        if failed:
            pytest.skip("no file system can be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    """Leave not a byte free on the disk of the folder."""
    with open(folder / "rest", "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass


@pytest.mark.parametrize(
    ("option", "full", "code"),
    [
        ("--out", "of bytes", 1),
        ("--out", "of files", 1),
        ("--save-dir", "of bytes", 1),
        ("--save-dir", "of files", 1),
        ("--checkpoint-dir", "of bytes", 0),  # a run without checkpoints is better than none
        ("--checkpoint-dir", "of files", 1),
    ],
)
def test_a_full_disk_is_one_line(small_disk, tmp_path, script, option, full, code):
    disk = small_disk("size=64k" if full == "of bytes" else "nr_inodes=2")
    (disk / "the last").touch()
    if full == "of bytes":
        fill(disk)
    place = disk / "new" / "rows.csv" if option == "--out" else disk / "new"
    others = [] if option == "--out" else ["--out", tmp_path / "rows.csv"]
    checkpoints = ["--checkpoint-seconds", 1e-6] if option == "--checkpoint-dir" else []
    ended = script("ntk_normal.py", *TINY, "--C0", 2, option, place, *others, *checkpoints)
    assert ended.code == code
    assert "Traceback" not in ended.stderr
    assert "cannot write" in ended.stderr.splitlines()[-1]
    assert (tmp_path / "rows.csv").exists() == (code == 0)


def test_figures_that_do_not_fit_leave_no_half_ones(small_disk, tmp_path, script):
    assert script("ntk_normal.py", *TINY, "--C0", 2, "--out", tmp_path / "ntk_normal.csv").code == 0
    disk = small_disk("size=8k")
    ended = script("plot_figures.py", "--results", tmp_path, "--out", disk, "--figure", 2)
    assert ended.code == 1 and "cannot write" in ended.stderr.splitlines()[-1]
    assert list(disk.iterdir()) == []


@pytest.mark.slow
def test_of_two_processes_with_the_same_run_one_trains_and_the_other_waits(tmp_path):
    options = "--width 300 --size 10 --T 3 --atk_iters 10 --eps 0.1 --checkpoint-seconds 0.05".split()
    command = [sys.executable, ROOT / "advtrain.py", *options, "--out", tmp_path / "advtrain.csv"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(read_rows(tmp_path / "advtrain.csv", advtrain.COLUMNS)) == 1
    assert sum(stdout.startswith("skipped") for stdout, _ in outputs) == 1
    assert sum("starts at epoch 0" in stderr for _, stderr in outputs) == 1
    assert "warning" not in outputs[0][1] + outputs[1][1]
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.slow
def test_a_script_whose_reader_goes_away_writes_its_rows(tmp_path):
    out = tmp_path / "ntk_normal.csv"
    command = [sys.executable, ROOT / "ntk_normal.py", *TINY, "--C0", "1", "2", "3", "--out", out]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.close()
        stderr = process.stderr.read()
    assert process.returncode == 0
    assert len(read_rows(out, ntk_normal.COLUMNS)) == 3
    assert "starts" in stderr and stderr.count("\n") == 1


def test_rows_are_never_taken_for_torn_beside_writers(tmp_path):
    path, columns = tmp_path / "rows.csv", ["seed", "value"]
    append_row(path, columns, {"seed": -1, "value": 0})

    def write(seed):
        for value in range(10):
            append_row(path, columns, {"seed": seed, "value": value})

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(32)]
    for writer in writers:
        writer.start()
    counts = []
    while any(writer.is_alive() for writer in writers):
        counts.append(len(read_rows(path, columns)))
    assert counts == sorted(counts)
    assert len(read_rows(path, columns)) == 321
