"""Regions of an image, cut out to be classified."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.table import Box
from napari_medseg.errors import DataError
from napari_medseg.models.spec import Crop
from napari_medseg.volume import Volume

FEWEST_VOXELS = 2
"""Regions with fewer are not looked at."""


def cut_out(volume: Volume, box: Box, crop: Crop) -> Volume:
    """Return a part of an image; what would lie outside repeats the image's edge.

    Parameters
    ----------
    volume : Volume
        Left as it is.
    box : tuple of slice
        Along ([z,] y, x); for a plane of a volume without z. A side without an end is taken whole.
    crop : Crop
        Margin or size. Sides that are taken whole, or one voxel thick, get none.

    Raises
    ------
    DataError
        If the box lies outside of the image.
    """
    shape = volume.spatial_shape
    if len(box) == len(shape) - 1 and shape[0] == 1:
        box = (slice(0, 1), *box)
    if len(box) != len(shape) or any(
        side.start is not None and not 0 <= side.start < side.stop <= edge
        for side, edge in zip(box, shape, strict=False)
    ):
        words = ", ".join(f"{side.start}:{side.stop}" for side in box)
        raise DataError(f"The box ({words}) is not in {volume.name} of {shape} voxels.", "Check its indices.")
    spacing = (1.0,) * len(shape) if volume.geometry is None else volume.geometry.spacing
    sides = [_side(side, edge, mm, crop) for side, edge, mm in zip(box, shape, spacing, strict=True)]
    picked = [np.clip(np.arange(low, high), 0, edge - 1) for (low, high), edge in zip(sides, shape, strict=True)]
    data = np.asarray(volume.data)
    for axis, numbers in enumerate(picked, start=data.ndim - volume.rgb - len(shape)):
        data = np.take(data, numbers, axis=axis)
    grid = volume.geometry
    if grid is not None:
        grid = grid.cropped([low for low, _high in sides], [high for _low, high in sides])
    return replace(volume, data=data, geometry=grid)


def _side(side: slice, edge: int, mm: float, crop: Crop) -> tuple[int, int]:
    if side.start is None:
        return 0, edge
    if side.stop - side.start == 1:
        return side.start, side.stop
    if crop.edge_mm is not None:
        long = max(1, round(crop.edge_mm / mm))
        low = round((side.start + side.stop - long) / 2)
        return low, low + long
    more = round(crop.margin * (side.stop - side.start))
    return side.start - more, side.stop + more


def regions_of(labels: NDArray[np.integer], each_slice: bool = False) -> list[tuple[int, Box]]:
    """Return value and box of each connected region of a label map, by value.

    Parameters
    ----------
    labels : ([z,] y, x) integer array
        0 is background. Regions touch by faces, edges or corners.
    each_slice : bool
        Whether each slice along the first axis is looked at by itself, for a model of planes.

    Examples
    --------
    >>> regions_of(np.array([[1, 1, 0, 2], [0, 0, 0, 2]]))
    [(1, (slice(0, 1, None), slice(0, 2, None))), (2, (slice(0, 2, None), slice(3, 4, None)))]
    """
    from scipy.ndimage import find_objects, generate_binary_structure, label

    if each_slice and labels.ndim == 3:
        planes = ((k, plane) for k, plane in enumerate(labels) if plane.any())
        return [(value, (slice(k, k + 1), *box)) for k, plane in planes for value, box in regions_of(plane)]
    touching = generate_binary_structure(labels.ndim, labels.ndim)
    found: list[tuple[int, Box]] = []
    for value in np.unique(labels[labels > 0]).tolist():
        numbered, _many = label(labels == value, touching)
        sizes = np.bincount(numbered.ravel())[1:]
        boxes = find_objects(numbered)
        found += [(value, box) for box, size in zip(boxes, sizes, strict=True) if size >= FEWEST_VOXELS]
    return found
