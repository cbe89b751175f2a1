"""A function in a thread of this process: its events, its errors, and a cancel that does not wait for it."""

import threading

import pytest

from napari_medseg.errors import Cancelled, JobError, ReadError
from napari_medseg.jobs import StateChanged, ThreadJob
from napari_medseg.progress import Control, Note, Progress

SOON = 10.0


def test_events_and_result_arrive_in_order() -> None:
    def work(_control: Control, tell) -> int:
        tell(Note("one"))
        tell(Note("two"))
        return 7

    job = ThreadJob("counting", work)
    events = list(job.events(SOON))
    assert [event.text for event in events if isinstance(event, Note)] == ["one", "two"]
    assert events[-1] == StateChanged("finished")
    assert job.outcome(SOON) == 7


def test_a_stream_of_progress_is_thinned_but_its_end_arrives() -> None:
    def work(_control: Control, tell) -> None:
        for done in range(10_001):
            tell(Progress("Reading", done, 10_000))

    events = [event for event in ThreadJob("reading", work).events(SOON) if isinstance(event, Progress)]
    assert events[-1].done == 10_000
    assert len(events) < 100


@pytest.mark.parametrize(
    ("raised", "problem"),
    [
        (ReadError("a.dcm is empty.", "Copy it again."), "a.dcm is empty."),
        (MemoryError(), "There is not enough memory."),
        (ZeroDivisionError("by zero"), "dividing stopped with ZeroDivisionError: by zero"),
    ],
)
def test_an_error_is_the_jobs_error(raised: Exception, problem: str) -> None:
    def work(_control: Control, _tell) -> None:
        raise raised

    job = ThreadJob("dividing", work)
    assert job.wait(SOON)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.problem == problem
    assert job.error.remedy
    assert isinstance(job.error, ReadError | JobError)


def test_a_cancelled_job_is_over_while_its_function_is_still_busy() -> None:
    busy, leave = threading.Event(), threading.Event()

    def work(_control: Control, tell) -> str:
        busy.set()
        leave.wait(SOON)
        tell(Note("too late"))
        return "too late"

    job = ThreadJob("decoding", work)
    assert busy.wait(SOON)
    job.cancel()
    events = list(job.events(SOON))
    assert events[-1] == StateChanged("cancelled")
    leave.set()
    with pytest.raises(Cancelled):
        job.outcome(SOON)
    assert job.result is None
    assert not any(isinstance(event, Note) for event in events)


def test_a_function_stops_at_its_checkpoint() -> None:
    stopped = threading.Event()

    def work(control: Control, _tell) -> None:
        try:
            while True:
                control.checkpoint()
        except Cancelled:
            stopped.set()
            raise

    job = ThreadJob("reading", work)
    job.pause()
    job.cancel()
    assert stopped.wait(SOON)
    assert job.wait(SOON)
    assert job.state == "cancelled"


def test_what_fails_because_it_was_cancelled_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    busy, leave, left = threading.Event(), threading.Event(), threading.Event()

    def work(_control: Control, _tell) -> None:
        busy.set()
        leave.wait(SOON)
        try:
            raise RuntimeError("the pool is gone")
        finally:
            left.set()

    job = ThreadJob("drawing", work)
    assert busy.wait(SOON)
    job.cancel()
    assert job.wait(SOON)
    leave.set()
    assert left.wait(SOON)
    for thread in threading.enumerate():
        if thread.name == "drawing":
            thread.join(SOON)
    assert not caplog.records
    assert job.state == "cancelled"
