"""Overlapping tiles become one volume of logits, block by block.

Every rounding is that of MONAI's ``sliding_window_inference``, but a block of the volume leaves as soon as no later
tile touches it. What is kept in between are the margins that tiles share with later ones, and of those only as much in
memory as was allowed; the others wait in files. So memory grows neither with the volume nor with its cross-section.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, product

import torch

from napari_medseg.inference.adding import Term, add
from napari_medseg.inference.margins import Cell, Interval, Line, Margins, margins_of
from napari_medseg.inference.tiling import Box3, Shape3, TilePlan, TilingRule

MARGIN_BYTES = 7 << 26
"""Margins in memory on the CPU; more wait in files."""
STRETCH = 32
"""Planes of a tile whose margins are in memory together where they wait in files."""
ROOM_BYTES = 1 << 28
"""Memory of a block that is kept for the next; more would stand beside what the network needs."""
WEIGHT_BYTES = 1 << 26
"""Sums of weights that are kept, since most blocks have the same."""
WORTH_COMPILING = 1 << 26
"""Logits of a volume from which compiled code, which takes a second to load, adds them up on the CPU."""
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
    room: "Room | None" = None
    """The memory that the logits are a part of, if there is room before them."""


@dataclass(frozen=True, eq=False)
class Room:
    """Memory of a block with voxels before it that are free to be filled."""

    values: torch.Tensor
    """(class, z, y, x) float32."""
    first: Shape3
    """Voxel of the volume without padding that the memory begins with; it may lie outside."""


@torch.inference_mode()
def as_background(block: Block) -> Block:
    """Return a block in which voxels of no tile are certainly background; changes the block's own logits."""
    if not block.whole and block.logits is not None:
        untouched = block.logits[:1].isnan()
        block.logits.masked_fill_(untouched, -CERTAIN)
        block.logits[:1].masked_fill_(untouched, 0.0)
    return block


@torch.inference_mode()
def to_probabilities(block: Block) -> None:
    """Turn the logits of a block into probabilities, in place, a plane at a time."""
    for plane in () if block.logits is None else block.logits.unbind(1):
        plane.copy_(plane.softmax(dim=0))


