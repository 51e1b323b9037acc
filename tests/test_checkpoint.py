"""Checkpoints that survive kills and refuse what does not fit, and the clock that goes on with them."""

import errno
import itertools
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import advtrain
import common
import ntk_normal
from lib import RunError, checkpoint, results, signals
from lib.checkpoint import Checkpoint, Clock
from lib.results import read_rows

import pytest
import torch


@pytest.fixture
def now(monkeypatch):
    """A clock that stands until a test sets its time, now.time."""
    now = SimpleNamespace(time=100.0)
    stopped = SimpleNamespace(perf_counter=lambda: now.time, monotonic=lambda: now.time)
    monkeypatch.setattr(checkpoint, "time", stopped)
    return now


def test_the_clock_counts_earlier_seconds(now):
    clock = Clock(7.0)
    now.time += 2
    assert clock.seconds() == 9


def a_checkpoint(folder, seed=0, seconds=0.0):
    return Checkpoint(folder, "any", {"seed": seed}, seconds)


def a_run(columns=2, **others):
    return SimpleNamespace(W=torch.zeros(3, columns), radii=[0.3], step=0, **others)


def save(folder, **state):
    """The file of a run with the state, saved at once."""
    saving = a_checkpoint(folder)
    saving.save_if_due(SimpleNamespace(**vars(a_run()) | {"W": torch.ones(3, 2), "step": 7} | state), Clock(5.0))
    return saving.path


def test_a_checkpoint_is_due_so_many_seconds_after_the_last(now, tmp_path):
    saving, written = a_checkpoint(tmp_path, seconds=10), []
    for _ in range(5):
        saving.save_if_due(a_run(), Clock())
        written.append(saving.path.exists())
        saving.path.unlink(missing_ok=True)
        now.time += 5
    assert written == [False, False, True, False, True]


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path, capsys):
    run = a_run()
    W = run.W
    assert a_checkpoint(tmp_path / "new").restore(run, ()) == 0 and run.step == 0
    save(tmp_path / "new", radii=[0.2, 0.3])
    assert a_checkpoint(tmp_path / "new").restore(run, (), lambda saved: 0.2 in saved["radii"]) >= 5
    assert (run.step, run.radii) == (7, [0.2, 0.3])
    assert run.W is W and torch.equal(W, torch.ones(3, 2))  # in place
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1 and "going on" in stderr


def test_a_damaged_or_foreign_checkpoint_is_set_aside(tmp_path, capsys):
    path = save(tmp_path)
    whole = path.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), len(whole) // 50)]
    foreign = [
        (whole, {"seed": 1}, a_run(), {}),
        (whole, {}, a_run(columns=3), {}),
        (whole, {}, a_run(batch=0), {}),
        (whole, {}, a_run(), {"data": (torch.ones(1),)}),
        (whole, {}, a_run(), {"fits": lambda saved: 0.1 in saved["radii"]}),
    ]
    for content, of, run, options in [(damaged, {}, a_run(), {}) for damaged in (whole[:-40], b"", *flipped)] + foreign:
        path = a_checkpoint(tmp_path, **of).path
        path.write_bytes(content)
        assert a_checkpoint(tmp_path, **of).restore(run, **{"data": ()} | options) == 0
        assert not run.W.any() and run.step == 0
        assert not path.exists() and path.with_suffix(".aside").read_bytes() == content
        warning = capsys.readouterr().err
        assert warning.count("\n") == 1 and "warning" in warning and "starts anew" in warning


def test_a_checkpoint_of_another_PyTorch_is_set_aside(tmp_path, monkeypatch):
    path = save(tmp_path)
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert a_checkpoint(tmp_path).restore(a_run(), ()) == 0 and not path.exists()


@pytest.mark.parametrize("error", [OSError("no space"), RunError("cannot write")])
def test_a_run_goes_on_where_its_checkpoint_cannot_be_written(tmp_path, monkeypatch, capsys, error):
    def write_whole(*_):
        raise error

    monkeypatch.setattr(checkpoint, "write_whole", write_whole)
    a_checkpoint(tmp_path).save_if_due(a_run(), Clock())
    assert "the run goes on without a new checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ntk_normal", "advtrain"])
def test_a_row_counts_the_seconds_before_a_kill(name, tmp_path, script, monkeypatch):
    restore = Checkpoint.restore
    monkeypatch.setattr(Checkpoint, "restore", lambda *state: restore(*state) + 1000)
    out, columns = tmp_path / "rows.csv", {"ntk_normal": ntk_normal, "advtrain": advtrain}[name].COLUMNS
    assert script(f"{name}.py", "--width", 20, "--size", 5, "--T", 2, "--C0", 2, "--out", out).code == 0
    (row,) = read_rows(out, columns)
    assert 1000 < float(row.get("seconds") or row["seconds_train"]) < 1100
    assert float(row.get("seconds_attack", 1)) > 0


