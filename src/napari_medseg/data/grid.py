"""Moving label maps between an image's own grid and the network's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import GeometryError
from napari_medseg.volume import Geometry


@dataclass(frozen=True, eq=False)
class GridMap:
    """Where each voxel of a network grid lies in an array: nearest neighbours along permuted, flipped, scaled axes.

    Examples
    --------
    >>> flip = Geometry((1, 1, 3), np.diag([1.0, 1, 1, 1])).flipped(2)
    >>> GridMap.between(Geometry((1, 1, 3), np.eye(4)), flip).apply(np.array([[[1, 2, 3]]]))
    array([[[3, 2, 1]]])
    """

    axes: tuple[int, ...]
    """Array axis that each grid axis runs along."""
    indices: tuple[NDArray[np.intp], ...]
    """For each grid axis, the array index of each of its positions; -1 outside the array."""
    shape: tuple[int, ...]
    """Shape of the array."""

    @classmethod
    def identity(cls, shape: Sequence[int]) -> "GridMap":
        """Return the map of an array onto itself."""
        return cls(tuple(range(len(shape))), tuple(np.arange(n) for n in shape), tuple(shape))

    @classmethod
    def between(cls, array: Geometry, grid: Geometry) -> "GridMap":
        """Return the map from an array's geometry to a grid with the same axes up to order, sign and spacing.

        Raises
        ------
        GeometryError
            If the grid is rotated against the array.
        """
        to_array = np.linalg.inv(array.affine) @ grid.affine
        axes = tuple(int(axis) for axis in np.abs(to_array[:3, :3]).argmax(axis=0))[: grid.ndim]
        skew = np.abs(to_array[:3, : grid.ndim])
        skew[list(axes), range(grid.ndim)] = 0
        if len(set(axes)) < grid.ndim or max(axes) >= array.ndim or (skew @ grid.shape).max() > 0.01:
            raise GeometryError(
                f"The grid {grid.shape} is rotated against the image {array.shape}, so labels cannot be moved to it "
                "without resampling them.",
                "Use a model whose grid has the axes of the image.",
            )
        indices = []
        for position, axis in enumerate(axes):
            nearest = np.floor(
                to_array[axis, position] * np.arange(grid.shape[position]) + to_array[axis, 3] + 0.5 - 1e-6
            ).astype(np.intp)
            nearest[(nearest < 0) | (nearest >= array.shape[axis])] = -1
            indices.append(nearest)
        return cls(axes, tuple(indices), array.shape)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """Number of voxels of the grid."""
        return tuple(len(index) for index in self.indices)

    def apply(self, array: NDArray[Any], outside: int = 0, box: tuple[slice, ...] | None = None) -> NDArray[Any]:
        """Return the array's nearest values on the grid.

        Parameters
        ----------
        array : array of `shape`
            Left as it is.
        outside : int
            Value where the grid leaves the array.
        box : tuple of slice, optional
            Part of the grid to compute; all of it if None.
        """
        box = box or tuple(slice(None) for _ in self.indices)
        indices = [index[part] for index, part in zip(self.indices, box, strict=True)]
        values = np.asarray(array).transpose(self.axes)[np.ix_(*indices)]
        for axis, index in enumerate(indices):
            if (index < 0).any():
                values[(slice(None),) * axis + (index < 0,)] = outside
        return values

    def box_of(self, start: Sequence[int], stop: Sequence[int]) -> tuple[slice, ...]:
        """Return the part of the grid that shows the array's voxels from `start` up to `stop`."""
        box = []
        for axis, index in zip(self.axes, self.indices, strict=True):
            inside = np.flatnonzero((index >= start[axis]) & (index < stop[axis]))
            box.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
        return tuple(box)
