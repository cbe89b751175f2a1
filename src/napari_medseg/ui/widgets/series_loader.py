"""Searches for series and opens them in the background, one task after the other, and adds their layers."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, Signal

from napari_medseg.errors import MedsegError
from napari_medseg.jobs import Job, Tell, ThreadJob
from napari_medseg.progress import Control, Event
from napari_medseg.ui.layers import add_layers, frame_of, place
from napari_medseg.ui.opening import Found, Opened, Refused, finding, opening
from napari_medseg.ui.widgets.job_panel import JobPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_medseg.ui.opening import Entry

MOST_PROBLEMS = 3
"""Unreadable files that are named one by one."""


@dataclass(frozen=True)
class _Task:
    """Something to do in the background."""

    words: str
    work: Callable[[], Callable[[Control, Tell], object]]
    """Makes the work when its turn comes, for the viewer's layers may be others by then."""
    entries: "tuple[Entry, ...]" = ()
    """What it opens; nothing for a search."""


class SeriesLoader(QObject):
    """Works through searches and openings; what goes wrong is also shown as a notification.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Gets the layers.
    panel : JobPanel
        Shows the task at work; its Cancel button ends this one and those that wait.
    parent : QObject, optional
        Owner.
    """

    found = Signal(object)
    """A search is over: tuple of `Entry`."""
    state_changed = Signal(object, str, str)
    """An `Entry`, its state in a word (empty: not opened), and why."""
    noted = Signal(str)
    """What the user should know of an opened volume."""
    refused = Signal(object)
    """A `MedsegError`: something cannot be read."""
    changed = Signal()
    """A task was begun or is over."""

    def __init__(self, viewer: "Viewer", panel: JobPanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panel = panel
        self._tasks: deque[_Task] = deque()
        self._task: _Task | None = None
        panel.heard.connect(self._on_event)
        panel.ended.connect(self._on_ended)

    @property
    def busy(self) -> bool:
        """Whether a task is at work or waits for its turn."""
        return self._task is not None or bool(self._tasks)

    def find(self, paths: Sequence[Path]) -> None:
        """List what is at some paths."""
        self._begin(_Task("searching", partial(finding, tuple(paths))))

    def open(self, entries: "Sequence[Entry]") -> None:
        """Read some volumes and add their layers, each as soon as it is read."""
        for entry in entries:
            self.state_changed.emit(entry, "Waiting", "")
        self._begin(_Task("reading", partial(self._opening, tuple(entries)), tuple(entries)))

    def _opening(self, entries: "tuple[Entry, ...]") -> Callable[[Control, Tell], None]:
        return opening(entries, frame_of(self._viewer.layers))

    def _begin(self, task: _Task) -> None:
        self._tasks.append(task)
        if self._task is None:
            self._next()

    def _next(self) -> None:
        self._task = self._tasks.popleft() if self._tasks else None
        if self._task is not None:
            for entry in self._task.entries:
                self.state_changed.emit(entry, "Loading", "")
            self._panel.follow(ThreadJob(self._task.words, self._task.work()))
        self.changed.emit()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._show(event)
        elif isinstance(event, Refused):
            self.state_changed.emit(event.entry, "Failed", str(event.error))
            self._refuse(event.error)

    def _show(self, opened: Opened) -> None:
        frame = frame_of(self._viewer.layers)
        layers, notes = opened.layers, opened.notes
        if frame is not None and frame is not opened.frame:
            # The user opened something else meanwhile, which set the world's axes.
            placed = place(opened.volumes, frame)
            layers, notes = tuple(placed.tuples), tuple(placed.notes)
        add_layers(self._viewer, layers)
        self.state_changed.emit(opened.entry, "Loaded", "")
        for note in notes:
            self.noted.emit(note)
        if notes:
            show_warning("\n".join(notes))

    def _on_ended(self, job: Job | None) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        if job is None or job.state != "finished":
            self._give_up(task)
            if job is not None and job.error is not None:
                show_error(str(job.error))  # the panel shows it, too
        elif isinstance(job.result, Found):
            self._on_found(job.result)
        if self._task is None:  # what was found may be being opened already
            self._next()

    def _give_up(self, task: _Task) -> None:
        """Take back what was asked for: a cancelled or broken task ends all that wait."""
        for given_up in (task, *self._tasks):
            for entry in given_up.entries:
                self.state_changed.emit(entry, "", "")
        self._tasks.clear()

    def _on_found(self, found: Found) -> None:
        for problem in found.problems[:MOST_PROBLEMS]:
            self._refuse(problem)
        left = len(found.problems) - MOST_PROBLEMS
        if left > 0:
            self.noted.emit(f"{left} more files cannot be read.")
        self.found.emit(found.entries)

    def _refuse(self, error: MedsegError) -> None:
        self.refused.emit(error)
        show_error(str(error))
