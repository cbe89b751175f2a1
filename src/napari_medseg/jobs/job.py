"""The handle on a job: what it says, how it stands, and the user's hand on it."""

import logging
import queue
import threading
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from napari_medseg.errors import Cancelled, MedsegError
from napari_medseg.jobs.work import Work
from napari_medseg.progress import Event, Finished, Message

logger = logging.getLogger(__name__)

JobState = Literal["waiting", "running", "paused", "finished", "cancelled", "failed", "lost"]
ENDED: frozenset[JobState] = frozenset({"finished", "cancelled", "failed", "lost"})
"""States that a job does not leave."""

BACKLOG = 1000
"""Events kept for the first listener."""


@dataclass(frozen=True, slots=True)
class StateChanged(Event):
    """A job went from one state to another; the last event of every job is one whose state is in `ENDED`."""

    state: JobState
    error: MedsegError | None = None
    """Why it failed or was lost."""


class Job(ABC):
    """A piece of work that was handed to an engine.

    Attributes
    ----------
    work : Work
        What it does.
    id : str
        Unique name.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.id = uuid.uuid4().hex
        self._state: JobState = "waiting"
        self._error: MedsegError | None = None
        self._result: object = None
        self._listeners: list[Callable[[Event], None]] = []
        self._backlog: deque[Event] = deque(maxlen=BACKLOG)
        self._lock = threading.RLock()
        self._ended = threading.Event()

    @property
    def state(self) -> JobState:
        """Where the job stands; at least as new as the last event that a listener saw."""
        return self._state

    @property
    def ended(self) -> bool:
        """Whether the job is over, in whatever way."""
        return self._state in ENDED

    @property
    def error(self) -> MedsegError | None:
        """Why the job failed or was lost; None otherwise."""
        return self._error

    @property
    def result(self) -> object:
        """What `Finished` carried; None until then."""
        return self._result

    def on(self, callback: Callable[[Event], None]) -> None:
        """Call `callback` with every event, state changes included, in order.

        Parameters
        ----------
        callback : callable
            Runs in the engine's background thread (inline: in the caller's), so a widget hands the event over to its
            own thread. The first listener also gets what came before it, at once and in the calling thread: the
            latest `BACKLOG` events.
        """
        with self._lock:
            first = not self._listeners
            self._listeners.append(callback)
            if first:
                for event in self._backlog:
                    _call(callback, event)
                self._backlog.clear()
            elif self.ended:
                _call(callback, StateChanged(self._state, self._error))

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Yield every event as it comes, until the job is over.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for the next event.

        Yields
        ------
        Event
            In order; the last is a `StateChanged` to one of `ENDED`.

        Raises
        ------
        TimeoutError
            If nothing came for `timeout` seconds.
        """
        inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.on(inbox.put)
        while True:
            try:
                event = inbox.get(timeout=timeout)
            except queue.Empty:
                raise TimeoutError(f"The job said nothing for {timeout} s.") from None
            yield event
            if isinstance(event, StateChanged) and event.state in ENDED:
                return

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is over and all listeners were told; return whether it is, after `timeout` seconds."""
        return self._ended.wait(timeout)

    def outcome(self, timeout: float | None = None) -> object:
        """Wait for the job and return its result.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait.

        Returns
        -------
        object
            What `Finished` carried.

        Raises
        ------
        MedsegError
            The job's error, or `Cancelled`.
        TimeoutError
            If the job is not over in time.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"The job is not over after {timeout} s.")
        if self._state == "finished":
            return self._result
        raise self._error or Cancelled()

    @abstractmethod
    def cancel(self) -> None:
        """Ask the job to stop at its next checkpoint; a waiting job is over at once."""

    @abstractmethod
    def pause(self) -> None:
        """Ask the job to wait at its next checkpoint; its state is ``"paused"`` once it does."""

    @abstractmethod
    def resume(self) -> None:
        """Let a paused job go on."""

    @abstractmethod
    def send(self, message: Message) -> None:
        """Tell the running job something that its kind understands; ignored once it is over."""

    def emit(self, event: Event) -> None:
        """Take in an event of the job and pass it on; for engines. Nothing passes after the end."""
        with self._lock:
            if self.ended:
                return
            if isinstance(event, Finished):
                self._result = event.result
            if isinstance(event, StateChanged):
                self._state, self._error = event.state, event.error
            if not self._listeners:
                self._backlog.append(event)
            for callback in tuple(self._listeners):
                _call(callback, event)
        if self.ended:
            self._ended.set()


def ending(error: MedsegError | None) -> StateChanged:
    """Return the state change that an exception (or none) means for the job that raised it."""
    if error is None:
        return StateChanged("finished")
    return StateChanged("cancelled") if isinstance(error, Cancelled) else StateChanged("failed", error)


def _call(callback: Callable[[Event], None], event: Event) -> None:
    try:
        callback(event)
    except Exception:
        # One listener's mistake must not take the event from the others, nor end the job.
        logger.exception("A listener failed on %s", type(event).__name__)
