"""The results files: rows that are found again, and that stay whole beside other processes and on full disks."""

import csv
import resource
import subprocess
import sys
import threading

import pytest
from filelock import FileLock

import advtrain
import plot_figures
from lib import RunError, mnist
from lib.results import (
    Results,
    append_row,
    configuration_columns,
    numbers,
    read_rows,
    results_files,
)


@pytest.mark.slow
def test_a_run_that_is_in_a_file_beside_out_is_skipped(tmp_path, script):
    options = "--width 20 --size 5 --T 2 --atk_iters 2".split()
    first = script("advtrain.py", *options, "--out", tmp_path / "advtrain-host2.csv")
    for out, skipped in (("advtrain.csv", True), ("advtrain-3.csv", True), ("other/advtrain.csv", False)):
        again = script("advtrain.py", *options, "--out", tmp_path / out)
        assert again.code == 0 and ("skipped" in again.stdout) == skipped
        assert len(read_rows(tmp_path / out, advtrain.COLUMNS)) == (not skipped)
        assert again.stdout.splitlines()[-1] == first.stdout.splitlines()[-1]


def test_the_files_of_a_script_are_no_other_scripts(tmp_path):
    names = {"advtrain.csv", "advtrain-host2.csv", "advtrain_b.csv"}
    for name in (*names, "advtraingap.csv", "advtrain2.csv", "advtrain.csv.lock", "old-advtrain.csv"):
        (tmp_path / name).write_text("")
    assert {path.name for path in results_files(tmp_path, "advtrain")} == names


def test_rows_are_missing_until_they_are_appended(tmp_path, capsys):
    def results(name="any.csv"):
        return Results(tmp_path / name, "any", ["C0", "seed", "x"], lambda row: f"x is {row['x']}")

    configs = [{"C0": C0, "seed": 0} for C0 in (1.0, 2.0)]
    assert results().missing(configs) == configs
    assert not (tmp_path / "any.csv").exists()  # a run that fails leaves no file behind
    results().append(configs[0] | {"x": 0.1, "no column": 5})
    assert capsys.readouterr().out == "x is 0.1\n"
    assert results().missing(configs) == results("any-2.csv").missing(configs) == configs[1:]
    assert capsys.readouterr().out == "skipped: it has its row already (--force runs it again)\nx is 0.1\n" * 2
    assert results().missing(configs, saving=True) == configs[1:]
    assert "(--force runs it again and saves its network)" in capsys.readouterr().out
    assert results().missing(configs, force=True) == configs
    with open(tmp_path / "any.csv", "a") as file:
        file.write("1,0.0,7\n")
    capsys.readouterr()
    assert results().missing(configs) == configs[1:]
    assert capsys.readouterr().out.endswith("x is 7\n")  # the latest of the rows
    assert configuration_columns(["C0", "seed", "x"]) == ["C0", "seed"]


def test_a_line_torn_by_something_else_is_kept_apart_and_refused(tmp_path, capsys):
    path, columns = tmp_path / "rows.csv", ["seed", "value"]
    append_row(path, columns, {"seed": 0, "value": 1})
    with open(path, "a") as file:
        file.write("1,")
    append_row(path, columns[::-1], {"seed": 2, "value": 3})
    assert path.read_text() == "seed,value\n0,1\n1,\n2,3\n"  # in the order of the file's own header
    assert "torn" in capsys.readouterr().err
    with pytest.raises(RunError, match="line 3"):
        read_rows(path, columns)


def test_the_published_files_have_the_columns_of_their_scripts():
    for script, columns in plot_figures.COLUMNS.items():
        with open(mnist.DATA_DIR.parent / "results" / f"{script}.csv", newline="") as file:
            assert next(csv.reader(file)) == columns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed,value\n0,1\n1", "line 3"),
        ("seed,value\n0,1\n1,2", "line 3"),
        ("seed,value\n0,1,2\n", "line 2"),
        ("seed,value\n0,one\n", "line 2"),
        ("seed,other\n0,1\n", "other columns"),
        ('seed,value\n0,"1', "cannot read"),
        ("seed,value", "line 1"),
        ("seed,value\n0,\n", "line 2: .*write a number there"),
        ("seed;value\n0;1,5\n", "other columns"),
        (",seed,value\n0,0,1\n", "other columns"),
        ("seed,value,seed\n0,1,0\n", "other columns"),
    ],
)
def test_rows_that_are_not_whole_are_refused(tmp_path, text, reason):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(RunError, match=reason):
        read_rows(tmp_path / "rows.csv", ["seed", "value"])


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffseed,value\r\n0,0.10\r\n",
        "seed,value\n\n0,0.1\n\n\n",
        '"seed","value"\n0.0,1e-1\n',
        "value,seed\n0.1,0\n",
    ],
)
def test_what_other_programs_make_of_the_file_is_read_and_appended_to(tmp_path, text):
    path, columns = tmp_path / "rows.csv", ["seed", "value"]
    path.write_bytes(text.encode())
    append_row(path, columns, {"seed": 1, "value": 2})
    rows = [numbers(row) for row in read_rows(path, columns)]
    assert rows == [{"seed": 0, "value": 0.1}, {"seed": 1, "value": 2}]
    assert path.read_bytes().startswith(text.encode())


def test_no_row_is_appended_below_other_columns(tmp_path):
    (tmp_path / "rows.csv").write_text("seed,other\n0,1\n")
    with pytest.raises(RunError, match="other columns"):
        append_row(tmp_path / "rows.csv", ["seed", "value"], {"seed": 1, "value": 2})
    assert (tmp_path / "rows.csv").read_text() == "seed,other\n0,1\n"


def test_a_row_on_its_way_into_the_file_is_waited_for(tmp_path):
    path, columns = tmp_path / "rows.csv", ["seed", "value"]
    append_row(path, columns, {"seed": 0, "value": 1})
    lock = FileLock(f"{path}.lock", thread_local=False)
    lock.acquire()
    with open(path, "a") as file:
        file.write("1,")

    def write_the_rest():
        with open(path, "a") as file:
            file.write("2\n")
        lock.release()

    writer = threading.Timer(0.3, write_the_rest)
    writer.start()
    assert [row["value"] for row in read_rows(path, columns)] == ["1", "2"]
    writer.join()


# Forks processes that all append to one file.
WRITERS = """
import os, sys
from lib.results import append_row
path, columns = sys.argv[1], ["seed", "value"]
for writer in range(16):
    if not os.fork():
        try:
            for i in range(30):
                append_row(path, columns, {"seed": writer, "value": i})
            os._exit(0)
        finally:
            os._exit(1)
assert all(os.wait()[1] == 0 for _ in range(16))
"""


@pytest.mark.slow
def test_sixteen_processes_appending_to_one_file_lose_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    assert subprocess.run([sys.executable, "-c", WRITERS, path], cwd=mnist.DATA_DIR.parent).returncode == 0
    written = sorted((int(row["seed"]), int(row["value"])) for row in read_rows(path, ["seed", "value"]))
    assert written == [(writer, value) for writer in range(16) for value in range(30)]


def test_a_row_that_does_not_fit_on_the_disk_leaves_the_others_whole(tmp_path):
    path = tmp_path / "rows.csv"
    append_row(path, ["seed", "value"], {"seed": 0, "value": "first"})
    whole = path.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 5, limits[1]))
    try:
        with pytest.raises(RunError, match="cannot write"):
            append_row(path, ["seed", "value"], {"seed": 1, "value": "too long to fit"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == whole
