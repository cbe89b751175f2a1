"""A table of numbers per class."""

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_medseg.results.table import Cell, Row
from napari_medseg.ui.widgets.class_table import swatch

MOST_ROWS = 8
"""Rows shown at once; the others are scrolled to."""


class NumberTable(QTableWidget):
    """Class names with their colour, and numbers; can be selected and copied. Hidden while it is empty.

    Parameters
    ----------
    tooltip : str
        What the numbers are.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(0, 0, parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.setToolTip(tooltip)
        self.hide()

    def show_rows(self, rows: Sequence[Row], colors: Mapping[str, str]) -> None:
        """Show rows of the same headings.

        Parameters
        ----------
        rows : sequence of mapping
            Cells by heading; ``"class"`` is the first column, a ``"value"`` is left out. None hides the table.
        colors : mapping of str to str
            ``#rrggbb`` by class name; empty for rows that are no classes.
        """
        headings = [heading for heading in (rows[0] if rows else {}) if heading not in ("class", "value")]
        self.setColumnCount(1 + len(headings) if rows else 0)
        self.setHorizontalHeaderLabels(["Class", *headings] if rows else [])
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            name = str(row["class"])
            item = QTableWidgetItem(name)
            if colors:
                item.setIcon(swatch(colors.get(name, "#808080"), 12))
            self.setItem(number, 0, item)
            for column, heading in enumerate(headings, start=1):
                item = QTableWidgetItem(number_text(row[heading]))
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(number, column, item)
        self._fit(len(headings), len(rows))
        self.setVisible(bool(rows))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Copy what is selected, as spreadsheets paste it."""
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.selected_text())
            event.accept()
        else:
            super().keyPressEvent(event)

    def selected_text(self) -> str:
        """Return the selected cells: a tab between columns, a line per row."""
        lines = []
        for area in self.selectedRanges():
            for row in range(area.topRow(), area.bottomRow() + 1):
                items = (self.item(row, column) for column in range(area.leftColumn(), area.rightColumn() + 1))
                lines.append("\t".join(item.text() if item is not None else "" for item in items))
        return "\n".join(lines)

    def _fit(self, numbers: int, rows: int) -> None:
        header = self.horizontalHeader()
        for column in range(1 + numbers if rows else 0):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        # With few columns, the names take the room that is left; many columns are scrolled.
        wide = numbers > 4
        if rows and not wide:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setHorizontalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAsNeeded if wide else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        bar = self.horizontalScrollBar().sizeHint().height() if wide else 0
        shown = min(rows, MOST_ROWS) * self.verticalHeader().defaultSectionSize()
        self.setFixedHeight(header.sizeHint().height() + shown + bar + 4)


def number_text(cell: Cell) -> str:
    """Return a cell as text that is read at a glance: four significant digits, no exponents.

    Examples
    --------
    >>> number_text(1.23456), number_text(1534.56), number_text(-0.012345), number_text(7), number_text(None)
    ('1.235', '1535', '-0.01235', '7', '–')
    """
    if cell is None:
        return "–"
    if not isinstance(cell, float):
        return str(cell)
    if abs(cell) >= 1000:
        return f"{cell:.0f}"
    return f"{cell:.4g}" if abs(cell) >= 1e-4 or not cell else f"{cell:.6f}"
