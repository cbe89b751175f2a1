"""Prediction as nnU-Net v2 does it, with our bounded memory.

What differs from nnU-Net's own predictor is the number format of the sums: float32 instead of float16.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from napari_medseg.errors import BundleError, ConfigError
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.pipelines.nnunet_values import Spacing, normalise, resample, separate_axis
from napari_medseg.inference.pipelines.turning import RAS_IN_MEMORY, as_volume, axes_of, turned
from napari_medseg.inference.placement import Placement, channels_first
from napari_medseg.inference.preprocess import ModelGrid
from napari_medseg.inference.tiling import TilePlan, TilingRule, complete_plan, plan_tiles
from napari_medseg.models import ModelSpec
from napari_medseg.models.pipeline import NnUNet
from napari_medseg.prediction import LabelMap, Output, ProbabilityMap, UncertaintyMap
from napari_medseg.progress import Control, Event, Progress
from napari_medseg.volume import Geometry, Volume

Box = tuple[slice, slice, slice]
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image as nnU-Net's network sees it."""

    grid: ModelGrid
    """The part of the image that is not zero, resampled."""
    whole: Placement
    """Of the whole image, before resampling."""
    box: Box
    """The part, on the axes of the network's grid."""
    rule: TilingRule


def predict_nnunet(
    volume: Volume, spec: ModelSpec, pipeline: NnUNet, network: nn.Module, options: PredictOptions, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    """Predict with all folds of a model of nnU-Net; see `napari_medseg.inference.pipelines.outputs_of`."""
    if options.flip_axes:
        raise ConfigError(
            f"{spec.name} was trained with a rule of its own for mirrored tiles.", "Leave out the setting flip_axes."
        )
    if spec.output == "regions" and (options.probabilities or options.uncertainty):
        raise ConfigError(
            f"The classes of {spec.name} overlap, so they have no probabilities that sum to one.",
            "Leave out the settings probabilities and uncertainty.",
        )
    yield Progress("Preparing", 0, 1)
    prepared = prepare(volume, spec, pipeline)
    control.checkpoint()
    outputs = yield from predict_grid(prepared.grid, spec, network, options, control, rule=prepared.rule)
    return tuple(_on_the_whole(output, prepared) for output in outputs)


def prepare(volume: Volume, spec: ModelSpec, pipeline: NnUNet) -> Prepared:
    """Crop, normalise and resample an image as nnU-Net does.

    Raises
    ------
    BundleError
        If the image has no geometry, or is a plane and the network wants volumes.
    DataError
        If it has another number of channels.
    """
    whole = place(volume, spec, pipeline)
    assert whole.native is not None
    array = np.array(whole.to_grid(channels_first(volume, spec.channels, spec.name)), np.float32, order="C")
    array = np.nan_to_num(array, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    mask = ndimage.binary_fill_holes((array != 0).any(axis=0))
    box = _box(mask)
    # A copy: what is normalised must be one block of memory, or sums come out in another order.
    array, mask = np.ascontiguousarray(array[(slice(None), *box)]), mask[box]
    for channel, rule in enumerate(pipeline.normalisation):
        array[channel] = normalise(array[channel], mask, rule)
    native = whole.native.cropped([part.start for part in box], [part.stop for part in box])
    target: Spacing = (native.spacing[0], *pipeline.spacing) if spec.dims == 2 else pipeline.spacing
    shape = [round(n * s / t) for n, s, t in zip(native.shape, native.spacing, target, strict=True)]
    array = resample(array, shape, native.spacing, target, pipeline.image_resampling)
    placement = Placement(_own_shape(whole, native.shape), whole.axes, whole.flips, native)
    grid = ModelGrid(np.ascontiguousarray(array), lambda values: values, placement, _fitted(native, array.shape[1:]))
    axis = separate_axis(target, native.spacing, pipeline.logits_resampling)
    return Prepared(grid, whole, box, TilingRule(plan_evenly, gaussian, _nearest(axis, pipeline)))


def place(volume: Volume, spec: ModelSpec, pipeline: NnUNet) -> Placement:
    """Return where the axes of the network's grid lie in an image."""
    if volume.geometry is None:
        raise BundleError(
            f"{spec.name} needs to know the voxel size, but {volume.name} has no geometry.",
            "Save the image in a format with geometry, such as NIfTI.",
        )
    if len(volume.spatial_shape) == 2 and spec.dims == 3:
        raise BundleError(f"{spec.name} works on volumes, but {volume.name} is a plane.", "Open the whole series.")
    if pipeline.orientation == "RAS":
        return turned(
            volume.spatial_shape, volume.geometry, *axes_of(volume.geometry, RAS_IN_MEMORY), pipeline.transpose
        )
    axes = tuple(reversed(as_volume(volume.geometry).file_order))
    return turned(volume.spatial_shape, volume.geometry, axes, (False,) * 3, pipeline.transpose)


def plan_evenly(shape: Sequence[int], tile: Sequence[int], overlap: float) -> TilePlan:
    """Cover a volume with tiles at even distances, with at least `overlap` in common.

    Parameters
    ----------
    shape, tile : (z, y, x) sequence of int
        Voxels.
    overlap : float
        Share of a tile, in [0, 1).

    Examples
    --------
    >>> plan_evenly((1, 4, 11), (1, 4, 4), 0.5).starts
    ((0, 0, 0), (0, 0, 2), (0, 0, 4), (0, 0, 5), (0, 0, 7))
    """
    padded = [max(n, t) for n, t in zip(shape, tile, strict=True)]
    lines = []
    for n, t in zip(padded, tile, strict=True):
        count = ceil((n - t) / (t * (1 - overlap) if t > 1 else 1)) + 1
        step = (n - t) / (count - 1) if count > 1 else 0.0
        lines.append([int(np.round(step * k)) for k in range(count)])
    whole = plan_tiles(shape, tile, overlap)
    return complete_plan(whole.shape, whole.tile, whole.padding, (lines[0], lines[1], lines[2]))


def gaussian(tile: Sequence[int], device: torch.device) -> torch.Tensor:
    """Return nnU-Net's (z, y, x) float32 weights of a tile's voxels; its centre is at half the size, rounded down."""
    inner = [n for n in tile if n > 1]
    weights = np.zeros(inner)
    weights[tuple(n // 2 for n in inner)] = 1
    weights = ndimage.gaussian_filter(weights, [n / 8 for n in inner], mode="constant")
    # In nnU-Net's number format, in which more of the rim is zero.
    found = torch.from_numpy(weights / weights.max() * 10).half()
    found[found == 0] = found[found > 0].min()
    return found.float().reshape(tuple(tile)).to(device)


def _box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box that holds all of a mask; everything if it is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    z, y, x = found[0] if found else (slice(0, n) for n in mask.shape)
    return z, y, x


def _own_shape(whole: Placement, shape: Sequence[int]) -> tuple[int, ...]:
    own = tuple(shape[axis] for axis in np.argsort(whole.axes))
    return own if len(whole.shape) == 3 else own[1:]


def _fitted(native: Geometry, shape: Sequence[int]) -> Geometry:
    """Return the grid with another number of voxels over the same extent."""
    scale = np.array(native.shape) / np.array(shape)
    step = np.diag([*scale, 1.0])
    step[:3, 3] = (scale - 1) / 2
    return native if np.array_equal(scale, np.ones(3)) else Geometry(tuple(shape), native.affine @ step)


def _nearest(axis: int | None, pipeline: NnUNet) -> tuple[bool, bool, bool]:
    smooth = pipeline.logits_resampling.arguments.get("order_z", 0) == 1
    everything = pipeline.logits_resampling.arguments.get("order", 1) == 0
    z, y, x = (everything or (k == axis and not smooth) for k in range(3))
    return z, y, x


def _on_the_whole(output: Output, prepared: Prepared) -> Output:
    """Return an output of the part with background around it, on the image's own grid."""
    whole, inside = prepared.whole, (Ellipsis, *prepared.box)
    part = prepared.grid.placement

    def paste(values: NDArray[Value], outside: NDArray[Value]) -> NDArray[Value]:
        full = whole.to_grid(outside)
        full[inside] = part.to_grid(values)
        return outside

    if isinstance(output, LabelMap):
        return LabelMap(paste(output.labels, np.zeros(whole.shape, output.labels.dtype)), output.classes)
    if isinstance(output, UncertaintyMap):
        return UncertaintyMap(paste(output.uncertainty, np.zeros(whole.shape, np.float32)))
    assert isinstance(output, ProbabilityMap)
    certain = np.zeros((len(output.classes), *whole.shape), np.float32)
    certain[0] = 1
    return ProbabilityMap(paste(output.probabilities, certain), output.classes)
