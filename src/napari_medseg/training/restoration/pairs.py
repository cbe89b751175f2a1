"""What a network that gives images learns from: inputs and the answers they should have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_medseg.inference.restoration.applying import EDGE
from napari_medseg.inference.restoration.restored import Scale
from napari_medseg.training.restoration.shelf import Shelf
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
    """(pair, 1, ...) answers, `factor` times as fine; only of the middle, where the network sees what is around."""
    weights: NDArray[np.float32] | None = None
    """(pair, 1, ...) how much each voxel of the answers counts; None: all alike."""


class Pairs(Protocol):
    """Something to learn from. What a step sees follows from its number and the seed alone."""

    def batch(self, step: int, share: int = 0) -> Batch:
        """Return the pairs of a step; with several processes, one's share of them."""


@dataclass(frozen=True, eq=False)
class Example:
    """An image of high resolution, and what thick slices show of it."""

    fine: NDArray[np.float32]
    """(plane, y, x) for a network of planes, (1, z, y, x) for one of volumes."""
    thick: NDArray[np.float32]
    """The same, coarse or blurred, and continued at its edges, as in prediction."""
    scale: Scale
    """To the network's intensities."""


@dataclass(frozen=True, eq=False)
class Fine:
    """Images of high resolution, and what is known of them where they are coarse or blurred."""

    images: tuple[Example, ...]
    axes: tuple[AxisSampling, ...]
    """How the axes after the first are made coarse."""
    patch: tuple[int, ...]
    """Coarse voxels of a patch along those axes, with what is around its middle."""
    size: int
    """Patches per step."""
    seed: int = 0
    noise: float = 0.0
    """Standard deviation of the noise that is added to inputs, as a share of the images'."""
    edge: int = EDGE
    """Coarse voxels that images are continued by; so many at the edges of a patch are there to be looked at alone."""

    def batch(self, step: int, share: int = 0) -> Batch:
        """Return the pairs of a step; with several processes, one's share of them."""
        sizes = np.array([image.fine.size for image in self.images], np.float64)
        pairs = [self._pair(sizes / sizes.sum(), random) for random in generators(self.seed, step, share, self.size)]
        return Batch(np.stack([low for low, _ in pairs])[:, None], np.stack([high for _, high in pairs])[:, None])

    def _pair(
        self, chances: NDArray[np.float64], random: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        image = self.images[random.choice(len(self.images), p=chances)]
        enough = FLAT * float(image.scale.deviation)
        for _ in range(TRIES):
            plane = int(random.integers(len(image.thick)))
            room = zip(image.thick.shape[1:], self.patch, strict=True)
            start = [int(random.integers(n - p + 1)) for n, p in room]
            low = image.thick[plane][tuple(slice(s, s + p) for s, p in zip(start, self.patch, strict=True))]
            if low.std() > enough:
                break
        corner = zip(start, self.patch, (whole_factor(axis) for axis in self.axes), strict=True)
        high = image.fine[plane][tuple(slice(s * f, (s + p - 2 * self.edge) * f) for s, p, f in corner)]
        mirrored = tuple(axis for axis in range(low.ndim) if random.random() < 0.5)
        low, high = (np.flip(image.scale.apply(part), mirrored) for part in (low, high))
        noise = self.noise * random.standard_normal(low.shape, np.float32) if self.noise else np.float32(0)
        return low + noise, high


def generators(seed: int, step: int, share: int, size: int) -> list[np.random.Generator]:
    """Return the source of randomness of each pair of a step: shares of some pairs are those of larger shares."""
    return [np.random.default_rng((seed, step, number)) for number in range(share * size, (share + 1) * size)]


def whole_factor(axis: AxisSampling) -> int:
    """Return the factor of an axis that a network refines, which is a whole number."""
    return round(axis.factor)


def degraded(
    image: NDArray[np.float32], axes: Sequence[AxisSampling], scale: Scale | None = None, shelf: Shelf | None = None
) -> Example:
    """Return an image and what thick slices show of it.

    Parameters
    ----------
    image : (plane, ...) array
        Of high resolution; parts that do not fill a coarse voxel are left out.
    axes : sequence of AxisSampling
        How the axes after the first become coarse; their factors are whole numbers.
    scale : Scale, optional
        To the network's intensities; None brings the thick slices to mean 0 and standard deviation 1.
    shelf : Shelf, optional
        Where the thick slices are kept; None keeps them in memory.
    """
    factors = [whole_factor(axis) for axis in axes]
    counts = [n // f for n, f in zip(image.shape[1:], factors, strict=True)]
    whole = image[(slice(None), *(slice(count * f) for count, f in zip(counts, factors, strict=True)))]
    return example_of(whole, coarser(whole, axes, counts), EDGE, scale, shelf)


def example_of(
    fine: NDArray[np.float32],
    thick: NDArray[np.float32],
    edge: int,
    scale: Scale | None = None,
    shelf: Shelf | None = None,
) -> Example:
    """Return an image, and what is known of it, continued by `edge` voxels; `scale` and `shelf` as for `degraded`."""
    padded = np.pad(thick, [(0, 0), *((edge, edge) for _ in thick.shape[1:])], mode="edge")
    return Example(fine, padded if shelf is None else shelf.keep(padded), scale or Scale.of(thick))


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
