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


def as_block(volume: Volume) -> Volume:
    """Return a plane that lies in space as a block of one slice; any other volume as it is."""
    grid = volume.geometry
    if grid is None or grid.ndim == 3:
        return volume
    axis = len(volume.axes)
    block = Geometry((1, *grid.shape), grid.affine[:, [2, 0, 1, 3]])
    return replace(volume, data=volume.data[(slice(None),) * axis + (np.newaxis,)], geometry=block)


def onto_grid(volume: Volume, target: Geometry, tolerance_mm: float = 1e-3) -> Volume | None:
    """Return the volume with its spatial axes permuted and flipped onto a grid of the same voxels.

    Parameters
    ----------
    volume : Volume
        Of three spatial axes, or of as many as `target`.
    target : Geometry
        The grid wanted.
    tolerance_mm : float
        How far apart corners may be.

    Returns
    -------
    Volume or None
        A view with the geometry `target`; None if its voxels are others.
    """
    grid = volume.geometry
    if grid is None or grid.ndim != target.ndim or sorted(grid.shape) != sorted(target.shape):
        return None
    turn = np.linalg.solve(target.affine[:3, :3], grid.affine[:3, :3])[: grid.ndim, : grid.ndim]
    order = [int(axis) for axis in np.abs(turn).argmax(axis=1)]
    if sorted(order) != list(range(grid.ndim)):
        return None
    flips = [axis for axis, own in enumerate(order) if turn[axis, own] < 0]
    moved = grid.transposed(order)
    for axis in flips:
        moved = moved.flipped(axis)
    if not moved.matches(target, tolerance_mm):
        return None
    lead = len(volume.axes)
    axes = (*range(lead), *(lead + axis for axis in order), *range(lead + grid.ndim, volume.data.ndim))
    index = [slice(None)] * volume.data.ndim
    for axis in flips:
        index[lead + axis] = slice(None, None, -1)
    return replace(volume, data=volume.data.transpose(axes)[tuple(index)], geometry=target)
