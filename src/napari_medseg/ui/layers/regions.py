"""What the user marked on an image as the part that counts."""

from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.errors import DataError
from napari_medseg.ui.layers.images import image_volume
from napari_medseg.ui.layers.labels import layer_tag

if TYPE_CHECKING:
    from napari.layers import Image, Points, Shapes
    from numpy.typing import NDArray


def region_box(shapes: "Shapes", image: "Image") -> tuple[tuple[int, int], ...]:
    """Return the smallest box of an image's voxels that holds all shapes.

    Along an axis on which the shapes are flat, as one rectangle drawn on a slice is along the slices, the box takes
    all of the image; shapes on two slices bound it.

    Parameters
    ----------
    shapes : Shapes
        Any shapes, drawn anywhere in the world.
    image : Image
        Whose voxels.

    Returns
    -------
    tuple of (first, end)
        One per axis of the image's volume, on its own grid.

    Raises
    ------
    DataError
        If there is no shape, or none touches the image.
    """
    if not len(shapes.data):
        raise DataError(f"{shapes.name} holds no shape.", "Draw a rectangle around what you want to segment.")
    shape = layer_tag(image).volume.spatial_shape
    corners = np.concatenate([in_voxels(shapes, np.asarray(points), image) for points in shapes.data])
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = []
    for first, last, count in zip(low, high, shape, strict=True):
        flat = last - first < 0.5
        start, stop = (0, count) if flat else (int(np.floor(first + 0.5)), int(np.ceil(last + 0.5)))
        box.append((max(start, 0), min(stop, count)))
    if any(start >= stop for start, stop in box):
        raise DataError(f"{shapes.name} does not lie on {image.name}.", "Draw the region on the image.")
    return tuple(box)


def shape_boxes(shapes: "Shapes", image: "Image") -> list[tuple[slice, ...]]:
    """Return the box of an image's voxels around each shape.

    Along an axis on which a shape is flat, its box is one voxel thick.

    Parameters
    ----------
    shapes : Shapes
        Any shapes, drawn anywhere in the world.
    image : Image
        Whose voxels.

    Raises
    ------
    DataError
        If there is no shape, or one does not touch the image.
    """
    if not len(shapes.data):
        raise DataError(f"{shapes.name} holds no shape.", "Draw a rectangle around each region.")
    edges = layer_tag(image).volume.spatial_shape
    found = []
    for number, points in enumerate(shapes.data, start=1):
        corners = in_voxels(shapes, np.asarray(points), image)
        sides = []
        for first, last, count in zip(corners.min(axis=0), corners.max(axis=0), edges, strict=True):
            start = max(int(np.floor(first + 0.5)), 0)
            sides.append(slice(start, min(max(int(np.ceil(last - 0.5)), start) + 1, count)))
        if any(side.start >= side.stop for side in sides):
            raise DataError(f"Shape {number} of {shapes.name} does not lie on {image.name}.", "Draw it on the image.")
        found.append(tuple(sides))
    return found


def in_voxels(shapes: "Shapes | Points", points: "NDArray[np.floating]", image: "Image") -> "NDArray[np.float64]":
    """Return where (n, axes) points of a layer are among the voxels of the image's own grid."""
    count = len(layer_tag(image).volume.spatial_axes)
    shown = []
    for point in points:
        world = np.array(shapes.data_to_world(point))
        padded = np.concatenate([np.zeros(max(0, image.ndim - len(world))), world])[-image.ndim :]
        shown.append(np.array(image.world_to_data(padded))[-count:])
    found = np.array(shown, dtype=np.float64)
    tag = layer_tag(image)
    grid = image_volume(image).geometry
    if tag.shown_on is None or grid is None:
        return found
    return np.asarray(grid.to_index(tag.shown_on @ found))
