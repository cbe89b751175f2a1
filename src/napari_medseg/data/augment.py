"""Random changes of a patch that leave its meaning as it is.

One interpolation rotates, scales and mirrors image and labels together. That is several times faster than a chain of
general transforms, which at the size of an interactive training's patch would take longer than the network's own step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_medseg.tasks import UNLABELLED

if TYPE_CHECKING:
    import torch

Shape3 = tuple[int, int, int]
ROTATION_RADIANS = 0.26
SCALE = 0.2
CONTRAST = 0.15
BRIGHTNESS = 0.15
GAMMA = 0.35
NOISE_SD = 0.1
RARE = 0.3
"""Probability of gamma, and of noise."""
MARGIN = 0.15
"""Voxels that are cut around a patch on each side for rotating and scaling, as a share of the patch."""
SPREAD_VOXELS = 2_000_000
"""Of all images together that are looked at, at most about."""
FLAT = 3.0
"""A patch whose edges differ by more than this is rotated in its plane only, as its voxels are mostly not cubes."""


@dataclass(frozen=True)
class Augmentation:
    """Which kinds of change to make."""

    flip_axes: tuple[int, ...] = (0, 1, 2)
    """Axes of (z, y, x) along which patches are mirrored half of the time; empty for none."""
    geometry: bool = True
    """Rotate by up to 15 degrees and scale by up to 20 %."""
    intensity: bool = True
    """Change contrast, brightness and gamma, and add noise."""
    centre: float = 0.0
    """Mean of the network's input, about which contrast changes."""
    unit: float = 1.0
    """Standard deviation of the network's input, by which brightness and noise are measured."""

    def margin(self, shape: Shape3) -> Shape3:
        """Return the voxels that a change needs around a (z, y, x) patch, on each side."""
        if not self.geometry:
            return (0, 0, 0)
        z, y, x = (int(np.ceil(n * MARGIN)) for n in shape)
        return (0 if is_flat(shape) else z, y, x)


@dataclass(frozen=True, eq=False)
class Change:
    """One drawn change."""

    matrix: NDArray[np.float64]
    """(3, 3): takes a voxel's offset from the centre of the result to its origin's offset, in voxels of (z, y, x)."""
    contrast: float = 1.0
    """Factor of the values."""
    centre: float = 0.0
    """Value that the contrast leaves as it is."""
    brightness: float = 0.0
    """Added to the values."""
    gamma: float = 1.0
    """Exponent on the values, scaled to [0, 1] for that."""
    noise_sd: float = 0.0
    noise_seed: int = 0


