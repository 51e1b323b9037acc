"""What the three training scripts share: their rows, their options, and errors that are one line."""

import argparse
import re
import sys

import pytest
import torch

import advtrain
import common
import ntk_normal
from lib import RunError, command_line
from lib.results import read_rows

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
    start = r"d 25, width 20, C0 .*: starts at \w+ 0, of at most \d+\n"
    assert first.code == 0 and re.fullmatch(start, first.stderr)
    written = read_rows(out, COLUMNS[name])
    assert out.read_text().splitlines()[0] == ",".join(COLUMNS[name])
    assert len(written) == (2 if name == "ntk_normal.py" else 1)
    for row in written:
        assert 0 < float(row["max_deviation"]) <= float(row["V"])
        assert float(row["V"]) == pytest.approx(float(row["C0"]) / 20**0.5)
        assert (row["d"], row["device"], row["torch"]) == ("25", "cpu", torch.__version__)

    again = script(name, *TINY[name], "--out", out)
    skipped = "skipped: it has its row already (--force runs it again)\n"
    assert again.code == 0 and again.stdout.replace(skipped, "") == first.stdout != again.stdout
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


BAD_ARGUMENTS = [
    ("ntk_normal.py", "--width 0"),
    ("ntk_normal.py", "--width many"),
    ("ntk_normal.py", "--width 10.5"),
    ("ntk_normal.py", "--width 1e10"),
    ("ntk_normal.py", "--bs 0"),
    ("ntk_normal.py", "--T 0"),
    ("ntk_normal.py", "--size 0"),
    ("ntk_normal.py", "--size 29"),
    ("ntk_normal.py", "--num1 1"),
    ("ntk_normal.py", "--num2 10"),
    ("ntk_normal.py", "--num1 -1"),
    ("ntk_normal.py", "--C0 10 0"),
    ("ntk_normal.py", "--lr -0.1"),
    ("ntk_normal.py", "--lr nan"),
    ("ntk_normal.py", "--lr inf"),
    ("ntk_normal.py", "--device cuda"),
    ("ntk_normal.py", "--device tpu"),
    ("ntk_normal.py", "--seed -1"),
    ("ntk_normal.py", "--eps 1"),
    ("advtrain.py", "--atk_iters 0"),
    ("advtrain.py", "--eps 0"),
    ("advtrain.py", "--C0 -3"),
    ("advtrain.py", "--patience -1"),
    ("advtraingap.py", "--gap 0"),
    ("advtraingap.py", "--eps x"),
    ("advtraingap.py", "--out mine/digits"),
    ("advtraingap.py", "--out mine/rows.csv/"),
]


@pytest.mark.parametrize(("name", "arguments"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused(name, arguments, tmp_path, script):
    code, stdout, stderr = script(name, *arguments.split(), "--out", tmp_path / "rows.csv")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1), stderr
    assert arguments.split()[0] in stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", TINY)
def test_bad_files_are_refused_before_training(name, tmp_path, script):
    (tmp_path / "file").write_text("")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "torn.csv").write_text(",".join(COLUMNS[name]) + "\n0,1,5")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\n")
    (tmp_path / "folder.csv").mkdir()
    for arguments, reason in [
        (["--out", tmp_path / "folder.csv"], "Is a directory"),
        (["--out", tmp_path / "file" / "rows.csv"], "cannot write"),
        (["--out", tmp_path / "other.csv"], "other columns"),
        (["--out", tmp_path / "torn.csv"], "line 2"),
        (["--out", tmp_path / "binary.csv"], "cannot read"),
        (["--out", tmp_path / "good.csv", "--save-dir", tmp_path / "file"], "cannot write"),
    ]:
        code, stdout, stderr = script(name, "--T", 10**6, *arguments)
        assert (code, stdout, stderr.count("\n")) == (1, "", 1), (arguments, stderr)
        assert reason in stderr, (arguments, stderr)
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"
    assert (tmp_path / "torn.csv").read_text() == ",".join(COLUMNS[name]) + "\n0,1,5"


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_damaged_data_is_refused_before_training(name, tmp_path, packed_mnist, script):
    (tmp_path / "file").write_text("")
    (packed_mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"not what it was")
    for folder in (packed_mnist, tmp_path / "file"):
        ended = script(name, "--T", 10**6, "--data-dir", folder, "--out", tmp_path / "rows.csv")
        assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended.stderr
        assert "MNIST" in ended.stderr


