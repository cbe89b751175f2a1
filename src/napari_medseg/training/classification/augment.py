"""Random changes of images that leave their class as it is, for a whole batch at once."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from napari_medseg.training.classification.config import ClassificationConfig

ROTATION_RADIANS = 0.2
SCALE = 0.12
SHIFT = 0.06
"""Of the image's edge."""
CONTRAST = 0.15
BRIGHTNESS = 0.15
"""In standard deviations of the values."""


@dataclass(frozen=True)
class Change:
    """Which kinds of change to make."""

    flips: bool
    geometry: bool
    intensity: bool

    @classmethod
    def of(cls, config: ClassificationConfig) -> "Change":
        """Return the changes that a run makes."""
        return cls(config.flips, config.geometry, config.intensity)


def changed(images: torch.Tensor, change: Change, rng: torch.Generator) -> torch.Tensor:
    """Return randomly changed images; all randomness comes from `rng`.

    Parameters
    ----------
    images : (image, channel, [z,] y, x) float32 tensor
        Of mean 0 and standard deviation 1, about.
    change : Change
        Which kinds.
    rng : torch.Generator
        On the CPU.
    """
    many, dims = len(images), images.ndim - 2
    if change.flips:
        for axis in range(2, images.ndim):
            chosen = torch.rand(many, generator=rng) < 0.5
            images = torch.where(chosen.view(-1, *[1] * (dims + 1)), images.flip(axis), images)
    if change.geometry:
        grid = functional.affine_grid(_matrices(many, dims, rng), list(images.shape), align_corners=False)
        images = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if change.intensity:
        shape = (many, *[1] * (dims + 1))
        images = images * (1 + CONTRAST * _spread(shape, rng)) + BRIGHTNESS * _spread(shape, rng)
    return images


def mixed(
    images: torch.Tensor, target: torch.Tensor, shape: float, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images mixed in pairs, and their shares of the classes (MixUp).

    Parameters
    ----------
    images : (image, ...) float32 tensor
        Left as it is.
    target : (image, class) float tensor
        Shares of the classes.
    shape : float
        Of the beta distribution of the share of the first; 0 mixes nothing.
    rng : torch.Generator
        On the CPU.
    """
    if not shape:
        return images, target
    drawn = int(torch.randint(1 << 31, (1,), generator=rng))
    share = float(np.random.default_rng(drawn).beta(shape, shape))
    other = torch.randperm(len(images), generator=rng)
    return share * images + (1 - share) * images[other], share * target + (1 - share) * target[other]


def _spread(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    """Return numbers spread evenly over [-1, 1]."""
    return torch.rand(shape, generator=rng) * 2 - 1


def _matrices(many: int, dims: int, rng: torch.Generator) -> torch.Tensor:
    """Return (image, dims, dims + 1) maps from the place in the result to that in the image, in (x, y[, z])."""
    angle = ROTATION_RADIANS * _spread((many,), rng)
    scale = 1 + SCALE * _spread((many, 1, 1), rng)
    matrix = torch.eye(dims).repeat(many, 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 0, 1], matrix[:, 1, 0] = -angle.sin(), angle.sin()
    return torch.cat([matrix * scale, 2 * SHIFT * _spread((many, dims, 1), rng)], dim=2)
