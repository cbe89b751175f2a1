"""Shows a job: how far it is, what it says, why it failed; and lets the user pause and cancel it."""

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.jobs import ENDED, Job, JobState, StateChanged
from napari_medseg.progress import Event, Note, Progress, Step
from napari_medseg.ui.widgets.message_box import MessageBox

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


class _Relay(QObject):
    """Carries events from the engine's thread to the GUI's; lives as long as the job does, so it can always be told."""

    arrived = Signal(object)

    def tell(self, event: Event) -> None:
        """Pass an event on. A bound method, for the job has to keep this object alive: a bound signal would not."""
        self.arrived.emit(event)


class JobPanel(QWidget):
    """Progress bar with time left, state, Pause and Cancel, and an area for notes and errors with their remedy.

    Parameters
    ----------
    pausable : bool
        Whether there is a Pause button.
    parent : QWidget, optional
        Owner.
    """

    heard = Signal(object)
    """An `Event` of the job, in the GUI's thread."""
    started = Signal()
    ended = Signal(object)
    """The job is over; its `Job`."""

    def __init__(self, pausable: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job: Job | None = None
        self._relay: _Relay | None = None
        self._wants_pause = False
        self.bar = QProgressBar(self)
        self.bar.setRange(0, RESOLUTION)
        self.bar.setTextVisible(False)
        self.status = QLabel("", self)
        self.status.setWordWrap(True)
        self.pause_button = QPushButton("Pause", self)
        self.pause_button.setToolTip("Wait after the current step; the model and its memory are kept")
        self.pause_button.setVisible(pausable)
        self.cancel_button = QPushButton("Cancel", self)
        self.cancel_button.setToolTip("Stop after the current step")
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
        """Whether a job was started and is not over."""
        return self.job is not None and not self.job.ended

    def follow(self, job: Job) -> None:
        """Show `job` from now on, and forget the one before."""
        self.forget()
        self.messages.clear()
        self.bar.setValue(0)
        self.job = job
        self._relay = _Relay()
        self._relay.arrived.connect(self._on_event)
        self._show_state("waiting")
        self.started.emit()
        job.on(self._relay.tell)

    def forget(self) -> None:
        """Listen no longer to the job, which goes on."""
        if self._relay is not None:
            self._relay.arrived.disconnect(self._on_event)
        self.job, self._relay = None, None

    def cancel(self) -> None:
        """Ask the job to stop."""
        if self.job is not None and not self.job.ended:
            self.job.cancel()
            self.status.setText("Stopping…")
            self.cancel_button.setEnabled(False)

    def show_error(self, error: MedsegError) -> None:
        """Show what is wrong and what can be done."""
        self.messages.show_error(error)

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
        if self.job is not None and self.job.state == "running" and not self._wants_pause:
            share = f"{100 * done / total:.0f} %" if total else ""
            self.status.setText(" · ".join(part for part in (stage, share, time_left(seconds_left)) if part))

    def _show_state(self, state: JobState | None, error: MedsegError | None = None) -> None:
        busy = state is not None and state not in ENDED
        self._wants_pause = state == "paused" or (state == "running" and self._wants_pause)
        self.bar.setVisible(busy)
        self.status.setVisible(state is not None)
        self.cancel_button.setVisible(busy)
        self.cancel_button.setEnabled(busy)
        self.pause_button.setEnabled(state in ("running", "paused"))
        self.pause_button.setText("Resume" if self._wants_pause else "Pause")
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
