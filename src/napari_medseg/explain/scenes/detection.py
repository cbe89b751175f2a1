"""The surroundings of one box that a detector finds."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.data.labelled.images import values_of
from napari_medseg.errors import DataError
from napari_medseg.evaluate.matching import iou_matrix
from napari_medseg.explain.options import ExplainOptions
from napari_medseg.explain.question import Target
from napari_medseg.explain.scenes.classification import numbered, scattered
from napari_medseg.explain.scenes.scene import Piece, Scene
from napari_medseg.explain.scenes.segmentation import onto_image
from napari_medseg.inference.detection.detect import boxes_in
from napari_medseg.inference.detection.network import divisor, padded
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.inference.detection.views import View, view_of
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.inference.region import region_mask
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.detectors.anchored import RawBoxes
from napari_medseg.models.nets.detectors.regions import OneRegion, RegionDetector
from napari_medseg.prediction import Boxes
from napari_medseg.progress import Control, Event
from napari_medseg.volume import Volume


@dataclass(frozen=True)
class _Tile:
    """The part of the view around a box."""

    start: tuple[int, ...]
    stop: tuple[int, ...]


def detection_scene(
    volume: Volume, spec: ModelSpec, network: nn.Module, number: int | None, options: ExplainOptions, control: Control
) -> Generator[Event, None, tuple[Scene, nn.Module]]:
    """Lay out the tile around a box: the surest one, or that which overlaps most with the region.

    A detector that first proposes regions and then judges them is asked about the region of the box alone, as it would
    propose others for a changed image.

    Parameters
    ----------
    volume : Volume
        The image.
    spec : ModelSpec
        Of the model.
    network : nn.Module
        On its device.
    number : int, optional
        Of the class; None for any.
    options : ExplainOptions
        Where the region is.
    control : Control
        Cancels and pauses.

    Returns
    -------
    (Scene, nn.Module)
        The image, and what is asked: the network, or its judgement of the region.

    Raises
    ------
    DataError
        If there is no such box.
    """
    view, device = view_of(volume, spec), next(network.parameters()).device
    how = DetectOptions(device=options.device, precision="float32")
    found = yield from boxes_in(view, network, spec, how, control, device)
    if number is not None:
        found = found.chosen(found.labels == spec.classes[number].value)
    box, value = _chosen(found, volume, view, spec, options)
    number = [entry.value for entry in spec.classes].index(value)
    tile = _around(box, view, spec, divisor(network))
    part = view.read([slice(a, b) for a, b in zip(tile.start, tile.stop, strict=True)])
    image = padded(part, divisor(network))
    inside = box - np.array(tile.start)
    if isinstance(network, RegionDetector):
        # The first logit is that of the background.
        target = Target(partial(_region_score, number + 1), partial(_region_probability, number + 1))
        network = OneRegion(network, torch.from_numpy(inside.ravel()))
    else:
        anchor = _anchor(network, image.to(device), inside, number)
        target = Target(partial(_score, anchor, number), partial(_probability, anchor, number))
    canvas = image if spec.dims == 3 else image[:, None]
    whole = (slice(None), slice(None), slice(None))
    home = partial(_home_of_block if spec.dims == 3 else _home_of_plane, volume, spec, view, tile)
    scene = Scene(canvas, (Piece(whole, target),), spec.dims == 2, home, spec.classes[number].name, dense=True)
    return scene, network


def _chosen(
    found: Boxes, volume: Volume, view: View, spec: ModelSpec, options: ExplainOptions
) -> tuple[NDArray[np.float64], int]:
    """Return the edges of a box in voxels of the view, and its class."""
    worth = found.scores
    if options.region is not None:
        inside = region_mask(options.region, volume.spatial_shape, volume.geometry)
        places = np.argwhere(inside)
        edges = np.array([[places.min(axis=0), places.max(axis=0) + 1]], np.float64)[..., -len(view.own_shape) :]
        marked = view.seen(Boxes(edges, np.array([spec.classes[0].value]), np.ones(1), spec.classes))
        worth = iou_matrix(found.edges, marked.edges)[:, 0]
    if not len(found) or not worth.max():
        raise DataError(f"{spec.name} finds no such box in this image.", "Choose another class, or another region.")
    best = int(worth.argmax())
    return found.edges[best], int(found.labels[best])


def _around(box: NDArray[np.float64], view: View, spec: ModelSpec, multiple: int) -> _Tile:
    """Return the tile with a box near its middle, as far as the image reaches.

    It begins at a multiple of the network's coarsest step, so that its grids lie as in the prediction of one tile.
    """
    edges = [max(multiple, n // multiple * multiple) for n in spec.patch_size]
    sides = zip(box.mean(axis=0), edges, view.shape, strict=True)
    start = tuple(
        multiple * min(max(round((middle - edge / 2) / multiple), 0), max(-(-(size - edge) // multiple), 0))
        for middle, edge, size in sides
    )
    return _Tile(start, tuple(min(a + edge, size) for a, edge, size in zip(start, edges, view.shape, strict=True)))


def _anchor(network: nn.Module, image: torch.Tensor, box: NDArray[np.float64], number: int) -> int:
    """Return which of a network's answers for a tile stands for a box: sure, and in its place."""
    with torch.no_grad():
        raw: RawBoxes = network(image[None])
    edges = raw.boxes[0].double().cpu().numpy().reshape(len(raw.boxes[0]), 2, -1)
    scores = raw.logits[0, :, number].sigmoid().double().cpu().numpy()
    return int((scores * iou_matrix(edges, box[None])[:, 0]).argmax())


def _score(anchor: int, number: int, found: RawBoxes) -> torch.Tensor:
    return found.logits[:, anchor, number]


def _probability(anchor: int, number: int, found: RawBoxes) -> torch.Tensor:
    return found.logits[:, anchor, number].sigmoid()


def _region_score(logit: int, found: torch.Tensor) -> torch.Tensor:
    return found[:, logit]


def _region_probability(logit: int, found: torch.Tensor) -> torch.Tensor:
    return found.softmax(dim=1)[:, logit]


def _home_of_block(
    volume: Volume, spec: ModelSpec, _view: View, tile: _Tile, maps: NDArray[np.float32]
) -> NDArray[np.float32]:
    return onto_image(to_model_grid(volume, spec), list(tile.start), maps)


def _home_of_plane(
    volume: Volume, _spec: ModelSpec, view: View, tile: _Tile, maps: NDArray[np.float32]
) -> NDArray[np.float32]:
    whole = np.zeros((len(maps), 1, *view.shape), np.float32)
    rows, columns = (slice(a, b) for a, b in zip(tile.start, tile.stop, strict=True))
    whole[:, :, rows, columns] = maps[:, :, : rows.stop - rows.start, : columns.stop - columns.start]
    return scattered(volume.spatial_shape, [values_of(numbered(volume))[0]], whole)
