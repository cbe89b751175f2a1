"""Whether answers are right as often as they are sure."""

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of confidence, for the calibration error."""


def binned(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and number of answers of each bin of confidence that has some.

    Parameters
    ----------
    confidence : (answer,) array
        In [0, 1].
    right : (answer,) bool array
        Whether each is right.
    """
    place = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    chosen = [place == k for k in range(BINS) if (place == k).any()]
    return [(float(confidence[k].mean()), float(right[k].mean()), int(k.sum())) for k in chosen]
