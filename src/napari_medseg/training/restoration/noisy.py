"""Pairs of noisy images from noisy images alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.inference.restoration.finer import Scale
from napari_medseg.inference.restoration.neighbours import with_neighbours
from napari_medseg.models.spec import ModelSpec
from napari_medseg.training.restoration.config import EnhancementConfig
from napari_medseg.training.restoration.material import Image
from napari_medseg.training.restoration.pairs import Batch
from napari_medseg.volume.stabilise import stabiliser_for

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
class Noisy:
    """Noisy slices, each with its neighbours."""

    images: tuple[NDArray[np.float32], ...]
    """(slice, y, x) in the network's intensities."""
    levels: tuple[float, ...]
    """Standard deviation of the noise in each."""
    patch: tuple[int, int]
    size: int
    channels: int
    hide: bool
    """Whether voxels are hidden (Noise2Void); else noise is added and taken away."""
    seed: int

    def batch(self, step: int) -> Batch:
        """Return the pairs of a step."""
        random = np.random.default_rng((self.seed, step))
        shares = np.array([image.size for image in self.images], np.float64)
        numbers = random.choice(len(self.images), self.size, p=shares / shares.sum())
        clean = np.stack([self._cut(self.images[number], random) for number in numbers])
        if self.hide:
            return _hidden(clean, self.channels // 2, random)
        levels = np.array([self.levels[number] for number in numbers], np.float32)[:, None, None, None]
        noise = random.standard_normal(clean.shape, np.float32) * levels
        middle = slice(self.channels // 2, self.channels // 2 + 1)
        return Batch(clean + ADDED * noise, (clean - noise / ADDED)[:, middle])

    def _cut(self, image: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        number = int(random.integers(len(image)))
        row, column = (int(random.integers(n - p + 1)) for n, p in zip(image.shape[1:], self.patch, strict=True))
        slices = with_neighbours(image, slice(number, number + 1), self.channels)[0]
        part = slices[:, row : row + self.patch[0], column : column + self.patch[1]]
        return np.flip(part, tuple(axis for axis in (1, 2) if random.random() < 0.5))


def _hidden(clean: NDArray[np.float32], middle: int, random: np.random.Generator) -> Batch:
    """Return patches in which some voxels were replaced by neighbours, which count alone."""
    batch, _channels, rows, columns = clean.shape
    hidden = random.random((batch, rows, columns)) < HIDDEN
    image, row, column = np.nonzero(hidden)
    step = random.integers(1, NEAR + 1, (2, len(row))) * random.choice([-1, 1], (2, len(row)))
    # Along one axis alone a stand-in may share a row or a column, but never is the voxel itself.
    step[random.integers(0, 2, len(row)), np.arange(len(row))] *= random.integers(0, 2, len(row))
    other = np.clip(row + step[0], 0, rows - 1), np.clip(column + step[1], 0, columns - 1)
    inputs = clean.copy()
    inputs[image, middle, row, column] = clean[image, middle, other[0], other[1]]
    return Batch(inputs, clean[:, middle : middle + 1], hidden[:, None].astype(np.float32))


def noisy_pairs(spec: ModelSpec, config: EnhancementConfig, images: list[Image]) -> Noisy:
    """Return pairs from noisy images.

    Raises
    ------
    DataError
        If no image is large enough.
    """
    found, levels = [], []
    for image in images:
        values = image.values if image.values.ndim == 3 else image.values[None]
        if min(values.shape[1:]) < LEAST:
            continue
        stabiliser = stabiliser_for(values, config.noise, config.level)
        stable = stabiliser.apply(values)
        scale = Scale.of(stable)
        found.append(scale.apply(stable))
        levels.append(stabiliser.stable_level / float(scale.deviation))
    if not found:
        raise DataError(f"The images have slices of fewer than {LEAST} pixels.", "Choose larger images.")
    rows, columns = (min(p, *(image.shape[axis] for image in found), p) for axis, p in enumerate(spec.patch_size, 1))
    size, hide = config.batch_size or PATCHES, config.method == "noise2void"
    return Noisy(tuple(found), tuple(levels), (rows, columns), size, spec.channels, hide, config.seed)
