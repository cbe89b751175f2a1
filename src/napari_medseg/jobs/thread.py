"""Runs a job in a thread of this process, for work whose arrays the caller wants to have: reading files."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from napari_medseg.errors import JobError, MedsegError
from napari_medseg.jobs.job import Job, StateChanged, ending
from napari_medseg.jobs.work import Work
from napari_medseg.progress import Control, Event, Finished, Message, Progress

logger = logging.getLogger(__name__)

Tell = Callable[[Event], None]
RATE_HZ = 10.0
"""Largest number of `Progress` events per second that listeners get."""


class ThreadJob(Job):
    """A function that runs in a daemon thread from now on.

    For the caller a cancelled job is over at once, whatever the function is doing; what it tells or returns after that
    is dropped.

    Parameters
    ----------
    name : str
        Of the work, for messages and the thread.
    function : callable
        Called with a `Control` and a function that tells listeners an event; returns the result. Must not touch the
        GUI.
    """

    def __init__(self, name: str, function: Callable[[Control, Tell], object]) -> None:
        super().__init__(Work(name, exclusive=False))
        self.control = Control()
        self._function = function
        self._due = 0.0
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def cancel(self) -> None:
        """End the job; its thread stops at its next checkpoint."""
        self.control.cancel()
        # A listener never hears of the end inside of its own call.
        threading.Thread(target=partial(self.emit, StateChanged("cancelled")), daemon=True).start()

    def pause(self) -> None:
        """Make the function wait at its next checkpoint."""
        self.control.pause()

    def resume(self) -> None:
        """Let a paused function go on."""
        self.control.resume()

    def send(self, message: Message) -> None:
        """Leave a message for the function."""
        self.control.send(message)

    def _run(self) -> None:
        self.emit(StateChanged("running"))
        error: MedsegError | None = None
        try:
            self.emit(Finished(self._function(self.control, self._tell)))
        except MedsegError as raised:
            error = raised
        except MemoryError:
            error = JobError("There is not enough memory.", "Close other programs or images, and try again.")
        except Exception as raised:
            if not self._is_unheard():
                logger.exception("%s failed", self.work.target)
            error = JobError(
                f"{self.work.target} stopped with {type(raised).__name__}: {raised}",
                "This is an error inside napari-medseg or a library; the log has the details.",
            )
        self.emit(ending(error))

    def _is_unheard(self) -> bool:
        """Return whether nobody waits for the job any more: it was cancelled, or Python is about to end."""
        return self.control.cancelled or not threading.main_thread().is_alive()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Progress):
            now = time.monotonic()
            if now < self._due and event.done < event.total:
                return
            self._due = now + 1 / RATE_HZ
        self.emit(event)
