"""Taking over what a layer predicts into the labels layer that the user paints on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_medseg.data.annotation import Accepted, Proposal, accept, check_names, component_at
from napari_medseg.errors import DataError
from napari_medseg.ui.layers.annotations import annotation_of, check_volume, model_of
from napari_medseg.ui.layers.classes import PAINTED_BACKGROUND, classes_of, present_classes
from napari_medseg.ui.layers.edits import Patch, own_labels, patch
from napari_medseg.ui.layers.labels import on_same_grid
from napari_medseg.ui.layers.previews import previewed_slices
from napari_medseg.ui.layers.tag import tag_of
from napari_medseg.volume import LabelClass

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

    from napari_medseg.data.annotation import Annotation

    Box = tuple[slice, ...]

Where = Literal["slice", "volume", "component", "box"]
WORDS: dict[Where, str] = {
    "slice": "on a slice",
    "volume": "in the volume",
    "component": "in a component",
    "box": "in a box",
}


@dataclass(frozen=True, eq=False)
class Offer:
    """What is to be accepted."""

    source: "Labels"
    """The layer that shows what a model predicts."""
    where: Where
    classes: tuple[int, ...] = ()
    """Values, `PAINTED_BACKGROUND`'s for background; all classes without background if empty."""
    slice: tuple[int, int] = (0, 0)
    """Axis and index of the slice, on the labels' own grid."""
    voxel: tuple[int, ...] = ()
    """In the component."""
    box: tuple[tuple[int, int], ...] = ()
    """First and end along each axis."""


def accept_into(layer: "Labels", offer: Offer, layers: "Iterable[Layer]" = ()) -> Accepted:
    """Write what the user accepts of a prediction into a labels layer, as a step that can be undone.

    Parameters
    ----------
    layer : Labels
        The user's.
    offer : Offer
        What to accept.
    layers : iterable of Layer
        Usually ``viewer.layers``: they say how the world lies in the patient.

    Returns
    -------
    Accepted
        With the numbers of voxels that were changed, and that were not.

    Raises
    ------
    GeometryError
        If the prediction is on another grid.
    DataError
        If a value means another class in the prediction, nothing is predicted at the voxel, or the layer is a preview
        and was not shown on what is asked for.
    """
    check_volume(layer)
    layers = list(layers)
    own = own_labels(layer, layers)
    labels, annotation = np.asarray(own.data), annotation_of(layer)
    predicted = np.asarray(on_same_grid(own_labels(offer.source, layers), own).data)
    named = classes_of(offer.source) or present_classes(predicted)
    _check_preview(offer, predicted.ndim)
    values = offer.classes or tuple(entry.value for entry in named)
    check_names(_names(classes_of(layer)), _names(named), values)
    box, mask = _place(offer, predicted)
    if mask is not None:
        value = int(predicted[tuple(offer.voxel)])
        if value not in values:
            raise DataError("What is under the cursor is of a class that is not to be accepted.", "Tick its class.")
        values = (value,)
    made = accept(labels, annotation, Proposal(predicted, model_of(offer.source), values, box, mask))
    if made.changed:
        patch(layer, _patch(layer, annotation, made, box, (named, values, offer.where)))
    return made


def _patch(
    layer: "Labels",
    annotation: "Annotation",
    made: Accepted,
    box: "Box",
    about: tuple[Sequence[LabelClass], Sequence[int], Where],
) -> Patch:
    named, values, where = about
    known = classes_of(layer)
    written = [entry for entry in named if entry.value in values]
    new = tuple(entry for entry in written if entry.value not in _names(known) and (made.labels == entry.value).any())
    assert annotation.source is not None
    assert annotation.written is not None
    carried = (annotation.source, made.source), (annotation.written, made.written)
    words = {0: "background", 1: written[0].name if written else ""}.get(len(written), "classes")
    return Patch(box, made.labels, f"Accept {words} {WORDS[where]}", carried, (*known, *new) if new else None)


def _place(offer: Offer, predicted: "NDArray[np.integer]") -> "tuple[Box, NDArray[np.bool_] | None]":
    """Return the box that is asked for, and which voxels of it if not all."""
    if offer.where == "component":
        return component_at(predicted, offer.voxel)
    box = [slice(0, n) for n in predicted.shape]
    if offer.where == "box":
        box[-len(offer.box) :] = [slice(first, end) for first, end in offer.box]
    elif offer.where == "slice" and predicted.ndim > 2:
        axis, index = offer.slice
        box[axis] = slice(index, index + 1)
    return tuple(box), None


def _check_preview(offer: Offer, ndim: int) -> None:
    """Raise unless the layer says something about all that is asked for: a preview knows slices that were looked at."""
    tag = tag_of(offer.source)
    if tag is None or tag.role != "preview":
        return
    shown = previewed_slices(offer.source)
    if offer.where != "slice" and ndim > 2:
        raise DataError(
            "The preview knows only slices that you looked at.",
            "Accept this slice, or segment the whole volume and accept from that.",
        )
    if offer.slice not in shown:
        raise DataError("The preview has not come to this slice yet.", "Wait a moment, and accept again.")


def _names(classes: Sequence[LabelClass]) -> dict[int, str]:
    return {entry.value: entry.name for entry in classes if entry.value != PAINTED_BACKGROUND.value}
