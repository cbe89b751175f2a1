"""Blocks of logits on the network's grid become parts of the image's grid, as soon as their neighbours are there."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise, product
from typing import Protocol

import torch

from napari_medseg.inference.blend import CERTAIN, Block, as_background, background, to_probabilities
from napari_medseg.inference.resample import Resampling
from napari_medseg.inference.tiling import Box3, Shape3, TilePlan
from napari_medseg.models import ModelSpec

LAYER = 32
"""Planes of the network's grid that are resampled together."""
GROUP = 6
"""Classes that are interpolated together. Where more have to be compared, that is done in float32."""
WORTH_COMPILING = 1 << 26
"""Logits on the image's grid from which compiled code, which takes a second to load, finds the winners on the CPU."""
TINY = 1e-30
"""Probability that takes the place of zero, whose logarithm is no number."""
EDGE = 32
"""Voxels along the edges of a piece of the image's grid in which all classes are looked at together."""


def strongest(logits: torch.Tensor) -> torch.Tensor:
    """Return the index of the class with the largest logit, the first of equals, of (class, ...) logits."""
    if logits.device.type != "cpu" or logits.stride(0) == 1:
        return logits.argmax(dim=0)
    return strongest_of(logits, len(logits))


def strongest_of(classes: Iterable[torch.Tensor], count: int) -> torch.Tensor:
    """Return the number of the largest of `count` arrays, the first of equals; faster than argmax across memory."""
    best: torch.Tensor | None = None
    for index, values in enumerate(classes):
        if best is None:
            best = values.clone()
            winners = torch.zeros_like(best, dtype=torch.uint8 if count <= 256 else torch.int16)
        else:
            winners.masked_fill_(values > best, index)
            torch.maximum(best, values, out=best)
    return winners


def last_positive(logits: torch.Tensor) -> torch.Tensor:
    """Return one more than the index of the last positive logit, 0 where there is none, of (region, ...) logits."""
    winners = torch.zeros(logits.shape[1:], dtype=torch.int16, device=logits.device)
    for index, values in enumerate(logits, start=1):
        winners.masked_fill_(values > 0, index)
    return winners


def winners_of(spec: ModelSpec) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return how (output, ...) logits become (...) class indices."""
    return last_positive if spec.output == "regions" else strongest


class Part(Protocol):
    """Logits on a part of the image's grid."""

    @property
    def box(self) -> Box3:
        """Where the part lies."""
        ...

    def winners(self) -> torch.Tensor | None:
        """Return the (z, y, x) class indices of the largest logits; None where that is background everywhere."""
        ...

    def pieces(self) -> Iterator[tuple[Box3, torch.Tensor]]:
        """Yield small boxes of the image's grid and their (class, z, y, x) float32 logits."""
        ...


class SameGrid:
    """A block that needs no resampling."""

    def __init__(self, block: Block, spec: ModelSpec) -> None:
        self.box, self._spec = block.box, spec
        self._logits = as_background(block).logits

    def winners(self) -> torch.Tensor | None:
        """Return the (z, y, x) class indices of the largest logits; None where that is background everywhere."""
        return None if self._logits is None else winners_of(self._spec)(self._logits)

    def pieces(self) -> Iterator[tuple[Box3, torch.Tensor]]:
        """Yield small boxes of the image's grid and their (class, z, y, x) float32 logits."""
        for piece in pieces_of(self.box):
            if self._logits is None:
                yield piece, background((self._spec.outputs, *(rows.stop - rows.start for rows in piece)))
            else:
                own = (slice(p.start - b.start, p.stop - b.start) for p, b in zip(piece, self.box, strict=True))
                yield piece, self._logits[(slice(None), *own)]


