"""Moving label maps between an image's own grid and the network's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class GridMap:
    """Where each voxel of a network's grid lies in an image's own array: along permuted, flipped, resampled axes.

    Examples
    --------
    >>> flipped = GridMap((1, 3), (0, 1, 2), (np.arange(1), np.arange(1), np.array([2, 1, 0])))
    >>> flipped.apply(np.array([[1, 2, 3]]))
    array([[[3, 2, 1]]])
    """

    shape: tuple[int, ...]
    """Voxels along the array's two or three axes; a plane counts as a volume with a first axis of one voxel."""
    axes: tuple[int, int, int]
    """Axis of the array, seen as a volume, that each axis of the grid runs along."""
    indices: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
    """For each axis of the grid, the array index nearest to each of its positions; -1 outside the array."""

    @classmethod
    def identity(cls, shape: Sequence[int]) -> "GridMap":
        """Return the map of an array of two or three axes onto itself."""
        z, y, x = (1, *shape)[-3:]
        return cls(tuple(shape), (0, 1, 2), (np.arange(z), np.arange(y), np.arange(x)))

    @property
    def grid_shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x) of the grid."""
        z, y, x = (len(index) for index in self.indices)
        return z, y, x

    def apply(self, array: NDArray[Any], outside: int = 0, box: tuple[slice, ...] | None = None) -> NDArray[Any]:
        """Return the array's nearest values on the grid.

        Parameters
        ----------
        array : array of `shape`
            Left as it is.
        outside : int
            Value where the grid leaves the array.
        box : (z, y, x) tuple of slice, optional
            Part of the grid to compute; all of it if None.

        Returns
        -------
        (z, y, x) array
            A copy.
        """
        box = box or (slice(None),) * 3
        indices = [index[part] for index, part in zip(self.indices, box, strict=True)]
        volume = np.asarray(array).reshape((1, *self.shape)[-3:]).transpose(self.axes)
        values = volume[np.ix_(*indices)]
        for axis, index in enumerate(indices):
            if (index < 0).any():
                values[(slice(None),) * axis + (index < 0,)] = outside
        return values

    def box_of(self, start: Sequence[int], stop: Sequence[int]) -> tuple[slice, slice, slice]:
        """Return the part of the grid that shows the array's voxels from `start` up to `stop`."""
        low, high = (0, *start)[-3:], (1, *stop)[-3:]
        inside = (
            np.flatnonzero((index >= low[axis]) & (index < high[axis]))
            for axis, index in zip(self.axes, self.indices, strict=True)
        )
        z, y, x = (slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0) for found in inside)
        return z, y, x
