"""Layers that we make on an image: labels to paint on, predictions, and the live preview."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer

from napari_medseg.data.annotation import ModelVersion
from napari_medseg.errors import GeometryError
from napari_medseg.prediction import Prediction
from napari_medseg.ui.layers.annotations import annotation_of, set_model
from napari_medseg.ui.layers.classes import PAINTED_BACKGROUND, class_display, classes_of, set_classes
from napari_medseg.ui.layers.edits import keep_for_user, log
from napari_medseg.ui.layers.images import to_layer_tuples
from napari_medseg.ui.layers.labels import layer_tag
from napari_medseg.ui.layers.regrid import pull
from napari_medseg.ui.layers.tag import KEY, Role, Tag, frame_of
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from napari.utils.events import Event
    from numpy.typing import NDArray

    from napari_medseg.volume import LabelClass

MAP_OF = "napari_medseg_map_of"
"""Where a map remembers the image and the model that it belongs to, in ``layer.metadata``."""
VERSION_DIGITS = 8
"""Of a model's hash, as shown to the user."""
RESULT_OPACITY = 0.6


def new_labels(image: "Image", classes: "Iterable[LabelClass]") -> "Labels":
    """Return an empty labels layer on the grid of `image`, to be added to a viewer and painted on.

    Value 0 is not looked at, `BACKGROUND_VALUE` is background that the user painted, and each class has its own value.
    """
    classes = tuple(classes)
    shape = layer_tag(image).volume.spatial_shape
    highest = max((c.value for c in classes), default=0)
    empty = np.zeros(shape, np.uint8 if highest < PAINTED_BACKGROUND.value else np.uint16)
    layer = labels_layer(image, empty, "painted", f"{image.name} labels")
    set_classes(layer, (*classes, PAINTED_BACKGROUND))
    layer.selected_label = min((c.value for c in classes), default=1)
    return layer


def add_prediction(
    viewer: "ViewerModel",
    image: "Image",
    prediction: "Prediction | Volume",
    classes: "Iterable[LabelClass] | None" = None,
    version: str = "",
) -> "Labels":
    """Show a prediction on its image as a labels layer, and return that layer.

    Parameters
    ----------
    viewer : ViewerModel
        Where `image` is.
    image : Image
        What was predicted on.
    prediction : Prediction or Volume
        Labels on the grid of the image's volume.
    classes : iterable of LabelClass, optional
        Names and colours; by default the prediction's own.
    version : str
        What tells the model from others of its name, if the prediction does not.

    Returns
    -------
    Labels
        The layer of an earlier prediction on this image by the same model, if nobody painted on it; otherwise a new
        one.
    """
    labels, own, name = _read(prediction)
    hashed = prediction.bundle_hash if isinstance(prediction, Prediction) else version
    model = ModelVersion(name, hashed[:VERSION_DIGITS] or "unknown version", confirmed=False)
    display = class_display(classes if classes is not None else own)
    fresh = labels_layer(image, labels, "prediction", f"{image.name} {name}")
    fresh.colormap, fresh.features, fresh.opacity = display["colormap"], display["features"], RESULT_OPACITY
    earlier = earlier_layer(viewer, image, "prediction", fresh.name)
    if earlier is None:
        fresh.events.paint.connect(_keep_painted)
        set_model(fresh, replace(model, confirmed=True))
        annotation_of(fresh).all_by(model, _behind(fresh)[0])
        viewer.add_layer(fresh)
        return fresh
    _replace_prediction(earlier, fresh, model)
    return earlier


def _replace_prediction(earlier: "Labels", fresh: "Labels", model: ModelVersion) -> None:
    """Give a layer what a newer prediction says, in a way that can be undone."""
    old, new = _behind(earlier), _behind(fresh)
    classes = classes_of(earlier), classes_of(fresh)
    earlier.metadata = {**earlier.metadata, KEY: replace(fresh.metadata[KEY], layer=earlier.unique_id)}
    earlier.data = fresh.data
    earlier.colormap, earlier.features = fresh.colormap, fresh.features
    set_model(earlier, replace(model, confirmed=True))
    carried = annotation_of(earlier).all_by(model, new[0])
    if [array.shape for array in old] == [array.shape for array in new]:
        log(earlier, "Segment", list(zip(old, new, strict=True)), classes, carried)


def _behind(layer: "Labels") -> "list[NDArray[np.integer]]":
    """Return the array of a prediction's layer, after that of its volume where the layer shows a resampled copy."""
    tag: Tag = layer.metadata[KEY]
    return [layer.data] if tag.shown_on is None else [np.asarray(tag.volume.data), layer.data]


