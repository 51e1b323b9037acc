"""advtraingap.py is advtrain.py but for V."""

import math

import pytest

import advtrain
import advtraingap
from lib.results import read_rows


def test_the_gap_is_the_radius_itself(monkeypatch, script):
    radii = []
    monkeypatch.setattr(advtraingap, "train_and_attack", lambda name, args, C0, V: radii.append((name, C0, V)))
    for options in ("--width 400 --gap 0.3", "--width 400"):
        assert script("advtraingap.py", *options.split()).code == 0
    assert radii == [("advtraingap", 0.3 * 20, 0.3), ("advtraingap", 0.1 * 20, 0.1)]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [[], ["--bias", "--box"]])
def test_with_the_same_ball_the_rows_are_advtrains(tmp_path, script, protocol):
    options = ["--width", 16, "--size", 5, "--T", 2, "--atk_iters", 2, *protocol]
    for name, radius in (("advtrain", ["--C0", 2]), ("advtraingap", ["--gap", 0.5])):
        assert script(f"{name}.py", *options, *radius, "--out", tmp_path / f"{name}.csv").code == 0
    (row,), (other,) = (read_rows(tmp_path / f"{name}.csv", advtrain.COLUMNS) for name in ("advtrain", "advtraingap"))
    assert math.isclose(float(row["max_deviation"]), 0.5, rel_tol=1e-4)
    assert all(row[column] == other[column] for column in row if column != "seconds")
