"""What runs inside the worker process."""

import contextlib
import gc
import importlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Literal, cast

from napari_medseg.errors import JobError, MedsegError
from napari_medseg.jobs.envelope import TOPIC, Command, Report, pack, unpack
from napari_medseg.jobs.work import Work, stream
from napari_medseg.progress import Control, Event

logger = logging.getLogger(__name__)

Tell = Callable[
    [Literal["running", "event", "paused", "resumed", "stopping", "ended"], Event | MedsegError | None], None
]

LONGEST_WAIT_SECONDS = 60.0
"""For the leave to begin."""

WARM = ("torch", "monai.networks.nets", "monai.inferers", "napari_medseg.inference.jobs", "napari_medseg.training.jobs")
"""Imported while the user still looks at the image, so that the first job starts at once."""

_running: dict[str, "JobControl"] = {}
"""The jobs of this process by attempt; only `run_job` changes it."""

_warming = threading.Lock()
"""Held during `warm_up`: monai imports itself in circles, and two threads in it at once see half-made modules."""


class JobControl(Control):
    """A control that tells the other side when the job obeys."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell
        self._told = False
        self.begun = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called; the job asked, so it is about to stop."""
        cancelled = super().cancelled
        if cancelled and not self._told and threading.current_thread() is not threading.main_thread():
            self._told = True
            self._tell("stopping", None)
        return cancelled

    def checkpoint(self) -> None:
        """Wait while paused, and say so; raise `Cancelled` once cancelled."""
        if not self.paused:
            super().checkpoint()
            return
        self._tell("paused", None)
        self._running.wait()
        if not self.cancelled:
            self._tell("resumed", None)
        super().checkpoint()


def run_job(attempt: str, packed: bytes) -> None:
    """Do a packed `Work`, publishing its events.

    Parameters
    ----------
    attempt : str
        Name under which reports go out and commands come in.
    packed : bytes
        The work.
    """
    from distributed import get_worker

    worker = get_worker()

    def tell(
        kind: Literal["running", "event", "paused", "resumed", "stopping", "ended"],
        value: Event | MedsegError | None = None,
    ) -> None:
        packed = pack(Report(attempt, kind, value), "An event")
        # Refused here, where it ends the job with a reason, rather than there.
        unpack(packed, light=True)
        worker.log_event(TOPIC, packed)

    control = _running[attempt] = JobControl(tell)
    tell("running")
    # Nothing is done before the other side knows of it: if this process dies now, the job is safely given to another.
    if control.begun.wait(LONGEST_WAIT_SECONDS):
        with _warming:
            pass
        tell("ended", _run(packed, control, tell))
    del _running[attempt]
    _free_memory()


def deliver(attempt: str, packed: bytes) -> None:
    """Hand packed commands to a running job, in order; for one that is over, do nothing."""
    control = _running.get(attempt)
    if control is None:
        return
    for command in cast("list[Command]", unpack(packed, light=False)):
        if command.kind == "begin":
            control.begun.set()
        elif command.kind == "send" and command.message is not None:
            control.send(command.message)
        elif command.kind == "cancel":
            control.cancel()
        elif command.kind == "pause":
            control.pause()
        elif command.kind == "resume":
            control.resume()


def warm_up() -> None:
    """Import what the first job will need."""
    with _warming:
        for name in WARM:
            # What is missing or broken is reported by the job that needs it.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def _run(packed: bytes, control: Control, tell: Tell) -> MedsegError | None:
    try:
        for event in stream(cast("Work", unpack(packed, light=False)), control):
            tell("event", event)
    except MedsegError as error:
        return _portable(error)
    return None


def _portable(error: MedsegError) -> MedsegError:
    """Return the error without its frames (they hold tensors) and with the traceback as a note."""
    note = "".join(traceback.format_exception(error))
    try:
        copy = unpack(pack(error, type(error).__name__), light=True)
    except JobError:
        copy = None
    portable = copy if isinstance(copy, MedsegError) else JobError(error.problem, error.remedy)
    portable.add_note(note)
    return portable


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
