"""What the three training scripts share: their rows, their options, and errors that are one line."""

import argparse
import io
import os
import re
import signal
import subprocess
import sys

import advtrain
import common
import ntk_normal
from lib import ROOT, RunError, command_line
from lib.results import code_version, read_rows
from lib.signals import Stopped

import pytest
import torch

TINY = {
    "ntk_normal.py": "--width 20 --size 5 --T 2 --C0 2 4".split(),
    "advtrain.py": "--width 20 --size 5 --T 2 --atk_iters 2".split(),
    "advtraingap.py": "--width 20 --size 5 --T 2 --atk_iters 2 --gap 0.3 --bias --box".split(),
}
COLUMNS = {"ntk_normal.py": ntk_normal.COLUMNS, "advtrain.py": advtrain.COLUMNS, "advtraingap.py": advtrain.COLUMNS}


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_script_writes_its_rows_once_and_the_same_each_time(name, tmp_path, script):
    out, saved = tmp_path / "new" / "rows.csv", tmp_path / "saved"
    first = script(name, *TINY[name], "--out", out, "--save-dir", saved)
    assert first.code == 0 and "d 25, width 20" in first.stderr and "warning" not in first.stderr
    written = read_rows(out, COLUMNS[name])
    assert out.read_text().splitlines()[0] == ",".join(COLUMNS[name])
    assert len(written) == (2 if name == "ntk_normal.py" else 1)
    for row in written:
        assert 0 < float(row["max_deviation"]) <= float(row["V"])
        assert float(row["V"]) == pytest.approx(float(row["C0"]) / 20**0.5)
        assert (row["d"], row["device"], row["torch"]) == ("25", "cpu", torch.__version__)
        assert row["code"] == code_version()

    again = script(name, *TINY[name], "--out", out)
    assert again.code == 0 and re.sub("skipped: it has its row already.*\n", "", again.stdout) == first.stdout
    assert again.stdout.count("skipped") == len(written)
    assert read_rows(out, COLUMNS[name]) == written

    forced = script(name, *TINY[name], "--out", out, "--force")
    assert forced.code == 0 and len(read_rows(out, COLUMNS[name])) == 2 * len(written)
    for row, repeated in zip(written, read_rows(out, COLUMNS[name])[len(written) :]):
        assert all(repeated[column] == row[column] for column in row if not column.startswith("seconds"))

    assert len(list(saved.iterdir())) == len(written)
    for path in saved.iterdir():
        net, config = common.load_network(path)
        (row,) = [row for row in written if float(row["C0"]) == config["C0"]]
        assert (net.d, net.width, net.bias) == (25, 20, name == "advtraingap.py")
        assert net.deviation().item() == float(row["max_deviation"])
        data = common.load_digits(0, 1, 5, normalize=name != "ntk_normal.py")
        error = 1 - common.accuracy(net, data.test_x, data.test_y)
        assert error == pytest.approx(float(row.get("test_error") or 1 - float(row["test_acc"])))


BAD_ARGUMENTS = {
    "ntk_normal.py": "width many,width 1e10,bs 0,T 0,size 29,num1 1,num1 -1,C0 10 0,lr nan,device cuda,device tpu,eps 1,"
    "C0 10 --C0 20,seed 1 --seed=1",
    "advtrain.py": "atk_iters 0,eps 0,C0 -3,patience -1,seed -1",
    "advtraingap.py": "gap 0,eps x,out mine/digits,out mine/rows.csv/,log any.csv --out any.csv",
}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name in BAD_ARGUMENTS for argument in BAD_ARGUMENTS[name].split(",")]
)
def test_bad_arguments_are_refused(name, argument, tmp_path, script):
    option, *values = argument.split()
    out = [] if "out" in argument else ["--out", tmp_path / "rows.csv"]
    code, stdout, stderr = script(name, f"--{option}", *values, *out)
    twice = argument.count(option) > 1
    assert (code, stdout, stderr.count("\n")) == (1 if twice else 2, "", 1), stderr
    assert f"--{option}" in stderr and not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", TINY)
