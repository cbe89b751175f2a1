"""What the user paints: a labels layer, and the table of its classes."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from napari.qt.threading import create_worker
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMessageBox, QPushButton, QVBoxLayout, QWidget

from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import PAINTED_BACKGROUND, classes_of, new_labels, set_classes
from napari_medseg.ui.layers.classes import present_classes
from napari_medseg.ui.widgets.class_table import ClassTable
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_labels
from napari_medseg.volume import LabelClass

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from numpy.typing import NDArray

FIRST_CLASS = (LabelClass(value=1, name="class 1"),)


class PaintPanel(QWidget):
    """Choice of a labels layer with a button that makes one (`layer_row`), and its classes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers.
    image : callable
        Returns the image layer that new labels are for, or None.
    parent : QWidget, optional
        Owner.
    """

    layer_changed = Signal(object)
    """Another labels layer, or None."""

    def __init__(self, viewer: "Viewer", image: Callable[[], Image | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image = image
        self._on_layer_events = Connections(self)
        self.table = ClassTable(self)
        self.choice = LayerChoice(viewer, is_labels, self)
        self.choice.setToolTip("The labels layer that holds your strokes")
        self.new_button = QPushButton("New", self)
        self.new_button.setToolTip("Add an empty labels layer on the grid of the image")
        self.layer_row = QWidget(self)
        """The choice and the button, for the layout around to place."""
        row = QHBoxLayout(self.layer_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.choice, 1)
        row.addWidget(self.new_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        self.new_button.clicked.connect(self.add_labels)
        self.choice.layer_changed.connect(self._bind)
        self.table.picked.connect(self.paint)
        self.table.changed.connect(self._on_classes_edited)
        self.table.removed.connect(self._on_class_removed)
        self._bind(self.choice.layer)

    @property
    def layer(self) -> Labels | None:
        """The chosen labels layer."""
        return self.choice.layer

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The classes to learn, without background."""
        return self.table.classes

    def add_labels(self) -> None:
        """Add an empty labels layer for the image, with the classes of the table, and paint on it."""
        image = self._image()
        if image is None:
            return
        classes = self.table.classes or FIRST_CLASS
        layer = new_labels(image, classes)
        self._viewer.add_layer(layer)
        self.choice.choose(layer)
        self.paint(classes[0].value)

    def paint(self, value: int) -> None:
        """Take the brush with a class's value."""
        if self.layer is not None:
            self._viewer.layers.selection.active = self.layer
            self.layer.selected_label = value
            self.layer.mode = "paint"

    def _bind(self, layer: Labels | None) -> None:
        self._on_layer_events.close()
        self.table.setEnabled(layer is not None)
        if layer is not None:
            self._on_layer_events.connect(layer.events.selected_label, self._on_label_selected)
            if named := classes_of(layer):
                self._show(named)
            else:
                # looking through a whole volume takes a moment
                finder = create_worker(present_classes, _array(layer), _start_thread=False)
                finder.returned.connect(partial(self._on_classes_found, layer))
                finder.start()
        self.layer_changed.emit(layer)

    def _on_classes_found(self, layer: Labels, found: tuple[LabelClass, ...]) -> None:
        if layer is self.layer and not classes_of(layer):
            self._show(found or self.table.classes or FIRST_CLASS)
            self._on_classes_edited()

    def _show(self, classes: tuple[LabelClass, ...]) -> None:
        self.table.show_classes(classes)
        self._on_label_selected()

    def _on_label_selected(self, _event: object = None) -> None:
        if self.layer is not None:
            self.table.select(int(self.layer.selected_label))

    def _on_classes_edited(self) -> None:
        if self.layer is not None:
            set_classes(self.layer, (*self.table.classes, PAINTED_BACKGROUND))

    def _on_class_removed(self, value: int) -> None:
        if self.layer is None or not (self.layer.data == value).any():
            return
        question = "Erase the voxels that were painted with this class, too? Ctrl+Z brings them back."
        if QMessageBox.question(self, "Remove class", question) == QMessageBox.StandardButton.Yes:
            self.layer.data_setitem(np.nonzero(np.asarray(self.layer.data) == value), 0)


def _array(layer: Labels) -> "NDArray[np.integer]":
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)
