"""Whole images, or cut-outs of them, that a network gives one class."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from napari_medseg.data.labelled.crop import cut_out
from napari_medseg.data.labelled.images import slices_of, values_of
from napari_medseg.explain.options import ExplainOptions
from napari_medseg.explain.question import Target
from napari_medseg.explain.scenes.scene import Piece, Scene
from napari_medseg.inference.classify import normalised, resized
from napari_medseg.inference.region import region_mask
from napari_medseg.models import ModelSpec
from napari_medseg.models.spec import Crop
from napari_medseg.tasks.kinds.classification import log_probabilities
from napari_medseg.volume import Volume


def classification_scene(volume: Volume, spec: ModelSpec, number: int, options: ExplainOptions) -> Scene:
    """Lay out an image for a classification; a volume before a network for planes is explained slice by slice.

    Parameters
    ----------
    volume : Volume
        The image.
    spec : ModelSpec
        Of the model.
    number : int
        Of the class.
    options : ExplainOptions
        Whether only a region is seen; the box around it is cut out as for a prediction.

    Raises
    ------
    DataError
        If the image does not fit the model.
    ConfigError
        If the region does not fit the image.
    """
    pictures = _pictures(volume, spec, options)
    laid = normalised(torch.stack([resized(picture, spec, volume.name) for picture in pictures]), spec)
    planar = spec.dims == 2
    canvas = laid.transpose(0, 1) if planar else laid[0]
    share = 1 / len(laid)
    target = Target(partial(_score, spec, number, share), partial(_probability, spec, number, share))
    depth = [slice(z, z + 1) for z in range(len(laid))] if planar else [slice(None)]
    pieces = tuple(Piece((z, slice(None), slice(None)), target) for z in depth)
    orders = [picture[0] for picture in _pictures(numbered(volume), spec, options)]
    home = partial(scattered, volume.spatial_shape, orders)
    return Scene(canvas, pieces, planar, home, spec.classes[number].name, dense=False)


def likeliest(volume: Volume, spec: ModelSpec, network: nn.Module, options: ExplainOptions) -> str:
    """Return the name of the class with the largest probability, the mean over slices where there are several."""
    scene = classification_scene(volume, spec, 0, options)
    share, device = 1 / len(scene.pieces), next(network.parameters()).device
    found = np.zeros(len(spec.classes))
    with torch.no_grad():
        for piece in scene.pieces:
            logits = network(scene.cut(scene.canvas, piece)[None].to(device))
            found += [float(_probability(spec, number, share, logits)) for number in range(len(found))]
    return spec.classes[int(found.argmax())].name


def _pictures(volume: Volume, spec: ModelSpec, options: ExplainOptions) -> list[NDArray[np.generic]]:
    """Return what the network sees, one after the other: the image, a cut-out, or slices of either.

    Each is (channel, [z,] y, x). One axis beside those of space is that of channels.
    """
    channels = [volume]
    if len(volume.axes) == 1:
        channels = [replace(volume, data=values, axes=(), axis_values={}) for values in np.asarray(volume.data)]
    if options.region is not None:
        inside = region_mask(options.region, volume.spatial_shape, volume.geometry)
        box = tuple(_extent(inside, axis) for axis in range(inside.ndim))
        channels = [cut_out(channel, box, spec.crop or Crop(margin=0.0)) for channel in channels]
    slices = [slices_of(channel) if spec.dims == 2 else [channel] for channel in channels]
    return [np.concatenate([values_of(part) for part in parts]) for parts in zip(*slices, strict=True)]


def _extent(inside: NDArray[np.bool_], axis: int) -> slice:
    places = np.flatnonzero(inside.any(axis=tuple(other for other in range(inside.ndim) if other != axis)))
    return slice(int(places[0]), int(places[-1]) + 1)


def numbered(volume: Volume) -> Volume:
    """Return an image whose values are the numbers of its voxels: where they are laid, the image's voxels are."""
    count = int(np.prod(volume.spatial_shape))
    numbers = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64).reshape(volume.spatial_shape)
    return replace(volume, data=numbers, rgb=False, axes=(), axis_values={})


def _score(spec: ModelSpec, number: int, share: float, logits: torch.Tensor) -> torch.Tensor:
    # Grades have no logit of their own: the logarithm of the probability stands for it.
    found = log_probabilities(logits, spec.output) if spec.output == "ordered" else logits
    return found[:, number] * share


def _probability(spec: ModelSpec, number: int, share: float, logits: torch.Tensor) -> torch.Tensor:
    return log_probabilities(logits / spec.temperature, spec.output).exp()[:, number] * share


def scattered(
    shape: tuple[int, ...], orders: list[NDArray[np.integer]], maps: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return maps on the image's own grid, zero where the model did not look.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    orders : list of ([z,] y, x) int array
        For each part that the network saw, the flat number of the image's voxel behind each of its voxels.
    maps : (map, z, y, x) array
        On the canvas; parts are planes of it, where there are several.
    """
    own = np.zeros((len(maps), int(np.prod(shape))), np.float32)
    for number, order in enumerate(orders):
        part = torch.from_numpy(maps[:, number] if order.ndim == 2 else maps)
        if part.shape[1:] != order.shape:
            mode = "bilinear" if order.ndim == 2 else "trilinear"
            part = functional.interpolate(part[None], order.shape, mode=mode, align_corners=False)[0]
        own[:, order.ravel()] = part.reshape(len(maps), -1).numpy()
    return own.reshape(len(maps), *shape)
