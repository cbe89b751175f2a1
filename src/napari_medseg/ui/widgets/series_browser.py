"""The Series browser dock widget: what is in a folder, a zip file or a DICOMDIR, and which of it to open."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QDockWidget,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMainWindow,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.errors import MedsegError
from napari_medseg.jobs import Job, Tell, ThreadJob
from napari_medseg.progress import Control, Event, Note
from napari_medseg.ui.layers import add_layers, frame_of, place
from napari_medseg.ui.opening import Found, Opened, Refused, finding, opening
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.message_box import MessageBox
from napari_medseg.ui.widgets.section import MARGIN, SPACING
from napari_medseg.ui.widgets.series_pictures import SeriesPictures
from napari_medseg.ui.widgets.series_table import PICTURE, SHARPNESS, SeriesTable

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent

    from napari_medseg.ui.opening import Entry

HINT = "Drop a folder, a zip file or a DICOMDIR here, or choose one."
HEIGHT = 330
"""Of the dock widget at first, in pixels."""
MOST_PROBLEMS = 3
"""Unreadable files that are named one by one."""


@dataclass(frozen=True)
class Task:
    """Something to do in the background, one after the other."""

    words: str
    work: Callable[[], Callable[[Control, Tell], object]]
    """Makes the work when its turn comes, for the viewer's layers may be others by then."""
    entries: "tuple[Entry, ...]" = ()
    """What it opens; nothing for a search."""


