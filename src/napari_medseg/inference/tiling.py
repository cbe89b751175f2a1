"""Where overlapping tiles lie on a volume, in what order, and how much each of their voxels counts.

Order and weights are those of MONAI's ``sliding_window_inference``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch

Shape3 = tuple[int, int, int]
Box3 = tuple[slice, slice, slice]


@dataclass(frozen=True)
class TilePlan:
    """Where tiles lie on a volume that is padded with zeros to hold at least one."""

    shape: Shape3
    """Voxels of the volume along (z, y, x)."""
    tile: Shape3
    """Voxels of a tile along (z, y, x)."""
    padding: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    """Voxels added before and after, along (z, y, x)."""
    lines: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    """First voxels of the tiles on the padded volume, rising, along (z, y, x)."""
    starts: tuple[Shape3, ...]
    """First voxel of each tile to compute, in order: z outermost. All combinations of `lines`, or a part of them."""

    @property
    def padded_shape(self) -> Shape3:
        """Voxels of the padded volume."""
        z, y, x = (n + sum(pad) for n, pad in zip(self.shape, self.padding, strict=True))
        return z, y, x


def plan_tiles(shape: Sequence[int], tile: Sequence[int], overlap: float) -> TilePlan:
    """Cover a volume with overlapping tiles.

    Parameters
    ----------
    shape : (z, y, x) sequence of int
        Voxels of the volume.
    tile : (z, y, x) sequence of int
        Voxels of a tile.
    overlap : float
        Share of a tile that it has in common with the next, in [0, 1).

    Examples
    --------
    >>> plan_tiles((4, 10, 3), (4, 4, 4), 0.25).starts
    ((0, 0, 0), (0, 3, 0), (0, 6, 0))
    """
    lacking = [max(t - n, 0) for n, t in zip(shape, tile, strict=True)]
    pad_z, pad_y, pad_x = ((n // 2, n - n // 2) for n in lacking)
    lines = [_starts(n + extra, t, overlap) for n, t, extra in zip(shape, tile, lacking, strict=True)]
    z, y, x = shape
    dz, dy, dx = tile
    return complete_plan((z, y, x), (dz, dy, dx), (pad_z, pad_y, pad_x), (lines[0], lines[1], lines[2]))


def complete_plan(
    shape: Shape3,
    tile: Shape3,
    padding: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
    lines: tuple[Sequence[int], Sequence[int], Sequence[int]],
) -> TilePlan:
    """Return the plan with a tile at every combination of first voxels along (z, y, x)."""
    z, y, x = (tuple(line) for line in lines)
    return TilePlan(shape, tile, padding, (z, y, x), tuple(product(z, y, x)))


def _starts(size: int, tile: int, overlap: float) -> list[int]:
    if size == tile:
        return [0]
    step = max(int(tile * (1 - overlap)), 1)
    count = -(-(size - tile) // step) + 1
    return [min(k * step, size - tile) for k in range(count)]


def box_of(plan: TilePlan, start: Shape3) -> Box3:
    """Return the part of the volume, without padding, that the tile beginning at `start` shows."""
    z, y, x = (
        slice(max(first - before, 0), min(first - before + edge, size))
        for first, (before, _), edge, size in zip(start, plan.padding, plan.tile, plan.shape, strict=True)
    )
    return z, y, x


def only_tiles(plan: TilePlan, wanted: Callable[[Box3], bool]) -> TilePlan:
    """Return the plan with those of its tiles whose part of the volume, without padding, is wanted."""
    return replace(plan, starts=tuple(start for start in plan.starts if wanted(box_of(plan, start))))


def importance(tile: Sequence[int], device: torch.device) -> torch.Tensor:
    """Return the (z, y, x) float32 weights of a tile's voxels: a Gaussian with a sigma of an eighth of each edge."""
    from monai.data.utils import compute_importance_map

    weights: torch.Tensor = compute_importance_map(tuple(tile), mode="gaussian", sigma_scale=0.125, device=device)
    return weights


def cut(read: Callable[[Box3], torch.Tensor], plan: TilePlan, starts: Sequence[Shape3]) -> torch.Tensor:
    """Return (tile, channel, z, y, x) tiles of an image, with the plan's padding of zeros.

    Parameters
    ----------
    read : callable
        Returns the (channel, z, y, x) values of a part of the image, without padding.
    plan : TilePlan
        Where the tiles lie.
    starts : sequence of (z, y, x)
        First voxels of the tiles, as in the plan.
    """
    # A volume that is padded has one tile along that axis, so the padding is that of the plan.
    sides = [side for pad in reversed(plan.padding) for side in pad]
    tiles = [read(box_of(plan, start)) for start in starts]
    return torch.stack([torch.nn.functional.pad(tile, sides) for tile in tiles] if any(sides) else tiles)


@dataclass(frozen=True)
class TilingRule:
    """How tiles cover a volume and are blended; by default as MONAI does."""

    plan: Callable[[Sequence[int], Sequence[int], float], TilePlan] = plan_tiles
    """Volume, tile and overlap, as for `plan_tiles`, to the plan."""
    importance: Callable[[Sequence[int], torch.device], torch.Tensor] = importance
    """Tile and device, as for `importance`, to the positive (z, y, x) float32 weights."""
    nearest: tuple[bool, bool, bool] = (False, False, False)
    """Axes (z, y, x) along which logits take the nearest voxel of the network's grid, instead of a linear mixture, when
    they return to the image's grid."""


def rule_of(blending: str) -> TilingRule:
    """Return MONAI's rule for ``gaussian`` weights, or for ``constant`` ones."""
    return TilingRule(importance=_constant) if blending == "constant" else TilingRule()


def _constant(tile: Sequence[int], device: torch.device) -> torch.Tensor:
    return torch.ones(tuple(tile), device=device)
