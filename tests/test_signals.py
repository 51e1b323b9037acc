"""Ctrl-C, SIGTERM and SIGHUP: polite stops that lose nothing."""

import os
import signal
import struct
import subprocess
import sys
from types import SimpleNamespace

from lib import ROOT, signals
from lib.checkpoint import Checkpoint, Clock

import pytest
import torch

ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)  # Windows has none


@pytest.mark.slow
def test_a_run_whose_terminal_is_closed_saves_its_state_and_says_so_by_its_code(tmp_path):
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    command = [sys.executable, "ntk_normal.py", *"--width 300 --size 10 --T 900 --C0 900 --out".split()]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execve(sys.executable, [*command, str(tmp_path / "rows.csv")], ONE_THREAD)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    shown = b""
    while b"deviation" not in shown:
        shown += os.read(terminal, 1000)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGHUP
    assert len(list((tmp_path / "checkpoints").glob("*.checkpoint"))) == 1


@pytest.mark.parametrize("script", ["ntk_normal.py", "advtrain.py", "advtraingap.py", "plot_figures.py"])
def test_ctrl_c_while_pytorch_is_imported_is_one_line(tmp_path, script):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    for module in ("numpy", "matplotlib"):  # what takes long must not come before
        (tmp_path / f"{module}.py").write_text("raise KeyboardInterrupt")
    environment = ONE_THREAD | {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([sys.executable, ROOT / script], env=environment, capture_output=True, text=True)
    code = 0xC000013A if os.name == "nt" else -signal.SIGINT  # what a shell takes for Ctrl-C
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", f"{script}: interrupted\n")
    other = subprocess.run([sys.executable, "-c", "import lib; raise KeyboardInterrupt"], cwd=ROOT, capture_output=True)
    assert b"Traceback" in other.stderr  # nobody else's


def test_a_signal_ends_at_once_what_is_not_training():
    with pytest.raises(signals.Stopped) as stopped, signals.listening():
        signal.raise_signal(signal.SIGTERM)
    assert stopped.value.signum == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.fixture
def terminal():
    """The signals as on a terminal, also where the tests run under nohup, or in the background of a script."""
    usual = {HANGUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {signum: signal.signal(signum, handler) for signum, handler in usual.items()}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def test_of_signals_that_come_again_only_ctrl_c_ends_at_once_what_is_training(terminal):
    with signals.listening():
        signals.defer(True)
        for signum in (HANGUP, HANGUP, signal.SIGINT, signal.SIGTERM):  # a closed terminal may send the first twice
            signal.raise_signal(signum)
            assert signals.asked() == HANGUP
        with pytest.raises(signals.Stopped) as stopped:
            signal.raise_signal(signal.SIGINT)
    assert stopped.value.signum == signal.SIGINT
    with pytest.raises(signals.Stopped):
        signals.defer(False)  # the first
    assert signals.asked() is None
    with signals.listening():  # a Ctrl-C of before is forgotten
        signals.defer(True)
        signal.raise_signal(signal.SIGINT)
        assert signals.asked() == signal.SIGINT
    signals._State.asked = None


def test_a_signal_after_the_last_save_ends_the_process_once_the_row_is_there(tmp_path, terminal):
    saving, rows = Checkpoint(tmp_path, "any", {"seed": 0}, seconds=0), []
    run = SimpleNamespace(W=torch.ones(2, 2))
    with pytest.raises(signals.Stopped) as stopped, signals.listening(), saving.exclusive():
        saving.save_if_due(run, Clock())
        saving.restore(run, ())
        signal.raise_signal(signal.SIGINT)
        rows.append("measured")
    assert (rows, stopped.value.signum) == (["measured"], signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(HANGUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals.listening():
            signal.raise_signal(HANGUP)
    finally:
        signal.signal(HANGUP, before)
