"""A bank of classical image filters at several scales, in torch: what a pixel classifier looks at.

The filters are those of interactive segmentation tools (Gaussian, gradient magnitude, eigenvalues of the Hessian, local
contrast); see Berg et al., ilastik: interactive machine learning for (bio)image analysis, Nature Methods (2019).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from types import EllipsisType

TRUNCATE = 3.0
"""Standard deviations after which a Gaussian ends."""
CONTRAST = 1.5
"""Width of the window of local contrast, in units of the scale."""
COARSEN_FROM = 3.5
"""Standard deviation in voxels from which on a Gaussian is computed on voxels of twice the size."""

Box = Sequence[slice]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Images, and the same on coarser voxels, computed when they are first looked at and kept.

    Parameters
    ----------
    images : (batch, channel, [z,] y, x) float32 tensor
        Any intensities.
    device : torch.device
        Where to compute with parts of them; None for where they are.
    """

    images: torch.Tensor
    device: torch.device | None = None
    _batch: slice | None = None
    _coarser: dict[tuple[int, ...], torch.Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> torch.Size:
        """Voxels along the spatial axes."""
        return self.images.shape[2:]

    def only(self, batch: slice) -> "Pyramid":
        """Return some of the images, which share what is kept."""
        return replace(self, _batch=batch)

    def part(self, box: Box, factors: Sequence[int]) -> torch.Tensor:
        """Return (image and channel, 1, ...) values of a box on voxels that are `factors` times as large.

        The box counts in voxels of the images and begins at whole large ones.
        """
        key = tuple(factors)
        if key not in self._coarser:
            self._coarser[key] = _coarsen(self.images, key)
        inside = tuple(slice(part.start // n, -(-part.stop // n)) for part, n in zip(box, key, strict=True))
        found = self._coarser[key][(self._batch or slice(None), slice(None), *inside)].to(self.device)
        return found.reshape(-1, 1, *found.shape[2:])


def feature_count(dims: int, channels: int, scales: int) -> int:
    """Return the number of features per voxel: each channel, and per scale and channel three and one per axis."""
    return channels * (1 + scales * (3 + dims))


def context_count(dims: int, channels: int, scales: int) -> int:
    """Return the number of features of `context_bank` per voxel."""
    return channels * ((scales + 1) * dims + 3) if scales else 0


def reach(scales: Sequence[float], edges: Sequence[float]) -> tuple[int, ...]:
    """Return, per axis, how many voxels around a voxel have an influence on its features.

    Parameters
    ----------
    scales : sequence of float
        Standard deviations, in units of the shortest voxel edge.
    edges : sequence of float
        Voxel edges along each axis, in the same units.
    """
    return tuple(_reach(max(scales), edge) for edge in edges)


def filter_bank(
    pyramid: Pyramid, scales: Sequence[float], edges: Sequence[float], inner: Box | None = None
) -> torch.Tensor:
    """Return what a pixel classifier sees of each voxel.

    Beyond the borders of the image its outermost voxels are repeated.

    Parameters
    ----------
    pyramid : Pyramid
        Images.
    scales : sequence of float
        Standard deviations, in units of the shortest voxel edge.
    edges : sequence of float
        Voxel edges along each spatial axis, in the same units.
    inner : sequence of slice, optional
        The part of the images to return features of; all of it if None. The rest is looked at as far as it matters.

    Returns
    -------
    (batch, feature, [z,] y, x) float32 tensor
        Per channel: intensity; per scale the smoothed intensity, its gradient's magnitude, the standard deviation
        around the voxel, and the Hessian's eigenvalues, largest first.
    """
    box = _whole(pyramid, inner)
    features = [pyramid.part(box, (1,) * len(box))]
    for scale in scales:
        features += _at_scale(pyramid, scale, edges, box)
    return _per_image(features, pyramid)


def context_bank(
    pyramid: Pyramid, scales: Sequence[float], edges: Sequence[float], inner: Box | None = None
) -> torch.Tensor:
    """Return what the wide surroundings of each voxel look like, and to which side: left of the spine, below the skull.

    Parameters
    ----------
    pyramid, scales, edges, inner
        As of `filter_bank`.

    Returns
    -------
    (batch, feature, [z,] y, x) float32 tensor
        Per channel: per scale the slope of the smoothed intensity along each axis, with its sign; of the last scale
        also what `filter_bank` gives of a scale.
    """
    box = _whole(pyramid, inner)
    features = [slope for scale in scales for slope in _slopes_at_scale(pyramid, scale, edges, box)]
    return _per_image([*features, *_at_scale(pyramid, scales[-1], edges, box)], pyramid)


def smooth(image: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    """Return the image convolved with a Gaussian.

    Parameters
    ----------
    image : (batch, channel, [z,] y, x) float tensor
        Repeated beyond its borders.
    sigmas : sequence of float
        Standard deviation along each spatial axis, in voxels; nothing is done where it is below a fifth.
    """
    for axis, sigma in enumerate(sigmas):
        if sigma >= 0.2 and image.shape[2 + axis] > 1:
            image = _along(image, axis, _gaussian(sigma))
    return image


def _reach(scale: float, edge: float) -> int:
    """Return the voxels that a scale looks at to either side: those of the smoothing and two for the derivatives."""
    factor = _factor(scale, edge)
    return math.ceil(TRUNCATE * CONTRAST * scale / edge) + 3 * factor


def _factor(scale: float, edge: float) -> int:
    return 2 ** max(0, math.ceil(math.log2(scale / edge / COARSEN_FROM + 1e-9))) if scale / edge >= COARSEN_FROM else 1


def _whole(pyramid: Pyramid, inner: Box | None) -> list[slice]:
    """Return the part that is asked for with both its ends."""
    asked = inner or [slice(None)] * len(pyramid.shape)
    return [slice(*part.indices(size)[:2]) for part, size in zip(asked, pyramid.shape, strict=True)]


def _per_image(features: Sequence[torch.Tensor], pyramid: Pyramid) -> torch.Tensor:
    stacked = torch.cat(list(features), dim=1)
    channels = pyramid.images.shape[1]
    return stacked.reshape(-1, channels * stacked.shape[1], *stacked.shape[2:])


class _Smoothed:
    """The surroundings of a box on voxels as coarse as a scale allows, smoothed."""

    def __init__(self, pyramid: Pyramid, scale: float, edges: Sequence[float], box: Box) -> None:
        outer, self._place = _surroundings(pyramid.shape, box, scale, edges)
        self._factors = [min(_factor(scale, edge), size) for edge, size in zip(edges, pyramid.shape, strict=True)]
        self.coarse = pyramid.part(outer, self._factors)
        self.sigmas = [scale / edge / factor for edge, factor in zip(edges, self._factors, strict=True)]
        self.mean = smooth(self.coarse, self.sigmas)
        self.steps = [edge * factor for edge, factor in zip(edges, self._factors, strict=True)]

    def slopes(self) -> list[torch.Tensor]:
        """Return the derivative along each axis."""
        return [_difference(self.mean, axis) / step for axis, step in enumerate(self.steps)]

    def refined(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return features on the voxels of the box."""
        return [_refine(feature, self._factors, self._place) for feature in features]


def _at_scale(pyramid: Pyramid, scale: float, edges: Sequence[float], box: Box) -> list[torch.Tensor]:
    """Return the features of one scale inside a box, each (batch, 1, ...)."""
    at = _Smoothed(pyramid, scale, edges, box)
    slopes = at.slopes()
    magnitude = torch.sqrt(sum((slope.square() for slope in slopes), torch.zeros_like(at.mean)))
    return at.refined([at.mean, magnitude, _contrast(at.coarse, at.sigmas), *_curvatures(slopes, at.steps)])


def _slopes_at_scale(pyramid: Pyramid, scale: float, edges: Sequence[float], box: Box) -> list[torch.Tensor]:
    at = _Smoothed(pyramid, scale, edges, box)
    return at.refined(at.slopes())


def _part(image: torch.Tensor, box: Box) -> torch.Tensor:
    index: tuple[EllipsisType | slice, ...] = (..., *box)
    return image[index]


def _surroundings(
    shape: Sequence[int], box: Box, scale: float, edges: Sequence[float]
) -> tuple[list[slice], list[slice]]:
    """Return what has to be looked at for a box, and where the box lies in it; begins at whole coarse voxels."""
    outer, place = [], []
    for part, size, edge in zip(box, shape, edges, strict=True):
        factor, around = _factor(scale, edge), _reach(scale, edge)
        start = max(part.start - around, 0) // factor * factor
        outer.append(slice(start, min(part.stop + around, size)))
        place.append(slice(part.start - start, part.stop - start))
    return outer, place


def _contrast(image: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    wide = [CONTRAST * sigma for sigma in sigmas]
    mean = smooth(image, wide)
    return torch.sqrt((smooth(image.square(), wide) - mean.square()).clamp_min(0))


def _curvatures(slopes: Sequence[torch.Tensor], steps: Sequence[float]) -> list[torch.Tensor]:
    """Return the eigenvalues of the Hessian, largest first."""
    second: Callable[[int, int], torch.Tensor] = lambda a, b: _difference(slopes[a], b) / steps[b]  # noqa: E731
    if len(slopes) == 2:
        xx, yy, xy = second(0, 0), second(1, 1), second(0, 1)
        middle, spread = (xx + yy) / 2, torch.sqrt(((xx - yy) / 2).square() + xy.square())
        return [middle + spread, middle - spread]
    a, b, c, d, e, f = (second(*pair) for pair in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))
    # Trigonometric solution of the characteristic polynomial: Smith, Communications of the ACM 4 (1961) 168.
    third = (a + b + c) / 3
    a, b, c = a - third, b - third, c - third
    radius = torch.sqrt(((a * a + b * b + c * c) / 2 + d * d + e * e + f * f) / 3).clamp_min(1e-12)
    half = (a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)) / (2 * radius**3)
    angle = torch.acos(half.clamp(-1, 1)) / 3
    largest = third + 2 * radius * torch.cos(angle)
    smallest = third + 2 * radius * torch.cos(angle + 2 * math.pi / 3)
    return [largest, 3 * third - largest - smallest, smallest]


def _gaussian(sigma: float) -> list[float]:
    """Return one half of a Gaussian of sum 1, from its middle outwards."""
    values = [math.exp(-0.5 * (x / sigma) ** 2) for x in range(max(1, math.ceil(TRUNCATE * sigma)) + 1)]
    total = values[0] + 2 * sum(values[1:])
    return [value / total for value in values]


def _along(image: torch.Tensor, axis: int, half: Sequence[float]) -> torch.Tensor:
    """Convolve with a symmetric kernel; sums of shifted views are many times faster here than a convolution."""
    around, size = len(half) - 1, image.shape[2 + axis]
    padded = _repeat_borders(image, axis, around)
    total = padded.narrow(2 + axis, around, size) * half[0]
    for offset, weight in enumerate(half[1:], start=1):
        total.add_(padded.narrow(2 + axis, around - offset, size), alpha=weight)
        total.add_(padded.narrow(2 + axis, around + offset, size), alpha=weight)
    return total


def _difference(image: torch.Tensor, axis: int) -> torch.Tensor:
    """Return half the difference of the two neighbours along an axis."""
    size = image.shape[2 + axis]
    padded = _repeat_borders(image, axis, 1)
    return (padded.narrow(2 + axis, 2, size) - padded.narrow(2 + axis, 0, size)) / 2


def _repeat_borders(image: torch.Tensor, axis: int, count: int) -> torch.Tensor:
    first = image.narrow(2 + axis, 0, 1)
    last = image.narrow(2 + axis, image.shape[2 + axis] - 1, 1)
    sizes = [count if k == 2 + axis else -1 for k in range(image.ndim)]
    return torch.cat([first.expand(sizes), image, last.expand(sizes)], dim=2 + axis)


def _coarsen(image: torch.Tensor, factors: Sequence[int]) -> torch.Tensor:
    if all(factor == 1 for factor in factors):
        return image
    pool = functional.avg_pool2d if len(factors) == 2 else functional.avg_pool3d
    return pool(image, list(factors), ceil_mode=True, count_include_pad=False)


def _refine(image: torch.Tensor, factors: Sequence[int], place: Box) -> torch.Tensor:
    """Return a part of the image on voxels that are `factors` times as fine; `place` counts in fine voxels."""
    if all(factor == 1 for factor in factors):
        return _part(image, place)
    sizes = image.shape[2:]
    # one coarse voxel more to each side is what interpolation looks at
    around = [
        slice(max(part.start // factor - 1, 0), min(-(-part.stop // factor) + 1, size))
        for part, factor, size in zip(place, factors, sizes, strict=True)
    ]
    coarse = _part(image, around)
    size = [n * factor for n, factor in zip(coarse.shape[2:], factors, strict=True)]
    mode = "bilinear" if len(factors) == 2 else "trilinear"
    fine = functional.interpolate(coarse, size=size, mode=mode, align_corners=False)
    moved = [-part.start * factor for part, factor in zip(around, factors, strict=True)]
    return _part(fine, [slice(p.start + m, p.stop + m) for p, m in zip(place, moved, strict=True)])
