"""The engine's event loop: a scheduler, a client, one worker at a time, and the queue of jobs."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from napari_medseg.errors import JobError, MedsegError, WorkerLostError
from napari_medseg.jobs import remote
from napari_medseg.jobs.envelope import TOPIC, Command, Ready, Report, pack, unpack
from napari_medseg.jobs.job import Job, StateChanged, ending
from napari_medseg.jobs.scheduler import encryption, start_client, start_scheduler, worker_keys
from napari_medseg.jobs.worker_process import WorkerProcess
from napari_medseg.progress import Event

if TYPE_CHECKING:
    from distributed import Future, Scheduler

logger = logging.getLogger(__name__)

MOST_EARLY_DEATHS = 3
"""Workers in a row that may die without having begun a job, before a new one is started only on demand."""

STATE_OF: dict[str, StateChanged] = {
    "running": StateChanged("running"),
    "paused": StateChanged("paused"),
    "resumed": StateChanged("running"),
}


@dataclass(eq=False)
class Ticket:
    """A job on its way through the engine."""

    job: Job
    packed: bytes
    """The work."""
    attempt: str = ""
    """Name of this run in the worker; empty while it waits here."""
    future: "Future[None] | None" = None
    started: bool = False
    """Whether the worker said that it runs."""
    cancelled: bool = False
    outbox: list[Command] = field(default_factory=list)
    """Commands that the worker has not got yet."""
    sending: "asyncio.Task[None] | None" = None
    deadline: asyncio.TimerHandle | None = None
    """When the worker is killed if a cancelled job has not stopped."""


class Supervisor:
    """Runs jobs in a worker process and replaces it when it dies. All methods run on one event loop.

    Parameters
    ----------
    emit : callable
        Takes each job's events, in order.
    patience_seconds : float
        How long a cancelled job may take to reach a checkpoint, and ten times that to clean up after it.
    warm_up : bool
        Whether a new worker imports torch at once.
    """

    def __init__(self, emit: Callable[[Job, Event], None], patience_seconds: float, warm_up: bool) -> None:
        self._emit = emit
        self._patience = patience_seconds
        self._warm_up = warm_up
        self._waiting: deque[Ticket] = deque()
        self._active: dict[str, Ticket] = {}
        self._early_deaths = 0
        self._attempts = 0
        self._wanted = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self.worker: WorkerProcess | None = None
        self.scheduler_address: str | None = None

    async def serve(self) -> None:
        """Start everything and keep a worker alive until `close`."""
        security = encryption()
        async with start_scheduler(security) as scheduler, start_client(scheduler.address, security) as self._client:
            self.scheduler_address = scheduler.address
            self._client.subscribe_topic(TOPIC, self._on_message)
            while not self._closing:
                await self._one_worker(scheduler, worker_keys(security))
                if self._early_deaths >= MOST_EARLY_DEATHS and not self._closing:
                    self._give_up()
                    await self._wanted.wait()

    def submit(self, ticket: Ticket) -> None:
        """Queue a job."""
        if self._closing:
            self._emit(ticket.job, StateChanged("cancelled"))
            return
        self._waiting.append(ticket)
        self._wanted.set()
        self._start_what_can()

    def command(self, ticket: Ticket, command: Command) -> None:
        """Pass the user's wish on to a job, now or when it starts."""
        if command.kind == "cancel":
            ticket.cancelled = True
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                self._emit(ticket.job, StateChanged("cancelled"))
                return
        ticket.outbox.append(command)
        if ticket.started and ticket.attempt in self._active:
            self._post(ticket)

    def close(self, grace_seconds: float) -> None:
        """Cancel all jobs, give the running ones `grace_seconds` to stop, and end the worker; returns at once."""
        self._closing = asyncio.create_task(self._close(grace_seconds))

    def fail(self, error: MedsegError) -> None:
        """Give up on all jobs, since the loop itself has failed."""
        change = StateChanged("cancelled") if self._closing else StateChanged("failed", error)
        for ticket in [*self._waiting, *self._active.values()]:
            self._emit(ticket.job, change)
        if self.worker is not None:
            self.worker.kill()

    async def _close(self, grace_seconds: float) -> None:
        for ticket in [*self._waiting, *self._active.values()]:
            self.command(ticket, Command("cancel"))
        for _tick in range(int(grace_seconds / 0.02)):
            if not self._active:
                break
            await asyncio.sleep(0.02)
        self._wanted.set()
        if self.worker is not None:
            self.worker.kill()

    async def _one_worker(self, scheduler: "Scheduler", keys: dict[str, str]) -> None:
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        name = f"medseg-worker-{self._attempts}"
        self._attempts += 1
        self._early_deaths += 1

        def on_exit() -> None:
            loop.call_soon_threadsafe(gone.set)

        self.worker = WorkerProcess(name, scheduler.address, keys, on_exit)
        await gone.wait()
        await hear_out(scheduler, self.worker)
        self._on_worker_gone(self.worker)

    def _on_message(self, stamped: tuple[float, bytes]) -> None:
        message = cast("Ready | Report", unpack(stamped[1], light=True))
        if isinstance(message, Ready):
            self._on_ready(message)
            return
        ticket = self._active.get(message.attempt)
        if ticket is None:
            return
        if message.kind == "event":
            self._emit(ticket.job, cast("Event", message.value))
        elif message.kind == "ended":
            self._end(ticket, ending(cast("MedsegError | None", message.value)))
            self._start_what_can()
        elif message.kind == "stopping":
            self._expect_end(ticket, 10 * self._patience)
        else:
            if message.kind == "running":
                self._early_deaths = 0
                ticket.started = True
                ticket.outbox.insert(0, Command("begin"))
                self._post(ticket)
            self._emit(ticket.job, STATE_OF[message.kind])

    def _on_ready(self, ready: Ready) -> None:
        if self.worker is None or ready.worker != self.worker.name:
            return
        self.worker.address = ready.address
        if self._warm_up:
            future = self._client.submit(remote.warm_up, key=f"warm-up-{ready.worker}", pure=False)
            future.add_done_callback(lambda done: done.release())
        self._start_what_can()

    def _start_what_can(self) -> None:
        worker = self.worker
        if worker is None or worker.address is None or not worker.alive:
            return
        for ticket in tuple(self._waiting):
            busy = any(other.job.work.exclusive for other in self._active.values())
            if ticket.job.work.exclusive and busy:
                continue
            self._waiting.remove(ticket)
            ticket.attempt = f"{ticket.job.id}-{worker.name}"
            self._active[ticket.attempt] = ticket
            ticket.future = self._client.submit(
                remote.run_job, ticket.attempt, ticket.packed, key=ticket.attempt, pure=False, workers=[worker.address]
            )

    def _post(self, ticket: Ticket) -> None:
        if any(command.kind == "cancel" for command in ticket.outbox):
            self._expect_end(ticket, self._patience)
        if ticket.outbox and ticket.sending is None:
            ticket.sending = asyncio.create_task(self._send_outbox(ticket))

    async def _send_outbox(self, ticket: Ticket) -> None:
        while ticket.outbox and ticket.attempt in self._active:
            commands, ticket.outbox = ticket.outbox, []
            packed = pack(commands, "A message to the job")
            try:
                await self._client.run(remote.deliver, ticket.attempt, packed)
            except OSError as error:
                # The worker went away in the middle; its end is handled where it is seen.
                logger.debug("Commands for %s were not delivered: %s", ticket.attempt, error)
        ticket.sending = None

    def _expect_end(self, ticket: Ticket, seconds: float) -> None:
        if ticket.deadline is not None:
            ticket.deadline.cancel()
        ticket.deadline = asyncio.get_running_loop().call_later(seconds, self._lose_patience, ticket)

    def _lose_patience(self, ticket: Ticket) -> None:
        if ticket.attempt in self._active and self.worker is not None:
            logger.warning("%s did not stop when asked to; its worker is replaced", ticket.job.work.function)
            self.worker.kill()

    def _end(self, ticket: Ticket, change: StateChanged) -> None:
        del self._active[ticket.attempt]
        if ticket.deadline is not None:
            ticket.deadline.cancel()
        if ticket.future is not None:
            ticket.future.release()
        self._emit(ticket.job, change)

    def _on_worker_gone(self, worker: WorkerProcess) -> None:
        fate = worker.fate()
        if not self._closing:
            logger.warning("The worker %s. It wrote last:\n%s", fate, worker.last_words)
        for ticket in tuple(self._active.values()):
            if ticket.cancelled:
                self._end(ticket, StateChanged("cancelled"))
            elif ticket.started:
                self._end(ticket, StateChanged("lost", lost(fate)))
            else:
                del self._active[ticket.attempt]
                if ticket.future is not None:
                    ticket.future.release()
                self._waiting.appendleft(ticket)

    def _give_up(self) -> None:
        assert self.worker is not None
        words = self.worker.last_words.strip().splitlines()
        error = JobError(
            f"The worker process cannot start: it {self.worker.fate()}. {words[-1] if words else ''}".strip(),
            "Run `python -c 'import torch, monai, distributed'` in this environment to see what is broken.",
        )
        self._early_deaths = 0
        for ticket in self._waiting:
            self._emit(ticket.job, StateChanged("failed", error))
        self._waiting.clear()
        self._wanted.clear()


def lost(fate: str) -> WorkerLostError:
    """Return the error of a job whose worker ended in the middle of it."""
    return WorkerLostError(
        f"The worker process {fate} during the job, most often because memory ran out.",
        "A new worker is being started. A training run resumes from its last checkpoint; "
        "if this happens again, use a smaller patch or batch.",
    )


async def hear_out(scheduler: "Scheduler", worker: WorkerProcess) -> None:
    """Wait until all that a dead worker said has arrived."""
    # A process that the worker forked holds the connection open.
    worker.kill()
    for _tick in range(100):
        if worker.address not in scheduler.workers:
            break
        await asyncio.sleep(0.02)
    else:
        assert worker.address is not None
        await scheduler.remove_worker(address=worker.address, stimulus_id="medseg-worker-gone")
    await asyncio.sleep(0.05)
