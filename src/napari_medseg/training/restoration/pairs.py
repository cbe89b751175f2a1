"""What a network that gives images learns from: inputs and the answers they should have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_medseg.volume.sampling import AxisSampling, coarser

TRIES = 8
"""Places that are looked at for one patch that shows more than background."""
FLAT = 0.05
"""A patch whose standard deviation is below this share of the image's shows background."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some pairs, as the network takes them."""

    inputs: NDArray[np.float32]
    """(pair, channel, ...) images."""
    targets: NDArray[np.float32]
    """(pair, 1, ...) answers, `factor` times as fine."""
    weights: NDArray[np.float32] | None = None
    """(pair, 1, ...) how much each voxel of the answers counts; None: all alike."""


class Pairs(Protocol):
    """Something to learn from. What a step sees follows from its number and the seed alone."""

    def batch(self, step: int) -> Batch:
        """Return the pairs of a step."""


@dataclass(frozen=True, eq=False)
class Fine:
    """Images of high resolution that become thick slices, for super-resolution."""

    images: tuple[NDArray[np.float32], ...]
    """(plane, y, x) for a network of planes, (1, z, y, x) for one of volumes."""
    axes: tuple[AxisSampling, ...]
    """How the axes after the first are made coarse."""
    patch: tuple[int, ...]
    """Coarse voxels of a patch along those axes."""
    size: int
    """Patches per step."""
    seed: int = 0
    noise: float = 0.0
    """Standard deviation of the noise that is added to inputs, in their unit."""
    chances: tuple[float, ...] = ()
    """How often each image is drawn; empty: by its number of voxels."""
    thick: tuple[NDArray[np.float32], ...] = ()
    """The images made coarse; see `degraded`."""

    def batch(self, step: int) -> Batch:
        """Return the pairs of a step."""
        random = np.random.default_rng((self.seed, step))
        pairs = [self._pair(random) for _ in range(self.size)]
        inputs = np.stack([low for low, _ in pairs])[:, None]
        if self.noise:
            inputs = inputs + random.normal(0, self.noise, inputs.shape).astype(np.float32)
        return Batch(inputs, np.stack([high for _, high in pairs])[:, None])

    def _pair(self, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        number = int(random.choice(len(self.images), p=self.chances or None))
        thick, fine = self.thick[number], self.images[number]
        patch = tuple(min(n, m) for n, m in zip(self.patch, thick.shape[1:], strict=True))
        enough = FLAT * float(thick.std())
        for _ in range(TRIES):
            plane = int(random.integers(len(thick)))
            start = [int(random.integers(n - p + 1)) for n, p in zip(thick.shape[1:], patch, strict=True)]
            low = thick[plane][tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))]
            if low.std() > enough:
                break
        corner = zip(start, patch, self.axes, strict=True)
        high = fine[plane][tuple(slice(s * _f(a), (s + p) * _f(a)) for s, p, a in corner)]
        return _turned(low, high, random)


def _f(axis: AxisSampling) -> int:
    return round(axis.factor)


def _turned(
    low: NDArray[np.float32], high: NDArray[np.float32], random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both mirrored along the same random axes."""
    axes = tuple(axis for axis in range(low.ndim) if random.random() < 0.5)
    return np.flip(low, axes), np.flip(high, axes)


def degraded(
    images: Sequence[NDArray[np.float32]],
    axes: Sequence[AxisSampling],
    patch: tuple[int, ...],
    size: int,
    seed: int = 0,
    noise: float = 0.0,
) -> Fine:
    """Return pairs of images and what thick slices show of them.

    Parameters
    ----------
    images : sequence of arrays
        (plane, ...) of high resolution; parts that do not fill a coarse voxel are cut off.
    axes : sequence of AxisSampling
        How the axes after the first become coarse; their factors are whole numbers.
    patch : tuple of int
        Coarse voxels of a patch; images that are smaller than it in some direction are left out.
    size : int
        Patches per step.
    seed, noise : int, float
        See `Fine`.
    """
    kept, thick = [], []
    for image in images:
        counts = [n // _f(axis) for n, axis in zip(image.shape[1:], axes, strict=True)]
        if any(count < p for count, p in zip(counts, patch, strict=True)):
            continue
        whole = image[(slice(None), *(slice(count * _f(axis)) for count, axis in zip(counts, axes, strict=True)))]
        kept.append(np.ascontiguousarray(whole, np.float32))
        thick.append(coarser(kept[-1], axes, counts))
    sizes = np.array([image.size for image in kept], np.float64)
    chances = tuple(float(share) for share in sizes / sizes.sum()) if kept else ()
    return Fine(tuple(kept), tuple(axes), patch, size, seed, noise, chances, tuple(thick))


def in_plane(values: NDArray[np.float32], thick: int, steps: dict[int, float]) -> list[NDArray[np.float32]]:
    """Return the planes of a volume of thick slices, each turned so that its first axis can be made thick.

    Parameters
    ----------
    values : (z, y, x) array
        The volume.
    thick : int
        Axis across the slices.
    steps : dict of int to float
        For each of the other axes, the spacing that its voxels shall have when it plays the thick one, in voxels.

    Returns
    -------
    list of (plane, row, column) arrays
        One for each axis in `steps`; that axis is the row.
    """
    found = []
    for axis, step in steps.items():
        other = 3 - thick - axis
        planes = np.ascontiguousarray(values.transpose(thick, axis, other), np.float32)
        found.append(_respaced(planes, step))
    return found


def _respaced(planes: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    from napari_medseg.volume.sampling import along, averaging_matrix, spline_matrix

    if abs(step - 1) < 0.01:
        return planes
    before = planes.shape[1]
    after = max(1, round(before / step))
    if step > 1:
        return along(averaging_matrix(after, before, AxisSampling(step)), planes, 1)
    return along(spline_matrix(before, after, 1 / step), planes, 1)