def add_map(viewer: "ViewerModel", image: "Image", shown: Volume, look: "Mapping[str, Any]") -> "Image":
    """Show what a model says beside its labels, in place of what it said before, and return the layer.

    Parameters
    ----------
    viewer : ViewerModel
        Where `image` is.
    image : Image
        What was predicted on.
    shown : Volume
        Probabilities or uncertainty, on the grid of the image's volume.
    look : mapping
        Keyword arguments of the layer, such as its colormap.
    """
    ((data, about, kind),) = to_layer_tuples(shown, frame_of(viewer.layers))
    source = (image.unique_id, shown.name)
    earlier = [layer for layer in viewer.layers if layer.metadata.get(MAP_OF) == source]
    for layer in earlier:
        viewer.layers.remove(layer)
    about["metadata"] = {**about["metadata"], MAP_OF: source}
    made = Layer.create(data, {**about, **look, "name": f"{image.name} {shown.name}"}, kind)
    viewer.add_layer(made)
    return made


def painted_labels(image: "Image", labels: Volume, name: str) -> "Labels":
    """Return a labels layer with what was painted on an image before, to be added to a viewer.

    Parameters
    ----------
    image : Image
        What it was painted on.
    labels : Volume
        On exactly the grid of the image.
    name : str
        Of the layer.
    """
    layer = labels_layer(image, np.asarray(labels.data), "painted", name)
    set_classes(layer, (*labels.classes, PAINTED_BACKGROUND))
    return layer


def overlay(layer: "Labels", shown: "Volume", name: str) -> "Labels":
    """Return a labels layer over another, to be added to a viewer: what would change in it, or where it is wrong.

    Parameters
    ----------
    layer : Labels
        Any.
    shown : Volume
        Labels with classes, on the grid of `own_labels`.
    name : str
        Of the new layer.
    """
    over = labels_layer(layer, np.asarray(shown.data), "preview", name)
    set_classes(over, shown.classes)
    return over


def _read(prediction: "Prediction | Volume") -> "tuple[NDArray[np.integer], tuple[LabelClass, ...], str]":
    """Return the labels, the classes and the name of what made them."""
    if isinstance(prediction, Prediction):
        found = prediction.label_map
        return found.labels, found.classes, prediction.bundle
    return np.asarray(prediction.data), prediction.classes, prediction.name


def labels_layer(image: "Image | Labels", labels: "NDArray[np.integer]", role: Role, name: str) -> "Labels":
    """Return a labels layer that lies exactly where `image` does."""
    from napari.layers import Labels

    base = layer_tag(image)
    if labels.shape != base.volume.spatial_shape:
        raise GeometryError(
            f"The labels have {labels.shape} voxels but {image.name} has {base.volume.spatial_shape}.",
            "Predict again: the image was changed since.",
        )
    if not labels.flags.writeable:
        labels = labels.copy()
    volume = Volume(
        labels,
        base.geometry,
        name=name,
        kind="labels",
        modality=base.volume.modality,
        series_id=base.volume.series_id,
        source=base.volume.source,
    )
    tag = replace(base, volume=volume, role=role, image=image.unique_id)
    count = len(base.volume.spatial_axes)
    layer = Labels(shown_labels(tag), name=name, **placed_like(image, count))
    layer.metadata = {KEY: replace(tag, layer=layer.unique_id)}
    return layer


def shown_labels(tag: Tag) -> "NDArray[np.integer]":
    """Return the array that a layer of labels, or of another map that is not interpolated, shows."""
    labels = np.asarray(tag.volume.data)
    if tag.shown_on is None or tag.geometry is None:
        return labels
    return pull(labels, tag.geometry, tag.shown_on, linear=False)


def placed_like(image: "Image | Labels", count: int) -> dict[str, Any]:
    """Return keyword arguments that put a layer of `count` axes where the last axes of `image` are."""
    return {
        "scale": image.scale[-count:],
        "translate": image.translate[-count:],
        "rotate": image.rotate[-count:, -count:],
        "shear": image.shear[-count * (count - 1) // 2 :] if count > 1 else None,
        "affine": image.affine.set_slice(list(range(image.ndim - count, image.ndim))),
        "units": image.units[-count:],
        "axis_labels": image.axis_labels[-count:],
    }


def earlier_layer(viewer: "ViewerModel", image: "Image", role: Role, name: str) -> "Labels | None":
    """Return the layer of this role and name that we made for `image`; None if it is gone or painted on."""
    wanted = (role, image.unique_id, name)
    for layer in viewer.layers:
        tag = layer.metadata.get(KEY)
        ours = isinstance(tag, Tag) and tag.layer == layer.unique_id
        if ours and (tag.role, tag.image, tag.volume.name) == wanted:
            return layer
    return None


def _keep_painted(event: "Event") -> None:
    keep_for_user(event.source)
