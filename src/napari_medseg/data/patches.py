"""Which part of which image a training step sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError

Shape3 = tuple[int, int, int]
Number = TypeVar("Number", bound=np.generic)
MAX_CENTRES = 100_000
"""Voxels of one class and sample among which centres are drawn; more would cost memory and change nothing."""
TAUGHT = 1000
"""Added to the class index of a voxel that a teacher labelled, so that it is told apart from one that was painted."""
TAUGHT_SHARE = 0.5
"""Share of the patches that lie around voxels of the teacher, where there is one."""
JITTER = 0.4
"""Largest distance of a patch's centre from the annotated voxel it was drawn for, as a share of the patch."""


@dataclass(frozen=True)
class PatchPlace:
    """Where a patch lies; positions outside the image are padding."""

    sample: int
    """Number of the sample."""
    start: Shape3
    """First voxel along (z, y, x) of the sample's grid; may be negative."""
    shape: Shape3


class PatchSampler:
    """Draws patches around annotated voxels, each class as often as any other.

    Parameters
    ----------
    targets : sequence of (z, y, x) int16 arrays
        Class indices of each sample, -1 where unlabelled or held out; more by `TAUGHT` where a teacher said so.
    classes : int
        Number of classes.

    Raises
    ------
    DataError
        If nothing is annotated, or only one class is.
    """

    def __init__(self, targets: Sequence[NDArray[np.int16]], classes: int) -> None:
        self._classes = classes
        self._shapes = [target.shape for target in targets]
        self._centres = [_centres(target, classes) for target in targets]
        self._taught = [_centres(target - TAUGHT, classes) for target in targets]
        self._present = _present(self._centres)

    def update(self, sample: int, target: NDArray[np.int16]) -> None:
        """Take over the edited target of one sample; on `DataError` the old one stays."""
        centres = list(self._centres)
        centres[sample] = _centres(target, self._classes)
        self._present, self._centres = _present(centres), centres
        self._taught[sample] = _centres(target - TAUGHT, self._classes)

    def draw(self, rng: np.random.Generator, shape: Shape3) -> PatchPlace:
        """Return a random place of a patch.

        Parameters
        ----------
        rng : numpy.random.Generator
            All randomness comes from it.
        shape : (z, y, x) tuple of int
            Voxels of the patch.
        """
        k = self._present[int(rng.integers(len(self._present)))]
        taught = [number for number, centres in enumerate(self._taught) if centres[k].size]
        by_teacher = bool(taught) and rng.random() < TAUGHT_SHARE
        source = self._taught if by_teacher else self._centres
        having = taught if by_teacher else [n for n, centres in enumerate(self._centres) if centres[k].size]
        number = having[int(rng.integers(len(having)))]
        centres = source[number][k]
        voxel = np.unravel_index(int(centres[rng.integers(centres.size)]), self._shapes[number])
        jitter = rng.uniform(-JITTER, JITTER, 3)
        z, y, x = (
            _start(int(v) + round(float(j) * n), n, size)
            for v, j, n, size in zip(voxel, jitter, shape, self._shapes[number], strict=True)
        )
        return PatchPlace(number, (z, y, x), shape)


def cut_patch(array: NDArray[Number], place: PatchPlace, margin: Sequence[int], fill: int) -> NDArray[Number]:
    """Return a copy of (..., z, y, x) voxels of a patch and of a margin on each side.

    Parameters
    ----------
    array : (..., z, y, x) array
        The sample's image or target.
    place : PatchPlace
        Where.
    margin : (z, y, x) sequence of int
        Voxels to add on each side.
    fill : int
        Value outside the image.
    """
    start = [a - m for a, m in zip(place.start, margin, strict=True)]
    stop = [a + n + m for a, n, m in zip(place.start, place.shape, margin, strict=True)]
    size = array.shape[-3:]
    low = [max(a, 0) for a in start]
    high = [max(min(b, n), 0) for b, n in zip(stop, size, strict=True)]
    patch = np.full((*array.shape[:-3], *(b - a for a, b in zip(start, stop, strict=True))), fill, array.dtype)
    z, y, x = (slice(a, b) for a, b in zip(low, high, strict=True))
    dz, dy, dx = (slice(a - first, b - first) for a, b, first in zip(low, high, start, strict=True))
    patch[..., dz, dy, dx] = array[..., z, y, x]
    return patch


def _centres(target: NDArray[np.int16], classes: int) -> list[NDArray[np.intp]]:
    flat = target.reshape(-1)
    annotated = np.flatnonzero(flat >= 0)
    values = flat[annotated]
    centres = []
    for k in range(classes):
        voxels = annotated[values == k]
        # evenly spaced, so that all of the structure stays represented
        centres.append(voxels[:: max(1, -(-voxels.size // MAX_CENTRES))].copy())
    return centres


def _present(centres: Sequence[Sequence[NDArray[np.intp]]]) -> list[int]:
    """Return the annotated classes, at least two."""
    present = [k for k in range(len(centres[0])) if any(sample[k].size for sample in centres)]
    if len(present) < 2:
        found = "Only one class is annotated, so nothing can be told apart." if present else "Nothing is annotated."
        raise DataError(found, "Paint some voxels of each class, and of background.")
    return present


def _start(centre: int, patch: int, size: int) -> int:
    """Return where a patch begins: inside the image if it fits, else with the image in its middle."""
    if patch >= size:
        return -((patch - size) // 2)
    return min(max(centre - patch // 2, 0), size - patch)
