"""Strong changes that a medical image may have undergone, a few drawn for each (RandAugment, Cubuk et al., 2020).

Of the published list, what makes another image of the same thing: no inverted values, no posterised or solarised ones,
no shifted hues. Blur, noise and gamma take their place.
"""

import torch
from torch.nn import functional

ROTATION_RADIANS, SHEAR, SCALE, SHIFT = 0.6, 0.3, 0.35, 0.2
CONTRAST, BRIGHTNESS, GAMMA, NOISE = 0.7, 0.7, 0.8, 0.5
ERASED = 0.4
"""Largest edge of an erased box, as a share of the image's."""


def strongly_changed(images: torch.Tensor, count: int, strength: float, rng: torch.Generator) -> torch.Tensor:
    """Return images with `count` changes each.

    Parameters
    ----------
    images : (image, channel, [z,] y, x) float32 tensor
        Of mean 0 and standard deviation 1, about.
    count : int
        Changes of each image.
    strength : float
        In [0, 1], of the strongest.
    rng : torch.Generator
        On the CPU; gives all randomness.
    """
    result = []
    for image in images:
        for kind in torch.randint(len(KINDS), (count,), generator=rng).tolist():
            power = strength * float(torch.rand(1, generator=rng) * 2 - 1)
            seed = int(torch.randint(1 << 31, (1,), generator=rng))
            image = KINDS[kind](image, power, torch.Generator().manual_seed(seed))
        result.append(image)
    return torch.stack(result)


def _moved(image: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    grid = functional.affine_grid(matrix[None], [1, *image.shape], align_corners=False)
    return functional.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]


def _plain(image: torch.Tensor) -> torch.Tensor:
    return torch.eye(image.ndim - 1, image.ndim)


def _rotated(image: torch.Tensor, power: float, _rng: torch.Generator) -> torch.Tensor:
    matrix, angle = _plain(image), torch.tensor(ROTATION_RADIANS * power)
    matrix[0, 0] = matrix[1, 1] = angle.cos()
    matrix[0, 1], matrix[1, 0] = -angle.sin(), angle.sin()
    return _moved(image, matrix)


def _sheared(image: torch.Tensor, power: float, rng: torch.Generator) -> torch.Tensor:
    matrix = _plain(image)
    upright = bool(torch.rand(1, generator=rng) < 0.5)
    matrix[int(upright), int(not upright)] = SHEAR * power
    return _moved(image, matrix)


def _scaled(image: torch.Tensor, power: float, _rng: torch.Generator) -> torch.Tensor:
    matrix = _plain(image)
    matrix[:, :-1] *= 1 + SCALE * power
    return _moved(image, matrix)


def _shifted(image: torch.Tensor, power: float, rng: torch.Generator) -> torch.Tensor:
    matrix = _plain(image)
    axis = int(torch.randint(image.ndim - 1, (1,), generator=rng))
    matrix[axis, -1] = 2 * SHIFT * power
    return _moved(image, matrix)


def _contrasted(image: torch.Tensor, power: float, _rng: torch.Generator) -> torch.Tensor:
    mean = image.mean()
    return (image - mean) * (1 + CONTRAST * power) + mean


def _brightened(image: torch.Tensor, power: float, _rng: torch.Generator) -> torch.Tensor:
    return image + BRIGHTNESS * power


def _bent(image: torch.Tensor, power: float, _rng: torch.Generator) -> torch.Tensor:
    """Change the gamma curve between the smallest and the largest value."""
    low, high = image.min(), image.max()
    span = (high - low).clamp_min(1e-6)
    return ((image - low) / span) ** float(torch.tensor(GAMMA * power).exp()) * span + low


def _noisy(image: torch.Tensor, power: float, rng: torch.Generator) -> torch.Tensor:
    return image + NOISE * abs(power) * torch.randn(image.shape, generator=rng)


def _sharpness(image: torch.Tensor, power: float, _rng: torch.Generator) -> torch.Tensor:
    """Blur, or sharpen where `power` is positive."""
    pool = functional.avg_pool2d if image.ndim == 3 else functional.avg_pool3d
    soft = pool(image[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    return image + (image - soft) * (2 * power if power > 0 else power)


def _erased(image: torch.Tensor, power: float, rng: torch.Generator) -> torch.Tensor:
    """Put the mean into a box."""
    place: list[slice] = [slice(None)]
    for edge in image.shape[1:]:
        long = round(ERASED * abs(power) * edge)
        start = int(torch.randint(edge - long + 1, (1,), generator=rng))
        place.append(slice(start, start + long))
    result = image.clone()
    result[tuple(place)] = image.mean()
    return result


KINDS = (
    _rotated, _sheared, _scaled, _shifted, _contrasted, _brightened, _bent, _noisy, _sharpness, _erased,
)  # fmt: skip
"""All changes; each takes image, power in [-1, 1] and a generator."""
