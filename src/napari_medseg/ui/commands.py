"""Menu commands that are not widgets."""

import napari
from napari.layers import Image

from napari_medseg.errors import DataError
from napari_medseg.ui.layers import new_labels, show_plane
from napari_medseg.volume import LabelClass

FIRST_CLASS = LabelClass(value=1, name="class 1")


def add_labels(viewer: napari.Viewer) -> None:
    """Add an empty labels layer on the exact grid of the selected image, and start to paint on it."""
    image = viewer.layers.selection.active
    if not isinstance(image, Image):
        raise DataError("No image is selected.", "Select the image to label in the layer list.")
    layer = new_labels(image, [FIRST_CLASS])
    viewer.add_layer(layer)
    layer.mode = "paint"


def show_axial(viewer: napari.Viewer) -> None:
    """Show axial slices."""
    show_plane(viewer, "axial")


def show_coronal(viewer: napari.Viewer) -> None:
    """Show coronal slices."""
    show_plane(viewer, "coronal")


def show_sagittal(viewer: napari.Viewer) -> None:
    """Show sagittal slices."""
    show_plane(viewer, "sagittal")
