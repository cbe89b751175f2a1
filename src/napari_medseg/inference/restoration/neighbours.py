"""Slices together with those beside them."""

import numpy as np
from numpy.typing import NDArray


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
