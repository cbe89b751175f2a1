"""A table of the volume of each class."""

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_medseg.ui.widgets.class_table import swatch
from napari_medseg.volume import LabelClass


class VolumeTable(QTableWidget):
    """Colour, name and ml per class; can be selected and copied.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self.setHorizontalHeaderLabels(["Class", "ml"])
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.setToolTip("Volume of each class in millilitres, from the image's own voxel size")
        self.hide()

    def show_volumes(self, classes: Sequence[LabelClass], volumes_ml: Mapping[str, float] | None) -> None:
        """Show the volumes.

        Parameters
        ----------
        classes : sequence of LabelClass
            In the order of the rows.
        volumes_ml : mapping of str to float, optional
            Volume per class name; None hides the table.
        """
        rows = [c for c in classes if volumes_ml is not None and c.name in volumes_ml]
        self.setRowCount(len(rows))
        for row, entry in enumerate(rows):
            name = QTableWidgetItem(swatch(entry.color, 12), entry.name)
            volume = QTableWidgetItem(f"{(volumes_ml or {})[entry.name]:.2f}")
            volume.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, 0, name)
            self.setItem(row, 1, volume)
        shown = min(len(rows), 8)
        height = self.horizontalHeader().sizeHint().height() + shown * self.verticalHeader().defaultSectionSize() + 4
        self.setFixedHeight(height)
        self.setVisible(bool(rows))
