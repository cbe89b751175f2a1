"""Events are thinned without losing what matters; control reaches a waiting job."""

import threading
import time
from collections.abc import Iterator

import pytest

from napari_medseg.errors import Cancelled
from napari_medseg.progress import Control, Event, Finished, Message, Note, Progress, Step, throttle, with_time_left


def step(number: int) -> Step:
    return Step(step=number, steps=100, loss=1.0, learning_rate=0.01, seconds=0.0)


def test_throttle_passes_the_first_and_the_latest_before_another_kind() -> None:
    events = [step(1), step(2), step(3), Note("hello"), step(4), Finished("done")]
    assert list(throttle(iter(events), rate_hz=0.001)) == [step(1), step(3), Note("hello"), step(4), Finished("done")]


def test_throttle_thins_each_kind_by_itself() -> None:
    events = [step(1), Progress("Predicting", 1, 4), step(2), Progress("Predicting", 2, 4)]
    assert list(throttle(iter(events), rate_hz=0.001)) == [
        step(1),
        Progress("Predicting", 1, 4),
        step(2),
        Progress("Predicting", 2, 4),
    ]


def test_throttle_keeps_a_slow_stream_whole() -> None:
    def slow() -> Iterator[Event]:
        for number in range(3):
            time.sleep(0.003)
            yield step(number)

    assert list(throttle(slow(), rate_hz=1000)) == [step(0), step(1), step(2)]


def test_throttle_never_delivers_a_superseded_step_after_a_newer_one() -> None:
    def bursts() -> Iterator[Event]:
        for number in range(6):
            time.sleep(0.004 if number % 3 == 0 else 0)
            yield step(number)

    numbers = [event.step for event in throttle(bursts(), rate_hz=300) if isinstance(event, Step)]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 5


def test_cancel_is_obeyed_at_the_checkpoint_and_wakes_a_paused_job() -> None:
    control = Control()
    control.pause()
    stopped = threading.Event()

    def job() -> None:
        with pytest.raises(Cancelled):
            control.checkpoint()
        stopped.set()

    worker = threading.Thread(target=job)
    worker.start()
    assert not stopped.wait(0.05)
    control.cancel()
    assert stopped.wait(5)
    worker.join()


def test_resume_lets_a_paused_job_go_on() -> None:
    control = Control()
    control.pause()
    assert control.paused
    threading.Timer(0.02, control.resume).start()
    control.checkpoint()
    assert not control.paused


def test_a_cancelled_job_cannot_be_paused() -> None:
    control = Control()
    control.cancel()
    control.pause()
    assert not control.paused


def test_messages_arrive_once_in_order() -> None:
    control = Control()
    first, second = Message(), Message()
    control.send(first)
    control.send(second)
    received = control.receive()
    assert received[0] is first
    assert received[1] is second
    assert control.receive() == []


def test_time_left_follows_the_mean_rate() -> None:
    event = with_time_left("Predicting", total=10, started=time.monotonic() - 4.0, done=2)
    assert event.seconds_left == pytest.approx(16.0, abs=0.5)
    assert with_time_left("Predicting", 10, time.monotonic(), 0).seconds_left is None
