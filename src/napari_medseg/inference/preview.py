"""The labels of one slice, from the tiles that touch it: what a training shows while it runs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.device import Precision
from napari_medseg.inference.blend import Blender
from napari_medseg.inference.decode import class_values, entropy
from napari_medseg.inference.network import Batches, Runner
from napari_medseg.inference.preprocess import ModelGrid
from napari_medseg.inference.resample import AxisWeights, axis_weights
from napari_medseg.inference.tiled import tile_of
from napari_medseg.inference.tiling import Box3, cut, plan_tiles
from napari_medseg.inference.unblock import winners_of
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import tiles_at_once
from napari_medseg.models.spec import OVERLAP

UTMOST = 255
"""Doubt of a voxel where all classes are as likely."""


@dataclass(frozen=True, eq=False)
class SliceAnswer:
    """What a model says of one slice, in the image's own axis order."""

    labels: NDArray[np.unsignedinteger]
    """(rows, columns) class values."""
    doubt: NDArray[np.uint8]
    """(rows, columns) uncertainty, from 0 for sure to 255."""


def answer_slice(
    network: nn.Module,
    grid: ModelGrid,
    spec: ModelSpec,
    place: tuple[int, int],
    precision: Precision = "float32",
    overlap: float = OVERLAP,
) -> SliceAnswer:
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
    place : tuple of int
        Axis of the image's own array that the slice is perpendicular to, and its index along that axis.
    precision : {"float32", "bfloat16", "auto"}
        Number format of the network's arithmetic.
    overlap : float
        Of neighbouring tiles, as a share of their edges; less is faster and less accurate between tiles.

    Returns
    -------
    SliceAnswer
        Of the slice ``image[..., index, ...]``.
    """
    return answer_of(slice_logits(network, grid, spec, place, precision, overlap), grid, spec, place[0])


def slice_logits(
    network: nn.Module,
    grid: ModelGrid,
    spec: ModelSpec,
    place: tuple[int, int],
    precision: Precision = "float32",
    overlap: float = OVERLAP,
) -> torch.Tensor:
    """Return the (class, z, y, x) logits that `answer_of` takes; the parameters are those of `answer_slice`."""
    across, position = grid.placement.grid_slice(*place)
    weights = _weights(grid)
    if weights is not None:
        position = round(float(weights[across].lower[position] + weights[across].weight[position]))
    logits = _grid_logits(network, grid, spec, (across, position), precision, overlap)
    if weights is not None:
        for kept in sorted({0, 1, 2} - {across}):
            logits = weights[kept].along(logits.double(), kept + 1).float()
    return logits


def answer_of(logits: torch.Tensor, grid: ModelGrid, spec: ModelSpec, axis: int) -> SliceAnswer:
    """Return the answer that logits give.

    Parameters
    ----------
    logits : (class, z, y, x) tensor
        One voxel across the slice, on the grid of the image before resampling, on the CPU.
    grid : ModelGrid
        The prepared image.
    spec : ModelSpec
        What the network gives.
    axis : int
        Axis of the image's own array that the slice is perpendicular to.
    """
    if spec.output == "regions":
        doubt = torch.stack([entropy(torch.stack([-region, region]) / 2) for region in logits]).amax(dim=0)
    else:
        doubt = entropy(logits)
    maps = class_values(winners_of(spec)(logits), spec.classes), (doubt * UTMOST).round().to(torch.uint8).numpy()
    labels, unsure = (grid.placement.from_grid(values) for values in maps)
    if labels.ndim == 3:
        labels, unsure = labels.take(0, axis=axis), unsure.take(0, axis=axis)
    return SliceAnswer(np.ascontiguousarray(labels), np.ascontiguousarray(unsure))


def _grid_logits(
    network: nn.Module, grid: ModelGrid, spec: ModelSpec, place: tuple[int, int], precision: Precision, overlap: float
) -> torch.Tensor:
    """Return the (class, z, y, x) logits of a place on the grid, with one voxel across it."""
    across, position = place
    tile = tile_of(spec, grid.shape)
    size, depth = grid.shape[across], tile[across]
    start = min(max(position - depth // 2, 0), max(size - depth, 0))
    thick = slice(start, start + min(depth, size))
    shape = tuple(thick.stop - thick.start if axis == across else n for axis, n in enumerate(grid.shape))

    def read(box: Box3) -> torch.Tensor:
        z, y, x = (
            slice(rows.start + start, rows.stop + start) if axis == across else rows for axis, rows in enumerate(box)
        )
        return grid.read((z, y, x))

    plan = plan_tiles(shape, tile, overlap)
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
