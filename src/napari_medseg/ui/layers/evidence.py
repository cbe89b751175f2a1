"""What the layers of a viewer say about where a model is in doubt."""

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from napari_medseg.data.suggest import Evidence
from napari_medseg.errors import DataError, GeometryError
from napari_medseg.ui.layers.annotations import MODEL, annotation_of, check_volume, model_of
from napari_medseg.ui.layers.edits import own_labels
from napari_medseg.ui.layers.images import image_volume
from napari_medseg.ui.layers.labels import on_same_grid
from napari_medseg.ui.layers.results import MAP_OF
from napari_medseg.ui.layers.tag import tag_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_medseg.volume import Volume

    Box = tuple[slice, ...]


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
        If the labels are of several volumes, or the layer is the preview of a training, which knows only slices that
        were looked at.
    """
    check_volume(labels)
    layers = list(layers)
    tag = tag_of(source)
    if tag is not None and tag.role == "preview":
        raise DataError(
            "The preview knows only slices that you looked at.",
            "Segment the whole volume with the trained model, with Uncertainty ticked.",
        )
    own = own_labels(labels, layers)
    predicted = np.asarray(on_same_grid(own_labels(source, layers), own).data)
    spacing = own.geometry.spacing if own.geometry is not None else ()
    told = annotation_of(labels).taught(np.asarray(own.data))
    return Evidence(
        predicted, told, _uncertainty(source, own, layers), tuple(_others(source, own, layers)), spacing, seen
    )


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