def spread_of(images: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """Return the mean and the standard deviation of (channel, z, y, x) network inputs, for `Augmentation`.

    They are 0 and 1 where a network takes the standardised image, and something else where it takes a window of
    calibrated values.
    """
    step = math.ceil((sum(image.size for image in images) / SPREAD_VOXELS) ** (1 / 3))
    values = np.concatenate([image[:, ::step, ::step, ::step].ravel() for image in images]).astype(np.float64)
    return float(values.mean()), float(values.std()) or 1.0


def is_flat(shape: Shape3) -> bool:
    """Return whether a patch is a plane, or nearly so."""
    return max(shape) > FLAT * shape[0]


def draw_change(augmentation: Augmentation, shape: Shape3, rng: np.random.Generator) -> Change:
    """Draw a change for a (z, y, x) patch; all randomness comes from `rng`."""
    matrix = np.eye(3)
    if augmentation.geometry:
        angles = rng.uniform(-ROTATION_RADIANS, ROTATION_RADIANS, 3)
        scale = np.full(3, np.exp(rng.uniform(-SCALE, SCALE)))
        if is_flat(shape):
            angles[1:], scale[0] = 0.0, 1.0
        for axis, angle in enumerate(angles):
            matrix = matrix @ _rotation(axis, float(angle))
        matrix = matrix * scale
    for axis in augmentation.flip_axes:
        if rng.random() < 0.5:
            matrix[:, axis] *= -1
    if not augmentation.intensity:
        return Change(matrix)
    unit = augmentation.unit
    contrast, brightness = rng.uniform(1 - CONTRAST, 1 + CONTRAST), rng.uniform(-BRIGHTNESS, BRIGHTNESS) * unit
    gamma = np.exp(rng.uniform(-GAMMA, GAMMA)) if rng.random() < RARE else 1.0
    noise_sd = rng.uniform(0, NOISE_SD) * unit if rng.random() < RARE else 0.0
    seed = int(rng.integers(2**31))
    return Change(matrix, contrast, augmentation.centre, brightness, float(gamma), noise_sd, seed)


def apply_change(
    change: Change, image: NDArray[np.float32], target: NDArray[np.int16], shape: Shape3
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return a changed patch.

    Parameters
    ----------
    change : Change
        What to do.
    image : (channel, z, y, x) float32 array
        The patch with a margin on each side.
    target : (z, y, x) int16 array
        Class indices, on the same voxels.
    shape : (z, y, x) tuple of int
        Voxels of the result; its centre is that of the input.

    Returns
    -------
    image : (channel, z, y, x) float32 tensor
        Interpolated linearly; the nearest voxel's value outside the input.
    target : (z, y, x) int64 tensor
        The nearest voxel's class; `UNLABELLED` outside the input.
    """
    import torch

    values, labels = torch.from_numpy(image), torch.from_numpy(target)
    diagonal = np.diag(change.matrix)
    if np.array_equal(np.diag(diagonal), change.matrix) and np.abs(diagonal).tolist() == [1.0, 1.0, 1.0]:
        mirrored = [axis for axis in range(3) if diagonal[axis] < 0]
        values = _centre(values, shape).flip([axis + 1 for axis in mirrored])
        labels = _centre(labels, shape).flip(mirrored).long()
    else:
        values, labels = _resample(values, labels, change.matrix, shape)
    return _recolour(values, change), labels


def _resample(
    values: "torch.Tensor", labels: "torch.Tensor", matrix: NDArray[np.float64], shape: Shape3
) -> tuple["torch.Tensor", "torch.Tensor"]:
    import torch
    from torch.nn.functional import grid_sample

    offsets = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    z, y, x = (o.view([-1 if axis == a else 1 for a in range(3)]) for axis, o in enumerate(offsets))
    parts = []
    # torch orders coordinates (x, y, z), each from -1 to 1 between the centres of the outermost voxels
    for row, size in zip(matrix[::-1].tolist(), labels.shape[::-1], strict=True):
        parts.append((z * row[0] + y * row[1] + x * row[2]) * (2 / max(size - 1, 1)))
    grid = torch.stack(parts, dim=-1)[None]
    moved = grid_sample(values[None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    # zeros are what torch puts outside
    shifted = (labels - UNLABELLED).float()[None, None]
    nearest = grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=True)
    return moved[0], nearest[0, 0].long() + UNLABELLED


def _recolour(values: "torch.Tensor", change: Change) -> "torch.Tensor":
    import torch

    values = (values - change.centre) * change.contrast + (change.centre + change.brightness)
    if change.gamma != 1.0:
        low, high = values.aminmax()
        span = (high - low).clamp(min=1e-6)
        values = ((values - low) / span).clamp(0, 1) ** change.gamma * span + low
    if change.noise_sd:
        generator = torch.Generator().manual_seed(change.noise_seed)
        values = values + torch.randn(values.shape, generator=generator) * change.noise_sd
    return values


def _centre(values: "torch.Tensor", shape: Shape3) -> "torch.Tensor":
    for axis, size in enumerate(shape, start=values.ndim - 3):
        values = values.narrow(axis, (values.shape[axis] - size) // 2, size)
    return values


def _rotation(axis: int, radians: float) -> NDArray[np.float64]:
    first, second = (other for other in range(3) if other != axis)
    rotation = np.eye(3)
    rotation[first, first] = rotation[second, second] = np.cos(radians)
    rotation[first, second], rotation[second, first] = -np.sin(radians), np.sin(radians)
    return rotation
