"""Along which axes mirrored images would show what never occurs."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

FEWEST = 5
"""Images with both of two classes that it takes to tell."""
STEADY = 2.0
"""Standard deviations by which two classes have to lie apart, always in the same direction."""
LOOKED_AT = 100_000
"""Voxels of an image that are looked at, at most about."""


def ordered_axes(targets: Sequence[NDArray[np.int16]], classes: int) -> frozenset[int]:
    """Return the axes of (z, y, x) along which some two classes lie in the same order in nearly all images.

    Parameters
    ----------
    targets : sequence of (z, y, x) int16 array
        Class indices, 0 for background, `UNLABELLED` where nobody has looked.
    classes : int
        Number of classes with background.

    Examples
    --------
    >>> heads = [np.zeros((4, 4, 4), np.int16) for _ in range(5)]
    >>> for number, head in enumerate(heads):
    ...     head[1, number % 4, :2], head[3, 1, 2 * (number % 2)] = 1, 2
    >>> ordered_axes(heads, 3)
    frozenset({0})
    """
    if len(targets) < FEWEST:
        return frozenset()
    centres = np.stack([_centres(target, classes) for target in targets])
    found: set[int] = set()
    for one, two in combinations(range(classes - 1), 2):
        apart = centres[:, two] - centres[:, one]
        apart = apart[~np.isnan(apart).any(axis=1)]
        if len(apart) >= FEWEST:
            steady = np.abs(apart.mean(axis=0)) > STEADY * apart.std(axis=0) + 1e-6
            found |= set(np.flatnonzero(steady).tolist())
    return frozenset(found)


def _centres(target: NDArray[np.int16], classes: int) -> NDArray[np.float64]:
    """Return the (class - 1, 3) mean position of each foreground class in voxels; nan where there is none."""
    voxels = np.flatnonzero(target > 0)
    voxels = voxels[:: max(1, len(voxels) // LOOKED_AT)]
    index = target.reshape(-1)[voxels].astype(np.intp) - 1
    counts = np.bincount(index, minlength=classes - 1).astype(float)
    counts[counts == 0] = np.nan
    sums = [np.bincount(index, place, classes - 1) for place in np.unravel_index(voxels, target.shape)]
    return np.asarray(np.stack(sums, axis=1) / counts[:, None], np.float64)
