"""Boxes over their image: rectangles on each slice they are on, and wireframes in 3D."""

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.data.boxes import labels_of_boxes, rectangles_of_boxes
from napari_medseg.errors import DataError
from napari_medseg.ui.layers.classes import PAINTED_BACKGROUND
from napari_medseg.ui.layers.images import image_volume
from napari_medseg.ui.layers.labels import layer_tag
from napari_medseg.ui.layers.results import new_labels, placed_like
from napari_medseg.volume import LabelClass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Shapes
    from numpy.typing import NDArray

    from napari_medseg.prediction import Boxes

BOXES_OF = "napari_medseg_boxes_of"
"""Where a layer of boxes remembers its image, in ``layer.metadata``."""
NUMBER = "number"
"""Feature of a shape: which of the boxes it belongs to."""
SIDES = ((0, 1, 3, 2, 0), (4, 5, 7, 6, 4), (0, 1, 5, 4, 0), (2, 3, 7, 6, 2))
"""Corners of four faces of a box, each walked around: together they pass all its edges."""
CAPTION = "#f08c00"
"""Readable on dark scans and on bright slides."""
PICKED = "#ffffff"


def show_boxes(
    viewer: "ViewerModel", image: "Image", boxes: "Boxes", numbers: "Sequence[int]", picked: int | None
) -> "list[Shapes]":
    """Show boxes on their image in place of those that were there, and return the layers: slices, and frames in 3D.

    Parameters
    ----------
    viewer : ViewerModel
        Where `image` is.
    image : Image
        What was looked at.
    boxes : Boxes
        Those to show, in voxels of the image's volume.
    numbers : sequence of int
        What the user knows each by.
    picked : int, optional
        Number of the one that stands out.

    Raises
    ------
    DataError
        If the image is shown resampled, so that rectangles would not lie on it.
    """
    if layer_tag(image).shown_on is not None:
        raise DataError(
            f"{image.name} is shown resampled, so boxes cannot be drawn on it.",
            "Open it in a window of its own, where it is shown on its own grid.",
        )
    volume = image_volume(image)
    parts = [("boxes", *_on_slices(boxes))]
    if boxes.axes == 3:
        parts.append(("boxes in 3D", *_frames(boxes)))
    made = []
    for kind, drawn, owners in parts:
        look = _look(boxes, numbers, owners, picked, volume.spatial_shape, kind == "boxes")
        made.append(_shown(viewer, image, kind, drawn, look))
    show_for_dimensions(viewer, made)
    return made


def show_for_dimensions(viewer: "ViewerModel", layers: "Sequence[Shapes]") -> None:
    """Show rectangles while slices are shown and frames while the scene is 3D."""
    for number, layer in enumerate(layers):
        layer.visible = len(layers) == 1 or (viewer.dims.ndisplay == 3) == bool(number)


def remove_boxes(viewer: "ViewerModel", image: "Image") -> None:
    """Remove what `show_boxes` added for an image."""
    for layer in [one for one in viewer.layers if one.metadata.get(BOXES_OF, (None,))[0] == image.unique_id]:
        viewer.layers.remove(layer)


def boxes_as_labels(boxes: "Boxes", image: "Image") -> "Labels":
    """Return a labels layer of boxes, to be added to a viewer: each thing by itself if there are masks, else filled.

    Parameters
    ----------
    boxes : Boxes
        In voxels of the image's volume.
    image : Image
        What was looked at.
    """
    shape = image_volume(image).spatial_shape
    separate = boxes.masks is not None
    filled = labels_of_boxes(boxes, shape[-boxes.axes :], instances=separate)
    classes = boxes.classes
    if separate:
        # One number is taken: it stands for background that the user painted.
        filled = np.where(filled >= PAINTED_BACKGROUND.value, filled + 1, filled)
        numbers = [k + (k >= PAINTED_BACKGROUND.value) for k in range(1, len(boxes) + 1)]
        classes = tuple(LabelClass(value=k, name=f"{name} {k}") for k, name in zip(numbers, boxes.names, strict=True))
    layer = new_labels(image, classes)
    layer.data = filled.reshape(shape).astype(np.result_type(layer.data.dtype, filled.dtype))
    return layer


def _shown(
    viewer: "ViewerModel", image: "Image", kind: str, drawn: "list[NDArray[np.float64]]", look: "dict[str, Any]"
) -> "Shapes":
    """Fill the layer of this kind, or make it."""
    earlier = next((one for one in viewer.layers if one.metadata.get(BOXES_OF) == (image.unique_id, kind)), None)
    shape_type = "rectangle" if kind == "boxes" else "path"
    if earlier is not None:
        index = viewer.layers.index(earlier)
        viewer.layers.remove(earlier)
    count = drawn[0].shape[1] if drawn else len(image_volume(image).spatial_shape)
    active = viewer.layers.selection.active
    layer = viewer.add_shapes(
        drawn or None,
        ndim=count,
        shape_type=shape_type,
        name=f"{image.name} {kind}",
        metadata={BOXES_OF: (image.unique_id, kind)},
        **(look if drawn else {}),
        **placed_like(image, count),
    )
    layer.editable = False
    if earlier is not None:
        viewer.layers.move(len(viewer.layers) - 1, index)
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active
    return layer


def _look(
    boxes: "Boxes",
    numbers: "Sequence[int]",
    owners: "Sequence[int]",
    picked: int | None,
    shape: "tuple[int, ...]",
    captions: bool,
) -> "dict[str, Any]":
    """Return colours, captions and features of drawn shapes, each of which belongs to a box."""
    colours = {entry.value: entry.color or "#e8a33d" for entry in boxes.classes}
    own = [numbers[owner] for owner in owners]
    width = max(min(shape[-2:]) / 250, 0.2)
    look: dict[str, Any] = {
        "features": {
            NUMBER: own,
            "class": [boxes.names[owner] for owner in owners],
            "score": [float(boxes.scores[owner]) for owner in owners],
        },
        "edge_color": [
            PICKED if number == picked else colours[int(boxes.labels[owner])]
            for number, owner in zip(own, owners, strict=True)
        ],
        "edge_width": [2 * width if number == picked else width for number in own],
        "face_color": "transparent",
    }
    if captions:
        look["text"] = {"string": "{class} {score:.2f}", "size": 9, "color": CAPTION, "anchor": "upper_left"}
    return look


def _on_slices(boxes: "Boxes") -> "tuple[list[NDArray[np.float64]], list[int]]":
    """Return rectangles and the box that each belongs to: one per slice that a box is on."""
    if boxes.axes == 2:
        return rectangles_of_boxes(boxes.edges), list(range(len(boxes)))
    drawn, owners = [], []
    for number in range(len(boxes)):
        edges = boxes.edges[number : number + 1]
        for index in range(int(np.floor(edges[0, 0, 0])), int(np.ceil(edges[0, 1, 0]))):
            for rectangle in rectangles_of_boxes(edges, index):
                drawn.append(rectangle)
                owners.append(number)
    return drawn, owners


def _frames(boxes: "Boxes") -> "tuple[list[NDArray[np.float64]], list[int]]":
    corners = rectangles_of_boxes(boxes.edges)
    drawn = [box[list(side)] for box in corners for side in SIDES]
    return drawn, [number for number in range(len(boxes)) for _side in SIDES]
