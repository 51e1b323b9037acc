"""The results files: CSVs with a row for each run, which any number of processes may append to.

A script's columns up to and including `seed` say which run a row is; the rest say what came out.
"""

import contextlib
import csv
import functools
import math
import os
import subprocess
from operator import itemgetter
from pathlib import Path

from lib import ROOT, RunError
from lib.files import check_folder, locked, write_whole
from lib.progress import say, warn

SCRIPTS = "ntk_normal", "advtrain", "advtraingap"
SHARES = {"test_error", "train_robust_acc", "test_acc", "robust_test_acc", "cap"}
ABOVE_0 = {"size", "d", "width", "C0", "V", "eps", "atk_iters", "bs", "lr", "T"}

# The columns of what --log writes, one row an epoch.
CURVES = ["run", "epoch", "train_loss", "train_robust_acc", "test_acc", "deviation_over_V"]
# Columns that older files lack, with the only value that their rows can have had.
ADDED = {"dataset": "MNIST", "antialias": "0", "attack": "l2", "code": ""}
TEXT = {"run", "dataset", "attack", "device", "code", "torch"}

cap_key = itemgetter("dataset", "antialias", "attack", "num1", "num2", "d")  # what says which caps are a row's


class Results:
    """The CSV for a script's rows, and the script's files beside it. summary makes of a row the lines that people read.

    Raises RunError where the CSV cannot be written: better before training than after it.
    """

    def __init__(self, path: Path, script: str, columns: list[str], summary):
        self.path, self.script, self.columns, self.summary = Path(path), script, columns, summary
        code_version()  # now, since a commit may come while the run goes
        if others := [other for other in SCRIPTS if other != script and belongs(self.path, other)]:
            raise RunError(f"{path} is for the rows of {others[0]}.py; choose another --out")
        with _locked(self.path):
            pass

    def missing(self, configs: list[dict], force: bool = False, saving: bool = False) -> list[dict]:
        """The configurations that have no row yet, or all with force; prints the summaries of the rows of the others.

        saving: whether the script saves networks, which the others miss. Raises RunError where a file cannot be read or
        has a torn row that may be one of these runs'.
        """
        files, torn = sorted({self.path, *results_files(self.path.parent, self.script)}), []
        rows = [row for path in files for row in read_rows(path, self.columns, torn)]
        key = key_columns(self.script, self.columns)
        for error, row in torn:
            if any(all(_same(row[name], config[name]) for name in key if name in row) for config in configs):
                raise error
            warn(f"{error}; until then it is left out")
        missing = []
        for config in configs:
            same = [row for row in rows if all(_same(row[name], config[name]) for name in key)]
            if force or not same:
                missing.append(config)
            else:
                unsaved = " and saves its network" if saving else ""
                other = perhaps_other_code(same[-1].get("code", ""))
                again = f"--force runs it again{unsaved}"
                say(f"skipped: it has its row already{other} ({again})\n{self.summary(same[-1])}")
        return missing

    def append(self, row: dict) -> None:
        """Print the summary of the row, a dict that has all columns, and append it. Raises RunError."""
        row = {column: str(row[column]) for column in self.columns}
        say(self.summary(row))
        append_row(self.path, self.columns, row)


def configuration_columns(columns: list[str]) -> list[str]:
    """The columns that say which run a row is: those up to and including `seed`."""
    return columns[: columns.index("seed") + 1]


def key_columns(script: str, columns: list[str]) -> list[str]:
    """The `configuration_columns` but those that follow from others: d from size, and V from C0 or C0 from V."""
    return [
        name for name in configuration_columns(columns) if name not in ("d", "C0" if script == "advtraingap" else "V")
    ]


def _same(cell: str, value: float | str) -> bool:
    """Whether a cell has this value, in what other programs leave of its digits: seeds of ten digits differ by 4e-10."""
    if isinstance(value, str):
        return cell == value
    try:
        return math.isclose(float(cell), value, rel_tol=2e-10)
    except ValueError:  # it may have had it
        return True


def read_rows(path: Path, columns: list[str], torn: list | None = None) -> list[dict]:
    """The rows of a results CSV as dicts of strings; none where there is no file. What is `ADDED` to columns may lack.

    Raises RunError where the file cannot be read, has other columns than these, or a row is torn or has what no row can
    have. With a list torn such rows go there: the error, and the row's cells but the last, which may be half.
    """
    text, lock = _read(path), f"{os.path.realpath(path)}.lock"
    if text and not text.endswith("\n") and os.path.exists(lock):
        # The last row may just be on its way into the file. Where the lock cannot be had, reading again must do.
        with contextlib.suppress(OSError), locked(lock, timeout=60):
            pass
        text = _read(path)
    header, rows, added = _header(path, text, columns), [], {name: ADDED[name] for name in columns if name in ADDED}
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        try:
            cells = next(csv.reader([line], strict=True))
            line.index("\n")  # a ValueError where the end is missing
            if number > 1 and cells:  # some editors leave empty lines
                numbers(row := added | dict(zip(header, cells, strict=True)))
                rows.append(row)
        except (csv.Error, ValueError) as error:
            reason = f"a torn row, or not numbers that a run can have ({error}); complete or remove the line"
            refused = RunError(f"{path}, line {number}: {reason}")
            if torn is None or number == 1:
                raise refused from error
            torn.append((refused, dict(zip(header, line.split(",")[:-1]))))
    return rows


