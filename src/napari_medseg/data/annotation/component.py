"""The connected component of a class that a place belongs to."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.data.annotation.record import Box
from napari_medseg.errors import DataError


def component_at(predicted: NDArray[np.integer], place: Sequence[int]) -> tuple[Box, NDArray[np.bool_]]:
    """Return the connected component (faces touch) of the class at a voxel.

    Parameters
    ----------
    predicted : (z, y, x) or (y, x) integer array
        Class values; 0 is background.
    place : sequence of int
        Index of a voxel.

    Returns
    -------
    box : tuple of slice
        The smallest that holds the component.
    mask : bool array
        The component, within the box.

    Raises
    ------
    DataError
        If there is no voxel at `place`, or it is of no class.

    Examples
    --------
    >>> component_at(np.array([[1, 0, 2], [1, 0, 2]]), (1, 0))[0]
    (slice(0, 2, None), slice(0, 1, None))
    """
    where = tuple(int(index) for index in place)
    inside = len(where) == predicted.ndim and all(0 <= k < n for k, n in zip(where, predicted.shape, strict=True))
    if not inside or predicted[where] == 0:
        raise DataError("Nothing is predicted under the cursor.", "Point at a structure of the prediction.")
    numbers, _ = ndimage.label(predicted == predicted[where])
    number = int(numbers[where])
    box: Box = ndimage.find_objects(numbers, max_label=number)[number - 1]
    return box, numbers[box] == number
