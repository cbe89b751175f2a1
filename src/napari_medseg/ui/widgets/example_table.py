"""The table of what is to be labelled: names and classes, which are set by the keys 1 to 9."""

from collections.abc import Sequence
from dataclasses import replace

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_medseg.data.labelled.table import BETWEEN
from napari_medseg.ui.examples import Example, classes_said

NAME, CLASS = range(2)
MOST_KEYS = 9
ROWS = 9
"""Rows shown at once; the others are scrolled to."""


class ExampleTable(QTableWidget):
    """Examples with their classes.

    A click shows an example. The keys 1 to 9 give the selected rows that class and go on to the next row; with Shift, a
    further class beside those that are there. 0, Delete and Backspace take the classes away.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    changed = Signal()
    """Examples or their classes are others now."""
    picked = Signal(object)
    """The user wants to see this `Example`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self._examples: list[Example] = []
        self._classes: list[str] = []
        self.setHorizontalHeaderLabels(["Image", "Class"])
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(CLASS, QHeaderView.ResizeMode.ResizeToContents)
        self.setToolTip(
            "Click to see an image. Keys 1 to 9 give the selected rows that class, with Shift one more class; "
            "0 takes it away. Double-click a class to type it; several have a | between them."
        )
        self.setFixedHeight(header.sizeHint().height() + ROWS * self.verticalHeader().defaultSectionSize() + 4)
        self.currentCellChanged.connect(self._on_current)
        self.cellClicked.connect(self._on_click)
        self.itemChanged.connect(self._on_edited)
        self.installEventFilter(self)

    @property
    def examples(self) -> tuple[Example, ...]:
        """All rows."""
        return tuple(self._examples)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes by key: those that were named, then others that examples have."""
        return tuple(dict.fromkeys([*self._classes, *classes_said(self._examples)]))

    def name_classes(self, names: Sequence[str]) -> None:
        """Take these as the classes of the keys 1, 2 and so on."""
        self._classes = list(dict.fromkeys(names))
        self.changed.emit()

    def add(self, examples: Sequence[Example]) -> None:
        """Add rows; what is there already is not added again."""
        known = {_key(example) for example in self._examples}
        self._examples += [example for example in examples if _key(example) not in known]
        self._fill()

    def clear_examples(self) -> None:
        """Remove all rows."""
        self._examples = []
        self._fill()

    def remove_selected(self) -> None:
        """Remove the selected rows."""
        gone = set(self._selected())
        self._examples = [example for row, example in enumerate(self._examples) if row not in gone]
        self._fill()

    def keep(self, there: Sequence[object]) -> None:
        """Leave out the examples of layers that are not among these."""
        from napari.layers import Image

        kept = [e for e in self._examples if not isinstance(e.image, Image) or e.image in there]
        if len(kept) < len(self._examples):
            self._examples = kept
            self._fill()

    def label(self, number: int, further: bool = False) -> None:
        """Give the selected rows the class of a key, or none for 0, and go on to the next row."""
        rows = self._selected()
        if not rows or number > len(self.classes):
            return
        name = self.classes[number - 1] if number else ""
        for row in rows:
            there = [part for part in self._examples[row].label.split(BETWEEN) if part]
            words = BETWEEN.join(dict.fromkeys([*there, name])) if further and name else name
            self._set(row, words)
        self.changed.emit()
        if number and not further and rows[-1] + 1 < len(self._examples):
            self.selectRow(rows[-1] + 1)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Take digits before napari or the search by first letters does."""
        if event is not None and event.type() == QEvent.Type.ShortcutOverride and self._digit(event) is not None:
            event.accept()
            return True
        return bool(super().eventFilter(watched, event))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Give or take a class."""
        number = self._digit(event)
        if event is None or number is None:
            super().keyPressEvent(event)
            return
        self.label(number, bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        event.accept()

    def _digit(self, event: QEvent | None) -> int | None:
        if not isinstance(event, QKeyEvent):
            return None
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            return 0
        native = event.nativeVirtualKey()
        for code in (event.key(), native):
            number = int(code) - int(Qt.Key.Key_0)
            if 0 <= number <= MOST_KEYS:
                return number
        return None

    def _selected(self) -> list[int]:
        return sorted({index.row() for index in self.selectedIndexes()})

    def _set(self, row: int, label: str) -> None:
        self._examples[row] = replace(self._examples[row], label=label)
        with QSignalBlocker(self):
            self.item(row, CLASS).setText(label)

    def _fill(self) -> None:
        with QSignalBlocker(self):
            self.setRowCount(len(self._examples))
            for row, example in enumerate(self._examples):
                name = QTableWidgetItem(example.name)
                name.setFlags(name.flags() & ~Qt.ItemFlag.ItemIsEditable)
                name.setToolTip(example.name)
                self.setItem(row, NAME, name)
                self.setItem(row, CLASS, QTableWidgetItem(example.label))
        self.changed.emit()

    def _on_edited(self, item: QTableWidgetItem) -> None:
        if item.column() == CLASS:
            self._set(item.row(), item.text().strip())
            self.changed.emit()

    def _on_current(self, row: int, _column: int, before: int, _before: int) -> None:
        if row != before:
            self._show(row)

    def _on_click(self, row: int, _column: int) -> None:
        self._show(row)

    def _show(self, row: int) -> None:
        if 0 <= row < len(self._examples):
            self.picked.emit(self._examples[row])


def _key(example: Example) -> tuple[object, ...]:
    place = () if example.box is None else tuple((side.start, side.stop) for side in example.box)
    return example.image, place
