"""The results files: rows that are found again, and that stay whole beside other processes and on full disks."""

import math
import subprocess
import threading

from lib import RunError
from lib.results import (
    Results,
    append_row,
    code_version,
    configuration_columns,
    key_columns,
    numbers,
    read_caps,
    read_rows,
    results_files,
)

import pytest
from filelock import FileLock

COLUMNS = ["seed", "value"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.csv"


def test_the_files_of_a_script_are_no_other_scripts(tmp_path):
    names = {"advtrain.csv", "advtrain-host2.csv", "advtrain_b.csv"}
    for name in (*names, "advtraingap.csv", "advtrain2.csv", "advtrain.csv.lock", "old-advtrain.csv"):
        (tmp_path / name).write_text("")
    assert {path.name for path in results_files(tmp_path, "advtrain")} == names


@pytest.mark.parametrize(("script", "derived"), [("advtrain", ("d", "V")), ("advtraingap", ("d", "C0"))])
def test_a_row_is_found_whatever_digits_other_programs_leave_of_it(path, script, derived):
    columns = ["width", "d", "C0", "V", "eps", "seed", "x"]
    results = Results(path, script, columns, str)
    config = {"width": 300, "d": 25, "C0": 10 / 3 * 300**0.5, "V": 10 / 3, "eps": 1 / 15, "seed": 2147483647}
    assert set(columns[:-1]) - set(key_columns(script, columns)) == set(derived)
    for digits in (17, 15, 11):
        path.write_text(
            ",".join(columns) + "\n" + ",".join(f"{value:.{digits}g}" for value in config.values()) + ",7\n"
        )
        assert results.missing([config]) == []
        for other in ({"eps": 0.0667}, {"seed": 2147483646}, {"width": 301}):
            assert results.missing([config | other]) == [config | other]
    path.write_text(path.read_text().replace(",25,", ",26,"))
    assert results.missing([config]) == []  # what follows from the rest does not matter


def test_an_older_file_is_read_with_what_its_rows_can_only_have_had_and_gets_the_columns(path):
    columns = ["dataset", "width", "attack", "seed", "x", "code"]
    old = "width,seed,x\r\n300,0,7\r\n"
    path.write_bytes(old.encode())
    (row,) = read_rows(path, columns)
    assert row == {"dataset": "MNIST", "width": "300", "attack": "l2", "seed": "0", "x": "7", "code": ""}
    results = Results(path, "rows", columns, str)
    config = {"dataset": "MNIST", "width": 300, "attack": "l2", "seed": 0}
    assert results.missing([config, config | {"attack": "linf"}]) == [config | {"attack": "linf"}]
    assert path.read_bytes() == old.encode()
    append_row(path, columns, config | {"attack": "linf", "x": 8, "code": "abc"})
    assert path.read_text() == "width,seed,x,dataset,attack,code\n300,0,7,MNIST,l2,\n300,0,8,MNIST,linf,abc\n"
    assert [row["x"] for row in read_rows(path, columns)] == ["7", "8"]


def test_an_older_file_that_gets_columns_keeps_its_torn_end_torn_and_loses_empty_lines(path, capsys):
    path.write_text("width,seed,x\n300,0,7\n\n300,1,7")
    append_row(path, ["dataset", "width", "seed", "x"], {"dataset": "MNIST", "width": 300, "seed": 2, "x": 8})
    assert path.read_text() == "width,seed,x,dataset\n300,0,7,MNIST\n300,1,7\n300,2,8,MNIST\n"
    assert "torn" in capsys.readouterr().err


def test_the_code_is_the_commit_and_whether_it_was_changed(tmp_path, monkeypatch):
    def version():
        code_version.cache_clear()
        return code_version()

    def git(*words):
        author = ["-c", "user.name=me", "-c", "user.email=me@here"]
        subprocess.run(["git", "-C", tmp_path, *author, *words], check=True, capture_output=True)

    monkeypatch.setattr("lib.results.ROOT", tmp_path)
    assert version() == ""
    (tmp_path / "file").write_text("a")
    git("init")
    git("add", "file")
    git("commit", "-m", "first")
    clean = version()
    (tmp_path / "file").write_text("b")
    assert len(clean) >= 7 and version() == clean + "+"
    monkeypatch.setenv("PATH", "")
    assert version() == ""
    code_version.cache_clear()


def test_a_torn_row_stops_only_the_run_that_it_may_be(path, capsys):
    results = Results(path, "advtrain", ["width", "eps", "seed", "x"], str)
    for torn, stopped in (("300,0.2,1", [0, 1]), ("300,0.2,0,", [0]), ("300,0.2,0,5,5\n", [0]), ("x,", [0, 1])):
        path.write_text("width,eps,seed,x\n" + torn)
        for seed in (0, 1):
            config = {"width": 300, "eps": 0.2, "seed": seed}
            if seed in stopped:
                with pytest.raises(RunError, match="line 2: a torn row"):
                    results.missing([config])
            else:
                assert results.missing([config]) == [config]
                assert "line 2: a torn row" in capsys.readouterr().err
        with pytest.raises(RunError, match="line 2: a torn row"):
            read_rows(path, results.columns)


def test_the_torn_row_may_be_any_of_the_runs_and_a_torn_header_all_of_them(path):
    results, configs = Results(path, "rows", ["seed", "x"], str), [{"seed": 0}, {"seed": 1}]
    for text in ("seed,x\n1,", "seed,x"):
        path.write_text(text)
        with pytest.raises(RunError, match="a torn row"):
            results.missing(configs)


def test_a_link_that_leads_nowhere_is_followed(tmp_path, path, links):
    path.symlink_to(tmp_path / "new" / "real.csv")
    Results(path, "rows", COLUMNS, str).missing([{"seed": 0, "value": 1}])
    append_row(path, COLUMNS, {"seed": 0, "value": 1})
    assert path.is_symlink() and (tmp_path / "new" / "real.csv").read_text() == "seed,value\n0,1\n"


@pytest.mark.parametrize("column", ["test_acc", "robust_test_acc", "test_error", "eps", "d"])
def test_what_no_row_can_have_is_refused(path, column):
    for cell in ("-0.5", "nan", "inf", "2" if "test" in column else "0"):
        path.write_text(f"seed,{column}\n0,{cell}\n")
        with pytest.raises(RunError, match="line 2: .*not numbers that a run can have"):
            read_rows(path, ["seed", column])


@pytest.mark.parametrize(("now", "doubted"), [("abc", ["0ld"]), ("abc+", ["abc", "0ld", "abc+"])])
def test_a_skipped_row_that_other_code_may_have_made_says_so(path, capsys, monkeypatch, now, doubted):
    monkeypatch.setattr("lib.results.code_version", lambda: now)
    codes = ["abc", "0ld", "abc+", ""]
    results = Results(path, "rows", ["seed", "code"], lambda row: "a row")
    for seed, code in enumerate(codes):
        results.append({"seed": seed, "code": code})
    capsys.readouterr()
    assert results.missing([{"seed": seed} for seed in range(4)]) == []
    said = capsys.readouterr().out.splitlines()[::2]
    assert {code for code, line in zip(codes, said) if "perhaps made by other code (--force" in line} > {*doubted}
    assert ("other code" in said[0]) == ("abc" in doubted)


def test_rows_are_missing_until_they_are_appended(path, capsys):
    def results(name="rows.csv"):
        return Results(path.with_name(name), "rows", ["C0", "seed", "x"], lambda row: f"x is {row['x']}")

    configs = [{"C0": C0, "seed": 0} for C0 in (1.0, 2.0)]
    assert results().missing(configs) == configs
    assert not path.exists()  # a run that fails leaves no file behind
    results().append(configs[0] | {"x": 0.1, "no column": 5})
    assert capsys.readouterr().out == "x is 0.1\n"
    assert results().missing(configs) == results("rows-2.csv").missing(configs) == configs[1:]
    skipped = "skipped: it has its row already, perhaps made by other code (--force runs it again)\n"
    assert capsys.readouterr().out == f"{skipped}x is 0.1\n" * 2
    assert results().missing(configs, saving=True) == configs[1:]
    assert "(--force runs it again and saves its network)" in capsys.readouterr().out
    assert results().missing(configs, force=True) == configs
    with open(path, "a") as file:
        file.write("1,0.0,7\n")
    assert results().missing(configs) == configs[1:]
    assert capsys.readouterr().out.endswith("x is 7\n")  # the latest of the rows
    assert configuration_columns(["C0", "seed", "x"]) == ["C0", "seed"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed,value", "line 1: a torn row"),
        ("seed,value\n0,1\n1,2", "line 3: a torn row"),
        ("seed,value\n0,1,2\n", "line 2: a torn row"),
        ('seed,value\n0,"1', "line 2: a torn row"),
        ("seed,value\n0,one\n", "line 2: .*not numbers"),
        ("seed,value\n0,\n", "line 2: .*not numbers"),
        ("seed,other\n0,1\n", r"other columns than expected \('other' and 'value'\)"),
        (",seed,value\n0,0,1\n", r"other columns than expected \(''\)"),
        ("seed,value,seed\n0,1,0\n", r"other columns than expected \(some twice\)"),
    ],
)
def test_rows_that_are_not_whole_are_refused(path, text, reason):
    path.write_text(text)
    with pytest.raises(RunError, match=reason):
        read_rows(path, COLUMNS)
    if "other columns" in reason:
        with pytest.raises(RunError, match=reason):
            append_row(path, COLUMNS, {"seed": 1, "value": 2})
        assert path.read_text() == text


