"""Jobs that the tests run; imported by name in the worker process."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_medseg.errors import Cancelled, DataError
from napari_medseg.progress import Control, Event, Finished, Message, Note, Preview, Step


@dataclass(frozen=True, slots=True)
class Say(Message):
    text: str


def count(control: Control, notes: int) -> Iterator[Event]:
    for number in range(notes):
        control.checkpoint()
        yield Note(str(number))
    yield Finished(notes)


def steps(control: Control, n: int, seconds: float) -> Iterator[Event]:
    for step in range(1, n + 1):
        control.checkpoint()
        time.sleep(seconds)
        yield Step(step, n, 1 / step, 0.1, step * seconds)
    yield Finished(n)


def echo(control: Control, until: str) -> Iterator[Event]:
    """Answer every message with a note, until one says `until`."""
    yield Note("listening")
    while True:
        control.checkpoint()
        for message in control.receive():
            assert isinstance(message, Say)
            yield Note(message.text)
            if message.text == until:
                yield Finished(until)
        time.sleep(0.005)


def multiply_until_cancelled(control: Control, size: int) -> Iterator[Event]:
    """Keep torch busy; one step takes a good part of a second."""
    import torch

    torch.set_num_threads(1)
    matrix = torch.ones(size, size) / size
    step = 0
    while True:
        control.checkpoint()
        step += 1
        matrix = matrix @ matrix
        yield Note(f"step {step}")


def use_torch(control: Control) -> Iterator[Event]:
    import torch

    yield Note(str(torch.__version__))
    yield Finished(float(torch.ones(3).sum()))


def return_tensor(control: Control) -> Iterator[Event]:
    import torch

    yield Finished(torch.ones(3))


def clean_up_slowly(control: Control, seconds: float) -> Iterator[Event]:
    """Obey at once, then save for longer than the engine's patience."""
    yield Note("running")
    try:
        while True:
            control.checkpoint()
            time.sleep(0.01)
    except Cancelled:
        time.sleep(seconds)
        yield Note("saved")
        raise


def ignore_everything(control: Control) -> Iterator[Event]:
    yield Note("deaf")
    time.sleep(600)
    yield Finished(None)


def die(control: Control, by: str) -> Iterator[Event]:
    yield Note("dying")
    if by == "exit":
        os._exit(7)
    os.kill(os.getpid(), getattr(signal, by))
    time.sleep(60)


def fail(control: Control, kind: str) -> Iterator[Event]:
    yield Note("failing")
    if kind == "medseg":
        raise DataError("The labels are empty.", "Paint something.")
    if kind == "exit":
        sys.exit(3)
    if kind == "odd":
        raise _OddError(1, 2, 3)
    raise RuntimeError("shapes (2,) and (3,) do not match")


class _OddError(Exception):
    """One that cannot be pickled back."""

    def __init__(self, a: int, b: int, c: int) -> None:
        super().__init__("odd")


def end_without_result(control: Control) -> Iterator[Event]:
    yield Note("that was it")


def talk_after_the_end(control: Control) -> Iterator[Event]:
    yield Finished("first")
    yield Finished("second")


def previews(control: Control, n: int) -> Iterator[Event]:
    labels = np.zeros((512, 512), np.uint8)
    for step in range(n):
        yield Preview("a", 0, step, labels, step)
        yield Note(str(step))
    yield Finished(n)


def huge_event(control: Control) -> Iterator[Event]:
    yield Finished(np.zeros(40 * 2**20, np.uint8))


def where(control: Control) -> Iterator[Event]:
    main = sys.modules["__main__"]
    yield Finished((os.getpid(), getattr(main, "__file__", "")))


def spawn_child(control: Control) -> Iterator[Event]:
    """Fork a child that keeps all connections open, then run on."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    yield Note(str(child))
    while True:
        control.checkpoint()
        time.sleep(0.01)


def hold_the_interpreter(control: Control) -> Iterator[Event]:
    """Let no other thread of the worker run."""
    yield Note("holding")
    control.checkpoint()
    yield Finished(10 ** (10**8) % 7)


def loaded(control: Control, module: str) -> Iterator[Event]:
    yield Finished(module in sys.modules)