class SeriesBrowser(QWidget):
    """Lists the volumes of folders and files, and opens those that the user picks, in the background.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that shows what is opened.
    """

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._tasks: deque[Task] = deque()
        self._task: Task | None = None
        self._is_placed = False
        self.folder_button = QPushButton("Open folder…", self)
        self.folder_button.setToolTip("List the series of a folder and the folders below it")
        self.file_button = QPushButton("Open files…", self)
        self.file_button.setToolTip("List the series of image files, zip files or a DICOMDIR")
        self.filter = QLineEdit(self)
        self.filter.setPlaceholderText("Filter")
        self.filter.setClearButtonEnabled(True)
        self.filter.setToolTip("Show only rows that hold all of these words")
        self.table = SeriesTable(self)
        self.hint = QLabel(HINT, self)
        self.load_button = QPushButton("Load", self)
        self.load_button.setToolTip("Open the selected series as layers")
        self.clear_button = QPushButton("Clear list", self)
        self.clear_button.setToolTip("Empty this list; layers stay")
        self.panel = JobPanel(parent=self)
        self.messages = MessageBox(self)
        self.pictures = SeriesPictures(PICTURE * SHARPNESS, self)
        self.setAcceptDrops(True)
        self._lay_out()
        self._connect()
        self._refresh()

    @property
    def busy(self) -> bool:
        """Whether something is being searched or opened, or waits for its turn."""
        return self._task is not None or bool(self._tasks)

    def open_paths(self, paths: Sequence[Path]) -> None:
        """List what is at some paths; a single volume is opened straight away."""
        self._begin(Task("Searching", partial(finding, tuple(paths))))

    def show_found(self, entries: "Iterable[Entry]", state: str = "") -> None:
        """List volumes, in a certain state."""
        entries = tuple(entries)
        self.pictures.draw(self.table.add(entries))
        for entry in entries:
            self.table.show_state(entry, state)
        self._refresh()

    def load(self) -> None:
        """Open the selected volumes."""
        self.load_entries(self.table.selected)

    def load_entries(self, entries: "Iterable[Entry]") -> None:
        """Open listed volumes, except those that are being opened already."""
        wanted = tuple(entry for entry in entries if self.table.state(entry) not in ("Waiting", "Loading"))
        if wanted:
            for entry in wanted:
                self.table.show_state(entry, "Waiting")
            self._begin(Task("Loading", partial(self._opening, wanted), wanted))

    def clear(self) -> None:
        """Empty the list."""
        self.table.clear()
        self.messages.clear()
        self._refresh()

    def _opening(self, entries: "tuple[Entry, ...]") -> Callable[[Control, Tell], None]:
        return opening(entries, frame_of(self._viewer.layers))

    def _begin(self, task: Task) -> None:
        self._tasks.append(task)
        if self._task is None:
            self.messages.clear()
            self._next()

    def _next(self) -> None:
        self._task = self._tasks.popleft() if self._tasks else None
        if self._task is not None:
            for entry in self._task.entries:
                self.table.show_state(entry, "Loading")
            self.panel.follow(ThreadJob(self._task.words, self._task.work()))
        self._refresh()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._show(event)
        elif isinstance(event, Refused):
            self.table.show_state(event.entry, "Failed", str(event.error))
            self._report(event.error)

    def _show(self, opened: Opened) -> None:
        frame = frame_of(self._viewer.layers)
        layers, notes = opened.layers, list(opened.notes)
        if frame is not None and frame is not opened.frame:
            # The user opened something else meanwhile, which set the world's axes.
            placed = place(opened.volumes, frame)
            layers, notes = tuple(placed.tuples), placed.notes
        add_layers(self._viewer, layers)
        self.table.show_state(opened.entry, "Loaded")
        for note in notes:
            self.messages.add_note(Note(note, "warning"))
        if notes:
            show_warning("\n".join(notes))

    def _on_ended(self, job: Job | None) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        if job is None or job.state != "finished":
            self._give_up(task, job)
        elif isinstance(job.result, Found):
            self._on_found(job.result)
        self._next()

    def _give_up(self, task: Task, job: Job | None) -> None:
        """Take back what was asked for: a cancelled or broken task ends all that wait."""
        for entry in (*task.entries, *(entry for waiting in self._tasks for entry in waiting.entries)):
            if self.table.state(entry) in ("Waiting", "Loading"):
                self.table.show_state(entry, "")
        self._tasks.clear()
        if job is not None and job.error is not None:
            show_error(str(job.error))  # the panel shows it, too

    def _on_found(self, found: Found) -> None:
        self.show_found(found.entries)
        for problem in found.problems[:MOST_PROBLEMS]:
            self._report(problem)
        left = len(found.problems) - MOST_PROBLEMS
        if left > 0:
            self.messages.add_note(Note(f"{left} more files cannot be read.", "warning"))
        if len(found.entries) == 1:
            self.load_entries(found.entries)
        else:
            self.table.select(found.entries[:1])

    def _report(self, error: MedsegError) -> None:
        """Show an error here and as a notification."""
        self.messages.show_error(error)
        show_error(str(error))

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open folder")
        if path:
            self.open_paths([Path(path)])

    def _choose_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Open files")
        if paths:
            self.open_paths([Path(path) for path in paths])

    def dragEnterEvent(self, event: "QDragEnterEvent | None") -> None:  # noqa: N802 - Qt's name
        """Take files and folders."""
        if event is not None and event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: "QDropEvent | None") -> None:  # noqa: N802 - Qt's name
        """List what was dropped."""
        if event is None:
            return
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.open_paths(paths)

    def showEvent(self, event: "QShowEvent | None") -> None:  # noqa: N802 - Qt's name
        """At first, go below the canvas: napari puts panels at the side, where a table has no room."""
        super().showEvent(event)
        if not self._is_placed:
            self._is_placed = True
            QTimer.singleShot(0, self._go_below)

    def _go_below(self) -> None:
        dock, window = _ancestor(self, QDockWidget), _ancestor(self, QMainWindow)
        if dock is not None and window is not None:
            window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
            window.resizeDocks([dock], [HEIGHT], Qt.Orientation.Vertical)

    def _lay_out(self) -> None:
        above = QHBoxLayout()
        above.addWidget(self.folder_button)
        above.addWidget(self.file_button)
        above.addWidget(self.filter, 1)
        below = QHBoxLayout()
        below.addWidget(self.hint, 1)
        below.addWidget(self.clear_button)
        below.addWidget(self.load_button)
        self.hint.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(SPACING)
        layout.addLayout(above)
        layout.addWidget(self.table, 1)
        layout.addLayout(below)
        layout.addWidget(self.panel)
        layout.addWidget(self.messages)
        self.filter.setMinimumWidth(60)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _connect(self) -> None:
        self.folder_button.clicked.connect(self._choose_folder)
        self.file_button.clicked.connect(self._choose_files)
        self.filter.textChanged.connect(self._on_filter)
        self.load_button.clicked.connect(self.load)
        self.clear_button.clicked.connect(self.clear)
        self.table.chosen.connect(self.load)
        self.table.selection_changed.connect(self._refresh)
        self.panel.heard.connect(self._on_event)
        self.panel.ended.connect(self._on_ended)
        self.pictures.drawn.connect(self.table.show_picture)

    def _on_filter(self, words: str) -> None:
        self.table.filter(words)
        self._refresh()

    def _refresh(self) -> None:
        selected, listed = len(self.table.selected), len(self.table.entries)
        self.load_button.setEnabled(selected > 0)
        self.load_button.setText(f"Load {selected} series" if selected > 1 else "Load")
        self.clear_button.setEnabled(listed > 0)
        self.hint.setText(f"{listed} series" if listed else HINT)
        ended = self.panel.job
        self.panel.setVisible(ended is not None and (self.busy or ended.state != "finished"))


def _ancestor(widget: QWidget, kind: type[QWidget]) -> QWidget | None:
    while widget is not None and not isinstance(widget, kind):
        widget = widget.parentWidget()
    return widget


def browser_of(viewer: "Viewer") -> SeriesBrowser:
    """Return the viewer's series browser, in sight; a new one opens below the canvas, where a table has room."""
    dock, widget = viewer.window.add_plugin_dock_widget("napari-medseg", "Series browser")
    dock.show()
    dock.raise_()
    return cast("SeriesBrowser", widget)
