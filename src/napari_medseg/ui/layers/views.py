"""Which slice of a volume the viewer shows, and from which side."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_medseg.ui.layers.labels import layer_tag

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

Plane = Literal["axial", "coronal", "sagittal"]
ORDERS: dict[Plane, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
"""Order of the viewer's last three axes: the one across the plane, then the one down and the one across the screen."""


def show_plane(viewer: "ViewerModel", plane: Plane) -> None:
    """Show slices of one orientation, through the place that is looked at; without effect on images of two axes.

    The views are radiological: front or head up, the patient's right on the left; a sagittal view has the front left.
    An oblique first series is seen along its own axes.
    """
    dims = viewer.dims
    if dims.ndim < 3:
        return
    spatial = dims.ndim - 3
    dims.ndisplay = 2
    dims.order = (*range(spatial), *(spatial + axis for axis in ORDERS[plane]))
    viewer.reset_view()


def visible_slice(viewer: "ViewerModel", layer: "Image | Labels") -> tuple[int, int]:
    """Return the slice of a layer's volume that the viewer shows.

    Returns
    -------
    axis : int
        Spatial axis of the volume that the slice is perpendicular to, 0 for a plane.
    index : int
        Array index along `axis`, on the volume's own grid. The slider's first step is the last slice of an axis with
        a negative scale, so this is not the slider's number. In 3D, the slice of the outermost axis at the slider.
    """
    tag = layer_tag(layer)
    count = len(tag.volume.spatial_axes)
    if count == 2:
        return 0, 0
    spatial = range(viewer.dims.ndim - count, viewer.dims.ndim)
    order = [axis for axis in viewer.dims.order if axis in spatial]
    hidden = [axis for axis in viewer.dims.not_displayed if axis in spatial]
    axis = (hidden or order)[-1 if hidden else 0] - spatial.start
    index = np.array(layer.world_to_data(viewer.dims.point))[-count:]
    if tag.shown_on is not None and tag.geometry is not None:
        directions = np.abs(np.linalg.inv(tag.shown_on.direction) @ tag.geometry.direction)
        axis = int(directions[axis].argmax())
        index = tag.geometry.to_index(tag.shown_on @ index)
    return axis, int(np.clip(np.rint(index[axis]), 0, tag.volume.spatial_shape[axis] - 1))
