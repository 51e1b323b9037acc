"""Folders that can be written, and files that are whole or absent."""

import contextlib
import errno
import os
import signal
import tempfile

from lib import RunError, files, mnist
from lib.signals import Stopped

import pytest


def test_a_folder_is_made_and_left_empty_or_is_an_error(tmp_path, links):
    (tmp_path / "link").symlink_to(tmp_path / "new", target_is_directory=True)
    files.check_folder(tmp_path / "link")  # a dangling one is followed
    files.check_folder(tmp_path / "new" / "one")
    assert list((tmp_path / "new" / "one").iterdir()) == []
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/inside"):
        with pytest.raises(RunError, match="cannot write to"):
            files.check_folder(tmp_path / folder)


def test_a_run_has_its_name_from_the_script_and_the_configuration():
    assert files.run_name("advtrain", {"width": 1000, "V": 0.1}, ".pt") == "advtrain-width=1000-V=0.1.pt"
    first, second = (files.run_name("ntk_normal", {"C0": "10-" * 100 + last}, ".pt") for last in ("20", "30"))
    assert first != second
    written = ".checkpoint.1234567.part"
    assert max(len(files.run_name("advtrain", {"C0": "9" * digits}, written)) for digits in range(300)) < 120


def test_what_killed_runs_left_is_removed_and_no_planted_link_is_followed(tmp_path, monkeypatch, links):
    path, planted = tmp_path / "file.pt", tmp_path / "planted"
    planted.write_text("keep")
    (tmp_path / f"file.pt.{os.getpid()}.part").symlink_to(planted)
    old, fresh, other = (tmp_path / name for name in ("file.pt.1.part", "file.pt.2.part", "other.pt.1.part"))
    folder = tmp_path / "lazy-training-mnist-1"
    folder.mkdir()
    for left in (old, fresh, other, folder / "half"):
        left.write_text("half")
    for left in (old, other, folder):
        os.utime(left, (0, 0))
    files.write_whole(path, b"new")
    assert path.read_bytes() == b"new" and planted.read_text() == "keep"
    assert sorted(tmp_path.iterdir()) == sorted([path, planted, fresh, other, folder])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mnist.read.__wrapped__(mnist.DATA_DIR)
    assert not folder.exists()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_said_and_does_without(tmp_path, monkeypatch, capsys, code):
    pytest.importorskip("fcntl")

    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    for warnings in (1, 0):
        with files.locked(tmp_path / "a.lock", timeout=-1):
            warned = capsys.readouterr().err
            assert warned.count("\n") == warned.count(f"without the lock {tmp_path / 'a.lock'}") == warnings


def test_a_file_that_does_not_fit_on_the_disk_leaves_the_old_one(tmp_path):
    resource = pytest.importorskip("resource")
    path, limits = tmp_path / "file.pt", resource.getrlimit(resource.RLIMIT_FSIZE)
    files.write_whole(path, b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*file\.pt"):
            files.write_whole(path, b"new" * 1000)
        with pytest.raises(RunError, match="cannot write to"):
            files.check_folder(tmp_path)
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
