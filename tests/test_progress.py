"""What a long run shows: a bar with its name on a terminal, a line now and then elsewhere."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from lib import progress

ROOT = Path(__file__).resolve().parent.parent


def test_without_a_terminal_a_line_tells_that_a_run_starts_and_then_one_each_minute(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    steps = progress.Progress("d 25, seed 3", range(10, 14), total=20, unit="step")
    for step in steps:
        steps.show(step, "deviation {:.2f} V", step / 20)
        now[0] += 40
    assert capsys.readouterr().err.splitlines() == [
        "d 25, seed 3: starts at step 10, of at most 20",
        "d 25, seed 3: step 12, deviation 0.60 V",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("script", ["ntk_normal", "advtrain"])
def test_a_terminal_shows_a_bar_with_the_runs_name_and_no_estimate_of_the_end(tmp_path, script):
    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 160))
    options = "--width 20 --size 5 --T 2 --seed 7 --C0 2".split()
    command = [sys.executable, ROOT / f"{script}.py", *options, "--out", tmp_path / f"{script}.csv"]
    assert subprocess.run(command, stderr=terminal, stdout=subprocess.DEVNULL, check=False).returncode == 0
    os.close(terminal)
    shown = os.read(ours, 10**6).decode()
    assert "d 25, width 20, C0 2, " in shown
    assert "seed 7" in shown
    assert "deviation" in shown
    assert {"ntk_normal": "396 steps", "advtrain": "2 epochs"}[script] in shown
    assert "starts" not in shown
