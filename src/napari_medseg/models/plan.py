"""How deep a U-Net may be and how large its patch, from shapes and spacings; nnU-Net's rules, as pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

MIN_FEATURE_MAP = 4
"""Fewest voxels of the coarsest feature map along a pooled axis."""
MIN_STAGES = 3
ISOTROPY = 2.0
"""Axes whose spacings differ by less than this factor are treated alike."""


@dataclass(frozen=True)
class UNetPlan:
    """Shape of a U-Net, one entry per stage, finest first."""

    strides: tuple[tuple[int, ...], ...]
    """Step of the first convolution of each stage along each axis; 1 for the first stage."""
    kernels: tuple[tuple[int, ...], ...]
    """Size of the convolutions of each stage along each axis, 1 or 3."""

    @property
    def divisor(self) -> tuple[int, ...]:
        """The patch must be a multiple of this along each axis."""
        return tuple(prod(steps) for steps in zip(*self.strides, strict=True))


def plan_unet(patch_size: Sequence[int], spacing: Sequence[float] | None = None, max_stages: int = 5) -> UNetPlan:
    """Derive strides and kernels from a patch and its voxel size.

    An axis is halved while it is even, keeps `MIN_FEATURE_MAP` voxels, and is not coarser in mm than the finest axis by
    `ISOTROPY` or more; convolutions along an axis begin at the stage where it is as fine as the others.

    Parameters
    ----------
    patch_size : sequence of int
        Voxels along each axis.
    spacing : sequence of float, optional
        Voxel size in mm along each axis; equal if None.
    max_stages : int
        Most stages; there are at least `MIN_STAGES`.

    Examples
    --------
    >>> plan_unet((16, 64, 64), (4.0, 1.0, 1.0)).strides
    ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    >>> plan_unet((16, 64, 64), (4.0, 1.0, 1.0)).kernels[:2]
    ((1, 3, 3), (1, 3, 3))
    """
    size = list(patch_size)
    step_mm = [float(s) for s in spacing] if spacing is not None else [1.0] * len(size)
    strides = [(1,) * len(size)]
    kernels = [_kernel(step_mm, [1] * len(size))]
    while len(strides) < max_stages:
        halved = _axes_to_halve(size, step_mm)
        if not halved and len(strides) >= MIN_STAGES:
            break
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(size))))
        for axis in halved:
            size[axis] //= 2
            step_mm[axis] *= 2
        kernels.append(_kernel(step_mm, kernels[-1]))
    return UNetPlan(tuple(strides), tuple(kernels))


def _axes_to_halve(size: Sequence[int], step_mm: Sequence[float]) -> list[int]:
    possible = [axis for axis, n in enumerate(size) if n % 2 == 0 and n >= 2 * MIN_FEATURE_MAP]
    if not possible:
        return []
    finest = min(step_mm[axis] for axis in possible)
    return [axis for axis in possible if step_mm[axis] < ISOTROPY * finest]


def _kernel(step_mm: Sequence[float], before: Sequence[int]) -> tuple[int, ...]:
    finest = min(step_mm)
    return tuple(3 if k == 3 or step < ISOTROPY * finest else 1 for step, k in zip(step_mm, before, strict=True))


def propose_patch(shape: Sequence[int], spacing: Sequence[float] | None = None, voxels: int = 64**3) -> tuple[int, ...]:
    """Return a patch of about `voxels` voxels that is a cube in mm where the image allows it.

    Parameters
    ----------
    shape : sequence of int
        Voxels of a typical image along each axis; the patch is not made larger than needed to cover it.
    spacing : sequence of float, optional
        Voxel size in mm along each axis; equal if None.
    voxels : int
        Budget.

    Returns
    -------
    tuple of int
        Multiples of 16, or of 8 or 4 along short axes, so that `plan_unet` can halve them.

    Examples
    --------
    >>> propose_patch((400, 512, 512))
    (64, 64, 64)
    >>> propose_patch((30, 512, 512), (5.0, 0.7, 0.7))
    (16, 128, 128)
    """
    step_mm = [float(s) for s in spacing] if spacing is not None else [1.0] * len(shape)
    covering = [_round_up(n) for n in shape]
    patch: dict[int, float] = {}
    free = set(range(len(shape)))
    while free:
        budget = voxels / prod(patch.values())
        edge_mm = (budget * prod(step_mm[axis] for axis in free)) ** (1 / len(free))
        full = {axis for axis in free if edge_mm / step_mm[axis] >= covering[axis]}
        patch |= {axis: covering[axis] if full else edge_mm / step_mm[axis] for axis in full or free}
        free -= full or free
    return tuple(min(_round_nearest(patch[axis]), covering[axis]) for axis in range(len(shape)))


def _multiple(voxels: float) -> int:
    return 16 if voxels >= 24 else 8 if voxels >= 12 else 4


def _round_up(voxels: int) -> int:
    multiple = _multiple(voxels)
    return -(-voxels // multiple) * multiple


def _round_nearest(voxels: float) -> int:
    multiple = _multiple(voxels)
    return max(multiple, round(voxels / multiple) * multiple)
