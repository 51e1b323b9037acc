"""Ctrl-C, SIGTERM and SIGHUP: a run that is training saves its state at the next step, or epoch, then ends.

A run that has been trained ends once its row is written. Anything else, such as drawing figures, ends at once.
Slurm and `docker stop` send SIGTERM, a closed terminal sends SIGHUP.
"""

import contextlib
import signal

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(BaseException):
    """A signal asked the process to end; kept says in words what is left of its work."""

    def __init__(self, signum: int, kept: str = "rows written before are kept"):
        super().__init__(signum)
        self.signum, self.kept = signum, kept


class _State:
    asked = None  # the first signal that came during training
    interrupted = False  # whether one was a Ctrl-C
    deferring = False  # whether a run calls `asked` now and then


def asked() -> int | None:
    """The signal that came since `defer` was called, if any."""
    return _State.asked


def defer(yes: bool) -> None:
    """If yes, signals no longer end the process: the run finds them by `asked`. A second Ctrl-C still ends it at once.

    Other signals may well come twice: a closed terminal's from the system and from the shell, Slurm's SIGTERM from
    itself and from the batch script. Raises Stopped where one came that the run has not found.
    """
    left, _State.deferring, _State.asked, _State.interrupted = _State.asked, yes, None, False
    if left is not None:
        raise Stopped(left)


def _handle(signum, _):
    interrupt = signum == signal.SIGINT
    if not _State.deferring or (interrupt and _State.interrupted):
        raise Stopped(signum)
    _State.asked, _State.interrupted = _State.asked or signum, _State.interrupted or interrupt


@contextlib.contextmanager
def listening():
    """A context in which the signals are handled so. Those that are ignored, as after nohup, stay ignored."""
    _State.deferring, _State.asked, _State.interrupted = False, None, False
    handlers = {signum: signal.getsignal(signum) for signum in SIGNALS}
    before = {signum: handler for signum, handler in handlers.items() if handler is not signal.SIG_IGN}
    try:
        for signum in before:
            signal.signal(signum, _handle)
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
