"""Shows a job: how far it is, what it says, why it failed; and lets the user pause and cancel it."""

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.jobs import ENDED, Job, JobState, StateChanged, Work, local_engine
from napari_medseg.progress import Event, Message, Note, Progress, Step
from napari_medseg.ui.background import in_background
from napari_medseg.ui.widgets.job_relay import JobRelay
from napari_medseg.ui.widgets.message_box import MessageBox

Ready = TypeVar("Ready")
RESOLUTION = 1000
"""Steps of the progress bar."""
WORDS: dict[JobState, str] = {
    "waiting": "Waiting for the worker",
    "running": "Running",
    "paused": "Paused",
    "finished": "Done",
    "cancelled": "Cancelled",
    "failed": "Failed",
    "lost": "The worker was lost",
}


class _LastJob:
    """The job to cancel when the panel is destroyed; apart from the panel, which is gone by then."""

    job: Job | None = None

    def cancel(self, _panel: object = None) -> None:
        """Stop the job, for nobody could see or stop it any more."""
        if self.job is not None and not self.job.ended:
            self.job.cancel()


class _Preparation(QObject, Generic[Ready]):
    """Work that comes before a job; what it found counts only as long as it is waited for."""

    def __init__(
        self, panel: "JobPanel", then: Callable[[Ready], object], dropped: Callable[[Ready], object] | None
    ) -> None:
        super().__init__(panel)
        self._panel, self._then, self._dropped = panel, then, dropped

    def done(self, found: Ready) -> None:
        """Go on, if somebody still waits."""
        if self._panel.preparation is self:
            self._then(found)
        elif self._dropped is not None:
            self._dropped(found)
        self.deleteLater()

    def failed(self, error: MedsegError) -> None:
        """Say why there will be no job, if somebody still waits."""
        if self._panel.preparation is self:
            self._panel.fail(error)
        self.deleteLater()