class OtherGrid:
    """A part whose logits are interpolated between those of the network's grid.

    Parameters
    ----------
    box : Box3
        Where it lies on the image's grid.
    source : (class, z, y, x) tensor or None
        Logits on the network's grid; None if they are background everywhere.
    first : (z, y, x) sequence of int
        Voxel of the network's grid that `source` begins with.
    resampling : Resampling
        From the network's to the image's grid.
    spec : ModelSpec
        How logits become classes.
    """

    def __init__(
        self, box: Box3, source: torch.Tensor | None, first: Sequence[int], resampling: Resampling, spec: ModelSpec
    ) -> None:
        self.box, self._spec = box, spec
        large = spec.outputs * math.prod(resampling.target_shape) >= WORTH_COMPILING
        self._compiled = large and resampling.separable and spec.output != "regions"
        self._source, self._first, self._resampling = source, tuple(first), resampling

    def winners(self) -> torch.Tensor | None:
        """Return the (z, y, x) class indices; None where that is background everywhere."""
        if self._source is None:
            return None
        if self._compiled and self._source.device.type == "cpu":
            return self._compiled_winners(self._source)
        shape = tuple(rows.stop - rows.start for rows in self.box)
        winners = torch.zeros(shape, dtype=torch.int16, device=self._source.device)
        threads = torch.get_num_threads()
        try:
            # Pieces are so small that threads would mostly wait for each other.
            torch.set_num_threads(1)
            for piece in pieces_of(self.box):
                own = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(piece, self.box, strict=True))
                winners[own] = self._winners_of(self._source, piece)
        finally:
            torch.set_num_threads(threads)
        return winners

    def _compiled_winners(self, source: torch.Tensor) -> torch.Tensor:
        from napari_medseg.inference.winners import EDGES, Axis, winners_between

        z, y, x = (
            Axis.of(weights.lower[rows], weights.upper[rows], weights.weight[rows], first, edge)
            for weights, rows, first, edge in zip(self._resampling.weights, self.box, self._first, EDGES, strict=True)
        )
        return torch.from_numpy(winners_between(source.contiguous().numpy(), (z, y, x), torch.get_num_threads()))

    def _winners_of(self, source: torch.Tensor, piece: Box3) -> torch.Tensor:
        """Return the (z, y, x) class indices of a piece, from the few classes that can be the largest somewhere in it.

        An interpolated logit lies between the smallest and the largest of its neighbours, so a class whose largest
        logit around the piece is below the smallest logit of another never wins.
        """
        if self._spec.output == "regions":
            return last_positive(self._resampling.values(source, self._first, piece))
        needed = self._resampling.source_box(piece)
        around = source[
            (slice(None), *(slice(n.start - a, n.stop - a) for n, a in zip(needed, self._first, strict=True)))
        ]
        around = around.contiguous()
        smallest, largest = around.flatten(1).aminmax(dim=1)
        able = (largest >= smallest.max()).nonzero().flatten()
        if len(able) == 1:
            return able.view(1, 1, 1)
        begin = [n.start for n in needed]
        # Few at a time, or most of the time goes into memory that is new each time.
        exact = len(able) <= GROUP
        groups = (self._resampling.values(around[some], begin, piece, exact) for some in torch.split(able, GROUP))
        return able[strongest_of(chain.from_iterable(groups), len(able)).long()]

    def pieces(self) -> Iterator[tuple[Box3, torch.Tensor]]:
        """Yield small boxes of the image's grid and their (class, z, y, x) float32 logits."""
        for piece in pieces_of(self.box):
            if self._source is None:
                yield piece, background((self._spec.outputs, *(rows.stop - rows.start for rows in piece)))
            else:
                values = self._resampling.values(self._source, self._first, piece)
                yield piece, values.clamp_(min=TINY).log_() if self._spec.interpolated == "probabilities" else values


def pieces_of(box: Box3) -> Iterator[Box3]:
    """Yield boxes of at most `EDGE` voxels along each axis that cover a box."""
    lines = [[slice(a, min(a + EDGE, rows.stop)) for a in range(rows.start, rows.stop, EDGE)] for rows in box]
    yield from product(lines[0], lines[1], lines[2])


def halo_of(resampling: Resampling) -> Shape3:
    """Return how many voxels before a block are needed together with it, along (z, y, x)."""
    z, y, x = (int((upper - lower).max()) for lower, upper in resampling.needs)
    return z, y, x


