"""The three scripts from the shell, and the results file that they share."""

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import common
import ntk_normal

ROOT = common.DATA_DIR.parent
TINY = {
    "ntk_normal.py": "--width 20 --size 5 --T 2 --C0 2 4".split(),
    "advtrain.py": "--width 20 --size 5 --T 2 --atk_iters 2".split(),
    "advtraingap.py": "--width 20 --size 5 --T 2 --atk_iters 2 --gap 0.3 --bias --box".split(),
}
COLUMNS = {
    "ntk_normal.py": "num1,num2,size,d,width,C0,V,bias,bs,lr,T,seed,epochs,steps,left_ball,max_deviation,train_loss,"
    "test_error,grad_norm_mean,grad_norm_std,delta_norm_mean,delta_norm_std,rel_delta_mean,rel_delta_std,eta_mean,"
    "eta_std,abs_f_mean,no_flip,seconds_train,seconds_attack,device,torch",
    "advtrain.py": "num1,num2,size,d,width,C0,V,eps,atk_iters,bias,box,bs,lr,T,patience,seed,epochs,steps,train_loss,"
    "train_robust_acc,test_acc,robust_test_acc,max_deviation,seconds,device,torch",
}
COLUMNS["advtraingap.py"] = COLUMNS["advtrain.py"]


def script(name, *arguments, **environment):
    """Run a script to its end, on the CPU, away from any network."""
    no_network = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, str(ROOT / name), *map(str, arguments)]
    environment = os.environ | no_network | {"CUDA_VISIBLE_DEVICES": ""} | environment
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", TINY)
def test_a_script_writes_its_rows_once_and_the_same_each_time(name, tmp_path):
    out, saved = tmp_path / "new" / "rows.csv", tmp_path / "saved"
    first = script(name, *TINY[name], "--out", out, "--save-dir", saved)
    assert (first.returncode, first.stderr) == (0, "")
    written = rows(out)
    assert out.read_text().splitlines()[0] == COLUMNS[name]
    assert len(written) == (2 if name == "ntk_normal.py" else 1)
    for row in written:
        assert 0 < float(row["max_deviation"]) <= float(row["V"])
        assert float(row["V"]) == pytest.approx(float(row["C0"]) / 20**0.5)
        assert (row["d"], row["device"], row["torch"]) == ("25", "cpu", torch.__version__)

    again = script(name, *TINY[name], "--out", out)
    assert (
        again.returncode == 0
        and "skipped" in again.stdout
        and first.stdout in again.stdout.replace(f"skipped: {out} has this run already (--force runs it again)\n", "")
    )
    assert rows(out) == written

    forced = script(name, *TINY[name], "--out", out, "--force")
    assert forced.returncode == 0 and len(rows(out)) == 2 * len(written)
    for row, repeated in zip(written, rows(out)[len(written) :]):
        assert all(repeated[column] == row[column] for column in row if not column.startswith("seconds"))

    assert len(list(saved.iterdir())) == len(written)
    for path in saved.iterdir():
        file = torch.load(path)
        (row,) = [row for row in written if float(row["C0"]) == file["config"]["C0"]]
        net = common.TwoLayerNet(25, 20, bias=bool(file["config"]["bias"]))
        net.load_state_dict(file["state_dict"])
        assert net.deviation().item() == float(row["max_deviation"])
        data = common.load_digits(0, 1, 5, normalize=name != "ntk_normal.py")
        error = 1 - common.accuracy(net, data.test_x, data.test_y)
        assert error == pytest.approx(float(row.get("test_error") or 1 - float(row["test_acc"])))


def test_a_row_does_not_depend_on_the_smaller_balls_beside_it(tmp_path):
    for out, C0 in (("many.csv", ["3", "1", "2"]), ("one.csv", ["3"])):
        assert (
            script("ntk_normal.py", *TINY["ntk_normal.py"][:-3], "--C0", *C0, "--out", tmp_path / out).returncode == 0
        )
    many, (one,) = rows(tmp_path / "many.csv"), rows(tmp_path / "one.csv")
    assert [row["C0"] for row in many] == ["1.0", "2.0", "3.0"]
    assert all(many[2][column] == one[column] for column in one if not column.startswith("seconds"))


def test_a_row_that_the_epochs_ended_says_so(tmp_path):
    out = tmp_path / "rows.csv"
    assert script("ntk_normal.py", "--width", 20, "--size", 5, "--T", 1, "--C0", 1, 900, "--out", out).returncode == 0
    assert [(row["left_ball"], row["epochs"], row["steps"]) for row in rows(out)][1] == ("0", "1", "198")
    assert rows(out)[0]["left_ball"] == "1"


BAD_ARGUMENTS = [
    ("ntk_normal.py", "--width 0"),
    ("ntk_normal.py", "--width many"),
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
]


def test_bad_arguments_are_refused(tmp_path):
    def refuse(case):
        return case, script(case[0], *case[1].split(), "--out", tmp_path / "rows.csv")

    with ThreadPoolExecutor(2) as pool:
        for case, ended in pool.map(refuse, BAD_ARGUMENTS):
            assert ended.returncode == 2, case
            assert ended.stdout == "" and ended.stderr.count("\n") == 1, (case, ended.stderr)
            assert case[1].split()[0] in ended.stderr, (case, ended.stderr)
    assert not (tmp_path / "rows.csv").exists()


