"""Smoothing the borders between classes."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from napari_medseg.inference.postprocess.regions import Box, Labels, boxes

REACH = 4.0
"""Standard deviations after which the Gaussian is cut off."""
TIE = 1e-5
"""Strengths that differ by less are equal: far more than rounding makes, far less than a voxel at the edge does."""
PLANES = 64
"""Planes at a time, so that memory does not grow with the image."""


def smooth(labels: Labels, values: Sequence[int], sigma: Sequence[float]) -> Labels:
    """Return the labels with every voxel given to the class that is strongest around it.

    The strength of a class is its mask under a Gaussian; background competes like a class. Voxels of classes that are
    not in `values` stay, and so does a voxel for which no class is stronger than its own; of several that are, the
    strongest wins, and of equals the one that comes first in `values`, after background.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) unsigned integer array
        Label values; 0 is background.
    values : sequence of int
        Classes.
    sigma : sequence of float
        Standard deviation in voxels along each axis.
    """
    result = labels.copy()
    halo = _reach(sigma[0])
    for start in range(0, len(labels), PLANES):
        stop = min(start + PLANES, len(labels))
        low, high = max(start - halo, 0), min(stop + halo, len(labels))
        result[start:stop] = _smooth(labels[low:high], values, sigma)[start - low : stop - low]
    return result


def _smooth(labels: Labels, values: Sequence[int], sigma: Sequence[float]) -> Labels:
    best = np.zeros(labels.shape, np.float32)
    own = np.zeros(labels.shape, np.float32)
    winner = np.zeros_like(labels)
    everything = tuple(slice(0, n) for n in labels.shape)
    for value, box in [(0, everything), *boxes(labels, values)]:
        box = _grown(box, labels.shape, sigma)
        mask = labels[box] == value
        strength = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest", truncate=REACH)
        own[box][mask] = strength[mask]
        stronger = strength > best[box] + TIE
        winner[box][stronger] = value
        best[box][stronger] = strength[stronger]
    moving = np.isin(labels, [0, *values]) & (best > own + TIE)
    return np.where(moving, winner, labels)


def _reach(sigma: float) -> int:
    return int(REACH * sigma + 0.5)


def _grown(box: Box, shape: Sequence[int], sigma: Sequence[float]) -> Box:
    """Return the box with as much around it as the Gaussian reaches."""
    return tuple(
        slice(max(part.start - _reach(s), 0), min(part.stop + _reach(s), n))
        for part, n, s in zip(box, shape, sigma, strict=True)
    )
