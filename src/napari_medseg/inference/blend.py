"""Overlapping tiles become one volume of logits, block by block.

Every rounding is that of MONAI's ``sliding_window_inference``, but a block of the volume leaves as soon as no later
tile touches it. What is kept in between are the margins that tiles share with later ones, and of those only as much in
memory as was allowed; the others wait in files. So memory grows neither with the volume nor with its cross-section.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_medseg.inference.scratch import temporary_folder
from napari_medseg.inference.tiling import Box3, Shape3, TilePlan, TilingRule

if TYPE_CHECKING:
    from pathlib import Path

MARGIN_BYTES = 1 << 30
"""Margins in memory on the CPU; more wait in files."""
KEPT_WEIGHTS = 32
"""Sums of weights that are kept, since most blocks have the same."""
CERTAIN = 30.0
"""By how much the logit of background exceeds the others where no tile was computed."""


@dataclass(frozen=True, eq=False)
class Block:
    """A part of the volume that is complete. Blocks come in the order of the plan and cover the volume once."""

    box: Box3
    """Where it lies on the volume without padding."""
    logits: torch.Tensor | None
    """(class, z, y, x) float32, nan where no tile was computed; None if that is everywhere."""
    whole: bool = True
    """Whether every voxel was computed."""


@torch.inference_mode()
def as_background(block: Block) -> Block:
    """Return a block in which voxels of no tile are certainly background; changes the block's own logits."""
    if not block.whole and block.logits is not None:
        untouched = block.logits[:1].isnan()
        block.logits.masked_fill_(untouched, -CERTAIN)
        block.logits[:1].masked_fill_(untouched, 0.0)
    return block


class Interval(NamedTuple):
    """A stretch of one axis of the padded volume that the same tiles share."""

    start: int
    stop: int

    def within(self, first: int) -> slice:
        """Return where it lies in something that begins at `first`."""
        return slice(self.start - first, self.stop - first)


Cell = tuple[Interval, Interval, Interval]


class Line:
    """The tiles along one axis: what each shares with others, and what is complete after it."""

    def __init__(self, starts: tuple[int, ...], tile: int, size: int) -> None:
        self.starts, self.tile = starts, tile
        self.stops = (*starts[1:], size)
        """End of the block that is complete after each tile."""
        cuts = sorted({*starts, *(start + tile for start in starts)})
        whole = [Interval(a, b) for a, b in pairwise(cuts)]
        self.intervals = [[i for i in whole if start <= i.start < start + tile] for start in starts]
        """What each tile consists of."""
        spans = list(zip(starts, self.stops, strict=True))
        self.blocks = [[i for i in whole if start <= i.start < stop] for start, stop in spans]
        """What each block consists of."""
        self.touching = [[a for a in starts if a < stop and a + tile > start] for start, stop in spans]
        """Starts of the tiles that lie on each block, rising."""
        self.index = {start: number for number, start in enumerate(starts)}
        self.most_shared = max([a + tile - b for a, b in pairwise(starts)], default=0)
        """Most voxels that a tile shares with the next."""


class Margins:
    """Sums over cells that later tiles complete, in memory or, once settled, in files."""

    def __init__(self) -> None:
        self._here: dict[Cell, torch.Tensor] = {}
        self._stored: dict[Cell, tuple[Path, tuple[int, ...]]] = {}
        self._folder: Path | None = None

    def __contains__(self, cell: Cell) -> bool:
        return cell in self._here or cell in self._stored

    def take(self, cell: Cell) -> torch.Tensor | None:
        """Return the sums of a cell, and forget them; None if there are none."""
        if cell in self._stored:
            path, shape = self._stored.pop(cell)
            values = np.fromfile(path, dtype=np.float32).reshape(shape)
            path.unlink()
            return torch.from_numpy(values)
        return self._here.pop(cell, None)

    def put(self, cell: Cell, sums: torch.Tensor) -> None:
        """Keep the sums of a cell."""
        self._here[cell] = sums

    def settle(self, cell: Cell) -> None:
        """Move a cell that is not needed for a while to a file."""
        sums = self._here.pop(cell, None)
        if sums is None:
            return
        if self._folder is None:
            self._folder = temporary_folder(self)
        path = self._folder / "-".join(str(interval.start) for interval in cell)
        sums.contiguous().numpy().tofile(path)
        self._stored[cell] = path, tuple(sums.shape)