@pytest.mark.parametrize("name", TINY)
def test_bad_files_are_refused_before_training(name, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "torn.csv").write_text(COLUMNS[name] + "\n0,1,5")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\n")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (common.DATA_DIR / "MNIST" / "raw").glob("*.gz"):
        shutil.copy(path, raw)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"not what it was")
    cases = [
        (["--out", tmp_path], "Is a directory"),
        (["--out", tmp_path / "file" / "rows.csv"], "cannot write"),
        (["--out", tmp_path / "other.csv"], "other columns"),
        (["--out", tmp_path / "torn.csv"], "line 2"),
        (["--out", tmp_path / "binary.csv"], "cannot read"),
        (["--save-dir", tmp_path / "file"], "cannot write"),
        (["--data-dir", tmp_path], "MNIST"),
        (["--data-dir", tmp_path / "file"], "MNIST"),
    ]

    def refuse(case):
        out = [] if "--out" in case[0] else ["--out", tmp_path / "good.csv"]
        return case, script(name, "--T", 10**6, *case[0], *out)

    with ThreadPoolExecutor(2) as pool:
        for (arguments, reason), ended in pool.map(refuse, cases):
            assert ended.returncode == 1, (arguments, ended.stderr)
            assert ended.stdout == "" and ended.stderr.count("\n") == 1, (arguments, ended.stderr)
            assert reason in ended.stderr, (arguments, ended.stderr)
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"
    assert (tmp_path / "torn.csv").read_text() == COLUMNS[name] + "\n0,1,5"


def test_divergence_ends_with_an_error_and_no_row(tmp_path):
    out = tmp_path / "rows.csv"
    for name, radius in (("ntk_normal.py", "--C0"), ("advtraingap.py", "--gap")):
        ended = script(name, "--width", 20, "--size", 5, "--lr", 3e38, radius, 3e38, "--out", out, "--force")
        assert ended.returncode == 1 and "diverged" in ended.stderr and ended.stderr.count("\n") == 1
        assert rows(out) == []
        out.unlink()


def test_ctrl_c_ends_with_130_and_no_torn_row(tmp_path):
    out = tmp_path / "rows.csv"
    assert script("ntk_normal.py", *TINY["ntk_normal.py"], "--out", out).returncode == 0
    before, lock = out.read_text(), tmp_path / "rows.csv.lock"
    lock.unlink()
    command = [
        sys.executable,
        ROOT / "ntk_normal.py",
        "--width",
        "2000",
        "--C0",
        "500",
        "--device",
        "cpu",
        "--out",
        out,
    ]
    # A shell's background jobs ignore Ctrl-C, and so would their children.
    listen = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **listen)
    while not lock.exists():  # the script makes it when it looks at its results file, right before it trains
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.count("\n") == 1 and "interrupted" in stderr
    assert out.read_text() == before


@pytest.mark.parametrize("name", TINY)
def test_help_starts_with_a_command_that_runs(name):
    ended = script(name, "--help", COLUMNS="500")
    command = ended.stdout.splitlines()[0].removeprefix("usage: ").split()
    assert ended.returncode == 0 and command[:2] == ["python", name]
    assert script(*command[1:], "--help").returncode == 0
    explained = {line.split()[0] for line in ended.stdout.splitlines() if line.startswith("  --")}
    assert {option for option in command if option.startswith("--")} <= explained


# ------------------------------------------------------------------------------------------------- results


def test_eight_processes_appending_to_one_file_lose_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    append = (
        "import common, sys\n"
        "common.open_results(sys.argv[1], ['seed', 'value'])\n"
        "for i in range(50): common.append_row(sys.argv[1], ['seed', 'value'], {'seed': sys.argv[2], 'value': i})\n"
    )
    command = [sys.executable, "-c", append, str(path)]
    processes = [subprocess.Popen([*command, str(writer)], cwd=ROOT) for writer in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    written = sorted((int(row["seed"]), int(row["value"])) for row in common.read_rows(path, ["seed", "value"]))
    assert written == [(writer, value) for writer in range(8) for value in range(50)]


def test_a_row_that_does_not_fit_on_the_disk_leaves_the_others_whole(tmp_path):
    path = tmp_path / "rows.csv"
    common.open_results(path, ["seed", "value"])
    common.append_row(path, ["seed", "value"], {"seed": 0, "value": "first"})
    whole = path.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 5, limits[1]))
    try:
        with pytest.raises(common.RunError, match="cannot write"):
            common.append_row(path, ["seed", "value"], {"seed": 1, "value": "too long to fit"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == whole


def test_find_row_compares_numbers_and_takes_the_latest():
    stored = [
        {"C0": "10", "seed": "0", "x": "a"},
        {"C0": "10.0", "seed": "0", "x": "b"},
        {"C0": "20", "seed": "0", "x": "c"},
    ]
    assert common.find_row(stored, {"C0": 10.0, "seed": 0})["x"] == "b"
    assert common.find_row(stored, {"C0": 10.0, "seed": 1}) is None


def test_columns_are_the_scripts():
    assert ",".join(ntk_normal.COLUMNS) == COLUMNS["ntk_normal.py"]
    assert ",".join(common.ADVERSARIAL_COLUMNS) == COLUMNS["advtrain.py"]
