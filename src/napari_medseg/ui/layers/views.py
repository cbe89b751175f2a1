"""Which slice of a volume the viewer shows, and from which side."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_medseg.ui.layers.labels import layer_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

Plane = Literal["axial", "coronal", "sagittal"]
ORDERS: dict[Plane, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
"""Order of the viewer's last three axes: the one across the plane, then the one down and the one across the screen."""


BOX_VOXELS, BOX_SLICES = 128, 48
"""Size of the part of an image that is worked on first."""


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
    axis = _across(viewer, count)
    if tag.shown_on is not None and tag.geometry is not None:
        directions = np.abs(np.linalg.inv(tag.shown_on.direction) @ tag.geometry.direction)
        axis = int(directions[axis].argmax())
    return axis, voxel_at(viewer, layer)[axis]


def voxel_at(viewer: "ViewerModel", layer: "Image | Labels", world: "Sequence[float] | None" = None) -> tuple[int, ...]:
    """Return the voxel of a layer's volume, on its own grid, that is nearest to a place in the world.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is.
    layer : Image or Labels
        Any.
    world : sequence of float, optional
        The place, one number per axis of the viewer; by default where the sliders are.
    """
    tag = layer_tag(layer)
    count = len(tag.volume.spatial_axes)
    index = np.array(layer.world_to_data(viewer.dims.point if world is None else world))[-count:]
    if tag.shown_on is not None and tag.geometry is not None:
        index = tag.geometry.to_index(tag.shown_on @ index)
    found = np.clip(np.rint(index), 0, np.array(tag.volume.spatial_shape) - 1)
    return tuple(int(k) for k in found)


def go_to(viewer: "ViewerModel", layer: "Image | Labels", voxel: "Sequence[int]", centre: bool = False) -> None:
    """Move the sliders to a voxel of a layer's volume.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is.
    layer : Image or Labels
        Any.
    voxel : sequence of int
        Index on the volume's own grid.
    centre : bool
        Whether to bring the voxel to the middle of the canvas, too.
    """
    world = world_of(viewer, layer, voxel)
    axes = range(viewer.dims.ndim - len(world), viewer.dims.ndim)
    viewer.dims.set_point(list(axes), [float(place) for place in world])
    if centre:
        shown = [float(world[axis - viewer.dims.ndim]) for axis in viewer.dims.displayed[-2:]]
        viewer.scene.camera.center = (*viewer.scene.camera.center[:-2], *shown)


def world_of(viewer: "ViewerModel", layer: "Image | Labels", voxel: "Sequence[float]") -> "NDArray[np.float64]":
    """Return where in the world a voxel of a layer's volume is, along its spatial axes; its index may be a fraction."""
    tag = layer_tag(layer)
    index = np.array(voxel, dtype=np.float64)
    if tag.shown_on is not None and tag.geometry is not None:
        index = tag.shown_on.to_index(tag.geometry @ index)
    whole = np.array(layer.world_to_data(viewer.dims.point), dtype=np.float64)
    whole[-len(index) :] = index
    return np.array(layer.data_to_world(whole), dtype=np.float64)[-len(index) :]


def go_to_slice(viewer: "ViewerModel", layer: "Image | Labels", axis: int, index: int) -> None:
    """Move the slider to a slice of a layer's volume, numbered as by `visible_slice`; without effect on a plane."""
    if len(layer_tag(layer).volume.spatial_axes) > 2:
        voxel = list(voxel_at(viewer, layer))
        voxel[axis] = index
        go_to(viewer, layer, voxel)


def _across(viewer: "ViewerModel", count: int) -> int:
    """Return the spatial axis that the visible slice is perpendicular to; in 3D the outermost."""
    spatial = range(viewer.dims.ndim - count, viewer.dims.ndim)
    order = [axis for axis in viewer.dims.order if axis in spatial]
    hidden = [axis for axis in viewer.dims.not_displayed if axis in spatial]
    return int((hidden or order)[-1 if hidden else 0]) - spatial.start


def visible_box(viewer: "ViewerModel", layer: "Image") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the start and stop, on the volume's own grid, of what is in view, with some slices around it.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is.
    layer : Image
        Any.

    Returns
    -------
    start, stop : tuple of int
        One number per axis of space; at most `BOX_VOXELS` voxels long across the view, and `BOX_SLICES` slices.
    """
    shape = layer_tag(layer).volume.spatial_shape
    if len(shape) == 3:
        across, _ = visible_slice(viewer, layer)
    else:
        across = -1
    world = list(viewer.dims.point)
    for axis, place in zip(
        viewer.dims.displayed, viewer.scene.camera.center[-len(viewer.dims.displayed) :], strict=True
    ):
        world[axis] = place
    centre = voxel_at(viewer, layer, world)
    lengths = [min(n, BOX_SLICES if axis == across else BOX_VOXELS) for axis, n in enumerate(shape)]
    start = tuple(
        int(np.clip(at - length // 2, 0, n - length)) for at, length, n in zip(centre, lengths, shape, strict=True)
    )
    return start, tuple(a + length for a, length in zip(start, lengths, strict=True))