def test_bad_files_are_refused_before_training(name, tmp_path, script):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    getattr(os, "mkfifo", os.mkdir)(tmp_path / "pipe.csv")  # Windows has no such pipes
    (tmp_path / "torn.csv").write_text(torn := ",".join(COLUMNS[name]) + "\nMNIST,0,1")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\n")
    for out, reason, *others in [
        ("folder.csv", "is no file"),
        ("pipe.csv", "is no file"),
        ("ntk_normal-2.csv" if name != "ntk_normal.py" else "advtraingap.csv", "is for the rows of"),
        ("file/rows.csv", "cannot write"),
        ("torn.csv", "line 2"),
        ("binary.csv", "cannot read"),
        ("good.csv", "cannot write", "--save-dir", tmp_path / "file"),
    ]:
        code, stdout, stderr = script(name, "--T", 10**6, "--out", tmp_path / out, *others)
        assert (code, stdout, stderr.count("\n")) == (1, "", 1), (out, stderr)
        assert reason in stderr, (out, stderr)
    assert (tmp_path / "torn.csv").read_text() == torn


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "last_line"),
    [
        ("advtrain.py --width 20 --size 5 --T 2 --atk_iters 2 --out rows.csv", 0, "d 25, width 20"),
        ("plot_figures.py --results none --figure 3", 1, "plot_figures.py: error: no rows for figure 3 in none"),
        ("benchmarks/speed.py --help", 0, ""),
        ("advtraingap.py --help", 0, ""),
    ],
)
def test_the_scripts_run_as_processes_in_another_folder(tmp_path, command, code, last_line):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    optimize = {"PYTHONOPTIMIZE": "2"} if "gap" in command else {}  # there are no docstrings then
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""} | optimize
    script, *options = command.split()
    words = [sys.executable, ROOT / script, *options]
    ended = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == code and bool(ended.stdout) == (code == 0) and "Traceback" not in ended.stderr
    assert f"\n{ended.stderr}".splitlines()[-1].startswith(last_line)
    assert (tmp_path / "rows.csv").exists() == ("rows.csv" in command)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("ntk_normal.py", ["--lr", 3e38, "--C0", 3e38], "diverged"),
        ("advtraingap.py", ["--lr", 3e38, "--gap", 3e38], "diverged"),
        ("ntk_normal.py", ["--lr", 1e10, "--C0", 1, 1e9], "the first step leaves the ball"),
    ],
)
def test_training_that_comes_to_nothing_ends_with_an_error_and_no_row(tmp_path, script, name, options, reason):
    out = tmp_path / "rows.csv"
    ended = script(name, "--width", 20, "--size", 5, *options, "--out", out)
    assert ended.code == 1 and reason in ended.stderr.splitlines()[-1] and not out.exists()


@pytest.mark.parametrize("name", TINY)
def test_help_starts_with_a_command_that_runs(name, script, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    ended = script(name, "--help")
    command = ended.stdout.splitlines()[2].split()
    assert ended.code == 0 and command[:2] == ["python", name]
    assert script(*command[1:], "--help").code == 0
    explained = {line.split()[0] for line in ended.stdout.splitlines() if line.startswith("  --")}
    assert {option for option in command if option.startswith("--")} <= explained


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (RunError("no such thing"), 1, "error: no such thing"),
        (MemoryError("Unable to\nallocate"), 1, "error: out of memory (Unable to allocate)"),
        (RuntimeError("CUDA out of memory"), 1, "error: out of memory (CUDA out of memory)"),
        (Stopped(signal.SIGINT), 130, "interrupted by SIGINT; rows written before are kept"),
    ],
)
def test_errors_that_a_user_can_help_are_one_line(monkeypatch, script, error, code, reason):
    monkeypatch.setattr(ntk_normal, "main", lambda: fail(error))
    assert script("ntk_normal.py") == (code, "", f"ntk_normal.py: {reason}\n")


@pytest.mark.parametrize("message", ["a mistake in the code", "CUDA error: an illegal memory access was encountered"])
def test_other_errors_keep_their_traceback(message):
    with pytest.raises(RuntimeError, match=message):
        command_line.run(lambda: fail(RuntimeError(message)), "any.py")


def test_a_run_takes_whole_float32_products(script, tmp_path):
    torch.set_float32_matmul_precision("medium")
    options = "--size 5 --width 20 --T 1 --seed 7 --out".split()
    assert script("ntk_normal.py", *options, tmp_path / "rows.csv").code == 0
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.initial_seed() == 2**32 + 7  # of what an attack of the user's own may draw


def test_characters_that_the_terminal_lacks_do_not_end_a_run(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    command_line.run(lambda: print("größer.csv"), "any.py")
    assert terminal.buffer.getvalue() == b"gr\\xf6\\xdfer.csv\n"


def test_numbers_are_read_as_people_write_them():
    whole = command_line.whole_number(1, 10**6)
    assert [whole(text) for text in ("1", "1e5", "1000000", "7.0")] == [1, 100000, 1000000, 7]
    assert type(whole("1e5")) is int
    assert command_line.positive("1e-3") == 0.001
    for parse, texts in ((whole, "0 1000001 1.5 x nan inf"), (command_line.positive, "0 -1 1e-46 x nan inf")):
        for text in texts.split():
            with pytest.raises(argparse.ArgumentTypeError, match="must be"):
                parse(text)