def test_a_mean_of_nothing_may_be_an_empty_cell(path):  # as pandas writes it
    path.write_text("seed,eta_mean\n0,\n1,nan\n")
    assert all(math.isnan(numbers(row)["eta_mean"]) for row in read_rows(path, ["seed", "eta_mean"]))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffseed,value\r\n0,0.10\r\n",
        "seed,value\n\n0,0.1\n\n\n",
        '"seed","value"\n0.0,1e-1\n',
        "value,seed\n0.1,0\n",
    ],
)
def test_what_other_programs_make_of_the_file_is_read_and_appended_to(path, text):
    path.write_bytes(text.encode())
    append_row(path, COLUMNS, {"seed": 1, "value": 2})
    rows = [numbers(row) for row in read_rows(path, COLUMNS)]
    assert rows == [{"seed": 0, "value": 0.1}, {"seed": 1, "value": 2}]
    assert path.read_bytes().startswith(text.encode())


@pytest.mark.parametrize("broken", ["num1,eps\n0,1\n", "{head}0,1,5,25,0.2\n", "{head}0,1,5,25,0.2,2\n"])
def test_a_broken_table_of_caps_is_an_error_of_one_line(tmp_path, broken):
    (tmp_path / "figure4_cap.csv").write_text(broken.format(head="num1,num2,size,d,eps,cap\n"))
    with pytest.raises(RunError, match=r"^.*figure4_cap\.csv.*$"):
        read_caps(tmp_path)


