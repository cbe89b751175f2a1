"""Classes of images, slices and regions as a layer: an outline of each with its class written on it."""

from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.ui.layers.images import image_volume
from napari_medseg.ui.layers.labels import layer_tag
from napari_medseg.ui.layers.results import placed_like

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Shapes
    from numpy.typing import NDArray

ANSWERS_OF = "napari_medseg_answers_of"
"""Where a layer of answers remembers its image, in ``layer.metadata``."""
Box = tuple[slice, ...]


def add_answers(
    viewer: "ViewerModel", image: "Image", boxes: "Sequence[Box | None]", features: "Mapping[str, Sequence[object]]"
) -> "Shapes | None":
    """Show answers on their image, in place of those that were there, and return the layer.

    Parameters
    ----------
    viewer : ViewerModel
        Where `image` is.
    image : Image
        What was classified.
    boxes : sequence of (tuple of slice or None)
        On the grid of the image's volume; None for all of it.
    features : mapping of str to sequence
        Columns, one entry per box: ``image``, ``predicted``, ``sure``, ``p_<class>`` and so on.

    Returns
    -------
    Shapes or None
        None for an image that is shown resampled, on which outlines would not lie.
    """
    for layer in [one for one in viewer.layers if one.metadata.get(ANSWERS_OF) == image.unique_id]:
        viewer.layers.remove(layer)
    tag = layer_tag(image)
    if tag.shown_on is not None:
        return None
    shape = image_volume(image).spatial_shape
    outlines = [outline for box in boxes for outline in _outlines(box, shape)]
    counts = [len(_outlines(box, shape)) for box in boxes]
    columns = {name: np.repeat(np.asarray(values), counts) for name, values in features.items()}
    made = viewer.add_shapes(
        outlines,
        shape_type="rectangle",
        features=columns,
        edge_color="#e8a33d",
        edge_width=max(min(shape[-2:]) / 200, 0.2),
        face_color="transparent",
        # In the middle, for the axes of scans are mirrored, and what is first in the array may be last on the screen.
        text={"string": "{predicted} {sure:.2f}", "size": 10, "color": "#ffd28a", "anchor": "center"},
        name=f"{image.name} classes",
        metadata={ANSWERS_OF: image.unique_id},
        **placed_like(image, len(shape)),
    )
    made.editable = False
    return made


def _outlines(box: "Box | None", shape: tuple[int, ...]) -> "list[NDArray[np.float64]]":
    """Return a rectangle, or one per slice, as (corner, axis) voxel indices."""
    sides = [slice(0, edge) if box is None or box[axis].start is None else box[axis] for axis, edge in enumerate(shape)]
    (top, bottom), (left, right) = ((side.start - 0.5, side.stop - 0.5) for side in sides[-2:])
    plane = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    if len(shape) == 2:
        return [plane]
    return [np.column_stack([np.full(4, float(k)), plane]) for k in range(sides[0].start, sides[0].stop)]
