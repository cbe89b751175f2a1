"""The Project dock widget: the folder that holds what is painted, and its cases."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QWidget

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.ui.background import in_background
from napari_medseg.ui.layers import image_of, new_labels
from napari_medseg.ui.projects.keeper import Keeper, keeper_of
from napari_medseg.ui.widgets.case_table import CaseTable
from napari_medseg.ui.widgets.message_box import MessageBox
from napari_medseg.ui.widgets.paint_panel import FIRST_CLASS
from napari_medseg.ui.widgets.restore_bar import RestoreBar
from napari_medseg.ui.widgets.section import scrolling

if TYPE_CHECKING:
    from napari.viewer import Viewer

NOTES_MS = 800
"""After the last key, notes are written."""


class ProjectWidget(QWidget):
    """Make, open and look after a project.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.keeper: Keeper = keeper_of(napari_viewer, self)
        self.restore = RestoreBar(self.keeper, self)
        self.title, self.state = QLabel(self), QLabel(self)
        for label in (self.title, self.state):
            label.setWordWrap(True)
        self.new_button = self._button("New…", "Make a project in a new folder, of what is open here")
        self.open_button = self._button("Open…", "Open a project in place of what is open here, which is saved")
        self.copy_button = self._button("Save as…", "Copy the project into another folder, and go on there")
        self.table = CaseTable(self.keeper, self)
        self.add_button = self._button("Add image", "Add the selected image, with labels to paint on, as a case")
        self.show_button = self._button("Show", "Open the selected case in the viewer")
        self.locate_button = self._button("Locate…", "Say where the image of the selected case is now")
        self.remove_button = self._button("Remove", "Take the selected case off the list; its labels stay on disk")
        self.notes = QPlainTextEdit(self)
        self.notes.setMaximumHeight(90)
        self.messages = MessageBox(self)
        self._notes_timer = QTimer(self)
        self._notes_timer.setSingleShot(True)
        self._notes_timer.setInterval(NOTES_MS)
        self._noted_case: str | None = None
        self._lay_out()
        self._connect()
        self._refresh()

    def create(self, folder: Path) -> None:
        """Make a project of what is open, in a new folder."""
        self.messages.clear()
        self.keeper.create(folder)

    def open(self, folder: Path) -> None:
        """Open a project."""
        self.messages.clear()
        self.keeper.open(folder)

    def _button(self, words: str, tip: str) -> QPushButton:
        button = QPushButton(words, self)
        button.setToolTip(tip)
        return button

    def _lay_out(self) -> None:
        content = scrolling(self)
        content.addWidget(self.restore)
        content.addWidget(self.title)
        content.addLayout(_row(self.new_button, self.open_button, self.copy_button))
        content.addWidget(self.table, 1)
        content.addLayout(_row(self.add_button, self.show_button, self.locate_button, self.remove_button))
        content.addWidget(self.notes)
        content.addWidget(self.state)
        content.addWidget(self.messages)

    def _connect(self) -> None:
        self.new_button.clicked.connect(self._on_new)
        self.copy_button.clicked.connect(self._on_new)
        self.open_button.clicked.connect(self._on_open)
        self.add_button.clicked.connect(self._on_add)
        self.show_button.clicked.connect(self._on_show)
        self.locate_button.clicked.connect(self._on_locate)
        self.remove_button.clicked.connect(self._on_remove)
        self.table.edited.connect(self._on_edited)
        self.table.opened.connect(self.keeper.show)
        self.table.itemSelectionChanged.connect(self._on_selected)
        self.notes.textChanged.connect(self._notes_timer.start)
        self._notes_timer.timeout.connect(self._keep_notes)
        self.keeper.changed.connect(self._refresh)
        self.keeper.failed.connect(self.messages.show_error)
        self.keeper.noted.connect(self.messages.add_note)

    def _refresh(self) -> None:
        keeper, project = self.keeper, self.keeper.project
        if keeper.is_session or project is None:
            self.title.setText("<b>No project.</b> What you paint is kept until you make one.")
        else:
            self.title.setText(f"<b>{project.content.name}</b>")
        self.new_button.setVisible(keeper.is_session)
        self.copy_button.setVisible(not keeper.is_session)
        self.table.refresh()
        self.state.setText(_state_words(keeper))
        self._on_selected()

    def _on_selected(self) -> None:
        project, case = self.keeper.project, self.table.case
        chosen = case is not None and project is not None
        self.show_button.setEnabled(chosen and self.keeper.layer_of(case or "") is None)
        self.remove_button.setEnabled(chosen)
        missing = chosen and project is not None and project.image_state(case or "") == "missing"
        self.locate_button.setEnabled(missing)
        self.notes.setEnabled(project is not None)
        if case != self._noted_case:
            self._keep_notes()
        if not self._notes_timer.isActive():
            self._show_notes(case)

    def _show_notes(self, case: str | None) -> None:
        project = self.keeper.project
        self._noted_case = case
        self.notes.setPlaceholderText("Notes on the project" if case is None else "Notes on the case")
        text = "" if project is None else project.content.notes if case is None else project.case(case).notes
        if text != self.notes.toPlainText():
            with QSignalBlocker(self.notes):
                self.notes.setPlainText(text)

    def _keep_notes(self) -> None:
        was_active, project = self._notes_timer.isActive(), self.keeper.project
        self._notes_timer.stop()
        if project is None or not (was_active or self.sender() is self._notes_timer):
            return
        text = self.notes.toPlainText()
        try:
            if self._noted_case is None:
                project.change(notes=text)
            else:
                project.change_case(self._noted_case, notes=text)
        except MedsegError as error:
            self.messages.show_error(error)

    def _on_new(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Folder of the project")
        if path:
            self.create(Path(path))

    def _on_open(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of the project")
        if path:
            self.open(Path(path))

    def _on_add(self) -> None:
        layer = self._viewer.layers.selection.active
        labels = layer if isinstance(layer, Labels) else None
        image = layer if isinstance(layer, Image) else labels and image_of(labels, self._viewer.layers)
        if image is None:
            self.messages.show_error(ConfigError("No image is selected.", "Select an image in the layer list."))
            return
        if labels is None:
            own = (other for other in self._viewer.layers if isinstance(other, Labels))
            labels = next((other for other in own if image_of(other, self._viewer.layers) is image), None)
        if labels is None:
            labels = new_labels(image, FIRST_CLASS)
            self._viewer.add_layer(labels)
        self.keeper.keep(labels)

    def _on_show(self) -> None:
        if self.table.case is not None:
            self.messages.clear()
            self.keeper.show(self.table.case)

    def _on_locate(self) -> None:
        case, project = self.table.case, self.keeper.project
        path, _ = QFileDialog.getOpenFileName(self, "Where the image is now")
        if path and case is not None and project is not None:
            self.messages.clear()
            in_background(lambda: project.relocate(case, Path(path)), self._on_located, self.messages.show_error)

    def _on_located(self, _entry: object) -> None:
        self._refresh()

    def _on_remove(self) -> None:
        if self.table.case is not None:
            self.keeper.remove(self.table.case)

    def _on_edited(self, case: str, fields: dict[str, str]) -> None:
        try:
            if self.keeper.project is not None:
                self.keeper.project.change_case(case, **fields)
        except MedsegError as error:
            self.messages.show_error(error)
        self._refresh()


def _state_words(keeper: Keeper) -> str:
    if keeper.error is not None:
        return "Not saved; trying again."
    if keeper.is_dirty:
        return "Changes are saved in a moment."
    return "" if keeper.saved_at is None else f"Saved at {time.strftime('%H:%M:%S', time.localtime(keeper.saved_at))}."


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
