"""The table of the series browser: one row per volume, with a picture, to sort, filter and choose from."""

from dataclasses import astuple
from html import escape
from typing import TYPE_CHECKING, cast

import numpy as np
from qtpy.QtCore import QModelIndex, QSize, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap, QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_medseg.io.listing import HEADINGS, Row, row_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_medseg.ui.opening import Entry

PICTURE = 48
"""Side of the pictures in the table, in pixels of the layout."""
SHARPNESS = 2
"""Pixels of a picture per pixel of the layout, for screens of high resolution."""
ORDER = Qt.ItemDataRole.UserRole + 1
"""Role of what a cell is sorted by."""
PICTURE_COLUMN, SERIES, DESCRIPTION, MODALITY, SIZE, SPACING, STEPS, WARNINGS, STATE = range(9)
WIDTHS = {PICTURE_COLUMN: PICTURE + 10, SERIES: 90, DESCRIPTION: 180, MODALITY: 70, SIZE: 130, SPACING: 170, STEPS: 85}


class SeriesTable(QTableView):
    """Lists volumes; several can be selected.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    chosen = Signal()
    """The user wants what is selected: by a double click or the return key."""
    selection_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._entries: list[Entry] = []
        self._rows = QStandardItemModel(0, 9, self)
        self._rows.setHorizontalHeaderLabels(["", *astuple(HEADINGS), "State"])
        self._shown = _AllWords(self)
        self._shown.setSourceModel(self._rows)
        self._shown.setSortRole(ORDER)
        self.setModel(self._shown)
        self._lay_out()
        self.doubleClicked.connect(self.chosen)
        self.selectionModel().selectionChanged.connect(lambda *_: self.selection_changed.emit())

    @property
    def entries(self) -> "tuple[Entry, ...]":
        """All volumes, in the order in which they came."""
        return tuple(self._entries)

    @property
    def selected(self) -> "list[Entry]":
        """The selected volumes that pass the filter, from top to bottom."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        return [self._entries[self._shown.mapToSource(self._shown.index(row, 0)).row()] for row in rows]

    def add(self, entries: "Iterable[Entry]") -> "list[Entry]":
        """Add volumes that are not listed yet, and return those; the others lose their state."""
        self.setSortingEnabled(False)
        fresh = []
        for entry in entries:
            if entry in self._entries:
                self.show_state(entry, "")
            else:
                fresh.append(entry)
                self._entries.append(entry)
                self._rows.appendRow(_cells(entry))
        self.setSortingEnabled(True)
        return fresh

    def clear(self) -> None:
        """Remove all rows."""
        self._entries.clear()
        self._rows.removeRows(0, self._rows.rowCount())

    def filter(self, words: str) -> None:
        """Show only rows that hold all of these words, in any column and of either case."""
        self._shown.words = words.casefold().split()
        self._shown.invalidateFilter()

    def select(self, entries: "Iterable[Entry]") -> None:
        """Select the rows of these volumes alone, as far as they pass the filter."""
        self.clearSelection()
        flags = self.selectionModel().SelectionFlag.Select | self.selectionModel().SelectionFlag.Rows
        for entry in entries:
            source = self._rows.index(self._entries.index(entry), 0)
            self.selectionModel().select(self._shown.mapFromSource(source), flags)

    def state(self, entry: "Entry") -> str:
        """Return what is shown as the state of a volume."""
        return str(self._rows.item(self._entries.index(entry), STATE).text())

    def show_state(self, entry: "Entry", state: str, why: str = "") -> None:
        """Show how far the opening of a listed volume is.

        Parameters
        ----------
        entry : Entry
            Without effect if it is no longer listed.
        state : str
            One or two words.
        why : str
            As the tooltip.
        """
        if entry in self._entries:
            item = self._rows.item(self._entries.index(entry), STATE)
            item.setText(state)
            item.setData(state, ORDER)
            item.setToolTip(_wrapped(why))

    def show_picture(self, entry: "Entry", picture: "NDArray[np.uint8]") -> None:
        """Show a (rows, columns[, 3]) picture of a listed volume."""
        if entry in self._entries:
            self._rows.item(self._entries.index(entry), PICTURE_COLUMN).setIcon(_icon(picture))

    def keyPressEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
        """Take the return key as a double click."""
        if getattr(event, "key", int)() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit()
        else:
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setIconSize(QSize(PICTURE, PICTURE))
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(PICTURE + 6)
        header = self.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setHighlightSections(False)
        for column, width in WIDTHS.items():
            header.resizeSection(column, width)
        header.setSectionResizeMode(WARNINGS, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(PICTURE_COLUMN, QHeaderView.ResizeMode.Fixed)
        header.setMinimumSectionSize(40)
        # At first in the order of the files; a click on a heading sorts.
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)


