import os
import signal
import sys
import threading
import time

import pytest
from job_helpers import LIMIT, heard, in_state, submit, texts, until
from job_targets import Say

from napari_medseg.errors import Cancelled, DataError, JobError, MedsegError, WorkerLostError
from napari_medseg.jobs import LocalEngine, StateChanged
from napari_medseg.progress import Event, Finished, Note, Preview, Step


class TestEvents:
    def test_all_events_come_in_order_and_the_result_once(self, engine: LocalEngine) -> None:
        events = list(submit(engine, "count", notes=3000).events(LIMIT))
        assert texts(events) == [str(n) for n in range(3000)]
        assert [e for e in events if not isinstance(e, Note)] == [
            StateChanged("running"), Finished(3000), StateChanged("finished"),
        ]  # fmt: skip

    def test_listeners_run_outside_the_callers_thread(self, engine: LocalEngine) -> None:
        job = submit(engine, "count", notes=1)
        job.wait(LIMIT)
        threads: list[threading.Thread] = []
        running = submit(engine, "steps", n=2, seconds=0.05)
        running.on(lambda _event: threads.append(threading.current_thread()))
        running.wait(LIMIT)
        assert threading.current_thread() not in threads[1:]

    def test_the_first_listener_of_a_finished_job_hears_everything(self, engine: LocalEngine) -> None:
        job = submit(engine, "count", notes=2)
        assert job.wait(LIMIT)
        first: list[Event] = []
        second: list[Event] = []
        job.on(first.append)
        job.on(second.append)
        assert texts(first) == ["0", "1"]
        assert second == [StateChanged("finished")]

    def test_steps_are_thinned_but_the_last_arrives(self, engine: LocalEngine) -> None:
        events = list(submit(engine, "steps", n=200, seconds=0.002).events(LIMIT))
        steps = [e.step for e in events if isinstance(e, Step)]
        assert len(steps) < 50
        assert steps == sorted(set(steps))
        assert steps[-1] == 200

    def test_previews_pass_whole(self, engine: LocalEngine) -> None:
        events = list(submit(engine, "previews", n=20).events(LIMIT))
        previews = [e for e in events if isinstance(e, Preview)]
        assert previews
        assert all(p.labels.shape == (512, 512) for p in previews)

    def test_the_viewer_process_stays_free_of_torch(self, engine: LocalEngine) -> None:
        loaded_by_other_tests = "torch" in sys.modules
        assert submit(engine, "use_torch").outcome(LIMIT) == 3.0
        job = submit(engine, "return_tensor")
        with pytest.raises(JobError, match="would import torch"):
            job.outcome(LIMIT)
        assert ("torch" in sys.modules) == loaded_by_other_tests

    def test_an_array_as_message_is_refused(self, engine: LocalEngine) -> None:
        with pytest.raises(JobError, match="Write the array to a file"):
            submit(engine, "huge_event").outcome(LIMIT)


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "expected", "text"),
        [
            ("medseg", DataError, "Paint something"),
            ("value", JobError, r"RuntimeError: shapes \(2,\) and \(3,\)"),
            ("exit", JobError, "SystemExit: 3"),
            ("odd", JobError, "_OddError: odd"),
        ],
    )
    def test_come_with_type_text_and_traceback(
        self, engine: LocalEngine, kind: str, expected: type[MedsegError], text: str
    ) -> None:
        worker, _main = submit(engine, "where").outcome(LIMIT)  # type: ignore[misc]
        job = submit(engine, "fail", kind=kind)
        with pytest.raises(expected, match=text) as caught:
            job.outcome(LIMIT)
        assert job.state == "failed"
        assert "job_targets.py" in caught.value.__notes__[0]
        assert engine.worker_pid == worker

    def test_an_unknown_target_fails_the_job(self, engine: LocalEngine) -> None:
        with pytest.raises(JobError, match="cannot be loaded"):
            submit(engine, "nothing").outcome(LIMIT)

    def test_arguments_that_cannot_travel_are_refused_at_once(self, engine: LocalEngine) -> None:
        with pytest.raises(JobError, match="cannot be sent"):
            submit(engine, "count", notes=lambda: 3)


class TestControl:
    def test_messages_arrive_in_order_also_those_sent_before_the_start(self, engine: LocalEngine) -> None:
        job = submit(engine, "echo", until="199")
        for number in range(200):
            job.send(Say(str(number)))
        assert texts(list(job.events(LIMIT))) == ["listening", *[str(n) for n in range(200)]]

    def test_pause_and_resume_are_reported_when_they_happen(self, engine: LocalEngine) -> None:
        job = submit(engine, "steps", n=100, seconds=0.02)
        paused = in_state(job, "paused")
        job.pause()
        until(paused)
        assert job.state == "paused"
        assert not job.wait(0.3)
        job.resume()
        assert job.outcome(LIMIT) == 100

    def test_a_paused_job_can_be_cancelled(self, engine: LocalEngine) -> None:
        job = submit(engine, "steps", n=100, seconds=0.02)
        paused = in_state(job, "paused")
        job.pause()
        until(paused)
        job.cancel()
        assert job.wait(LIMIT)
        assert job.state == "cancelled"

    def test_cancel_takes_effect_within_one_step_of_torch(self, engine: LocalEngine) -> None:
        worker, _main = submit(engine, "where").outcome(LIMIT)  # type: ignore[misc]
        job = submit(engine, "multiply_until_cancelled", size=1200)
        until(heard(job, "step 2"))
        begun = time.monotonic()
        job.cancel()
        assert job.wait(LIMIT)
        assert time.monotonic() - begun < 2
        assert (job.state, job.error) == ("cancelled", None)
        with pytest.raises(Cancelled):
            job.outcome()
        assert engine.worker_pid == worker

    def test_a_cancelled_job_may_take_its_time_to_save(self, engine: LocalEngine) -> None:
        worker, _main = submit(engine, "where").outcome(LIMIT)  # type: ignore[misc]
        job = submit(engine, "clean_up_slowly", seconds=1.5)
        until(heard(job, "running"))
        job.cancel()
        assert job.wait(LIMIT)
        assert job.state == "cancelled"
        assert engine.worker_pid == worker

    def test_after_the_end_commands_do_nothing(self, engine: LocalEngine) -> None:
        job = submit(engine, "count", notes=1)
        job.wait(LIMIT)
        job.cancel()
        job.pause()
        job.send(Say("?"))
        assert job.state == "finished"


class TestQueue:
    def test_exclusive_jobs_wait_for_each_other_and_light_ones_do_not(self, engine: LocalEngine) -> None:
        first = submit(engine, "echo", until="stop")
        until(heard(first, "listening"))
        second = submit(engine, "count", notes=1)
        light = submit(engine, "count", exclusive=False, notes=2)
        assert light.outcome(LIMIT) == 2
        assert second.state == "waiting"
        first.send(Say("stop"))
        assert second.outcome(LIMIT) == 1

    def test_a_waiting_job_is_cancelled_at_once(self, engine: LocalEngine) -> None:
        first = submit(engine, "echo", until="stop")
        second = submit(engine, "count", notes=1)
        second.cancel()
        assert list(second.events(LIMIT)) == [StateChanged("cancelled")]
        first.send(Say("stop"))
        assert first.outcome(LIMIT) == "stop"


class TestLostWorker:
    @pytest.mark.parametrize(
        ("by", "fate"), [("SIGKILL", "killed"), ("SIGSEGV", "crashed"), ("SIGABRT", "crashed"), ("exit", "exit code 7")]
    )
    def test_its_job_is_lost_and_the_next_runs_in_a_new_one(self, engine: LocalEngine, by: str, fate: str) -> None:
        victim = submit(engine, "die", by=by)
        queued = submit(engine, "where")
        events = list(victim.events(LIMIT))
        assert texts(events) in ([], ["dying"])
        assert victim.state == "lost"
        assert isinstance(victim.error, WorkerLostError)
        assert fate in victim.error.problem
        assert victim.error.remedy
        pid, _main = queued.outcome(LIMIT)  # type: ignore[misc]
        assert pid == engine.worker_pid

    def test_one_that_does_not_obey_is_replaced(self, engine: LocalEngine) -> None:
        worker = submit(engine, "where").outcome(LIMIT)
        job = submit(engine, "ignore_everything")
        until(heard(job, "deaf"))
        job.cancel()
        assert job.wait(10)
        assert (job.state, job.error) == ("cancelled", None)
        assert submit(engine, "where").outcome(LIMIT) != worker

    def test_one_whose_interpreter_is_blocked_is_replaced(self, engine: LocalEngine) -> None:
        job = submit(engine, "hold_the_interpreter")
        until(in_state(job, "running"))
        time.sleep(0.2)
        job.cancel()
        assert job.wait(10)
        assert job.state == "cancelled"
        assert submit(engine, "count", notes=1).outcome(LIMIT) == 1

    @pytest.mark.skipif(not hasattr(sys, "abiflags"), reason="needs fork")
    def test_a_child_that_holds_its_connections_does_not_hide_its_end(self, engine: LocalEngine) -> None:
        job = submit(engine, "spawn_child")
        until(heard(job, ""))
        pid = engine.worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert job.wait(10)
        assert job.state == "lost"
        assert submit(engine, "count", notes=1).outcome(LIMIT) == 1

    def test_one_killed_while_idle_is_replaced(self, engine: LocalEngine) -> None:
        pid, _main = submit(engine, "where").outcome(LIMIT)  # type: ignore[misc]
        os.kill(pid, signal.SIGKILL)
        assert submit(engine, "count", notes=1).outcome(LIMIT) == 1
