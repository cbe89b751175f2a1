"""The outline of a box of voxels, in a shapes layer."""

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes

from napari_medseg.ui.layers.views import visible_slice, world_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Labels

OUTLINE = "napari_medseg_outline"
"""Where an outline is marked as ours, in ``layer.metadata``."""
HALF_VOXEL = 0.49
"""A little less than half, so that rounding never takes the outline into the next voxel."""
COLOR = "#f5a031"


def outline_box(viewer: "ViewerModel", layer: "Labels", start: "Sequence[int]", stop: "Sequence[int]") -> Shapes:
    """Draw a box of a labels layer's volume as a rectangle on each of its slices, in place of the last, and return it.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is; the slices are those along the axis that it shows.
    layer : Labels
        Any.
    start, stop : sequence of int
        First voxel and one past the last along each axis, on the volume's own grid.
    """
    for earlier in [other for other in viewer.layers if OUTLINE in other.metadata]:
        viewer.layers.remove(earlier)
    low, high = np.array(start) - HALF_VOXEL, np.array(stop) - 1 + HALF_VOXEL
    axis, _ = visible_slice(viewer, layer)
    flat = len(low) == 2
    rows, columns = (0, 1) if flat else (other for other in range(3) if other != axis)
    corners = np.array([low] * 4)
    corners[1, rows] = corners[2, rows] = high[rows]
    corners[2, columns] = corners[3, columns] = high[columns]
    rectangles = [corners]
    if not flat:
        slices = np.arange(start[axis], stop[axis])
        rectangles = [np.where(np.arange(3) == axis, index, corners) for index in slices]
    shapes = Shapes(
        [np.array([world_of(viewer, layer, corner) for corner in rectangle]) for rectangle in rectangles],
        shape_type="rectangle",
        name=f"{layer.name} look here",
        edge_color=COLOR,
        face_color="transparent",
        edge_width=float(np.abs(layer.scale[-2:]).mean()),
        units=layer.units[-len(low) :],
        metadata={OUTLINE: True},
    )
    active = viewer.layers.selection.active
    viewer.add_layer(shapes)
    viewer.layers.selection.active = active
    return shapes
