"""The Series browser dock widget: what is in a folder, a zip file or a DICOMDIR, and which of it to open."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

from napari_medseg.progress import Note
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.message_box import MessageBox
from napari_medseg.ui.widgets.section import MARGIN, SPACING
from napari_medseg.ui.widgets.series_loader import SeriesLoader
from napari_medseg.ui.widgets.series_pictures import SeriesPictures
from napari_medseg.ui.widgets.series_table import PICTURE, SHARPNESS, SeriesTable

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent

    from napari_medseg.ui.opening import Entry

HINT = "Drop a folder, a zip file or a DICOMDIR here, or choose one."
DOCK_NAME = "Series browser (Medical Segmentation)"
"""As the menu names it, so that it finds the one that is there."""
HEIGHT = 330
"""Of the dock widget at first, in pixels."""
ON_THE_WAY = ("Waiting", "Loading")


class SeriesBrowser(QWidget):
    """Lists the volumes of folders and files, and opens those that the user picks, in the background.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that shows what is opened.
    """

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__()
        self._is_below = False
        self.passing = False
        """Whether it leaves by itself after a single volume was opened without a word: it was not the user who asked
        for it."""
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
        self.loader = SeriesLoader(napari_viewer, self.panel, self)
        self.pictures = SeriesPictures(PICTURE * SHARPNESS, self)
        self.setAcceptDrops(True)
        self._lay_out()
        self._connect()
        self._refresh()

    def open_paths(self, paths: Sequence[Path]) -> None:
        """List what is at some paths; a single volume is opened straight away."""
        if not self.loader.busy:
            self.messages.clear()
        self.loader.find(paths)

    def show_found(self, entries: "Iterable[Entry]", state: str = "") -> None:
        """List volumes, in a certain state."""
        entries = tuple(entries)
        self.pictures.draw(self.table.add(entries))
        for entry in entries:
            self.table.show_state(entry, state)
        self._refresh()

    def load(self) -> None:
        """Open the selected volumes, except those that are being opened already."""
        self._load(self.table.selected)

    def clear(self) -> None:
        """Empty the list."""
        self.table.clear()
        self.messages.clear()
        self._refresh()

    def _load(self, entries: "Iterable[Entry]") -> None:
        wanted = [entry for entry in entries if self.table.state(entry) not in ON_THE_WAY]
        if wanted:
            if not self.loader.busy:
                self.messages.clear()
            self.loader.open(wanted)

    def _on_found(self, entries: "tuple[Entry, ...]") -> None:
        self.show_found(entries)
        if len(entries) == 1:
            # The search had its say, which stays in sight.
            self.loader.open(entries)
        else:
            self.table.select(entries[:1])

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
        if not self._is_below:
            self._is_below = True
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
        self.pictures.drawn.connect(self.table.show_picture)
        self.loader.found.connect(self._on_found)
        self.loader.state_changed.connect(self.table.show_state)
        self.loader.noted.connect(self._on_note)
        self.loader.refused.connect(self.messages.show_error)
        self.loader.changed.connect(self._refresh)
        self.loader.changed.connect(self._leave)

    def _on_filter(self, words: str) -> None:
        self.table.filter(words)
        self._refresh()

    def _on_note(self, text: str) -> None:
        self.messages.add_note(Note(text, "warning"))

    def _refresh(self) -> None:
        selected, listed = len(self.table.selected), len(self.table.entries)
        self.load_button.setEnabled(selected > 0)
        self.load_button.setText(f"Load {selected} series" if selected > 1 else "Load")
        self.clear_button.setEnabled(listed > 0)
        self.hint.setText(f"{listed} series" if listed else HINT)
        # Nothing needs to be said of a task that went well.
        job = self.panel.job
        self.panel.setVisible(job is not None and (self.loader.busy or job.state != "finished"))

    def _leave(self) -> None:
        """Hide, if only a single volume was to be opened, and was, without a word."""
        if not self.passing or self.loader.busy or self.messages.isVisible():
            return
        dock = _ancestor(self, QDockWidget)
        if dock is not None and [self.table.state(entry) for entry in self.table.entries] == ["Loaded"]:
            self.clear()
            dock.hide()


def browser_of(viewer: "Viewer", *, passing: bool = False) -> SeriesBrowser:
    """Return the viewer's series browser, in sight.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer.
    passing : bool
        Whether a browser that was not in sight before may leave by itself, once a single volume is opened.
    """
    docked = viewer.window.dock_widgets.values()
    browser = next((widget for widget in docked if isinstance(widget, SeriesBrowser)), None)
    if browser is None:
        browser = SeriesBrowser(viewer)
        viewer.window.add_dock_widget(browser, name=DOCK_NAME, area="bottom")
        browser.passing = passing
    dock = _ancestor(browser, QDockWidget)
    if dock is not None and not dock.isVisible():
        browser.passing = passing
        dock.show()
    return browser


def _ancestor(widget: QWidget, kind: type[QWidget]) -> QWidget | None:
    above = widget.parentWidget()
    while above is not None and not isinstance(above, kind):
        above = above.parentWidget()
    return above
