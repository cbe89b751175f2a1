"""Along which axes mirrored images would show what never occurs."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from napari_medseg.tasks import UNLABELLED

FEWEST = 5
"""Completely annotated images that it takes to tell."""
STEADY = 2.0
"""Standard deviations by which two classes have to lie apart, always in the same direction."""
LOOKED_AT = 48
"""Voxels along each axis that are looked at, at most about."""


def ordered_axes(targets: Sequence[NDArray[np.int16]], classes: int) -> frozenset[int]:
    """Return the axes of (z, y, x) along which some two classes lie in the same order in nearly all images.

    Parameters
    ----------
    targets : sequence of (z, y, x) int16 array
        Class indices, 0 for background; images with unlabelled voxels are left out.
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
    whole = [target for target in targets if not (target == UNLABELLED).any()]
    if len(whole) < FEWEST:
        return frozenset()
    centres = np.stack([_centres(target, classes) for target in whole])
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
    steps = tuple(slice(None, None, max(1, n // LOOKED_AT)) for n in target.shape)
    coarse = target[steps]
    centres = np.full((classes - 1, 3), np.nan)
    for index in np.unique(coarse[coarse > 0]):
        places = np.argwhere(coarse == index)
        centres[index - 1] = places.mean(axis=0) * [step.step for step in steps]
    return centres