class JobPanel(QWidget):
    """Progress bar with time left, state, Pause and Cancel, and an area for notes and errors with their remedy.

    A job whose panel is destroyed is cancelled.

    Parameters
    ----------
    stop : Message, optional
        What tells the job to end early but with a result. There is a Pause button then, and the first click on Stop
        sends this message; the second cancels.
    parent : QWidget, optional
        Owner.
    """

    heard = Signal(object)
    """An `Event` of the job, in the GUI's thread."""
    started = Signal()
    """Something was begun, and `ended` will follow."""
    ended = Signal(object)
    """It is over: the `Job`, or None if it was cancelled or failed before there was one."""

    def __init__(self, stop: Message | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job: Job | None = None
        self._relay: JobRelay | None = None
        self._stop = stop
        self._stopping = False
        self._wants_pause = False
        self._last_job = _LastJob()
        self.destroyed.connect(partial(_LastJob.cancel, self._last_job))
        self.preparing = False
        self.preparation: QObject | None = None
        self.bar = QProgressBar(self)
        self.bar.setRange(0, RESOLUTION)
        self.bar.setTextVisible(False)
        self.status = QLabel("", self)
        self.status.setWordWrap(True)
        self.pause_button = QPushButton("Pause", self)
        self.pause_button.setToolTip("Wait after the current step; the model and its memory are kept")
        self.pause_button.setVisible(stop is not None)
        self.cancel_button = QPushButton("Cancel" if stop is None else "Stop", self)
        self.cancel_button.setToolTip("End after the current step" + (", and keep the best so far" if stop else ""))
        self.messages = MessageBox(self)
        row = QHBoxLayout()
        row.addWidget(self.status, 1)
        row.addWidget(self.pause_button)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bar)
        layout.addLayout(row)
        layout.addWidget(self.messages)
        self.pause_button.clicked.connect(self._on_pause)
        self.cancel_button.clicked.connect(self.cancel)
        self._show_state(None)

    @property
    def busy(self) -> bool:
        """Whether a job is being prepared, or was started and is not over."""
        return self.preparing or (self.job is not None and not self.job.ended)

    def begin(
        self,
        words: str,
        work: Callable[[], Ready],
        then: Callable[[Ready], object],
        dropped: Callable[[Ready], object] | None = None,
    ) -> None:
        """Do in a thread what comes before a job, and go on with what it found, unless the user cancelled meanwhile.

        Parameters
        ----------
        words : str
            Shown until the job begins.
        work : callable
            As for `in_background`. Its errors are shown.
        then : callable
            Takes the result; calls `submit`, `follow` or `fail`.
        dropped : callable, optional
            Takes a result that came too late, instead.
        """
        self.prepare(words)
        preparation = self.preparation = _Preparation(self, then, dropped)
        in_background(work, preparation.done, preparation.failed)

    def submit(self, work: Work) -> None:
        """Start a job and show it, or say why it cannot start."""
        try:
            self.follow(local_engine().submit(work))
        except MedsegError as error:
            self.fail(error)

    def prepare(self, words: str) -> None:
        """Show that a job is being prepared; `follow` or `fail` comes next, unless the user cancels."""
        self.forget()
        self.messages.clear()
        self._show_state("waiting")
        self.preparing, self.preparation = True, None
        self.bar.setRange(0, 0)
        self.status.setText(words)
        self.started.emit()

    def fail(self, error: MedsegError) -> None:
        """Show that the preparation failed."""
        self._end_preparation("failed", error)

    def follow(self, job: Job) -> None:
        """Show `job` from now on, and forget the one before."""
        self.forget()
        if not self.preparing:
            self.messages.clear()
            self.started.emit()
        self.preparing = self._stopping = False
        self.preparation = None
        self.bar.setValue(0)
        self.job = self._last_job.job = job
        self._relay = JobRelay()
        self._relay.arrived.connect(self._on_event)
        self._show_state("waiting")
        job.on(self._relay.tell)

    def forget(self) -> None:
        """Listen no longer to the job, which goes on."""
        if self._relay is not None:
            self._relay.arrived.disconnect(self._on_event)
        self.job, self._relay = None, None

    def cancel(self) -> None:
        """Ask the job to stop: with a result if its kind can, without one if it was asked before."""
        if self.preparing:
            self._end_preparation("cancelled")
        elif self.job is not None and not self.job.ended:
            if self._stop is not None and not self._stopping:
                self.job.send(self._stop)
                self.job.resume()  # a job that waits would not read the message
            else:
                self.job.cancel()
                self.cancel_button.setEnabled(False)
            self._stopping, self._wants_pause = True, False
            self.pause_button.setEnabled(False)
            self.status.setText("Stopping…")

    def show_error(self, error: MedsegError) -> None:
        """Show what is wrong and what can be done."""
        self.messages.show_error(error)

    def _end_preparation(self, state: JobState, error: MedsegError | None = None) -> None:
        self.preparing, self.preparation = False, None
        self._show_state(state, error)
        self.ended.emit(None)

    def _on_pause(self) -> None:
        if self.job is None:
            return
        self._wants_pause = not self._wants_pause
        if self._wants_pause:
            self.job.pause()
            self.status.setText("Pausing…")
        else:
            self.job.resume()
        self.pause_button.setText("Resume" if self._wants_pause else "Pause")

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._show_progress(event.stage, event.done, event.total, event.seconds_left)
        elif isinstance(event, Step):
            left = event.seconds / event.step * (event.steps - event.step)
            self._show_progress(f"Step {event.step} of {event.steps}", event.step, event.steps, left)
        elif isinstance(event, Note):
            self.messages.add_note(event)
        elif isinstance(event, StateChanged):
            self._show_state(event.state, event.error)
        self.heard.emit(event)
        if isinstance(event, StateChanged) and event.state in ENDED:
            self.ended.emit(self.job)

    def _show_progress(self, stage: str, done: int, total: int, seconds_left: float | None) -> None:
        self.bar.setValue(round(RESOLUTION * done / total) if total else 0)
        if self.job is not None and self.job.state == "running" and not (self._wants_pause or self._stopping):
            share = f"{100 * done / total:.0f} %" if total else ""
            self.status.setText(" · ".join(part for part in (stage, share, time_left(seconds_left)) if part))

    def _show_state(self, state: JobState | None, error: MedsegError | None = None) -> None:
        busy = state is not None and state not in ENDED
        self._wants_pause = state == "paused" or (state == "running" and self._wants_pause)
        self.bar.setVisible(busy)
        self.bar.setRange(0, RESOLUTION)
        self.status.setVisible(state is not None)
        self.cancel_button.setVisible(busy)
        self.cancel_button.setEnabled(busy)
        self.pause_button.setVisible(busy and self._stop is not None)
        self.pause_button.setEnabled(state in ("running", "paused") and not self._stopping)
        self.pause_button.setText("Resume" if self._wants_pause else "Pause")
        if not (self._stopping and busy):
            self.status.setText(WORDS[state] if state else "")
        if error is not None:
            self.show_error(error)


def time_left(seconds: float | None) -> str:
    """Return a duration in words that do not flicker.

    Examples
    --------
    >>> time_left(7.2), time_left(95), time_left(4000), time_left(None)
    ('8 s left', '2 min left', '1 h 7 min left', '')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{int(seconds) + 1} s left"
    minutes = int(seconds // 60) + 1
    return f"{minutes} min left" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min left"
