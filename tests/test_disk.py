"""Full disks and several processes at once: one line, and nothing that was written is lost."""

import contextlib
import os
import shutil
import subprocess
import sys

import advtrain
from lib import ROOT
from lib.results import read_rows

import pytest

TINY = "--width 20 --size 5 --T 2 --C0 2".split()


@pytest.fixture
def small_disk(tmp_path):
    """A function of options such as size=64k: a folder on a file system of its own. Skips where none can be mounted."""
    if sys.platform != "linux" or not shutil.which("mount"):
        pytest.skip("mounts a file system as Linux does")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], capture_output=True)


@pytest.mark.parametrize("full", ["of bytes", "of files"])
@pytest.mark.parametrize("option", ["--out", "--save-dir", "--checkpoint-dir"])
def test_a_full_disk_is_one_line(small_disk, tmp_path, script, option, full):
    disk, out = small_disk("size=64k" if full == "of bytes" else "nr_inodes=2"), tmp_path / "rows.csv"
    with contextlib.suppress(OSError), open(disk / "rest", "wb", buffering=0) as file:
        while full == "of bytes":
            file.write(bytes(4096))
    options = ["--out", disk / "new" / "rows.csv"] if option == "--out" else ["--out", out, option, disk / "new"]
    ended = script("ntk_normal.py", *TINY, *options)
    assert ended.code == 1 and "Traceback" not in ended.stderr
    assert "cannot write" in ended.stderr.splitlines()[-1] and not out.exists()


@pytest.mark.slow
def test_of_two_processes_with_the_same_run_one_trains_and_the_other_waits(tmp_path):
    options = "--width 300 --size 10 --T 3 --atk_iters 10 --eps 0.1 --checkpoint-seconds 0.05".split()
    command = [sys.executable, ROOT / "advtrain.py", *options, "--out", tmp_path / "advtrain.csv"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    both = [subprocess.Popen(command, **pipes, env=environment) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(read_rows(tmp_path / "advtrain.csv", advtrain.COLUMNS)) == 1
    assert sum(stdout.startswith("skipped") for stdout, _ in outputs) == 1
    assert "warning" not in outputs[0][1] + outputs[1][1]
    assert list((tmp_path / "checkpoints").iterdir()) == []
