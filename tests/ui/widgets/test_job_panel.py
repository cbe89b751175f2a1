"""The panel shows a job as it is, and the buttons reach it."""

import threading

import pytest
from qtpy.QtCore import Qt

from napari_medseg.errors import DataError
from napari_medseg.jobs import InlineEngine, Work
from napari_medseg.progress import Control, Finished, Note, Progress, Step
from napari_medseg.training import Stop
from napari_medseg.ui.widgets import job_panel
from napari_medseg.ui.widgets.job_panel import JobPanel, time_left

pytestmark = pytest.mark.viewer


@pytest.fixture
def panel(qtbot):
    panel = JobPanel()
    qtbot.addWidget(panel)
    panel.show()
    return panel


@pytest.fixture
def stoppable(qtbot):
    panel = JobPanel(stop=Stop())
    qtbot.addWidget(panel)
    panel.show()
    return panel


@pytest.fixture
def run(panel, monkeypatch):
    """Return a function that runs a generator as a job in a thread, followed by a panel."""
    threads = []

    def start(target, panel=panel):
        work = Work("test:job")
        monkeypatch.setattr(Work, "resolve", lambda _self: target)
        job = InlineEngine().submit(work)
        panel.follow(job)
        threads.append(threading.Thread(target=job.wait))
        threads[-1].start()
        return job

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def ended(panel, state):
    return lambda: panel.job is not None and panel.job.state == state and not panel.cancel_button.isVisible()


def test_progress_and_result_arrive_in_the_gui_thread(panel, run, qtbot):
    threads, results = set(), []

    def job(control):
        yield Progress("Predicting", 3, 4, 2.0)
        yield Finished("result")

    panel.heard.connect(lambda event: threads.add(threading.current_thread()))
    panel.ended.connect(lambda job: results.append(job.result))
    run(job)
    qtbot.waitUntil(lambda: bool(results), timeout=5000)
    assert threads == {threading.main_thread()}
    assert results == ["result"]
    assert panel.status.text() == "Done"
    assert not panel.bar.isVisible()
    assert not panel.busy


def test_bar_shows_share_and_time_left(panel, run, qtbot):
    go = threading.Event()

    def job(control):
        yield Step(step=25, steps=100, loss=1.0, learning_rate=1e-3, seconds=10.0)
        go.wait(10)
        yield Finished(None)

    run(job)
    qtbot.waitUntil(lambda: panel.bar.value() == 250, timeout=5000)
    assert panel.status.text() == "Step 25 of 100 · 25 % · 31 s left"
    go.set()
    qtbot.waitUntil(ended(panel, "finished"), timeout=5000)


