"""Prediction with several models, each for some of the classes, as TotalSegmentator does."""

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.errors import BundleError, ConfigError
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.pipelines.steps import member_prediction
from napari_medseg.inference.pipelines.turning import RAS_IN_MEMORY, axes_of, turned
from napari_medseg.inference.placement import Placement, channels_first
from napari_medseg.models import Bundle
from napari_medseg.models.configs import label_dtype
from napari_medseg.models.pipeline import Parts
from napari_medseg.prediction import LabelMap, Output
from napari_medseg.progress import Control, Event, Progress
from napari_medseg.volume import Geometry, Volume


def predict_parts(
    volume: Volume, bundle: Bundle, pipeline: Parts, options: PredictOptions, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    """Predict with all parts of a model; see `napari_medseg.inference.pipelines.outputs_of`."""
    if options.probabilities or options.uncertainty:
        raise ConfigError(
            f"{bundle.spec.name} is made of models for different classes, which have no common probabilities.",
            "Leave out the settings probabilities and uncertainty.",
        )
    yield Progress("Preparing", 0, 1)
    place, seen = resampled(volume, bundle, pipeline.spacing)
    control.checkpoint()
    labels = np.zeros(seen.spatial_shape, label_dtype(bundle.spec))
    for number, (member, table) in enumerate(zip(bundle.members, pipeline.tables, strict=True), start=1):
        found = yield from member_prediction(seen, member, options, control, number, len(bundle.members))
        merge(labels, found.label_map.labels, table)
    assert place.native is not None
    if place.native.shape != labels.shape:
        labels = ndimage.zoom(labels, np.array(place.native.shape) / labels.shape, order=0, mode="nearest")
    return (LabelMap(np.ascontiguousarray(place.from_grid(labels)), bundle.spec.classes),)


def merge(
    labels: NDArray[np.unsignedinteger], found: NDArray[np.unsignedinteger], table: dict[int, int]
) -> NDArray[np.unsignedinteger]:
    """Write what one model found over the labels, in the values of the whole; changes and returns `labels`.

    Examples
    --------
    >>> merge(np.array([0, 4, 4], np.uint8), np.array([1, 0, 2], np.uint8), {1: 9, 2: 3})
    array([9, 4, 3], dtype=uint8)
    """
    values = np.zeros(max([*table, int(found.max())]) + 1, labels.dtype)
    for value, becomes in table.items():
        values[value] = becomes
    there = values[found]
    np.copyto(labels, there, where=there != 0)
    return labels


def resampled(volume: Volume, bundle: Bundle, spacing: tuple[float, float, float] | None) -> tuple[Placement, Volume]:
    """Return an image turned to right, anterior, superior, in whole numbers on other voxels, and the way back.

    Parameters
    ----------
    volume : Volume
        With geometry and three dimensions.
    bundle : Bundle
        The model.
    spacing : tuple of float, optional
        Voxel size in mm along right, anterior, superior; None keeps voxels and numbers.

    Raises
    ------
    BundleError
        If the image has no geometry, or is a plane.
    """
    if volume.geometry is None or volume.geometry.ndim != 3:
        raise BundleError(
            f"{bundle.spec.name} needs a volume with a voxel size, which {volume.name} does not have.",
            "Open the whole series, in a format with geometry.",
        )
    place = turned(volume.spatial_shape, volume.geometry, *axes_of(volume.geometry, RAS_IN_MEMORY))
    native = place.native
    assert native is not None
    zoom = np.array(native.spacing) / np.array(spacing[::-1] if spacing else native.spacing)
    array = place.to_grid(channels_first(volume, bundle.spec.channels, bundle.spec.name))
    array = np.nan_to_num(array.astype(np.float64), copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    same = np.allclose(zoom, 1, rtol=1e-6, atol=0)
    small = array if same else np.stack([ndimage.zoom(c, zoom, order=1, mode="nearest") for c in array])
    affine = native.affine.copy()
    affine[:3, :3] /= zoom
    geometry = Geometry(small.shape[1:], affine)
    data = small[0] if len(small) == 1 else small
    data = data if same else data.astype(np.int32)
    axes = () if len(small) == 1 else ("channel",)
    return place, replace(volume, data=data, geometry=geometry, axes=axes, rgb=False)
