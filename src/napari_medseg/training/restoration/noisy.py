"""Pairs of noisy images from noisy images alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.inference.restoration.applying import EDGE
from napari_medseg.inference.restoration.neighbours import orders_of, with_neighbours
from napari_medseg.inference.restoration.restored import Scale
from napari_medseg.models.spec import ModelSpec
from napari_medseg.training.restoration.config import EnhancementConfig
from napari_medseg.training.restoration.material import Image
from napari_medseg.training.restoration.pairs import Batch, generators
from napari_medseg.volume.stabilise import Stabiliser, stabiliser_for

ADDED = 0.5
"""Noise that is added to inputs, as a share of what is in them."""
HIDDEN = 0.02
"""Share of the voxels that a network of Noise2Void does not see."""
NEAR = 2
"""Voxels to each side from which a hidden voxel's stand-in is taken."""
PATCHES = 16
"""Per step."""
LEAST = 8
"""Pixels along the edge of an image that can be learned from."""


@dataclass(frozen=True, eq=False)
class Slices:
    """A noisy image, and how its noise becomes alike everywhere."""

    values: NDArray[np.float32]
    """(slice, y, x) in the image's unit."""
    stabiliser: Stabiliser
    scale: Scale
    """From stable values to the network's intensities."""

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a part of the image as the network sees it."""
        return self.scale.apply(self.stabiliser.apply(values))

    @property
    def level(self) -> float:
        """Standard deviation of the noise in what the network sees."""
        return self.stabiliser.stable_level / float(self.scale.deviation)


@dataclass(frozen=True, eq=False)
class Noisy:
    """Noisy slices, each with its neighbours."""

    images: tuple[Slices, ...]
    patch: tuple[int, int]
    size: int
    channels: int
    hide: bool
    """Whether voxels are hidden (Noise2Void); else noise is added and taken away."""
    seed: int

    def batch(self, step: int, share: int = 0) -> Batch:
        """Return the pairs of a step; with several processes, one's share of them."""
        sizes = np.array([image.values.size for image in self.images], np.float64)
        count = self.size if self.hide else max(1, self.size // 2)
        pairs = [self._pairs(sizes / sizes.sum(), random) for random in generators(self.seed, step, share, count)]
        inputs, targets, weights = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        return Batch(inputs, targets, weights if self.hide else None)

    def _pairs(
        self, chances: NDArray[np.float64], random: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return inputs, targets and weights of one patch: one of each, or two for one noise and its opposite.

        What the noise in their targets does to the network is then nearly opposite, too, and falls out of the mean.
        """
        image = self.images[random.choice(len(self.images), p=chances)]
        clean, middle = image.apply(self._cut(image.values, random)), self.channels // 2
        if self.hide:
            seen, target, weights = _hidden(clean, middle, random)
            return seen[None], target[None], weights[None]
        drawn = np.float32(image.level) * random.standard_normal(clean.shape, np.float32)
        noise: NDArray[np.float32] = np.stack([drawn, -drawn])
        targets = (clean - noise / np.float32(ADDED))[:, middle : middle + 1, EDGE:-EDGE, EDGE:-EDGE]
        return clean + np.float32(ADDED) * noise, targets, np.ones_like(targets)

    def _cut(self, image: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        number = int(random.integers(len(image)))
        row, column = (int(random.integers(n - p + 1)) for n, p in zip(image.shape[1:], self.patch, strict=True))
        slices = with_neighbours(image, slice(number, number + 1), self.channels)[0]
        part = slices[:, row : row + self.patch[0], column : column + self.patch[1]]
        return np.flip(part, tuple(axis for axis in (1, 2) if random.random() < 0.5))


def _hidden(
    clean: NDArray[np.float32], middle: int, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return a patch in which some voxels were replaced by neighbours, which count alone."""
    rows, columns = clean.shape[1:]
    hidden = random.random((rows, columns)) < HIDDEN
    row, column = np.nonzero(hidden)
    step = random.integers(1, NEAR + 1, (2, len(row))) * random.choice([-1, 1], (2, len(row)))
    # Along one axis alone a stand-in may share a row or a column, but never is the voxel itself.
    step[random.integers(0, 2, len(row)), np.arange(len(row))] *= random.integers(0, 2, len(row))
    other = np.clip(row + step[0], 0, rows - 1), np.clip(column + step[1], 0, columns - 1)
    seen = clean.copy()
    seen[middle, row, column] = clean[middle, other[0], other[1]]
    return seen, clean[middle : middle + 1], hidden[None].astype(np.float32)


def noisy_pairs(spec: ModelSpec, config: EnhancementConfig, images: list[Image]) -> Noisy:
    """Return pairs from noisy images.

    Raises
    ------
    DataError
        If no image is large enough.
    """
    found: list[Slices] = []
    for image in images:
        values = image.values if image.values.ndim == 3 else image.values[None]
        if min(values.shape[1:]) < LEAST:
            continue
        stabiliser = stabiliser_for(values, config.noise, config.level)
        scale = Scale.of(stabiliser.apply(values))
        orders = orders_of(turned=bool(spec.options.get("turned")))
        found.extend(Slices(values.transpose(order), stabiliser, scale) for order in orders)
    if not found:
        raise DataError(f"The images have slices of fewer than {LEAST} pixels.", "Choose larger images.")
    rows, columns = (
        min(p, *(image.values.shape[axis] for image in found)) for axis, p in enumerate(spec.patch_size, 1)
    )
    size, hide = config.batch_size or PATCHES, config.method == "noise2void"
    return Noisy(tuple(found), (rows, columns), size, spec.channels, hide, config.seed)
