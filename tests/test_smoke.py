"""The scripts as a stranger first meets them: from the shell, in another folder."""

import os
import subprocess
import sys

import pytest

from lib import mnist

TINY = "--width 20 --size 5 --T 2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "printed", "complaint"),
    [
        (f"ntk_normal.py {TINY} --C0 2 4 --out new.csv", 0, ["digits 0/1, d 25, width 20", "smallest flip"], ""),
        (f"advtraingap.py {TINY} --atk_iters 2 --gap 0.3 --out new.csv", 0, ["d 25, width 20", "robust test"], ""),
        ("advtrain.py --width 0", 2, [], "advtrain.py: error: argument --width: must be a whole number from 1"),
        ("advtrain.py --out other.csv", 1, [], "advtrain.py: error: other.csv has other columns"),
        ("plot_figures.py --results none", 1, [], "plot_figures.py: error: none has no rows"),
        ("benchmarks/speed.py --help", 0, ["python benchmarks/speed.py"], ""),
    ],
)
def test_a_command_ends_with_its_rows_or_one_line(tmp_path, command, code, printed, complaint):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    script, *options = command.split()
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, mnist.DATA_DIR.parent / script, *options]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == code and all(text in ended.stdout for text in printed)
    assert "Traceback" not in ended.stderr and "warning" not in ended.stderr
    assert not complaint or ended.stderr.splitlines()[-1].startswith(complaint)
    assert (tmp_path / "new.csv").exists() == ("new.csv" in options)
