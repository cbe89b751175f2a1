import pickle

import pytest
from job_targets import Say

from napari_medseg.errors import Cancelled, DataError, JobError, MedsegError, WorkerLostError
from napari_medseg.jobs import InlineEngine, StateChanged, Work
from napari_medseg.jobs.envelope import LARGEST_BYTES, pack, unpack
from napari_medseg.jobs.work import stream
from napari_medseg.progress import Control, Event, Finished, Note


def test_stream_yields_the_events_in_order_and_ends_with_the_result() -> None:
    events = list(stream(Work("job_targets:count", {"notes": 3}), Control()))
    assert events == [Note("0"), Note("1"), Note("2"), Finished(3)]


def test_nothing_follows_the_result() -> None:
    assert list(stream(Work("job_targets:talk_after_the_end"), Control())) == [Finished("first")]


def test_a_job_without_result_is_an_error() -> None:
    with pytest.raises(JobError, match="without a result"):
        list(stream(Work("job_targets:end_without_result"), Control()))


@pytest.mark.parametrize("target", ["job_targets:nothing", "no.such.module:f", "job_targets", "", ":", "job_targets:"])
def test_a_wrong_target_is_named(target: str) -> None:
    with pytest.raises(JobError, match="cannot be loaded"):
        list(stream(Work(target), Control()))


def test_wrong_arguments_are_an_error_with_the_text_of_python() -> None:
    with pytest.raises(JobError, match="unexpected keyword argument 'nodes'"):
        list(stream(Work("job_targets:count", {"nodes": 3}), Control()))


@pytest.mark.parametrize(
    ("kind", "expected", "text"),
    [
        ("medseg", DataError, "Paint something"),
        ("value", JobError, r"RuntimeError: shapes \(2,\) and \(3,\)"),
        ("exit", JobError, "SystemExit: 3"),
        ("odd", JobError, "_OddError: odd"),
    ],
)
def test_failures_become_our_errors(kind: str, expected: type[MedsegError], text: str) -> None:
    with pytest.raises(expected, match=text):
        list(stream(Work("job_targets:fail", {"kind": kind}), Control()))


class TestInline:
    def test_events_and_states(self) -> None:
        job = InlineEngine().submit(Work("job_targets:count", {"notes": 1}))
        assert job.state == "waiting"
        assert list(job.events()) == [
            StateChanged("running"), Note("0"), Finished(1), StateChanged("finished"),
        ]  # fmt: skip
        assert (job.state, job.result, job.error) == ("finished", 1, None)

    def test_outcome_runs_the_job(self) -> None:
        assert InlineEngine().submit(Work("job_targets:count", {"notes": 2})).outcome() == 2

    def test_outcome_raises_what_the_job_raised(self) -> None:
        job = InlineEngine().submit(Work("job_targets:fail", {"kind": "medseg"}))
        with pytest.raises(DataError):
            job.outcome()
        assert job.state == "failed"

    def test_cancel_from_a_listener_stops_at_the_next_checkpoint(self) -> None:
        job = InlineEngine().submit(Work("job_targets:count", {"notes": 100}))
        seen: list[Event] = []

        def stop_at_three(event: Event) -> None:
            seen.append(event)
            if event == Note("3"):
                job.cancel()

        job.on(stop_at_three)
        job.wait()
        assert seen[-2:] == [Note("3"), StateChanged("cancelled")]
        with pytest.raises(Cancelled):
            job.outcome()

    def test_a_job_cancelled_before_it_began_does_nothing(self) -> None:
        job = InlineEngine().submit(Work("job_targets:count", {"notes": 1}))
        job.cancel()
        assert list(job.events()) == [StateChanged("cancelled")]

    def test_leaving_the_loop_cancels(self) -> None:
        job = InlineEngine().submit(Work("job_targets:count", {"notes": 9}))
        events = job.events()
        next(events)
        events.close()
        assert job.state == "cancelled"

    def test_messages_reach_the_job(self) -> None:
        job = InlineEngine().submit(Work("job_targets:echo", {"until": "b"}))
        job.send(Say("a"))
        job.send(Say("b"))
        assert [e.text for e in job.events() if isinstance(e, Note)] == ["listening", "a", "b"]

    def test_a_failing_listener_harms_neither_job_nor_the_other_listeners(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        job = InlineEngine().submit(Work("job_targets:count", {"notes": 1}))
        seen: list[Event] = []
        job.on(lambda _event: 1 / 0)
        job.on(seen.append)
        assert job.outcome() == 1
        assert len(seen) == 4
        assert "ZeroDivisionError" in caplog.text


class TestEnvelope:
    def test_what_cannot_be_pickled_is_refused_at_once(self) -> None:
        with pytest.raises(JobError, match="cannot be sent"):
            pack(lambda: None, "The job")

    def test_large_things_are_refused(self) -> None:
        with pytest.raises(JobError, match="Write the array to a file"):
            pack(bytes(LARGEST_BYTES + 1), "The job")

    def test_a_message_that_would_import_torch_is_refused(self) -> None:
        packed = b"ctorch\ntensor\n."
        with pytest.raises(JobError, match="would import torch"):
            unpack(packed, light=True)

    @pytest.mark.parametrize("error", [DataError("a", "b"), Cancelled(), WorkerLostError("c")])
    def test_errors_survive_the_journey(self, error: MedsegError) -> None:
        error.add_note("from there")
        copy = pickle.loads(pack(error, "x"))
        assert isinstance(copy, type(error))
        assert (copy.problem, copy.remedy, copy.__notes__) == (error.problem, error.remedy, ["from there"])
