"""The part of an image in which a network finds a class, in tiles."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.errors import DataError
from napari_medseg.explain.options import ExplainOptions
from napari_medseg.explain.question import Target
from napari_medseg.explain.scenes.scene import Box, Piece, Scene
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.preprocess import ModelGrid, to_model_grid
from napari_medseg.inference.region import region_mask
from napari_medseg.inference.resample import Resampling
from napari_medseg.inference.tiled import tile_of
from napari_medseg.inference.tiling import plan_tiles
from napari_medseg.models import ModelSpec
from napari_medseg.prediction import LabelMap
from napari_medseg.progress import Control, Event
from napari_medseg.volume import Volume

NEAREST = (True, True, True)


@dataclass(frozen=True, eq=False)
class _Tile:
    """Where the network looks, and the part of it whose voxels count."""

    box: tuple[tuple[int, int], ...]
    """First voxel and end along (z, y, x) of the padded grid."""
    mask: NDArray[np.bool_]
    """(z, y, x) of the tile."""


def segmentation_scene(
    volume: Volume, spec: ModelSpec, network: nn.Module, number: int, options: ExplainOptions, control: Control
) -> Generator[Event, None, Scene]:
    """Lay out the surroundings of a region, or of where the class is found, for a segmentation.

    Each voxel of the region counts in the tile that has it near its middle.

    Parameters
    ----------
    volume : Volume
        The image.
    spec : ModelSpec
        Of the model.
    network : nn.Module
        On its device.
    number : int
        Of the class.
    options : ExplainOptions
        Where the region is.
    control : Control
        Cancels and pauses.

    Raises
    ------
    DataError
        If the class is found nowhere.
    """
    grid = to_model_grid(volume, spec)
    if options.region is not None:
        own = region_mask(options.region, volume.spatial_shape, volume.geometry)
    else:
        own = yield from _found(grid, spec, network, number, options, control)
    marked = _on_grid(own, grid)
    if not marked.any():
        raise DataError("The region lies between the voxels of the model's grid.", "Mark a larger region.")
    plan = plan_tiles(grid.shape, tile_of(spec, grid.shape), 0.0)
    padded = np.pad(marked, plan.padding)
    tiles = _tiles(padded, plan.tile)
    low = [min(tile.box[axis][0] for tile in tiles) for axis in range(3)]
    high = [max(tile.box[axis][1] for tile in tiles) for axis in range(3)]
    canvas = _canvas(grid, plan.padding, low, high)
    total, index = int(marked.sum()), number - (spec.output == "regions")
    pieces = tuple(
        Piece(_moved(tile.box, low), _target(tile.mask, total, index, spec, next(network.parameters()).device))
        for tile in tiles
    )
    start = [first - before for first, (before, _) in zip(low, plan.padding, strict=True)]
    return Scene(
        canvas, pieces, spec.dims == 2, partial(onto_image, grid, start), spec.classes[number].name, dense=True
    )


def _found(
    grid: ModelGrid, spec: ModelSpec, network: nn.Module, number: int, options: ExplainOptions, control: Control
) -> Generator[Event, None, NDArray[np.bool_]]:
    """Return where the model finds a class, on the image's own grid."""
    chosen = PredictOptions(device=options.device)
    (labels,) = yield from predict_grid(grid, spec, network, chosen, control)
    assert isinstance(labels, LabelMap)
    own: NDArray[np.bool_] = labels.labels == spec.classes[number].value
    if not own.any():
        raise DataError(
            f"{spec.name} finds no {spec.classes[number].name} in this image.",
            "Choose another class, or mark the region whose score is to be explained.",
        )
    return own


def _on_grid(own: NDArray[np.bool_], grid: ModelGrid) -> NDArray[np.bool_]:
    """Return marked voxels of the image on the network's grid."""
    turned = grid.placement.to_grid(own)
    native = grid.placement.native
    if not grid.resampled or native is None or grid.geometry is None:
        return np.ascontiguousarray(turned)
    resampling = Resampling(native, grid.geometry, NEAREST)
    values = torch.from_numpy(np.ascontiguousarray(turned, np.float32))[None]
    z, y, x = (slice(0, n) for n in grid.shape)
    return np.asarray(resampling.values(values, (0, 0, 0), (z, y, x))[0].numpy() > 0.5)


