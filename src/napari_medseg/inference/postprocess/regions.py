"""The part of a label map that a class occupies."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[np.unsignedinteger]
Box = tuple[slice, ...]


def boxes(labels: Labels, values: Sequence[int]) -> Iterator[tuple[int, Box]]:
    """Yield each of `values` that occurs, with the smallest box that holds all of it."""
    found = ndimage.find_objects(labels)
    for value in values:
        box = found[value - 1] if value <= len(found) else None
        if box is not None:
            yield value, box


def components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Label the connected components of a mask; voxels that share a face, an edge or a corner are connected.

    Returns
    -------
    numbers : int32 array of the mask's shape
        0 outside the mask, and from 1 on in the order of the array.
    sizes : (component,) int64 array
        Voxels of component 1, 2, ...
    """
    numbers: Any = np.empty(mask.shape, np.int32)
    ndimage.label(mask, structure=np.ones((3,) * mask.ndim), output=numbers)
    return numbers, np.bincount(numbers.ravel())[1:].astype(np.int64)
