"""Overlapping tiles over a volume, blended with a Gaussian, slab by slab.

Order of tiles, weights and every rounding are those of MONAI's ``sliding_window_inference``, but finished planes leave
as soon as no later tile touches them, so memory grows with one row of tiles and not with the volume.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch

Shape3 = tuple[int, int, int]


@dataclass(frozen=True)
class TilePlan:
    """Where tiles lie on a volume that is padded with zeros to hold at least one."""

    shape: Shape3
    """Voxels of the volume along (z, y, x)."""
    tile: Shape3
    """Voxels of a tile along (z, y, x)."""
    padding: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    """Voxels added before and after, along (z, y, x)."""
    starts: tuple[Shape3, ...]
    """First voxel of each tile on the padded volume, in the order of computation: z outermost."""

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
    starts = tuple((a, b, c) for a, b, c in product(*lines))
    return TilePlan((z, y, x), (dz, dy, dx), (pad_z, pad_y, pad_x), starts)


def _starts(size: int, tile: int, overlap: float) -> list[int]:
    if size == tile:
        return [0]
    step = max(int(tile * (1 - overlap)), 1)
    count = -(-(size - tile) // step) + 1
    return [min(k * step, size - tile) for k in range(count)]


def without_air(plan: TilePlan, matter: torch.Tensor) -> TilePlan:
    """Return the plan without the tiles that hold no voxel of `matter`, a (z, y, x) bool volume without padding."""
    kept = []
    for start in plan.starts:
        box = (
            slice(max(first - before, 0), first - before + size)
            for first, (before, _), size in zip(start, plan.padding, plan.tile, strict=True)
        )
        if matter[tuple(box)].any():
            kept.append(start)
    return replace(plan, starts=tuple(kept))


def importance(tile: Sequence[int], device: torch.device) -> torch.Tensor:
    """Return the (z, y, x) float32 weights of a tile's voxels: a Gaussian with a sigma of an eighth of each edge."""
    from monai.data.utils import compute_importance_map

    weights: torch.Tensor = compute_importance_map(tuple(tile), mode="gaussian", sigma_scale=0.125, device=device)
    return weights


def pad_to_plan(image: torch.Tensor, plan: TilePlan) -> torch.Tensor:
    """Return the (channel, z, y, x) volume with the plan's padding of zeros."""
    sides = [side for pad in reversed(plan.padding) for side in pad]
    return torch.nn.functional.pad(image, sides) if any(sides) else image


def cut(padded: torch.Tensor, starts: Sequence[Shape3], tile: Shape3) -> torch.Tensor:
    """Return the (tile, channel, z, y, x) tiles that begin at `starts` of a padded (channel, z, y, x) volume."""
    boxes = [tuple(slice(a, a + n) for a, n in zip(start, tile, strict=True)) for start in starts]
    return torch.stack([padded[(slice(None), *box)] for box in boxes])


@dataclass(frozen=True, eq=False)
class Slab:
    """Blended planes that are complete."""

    start: int
    """Index of the first plane along z, on the volume without padding."""
    logits: torch.Tensor
    """(class, plane, y, x) float32."""


CERTAIN = 30.0
"""By how much the logit of background exceeds the others where no tile was computed."""


def as_background(slab: Slab) -> Slab:
    """Return a slab in which voxels that no tile touched are certainly background; changes the slab's own logits."""
    untouched = slab.logits[:1].isnan()
    slab.logits.masked_fill_(untouched, -CERTAIN)
    slab.logits[:1].masked_fill_(untouched, 0.0)
    return slab


class SlabBlender:
    """Adds weighted tiles up, and gives each plane away once no later tile can touch it.

    Tiles have to come in the order of the plan. Voxels that no tile touched have logits that are nan (0 / 0).

    Parameters
    ----------
    plan : TilePlan
        Where the tiles lie.
    classes : int
        Channels of the network's output.
    device : torch.device
        Where the sums are kept.
    """

    def __init__(self, plan: TilePlan, classes: int, device: torch.device) -> None:
        self._plan = plan
        _, height, width = plan.padded_shape
        self._sums = torch.zeros((classes, plan.tile[0], height, width), device=device)
        self._weights = torch.zeros((1, plan.tile[0], height, width), device=device)
        self._weight = importance(plan.tile, device)
        self._base = 0

    @staticmethod
    def memory_bytes(plan: TilePlan, classes: int) -> int:
        """Return the most bytes that a blender needs: the sums, and as much again while planes leave."""
        _, height, width = plan.padded_shape
        return 2 * 4 * (classes + 1) * plan.tile[0] * height * width

    def add(self, start: Shape3, logits: torch.Tensor) -> Iterator[Slab]:
        """Blend one tile in, after yielding the planes before it that are complete.

        Parameters
        ----------
        start : (z, y, x) tuple of int
            As in the plan.
        logits : (class, z, y, x) tensor
            The network's output for the tile.
        """
        yield from self._give_until(start[0])
        _, y, x = start
        _, height, width = self._plan.tile
        box = (slice(None), slice(None), slice(y, y + height), slice(x, x + width))
        self._sums[box] += logits.to(self._sums.device, torch.float32) * self._weight
        self._weights[box] += self._weight

    def finish(self) -> Iterator[Slab]:
        """Yield the remaining planes."""
        yield from self._give_until(self._plan.padded_shape[0])

    def _give_until(self, base: int) -> Iterator[Slab]:
        while self._base < base:
            yield from self._give(min(base - self._base, self._plan.tile[0]))

    def _give(self, count: int) -> Iterator[Slab]:
        (before, _), (top, _), (left, _) = self._plan.padding
        depth, height, width = self._plan.shape
        first = max(self._base, before)
        stop = min(self._base + count, before + depth)
        if stop > first:
            rows = slice(first - self._base, stop - self._base)
            box = (slice(None), rows, slice(top, top + height), slice(left, left + width))
            yield Slab(first - before, self._sums[box] / self._weights[box])
        for sums in (self._sums, self._weights):
            kept = sums[:, count:].clone()
            sums[:, : kept.shape[1]] = kept
            sums[:, kept.shape[1] :] = 0
        self._base += count
