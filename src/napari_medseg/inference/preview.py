"""The labels of one slice, from the tiles that touch it: what a training shows while it runs."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.device import Precision
from napari_medseg.inference.blend import Blender
from napari_medseg.inference.decode import class_values
from napari_medseg.inference.network import Batches, Runner
from napari_medseg.inference.preprocess import ModelGrid
from napari_medseg.inference.resample import AxisWeights, axis_weights
from napari_medseg.inference.tiled import tile_of
from napari_medseg.inference.tiling import Box3, cut, plan_tiles
from napari_medseg.inference.unblock import winners_of
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import OVERLAP, tiles_at_once


def predict_slice(
    network: nn.Module, grid: ModelGrid, spec: ModelSpec, axis: int, index: int, precision: Precision = "float32"
) -> NDArray[np.unsignedinteger]:
    """Predict one slice of an image.

    Across the slice there is one layer of tiles, with the slice in its middle, so the labels may differ from those of
    `predict`, which blends several, at a few voxels.

    Parameters
    ----------
    network : nn.Module
        On its device; in evaluation mode only while it runs.
    grid : ModelGrid
        The prepared image.
    spec : ModelSpec
        What the network gives.
    axis : int
        Axis of the image's own array that the slice is perpendicular to.
    index : int
        Array index of the slice along `axis`.
    precision : {"float32", "bfloat16", "auto"}
        Number format of the network's arithmetic.

    Returns
    -------
    (rows, columns) unsigned integer array
        Label values of the slice ``image[..., index, ...]``, in the image's own axis order.
    """
    across, position = grid.placement.grid_slice(axis, index)
    weights = _weights(grid)
    if weights is not None:
        position = round(float(weights[across].lower[position] + weights[across].weight[position]))
    logits = _slice_logits(network, grid, spec, across, position, precision)
    if weights is not None:
        for kept in sorted({0, 1, 2} - {across}):
            logits = weights[kept].along(logits.double(), kept + 1).float()
    values = class_values(winners_of(spec)(logits), spec.classes)
    own = grid.placement.from_grid(values)
    return np.ascontiguousarray(own if own.ndim == 2 else own.take(0, axis=axis))


def _slice_logits(
    network: nn.Module, grid: ModelGrid, spec: ModelSpec, across: int, position: int, precision: Precision
) -> torch.Tensor:
    """Return the (class, z, y, x) logits, with one voxel along `across`."""
    tile = tile_of(spec)
    size, depth = grid.shape[across], tile[across]
    start = min(max(position - depth // 2, 0), max(size - depth, 0))
    thick = slice(start, start + min(depth, size))
    shape = tuple(thick.stop - thick.start if axis == across else n for axis, n in enumerate(grid.shape))

    def read(box: Box3) -> torch.Tensor:
        z, y, x = (
            slice(rows.start + start, rows.stop + start) if axis == across else rows for axis, rows in enumerate(box)
        )
        return grid.read((z, y, x))

    plan = plan_tiles(shape, tile, OVERLAP)
    run = Runner(network, next(network.parameters()).device, precision, spec.dims == 2)
    batches = Batches(run, tiles_at_once(spec))
    blender = Blender(plan, spec.outputs, run.device)
    blended = torch.empty((spec.outputs, *shape), device=run.device)
    for done in range(0, len(plan.starts), tiles_at_once(spec)):
        starts = plan.starts[done : done + tiles_at_once(spec)]
        tiles = (tile for part in batches.forward(cut(read, plan, starts)) for tile in part)
        for first, logits in zip(starts, tiles, strict=True):
            for block in blender.add(first, logits):
                assert block.logits is not None
                blended[(slice(None), *block.box)] = block.logits
    return blended.narrow(across + 1, position - start, 1).cpu()


def _weights(grid: ModelGrid) -> tuple[AxisWeights, AxisWeights, AxisWeights] | None:
    if not grid.resampled or grid.geometry is None or grid.placement.native is None:
        return None
    return axis_weights(grid.geometry, grid.placement.native)
