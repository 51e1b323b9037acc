"""What a long run shows where there is no terminal: a line when it starts, and then one a minute, or a notebook's bar."""

import os
import sys

from lib import progress


def test_without_a_terminal_a_line_tells_that_a_run_starts_and_then_one_each_minute(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    steps, asked = progress.Progress("d 25, seed 3", range(10, 14), unit="step"), []
    for step in steps:
        steps.show(step, lambda step=step: asked.append(step) or f"deviation {step / 20:.2f} V")
        now[0] += 40
    assert capsys.readouterr().err.splitlines() == [
        "d 25, seed 3: starts at step 10",
        "d 25, seed 3: step 12, deviation 0.60 V",
    ]
    assert asked == [12]  # only what is shown is measured


def test_a_notebook_shows_how_far_training_is(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", None)
    steps = progress.Progress(None, range(3), unit="step")
    for step in steps:
        steps.show(step, lambda: "deviation 0.1 V")
    shown, warned = capsys.readouterr()
    assert "training: step 3" in shown and not warned


def test_a_reader_that_goes_away_ends_no_run(monkeypatch):
    with open(os.devnull) as unwritable:
        monkeypatch.setattr(sys, "stdout", unwritable)
        progress.say("a row")
        monkeypatch.undo()
