"""The results files: CSVs with a row for each run, which any number of processes may append to.

A script's columns up to and including `seed` say which run a row is; the rest say what came out.
"""

import contextlib
import csv
import io
import os
import sys
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from lib import RunError


class Results:
    """The results of a script: the CSV that its rows are appended to, and the files beside it that are the script's.

    summary is a function that makes of a row, a dict of strings, the lines that a person reads.
    """

    def __init__(self, path: Path, script: str, columns: list[str], summary):
        self.path, self.script, self.columns, self.summary = Path(path), script, columns, summary

    def missing(self, configs: list[dict], force: bool = False, saving: bool = False) -> list[dict]:
        """Those of the configurations that have no row yet, or all with force; the summaries of the rows are printed.

        Makes the CSV with its header, to find out before training whether it can be written. saving: whether the script
        saves networks, too, which those that are skipped miss. Raises RunError.
        """
        files = {self.path: None} | dict.fromkeys(results_files(self.path.parent, self.script))
        rows = [row for path in sorted(files) for row in open_results(path, self.columns)]
        missing = []
        for config in configs:
            row = None if force else find_row(rows, config)
            if row is None:
                missing.append(config)
            else:
                unsaved = " and saves its network" if saving else ""
                print(f"skipped: it has its row already (--force runs it again{unsaved})\n{self.summary(row)}")
        return missing

    def append(self, row: dict) -> None:
        """Append the row, a dict that has all columns, and print its summary. Raises RunError."""
        row = {column: str(row[column]) for column in self.columns}
        append_row(self.path, self.columns, row)
        tqdm.write(self.summary(row))  # print would run into the progress bar
        sys.stdout.flush()


def configuration_columns(columns: list[str]) -> list[str]:
    """The columns that say which run a row is: those up to and including `seed`."""
    return columns[: columns.index("seed") + 1]


def read_rows(path: Path, columns: list[str]) -> list[dict]:
    """The rows of a results CSV as dicts of strings.

    Raises RunError where the file cannot be read, has other columns than these, or a row is torn or not of numbers.
    """
    try:
        text = Path(path).read_text()
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"cannot read {path}: {error}") from error
    if lines and lines[0] != columns:
        raise RunError(f"{path} has other columns than this script writes; choose another --out, or move it away")
    for number, line in enumerate(lines, start=1):
        if len(line) != len(columns) or (number == len(lines) and not text.endswith("\n")):
            raise RunError(f"{path}, line {number}: a torn row; complete or remove the line")
    rows = [dict(zip(columns, line)) for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        try:
            numbers(row)
        except ValueError as error:
            raise RunError(f"{path}, line {number}: {error}") from error
    return rows


def numbers(row: dict) -> dict[str, float]:
    """The row's cells as floats, but for those that say what it ran on. Raises ValueError."""
    return {column: float(value) for column, value in row.items() if column not in ("device", "torch")}


def open_results(path: Path, columns: list[str]) -> list[dict]:
    """The rows of the results CSV at path, which is made with its header where there is none. Raises RunError."""
    with _locked(path, columns):
        return read_rows(path, columns)


def results_files(folder: Path, script: str) -> list[Path]:
    """The results CSVs of a script in folder: script.csv and such as script-2.csv or script_b.csv, but not script2.csv."""
    return sorted(path for path in Path(folder).glob(f"{script}*.csv") if not path.stem[len(script) :][:1].isalnum())


def append_row(path: Path, columns: list[str], row: dict) -> None:
    """Append the row to the results CSV under a lock, whole or not at all. Raises RunError.

    Where something else has torn the last line meanwhile, the row starts a line of its own, with a warning.
    """
    with _locked(path, columns) as file:
        if not Path(path).read_bytes().endswith(b"\n"):
            tqdm.write(f"warning: the last line of {path} is torn; the new row comes after it", file=sys.stderr)
            file.write(b"\n")
        _write_line(file, [row[column] for column in columns])


@contextlib.contextmanager
def _locked(path, columns):
    """The file with its header, open for appending while no other process has it so."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # Refuses a path that cannot be written, where FileLock alone would wait until its timeout.
        open(path, "a").close()
        with FileLock(f"{path}.lock", timeout=60), open(path, "ab", buffering=0) as file:
            if file.tell() == 0:
                _write_line(file, columns)
            yield file
    except OSError as error:
        raise RunError(f"cannot write {path}: {error}") from error


def _write_line(file, values):
    """Write one CSV line and see it on disk; a line that does not fit there is taken back."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    line, end = line.getvalue().encode(), file.tell()
    try:
        if file.write(line) < len(line):
            raise OSError("no space left for the row")
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def find_row(rows: list[dict], config: dict) -> dict | None:
    """The latest of the rows that has the configuration config, or None."""
    for row in reversed(rows):
        if all(float(row[column]) == float(value) for column, value in config.items()):
            return row
    return None
