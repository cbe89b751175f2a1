"""The table of predicted classes."""

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_medseg.data.labelled.answers import Classified, answers_of
from napari_medseg.models import ModelSpec

FIXED = 2
"""Columns before those of the probabilities."""
MOST_FITTING = 2
"""Classes whose columns leave room for names; with more, the table is scrolled sideways."""
ROWS = 10
"""Rows shown at once; the others are scrolled to."""


class AnswerTable(QTableWidget):
    """Images with their class and the probability of each class; a click shows one, headings sort.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    picked = Signal(int)
    """The user wants to see the answer of this number."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 0, parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.setWordWrap(False)
        # The end of a name tells slices and regions of one image apart.
        self.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.setToolTip("Click a row to see the image, slice or region. Click a heading to sort")
        self.currentCellChanged.connect(self._on_current)
        self.hide()

    def show_answers(self, found: Classified, spec: ModelSpec) -> None:
        """Show answers; images without one say so."""
        names = [entry.name for entry in spec.classes]
        words = answers_of(found.probabilities, names, spec.output)
        blocked = QSignalBlocker(self)
        self.setSortingEnabled(False)
        self.setColumnCount(FIXED + len(names))
        self.setHorizontalHeaderLabels(["Image", "Class", *names])
        self.setRowCount(len(found.names))
        for row, (name, word, values) in enumerate(zip(found.names, words, found.probabilities, strict=True)):
            fine = bool(np.isfinite(values).all())
            self._set(row, 0, name, row)
            self._set(row, 1, (word or "none") if fine else "not readable")
            for column, value in enumerate(values.tolist(), start=FIXED):
                self._set(row, column, f"{value:.3f}" if fine else "", value if fine else -1.0)
        self._fit(len(names))
        self.setSortingEnabled(True)
        self.sortItems(0, Qt.SortOrder.AscendingOrder)
        self.setCurrentCell(-1, -1)
        blocked.unblock()
        self.setVisible(bool(found.names))

    def _set(self, row: int, column: int, text: str, value: float | None = None) -> None:
        item = _Item(text)
        if value is not None:
            item.setData(Qt.ItemDataRole.UserRole, value)
        if column >= FIXED:
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setToolTip(text)
        self.setItem(row, column, item)

    def _fit(self, classes: int) -> None:
        header = self.horizontalHeader()
        for column in range(FIXED + classes):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        wide = classes > MOST_FITTING
        if not wide:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        shown = min(self.rowCount(), ROWS) * self.verticalHeader().defaultSectionSize()
        bar = self.horizontalScrollBar().sizeHint().height() if wide else 0
        self.setFixedHeight(header.sizeHint().height() + shown + bar + 4)

    def _on_current(self, row: int, _column: int, before: int, _before: int) -> None:
        item = self.item(row, 0)
        if row != before and item is not None:
            self.picked.emit(int(item.data(Qt.ItemDataRole.UserRole)))


class _Item(QTableWidgetItem):
    """Sorts by its number, if it has one."""

    def __lt__(self, other: QTableWidgetItem) -> bool:
        own, theirs = self.data(Qt.ItemDataRole.UserRole), other.data(Qt.ItemDataRole.UserRole)
        if own is None or theirs is None:
            return bool(self.text() < other.text())
        return bool(own < theirs)


def picked_columns(found: Classified, spec: ModelSpec, rows: Sequence[int]) -> dict[str, list[object]]:
    """Return some answers as columns, for the features of a layer."""
    probable = found.probabilities[list(rows)]
    names = [entry.name for entry in spec.classes]
    columns: dict[str, list[object]] = {
        "image": [found.names[row] for row in rows],
        "predicted": [word or "none" for word in answers_of(probable, names, spec.output)],
        "sure": [float(value) for value in probable.max(axis=1)],
    }
    return columns | {f"p_{name}": probable[:, k].tolist() for k, name in enumerate(names)}
