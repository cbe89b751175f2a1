"""The table of classes that the user paints with."""

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.models.spec import BACKGROUND
from napari_medseg.ui.layers import PAINTED_BACKGROUND
from napari_medseg.volume import LabelClass

COLOR, NAME, VALUE = range(3)


class ClassTable(QWidget):
    """Colour, name and value of each class, background first.

    Rename by typing, recolour by a double click on the colour, choose what to paint by a click.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    changed = Signal()
    """A class was added, removed, renamed or recoloured by the user."""
    removed = Signal(int)
    """The user removed the class of this value; comes before `changed`."""
    picked = Signal(int)
    """The user wants to paint this value."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[LabelClass] = [PAINTED_BACKGROUND]
        self.table = QTableWidget(0, 3, self)
        self.table.setHorizontalHeaderLabels(["", "Class", "Value"])
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setToolTip(
            "Click a class to paint it. Double-click its name or colour to change it.\n"
            "Paint “background” where there is surely none of the classes; what is not painted stays unlabelled."
        )
        self._lay_out_columns()
        self.add_button = QPushButton("Add class", self)
        self.add_button.setToolTip("Add a class and paint it")
        self.remove_button = QPushButton("Remove", self)
        self.remove_button.setToolTip("Remove the selected class")
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.remove_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addLayout(buttons)
        self.table.cellClicked.connect(self._on_click)
        self.table.cellDoubleClicked.connect(self._on_double_click)
        self.table.itemChanged.connect(self._on_item_changed)
        self.table.itemSelectionChanged.connect(self._on_selection)
        self.add_button.clicked.connect(self.add)
        self.remove_button.clicked.connect(self.remove_selected)
        self._refill()

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The classes without background."""
        return tuple(self._rows[1:])

    def show_classes(self, classes: Sequence[LabelClass]) -> None:
        """Show these classes; background values among them are left out, for the table has its own row."""
        self._rows = [PAINTED_BACKGROUND, *(c for c in classes if c.value not in (0, BACKGROUND_VALUE))]
        self._refill()

    def add(self) -> None:
        """Add a class with the next free value and let the user type its name."""
        taken = {c.value for c in self._rows}
        value = next(v for v in range(1, 65536) if v not in taken)
        names = {c.name for c in self._rows}
        name = next(n for k in range(value, 2 * 65536) if (n := f"class {k}") not in names)
        self._rows.append(LabelClass(value=value, name=name))
        self._refill()
        self.select(value)
        self.changed.emit()
        self.picked.emit(value)
        self.table.editItem(self.table.item(len(self._rows) - 1, NAME))

    def remove_selected(self) -> None:
        """Remove the selected class; background stays."""
        if (row := self.table.currentRow()) < 1:
            return
        gone = self._rows.pop(row)
        self._refill()
        self.table.selectRow(min(row, len(self._rows) - 1))
        self.removed.emit(gone.value)
        self.changed.emit()
        self.picked.emit(self._rows[self.table.currentRow()].value)

    def select(self, value: int) -> None:
        """Mark the row of `value`, as when the user changes the label elsewhere; emits nothing."""
        for row, entry in enumerate(self._rows):
            if entry.value == value and row != self.table.currentRow():
                self.table.selectRow(row)

    def recolor(self, row: int, color: str) -> None:
        """Give the class in `row` another colour, ``#rrggbb``."""
        self._rows[row] = self._rows[row].model_copy(update={"color": color})
        self._refill()
        self.changed.emit()

    def _lay_out_columns(self) -> None:
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(VALUE, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(COLOR, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(COLOR, 28)
        self.table.verticalHeader().hide()

    def _refill(self) -> None:
        selected = self.table.currentRow()
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(self._rows))
            for row, entry in enumerate(self._rows):
                for column, item in enumerate(_items(entry, fixed=row == 0)):
                    self.table.setItem(row, column, item)
            if 0 <= selected < len(self._rows):
                self.table.selectRow(selected)
        self._fit_height()
        self._on_selection()

    def _fit_height(self) -> None:
        shown = min(max(self.table.rowCount(), 3), 8)
        row = self.table.verticalHeader().defaultSectionSize()
        self.table.setFixedHeight(self.table.horizontalHeader().sizeHint().height() + shown * row + 4)

    def _on_click(self, row: int, _column: int) -> None:
        self.picked.emit(self._rows[row].value)

    def _on_double_click(self, row: int, column: int) -> None:
        if column == COLOR and row > 0:
            color = QColorDialog.getColor(QColor(self._rows[row].color), self, f"Colour of {self._rows[row].name}")
            if color.isValid():
                self.recolor(row, color.name())

    def _on_item_changed(self, item: QTableWidgetItem) -> None:
        row, name = item.row(), item.text().strip()
        others = {BACKGROUND.name} | {c.name for k, c in enumerate(self._rows) if k != row}
        if row > 0 and name and name not in others and name != self._rows[row].name:
            self._rows[row] = self._rows[row].model_copy(update={"name": name})
            self.changed.emit()
        with QSignalBlocker(self.table):
            item.setText(self._rows[row].name)

    def _on_selection(self) -> None:
        self.remove_button.setEnabled(self.table.currentRow() > 0)


def _items(entry: LabelClass, fixed: bool) -> tuple[QTableWidgetItem, QTableWidgetItem, QTableWidgetItem]:
    color, name, value = QTableWidgetItem(), QTableWidgetItem(entry.name), QTableWidgetItem(str(entry.value))
    color.setIcon(swatch(entry.color))
    for item in (color, value) + ((name,) if fixed else ()):
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
    value.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return color, name, value


def swatch(color: str, edge: int = 16) -> QIcon:
    """Return a square of ``#rrggbb``, the same in a selected row."""
    square = QPixmap(edge, edge)
    square.fill(QColor(color))
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected, QIcon.Mode.Disabled):
        icon.addPixmap(square, mode)
    return icon