def test_a_good_checkpoint_that_cannot_be_read_now_stays(tmp_path, monkeypatch):
    def read_bytes(_):
        raise OSError(errno.EIO, "Input/output error")

    path = save(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(RunError, match=r"cannot read the checkpoint .* just now: .*Input/output error"):
        a_checkpoint(tmp_path).restore(a_run(), ())
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ntk_normal.py", "--width 20 --size 5 --T 2 --C0 2 4"),  # leaves one ball, and not the other
        ("advtrain.py", "--width 20 --size 5 --T 2 --atk_iters 2"),
    ],
)
def test_a_row_that_cannot_be_written_costs_no_training(name, options, tmp_path, script, monkeypatch):
    columns = ntk_normal.COLUMNS if name == "ntk_normal.py" else advtrain.COLUMNS
    command = [name, *options.split(), "--checkpoint-dir", tmp_path / "kept", "--save-dir", tmp_path / "kept"]
    assert script(*command, "--out", tmp_path / "undisturbed.csv").code == 0
    networks = sorted((tmp_path / "kept").iterdir())
    append, lost = results.append_row, []

    def lose_each_row_once(path, columns, row):
        if row["C0"] not in lost:
            lost.append(row["C0"])
            raise RunError(f"cannot write {path}: no space")
        append(path, columns, row)

    monkeypatch.setattr(results, "append_row", lose_each_row_once)
    for attempt in range(len(networks)):
        failed = script(*command, "--out", tmp_path / "rows.csv")
        assert failed.code == 1 and "digits 0/1" in failed.stdout and "no space" in failed.stderr.splitlines()[-1]
        assert ("going on from" in failed.stderr) == (attempt > 0)
    assert "going on from" in script(*command, "--out", tmp_path / "rows.csv").stderr
    expected, found = (read_rows(tmp_path / out, columns) for out in ("undisturbed.csv", "rows.csv"))
    assert len(found) == len(networks) == (2 if name == "ntk_normal.py" else 1)
    for row, other in zip(expected, found):
        assert all(row[column] == other[column] for column in row if not column.startswith("seconds"))
    assert sorted((tmp_path / "kept").iterdir()) == networks  # and not the checkpoint of the same run


@pytest.mark.parametrize("name", ["ntk_normal", "advtrain"])
def test_a_run_does_not_go_on_with_other_data(name, tmp_path, script, monkeypatch):
    load, options = common.load_digits, "--width 20 --size 5 --T 2 --C0 2".split()

    def no_row(*_):
        raise RunError("no row")

    for change in (lambda x, y: (x, y), lambda x, y: (x, -y), lambda x, y: (x / 2, y)):

        def load_digits(*arguments, change=change, **others):
            digits = load(*arguments, **others)
            return common.Digits(*change(digits.train_x, digits.train_y), *digits[2:])

        monkeypatch.setattr(f"{name}.load_digits", load_digits)
        with monkeypatch.context() as failing:
            failing.setattr(results, "append_row", no_row)
            stderr = script(f"{name}.py", *options, "--out", tmp_path / "rows.csv").stderr
        assert ("does not fit this run" in stderr) == (change(1, 1) != (1, 1))


def test_the_file_of_a_run_that_ended_is_removed_with_what_kills_left(tmp_path):
    ended, other = (Checkpoint(tmp_path, "any", {"C0": C0}, seconds=0) for C0 in ("[12]", "1"))
    for saving in (ended, other):
        saving.save_if_due(a_run(), Clock())
    (tmp_path / f"{ended.path.name}.123.part").write_text("half")
    ended.remove()
    assert list(tmp_path.iterdir()) == [other.path]
    ended.remove()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns", "options"),
    [
        ("ntk_normal.py", ntk_normal.COLUMNS, "--width 60 --size 5 --T 3 --bs 1500 --lr 1 --C0 1 2 900"),
        ("advtrain.py", advtrain.COLUMNS, "--width 60 --size 5 --T 16 --bs 500 --atk_iters 3 --patience 9 --eps 0.4"),
        ("advtraingap.py", advtrain.COLUMNS, "--width 500 --size 5 --T 11 --atk_iters 3 --bs 2500 --bias --box"),
    ],
)
def test_a_run_ended_over_and_over_writes_the_same_rows(name, columns, options, tmp_path, script, monkeypatch):
    command = [name, *options.split(), "--checkpoint-seconds", 1e-9]
    assert script(*command, "--out", tmp_path / "whole.csv").code == 0
    steps, stops, save_if_due = itertools.count(1), 0, Checkpoint.save_if_due

    def end_now_and_then(*state):
        if next(steps) % 3 == 0:  # unsaved
            raise signals.Stopped(signal.SIGTERM)
        save_if_due(*state)

    monkeypatch.setattr(Checkpoint, "save_if_due", end_now_and_then)
    while (ended := script(*command, "--out", tmp_path / "rows.csv")).code == 143 and stops < 60:
        stops += 1
    assert ended.code == 0 and 5 <= stops < 60 and "warning" not in ended.stderr
    expected, found = (read_rows(tmp_path / out, columns) for out in ("whole.csv", "rows.csv"))
    for row, other in zip(expected, found, strict=True):
        assert all(row[column] == other[column] for column in row if not column.startswith("seconds"))
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_of_two_processes_at_the_same_run_one_waits(tmp_path, capsys):
    fcntl, released, saving = pytest.importorskip("fcntl"), [], a_checkpoint(tmp_path)
    other = os.open(saving.lock, os.O_CREAT | os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    threading.Timer(0.3, lambda: (released.append(True), os.close(other))).start()
    with saving.exclusive():
        assert released
    assert capsys.readouterr().err == "seed 0: waits for another process that is at this run\n"
