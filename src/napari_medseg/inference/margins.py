"""What tiles share with later ones: the cells that their overlaps cut the volume into, and the sums over these."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_medseg.inference.scratch import temporary_folder

if TYPE_CHECKING:
    from pathlib import Path

    from napari_medseg.inference.tiling import TilePlan


FREE_BYTES = 1 << 26
"""Memory of finished sums that is kept to be used again."""


class Interval(NamedTuple):
    """A stretch of one axis of the padded volume that the same tiles share."""

    start: int
    stop: int

    def within(self, first: int) -> slice:
        """Return where it lies in something that begins at `first`."""
        return slice(self.start - first, self.stop - first)


Cell = tuple[Interval, Interval, Interval]


class Line:
    """The tiles along one axis: what each shares with others, and what is complete after it.

    Parameters
    ----------
    starts : tuple of int
        First voxel of each tile, rising.
    tile, size : int
        Voxels of a tile, and of the padded volume.
    longest : int, optional
        Voxels that an interval may have; by default any number.
    """

    def __init__(self, starts: tuple[int, ...], tile: int, size: int, longest: int | None = None) -> None:
        self.starts, self.tile = starts, tile
        self.stops = (*starts[1:], size)
        """End of the block that is complete after each tile."""
        shared = pairwise(sorted({*starts, *(start + tile for start in starts)}))
        whole = [Interval(n, min(n + (longest or b - a), b)) for a, b in shared for n in range(a, b, longest or b - a)]
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
    """Sums over cells that later tiles complete, in memory or, once settled, in files.

    Memory of finished cells is used again: to get and clear new memory takes longer than the sums themselves.
    """

    def __init__(self) -> None:
        self._here: dict[Cell, torch.Tensor] = {}
        self._stored: dict[Cell, tuple[Path, tuple[int, ...]]] = {}
        self._free: list[torch.Tensor] = []
        self._folder: Path | None = None

    def __contains__(self, cell: Cell) -> bool:
        return cell in self._here or cell in self._stored

    def room(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """Return a float32 tensor of any values."""
        size = math.prod(shape)
        for number, memory in enumerate(self._free):
            if memory.numel() == size:
                return self._free.pop(number).view(shape)
        return torch.empty(shape, device=device)

    def free(self, sums: torch.Tensor) -> None:
        """Take back memory that is no longer needed."""
        self._free.append(sums)
        # Of other sizes than are wanted now are the oldest.
        while sum(memory.nbytes for memory in self._free) > FREE_BYTES:
            del self._free[0]

    def take(self, cell: Cell) -> torch.Tensor | None:
        """Return the sums of a cell, and forget them; None if there are none."""
        if cell in self._stored:
            path, shape = self._stored.pop(cell)
            sums = self.room(shape, torch.device("cpu"))
            with path.open("rb") as file:
                file.readinto(sums.numpy().data.cast("B"))
            path.unlink()
            return sums
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
        sums.numpy().tofile(path)
        self._stored[cell] = path, tuple(sums.shape)
        self.free(sums)


def margins_of(plan: "TilePlan", classes: int) -> tuple[int, int, int]:
    """Return the bytes that tiles share with the next in their row, with later rows, and with later layers of rows."""
    _, height, width = plan.padded_shape
    z, y, x = (Line(*line) for line in zip(plan.lines, plan.tile, plan.padded_shape, strict=True))
    depth, rows, _ = plan.tile
    return (
        4 * classes * depth * rows * x.most_shared,
        4 * classes * depth * y.most_shared * width,
        4 * classes * z.most_shared * height * width,
    )
