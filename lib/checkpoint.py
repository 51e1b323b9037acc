"""The state of an unfinished run in a file, and the clock that goes on with it."""

import contextlib
import glob
import io
import os
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from lib import RunError, signals
from lib.files import locked, run_name, write_whole
from lib.groups import DATA
from lib.progress import note, warn
from lib.results import code_version, perhaps_other_code

import torch
from filelock import Timeout


class Clock:
    """The seconds that a run has trained for, those before a kill included."""

    def __init__(self, seconds: float = 0.0):
        self.started = time.perf_counter() - seconds

    def seconds(self) -> float:
        return time.perf_counter() - self.started


# What training without a checkpoint has in its place.
NO_CHECKPOINT = SimpleNamespace(title=None, restore=lambda *_: 0.0, save_if_due=lambda *_: None, save=lambda *_: None)


class Checkpoint:
    """The state of an unfinished run in a file of its own, from which the same command goes on after a kill.

    The state is a namespace of tensors, numbers and lists of numbers: all that the run needs to go on. The file lies in
    folder and is named after the script and the run's configuration. A new one is due when so many seconds went by since
    the last, or since the start, and when a signal asks the process to end. shared is the part of the configuration that
    keeps other processes away, if not all of it.
    """

    def __init__(self, folder: Path, script: str, config: dict, seconds: float, shared=None):
        self.path = Path(folder) / run_name(script, config, ".checkpoint")
        self.lock = Path(folder) / run_name(script, shared or config, ".lock")
        self.seconds, self.saved_at = seconds, time.monotonic()
        self.identity = config | {"torch": str(torch.__version__), "data": []}
        self.run = " ".join([script, *(f"{column}={value}" for column, value in config.items())])
        usual = DATA | {"attack": "l2", "bias": 0, "box": 0, "normalize": 0}
        named = [column for column, value in usual.items() if config.get(column, value) != value]
        named += [column for column in ("d", "width", "C0", "eps", "seed") if column in config]
        self.title = ", ".join(
            f"{column} {value if isinstance(value := config[column], str) else f'{value:.4g}'}" for column in named
        )

    @contextlib.contextmanager
    def exclusive(self):
        """A context in which no other process is at the same run: it waits for one that is, and says so.

        At the end of the context the run has its row: its checkpoint is removed, unless an error or a signal ended it.
        Raises Stopped where a signal came while nothing was left to save.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                self.lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locked(self.lock, timeout=0))
            except Timeout:
                note(f"{self.title}: waits for another process that is at this run")
                stack.enter_context(locked(self.lock, timeout=-1))
            yield
            self.remove()
            signals.defer(False)

    def save_if_due(self, run: SimpleNamespace, clock: Clock) -> None:
        """If it is time to, `save`. Raises Stopped afterwards where a signal asked the process to end."""
        signum = signals.asked()
        if signum is None and time.monotonic() - self.saved_at < self.seconds:
            return
        saved = self.save(run, clock.seconds())
        if signum is not None:
            raise signals.Stopped(
                signum, "the same command goes on from here" if saved else "rows written before are kept"
            )

    def save(self, run: SimpleNamespace, seconds: float) -> bool:
        """Replace the file, whole or not at all, and say whether that worked; where it does not, the run goes on."""
        self.saved_at = time.monotonic()
        content = io.BytesIO()
        try:
            torch.save({"run": self.identity, "code": code_version(), "seconds": seconds, **vars(run)}, content)
            content.write(zlib.crc32(content.getbuffer()).to_bytes(4, "big"))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, content.getbuffer())
            return True
        except (RunError, OSError) as error:
            warn(f"{error}; the run goes on without a new checkpoint")
            return False

    def restore(self, run: SimpleNamespace, data: Iterable[torch.Tensor], fits=lambda saved: True) -> float:
        """Give run the state that was saved, its tensors in place, if there is one; returns the seconds until then.

        From now on signals wait until the next `save_if_due`, at the next step or epoch, or until `exclusive` ends.
        data: the tensors trained on. A file that is damaged, is another run's or PyTorch's or of other data, has other
        names or shapes than run has, or a state, a dict, that does not fit, is set aside with a warning. Raises RunError
        where the file cannot be read now.
        """
        signals.defer(True)
        self.identity["data"] = [zlib.crc32(tensor.detach().cpu().contiguous().numpy()) for tensor in data]
        try:
            content = memoryview(self.path.read_bytes())
            content, checksum = content[:-4], content[-4:]
            if zlib.crc32(content).to_bytes(4, "big") != checksum:
                raise ValueError
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            reason = "does not fit this run"
            identity, code, seconds = saved.pop("run"), saved.pop("code", ""), saved.pop("seconds")
            if identity == self.identity and _shapes(saved) == _shapes(vars(run)) and fits(saved):
                reason = None
        except FileNotFoundError:
            return 0.0
        except (OSError, MemoryError) as error:
            raise RunError(f"cannot read the checkpoint {self.path} just now: {error}") from error
        except Exception as error:  # whatever a damaged file makes torch.load stumble over
            reason = f"cannot be read ({type(error).__name__})"
        if reason:
            aside = self.path.with_suffix(".aside")
            with contextlib.suppress(OSError):
                os.replace(self.path, aside)
            warn(f"the checkpoint {self.path} {reason}; it is now {aside.name}, and the run starts anew")
            return 0.0
        note(f"going on from {self.path}{perhaps_other_code(code)}")
        for name, value in saved.items():
            if isinstance(value, torch.Tensor):
                getattr(run, name).detach().copy_(value)
            else:
                setattr(run, name, value)
        return seconds

    def remove(self) -> None:
        """Remove the file of a run that has ended, its lock, and what kills left of those being written."""
        with contextlib.suppress(OSError):
            for path in self.path.parent.glob(f"{glob.escape(self.path.name)}*"):
                path.unlink()
            self.lock.unlink()


def _shapes(state):
    return {name: getattr(value, "shape", None) for name, value in state.items()}