def _tiles(marked: NDArray[np.bool_], tile: tuple[int, int, int]) -> list[_Tile]:
    """Cover the marked voxels of the padded grid with tiles, each voxel counting in one of them.

    The middle halves of the tiles cover the box around the marked voxels evenly; one tile in the middle is enough for
    a small region.
    """
    lines = []
    for axis, edge in enumerate(tile):
        places = np.flatnonzero(marked.any(axis=tuple(other for other in range(3) if other != axis)))
        first, end = int(places[0]), int(places[-1]) + 1
        count = -(-(end - first) // max(edge // 2, 1))
        cuts = np.linspace(first, end, count + 1).round().astype(int).tolist()
        lines.append([(a, b, edge, marked.shape[axis]) for a, b in pairwise(cuts)])
    tiles = []
    for cores in product(*lines):
        core = tuple(slice(a, b) for a, b, _edge, _size in cores)
        if not marked[core].any():
            continue
        starts = [min(max((a + b - edge) // 2, 0), size - edge) for a, b, edge, size in cores]
        box = tuple((start, start + edge) for start, edge in zip(starts, tile, strict=True))
        mask = np.zeros(tile, np.bool_)
        inside = tuple(slice(part.start - start, part.stop - start) for part, start in zip(core, starts, strict=True))
        mask[inside] = marked[core]
        tiles.append(_Tile(box, mask))
    return tiles


def _canvas(grid: ModelGrid, padding: tuple[tuple[int, int], ...], low: list[int], high: list[int]) -> torch.Tensor:
    """Return the (channel, z, y, x) part of the padded grid; the padding is zero, as in a prediction."""
    sides, inside = [], []
    for first, end, (before, _after), size in zip(low, high, padding, grid.shape, strict=True):
        start, stop = max(first - before, 0), min(end - before, size)
        inside.append(slice(start, stop))
        sides.append((start - (first - before), (end - before) - stop))
    part = grid.read(cast("Box", tuple(inside)))
    return torch.nn.functional.pad(part, [side for pair in reversed(sides) for side in pair])


def _moved(box: tuple[tuple[int, int], ...], low: list[int]) -> Box:
    z, y, x = (slice(first - start, end - start) for (first, end), start in zip(box, low, strict=True))
    return z, y, x


def _target(mask: NDArray[np.bool_], total: int, index: int, spec: ModelSpec, device: torch.device) -> Target:
    """Return the mean over a region, as far as one tile has it."""
    shown = mask[0] if spec.dims == 2 else mask
    weights = torch.from_numpy(shown.astype(np.float32) / total).to(device)
    return Target(partial(_score, index, weights), partial(_probability, index, weights, spec.output == "regions"))


def _score(index: int, weights: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return (logits[:, index] * weights).flatten(1).sum(dim=1)


def _probability(index: int, weights: torch.Tensor, regions: bool, logits: torch.Tensor) -> torch.Tensor:
    found = logits[:, index].sigmoid() if regions else logits.softmax(dim=1)[:, index]
    return (found * weights).flatten(1).sum(dim=1)


def onto_image(grid: ModelGrid, start: list[int], maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return maps on the image's own grid by the way that predictions take; zero where the network did not look.

    Parameters
    ----------
    grid : ModelGrid
        The image on the network's grid.
    start : list of int
        Voxel of that grid, without padding, that the maps begin with; may be below zero.
    maps : (map, z, y, x) array
        On the canvas.
    """
    whole = np.zeros((len(maps), *grid.shape), np.float32)
    first = [max(place, 0) for place in start]
    end = [min(place + n, size) for place, n, size in zip(start, maps.shape[1:], grid.shape, strict=True)]
    inside = tuple(slice(a, b) for a, b in zip(first, end, strict=True))
    own = tuple(slice(a - place, b - place) for a, b, place in zip(first, end, start, strict=True))
    whole[(slice(None), *inside)] = maps[(slice(None), *own)]
    native = grid.placement.native
    if grid.resampled and native is not None and grid.geometry is not None:
        resampling = Resampling(grid.geometry, native)
        z, y, x = (slice(0, n) for n in resampling.target_shape)
        whole = resampling.values(torch.from_numpy(whole), (0, 0, 0), (z, y, x)).numpy()
    return np.ascontiguousarray(grid.placement.from_grid(whole))
