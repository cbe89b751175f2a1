"""Many cases on a Dask cluster that the user names: each case is one task, on whichever worker is free.

Images, the model and the results are files that all computers reach by the same paths; only paths and settings travel.
"""

import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari_medseg.errors import Cancelled, JobError, MedsegError
from napari_medseg.inference.cases import Case, CaseRecord, CasesResult, PredictRequest
from napari_medseg.inference.cases.ledger import Ledger
from napari_medseg.inference.cases.pipeline import split_done
from napari_medseg.inference.cases.records import FOLDER, Records
from napari_medseg.inference.cases.saving import saver_for
from napari_medseg.inference.cases.stages import finish
from napari_medseg.io.writing import replacing
from napari_medseg.jobs import cluster_task
from napari_medseg.jobs.connection import connected
from napari_medseg.progress import Control, Event, Finished, Note, Progress, with_time_left

if TYPE_CHECKING:
    from distributed import Client, Future

CASES_PER_WORKER = 2
"""One that is computed, and one that is read meanwhile."""

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
"""For the first worker to come, and for running cases to stop when asked to."""


def predict_on_cluster(
    cases: Sequence[Case],
    request: PredictRequest,
    address: str,
    tls: Path | None = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """Predict on many images on a Dask cluster.

    A case whose worker is lost is given to another one, as often as the scheduler allows. Results appear under their
    name only when they are complete, so that a case that was finished is not done again, whoever was lost since.

    Parameters
    ----------
    cases : sequence of Case
        As found by `napari_medseg.inference.cases.find_cases`, at paths that the workers can read.
    request : PredictRequest
        The model, the options and the folder of the results, at paths that the workers share.
    address : str
        Of the scheduler, such as ``tcp://host:8786`` or ``tls://host:8786``.
    tls : Path, optional
        YAML or JSON file with the entries ``ca``, ``cert`` and ``key``: paths, relative to the file.
    control : Control, optional
        Cancels and pauses; what is done stays done.

    Yields
    ------
    Event
        `Progress` over all cases, `Note` on failures and lost workers, and last `Finished` with a `CasesResult`.

    Raises
    ------
    JobError
        If the scheduler or a worker cannot do the work: not there, another version, no access to the files.
    Cancelled
        If `control` was cancelled.
    """
    control = control or Control()
    saver_for(request.format)
    finished, todo = yield from split_done(cases, request, control)
    already, records = len(finished), Records(request.folder)
    if request.redo:
        for case in todo:
            # Or a worker would find it done.
            records.reopen(case.name)
    try:
        if todo:
            with connected(address, tls) as client:
                if address.startswith("tcp://") and not _is_here(address):
                    yield Note(f"The connection to {address} is not encrypted; --tls names certificates.", "warning")
                yield from _Run(client, request, Ledger(records, finished), control).all(todo)
    finally:
        records.write_manifest()
    records.sweep([case.name for case in cases])
    yield Finished(CasesResult(tuple(finished[case.name] for case in cases), already))


class _Run:
    """One pass over the cases that are to be done."""

    def __init__(self, client: "Client", request: PredictRequest, ledger: Ledger, control: Control) -> None:
        self._client, self._request, self._ledger, self._control = client, request, ledger, control
        self._id = uuid.uuid4().hex[:12]
        self._running: dict[Future[CaseRecord | None], Case] = {}
        self._workers: dict[str, int] = {}
        self._stop = request.folder / FOLDER / f".stop-{self._id}"

    def all(self, cases: Sequence[Case]) -> Iterator[Event]:
        """Do all cases."""
        yield from self._first_worker()
        self._check_workers()
        waiting, started, done = deque(cases), time.monotonic(), 0
        try:
            while waiting or self._running:
                self._control.checkpoint()
                yield from self._look_at_workers()
                self._submit(waiting)
                for future in self._some_done():
                    record = self._record_of(future, self._running.pop(future))
                    done += 1
                    yield from self._ledger.enter(record)
                yield with_time_left(f"Predicting with {len(self._workers)} workers", len(cases), started, done)
        except Cancelled:
            self._wind_up()
            raise
        finally:
            self._stop.unlink(missing_ok=True)

    def _first_worker(self) -> Iterator[Event]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (workers := self._client.nthreads()):
            self._control.checkpoint()
            yield Progress("Waiting for workers", 0, 1)
            if time.monotonic() > deadline:
                raise JobError(
                    f"The scheduler has had no worker for {PATIENCE_SECONDS:.0f} s.",
                    "Start workers: dask worker ADDRESS, in an environment with napari-medseg.",
                )
            time.sleep(POLL_SECONDS)
        self._workers = dict(workers)

    def _check_workers(self) -> None:
        """Raise unless every worker has this version, the model, and the folder of the results."""
        request, token = self._request, self._request.folder / FOLDER / f".token-{self._id}"
        with replacing(token) as temporary:
            temporary.write_text(self._id, encoding="utf-8")
        try:
            found = self._client.run(
                cluster_task.problem_of_worker, request, token, self._id, version("napari-medseg"), on_error="return"
            )
        finally:
            token.unlink(missing_ok=True)
        for worker, problem in found.items():
            if problem is not None:
                raise JobError(
                    f"The worker {worker} cannot do this work: {problem}",
                    "All workers need the same version of napari-medseg and the same paths to model, images and --out.",
                )

    def _look_at_workers(self) -> Iterator[Event]:
        present = dict(self._client.nthreads())
        lost = len(self._workers.keys() - present.keys())
        if lost:
            workers = "A worker was" if lost == 1 else f"{lost} workers were"
            yield Note(f"{workers} lost; what was not finished goes to others.", "warning")
        if not present and self._workers:
            yield Note("No worker is left; waiting for new ones.", "warning")
        self._workers = present

    def _submit(self, waiting: deque[Case]) -> None:
        neighbours = cluster_task.workers_by_host(self._workers)
        while waiting and len(self._running) < CASES_PER_WORKER * max(len(self._workers), 1):
            case = waiting.popleft()
            future = self._client.submit(
                cluster_task.predict_case,
                case,
                self._request,
                self._stop,
                neighbours,
                version("napari-medseg"),
                key=f"medseg-{self._id}-{case.name}",
                pure=False,
            )
            self._running[future] = case

    def _some_done(self) -> "list[Future[CaseRecord | None]]":
        """Return the tasks that ended since the last look, after a moment if there are none."""
        done = [future for future in self._running if future.done()]
        if not done:
            time.sleep(POLL_SECONDS)
        return done

    def _record_of(self, future: "Future[CaseRecord | None]", case: Case) -> CaseRecord:
        """Return what became of a case; a case without a record of its own gets one here."""
        if future.status in ("cancelled", "lost"):
            raise _connection_lost()
        error = future.exception()
        if error is None:
            return cast("CaseRecord", future.result())
        if not isinstance(error, MedsegError):
            text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            error = JobError(f"{case.name} failed on the cluster ({text}).", "Its memory may be too small.")
        return finish(case, error, self._request)

    def _wind_up(self) -> None:
        """Let the running cases stop at their next checkpoint, and the waiting ones not begin."""
        with replacing(self._stop) as temporary:
            temporary.touch()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and not all(future.done() for future in self._running):
            time.sleep(POLL_SECONDS)
        self._client.cancel(list(self._running))


def _connection_lost() -> JobError:
    return JobError(
        "The connection to the scheduler was lost.", "Give the same command again: what is done is not done again."
    )


def _is_here(address: str) -> bool:
    return any(f"//{host}" in address for host in ("127.", "localhost", "[::1]"))
