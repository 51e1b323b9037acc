"""Folders that can be written, and files that are whole or absent."""

import io
import os
import resource
import signal

import pytest
import torch

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
    path = tmp_path / "tensor.pt"
    files.save_whole(path, torch.arange(5))
    whole, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*tensor\.pt"):
            files.save_whole(path, torch.arange(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == whole
    files.save_whole(path, torch.arange(50_000))
    assert len(torch.load(path)) == 50_000


def test_a_file_is_there_only_once_it_is_whole(tmp_path, monkeypatch):
    path, replaced, rename = tmp_path / "tensor.pt", [], os.replace

    def replace(part, whole):
        replaced.append((path.exists(), torch.load(part).tolist()))
        rename(part, whole)

    monkeypatch.setattr(os, "replace", replace)
    files.save_whole(path, torch.arange(5))
    assert replaced == [(False, [0, 1, 2, 3, 4])] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), Stopped(signal.SIGTERM)])
def test_a_signal_while_a_file_is_written_is_no_error_of_the_disk(tmp_path, interruption):
    class Interrupted(io.BytesIO):
        def write(self, content):
            raise interruption

    with pytest.raises(type(interruption)):
        files.write_whole(tmp_path / "tensor.pt", lambda file: torch.save(torch.arange(50_000), Interrupted()))
    assert list(tmp_path.iterdir()) == []
