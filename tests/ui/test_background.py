"""Slow work runs beside the window, and its outcome arrives in the window's thread."""

import threading

import pytest
from qtpy.QtCore import QObject

from napari_medseg.errors import DataError
from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections

pytestmark = pytest.mark.viewer


class Receiver(QObject):
    def __init__(self):
        super().__init__()
        self.results, self.errors, self.threads = [], [], set()

    def done(self, result):
        self.results.append(result)
        self.threads.add(threading.current_thread())

    def failed(self, error):
        self.errors.append(error)
        self.threads.add(threading.current_thread())


def test_the_result_arrives_in_the_main_thread(qtbot):
    receiver = Receiver()
    in_background(threading.current_thread, receiver.done, receiver.failed)
    qtbot.waitUntil(lambda: bool(receiver.results))
    assert receiver.results[0] is not threading.main_thread()
    assert receiver.threads == {threading.main_thread()}


@pytest.mark.parametrize(
    ("error", "words"),
    [(DataError("No."), "No."), (OSError(28, "No space left"), "No space left"), (MemoryError(), "memory")],
)
def test_errors_arrive_with_a_remedy(qtbot, error, words):
    receiver = Receiver()

    def work():
        raise error

    in_background(work, receiver.done, receiver.failed)
    qtbot.waitUntil(lambda: bool(receiver.errors))
    assert words in str(receiver.errors[0])
    assert receiver.results == []


def test_a_destroyed_receiver_is_not_called(qtbot):
    receiver, go = Receiver(), threading.Event()
    in_background(lambda: go.wait(5), receiver.done, receiver.failed)
    receiver.deleteLater()
    qtbot.wait(20)
    go.set()
    qtbot.wait(100)
    assert receiver.results == []


class Emitter:
    def __init__(self):
        self.callbacks = []

    def connect(self, callback):
        self.callbacks.append(callback)

    def disconnect(self, callback):
        self.callbacks.remove(callback)


def test_connections_end_on_request_and_with_their_owner(qtbot):
    emitter, owner = Emitter(), Receiver()
    connections = Connections(owner)
    connections.connect(emitter, owner.done)
    connections.connect(emitter, owner.failed)
    connections.close()
    assert emitter.callbacks == []
    connections.connect(emitter, owner.done)
    owner.deleteLater()
    qtbot.wait(20)
    assert emitter.callbacks == []
