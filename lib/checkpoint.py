"""The state of an unfinished run in a file, and the clock that goes on with it."""

import contextlib
import glob
import os
import time
import zlib
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from lib import RunError, stopping
from lib.files import run_name, save_whole
from lib.progress import note, warn


class Checkpoint:
    """The state of an unfinished run in a file of its own, from which the same command goes on after a kill.

    The file lies in folder and is named after the script and the run's configuration. A new one is due when so many
    seconds went by since the last, or since the start, and when a signal asks the process to end. shared is the part
    of the configuration that no two processes may be at, if not all of it.
    """

    def __init__(
        self, folder: Path, script: str, config: dict, device: str, seconds: float, shared: dict | None = None
    ):
        self.path, self.seconds, self.saved_at = Path(folder) / run_name(script, config), seconds, time.monotonic()
        self.identity = config | {"device": device, "torch": str(torch.__version__)}
        told = [column for column in ("d", "width", "C0", "eps", "seed") if column in config]
        self.title = ", ".join(
            f"{column} {value if isinstance(value := config[column], str) else f'{value:.4g}'}" for column in told
        )
        self.lock = (Path(folder) / run_name(script, shared or config)).with_suffix(".lock")

    @contextlib.contextmanager
    def alone(self):
        """A context in which no other process is at the same run: it waits for one that is, and says so.

        A folder that cannot be written has no lock, and no checkpoints either. At the end of the context the run has
        its row: its checkpoint is removed, unless an error or a signal ended it. Raises Stopped where a signal came
        while nothing was left to save.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                self.lock.parent.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(FileLock(self.lock, timeout=0))
                except Timeout:
                    note(f"{self.title}: waits for another process that is at this run")
                    stack.enter_context(FileLock(self.lock))
            yield
            self.remove()
            stopping.defer(False)

    def is_due(self) -> bool:
        """Whether it is time to `save`."""
        return stopping.asked() is not None or time.monotonic() - self.saved_at >= self.seconds

    def save(self, W: torch.Tensor, **state) -> None:
        """Replace the file, whole or not at all; a folder that cannot be written costs a warning, not the run.

        Raises Stopped afterwards where a signal asked the process to end.
        """
        content = {"run": self.identity, "checksum": _checksum(W), "W": W, **state}
        kept = "the same command goes on from here"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_whole(self.path, content)
        except (RunError, OSError) as error:
            warn(f"{error}; the run goes on without a new checkpoint")
            kept = "rows written before are kept"
        self.saved_at = time.monotonic()
        if signum := stopping.asked():
            raise stopping.Stopped(signum, kept)

    def restore(self, W: torch.Tensor, radii=()) -> dict:
        """Copy the saved W into W and return what was saved with it, or {} where there is nothing to go on from.

        From now on signals wait until the next `save`, which comes with the next step, or until `alone` ends.

        A file that is damaged, is another run's or another device's or PyTorch's, has a W of another shape, or lacks
        one of the radii because it is past it, is set aside with a warning.
        """
        stopping.defer(True)
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            fits = state["run"] == self.identity and state["W"].shape == W.shape
            fits = fits and set(radii) <= set(state.get("radii", ()))
            reason = "is another run's"
            if _checksum(state["W"]) != state["checksum"]:  # torch.load does not look
                raise ValueError
        except FileNotFoundError:
            return {}
        except Exception as error:  # whatever a damaged file makes torch.load stumble over
            fits, reason = False, f"cannot be read ({type(error).__name__})"
        if fits:
            note(f"going on from {self.path}")
            with torch.no_grad():
                W.copy_(state["W"])
            return state
        aside = self.path.with_suffix(".aside")
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
        warn(f"the checkpoint {self.path} {reason}; it is now {aside.name}, and the run starts anew")
        return {}

    def remove(self) -> None:
        """Remove the file of a run that has ended, its lock, and what kills left of those being written."""
        with contextlib.suppress(OSError):
            for path in self.path.parent.glob(f"{glob.escape(self.path.name)}*"):
                path.unlink()
            self.lock.unlink()


def _checksum(tensor: torch.Tensor) -> int:
    return zlib.crc32(tensor.detach().cpu().contiguous().numpy())


class Clock:
    """The seconds that a run has trained for, those before a kill included."""

    def __init__(self, seconds: float = 0.0):
        self.before, self.started = seconds, time.perf_counter()

    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.started

    @contextlib.contextmanager
    def paused(self):
        """A context whose own time does not count; it gives the seconds until then."""
        self.before = self.seconds()
        yield self.before
        self.started = time.perf_counter()
