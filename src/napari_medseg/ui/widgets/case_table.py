"""The cases of a project, one per row."""

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

if TYPE_CHECKING:
    from napari_medseg.project import CaseEntry
    from napari_medseg.project.images import State
    from napari_medseg.ui.projects.keeper import Keeper

NAME, PATIENT, IMAGE, SAVED, TRAIN = range(5)
HEADINGS = {
    NAME: ("Case", "Any name that does not name a patient"),
    PATIENT: ("Patient", "Cases with the same word here are never split between training and validation"),
    IMAGE: ("Image", "Whether the image is copied into the project, or where it was when it was added"),
    SAVED: ("Saved", "When the labels were last saved"),
    TRAIN: ("Train", "Cases without the mark are kept for testing: no training from this panel sees them"),
}
IMAGE_WORDS: "dict[State, str]" = {
    "copied": "in project", "referenced": "elsewhere", "missing": "missing", "none": "not kept",
}  # fmt: skip


class CaseTable(QTableWidget):
    """Shows the cases of a keeper's project; name, patient and use can be edited, a double click opens a case.

    Parameters
    ----------
    keeper : Keeper
        Whose project.
    parent : QWidget, optional
        Owner.
    """

    edited = Signal(str, object)
    """Identifier of a case, and its changed fields."""
    opened = Signal(str)
    """Identifier of a case that was double-clicked."""

    def __init__(self, keeper: "Keeper", parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self._keeper = keeper
        self.setHorizontalHeaderLabels([heading for heading, _ in HEADINGS.values()])
        for column, (_, tip) in HEADINGS.items():
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(140)
        self.itemChanged.connect(self._on_item)
        self.itemDoubleClicked.connect(self._on_double_click)

    @property
    def case(self) -> str | None:
        """Identifier of the selected case."""
        return self._case_at(self.currentRow())

    def refresh(self) -> None:
        """Show the cases as they are now; the selection stays."""
        selected, project = self.case, self._keeper.project
        cases = () if project is None else project.content.cases
        with QSignalBlocker(self):
            self.setRowCount(len(cases))
            for row, entry in enumerate(cases):
                self._fill(row, entry)
                if entry.id == selected:
                    self.setCurrentCell(row, NAME)

    def _fill(self, row: int, entry: "CaseEntry") -> None:
        project = self._keeper.project
        assert project is not None
        saved = project.saved_at(entry.id)
        is_open = self._keeper.layer_of(entry.id) is not None
        words = {
            NAME: entry.name,
            PATIENT: entry.group,
            IMAGE: "open" if is_open else IMAGE_WORDS[project.image_state(entry.id)],
            SAVED: "" if saved is None else _when(saved),
            TRAIN: "",
        }
        for column, text in words.items():
            item = QTableWidgetItem(text)
            if column in (IMAGE, SAVED, TRAIN):
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            if column == NAME:
                item.setData(Qt.ItemDataRole.UserRole, entry.id)
            if column == TRAIN:
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                item.setCheckState(Qt.CheckState.Checked if entry.split == "train" else Qt.CheckState.Unchecked)
            self.setItem(row, column, item)

    def _case_at(self, row: int) -> str | None:
        item = self.item(row, NAME)
        return None if item is None else str(item.data(Qt.ItemDataRole.UserRole))

    def _on_item(self, item: QTableWidgetItem) -> None:
        case = self._case_at(item.row())
        if case is None:
            return
        if item.column() == TRAIN:
            self.edited.emit(case, {"split": "train" if item.checkState() == Qt.CheckState.Checked else "test"})
        else:
            self.edited.emit(case, {"name" if item.column() == NAME else "group": item.text().strip()})

    def _on_double_click(self, item: QTableWidgetItem) -> None:
        case = self._case_at(item.row())
        if case is not None and item.column() in (IMAGE, SAVED):
            self.opened.emit(case)


def _when(seconds: float) -> str:
    today = time.strftime("%Y%m%d") == time.strftime("%Y%m%d", time.localtime(seconds))
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d", time.localtime(seconds))
