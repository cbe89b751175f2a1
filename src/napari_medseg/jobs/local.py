"""Runs jobs in one warm worker process on this computer."""

import asyncio
import atexit
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Literal

from napari_medseg.errors import JobError
from napari_medseg.jobs.envelope import Command, pack
from napari_medseg.jobs.job import Job
from napari_medseg.jobs.supervisor import Supervisor, Ticket
from napari_medseg.jobs.work import Work
from napari_medseg.progress import Event, Message

logger = logging.getLogger(__name__)


class LocalJob(Job):
    """A job of a `LocalEngine`. Its listeners run in the engine's event thread."""

    def __init__(self, work: Work, call: Callable[[Callable[[Supervisor], None]], None]) -> None:
        super().__init__(work)
        self._call = call
        self.ticket = Ticket(self, pack(work, f"The job {work.function}"))

    def cancel(self) -> None:
        """Ask the job to stop at its next checkpoint; a worker that does not obey is killed."""
        self._command(Command("cancel"))

    def pause(self) -> None:
        """Ask the job to wait at its next checkpoint; its state is ``"paused"`` once it does."""
        self._command(Command("pause"))

    def resume(self) -> None:
        """Let a paused job go on."""
        self._command(Command("resume"))

    def send(self, message: Message) -> None:
        """Tell the running job something that its kind understands; ignored once it is over."""
        pack(message, "A message to the job")
        self._command(Command("send", message))

    def _command(self, command: Command) -> None:
        if not self.ended:
            self._call(lambda supervisor: supervisor.command(self.ticket, command))


class LocalEngine:
    """Runs jobs in a worker process of its own, which is warm before the first job and replaced when it dies.

    Nothing here blocks the caller, and nothing imports torch into the caller's process.

    Parameters
    ----------
    patience_seconds : float
        How long a cancelled job may take to reach a checkpoint before its worker is killed.
    warm_up : bool
        Whether the worker imports torch as soon as it runs.
    """

    def __init__(self, patience_seconds: float = 20.0, *, warm_up: bool = True) -> None:
        self._supervisor = Supervisor(self._deliver, patience_seconds, warm_up)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="medseg-engine", daemon=True)
        self._told: queue.SimpleQueue[tuple[Job, Event] | None] = queue.SimpleQueue()
        self._teller = threading.Thread(target=self._tell, name="medseg-events", daemon=True)
        self._lock = threading.Lock()
        self._state: Literal["new", "open", "closed"] = "new"

    @property
    def ready(self) -> bool:
        """Whether a worker is connected, so that a job would start at once."""
        worker = self._supervisor.worker
        return worker is not None and worker.alive and worker.address is not None

    @property
    def worker_pid(self) -> int | None:
        """Process number of the present worker; None while there is none."""
        worker = self._supervisor.worker
        return worker.pid if worker is not None and worker.alive else None

    @property
    def scheduler_address(self) -> str | None:
        """Where the worker connects to; None before there is one."""
        return self._supervisor.scheduler_address

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._state == "closed"

    def start(self) -> None:
        """Begin to start the worker, in the background; a second call does nothing."""
        with self._lock:
            if self._state != "new":
                return
            self._state = "open"
            # Not the platform's default: on Windows that one lacks what dask's connections need.
            self._loop = asyncio.SelectorEventLoop()
            self._thread.start()
            self._teller.start()
        atexit.register(self.close)

    def submit(self, work: Work) -> Job:
        """Queue a job, and start the worker if nobody did.

        Parameters
        ----------
        work : Work
            What to do.

        Returns
        -------
        Job
            In state ``"waiting"``.

        Raises
        ------
        JobError
            If the work cannot be sent to another process, or the engine is closed.
        """
        job = LocalJob(work, self._call)
        self.start()
        if self.closed:
            raise JobError("The job engine was closed.", "Start napari again.")
        self._call(lambda supervisor: supervisor.submit(job.ticket))
        return job

    def close(self, grace_seconds: float = 2.0) -> None:
        """Cancel all jobs, end the worker, and wait until both are gone.

        Parameters
        ----------
        grace_seconds : float
            How long running jobs may take to stop by themselves.
        """
        with self._lock:
            was, self._state = self._state, "closed"
        if was != "open":
            return
        atexit.unregister(self.close)
        self._call(lambda supervisor: supervisor.close(grace_seconds))
        self._thread.join(grace_seconds + 5)
        if self._supervisor.worker is not None:
            self._supervisor.worker.kill()
        self._told.put(None)
        self._teller.join(1)

    def _call(self, do: Callable[[Supervisor], None]) -> None:
        """Run a function on the engine's event loop, in order; nothing happens once the loop has ended."""
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(do, self._supervisor)

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._the_loop) as runner:
                runner.run(self._supervisor.serve())
        except Exception as error:
            # An interpreter on its way out refuses imports; that is the end of the engine, not a fault of it.
            logger.log(logging.DEBUG if self.closed else logging.ERROR, "The job engine stopped", exc_info=error)
            self._supervisor.fail(JobError(f"The job engine stopped: {type(error).__name__}: {error}"))

    def _the_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    def _deliver(self, job: Job, event: Event) -> None:
        self._told.put((job, event))

    def _tell(self) -> None:
        # A thread of its own: a slow listener must not hold up the connection to the worker.
        while (item := self._told.get()) is not None:
            job, event = item
            job.emit(event)


_shared: list[LocalEngine] = []


def local_engine() -> LocalEngine:
    """Return the engine that all widgets of this process share; a new one if the last was closed."""
    if not _shared or _shared[0].closed:
        _shared[:] = [LocalEngine()]
    return _shared[0]
