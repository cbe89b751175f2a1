"""The one array order of this package: spatial axes nearest to (z, y, x)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from napari_medseg.volume import Geometry, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def grid_from_lps(shape: Sequence[int], steps: ArrayLike, origin: ArrayLike) -> Geometry:
    """Return the grid of an array from what ITK-like headers say.

    Parameters
    ----------
    shape : sequence of int
        Voxels along each spatial array axis.
    steps : (axes, 3) array
        From voxel to voxel along each array axis, in LPS mm.
    origin : (3,) array
        Centre of the first voxel in LPS mm.
    """
    affine = np.eye(4)
    affine[:3, : len(shape)] = np.asarray(steps, dtype=np.float64).T
    if len(shape) == 2:
        affine[:3, 2] = 0
    affine[:3, 3] = origin
    return Geometry(tuple(shape), LPS_TO_RAS @ affine)


def nearest_zyx(volume: Volume) -> Volume:
    """Return the volume with its spatial axes transposed, never flipped, to be nearest to (z, y, x); a view."""
    if volume.geometry is None:
        return volume
    order = volume.geometry.axes_nearest_zyx()
    lead = len(volume.axes)
    axes = (*range(lead), *(lead + axis for axis in order), *range(lead + len(order), volume.data.ndim))
    return replace(volume, data=volume.data.transpose(axes), geometry=volume.geometry.transposed(order))