@pytest.mark.parametrize("linked", [False, True])
def test_readers_and_writers_wait_for_a_row_on_its_way_into_the_file(path, linked, request):
    append_row(path, COLUMNS, {"seed": 0, "value": 1})
    read_from = path
    if linked:
        request.getfixturevalue("links")
        read_from = path.with_name("linked.csv")
        read_from.symlink_to(path)
    lock = FileLock(f"{path}.lock", thread_local=False)
    lock.acquire()
    with open(path, "a") as file:
        file.write("1,")

    def write_the_rest():
        with open(path, "a") as file:
            file.write("2\n")
        lock.release()

    threads = [threading.Timer(0.3, write_the_rest)]
    threads.append(threading.Thread(target=append_row, args=(path, COLUMNS, {"seed": 2, "value": 3})))
    for thread in threads:
        thread.start()
    assert [row["value"] for row in read_rows(read_from, COLUMNS)][:2] == ["1", "2"]
    for thread in threads:
        thread.join()
    assert path.read_text() == "seed,value\n0,1\n1,2\n2,3\n"


def test_a_row_that_does_not_fit_on_the_disk_is_refused_and_the_next_has_its_own_line(path, capsys, monkeypatch):
    resource = pytest.importorskip("resource")
    append_row(path, COLUMNS, {"seed": 0, "value": 1})
    whole = path.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("lib.results.check_folder", lambda _: None)  # the disk was full only afterwards
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 1, limits[1]))
    try:
        with pytest.raises(RunError, match="cannot write"):
            append_row(path, COLUMNS, {"seed": 1, "value": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    append_row(path, COLUMNS[::-1], {"seed": 2, "value": 3})
    assert path.read_text() == "seed,value\n0,1\n1\n2,3\n"  # in the order of the file's own header
    assert "torn" in capsys.readouterr().err
    with pytest.raises(RunError, match="line 3: a torn row"):
        read_rows(path, COLUMNS)
