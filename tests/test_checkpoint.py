"""Checkpoints that survive kills and refuse what does not fit, and the clock that goes on with them."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import advtrain
import ntk_normal
from lib import checkpoint, mnist
from lib.checkpoint import Checkpoint, Clock
from lib.results import read_rows


@pytest.fixture
def now(monkeypatch):
    """A clock that stands until a test sets its time, now.time."""
    now = SimpleNamespace(time=100.0)
    stopped = SimpleNamespace(perf_counter=lambda: now.time, monotonic=lambda: now.time)
    monkeypatch.setattr(checkpoint, "time", stopped)
    return now


def test_the_clock_counts_earlier_seconds_and_no_pauses(now):
    clock = Clock(7.0)
    now.time += 2
    assert clock.seconds() == 9
    with clock.paused() as seconds:
        assert seconds == 9
        now.time += 50
    now.time += 3
    assert clock.seconds() == 12
    with clock.paused() as seconds:
        now.time += 50
    assert seconds == clock.seconds() == 12


def test_a_checkpoint_is_due_so_many_seconds_after_the_last(now, tmp_path):
    saving = Checkpoint(tmp_path, "any", {"seed": 0}, "cpu", seconds=10)
    assert not saving.is_due()
    now.time += 10
    assert saving.is_due()
    saving.save(torch.ones(2, 2))
    assert not saving.is_due()
    now.time += 10
    assert saving.is_due()


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path, capsys):
    def a_checkpoint():
        return Checkpoint(tmp_path / "new", "any", {"seed": 0}, "cpu", seconds=0)

    W = torch.zeros(3, 2)
    assert a_checkpoint().restore(W, [0.3]) == {} and a_checkpoint().is_due()
    a_checkpoint().save(torch.ones(3, 2), radii=[0.2, 0.3], step=7)
    assert a_checkpoint().restore(W, [0.3])["step"] == 7
    assert torch.equal(W, torch.ones(3, 2))
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1 and "going on" in stderr


def test_a_damaged_or_foreign_checkpoint_is_set_aside(tmp_path, capsys):
    def a_checkpoint(seed=0, device="cpu"):
        return Checkpoint(tmp_path, "any", {"seed": seed}, device, seconds=0)

    a_checkpoint().save(torch.ones(3, 2), radii=[0.2, 0.3], step=7)
    whole = a_checkpoint().path.read_bytes()
    ones = torch.ones(3, 2).numpy().tobytes()
    assert whole.count(ones) == 1
    for content, run, columns, radii in [
        (whole[:-40], {}, 2, [0.3]),
        (b"", {}, 2, [0.3]),
        (whole.replace(ones, b"\0" * len(ones)), {}, 2, [0.3]),
        (whole, {"seed": 1}, 2, [0.3]),
        (whole, {"device": "cuda"}, 2, [0.3]),
        (whole, {}, 3, [0.3]),
        (whole, {}, 2, [0.1, 0.3]),
    ]:
        path, W = a_checkpoint(**run).path, torch.zeros(3, columns)
        path.write_bytes(content)
        assert a_checkpoint(**run).restore(W, radii) == {} and not W.any()
        assert not path.exists() and path.with_suffix(".aside").read_bytes() == content
        warning = capsys.readouterr().err
        assert warning.count("\n") == 1 and "warning" in warning and "starts anew" in warning


def test_the_file_of_a_run_that_ended_is_removed_with_what_kills_left(tmp_path):
    ended, other = (Checkpoint(tmp_path, "any", {"C0": C0}, "cpu", seconds=0) for C0 in ("[12]", "1"))
    for saving in (ended, other):
        saving.save(torch.ones(2, 2))
    (tmp_path / f"{ended.path.name}.123.part").write_text("half")
    ended.remove()
    assert list(tmp_path.iterdir()) == [other.path]
    ended.remove()


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(tmp_path, script):
    (tmp_path / "checkpoints").write_text("no folder")
    out, options = tmp_path / "rows.csv", "--width 20 --size 5 --T 2 --C0 2 4 --checkpoint-seconds 0.01"
    ended = script("ntk_normal.py", *options.split(), "--out", out)
    assert ended.code == 0 and len(read_rows(out, ntk_normal.COLUMNS)) == 2 and "warning" in ended.stderr


# Runs a script to its end, then forks run after run of it and kills each after a random time. The digits are read once,
# for the kills to fall into the training.
KILLER = """
import functools, importlib, os, random, signal, sys, threading, time
import torch, tqdm, common
from lib import command_line
torch.set_num_threads(1)
# Processes that are forked share tqdm's own lock, and one that is killed may leave it locked.
tqdm.tqdm.set_lock(threading.RLock())
common.load_digits = functools.cache(common.load_digits)
undisturbed, killed, *command = sys.argv[1:]
main = importlib.import_module(command[0].removesuffix(".py")).main
sys.argv = [*command, "--out", undisturbed]
command_line.run(main, command[0])
sys.argv = [*command, "--out", killed]
random.seed(0)
kills = 0
while True:
    started = os.fork()
    if not started:
        try:
            command_line.run(main, command[0])
            os._exit(0)
        finally:
            os._exit(1)
    time.sleep(random.uniform(0.02, 0.1 + kills / 100))  # longer and longer, to get to the end
    os.kill(started, signal.SIGKILL)
    if not os.WIFSIGNALED(os.waitpid(started, 0)[1]):
        break
    kills += 1
print("kills:", kills)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns", "options"),
    [
        ("ntk_normal.py", ntk_normal.COLUMNS, "--width 60 --size 5 --T 200 --C0 2 900"),
        ("advtrain.py", advtrain.COLUMNS, "--width 60 --size 5 --T 40 --atk_iters 3 --patience 1000 --eps 0.1 --C0 4"),
        # One epoch, which takes longer than any of the first 15 processes has: it goes on within the attack and the SGD.
        (
            "advtraingap.py",
            advtrain.COLUMNS,
            "--width 500 --size 10 --T 1 --atk_iters 20 --bs 8 --bias --box --gap 0.3",
        ),
    ],
)
def test_a_run_killed_over_and_over_writes_the_same_row_in_the_end(name, columns, options, tmp_path):
    outs = tmp_path / "undisturbed.csv", tmp_path / "killed.csv"
    arguments = [name, *options.split(), "--device", "cpu", "--checkpoint-seconds", "0.02"]
    command = [sys.executable, "-c", KILLER, *outs, *arguments]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=mnist.DATA_DIR.parent, env=one_thread, capture_output=True, text=True)
    kills = int(ended.stdout.split("kills: ")[1])
    assert kills >= 15 and "going on from" in ended.stderr and "warning" not in ended.stderr, (kills, ended.stderr)
    expected, found = (read_rows(out, columns) for out in outs)
    assert len(found) == len(expected) == (2 if name == "ntk_normal.py" else 1)
    for row, other in zip(expected, found):
        assert all(row[column] == other[column] for column in row if not column.startswith("seconds"))
    assert list((tmp_path / "checkpoints").iterdir()) == []
