"""Random changes of images that leave their class as it is, for a whole batch at once."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from napari_medseg.training.classification.config import ClassificationConfig, Flips
from napari_medseg.training.classification.strong import strongly_changed

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

    flips: Flips
    geometry: bool
    intensity: bool
    strong: int = 0
    """Further, strong changes of each image."""
    strength: float = 0.5

    @classmethod
    def of(cls, config: ClassificationConfig) -> "Change":
        """Return the changes that a run makes."""
        return cls(config.flips, config.geometry, config.intensity, config.randaugment, config.strength)


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
    mirrored = {
        "none": range(0),
        "auto": range(0),
        "sideways": range(images.ndim - 1, images.ndim),
        "all": range(2, images.ndim),
    }
    for axis in mirrored[change.flips]:
        chosen = torch.rand(many, generator=rng) < 0.5
        images = torch.where(chosen.view(-1, *[1] * (dims + 1)), images.flip(axis), images)
    if change.geometry:
        grid = functional.affine_grid(_matrices(many, dims, rng), list(images.shape), align_corners=False)
        images = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if change.intensity:
        shape = (many, *[1] * (dims + 1))
        images = images * (1 + CONTRAST * _spread(shape, rng)) + BRIGHTNESS * _spread(shape, rng)
    return strongly_changed(images, change.strong, change.strength, rng) if change.strong else images


def mixed(
    images: torch.Tensor, target: torch.Tensor, shape: float, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images mixed in pairs, and their shares of the classes (Zhang et al., MixUp, 2018).

    Parameters
    ----------
    images : (image, ...) float32 tensor
        Left as it is.
    target : (image, class) float tensor
        Shares of the classes.
    shape : float
        Of the beta distribution of the share of the first.
    rng : torch.Generator
        On the CPU.
    """
    share = _share(shape, rng)
    other = torch.randperm(len(images), generator=rng)
    return share * images + (1 - share) * images[other], share * target + (1 - share) * target[other]


def patched(
    images: torch.Tensor, target: torch.Tensor, shape: float, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images with a box from another image, and their shares of the classes (Yun et al., CutMix, 2019).

    Parameters
    ----------
    images : (image, channel, [z,] y, x) float32 tensor
        Left as it is.
    target : (image, class) float tensor
        Shares of the classes.
    shape : float
        Of the beta distribution of the share of the first.
    rng : torch.Generator
        On the CPU.
    """
    share = _share(shape, rng)
    other = torch.randperm(len(images), generator=rng)
    side = (1 - share) ** (1 / (images.ndim - 2))
    box = []
    for edge in images.shape[2:]:
        middle = int(torch.randint(edge, (1,), generator=rng))
        half = side * edge / 2
        box.append(slice(max(0, round(middle - half)), min(edge, round(middle + half))))
    place = (slice(None), slice(None), *box)
    result = images.clone()
    result[place] = images[other][place]
    kept = 1 - result[0, 0][tuple(box)].numel() / result[0, 0].numel()
    return result, kept * target + (1 - kept) * target[other]


def blended(
    images: torch.Tensor, target: torch.Tensor, config: ClassificationConfig, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and targets after MixUp or CutMix; where both are asked for, each has half of the batches."""
    cut = config.cutmix > 0 and (not config.mixup or float(torch.rand(1, generator=rng)) < 0.5)
    if cut:
        return patched(images, target, config.cutmix, rng)
    return mixed(images, target, config.mixup, rng) if config.mixup else (images, target)


def _share(shape: float, rng: torch.Generator) -> float:
    drawn = int(torch.randint(1 << 31, (1,), generator=rng))
    return float(np.random.default_rng(drawn).beta(shape, shape))


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
