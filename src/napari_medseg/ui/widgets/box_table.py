"""The table of found boxes."""

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_medseg.data.boxes.review import Review
from napari_medseg.ui.widgets.class_table import swatch
from napari_medseg.volume import Geometry

ROWS = 8
"""Rows shown at once; the others are scrolled to."""
HEADINGS = ("Class", "Score", "Size", "Slice", "Verdict")
WORDS = {"open": "", "accepted": "✓ accepted", "rejected": "✗ rejected", "drawn": "drawn"}


class BoxTable(QTableWidget):
    """Boxes with class, score, size and verdict; a click shows one, headings sort, keys decide.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    picked = Signal(int)
    """The user wants to see the box of this number."""
    pressed_key = Signal(str)
    """``"A"``, ``"R"``, ``"U"`` or a digit was pressed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self.setHorizontalHeaderLabels(HEADINGS)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.setToolTip(
            "Click a row to go there. A accepts, R rejects, 1 to 9 give another class, U takes back. Headings sort"
        )
        header = self.horizontalHeader()
        for column in range(len(HEADINGS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.setFixedHeight(header.sizeHint().height() + ROWS * self.verticalHeader().defaultSectionSize() + 4)
        self.currentCellChanged.connect(self._on_current)
        self.setSortingEnabled(True)
        self.sortItems(1, Qt.SortOrder.DescendingOrder)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the selected boxes."""
        rows = sorted({index.row() for index in self.selectedIndexes()})
        return [self._number(row) for row in rows]

    @property
    def order(self) -> list[int]:
        """Numbers of all boxes, as the table is sorted."""
        return [self._number(row) for row in range(self.rowCount())]

    def show_boxes(self, review: Review, numbers: Sequence[int], geometry: Geometry | None) -> None:
        """Show some boxes of a review; those that were selected stay so.

        Parameters
        ----------
        review : Review
            What to show.
        numbers : sequence of int
            Which boxes.
        geometry : Geometry, optional
            Of the image, for sizes in mm instead of voxels.
        """
        before = set(self.numbers)
        blocked = QSignalBlocker(self)
        self.setSortingEnabled(False)
        self.setRowCount(len(numbers))
        boxes = review.boxes
        sizes = boxes.sizes if geometry is None else boxes.sizes_mm(geometry)
        colours = {entry.name: entry.color for entry in boxes.classes}
        for row, number in enumerate(numbers):
            name = boxes.names[number]
            first = self._set(row, 0, name)
            first.setIcon(swatch(colours[name], 12))
            first.setData(Qt.ItemDataRole.UserRole, number)
            self._set(row, 1, f"{boxes.scores[number]:.2f}", float(boxes.scores[number]))
            unit, digits = ("px", 0) if geometry is None else ("mm", 1)
            words = " × ".join(f"{edge:.{digits}f}" for edge in sizes[number][::-1])
            self._set(row, 2, f"{words} {unit}", float(np.prod(sizes[number])))
            place = int(boxes.centres[number][0]) if boxes.axes == 3 else None
            self._set(row, 3, "" if place is None else str(place), place or 0)
            self._set(row, 4, WORDS[review.verdicts[number]])
        self.setColumnHidden(3, boxes.axes == 2)
        self.setSortingEnabled(True)
        self.select(before)
        blocked.unblock()

    def select(self, numbers: "set[int]") -> None:
        """Select boxes by number, without going there."""
        blocked = QSignalBlocker(self)
        self.clearSelection()
        for row in range(self.rowCount()):
            if self._number(row) in numbers:
                for column in range(self.columnCount()):
                    item = self.item(row, column)
                    if item is not None:
                        item.setSelected(True)
        blocked.unblock()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Decide by key."""
        text = event.text().upper() if event is not None else ""
        if event is not None and text and text in "ARU123456789":
            self.pressed_key.emit(text)
            event.accept()
        else:
            super().keyPressEvent(event)

    def _number(self, row: int) -> int:
        item = self.item(row, 0)
        return int(item.data(Qt.ItemDataRole.UserRole)) if item is not None else -1

    def _set(self, row: int, column: int, text: str, value: float | None = None) -> "_Item":
        item = _Item(text, value)
        if value is not None:
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.setItem(row, column, item)
        return item

    def _on_current(self, row: int, _column: int, before: int, _before: int) -> None:
        if row != before and self.item(row, 0) is not None:
            self.picked.emit(self._number(row))


class _Item(QTableWidgetItem):
    """Sorts by its number, if it has one."""

    def __init__(self, text: str, value: float | None) -> None:
        super().__init__(text)
        self._value = value

    def __lt__(self, other: QTableWidgetItem) -> bool:
        if isinstance(other, _Item) and self._value is not None and other._value is not None:
            return self._value < other._value
        return bool(self.text() < other.text())