def background(shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
    """Return (class, z, y, x) logits that are certainly background."""
    logits = torch.full(tuple(shape), -CERTAIN, device=device)
    logits[0] = 0.0
    return logits


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
    halo : (z, y, x) tuple of int, optional
        Voxels before each block for which there should be room. The memory of a block is then used again for the next,
        so each has to be used before another tile is added. By default there is none, and each has its own memory.
    """

    def __init__(
        self,
        plan: TilePlan,
        classes: int,
        device: torch.device,
        rule: TilingRule | None = None,
        margin_bytes: int | None = None,
        halo: Shape3 | None = None,
    ) -> None:
        self._plan, self._classes, self._device = plan, classes, device
        self._weight = (rule or TilingRule()).importance(plan.tile, device)
        self._z, self._y, self._x = (
            Line(*line) for line in zip(plan.lines, plan.tile, plan.padded_shape, (STRETCH, None, None), strict=True)
        )
        rows, columns = (range(len(line)) for line in plan.lines[1:])
        self._waiting = product(range(len(plan.lines[0])), rows, columns)
        self._next: Shape3 | None = next(self._waiting, None)
        self._computed: set[Shape3] = set()
        self._margins = Margins()
        allowed = math.inf
        if device.type == "cpu":
            allowed = MARGIN_BYTES if margin_bytes is None else margin_bytes
        # What is needed last goes first.
        self._store_columns, self._store_rows, self._store_layers = (
            size > allowed for size in accumulate(margins_of(plan, classes))
        )
        self._weights: dict[tuple[tuple[int, ...], tuple[Shape3, ...]], torch.Tensor] = {}
        self._halo, self._memory = halo or (0, 0, 0), torch.empty(0, device=device)
        self._compiled = device.type == "cpu" and classes * math.prod(plan.shape) >= WORTH_COMPILING

    @staticmethod
    def memory_bytes(plan: TilePlan, classes: int) -> int:
        """Return the most bytes that a blender needs on a GPU: the margins, two tiles, and a block."""
        z, y, x = plan.tile
        return sum(margins_of(plan, classes)) + 3 * 4 * classes * z * y * x

    @torch.inference_mode()
    def _blend(self, place: Shape3, logits: torch.Tensor) -> Block:
        """Return the block that the tile at `place` completes. The logits are overwritten."""
        logits = logits.to(self._device, torch.float32)
        halo, (box, inner) = self._halo, self._boxes(place)
        total = self._sum_of_weights(place)
        # Without room before the block its sums can take the place of the tile's own values.
        room = self._room([n + more for n, more in zip(total.shape, halo, strict=True)]) if any(halo) else logits
        for interval in self._z.intervals[place[0]]:
            # A part at a time, so that not all margins of the tile are in memory at once.
            terms = self._terms(place, interval, room, total)
            self._add(logits, terms)
            for term in terms:
                if term.total is not None and term.before is not None:
                    self._margins.free(term.before)
            self._store(place, interval)
        self._next = next(self._waiting, None)
        own = tuple(slice(rows.start + more, rows.stop + more) for rows, more in zip(inner, halo, strict=True))
        start = (rows.start - a.start - more for rows, a, more in zip(box, inner, halo, strict=True))
        corner_z, corner_y, corner_x = start
        return Block(box, room[(slice(None), *own)], room=Room(room, (corner_z, corner_y, corner_x)))

    def _terms(self, place: Shape3, interval: Interval, room: torch.Tensor, total: torch.Tensor) -> list[Term]:
        """Return what the tile at a place adds to its cells in a stretch of z."""
        (z, y, x), first = place, self._start(place)
        block = set(product(self._z.blocks[z], self._y.blocks[y], self._x.blocks[x]))
        terms = []
        for cell in product((interval,), self._y.intervals[y], self._x.intervals[x]):
            part, before = _within(cell, first), self._margins.take(cell)
            if cell in block:
                at_z, at_y, at_x = (rows.start + more for rows, more in zip(part, self._halo, strict=True))
                terms.append(Term(part, before, room, (at_z, at_y, at_x), total))
                continue
            out = before
            if out is None:
                out = self._margins.room((self._classes, *(b - a for a, b in cell)), self._device)
            terms.append(Term(part, before, out, (0, 0, 0)))
            self._margins.put(cell, out)
        return terms

    def _add(self, tile: torch.Tensor, terms: list[Term]) -> None:
        if not self._compiled:
            add(tile, self._weight, terms)
            return
        from napari_medseg.inference.compiled_sums import add_compiled

        add_compiled(tile, self._weight, terms)

    def _room(self, shape: list[int]) -> torch.Tensor:
        """Return a (class, z, y, x) tensor of any values; memory that is new takes longer than the sums."""
        size = self._classes * math.prod(shape)
        if not len(self._memory) and 4 * size <= ROOM_BYTES:
            self._memory = torch.empty(size, device=self._device)
        # The last blocks of a line are larger; to keep as much for all of them would double what is needed.
        memory = self._memory[:size] if size <= len(self._memory) else torch.empty(size, device=self._device)
        return memory.view(self._classes, *shape)

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
            total = self._sum_of_weights(place)
            logits = torch.full((self._classes, *total.shape), torch.nan, device=self._device)
            for cell in known:
                sums = self._margins.take(cell)
                assert sums is not None
                part = _within(cell, first)
                logits[(slice(None), *part)] = sums / total[part]
                self._margins.free(sums)
        for interval in self._z.intervals[z]:
            self._store(place, interval)
        self._next = next(self._waiting, None)
        box, inner = self._boxes(place)
        return Block(box, None if logits is None else logits[(slice(None), *inner)], whole=len(known) == len(cells))

    def _boxes(self, place: Shape3) -> tuple[Box3, Box3]:
        """Return where a block without its padding lies on the volume, and in the block."""
        boxes, inner = [], []
        for line, n, (before, _), size in zip(self._lines, place, self._plan.padding, self._plan.shape, strict=True):
            start, stop = max(line.starts[n], before), min(line.stops[n], before + size)
            boxes.append(slice(start - before, stop - before))
            inner.append(slice(start - line.starts[n], stop - line.starts[n]))
        return (boxes[0], boxes[1], boxes[2]), (inner[0], inner[1], inner[2])

    def _sum_of_weights(self, place: Shape3) -> torch.Tensor:
        """Return the (z, y, x) sum of the weights of all tiles on a block; most blocks have the same."""
        z, y, x = first = self._start(place)
        shape = tuple(line.stops[n] - a for line, n, a in zip(self._lines, place, first, strict=True))
        touching = (line.touching[n] for line, n in zip(self._lines, place, strict=True))
        tiles = tuple((z - a, y - b, x - c) for a, b, c in product(*touching) if (a, b, c) in self._computed)
        if (shape, tiles) not in self._weights:
            total = torch.zeros(shape, device=self._device)
            if sum(kept.nbytes for kept in self._weights.values()) + total.nbytes > WEIGHT_BYTES:
                self._weights.clear()
            for tile in tiles:
                part = self._weight[tuple(slice(a, a + size) for a, size in zip(tile, shape, strict=True))]
                total[tuple(slice(0, size) for size in part.shape)] += part
            self._weights[shape, tiles] = total
        return self._weights[shape, tiles]

    def _store(self, place: Shape3, interval: Interval) -> None:
        """Store what later layers, rows and columns of tiles need of a stretch of z."""
        z, y, x = place
        if self._store_columns:
            after = [i for i in self._x.intervals[x] if i.start >= self._x.stops[x]]
            for cell in product((interval,), self._y.intervals[y], after):
                self._margins.settle(cell)
        if self._store_layers and interval.start >= self._z.stops[z]:
            for cell in product((interval,), self._y.blocks[y], self._x.blocks[x]):
                self._margins.settle(cell)
        if self._store_rows:
            later = [i for i in self._y.intervals[y] if i.start >= self._y.stops[y]]
            for cell in product((interval,), later, self._x.blocks[x]):
                self._margins.settle(cell)


def _within(cell: Cell, first: Shape3) -> Box3:
    z, y, x = (interval.within(a) for interval, a in zip(cell, first, strict=True))
    return z, y, x
