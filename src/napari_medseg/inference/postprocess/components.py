"""Keeping and removing connected components."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_medseg.inference.postprocess.regions import Labels, boxes, components

Sizes = NDArray[np.int64]


def keep_largest(labels: Labels, values: Sequence[int], count: int = 1) -> Labels:
    """Return the labels with only the `count` largest components of each of `values`.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) unsigned integer array
        Label values.
    values : sequence of int
        Classes, each by itself.
    count : int
        Components to keep; of equals, the one that comes first in the array.
    """

    def surplus(sizes: Sizes) -> NDArray[np.bool_]:
        lost = np.ones(sizes.shape, bool)
        lost[np.argsort(-sizes, kind="stable")[:count]] = False
        return lost

    return _without(labels, values, surplus)


def remove_small(labels: Labels, values: Sequence[int], voxels: float) -> Labels:
    """Return the labels without the components of each of `values` that have fewer than `voxels` voxels."""
    return _without(labels, values, lambda sizes: sizes < voxels)


def _without(labels: Labels, values: Sequence[int], lost: Callable[[Sizes], NDArray[np.bool_]]) -> Labels:
    """Return the labels with the components that `lost` picks by their sizes turned into background."""
    result = labels.copy()
    for value, box in boxes(labels, values):
        numbers, sizes = components(labels[box] == value)
        removed = np.concatenate([[False], lost(sizes)])
        if removed.any():
            result[box][removed[numbers]] = 0
    return result