def test_divergence_ends_with_an_error_and_no_row(tmp_path, script):
    out = tmp_path / "rows.csv"
    for name, radius in (("ntk_normal.py", "--C0"), ("advtraingap.py", "--gap")):
        ended = script(name, "--width", 20, "--size", 5, "--lr", 3e38, radius, 3e38, "--out", out, "--force")
        starts, error = ended.stderr.splitlines()
        assert ended.code == 1 and "starts" in starts and "diverged" in error
        assert not out.exists()


def test_a_first_step_that_leaves_the_ball_trains_nothing_and_is_refused(tmp_path, script):
    out = tmp_path / "rows.csv"
    ended = script("ntk_normal.py", "--width", 20, "--size", 5, "--lr", 1e10, "--C0", 1, 1e9, "--out", out)
    assert ended.code == 1 and "the first step leaves the ball" in ended.stderr.splitlines()[-1]
    assert not out.exists()


@pytest.mark.parametrize("name", TINY)
def test_help_starts_with_a_command_that_runs(name, script, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    ended = script(name, "--help")
    command = ended.stdout.splitlines()[2].split()
    assert ended.code == 0 and command[:2] == ["python", name]
    assert script(*command[1:], "--help").code == 0
    explained = {line.split()[0] for line in ended.stdout.splitlines() if line.startswith("  --")}
    assert {option for option in command if option.startswith("--")} <= explained


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (RunError("no such thing"), 1, "error: no such thing"),
        (MemoryError("Unable to\nallocate"), 1, "error: out of memory (Unable to allocate)"),
        (RuntimeError("CUDA out of memory"), 1, "error: out of memory (CUDA out of memory)"),
        (KeyboardInterrupt(), 130, "interrupted by SIGINT; rows written before are kept"),
    ],
)
def test_errors_that_a_user_can_help_are_one_line(monkeypatch, script, error, code, reason):
    def fail():
        raise error

    monkeypatch.setattr(ntk_normal, "main", fail)
    assert script("ntk_normal.py") == (code, "", f"ntk_normal.py: {reason}\n")


@pytest.mark.parametrize("message", ["a mistake in the code", "CUDA error: an illegal memory access was encountered"])
def test_other_errors_keep_their_traceback(message):
    def fail():
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match=message):
        command_line.run(fail, "any.py")


def test_numbers_are_read_as_people_write_them():
    whole = command_line.whole_number(1, 10**6)
    assert [whole(text) for text in ("1", "1e5", "1000000", "7.0")] == [1, 100000, 1000000, 7]
    assert type(whole("1e5")) is int
    assert command_line.positive("1e-3") == 0.001
    for parse, texts in ((whole, ("0", "1000001", "1.5", "x", "nan", "inf")), (command_line.positive, ("0", "1e-46"))):
        for text in texts:
            with pytest.raises(argparse.ArgumentTypeError, match="must be"):
                parse(text)


def test_checkpoints_go_beside_the_results_unless_told_otherwise(tmp_path, monkeypatch):
    for options, folder in (([], "a/checkpoints"), (["--checkpoint-dir", tmp_path / "b"], "b")):
        monkeypatch.setattr(sys, "argv", ["any.py", "--out", str(tmp_path / "a" / "rows.csv"), *map(str, options)])
        args = command_line.parse(command_line.training_parser("a command\n", bs=1, lr=1.0, out="rows.csv"))
        assert args.checkpoint_dir == tmp_path / folder
