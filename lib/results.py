"""The results files: CSVs with a row for each run, which any number of processes may append to.

A script's columns up to and including `seed` say which run a row is; the rest say what came out.
"""

import contextlib
import csv
import io
import os
from operator import itemgetter
from pathlib import Path

from filelock import FileLock

from lib import RunError
from lib.progress import say, warn

NOT_NUMBERS = ("device", "torch")
cap_key = itemgetter("num1", "num2", "d", "eps")  # what says which cap is a row's


class Results:
    """The results of a script: the CSV that its rows are appended to, and the files beside it that are the script's.

    summary is a function that makes of a row, a dict of strings, the lines that a person reads.
    """

    def __init__(self, path: Path, script: str, columns: list[str], summary):
        self.path, self.script, self.columns, self.summary = Path(path), script, columns, summary

    def missing(self, configs: list[dict], force: bool = False, saving: bool = False) -> list[dict]:
        """Those of the configurations that have no row yet, or all with force; the summaries of the rows are printed.

        Sees that the CSV can be written, before training takes time. saving: whether the script saves networks, too,
        which those that are skipped miss. Raises RunError.
        """
        with _locked(self.path):  # a file that cannot be written is found out here
            files = {self.path, *results_files(self.path.parent, self.script)}
        rows = [row for path in sorted(files) for row in read_rows(path, self.columns)]
        missing = []
        for config in configs:
            same = [row for row in rows if all(float(row[name]) == config[name] for name in config)]
            if force or not same:
                missing.append(config)
            else:
                unsaved = " and saves its network" if saving else ""
                say(f"skipped: it has its row already (--force runs it again{unsaved})\n{self.summary(same[-1])}")
        return missing

    def append(self, row: dict) -> None:
        """Append the row, a dict that has all columns, and print its summary. Raises RunError."""
        row = {column: str(row[column]) for column in self.columns}
        append_row(self.path, self.columns, row)
        say(self.summary(row))


def configuration_columns(columns: list[str]) -> list[str]:
    """The columns that say which run a row is: those up to and including `seed`."""
    return columns[: columns.index("seed") + 1]


def read_rows(path: Path, columns: list[str]) -> list[dict]:
    """The rows of a results CSV as dicts of strings; none where there is no file.

    Raises RunError where the file cannot be read, has other columns than these, or a row is torn or not of numbers.
    """
    text = _read(path)
    if text and not text.endswith("\n") and os.path.exists(f"{path}.lock"):
        # The last row may just be on its way into the file. Where the lock cannot be had, a second look must do.
        with contextlib.suppress(OSError), FileLock(f"{path}.lock", timeout=60):
            pass
        text = _read(path)
    try:
        header, *lines = list(csv.reader(io.StringIO(text), strict=True)) or [columns]
    except csv.Error as error:
        raise RunError(f"cannot read {path}: {error}") from error
    _check_columns(path, header, columns)
    torn = "a torn row; complete or remove the line"
    if text and not text.endswith("\n"):
        raise RunError(f"{path}, line {len(lines) + 1}: {torn}")
    rows = []
    for number, line in enumerate(lines, start=2):
        if not line:  # some editors leave empty lines
            continue
        if len(line) != len(header):
            raise RunError(f"{path}, line {number}: {torn}")
        rows.append(dict(zip(header, line)))
        try:
            numbers(rows[-1])
        except ValueError as error:
            raise RunError(f"{path}, line {number}: {error}; write a number there, or remove the line") from error
    return rows


def _read(path):
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # without the mark that some spreadsheets begin a file with
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}") from error


def _check_columns(path, header, columns):
    if sorted(header) != sorted(columns):
        raise RunError(f"{path} has other columns than this script writes; choose another --out, or move it away")


def numbers(row: dict) -> dict[str, float]:
    """The row's cells as floats, but for those that say what it ran on. Raises ValueError."""
    return {column: float(value) for column, value in row.items() if column not in NOT_NUMBERS}


def ended_by_T(row: dict) -> bool:
    """Whether T epochs ended a run: inside its ball in Section 5.1, before its patience was used up in Section 5.2."""
    return row["left_ball"] == 0 if "left_ball" in row else row["epochs"] == row["T"]


def never_robust(row: dict) -> bool:
    """Whether a network of Section 5.2 is robust at practically none of its training examples."""
    return row["train_robust_acc"] < 0.001


def inside_the_border(row: dict) -> bool:
    """Whether a network lies in its lazy ball with 1% of the radius to spare, or more."""
    return row["max_deviation"] < 0.99 * row["V"]


def results_files(folder: Path, script: str) -> list[Path]:
    """The results CSVs of a script in folder: script.csv and such as script-2.csv or script_b.csv, but not script2.csv."""
    return sorted(path for path in Path(folder).glob(f"{script}*.csv") if not path.stem[len(script) :][:1].isalnum())


def read_caps(folder: Path) -> dict[tuple, float]:
    """The most robust accuracy that any classifier can have, by (num1, num2, d, eps); none without figure4_cap.csv.

    It is below 1 where test images with different labels lie within 2 eps of each other: they cannot both be right.
    Raises RunError where the file cannot be read.
    """
    path = folder / "figure4_cap.csv"
    rows = [numbers(row) for row in read_rows(path, ["num1", "num2", "size", "d", "eps", "cap"])]
    if not all(0 <= row["cap"] <= 1 for row in rows):
        raise RunError(f"{path} has a cap that is no share, from 0 to 1")
    return {cap_key(row): row["cap"] for row in rows}


def append_row(path: Path, columns: list[str], row: dict) -> None:
    """Append the row to the results CSV under a lock, whole or not at all; a new file gets its header. Raises RunError.

    Where something else has torn the last line meanwhile, the row starts a line of its own, with a warning.
    """
    with _locked(path):
        text, content = _read(path), io.StringIO()
        header = next(csv.reader(text.splitlines()[:1]), columns)
        _check_columns(path, header, columns)
        writer = csv.DictWriter(content, header, lineterminator="\n")
        if not text:
            writer.writeheader()
        elif not text.endswith("\n"):
            warn(f"the last line of {path} is torn; the new row comes after it")
            content.write("\n")
        writer.writerow(row)
        content = content.getvalue().encode()
        with open(path, "ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(content) < len(content):
                    raise OSError("no space left for the row")
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise


@contextlib.contextmanager
def _locked(path):
    """A context in which no other process appends to the file; it makes the folder, and refuses what cannot be written."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        new = not os.path.exists(path)
        # FileLock alone would wait until its timeout where nothing can be written.
        open(path, "a").close()
        with FileLock(f"{path}.lock", timeout=60):
            try:
                yield
            finally:
                if new and os.path.exists(path) and os.path.getsize(path) == 0:
                    os.remove(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error}") from error
