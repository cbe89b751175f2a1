"""Boxes around what a user marked on an image: shapes, pairs of points, or parts of a labels layer."""

from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.data.boxes import boxes_of_labels
from napari_medseg.errors import DataError
from napari_medseg.ui.layers.images import image_volume
from napari_medseg.ui.layers.labels import labels_on
from napari_medseg.ui.layers.regions import in_voxels, shape_boxes
from napari_medseg.volume import LabelClass

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Points, Shapes
    from numpy.typing import NDArray

MOST_CLASSES = 16
"""A labels layer without names and with more values numbers things."""


def drawn_edges(shapes: "Shapes", image: "Image", depth: int) -> "NDArray[np.float64]":
    """Return the (n, 2, axes) edges of the boxes around shapes, in voxels of the image.

    Parameters
    ----------
    shapes : Shapes
        Any shapes.
    image : Image
        What they are drawn on.
    depth : int
        Slices of a volume by which a box reaches further to either side.

    Raises
    ------
    DataError
        If there is none, or one lies beside the image.
    """
    boxes = shape_boxes(shapes, image)
    edges = np.array([[[side.start for side in box], [side.stop for side in box]] for box in boxes], float)
    return _deeper(edges, image, depth)


def cornered_edges(points: "Points", image: "Image") -> "NDArray[np.float64]":
    """Return the (n, 2, axes) edges of boxes of which each two points that follow one another are opposite corners.

    Both points' voxels are inside.

    Raises
    ------
    DataError
        If there is an odd number of points, or none, or one lies beside the image.
    """
    if not len(points.data) or len(points.data) % 2:
        raise DataError(f"{points.name} has {len(points.data)} points.", "Set two opposite corners for each box.")
    shape = np.array(image_volume(image).spatial_shape)
    index = np.rint(in_voxels(points, np.asarray(points.data), image)).reshape(-1, 2, len(shape))
    if (index < 0).any() or (index >= shape).any():
        raise DataError(f"A point of {points.name} does not lie on {image.name}.", "Set it on the image.")
    return np.stack([index.min(axis=1), index.max(axis=1) + 1], axis=1)


def labelled_edges(labels: "Labels", image: "Image") -> "list[tuple[NDArray[np.float64], str]]":
    """Return the (n, 2, axes) edges of the boxes around the parts of a labels layer, with the name of their class.

    Each connected part of a class is a thing; without names and with many values, each value is one, without a name.

    Raises
    ------
    DataError
        If it is on another grid than the image, or empty.
    """
    volume = labels_on(labels, image)
    data = np.asarray(volume.data)
    values = [value for value in np.unique(data).tolist() if value and value != 255]
    named = {c.value: c.name for c in volume.classes if c.value in values}
    if not values:
        raise DataError(f"{labels.name} has nothing labelled.", "Paint, or choose another layer.")
    if not named and len(values) > MOST_CLASSES:
        found = boxes_of_labels(data, (LabelClass(value=1, name="thing"),), instances=True)
        return [(found.edges, "")]
    parts = []
    for value in values:
        one = LabelClass(value=value, name=named.get(value, str(value)))
        parts.append((boxes_of_labels(data, (one,)).edges, named.get(value, "")))
    return parts


def _deeper(edges: "NDArray[np.float64]", image: "Image", depth: int) -> "NDArray[np.float64]":
    shape = image_volume(image).spatial_shape
    if edges.shape[2] == 3:
        edges[:, 0, 0] = np.maximum(edges[:, 0, 0] - depth, 0)
        edges[:, 1, 0] = np.minimum(edges[:, 1, 0] + depth, shape[0])
    return edges
