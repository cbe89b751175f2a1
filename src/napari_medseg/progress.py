"""What a long job tells its caller (events), and what the caller may tell the job (control)."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_medseg.errors import Cancelled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Event:
    """Something a job reports. All events are small and picklable."""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """How far a stage of the work has come."""

    stage: str
    """What is being done, as shown to the user, such as ``"Predicting"``."""
    done: int
    total: int
    seconds_left: float | None = None
    """Estimated from the rate so far; None until there is a rate."""


@dataclass(frozen=True, slots=True)
class Note(Event):
    """A sentence for the user that is not an error."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True)
class Step(Event):
    """One optimiser step was taken."""

    step: int
    """Steps taken so far, counted from 1."""
    steps: int
    """Steps planned."""
    loss: float
    learning_rate: float
    seconds: float
    """Training time so far."""


@dataclass(frozen=True, slots=True)
class EpochEnd(Event):
    """The model was scored on the held-out voxels."""

    step: int
    loss: float
    """Mean training loss since the last score."""
    dice: dict[str, float] | None
    """Dice per foreground class name on held-out annotated voxels; None when nothing could be held out."""
    is_best: bool
    seconds: float
    scores: dict[str, float] | None = None
    """Other scores than Dice, such as ``{"auc": 0.98}`` of a classification."""


@dataclass(frozen=True, slots=True)
class Preview(Event):
    """The current model's labels on one slice of one sample."""

    sample: str
    """Identifier of the sample in the run."""
    axis: int
    """Axis of the sample's array that the slice is perpendicular to."""
    index: int
    """Array index of the slice along `axis`."""
    labels: "NDArray[np.integer]"
    """(rows, columns) label values as in the sample's classes; 0 is background."""
    step: int
    doubt: "NDArray[np.uint8] | None" = None
    """(rows, columns) uncertainty of the labels, from 0 for sure to 255; None where it is not known."""
    shown: str = ""
    """What gave the labels and why, in a few words for the user."""


@dataclass(frozen=True, slots=True)
class Surveyed(Preview):
    """The same of a slice that nobody looks at, to find out where to look next; doubt includes disagreement."""


@dataclass(frozen=True, slots=True)
class Saved(Event):
    """Something complete is now on disk."""

    what: Literal["checkpoint", "best", "bundle"]
    path: Path
    step: int


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The last event of every job that was not cancelled and did not fail."""

    result: object


@dataclass(frozen=True, slots=True)
class Message:
    """Something the user's side tells a running job; jobs define the kinds they understand."""


class Control:
    """The caller's hand on a running job: cancel, pause, and messages. Thread-safe.

    A job calls `checkpoint` once per step, tile batch or file.

    Examples
    --------
    >>> control = Control()
    >>> control.checkpoint()
    >>> control.cancel()
    >>> control.checkpoint()
    Traceback (most recent call last):
    ...
    napari_medseg.errors.Cancelled: Stopped on request.
    """

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._running = threading.Event()
        self._running.set()
        self._lock = threading.Lock()
        self._inbox: list[Message] = []

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    @property
    def paused(self) -> bool:
        """Whether the job waits at its next checkpoint."""
        return not self._running.is_set()

    def cancel(self) -> None:
        """Ask the job to stop at its next checkpoint; wakes a paused job."""
        self._cancelled.set()
        self._running.set()

    def pause(self) -> None:
        """Ask the job to wait at its next checkpoint."""
        if not self.cancelled:
            self._running.clear()

    def resume(self) -> None:
        """Let a paused job go on."""
        self._running.set()

    def send(self, message: Message) -> None:
        """Leave a message that the job reads when it next asks."""
        with self._lock:
            self._inbox.append(message)

    def receive(self) -> list[Message]:
        """Take all messages left since the last call, oldest first."""
        with self._lock:
            messages, self._inbox = self._inbox, []
        return messages

    def checkpoint(self) -> None:
        """Wait while paused; raise `Cancelled` once cancelled."""
        self._running.wait()
        if self.cancelled:
            raise Cancelled


def throttle(events: Iterator[Event], rate_hz: float = 10.0) -> Iterator[Event]:
    """Thin a stream of events for a reader that is slower than the job.

    `Step`, `Progress` and `Preview` come at most `rate_hz` times a second each, and the latest held back is delivered
    before any other kind of event and at the end of the stream; every other kind passes at once.

    Parameters
    ----------
    events : iterator of Event
        The job.
    rate_hz : float
        Largest number of events of one thinned kind per second.

    Yields
    ------
    Event
        A subsequence of `events`, in order within each kind.
    """
    held: dict[type[Event], Event] = {}
    due: dict[type[Event], float] = {}
    for event in events:
        kind = type(event)
        if kind not in (Step, Progress, Preview):
            yield from held.values()
            held.clear()
            yield event
            continue
        now = time.monotonic()
        if now < due.get(kind, 0.0):
            held[kind] = event
            continue
        held.pop(kind, None)
        due[kind] = now + 1.0 / rate_hz
        yield event
    yield from held.values()


def with_time_left(stage: str, total: int, started: float, done: int) -> Progress:
    """Return a `Progress` whose time left follows from the mean rate since `started` (``time.monotonic()``)."""
    left = (time.monotonic() - started) / done * (total - done) if done else None
    return Progress(stage, done, total, left)
