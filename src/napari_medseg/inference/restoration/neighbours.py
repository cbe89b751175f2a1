"""Slices together with those beside them."""

import numpy as np
from numpy.typing import NDArray

from napari_medseg.volume import Volume

ALIKE = 1.5
"""Ratio of spacings up to which planes look alike in all orientations."""
ROOM = 16
"""Slices from which planes across them are worth looking at."""


def with_neighbours(image: NDArray[np.float32], part: slice, channels: int) -> NDArray[np.float32]:
    """Return (slice, channel, y, x): slices with their neighbours as channels; at both ends the last one repeats.

    Parameters
    ----------
    image : (slice, y, x) array
        All slices.
    part : slice
        Those that are wanted.
    channels : int
        Odd: the slice itself and as many to each side.

    Examples
    --------
    >>> with_neighbours(np.arange(4.0, dtype=np.float32)[:, None, None], slice(0, 2), 3)[:, :, 0, 0]
    array([[0., 0., 1.],
           [0., 1., 2.]], dtype=float32)
    """
    reach = channels // 2
    numbers = np.arange(part.start, part.stop)[:, None] + np.arange(-reach, reach + 1)
    return image[np.clip(numbers, 0, len(image) - 1)]


def looks_alike(volume: Volume) -> bool:
    """Return whether planes across the slices look like the slices, so that a network may see all of them."""
    grid = volume.geometry
    if grid is None or grid.ndim != 3 or min(volume.spatial_shape) < ROOM:
        return False
    return max(grid.spacing) <= ALIKE * min(grid.spacing)


def orders_of(*, turned: bool) -> tuple[tuple[int, int, int], ...]:
    """Return how the axes of a volume are ordered for a network of planes, the first of them across the planes.

    Parameters
    ----------
    turned : bool
        Whether planes in all three orientations are wanted.
    """
    every = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
    return every if turned else every[:1]