class _AllWords(QSortFilterProxyModel):
    """Passes rows that hold all words, anywhere but in their warnings."""

    words: tuple[str, ...] | list[str] = ()

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:  # noqa: N802 - Qt's name
        """Return whether every word is in one of the cells."""
        model = cast("QStandardItemModel", self.sourceModel())
        cells = (str(model.index(row, column, parent).data() or "") for column in range(SERIES, WARNINGS))
        text = "\n".join(cells).casefold()
        return all(word in text for word in self.words)


def _cells(entry: "Entry") -> list[QStandardItem]:
    """Return the cells of a row; they sort by number where they show one."""
    info, words = entry.info, row_of(entry.info)
    lead = len(info.axes)
    spatial = info.shape[lead : len(info.shape) - info.rgb]
    order: dict[int, object] = {
        SIZE: float(np.prod(spatial, dtype=float)),
        SPACING: float(np.prod(info.spacing)) if info.spacing else 0.0,
        STEPS: float(np.prod(info.shape[:lead], dtype=float)) if lead else 0.0,
        WARNINGS: float(len(info.warnings)),
        SERIES: _natural(words.series),
    }
    whole = _wrapped("\n".join(_sentences(words, info.warnings)))
    cells = []
    for column, text in enumerate(("", *astuple(words), "")):
        cell = QStandardItem(f"⚠ {text}" if column == WARNINGS and text else text)
        cell.setData(order.get(column, text.casefold()), ORDER)
        cell.setToolTip(whole)
        cells.append(cell)
    return cells


def _sentences(words: Row, warnings: "tuple[str, ...]") -> list[str]:
    """Return all that is said of a volume, in lines: a narrow table shows little of it."""
    named = zip(astuple(HEADINGS)[:-1], astuple(words)[:-1], strict=True)
    return [*(f"{name}: {text}" for name, text in named if text), *(f"⚠ {warning}" for warning in warnings)]


def _natural(name: str) -> str:
    """Return a name whose numbers sort by value.

    Examples
    --------
    >>> sorted(["MR 10", "MR 9"], key=_natural)
    ['MR 9', 'MR 10']
    """
    return " ".join(part.zfill(12) if part.isdigit() else part.casefold() for part in name.split())


def _wrapped(text: str) -> str:
    """Return a tooltip that Qt breaks into lines, for it does so with rich text only."""
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if text else ""


def _icon(picture: "NDArray[np.uint8]") -> QIcon:
    """Return an icon of a picture in the middle of a black square, which keeps its colours in a selected row."""
    rows, columns = picture.shape[:2]
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    square = np.zeros((side, side, *picture.shape[2:]), np.uint8)
    square[top : top + rows, left : left + columns] = picture
    form = QImage.Format.Format_RGB888 if picture.ndim == 3 else QImage.Format.Format_Grayscale8
    # The copy outlives the array.
    image = QImage(square.data, side, side, square.strides[0], form).copy()
    pixmap = QPixmap.fromImage(image)
    pixmap.setDevicePixelRatio(SHARPNESS)
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon
