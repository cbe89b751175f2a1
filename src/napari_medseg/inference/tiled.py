"""A network over a whole image, tile by tile, within the memory there is."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.device import release_memory
from napari_medseg.heap import LARGEST_KEPT, kept_memory
from napari_medseg.inference.blend import Blender, Block
from napari_medseg.inference.decode import Decoder
from napari_medseg.inference.feed import tiles_for
from napari_medseg.inference.network import Batches, Runner, TileTooLarge, is_out_of_memory
from napari_medseg.inference.options import PredictOptions, own_overlap
from napari_medseg.inference.preprocess import ModelGrid
from napari_medseg.inference.recipe import Job, Recipe, choose, cooked
from napari_medseg.inference.region import region_mask, touches
from napari_medseg.inference.resample import Resampling
from napari_medseg.inference.tiling import Shape3, TilePlan, TilingRule, cut, only_tiles
from napari_medseg.inference.unblock import Part, SameGrid, ToImageGrid, halo_of
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import tiles_at_once
from napari_medseg.models.design import SKETCH
from napari_medseg.models.registry import edge_divisor
from napari_medseg.prediction import Output
from napari_medseg.progress import Control, Event, Note, Progress, with_time_left

STAGE = "Predicting"
SMALLEST_EDGE = 16
"""Voxels below which a tile is not made smaller."""


@dataclass(frozen=True, eq=False)
class Computed:
    """What came out, and how."""

    outputs: tuple[Output, ...]
    """On the image's own grid."""
    recipe: Recipe
    tile: Shape3
    """Voxels of a tile along (z, y, x)."""
    tiles: int
    """How many were computed."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image, the network for it, and what is wanted."""

    grid: ModelGrid
    spec: ModelSpec
    network: nn.Module
    options: PredictOptions
    rule: TilingRule
    resampling: Resampling | None
    region: NDArray[np.bool_] | None

    @classmethod
    def of(
        cls, grid: ModelGrid, spec: ModelSpec, network: nn.Module, options: PredictOptions, rule: TilingRule
    ) -> "Image":
        """Return what follows from the image and the options.

        Raises
        ------
        ConfigError, DataError
            If the region does not fit the image.
        """
        resampling = None
        if grid.resampled and grid.geometry is not None and grid.placement.native is not None:
            resampling = Resampling(grid.geometry, grid.placement.native, rule.nearest)
        region = (
            None if options.region is None else region_mask(options.region, grid.placement.shape, grid.placement.own)
        )
        return cls(grid, spec, network, options, rule, resampling, region)

    def plan(self, tile: Shape3) -> TilePlan:
        """Return the tiles to compute: neither air nor outside of the region."""
        plan = self.rule.plan(self.grid.shape, tile, own_overlap(self.spec, self.options))
        if self.options.skip_air and self.grid.has_matter is not None:
            plan = only_tiles(plan, self.grid.has_matter)
        if self.region is not None:
            plan = only_tiles(plan, touches(self.region, self.grid.placement, self.resampling))
        return plan

    def parts(self, plan: TilePlan) -> Callable[[Block], Iterable[Part]]:
        """Return how blocks become parts of the image's own grid."""
        if self.resampling is not None:
            return ToImageGrid(plan, self.spec, self.resampling).add
        return lambda block: (SameGrid(block, self.spec),)

    def job(self, plan: TilePlan) -> Job:
        """Return the work as a whole."""
        device = next(self.network.parameters()).device
        run = Runner(self.network, device, planar=self.spec.dims == 2, flip_axes=self.options.flip_axes)
        middle = plan.starts[len(plan.starts) // 2 :][:1]
        z, y, x = plan.tile
        sample = lambda: cut(self.grid.read, plan, middle)  # noqa: E731
        return Job(run, len(plan.starts), sample, z * y * x, tiles_at_once(self.spec))


@dataclass(frozen=True)
class Room:
    """What memory allows."""

    tile: Shape3
    sums_on_cpu: bool = False


def compute(image: Image, control: Control) -> Generator[Event, None, Computed]:
    """Predict on an image; when memory is too small, go on with less.

    Raises
    ------
    DeviceError
        If there is not enough memory for the smallest tile.
    """
    room = Room(tile_of(image.spec, image.grid.shape))
    while True:
        try:
            with kept_memory() if _is_small(room.tile, image.spec) else nullcontext():
                return (yield from _attempt(image, room, control))
        except (RuntimeError, MemoryError, TileTooLarge) as error:
            if not (isinstance(error, TileTooLarge) or is_out_of_memory(error)):
                raise
            reason = error if isinstance(error, TileTooLarge) else None
            device = next(image.network.parameters()).device
            smaller = _less(room, image.spec, device, sums=reason is None)
            if smaller is None:
                raise
        # Only now that the error is gone are its frames, and the tensors in them.
        del reason
        release_memory(device)
        room = smaller
        size = " x ".join(str(n) for n in room.tile if n > 1)
        where = ", adding them up on the CPU" if room.sums_on_cpu else ""
        yield Note(f"Memory ran short on {device}; starting again with tiles of {size} voxels{where}.", "warning")


def _is_small(tile: Shape3, spec: ModelSpec) -> bool:
    """Return whether the logits of a tile leave room for memory that is kept; larger ones take what there is."""
    return 4 * spec.outputs * math.prod(tile) <= LARGEST_KEPT


def _less(room: Room, spec: ModelSpec, device: torch.device, sums: bool) -> Room | None:
    """Return what needs less memory: sums elsewhere if those were too large, else half a tile; None if nothing does."""
    if sums and device.type != "cpu" and not room.sums_on_cpu:
        return replace(room, sums_on_cpu=True)
    divisor = edge_divisor(spec)
    fitting = [
        axis
        for axis, (edge, factor) in enumerate(zip(room.tile, divisor, strict=True))
        if edge // 2 >= SMALLEST_EDGE and edge % 2 == 0 and (edge // 2) % factor == 0
    ]
    if not fitting:
        return None
    longest = max(fitting, key=lambda axis: room.tile[axis])
    z, y, x = (edge // 2 if axis == longest else edge for axis, edge in enumerate(room.tile))
    return replace(room, tile=(z, y, x))


def _attempt(image: Image, room: Room, control: Control) -> Generator[Event, None, Computed]:
    plan = image.plan(room.tile)
    job = image.job(plan)
    recipe = Recipe(batch_size=job.batch_size)
    if plan.starts:
        recipe = yield from _choose(job, image.options)
    decoder = Decoder(image.spec, image.grid.placement, image.options.probabilities, image.options.uncertainty)
    # What reading and resampling the image took would otherwise stand beside what the network needs.
    release_memory(torch.device("cpu"))
    with cooked(job, recipe) as run:
        blender = _blender(image, plan, run.device, room.sums_on_cpu)
        parts = image.parts(plan)
        for step in _blocks(image, plan, Batches(run, recipe.batch_size), blender, control):
            if isinstance(step, Block):
                _decode(decoder, parts(step), control)
            else:
                yield step
            # Its logits are as large as a tile, and the next ones are on their way.
            del step
    if image.region is not None:
        decoder.keep_only(image.region)
    return Computed(decoder.outputs(), recipe, plan.tile, len(plan.starts))


def _decode(decoder: Decoder, parts: Iterable[Part], control: Control) -> None:
    for part in parts:
        control.checkpoint()
        decoder.add(part)


def _choose(job: Job, options: PredictOptions) -> Generator[Event, None, Recipe]:
    """Return how to compute, and say so where it was not said by the options."""
    if options.precision != "auto":
        return choose(job, options)
    yield Progress("Measuring", 0, 1)
    recipe = choose(job, options)
    yield Note(str(recipe))
    return recipe


def _blocks(
    image: Image, plan: TilePlan, batches: Batches, blender: Blender, control: Control
) -> Iterator[Block | Event]:
    """Yield what is complete, and how far the work is."""
    started, done, size, total = time.monotonic(), 0, batches.size, max(len(plan.starts), 1)
    yield Progress(STAGE, 0, total)
    run = batches.run

    def load(starts: Sequence[Shape3]) -> torch.Tensor:
        return cut(image.grid.read, plan, starts)

    control.checkpoint()
    for starts, tiles in tiles_for(plan.starts, lambda: batches.size, load, run.device):
        position = 0
        for logits in batches.forward(tiles):
            for tile in logits:
                yield from blender.add(starts[position], tile)
                position += 1
            del logits, tile
        done += len(starts)
        if batches.size < size:
            size = batches.size
            yield Note(f"Memory ran short on {run.device}; going on with {size} tiles at once.", "warning")
        if done < len(plan.starts):
            yield with_time_left(STAGE, total, started, done)
        control.checkpoint()
    yield from blender.finish()
    yield Progress(STAGE, total, total, 0.0)


def _blender(image: Image, plan: TilePlan, device: torch.device, on_cpu: bool) -> Blender:
    """Return a blender that sums up on the device if that leaves it room to work, and else on the CPU."""
    classes = image.spec.outputs
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        on_cpu = on_cpu or Blender.memory_bytes(plan, classes) > free // 2
    halo = None if image.resampling is None else halo_of(image.resampling)
    return Blender(plan, classes, torch.device("cpu") if on_cpu else device, image.rule, halo=halo)


def tile_of(spec: ModelSpec, shape: Shape3) -> Shape3:
    """Return the (z, y, x) voxels of a tile on a volume; z is 1 for a network that takes planes.

    That of a sketch is not larger than the volume: it would take the padding for a part of the image.
    """
    z, y, x = (1, *spec.patch_size)[-3:]
    if spec.architecture == SKETCH:
        z, y, x = (min(edge, size) for edge, size in zip((z, y, x), shape, strict=True))
    return z, y, x