class ToImageGrid:
    """Turns blocks on the network's grid, in the order of the plan, into parts that cover the image's grid once.

    Parameters
    ----------
    plan : TilePlan
        Where the blocks lie.
    spec : ModelSpec
        How logits become classes.
    resampling : Resampling
        From the network's to the image's grid.
    """

    def __init__(self, plan: TilePlan, spec: ModelSpec, resampling: Resampling) -> None:
        self._spec, self._resampling = spec, resampling
        self.halo = halo_of(resampling)
        self._probabilities = spec.interpolated == "probabilities"
        self._ready: list[dict[int, int]] = []
        """Along each axis, for each block's end, how many voxels of the image's grid have all that they need."""
        for (_, upper), line, (before, _), size in zip(
            resampling.needs, plan.lines, plan.padding, plan.shape, strict=True
        ):
            stops = [*(start - before for start in line[1:]), size]
            stops += range(0, size, LAYER)
            self._ready.append({stop: int((upper < stop).sum()) for stop in stops})
        self._above: dict[tuple[int, int], torch.Tensor | None] = {}
        """Last planes above, by where their rows and columns begin; None for background."""
        self._behind: dict[tuple[int, int], torch.Tensor | None] = {}
        """Last rows of the blocks in the row behind, by where their planes and columns begin."""
        self._beside: dict[int, torch.Tensor | None] = {}
        """Last columns of the block before, unless that was in another row, by where their planes begin."""

    def add(self, block: Block) -> Iterator[OtherGrid]:
        """Take the next block and yield the parts of the image's grid that it completes; some may be empty.

        A part is to be used before the next is taken.
        """
        planes, rows, columns = block.box
        block = as_background(block)
        if self._probabilities:
            to_probabilities(block)
        if rows.start == 0:
            self._behind = {key: part for key, part in self._behind.items() if key[1] < columns.start}
        if columns.start == 0:
            self._beside = {}
        cuts = [planes.start, *range(planes.start // LAYER * LAYER + LAYER, planes.stop, LAYER), planes.stop]
        for start, stop in pairwise(cuts):
            yield self._part(block, (slice(start, stop), rows, columns))

    @torch.inference_mode()
    def _part(self, block: Block, box: Box3) -> OtherGrid:
        z, y, x = (slice(ready[rows.start], ready[rows.stop]) for ready, rows in zip(self._ready, box, strict=True))
        plane, row, column = (rows.start for rows in box)
        before = (self._above.get((row, column)), self._behind.get((plane, column)), self._beside.get(plane))
        halo = [min(rows.start, more) for rows, more in zip(box, self.halo, strict=True)]
        if block.logits is None and all(part is None for part in before):
            known, source, first = None, None, (0, 0, 0)
        else:
            known, source, first = self._extended(block, before, box, halo)
        depth, height, width = self.halo
        y_own, x_own = halo[1:]
        self._above[row, column] = None if known is None else known[:, _last(depth), y_own:, x_own:].clone()
        self._behind[plane, column] = None if known is None else known[:, :, _last(height), x_own:].clone()
        self._beside[plane] = None if known is None else known[..., _last(width)].clone()
        return OtherGrid((z, y, x), source, first, self._resampling, self._spec)

    def _extended(
        self, block: Block, before: Sequence[torch.Tensor | None], box: Box3, halo: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, Shape3]:
        """Return logits with the voxels before them, and the memory they are in with the voxel that it begins with."""
        z, y, x = (rows.start - more for rows, more in zip(box, halo, strict=True))
        shape = [rows.stop - a for rows, a in zip(box, (z, y, x), strict=True)]
        planes = slice(box[0].start - block.box[0].start, box[0].stop - block.box[0].start)
        logits = None if block.logits is None else block.logits[:, planes]
        room = None if block.logits is None or block.logits.device.type == "mps" else block.room
        if room is not None and all(a <= b for a, b in zip(room.first, (z, y, x), strict=True)):
            source, first = room.values, room.first
            corner = tuple(slice(a - b, a - b + n) for a, b, n in zip((z, y, x), first, shape, strict=True))
            known = source[(slice(None), *corner)]
        else:
            # There is no float64 on Apple's GPU.
            logits = logits.cpu() if logits is not None and logits.device.type == "mps" else logits
            example = next(part for part in (logits, *before) if part is not None)
            known = source = example.new_empty((self._spec.outputs, *shape))
            first = (z, y, x)
            own = known[:, halo[0] :, halo[1] :, halo[2] :]
            own.copy_(background(own.shape, own.device) if logits is None else logits)
        _fill_before(known, before, halo)
        return known, source, first


def _fill_before(known: torch.Tensor, before: Sequence[torch.Tensor | None], halo: Sequence[int]) -> None:
    """Write down the planes above, the rows behind and the columns beside; background where there are none."""
    z, y, x = halo
    for target, part in zip((known[:, :z, y:, x:], known[:, :, :y, x:], known[..., :x]), before, strict=True):
        if part is None:
            target.fill_(-CERTAIN)[:1] = 0.0
        else:
            target.copy_(part)


def _last(count: int) -> slice:
    return slice(-count, None) if count else slice(0, 0)
