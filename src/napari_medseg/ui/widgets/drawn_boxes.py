"""Where a user says what was missed: a layer with drawn rectangles, pairs of points, or painted labels."""

from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Points, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QSpinBox, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.ui.layers import image_volume
from napari_medseg.ui.layers.boxes import BOXES_OF
from napari_medseg.ui.layers.marks import cornered_edges, drawn_edges, labelled_edges
from napari_medseg.ui.layers.results import placed_like
from napari_medseg.ui.widgets.layer_choice import LayerChoice
from napari_medseg.ui.widgets.section import beside, rows, stacked

if TYPE_CHECKING:
    import numpy as np
    from napari.viewer import Viewer
    from numpy.typing import NDArray


class DrawnBoxes(QWidget):
    """Takes boxes from a layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers.
    parent : QWidget, optional
        Owner.
    """

    wanted = Signal()
    """The boxes of the chosen layer are to be added."""
    failed = Signal(object)
    """A `MedsegError`."""

    def __init__(self, viewer: "Viewer", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer = LayerChoice(viewer, _is_drawing, self)
        self.layer.setToolTip(
            "Rectangles around what was missed (Shapes), two opposite corners each (Points), or painted parts (Labels)"
        )
        self.depth = QSpinBox(self)
        self.depth.setRange(0, 500)
        self.depth.setToolTip("How many slices further to either side what you drew on one slice reaches")
        self.add_button = QPushButton("Add", self)
        self.add_button.setToolTip("Add the boxes of this layer")
        self._form = rows(("Drawn in", beside(self.layer, self.add_button)), ("Slices ±", self.depth))
        stacked(self).addLayout(self._form)
        self.add_button.clicked.connect(self.wanted)

    def show_depth(self, shown: bool) -> None:
        """Offer a depth, as volumes need it."""
        self._form.setRowVisible(self.depth, shown)

    def draw_on(self, image: Image) -> None:
        """Add a layer over an image to draw rectangles in, and choose it."""
        count = len(image_volume(image).spatial_shape)
        layer = self._viewer.add_shapes(ndim=count, name=f"{image.name} drawn", **placed_like(image, count))
        layer.mode = "add_rectangle"
        self.layer.choose(layer)

    def boxes_on(self, image: Image) -> "list[tuple[NDArray[np.float64], str]]":
        """Return the (n, 2, axes) edges of the boxes of the chosen layer, and the class where the layer names one.

        Nothing where no layer is chosen, or after `failed`.
        """
        chosen = self.layer.layer
        try:
            if isinstance(chosen, Shapes):
                return [(drawn_edges(chosen, image, self.depth.value()), "")]
            if isinstance(chosen, Points):
                return [(cornered_edges(chosen, image), "")]
            if isinstance(chosen, Labels):
                return labelled_edges(chosen, image)
        except MedsegError as error:
            self.failed.emit(error)
        return []


def _is_drawing(layer: object) -> bool:
    return isinstance(layer, Shapes | Points | Labels) and BOXES_OF not in layer.metadata