def test_cancel_button_cancels(panel, run, qtbot):
    def job(control: Control):
        while True:
            control.checkpoint()
            yield Progress("Counting", 0, 10)

    run(job)
    qtbot.waitUntil(lambda: panel.status.text().startswith("Counting"), timeout=5000)
    qtbot.mouseClick(panel.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(ended(panel, "cancelled"), timeout=5000)
    assert panel.status.text() == "Cancelled"
    assert panel.messages.error is None


def test_pause_button_pauses_and_resumes(stoppable, run, qtbot):
    panel, steps = stoppable, []

    def job(control: Control):
        while True:
            control.checkpoint()
            steps.append(1)
            yield Progress("Counting", 1, 10)

    job = run(job, panel)
    qtbot.waitUntil(lambda: panel.pause_button.isEnabled(), timeout=5000)
    qtbot.mouseClick(panel.pause_button, Qt.MouseButton.LeftButton)
    assert panel.pause_button.text() == "Resume"
    qtbot.wait(100)
    count = len(steps)
    qtbot.wait(100)
    assert len(steps) == count
    qtbot.mouseClick(panel.pause_button, Qt.MouseButton.LeftButton)
    assert panel.pause_button.text() == "Pause"
    qtbot.waitUntil(lambda: len(steps) > count, timeout=5000)
    job.cancel()
    qtbot.waitUntil(ended(panel, "cancelled"), timeout=5000)


def endless(hears_stop):
    def job(control: Control):
        while True:
            control.checkpoint()
            if hears_stop and any(isinstance(message, Stop) for message in control.receive()):
                yield Finished("kept")
            yield Progress("Counting", 1, 10)

    return job


def test_stop_ends_with_a_result_even_when_paused(stoppable, run, qtbot):
    job = run(endless(hears_stop=True), stoppable)
    qtbot.waitUntil(lambda: stoppable.pause_button.isEnabled(), timeout=5000)
    qtbot.mouseClick(stoppable.pause_button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(stoppable.cancel_button, Qt.MouseButton.LeftButton)
    assert stoppable.status.text() == "Stopping…"
    qtbot.waitUntil(ended(stoppable, "finished"), timeout=5000)
    assert job.result == "kept"


def test_a_second_click_on_stop_cancels(stoppable, run, qtbot):
    run(endless(hears_stop=False), stoppable)
    qtbot.waitUntil(lambda: stoppable.pause_button.isEnabled(), timeout=5000)
    qtbot.mouseClick(stoppable.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.wait(50)
    assert stoppable.busy
    qtbot.mouseClick(stoppable.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(ended(stoppable, "cancelled"), timeout=5000)


def test_error_shows_problem_and_remedy(panel, run, qtbot):
    def job(control):
        yield Note("The device is slow.", "warning")
        yield Note("The device is slow.", "warning")
        raise DataError("Nothing is painted on <layer>.", "Paint a few strokes.")

    run(job)
    qtbot.waitUntil(ended(panel, "failed"), timeout=5000)
    assert panel.messages.error.remedy == "Paint a few strokes."
    assert "Nothing is painted on &lt;layer&gt;." in panel.messages.label.text()
    assert panel.messages.notes == ("The device is slow.",)
    assert panel.messages.isVisible()


def test_next_job_starts_clean_and_the_old_one_is_not_heard(panel, run, qtbot):
    go = threading.Event()

    def slow(control):
        go.wait(10)
        yield Progress("Old", 1, 2)
        raise DataError("Old trouble.")

    def quick(control):
        yield Finished(1)

    old = run(slow)
    run(quick)
    qtbot.waitUntil(ended(panel, "finished"), timeout=5000)
    go.set()
    qtbot.waitUntil(lambda: old.ended, timeout=5000)
    qtbot.wait(50)
    assert panel.messages.error is None
    assert panel.status.text() == "Done"


def test_preparing_then_following(panel, run, qtbot):
    started, over = [], []
    panel.started.connect(lambda: started.append(1))
    panel.ended.connect(over.append)
    panel.prepare("Copying the image")
    assert panel.busy
    assert panel.status.text() == "Copying the image"
    assert (panel.bar.minimum(), panel.bar.maximum()) == (0, 0)

    def job(control):
        yield Finished(None)

    job = run(job)
    qtbot.waitUntil(lambda: bool(over), timeout=5000)
    assert started == [1]
    assert over == [job]


def test_preparation_is_cancelled_or_fails(panel, qtbot):
    panel.prepare("Copying the image")
    with qtbot.waitSignal(panel.ended) as over:
        qtbot.mouseClick(panel.cancel_button, Qt.MouseButton.LeftButton)
    assert over.args == [None]
    assert not panel.busy
    panel.prepare("Copying the image")
    panel.fail(DataError("The disk is full.", "Free some space."))
    assert panel.status.text() == "Failed"
    assert panel.messages.error.problem == "The disk is full."


def test_what_was_prepared_for_a_job_that_was_cancelled_is_dropped(panel, qtbot):
    gate, got, late = threading.Event(), [], []

    def slow():
        gate.wait(10)
        return "first"

    panel.begin("Copying", slow, got.append, late.append)
    panel.cancel()
    panel.begin("Copying again", lambda: "second", got.append, late.append)
    qtbot.waitUntil(lambda: got == ["second"], timeout=5000)
    gate.set()
    qtbot.waitUntil(lambda: late == ["first"], timeout=5000)
    assert got == ["second"]
    assert panel.preparing


def test_a_failed_preparation_says_why(panel, qtbot):
    def fails():
        raise DataError("There is no room.", "Make some.")

    panel.begin("Copying", fails, pytest.fail)
    qtbot.waitUntil(lambda: not panel.busy, timeout=5000)
    assert panel.status.text() == "Failed"
    assert panel.messages.error.problem == "There is no room."


def test_a_job_that_cannot_start_says_why(panel, monkeypatch):
    class Full:
        def submit(self, _work):
            raise DataError("There is no worker.", "Start one.")

    monkeypatch.setattr(job_panel, "local_engine", Full)
    panel.submit(Work("test:job"))
    assert panel.status.text() == "Failed"
    assert panel.messages.error.problem == "There is no worker."


def test_destroying_the_panel_cancels_its_job(qtbot, monkeypatch):
    def target(control):
        while True:
            control.checkpoint()
            yield Progress("Counting", 1, 2)

    monkeypatch.setattr(Work, "resolve", lambda _self: target)
    panel = JobPanel()
    job = InlineEngine().submit(Work("test:job"))
    panel.follow(job)
    thread = threading.Thread(target=job.wait)
    thread.start()
    qtbot.waitUntil(lambda: job.state == "running")
    panel.deleteLater()
    del panel
    qtbot.wait(50)
    thread.join(10)
    assert job.state == "cancelled"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "1 s left"), (59.9, "60 s left"), (60, "2 min left"), (3599, "1 h 0 min left"), (None, "")],
)
def test_time_left_in_words(seconds, words):
    assert time_left(seconds) == words
