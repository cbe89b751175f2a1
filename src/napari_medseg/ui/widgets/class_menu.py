"""A button that opens a list of classes to tick."""

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QMenu, QPushButton, QSizePolicy, QWidget, QWidgetAction

from napari_medseg.ui.widgets.class_table import swatch
from napari_medseg.volume import LabelClass

ALL = "all classes"
ROWS = 12


class ClassMenu(QPushButton):
    """Says which classes are ticked; none ticked means all.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    nothing : str
        What it says while none is ticked.
    """

    changed = Signal()
    """The user ticked or unticked a class."""

    def __init__(self, parent: QWidget | None = None, nothing: str = ALL) -> None:
        super().__init__(parent)
        self._nothing = nothing
        self._classes: tuple[LabelClass, ...] = ()
        self.list = QListWidget()
        self.list.setMinimumWidth(180)
        action = QWidgetAction(self)
        action.setDefaultWidget(self.list)
        menu = QMenu(self)
        menu.addAction(action)
        self.setMenu(menu)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Tick the classes; with none ticked it works on all of them, each by itself")
        self.list.itemChanged.connect(self._on_changed)
        self._say()

    @property
    def values(self) -> tuple[int, ...]:
        """Values of the ticked classes; empty for all."""
        return tuple(
            entry.value
            for row, entry in enumerate(self._classes)
            if self.list.item(row).checkState() == Qt.CheckState.Checked
        )

    def set_classes(self, classes: Sequence[LabelClass]) -> None:
        """List these classes; those that were ticked and are still there stay ticked."""
        ticked, self._classes = self.values, tuple(classes)
        self._fill(ticked)

    def show_values(self, values: Sequence[int]) -> None:
        """Tick the classes with these values."""
        self._fill(tuple(values))

    def _fill(self, ticked: tuple[int, ...]) -> None:
        with QSignalBlocker(self.list):
            self.list.clear()
            for entry in self._classes:
                item = QListWidgetItem(swatch(entry.color, 12), entry.name)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                item.setCheckState(Qt.CheckState.Checked if entry.value in ticked else Qt.CheckState.Unchecked)
                self.list.addItem(item)
        height = max(1, min(ROWS, len(self._classes))) * max(20, self.list.sizeHintForRow(0)) + 8
        self.list.setFixedHeight(height)
        self._say()

    def _say(self) -> None:
        names = [entry.name for entry in self._classes if entry.value in self.values]
        first = self.fontMetrics().elidedText(names[0], Qt.TextElideMode.ElideRight, 100) if names else self._nothing
        self.setText(first if len(names) < 2 else f"{first} + {len(names) - 1}")

    def _on_changed(self, _item: QListWidgetItem) -> None:
        self._say()
        self.changed.emit()
