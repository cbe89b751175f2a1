"""What the layers of a viewer say about where a model is in doubt."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from napari_medseg.data.suggest import Evidence
from napari_medseg.errors import DataError, GeometryError
from napari_medseg.ui.layers.annotations import MODEL, MOST_AXES, annotation_of, check_volume, model_of
from napari_medseg.ui.layers.edits import own_labels
from napari_medseg.ui.layers.images import image_volume
from napari_medseg.ui.layers.labels import on_same_grid
from napari_medseg.ui.layers.previews import UTMOST, doubt_of, previewed_slices
from napari_medseg.ui.layers.results import MAP_OF
from napari_medseg.ui.layers.tag import tag_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_medseg.volume import Volume

    Box = tuple[slice, ...]

FEWEST_SLICES = 4
"""That a training must have come to before anything is suggested."""


def evidence_of(labels: Labels, source: Labels, layers: "Iterable[Layer]", seen: "tuple[Box, ...]" = ()) -> Evidence:
    """Return what is known of the volume that a user labels.

    Parameters
    ----------
    labels : Labels
        The user's layer.
    source : Labels
        What a model predicts of all of the volume.
    layers : iterable of Layer
        Usually ``viewer.layers``: the uncertainty of `source`, if it was kept, and what other models predict.
    seen : tuple of tuple of slice
        Parts that the user looked at.

    Returns
    -------
    Evidence
        On the grid of the user's labels.

    Raises
    ------
    GeometryError
        If the prediction is on another grid than the labels.
    DataError
        If the labels are of several volumes.
    """
    check_volume(labels)
    layers = list(layers)
    own = own_labels(labels, layers)
    predicted = np.asarray(on_same_grid(own_labels(source, layers), own).data)
    spacing = own.geometry.spacing if own.geometry is not None else ()
    told = annotation_of(labels).taught(np.asarray(own.data))
    return Evidence(
        predicted, told, _uncertainty(source, own, layers), tuple(_others(source, own, layers)), spacing, seen
    )


def live_evidence_of(
    labels: Labels, preview: Labels, layers: "Iterable[Layer]", axis: int, seen: "tuple[Box, ...]" = ()
) -> Evidence:
    """Return what a training that runs, or ran, tells of the volume that a user labels.

    Parameters
    ----------
    labels : Labels
        The user's layer.
    preview : Labels
        What the training said of the slices that it came to.
    layers : iterable of Layer
        Usually ``viewer.layers``: among them, where the training is in doubt.
    axis : int
        Axis of the labels' own array that the slices are perpendicular to.
    seen : tuple of tuple of slice
        Parts that the user looked at.

    Returns
    -------
    Evidence
        On the grid of the user's labels; of slices that the training did not come to, what it said of the next one.

    Raises
    ------
    GeometryError
        If the training is on another grid than the labels.
    DataError
        If the labels are of several volumes, or the training came to fewer than `FEWEST_SLICES`.
    """
    check_volume(labels)
    layers = list(layers)
    own, shown, tag = own_labels(labels, layers), own_labels(preview, layers), tag_of(preview)
    doubt = None if tag is None or tag.image is None else doubt_of(layers, tag.image)
    came = [index for across, index in previewed_slices(preview) if across == axis]
    flat = len(own.spatial_shape) < MOST_AXES
    if doubt is None or len(came) < (1 if flat else FEWEST_SLICES):
        raise DataError(
            f"The training has come to {len(came)} slices of this direction.",
            "Let it go on for a while, or segment the whole volume.",
        )
    known = np.zeros(shown.data.shape, bool)
    np.moveaxis(known, axis, 0)[... if flat else came] = True
    predicted, unsure, known = (
        np.asarray(on_same_grid(replace(shown, data=values), own).data)
        for values in (np.asarray(shown.data), np.asarray(image_volume(doubt).data), known)
    )
    if not flat:
        near = _nearest(np.asarray(np.moveaxis(known, axis, 0).any(axis=(1, 2))))
        predicted, unsure = predicted.take(near, axis), unsure.take(near, axis)
    told = annotation_of(labels).taught(np.asarray(own.data))
    spacing = own.geometry.spacing if own.geometry is not None else ()
    return Evidence(predicted, told, unsure / np.float32(UTMOST), (), spacing, seen, known)


def _nearest(known: "NDArray[np.bool_]") -> "NDArray[np.intp]":
    """Return for each position the nearest one that is known."""
    places = np.flatnonzero(known)
    return np.asarray(places[np.abs(np.arange(len(known))[:, None] - places).argmin(axis=1)])


def _uncertainty(source: Labels, own: "Volume", layers: "list[Layer]") -> "NDArray[np.floating] | None":
    """Return the uncertainty that was kept with a prediction, on the grid of the labels."""
    tag = tag_of(source)
    if tag is None:
        return None
    of_source = (tag.image, f"{model_of(source).name} uncertainty")
    for layer in layers:
        if isinstance(layer, Image) and layer.metadata.get(MAP_OF) == of_source:
            return np.asarray(on_same_grid(image_volume(layer), own).data)
    return None


def _others(source: Labels, own: "Volume", layers: "list[Layer]") -> "Iterator[NDArray[np.integer]]":
    """Yield what other models predict on the same grid."""
    for layer in layers:
        tag = tag_of(layer)
        if isinstance(layer, Labels) and layer is not source and tag is not None and tag.role == "prediction":
            try:
                same = on_same_grid(own_labels(layer, layers), own)
            except GeometryError:
                continue
            if layer.metadata.get(MODEL) != source.metadata.get(MODEL):
                yield np.asarray(same.data)
