"""Prediction of a whole volume, as a stream of events."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from napari_medseg.device import choose
from napari_medseg.inference.decode import Decoder
from napari_medseg.inference.network import Batches, Runner
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.postprocess import PostProcessing, postprocess
from napari_medseg.inference.postprocess.apply import apply_step
from napari_medseg.inference.preprocess import ModelGrid, to_model_grid
from napari_medseg.inference.resample import ClassPlanes, SlabResampler
from napari_medseg.inference.tiling import (
    Shape3,
    Slab,
    SlabBlender,
    TilePlan,
    as_background,
    cut,
    pad_to_plan,
    plan_tiles,
    without_air,
)
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.configs import tiles_at_once
from napari_medseg.prediction import LabelMap, Output, Prediction
from napari_medseg.progress import Control, Event, Finished, Note, Progress, with_time_left
from napari_medseg.volume import Geometry, Volume

STAGE = "Predicting"


def predict(
    volume: Volume,
    bundle: Bundle,
    options: PredictOptions | None = None,
    control: Control | None = None,
    grid: ModelGrid | None = None,
) -> Iterator[Event]:
    """Predict on an image; the function behind `napari_medseg.inference.predict`.

    `grid` is the image on the network's grid, where `to_model_grid` was called before, in another thread.
    """
    options, control = options or PredictOptions(), control or Control()
    started = time.monotonic()
    yield Progress("Preparing", 0, 1)
    # The steps on nothing: what cannot be done is told before hours pass.
    nothing = LabelMap(np.zeros((1,) * len(volume.spatial_shape), np.uint8), bundle.spec.classes)
    postprocess(nothing, options.postprocessing, volume.geometry)
    grid = grid or to_model_grid(volume, bundle.spec)
    control.checkpoint()
    device = choose(options.device)
    outputs = yield from predict_grid(grid, bundle.spec, bundle.network().to(device), options, control)
    outputs = yield from _postprocess(outputs, volume.geometry, options.postprocessing, control)
    yield Finished(
        Prediction(
            outputs,
            volume.geometry,
            bundle.spec.name,
            bundle.hash,
            options.model_dump(mode="json") | {"device": str(device)},
            time.monotonic() - started,
        )
    )


def predict_grid(
    grid: ModelGrid, spec: ModelSpec, network: nn.Module, options: PredictOptions, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    """Predict on a prepared image with a network that is already on its device.

    Parameters
    ----------
    grid : ModelGrid
        As made by `to_model_grid` for `spec`.
    spec : ModelSpec
        What the network gives.
    network : nn.Module
        In evaluation mode only while it runs; afterwards as before.
    options : PredictOptions
        How to predict; the device is that of the network.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress` and `Note`.

    Returns
    -------
    tuple of Output
        On the image's own grid.
    """
    yield from (Note(text, "warning") for text in grid.notes)
    run = Runner(network, next(network.parameters()).device, options.precision, spec.dims == 2, options.flip_axes)
    decoder = Decoder(spec, grid.placement, options.probabilities, options.uncertainty)
    matter = grid.matter if options.skip_air else None
    to_planes = _planes_of(grid, sparse=matter is not None)
    plan = plan_tiles(grid.shape, tile_of(spec), options.overlap)
    if matter is not None:
        plan = without_air(plan, matter)
    batches = Batches(run, options.batch_size or tiles_at_once(spec))
    blender = _make_blender(plan, len(spec.classes), run.device)
    padded = pad_to_plan(grid.image, plan)
    started, done, size, total = time.monotonic(), 0, batches.size, max(len(plan.starts), 1)
    yield Progress(STAGE, 0, total)
    while done < len(plan.starts):
        control.checkpoint()
        starts = plan.starts[done : done + batches.size]
        for slab in _forward(batches, blender, cut(padded, starts, plan.tile), starts):
            _decode(decoder, to_planes(slab), control)
        done += len(starts)
        if batches.size < size:
            size = batches.size
            yield Note(f"Memory ran short on {run.device}; going on with {size} tiles at once.", "warning")
        if done < len(plan.starts):
            yield with_time_left(STAGE, total, started, done)
    for slab in blender.finish():
        _decode(decoder, to_planes(slab), control)
    yield Progress(STAGE, total, total, 0.0)
    return decoder.outputs()


def _postprocess(
    outputs: tuple[Output, ...], geometry: Geometry | None, processing: PostProcessing, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    """Return the outputs with the label map after the steps; the others as the network gave them."""
    labels, *others = outputs
    assert isinstance(labels, LabelMap)
    for number, step in enumerate(processing.steps):
        control.checkpoint()
        yield Progress("Post-processing", number, len(processing.steps))
        labels = apply_step(labels, step, geometry)
    return labels, *others


def tile_of(spec: ModelSpec) -> tuple[int, int, int]:
    """Return the (z, y, x) voxels of a tile; z is 1 for a network that takes planes."""
    z, y, x = (1, *spec.patch_size)[-3:]
    return z, y, x


def _forward(batches: Batches, blender: SlabBlender, tiles: torch.Tensor, starts: Sequence[Shape3]) -> Iterator[Slab]:
    position = 0
    for logits in batches.forward(tiles):
        for tile in logits:
            yield from blender.add(starts[position], tile)
            position += 1


def _decode(decoder: Decoder, parts: Iterable[ClassPlanes], control: Control) -> None:
    for planes in parts:
        control.checkpoint()
        decoder.add(planes)


def _make_blender(plan: TilePlan, classes: int, device: torch.device) -> SlabBlender:
    """Return a blender that sums up on the device if that leaves it room to work, and else on the CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if SlabBlender.memory_bytes(plan, classes) > free // 2:
            device = torch.device("cpu")
    return SlabBlender(plan, classes, device)


def _planes_of(grid: ModelGrid, sparse: bool) -> Callable[[Slab], Iterable[ClassPlanes]]:
    """Return how slabs become planes of the image's grid; `sparse` if there are voxels that no tile touches."""
    finish = as_background if sparse else lambda slab: slab
    if grid.resampled and grid.geometry is not None and grid.placement.native is not None:
        resampler = SlabResampler(grid.geometry, grid.placement.native)
        return lambda slab: resampler.add(finish(slab))
    return lambda slab: (ClassPlanes(slab.start, finish(slab).logits),)
