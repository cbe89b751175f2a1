"""Which part of the image to segment: all of it, what shapes surround, or what labels mark."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtWidgets import QWidget

from napari_medseg.errors import DataError
from napari_medseg.ui.layers import labels_on
from napari_medseg.ui.layers.regions import region_box
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_labels
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

WHOLE = "whole image"
Box = tuple[tuple[int, int], ...]


class RegionChoice(LayerChoice):
    """Lists shapes and labels layers, after the whole image.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, viewer: "Viewer", parent: QWidget | None = None) -> None:
        super().__init__(viewer, _marks, parent, nothing=WHOLE)
        self.setToolTip(
            "Segment all of the image, or only what a Shapes layer surrounds or a Labels layer marks. A rectangle "
            "counts on all slices; rectangles on two slices bound the slices, too."
        )

    def box(self, image: Image) -> Box | None:
        """Return the box around the chosen shapes; None without such a layer. `DataError` if it misses the image."""
        return region_box(self.layer, image) if isinstance(self.layer, Shapes) else None

    def mask(self, image: Image) -> "Callable[[], Volume] | None":
        """Return a function that takes what the chosen labels mark on the image; None without such a layer."""
        return partial(_mask, self.layer, image) if isinstance(self.layer, Labels) else None


def _marks(layer: object) -> bool:
    return isinstance(layer, Shapes) or is_labels(layer)


def _mask(layer: Labels, image: Image) -> Volume:
    marked = labels_on(layer, image)
    inside = np.asarray(marked.data) != 0
    if not inside.any():
        raise DataError(f"{layer.name} marks nothing.", "Paint what you want to segment, or choose the whole image.")
    return Volume(inside.astype(np.uint8), marked.geometry, name=layer.name, kind="labels")
