"""Many cases on this computer: while one is computed, the next is read and the last is written."""

import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar, cast

from napari_medseg.errors import Cancelled, JobError, MedsegError
from napari_medseg.inference.cases.ledger import Clock, Ledger
from napari_medseg.inference.cases.records import CaseRecord, Records
from napari_medseg.inference.cases.request import Case, PredictRequest
from napari_medseg.inference.cases.saving import saver_for
from napari_medseg.inference.cases.stages import Loaded, Source, compute, finish, load
from napari_medseg.prediction import Prediction
from napari_medseg.progress import Control, Event, Finished, Note, Progress

if TYPE_CHECKING:
    from napari_medseg.models import Bundle

POLL_SECONDS = 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class CasesResult:
    """What became of many cases."""

    records: tuple[CaseRecord, ...]
    """One per case, in the order of the cases."""
    already_done: int
    """How many of them were done before."""

    @property
    def done(self) -> list[CaseRecord]:
        """Those that succeeded, now or before."""
        return [record for record in self.records if record.status == "done"]

    @property
    def failed(self) -> list[CaseRecord]:
        """Those that did not."""
        return [record for record in self.records if record.status == "failed"]


def predict_cases(cases: Sequence[Case], request: PredictRequest, control: Control | None = None) -> Iterator[Event]:
    """Predict on many images, leaving out those that are done and going on after those that fail.

    At most two images are in memory, with the labels of a third.

    Parameters
    ----------
    cases : sequence of Case
        As found by `find_cases`.
    request : PredictRequest
        The model, the options and the folder of the results.
    control : Control, optional
        Cancels and pauses; what is done stays done.

    Yields
    ------
    Event
        `Progress` over all cases, `Note` per case that failed, and last `Finished` with a `CasesResult`.

    Raises
    ------
    BundleError, DeviceError, ConfigError
        If no case could be predicted on: the model, the device or the format is at fault.
    Cancelled
        If `control` was cancelled.
    """
    from napari_medseg.device import choose
    from napari_medseg.models import Bundle

    control = control or Control()
    bundle = Bundle.load(request.bundle)
    choose(request.options.device)
    saver_for(request.format)
    records = Records(request.folder)
    finished, todo = yield from split_done(cases, request, control)
    already = len(finished)
    try:
        yield from _run(todo, bundle, request, control, finished)
    finally:
        records.write_manifest()
    records.sweep([case.name for case in cases])
    yield Finished(CasesResult(tuple(finished[case.name] for case in cases), already))


def split_done(
    cases: Sequence[Case], request: PredictRequest, control: Control
) -> Generator[Event, None, tuple[dict[str, CaseRecord], list[Case]]]:
    """Return the records of the cases that are done as requested, by name, and the cases that are not."""
    records, finished, todo = Records(request.folder), {}, []
    for number, case in enumerate(cases):
        control.checkpoint()
        yield Progress("Looking for what is done", number, len(cases))
        record = None if request.redo else records.done(case, request)
        if record is None:
            todo.append(case)
        else:
            finished[case.name] = record
    if finished:
        yield Note(f"{len(finished)} of {len(cases)} cases are done already.")
    return finished, todo


def _run(
    cases: Sequence[Case],
    bundle: "Bundle",
    request: PredictRequest,
    control: Control,
    finished: dict[str, CaseRecord],
) -> Iterator[Event]:
    clock, ledger = Clock(len(cases), time.monotonic()), Ledger(Records(request.folder), finished)
    writing: Future[CaseRecord] | None = None
    with ThreadPoolExecutor(1, "medseg-read") as reader, ThreadPoolExecutor(1, "medseg-write") as writer:
        for number, (case, reading) in enumerate(_read_ahead(cases, bundle, control, reader)):
            outcome = yield from clock.over_all(number, case, _predict(case, reading, bundle, request, control))
            if writing is not None:
                yield from ledger.enter(writing.result())
            writing = writer.submit(finish, case, outcome, request)
            del outcome
        if writing is not None:
            yield from ledger.enter(writing.result())


def _read_ahead(
    cases: Sequence[Case], bundle: "Bundle", control: Control, reader: ThreadPoolExecutor
) -> Iterator[tuple[Case, Future[Loaded]]]:
    """Yield each case with its reading, while that of the next one waits its turn."""
    ahead: Future[Loaded] | None = None
    for case, following in zip_longest(cases, cases[1:]):
        current = ahead or reader.submit(load, case, bundle, control)
        ahead = None if following is None else reader.submit(load, following, bundle, control)
        yield case, current


def _predict(
    case: Case, reading: Future[Loaded], bundle: "Bundle", request: PredictRequest, control: Control
) -> Generator[Event, None, tuple[Source, Prediction] | MedsegError]:
    """Return the prediction on a case, or why there is none."""
    try:
        yield Progress("Reading", 0, 1)
        loaded = _wait(reading, control)
        for event in compute(case, loaded, bundle, request, control):
            if isinstance(event, Finished):
                return loaded.source, cast("Prediction", event.result)
            yield event
    except Cancelled:
        raise
    except MedsegError as error:
        # Its frames hold the image.
        return error.with_traceback(None)
    raise JobError(f"The prediction on {case.name} ended without a result.", "This is an error inside napari-medseg.")


def _wait(future: "Future[T]", control: Control) -> T:
    while True:
        control.checkpoint()
        try:
            return future.result(timeout=POLL_SECONDS)
        except NotYet:
            if future.done():
                raise
