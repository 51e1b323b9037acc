"""Folders that can be written, and files that are whole or absent."""

import contextlib
import os
import resource
import signal

import pytest

from lib import RunError, files
from lib.stopping import Stopped


def test_a_folder_is_made_and_left_empty_or_is_an_error(tmp_path):
    files.check_folder(tmp_path / "new" / "one")
    assert list((tmp_path / "new" / "one").iterdir()) == []
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/inside"):
        with pytest.raises(RunError, match="cannot write to"):
            files.check_folder(tmp_path / folder)


def test_a_run_has_its_name_from_the_script_and_the_configuration():
    assert files.run_name("advtrain", {"width": 1000, "V": 0.1, "seed": 0}) == "advtrain-width=1000-V=0.1-seed=0.pt"
    first, second = (files.run_name("ntk_normal", {"C0": "10-" * 100 + last}) for last in ("20", "30"))
    assert first != second and max(len(first), len(second)) < 220  # with what is added while it is written 255 at most


def test_a_file_that_does_not_fit_on_the_disk_leaves_the_old_one(tmp_path):
    path, limits = tmp_path / "file.pt", resource.getrlimit(resource.RLIMIT_FSIZE)
    files.write_whole(path, b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*file\.pt"):
            files.write_whole(path, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"old"
    files.write_whole(path, b"new" * 1000)
    assert path.read_bytes() == b"new" * 1000


@pytest.mark.parametrize("ended", [None, Stopped(signal.SIGTERM)])
def test_a_file_is_there_only_once_it_is_whole(tmp_path, monkeypatch, ended):
    path, replaced, rename = tmp_path / "file.pt", [], os.replace

    def replace(part, whole):
        with open(part, "rb") as file:
            replaced.append((path.exists(), file.read()))
        if ended:
            raise ended
        rename(part, whole)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Stopped) if ended else contextlib.nullcontext():
        files.write_whole(path, b"new")
    assert replaced == [(False, b"new")] and list(tmp_path.iterdir()) == ([] if ended else [path])
