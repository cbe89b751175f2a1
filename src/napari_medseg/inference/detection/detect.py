"""Boxes on a whole image, tile by tile, and on many images."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import torch
from torch import nn

from napari_medseg.data.boxes import clipped, flipped
from napari_medseg.data.boxes.opening import single_image
from napari_medseg.device import choose, compute_dtype
from napari_medseg.errors import BundleError, MedsegError
from napari_medseg.inference.detection.merging import merged
from napari_medseg.inference.detection.network import divisor, found_boxes, padded
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.inference.detection.tiles import Tile, tiles_of
from napari_medseg.inference.detection.views import View, view_of
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.nets.detectors.regions import RegionDetector
from napari_medseg.models.registry import network_def
from napari_medseg.prediction import Boxes, Prediction
from napari_medseg.progress import Control, Event, Finished, Note, Progress, with_time_left
from napari_medseg.volume import Volume

LEAST_OVERLAP = 0.15
"""Share of a tile that it has in common with the next, at least."""
REACH = 2.0
"""Length of the longest things to be expected, in largest anchors."""


def detect(
    volume: Volume, bundle: Bundle, options: DetectOptions | None = None, control: Control | None = None
) -> Iterator[Event]:
    """Find boxes on an image.

    Parameters
    ----------
    volume : Volume
        The image; left as it is.
    bundle : Bundle
        Of a detection.
    options : DetectOptions, optional
        How.
    control : Control, optional
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress`, and last `Finished` with a `Prediction` whose `boxes` are in voxels of the image's own grid.

    Raises
    ------
    BundleError
        If the model is for another task, or for other images.
    """
    options, control, started = options or DetectOptions(), control or Control(), time.monotonic()
    network, device = _network(bundle, options)
    view = view_of(volume, bundle.spec)
    boxes = yield from boxes_in(view, network, bundle.spec, options, control, device)
    how = options.model_dump(mode="json") | {"device": str(device)}
    seconds = time.monotonic() - started
    yield Finished(Prediction((view.own(boxes),), volume.geometry, bundle.spec.name, bundle.hash, how, seconds))


def detect_files(
    paths: Sequence[Path], names: Sequence[str], bundle: Bundle, options: DetectOptions, control: Control
) -> Iterator[Event]:
    """Find boxes on the images of files.

    Yields
    ------
    Event
        `Progress`, a `Note` for each image that cannot be read or does not fit, and last `Finished` with the boxes by
        name, in voxels of each image, and their images' shapes by name.
    """
    network, device = _network(bundle, options)
    started = time.monotonic()
    boxes: dict[str, Boxes] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        control.checkpoint()
        yield with_time_left("Finding", len(paths), started, number)
        try:
            volume = single_image(path, name)
            view = view_of(volume, bundle.spec)
            found = yield from boxes_in(view, network, bundle.spec, options, control, device)
        except MedsegError as error:
            if control.cancelled:
                raise
            yield Note(f"{name}: {error}", "warning")
            continue
        boxes[name], shapes[name] = view.own(found), view.own_shape
    yield Finished((boxes, shapes))


def boxes_in(
    view: View, network: nn.Module, spec: ModelSpec, options: DetectOptions, control: Control, device: torch.device
) -> Generator[Event, None, Boxes]:
    """Return the boxes on an image, in voxels of the view."""
    edge = spec.patch_size if options.tile is None else (options.tile,) * spec.dims
    multiple = divisor(network)
    tile = [max(multiple, n // multiple * multiple) for n in edge]
    overlap = [max(round(LEAST_OVERLAP * n), min(round(r), n // 2)) for n, r in zip(tile, _reach(spec), strict=True)]
    tiles = tiles_of(view.shape, tile, overlap)
    parts = [Boxes.none(spec.dims, spec.classes)]
    # R-CNNs compute in float32.
    dtype = torch.float32 if isinstance(network, RegionDetector) else compute_dtype(options.precision, device)
    for number, part in enumerate(tiles):
        control.checkpoint()
        if len(tiles) > 1:
            yield Progress("Tiles", number, len(tiles))
        image = padded(view.read([slice(a, b) for a, b in zip(part.start, part.stop, strict=True)]), multiple)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32):
            parts += _looked_at(network, image[None].to(device), spec, options, part)
    return merged(_joined(parts), options.iou, options.merge, options.most)


def _looked_at(
    network: nn.Module, image: torch.Tensor, spec: ModelSpec, options: DetectOptions, tile: Tile
) -> list[Boxes]:
    """Return the boxes that a tile has the word on, in voxels of the view; of each mirrored look, too."""
    axes = range(spec.dims)
    flips = chain.from_iterable(combinations(axes, n) for n in range(spec.dims + 1)) if options.flips else [()]
    answers = []
    size = [b - a for a, b in zip(tile.start, tile.stop, strict=True)]
    for axes_turned in flips:
        turned = image.flip([axis + 2 for axis in axes_turned]) if axes_turned else image
        [found] = found_boxes(network, turned, spec, options.threshold)
        for axis in axes_turned:
            found = flipped(found, axis, image.shape[axis + 2])
        found = clipped(found, size)
        found = replace(found, edges=found.edges + np.array(tile.start))
        limits = np.array(tile.core)
        inside = (found.centres >= limits[:, 0]) & (found.centres <= limits[:, 1])
        answers.append(
            merged(found.chosen(np.flatnonzero(inside.all(axis=1))), options.iou, options.merge, options.most)
        )
    return answers


def _joined(parts: Sequence[Boxes]) -> Boxes:
    masks = [b.masks for b in parts if b.masks is not None and len(b)]
    return Boxes(
        np.concatenate([b.edges for b in parts]),
        np.concatenate([b.labels for b in parts]),
        np.concatenate([b.scores for b in parts]),
        parts[0].classes,
        # All parts are of one model: those without masks are empty.
        np.concatenate(masks) if masks else None,
    )


def _reach(spec: ModelSpec) -> list[float]:
    """Return the length of the longest things to be expected, along each axis."""
    anchors = network_def(spec).arguments.get("anchors")
    if not anchors:
        return [n / 2 for n in spec.patch_size]
    return [REACH * max(size[axis] for level in anchors for size in level) for axis in range(spec.dims)]


def _network(bundle: Bundle, options: DetectOptions) -> tuple[nn.Module, torch.device]:
    if bundle.spec.task != "detection":
        raise BundleError(f"{bundle.spec.name} is for {bundle.spec.task}.", "Choose a model for detection.")
    device = choose(options.device)
    network = bundle.network().to(device)
    layout = torch.channels_last_3d if bundle.spec.dims == 3 else torch.channels_last
    return network.to(memory_format=layout).eval(), device
