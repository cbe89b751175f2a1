"""What is known of a labels layer beside its voxels: who labelled them, what is finished, and which model it shows."""

import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.data.annotation import Annotation, ModelVersion
from napari_medseg.errors import DataError
from napari_medseg.ui.layers.images import image_volume
from napari_medseg.ui.layers.labels import labels_volume, moved_onto
from napari_medseg.ui.layers.strokes import atom_places, fits, soon, without_locked
from napari_medseg.ui.layers.tag import tag_of
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Hashable, MutableSequence

    from napari.layers import Labels, Layer
    from napari.utils.events import Event
    from numpy.typing import NDArray

    from napari_medseg.ui.layers.strokes import Atom

ANNOTATION = "napari_medseg_annotation"
MODEL = "napari_medseg_model"
"""Where these are in ``layer.metadata``."""
MOST_AXES = 3


@dataclass(frozen=True, eq=False)
class _Kept:
    """An annotation, and the layer that it is of: a duplicate of the layer has the same metadata."""

    layer: "Hashable"
    annotation: Annotation


def annotation_of(layer: "Labels") -> Annotation:
    """Return what is known of a labels layer, on its own exact grid; begun on first use.

    A duplicate of a layer begins with a copy; a layer whose array now has another shape begins anew.
    """
    kept = layer.metadata.get(ANNOTATION)
    shape = own_shape(layer)
    if isinstance(kept, _Kept) and kept.annotation.shape == shape:
        if kept.layer == layer.unique_id:
            return kept.annotation
        return set_annotation(layer, copy.deepcopy(kept.annotation))
    return set_annotation(layer, Annotation(shape))


def set_annotation(layer: "Labels", annotation: Annotation) -> Annotation:
    """Note what is known of a labels layer, such as what was saved with it, and return it.

    Parameters
    ----------
    layer : Labels
        Any.
    annotation : Annotation
        Of the shape of `own_shape`.
    """
    heard = layer.metadata.get(ANNOTATION)
    if not (isinstance(heard, _Kept) and heard.layer == layer.unique_id):
        layer.events.paint.connect(_on_paint)
    layer.metadata[ANNOTATION] = _Kept(layer.unique_id, annotation)
    return annotation


def own_shape(layer: "Labels") -> tuple[int, ...]:
    """Return how many voxels a labels layer has on its own exact grid, which is not that of a resampled copy."""
    tag = tag_of(layer)
    if tag is not None:
        return tag.volume.spatial_shape
    return tuple(int(n) for n in (layer.data[0] if layer.multiscale else layer.data).shape)


def check_volume(layer: "Labels") -> None:
    """Raise `DataError` for labels of several volumes, such as one per time: slices and predictions are of one."""
    if len(own_shape(layer)) > MOST_AXES:
        raise DataError(
            f"{layer.name} holds labels of several volumes.", "Make a labels layer for one of them, and work on that."
        )


def set_model(layer: "Labels", model: ModelVersion) -> None:
    """Note which model a layer shows the labels of."""
    layer.metadata[MODEL] = model


def model_of(layer: "Labels") -> ModelVersion:
    """Return the model that a layer shows the labels of; one named as the layer where that is not known."""
    model = layer.metadata.get(MODEL)
    return model if isinstance(model, ModelVersion) else ModelVersion(layer.name, "unknown version")


def training_labels(layer: "Labels", image: "Layer") -> Volume:
    """Return what a training on `image` is told by a labels layer, on exactly the image's grid.

    Finished slices and the voxels that a model wrote have the meaning of `Annotation.taught`; otherwise as `labels_on`.

    Raises
    ------
    GeometryError
        If the two do not lie on one another.
    """
    annotation = annotation_of(layer)
    if tag_of(layer) is None:
        found = labels_volume(layer, [image], annotation.taught(_array(layer)))
    else:
        own = labels_volume(layer)
        found = replace(own, data=annotation.taught(np.asarray(own.data)))
    return moved_onto(found, image_volume(image))


def _on_paint(event: "Event") -> None:
    # A fill tells of itself before it writes, a brush after that.
    soon(partial(_after_stroke, event.source, event.value))


def _after_stroke(layer: "Labels", atoms: "MutableSequence[Atom]") -> None:
    """Keep locked classes from the brush, and note that a hand painted."""
    annotation, labels = annotation_of(layer), _array(layer)
    if not fits(atoms, labels.shape):
        return
    if annotation.locked:
        without_locked(layer, atoms, annotation.locked)
    tag = tag_of(layer)
    if annotation.written is not None and (tag is None or tag.shown_on is None):
        for box, mask in atom_places(atoms, labels.shape):
            annotation.touch(labels, box, mask)


def _array(layer: "Labels") -> "NDArray[np.integer]":
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)