def _read(path):
    try:
        # utf-8-sig is without the mark that some spreadsheets begin a file with.
        return path.read_text(encoding="utf-8-sig") if _exists(path) else ""
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}") from error


def _header(path, text, columns):
    header = text.partition("\n")[0].replace('"', "").split(",") if text else columns
    wrong = ({*header} ^ {*columns}) - ({*ADDED} - {*header})
    if wrong or len({*header}) < len(header):
        words = " and ".join(map(repr, sorted(wrong))) or "some twice"
        raise RunError(f"{path} has other columns than expected ({words}): choose another file, or move it away")
    return header


def numbers(row: dict) -> dict[str, float | str]:
    """The row with floats for its cells, but for text. Raises ValueError, also for what cannot be."""
    # pandas leaves cells that are nan empty.
    number = {
        column: value if column in TEXT else float("nan" if value == "" else value) for column, value in row.items()
    }
    for column, value in number.items():
        most = 1 if column in SHARES else row.get("V") if column == "max_deviation" else math.inf
        # Of networks that no step flips there are no means, and of Section 5.1's curves no robust accuracy.
        if column in TEXT or (math.isnan(value) and (column.endswith(("_mean", "_std")) or "run" in row)):
            continue
        if not 0 <= value <= (1 + 1e-9) * float(most) or value == math.inf or (value == 0 and column in ABOVE_0):
            raise ValueError(f"{column} cannot be {value:g}")
    return number


def most_epochs(row: dict) -> float:
    """After how many epochs T ended a run; infinite where it ended before, since then a larger T changes nothing."""
    return row["T"] if ended_by_T(row) else math.inf


def data_in_words(row: dict) -> str:
    """What a row's network was trained on, as its summary begins."""
    kind = "digits" if row["dataset"] == "MNIST" else row["dataset"]
    return "{} {num1:g}/{num2:g}, d {d:g}{}".format(kind, ", antialiased" * (row["antialias"] == 1), **row)


@functools.cache
def code_version() -> str:
    """The commit of this folder, short, with + where files in it were changed since; empty where git does not know it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    with contextlib.suppress(OSError):
        if (ROOT / ".git").exists():
            return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return ""


def perhaps_other_code(code: str) -> str:
    """Words for what was made by this `code_version`, unless it is known to be today's."""
    # Changed code, of a +, may have changed again since; without git nobody knows.
    return "" if code == code_version() and code.isalnum() else ", perhaps made by other code"


def ended_by_T(row: dict) -> bool:
    """Whether T epochs ended a run: inside its ball in Section 5.1, before its patience was used up in Section 5.2."""
    return row["left_ball"] == 0 if "left_ball" in row else row["epochs"] == row["T"]


def results_files(folder: Path, script: str) -> list[Path]:
    """The results CSVs of a script in folder: script.csv and such as script-2.csv or script_b.csv, but not script2.csv."""
    return sorted(path for path in Path(folder).glob("*.csv") if belongs(path, script))


def belongs(path: Path, script: str) -> bool:
    """Whether by its name a CSV is one of the script's: see `results_files`."""
    return path.name.startswith(script) and not path.stem[len(script) :][:1].isalnum()


def read_caps(*folders: Path) -> dict[tuple, dict[float, float]]:
    """The most robust accuracy that any classifier can have, by `cap_key` and eps, from each folder's figure4_cap.csv.

    Test images with different labels within 2 eps of each other cannot both be right. Raises RunError.
    """
    caps, columns = {}, ["num1", "num2", "size", "d", "eps", "cap"]
    for row in (numbers(ADDED | row) for folder in folders for row in read_rows(folder / "figure4_cap.csv", columns)):
        caps.setdefault(cap_key(row), {})[row["eps"]] = row["cap"]
    return caps


def append_row(path: Path, columns: list[str], row: dict) -> None:
    """Append the row to the results CSV, on a line of its own even after a torn one. Raises RunError.

    A file that lacks the `ADDED` columns gets them.
    """
    with _locked(path):
        text = _read(path)
        header = _header(path, text, columns)
        if lacking := [name for name in columns if name not in header]:
            lines, added = text.splitlines(keepends=True), ",".join(ADDED[name] for name in lacking)
            ends = [",".join(lacking)] + len(lines) * [added]
            text = "".join(line.replace("\n", f",{end}\n") for line, end in zip(lines, ends) if line.strip())
            write_whole(path, text.encode())
            header += lacking
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, header, lineterminator="\n")
            if not text:
                writer.writeheader()
            elif not text.endswith("\n"):
                warn(f"the last line of {path} is torn; the new row comes after it")
                file.write("\n")
            writer.writerow(row)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def _locked(path):
    """A context in which no other process appends to the file. Raises RunError where it cannot be written."""
    path = Path(os.path.realpath(path))  # of all links to a file the lock is one
    check_folder(path.parent)
    try:
        if _exists(path):
            open(path, "a").close()
        with locked(f"{path}.lock", timeout=60):
            yield
    except OSError as error:
        raise RunError(f"cannot write {path}: {error}") from error


def _exists(path):
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise RunError(f"{path} is no file")
    return path.exists()
