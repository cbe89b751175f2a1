"""Runs a job in the caller's own thread."""

from collections.abc import Iterator

from napari_medseg.errors import MedsegError
from napari_medseg.jobs.job import Job, StateChanged, ending
from napari_medseg.jobs.work import Work, stream
from napari_medseg.progress import Control, Event, Message


class InlineJob(Job):
    """Work that runs while its events are taken: by a ``for`` loop over `events`, or by `wait`."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.control = Control()
        self._started = False

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Run the job and yield its events; leaving the loop early cancels it.

        Parameters
        ----------
        timeout : float, optional
            Without effect, as the job runs in this thread.

        Yields
        ------
        Event
            In order; the last is a `StateChanged` to one of `ENDED`.
        """
        if self._started:
            yield from super().events(timeout)
            return
        self._started = True
        try:
            for event in self._run():
                self.emit(event)
                yield event
        finally:
            self.emit(StateChanged("cancelled"))

    def wait(self, timeout: float | None = None) -> bool:
        """Run the job to its end; always true."""
        for _event in self.events(timeout):
            pass
        return True

    def cancel(self) -> None:
        """Ask the job to stop at its next checkpoint."""
        self.control.cancel()

    def pause(self) -> None:
        """Make the job wait at its next checkpoint, for another thread to call `resume`."""
        self.control.pause()

    def resume(self) -> None:
        """Let a paused job go on."""
        self.control.resume()

    def send(self, message: Message) -> None:
        """Leave a message for the job."""
        self.control.send(message)

    def _run(self) -> Iterator[Event]:
        if self.control.cancelled:
            yield StateChanged("cancelled")
            return
        yield StateChanged("running")
        error: MedsegError | None = None
        try:
            yield from stream(self.work, self.control)
        except MedsegError as raised:
            error = raised
        yield ending(error)


class InlineEngine:
    """Runs jobs in the caller's thread: for scripts, tests and the command line.

    Examples
    --------
    >>> engine = InlineEngine()
    >>> engine.submit(Work("napari_medseg.nowhere:nothing")).outcome()
    Traceback (most recent call last):
    ...
    napari_medseg.errors.JobError: The job 'napari_medseg.nowhere:nothing' cannot be loaded: ...
    """

    def submit(self, work: Work) -> Job:
        """Return a job that runs when its events are taken."""
        return InlineJob(work)

    def close(self) -> None:
        """Do nothing; there is nothing to free."""