class Blender:
    """Adds weighted tiles up, and gives each block away once no later tile can touch it.

    Tiles have to come in the order of the plan; those that it names but that do not come are left out.

    Parameters
    ----------
    plan : TilePlan
        Where the tiles lie.
    classes : int
        Channels of the network's output.
    device : torch.device
        Where the sums are kept.
    rule : TilingRule
        Weights of a tile's voxels.
    margin_bytes : int, optional
        What may be kept in memory between tiles, if `device` is the CPU; `MARGIN_BYTES` by default.
    """

    def __init__(
        self,
        plan: TilePlan,
        classes: int,
        device: torch.device,
        rule: TilingRule | None = None,
        margin_bytes: int | None = None,
    ) -> None:
        self._plan, self._classes, self._device = plan, classes, device
        self._weight = (rule or TilingRule()).importance(plan.tile, device)
        self._z, self._y, self._x = (Line(*line) for line in zip(plan.lines, plan.tile, plan.padded_shape, strict=True))
        rows, columns = (range(len(line)) for line in plan.lines[1:])
        self._waiting = product(range(len(plan.lines[0])), rows, columns)
        self._next: Shape3 | None = next(self._waiting, None)
        self._computed: set[Shape3] = set()
        self._margins = Margins()
        between_rows, between_layers = margins_of(plan, classes)
        allowed = MARGIN_BYTES if margin_bytes is None else margin_bytes
        self._store_layers = device.type == "cpu" and between_rows + between_layers > allowed
        self._store_rows = device.type == "cpu" and between_rows > allowed
        self._weights: dict[tuple[tuple[int, ...], tuple[Shape3, ...]], torch.Tensor] = {}

    @staticmethod
    def memory_bytes(plan: TilePlan, classes: int) -> int:
        """Return the most bytes that a blender needs on a GPU: the margins, and two tiles."""
        z, y, x = plan.tile
        return sum(margins_of(plan, classes)) + 2 * 4 * classes * z * y * x

    @torch.inference_mode()
    def _blend(self, place: Shape3, logits: torch.Tensor) -> Block:
        """Return the block that the tile at `place` completes. The logits are overwritten."""
        logits = logits.to(self._device, torch.float32).mul_(self._weight)
        first = self._start(place)
        z, y, x = place
        block = set(product(self._z.blocks[z], self._y.blocks[y], self._x.blocks[x]))
        for cell in product(self._z.intervals[z], self._y.intervals[y], self._x.intervals[x]):
            part = logits[(slice(None), *(i.within(a) for i, a in zip(cell, first, strict=True)))]
            before = self._margins.take(cell)
            if cell in block:
                if before is not None:
                    part += before
            else:
                self._margins.put(cell, part.clone() if before is None else before.add_(part))
        inside = tuple(slice(0, line.stops[n] - a) for line, n, a in zip(self._lines, place, first, strict=True))
        self._advance(place)
        return self._finished(place, logits[(slice(None), *inside)], whole=True)

    @property
    def _lines(self) -> tuple[Line, Line, Line]:
        return self._z, self._y, self._x

    def _start(self, place: Shape3) -> Shape3:
        z, y, x = (line.starts[n] for line, n in zip(self._lines, place, strict=True))
        return z, y, x

    def add(self, start: Shape3, logits: torch.Tensor) -> Iterator[Block]:
        """Blend one tile in, and yield the blocks that are then complete.

        Parameters
        ----------
        start : (z, y, x) tuple of int
            As in the plan.
        logits : (class, z, y, x) tensor
            The network's output for the tile; overwritten.
        """
        place = (self._z.index[start[0]], self._y.index[start[1]], self._x.index[start[2]])
        while self._next is not None and self._next < place:
            yield self._left_out(self._next)
        self._computed.add(start)
        yield self._blend(place, logits)

    def finish(self) -> Iterator[Block]:
        """Yield the remaining blocks."""
        while self._next is not None:
            yield self._left_out(self._next)

    @torch.inference_mode()
    def _left_out(self, place: Shape3) -> Block:
        """Return the block at a place whose tile is not computed."""
        z, y, x = place
        cells = list(product(self._z.blocks[z], self._y.blocks[y], self._x.blocks[x]))
        first, logits = self._start(place), None
        known = [cell for cell in cells if cell in self._margins]
        if known:
            shape = (line.stops[n] - line.starts[n] for line, n in zip(self._lines, place, strict=True))
            logits = torch.full((self._classes, *shape), torch.nan, device=self._device)
            for cell in known:
                box = (slice(None), *(i.within(a) for i, a in zip(cell, first, strict=True)))
                sums = self._margins.take(cell)
                assert sums is not None
                logits[box] = sums
        self._advance(place)
        return self._finished(place, logits, whole=len(known) == len(cells))

    def _finished(self, place: Shape3, sums: torch.Tensor | None, whole: bool) -> Block:
        """Return a block, divided by its weights and without padding."""
        boxes, inner = [], []
        for line, n, (before, _), size in zip(self._lines, place, self._plan.padding, self._plan.shape, strict=True):
            start, stop = max(line.starts[n], before), min(line.stops[n], before + size)
            boxes.append(slice(start - before, stop - before))
            inner.append(slice(start - line.starts[n], stop - line.starts[n]))
        box = (boxes[0], boxes[1], boxes[2])
        if sums is None:
            return Block(box, None, whole=False)
        touching = (line.touching[n] for line, n in zip(self._lines, place, strict=True))
        z, y, x = self._start(place)
        tiles = tuple((z - a, y - b, x - c) for a, b, c in product(*touching) if (a, b, c) in self._computed)
        sums /= self._sum_of_weights(tuple(sums.shape[1:]), tiles)
        return Block(box, sums[(slice(None), *inner)], whole)

    def _sum_of_weights(self, shape: tuple[int, ...], tiles: tuple[Shape3, ...]) -> torch.Tensor:
        """Return the (z, y, x) sum of the weights of tiles that begin so many voxels before the block."""
        if (shape, tiles) not in self._weights:
            if len(self._weights) >= KEPT_WEIGHTS:
                self._weights.clear()
            total = torch.zeros(shape, device=self._device)
            for tile in tiles:
                part = self._weight[tuple(slice(a, a + size) for a, size in zip(tile, shape, strict=True))]
                total[tuple(slice(0, size) for size in part.shape)] += part
            self._weights[shape, tiles] = total
        return self._weights[shape, tiles]

    def _advance(self, place: Shape3) -> None:
        """Store what later layers and rows of tiles need, and go on to the next place."""
        z, y, x = place
        if self._store_layers:
            later = [i for i in self._z.intervals[z] if i.start >= self._z.stops[z]]
            for cell in product(later, self._y.blocks[y], self._x.blocks[x]):
                self._margins.settle(cell)
        if self._store_rows:
            later = [i for i in self._y.intervals[y] if i.start >= self._y.stops[y]]
            for cell in product(self._z.intervals[z], later, self._x.blocks[x]):
                self._margins.settle(cell)
        self._next = next(self._waiting, None)


def margins_of(plan: TilePlan, classes: int) -> tuple[int, int]:
    """Return the bytes that tiles share with later rows, and with later layers of rows."""
    _, height, width = plan.padded_shape
    z, y, _ = (Line(*line) for line in zip(plan.lines, plan.tile, plan.padded_shape, strict=True))
    return (
        4 * classes * plan.tile[0] * y.most_shared * width,
        4 * classes * z.most_shared * height * width,
    )
