"""What a training shows while it runs: its labels, and how sure it is of them, on the slices that it came to."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.ui.layers.classes import set_classes
from napari_medseg.ui.layers.labels import layer_tag
from napari_medseg.ui.layers.regrid import pull
from napari_medseg.ui.layers.results import MAP_OF, earlier_layer, labels_layer, placed_like, shown_labels
from napari_medseg.ui.layers.tag import KEY, Tag, tag_of
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from numpy.typing import NDArray

    from napari_medseg.volume import LabelClass

PREVIEWED = "napari_medseg_previewed"
"""Where a preview layer remembers which slices were put into it, in ``layer.metadata``."""
PREVIEW_OPACITY = 0.5
UNCERTAIN: dict[str, Any] = {"colormap": "inferno", "blending": "additive", "opacity": 0.7}
"""How uncertainty is shown: black where the model is sure, bright where it is not."""
UTMOST = 255
"""Doubt where all classes are as likely, or models disagree."""
LITTLE = 90
"""Doubt that is not shown: next to every border there is some."""
DOUBTFUL: dict[str, Any] = {"colormap": "inferno", "blending": "additive", "opacity": 0.5}


def preview_layer(viewer: "ViewerModel", image: "Image", classes: "Iterable[LabelClass]") -> "Labels":
    """Return the layer that shows a model in training on `image`: the one that is there, or a new one, added.

    It cannot be painted on, and it is never the user's own labels.
    """
    classes = tuple(classes)
    name = f"{image.name} preview"
    layer = earlier_layer(viewer, image, "preview", name)
    if layer is None:
        highest = max((c.value for c in classes), default=0)
        shape = layer_tag(image).volume.spatial_shape
        layer = labels_layer(image, np.zeros(shape, np.min_scalar_type(highest)), "preview", name)
        layer.opacity = PREVIEW_OPACITY
        layer.metadata[PREVIEWED] = set()
        viewer.add_layer(layer)
        layer.editable = False
    set_classes(layer, classes)
    return layer


def doubt_layer(viewer: "ViewerModel", image: "Image") -> "Image":
    """Return a new layer, hidden at first, that shows where a model in training on `image` is in doubt.

    It is added in place of an earlier one.
    """
    from napari.layers import Image

    if (earlier := doubt_of(viewer.layers, image)) is not None:
        viewer.layers.remove(earlier)
    base = layer_tag(image)
    empty = np.zeros(base.volume.spatial_shape, np.uint8)
    volume = Volume(empty, base.geometry, name=f"{image.name} preview uncertainty", series_id=base.volume.series_id)
    tag = replace(base, volume=volume, role="preview", image=image.unique_id)
    layer = Image(
        shown_labels(tag),
        name=volume.name,
        contrast_limits=(LITTLE, UTMOST),
        visible=False,
        **DOUBTFUL,
        **placed_like(image, empty.ndim),
    )
    layer.metadata = {KEY: replace(tag, layer=layer.unique_id), MAP_OF: (image.unique_id, "preview uncertainty")}
    viewer.add_layer(layer)
    return layer


def doubt_of(layers: "Iterable[Layer]", image: "Image | Hashable") -> "Image | None":
    """Return the layer that shows how sure a model in training on an image is; None if there is none."""
    from napari.layers import Image

    wanted = image.unique_id if isinstance(image, Image) else image
    for layer in layers:
        tag = tag_of(layer)
        if isinstance(layer, Image) and tag is not None and (tag.role, tag.image) == ("preview", wanted):
            return layer
    return None


def show_preview(
    layer: "Labels | Image", axis: int, index: int, values: "NDArray[np.integer]", in_view: bool = True
) -> None:
    """Put what is known of one slice into a preview layer.

    Parameters
    ----------
    layer : Labels or Image
        From `preview_layer` or `doubt_layer`.
    axis, index : int
        The slice, in the spatial axes of the image's volume; of no meaning for a plane.
    values : (rows, columns) array
        Class values, or doubt from 0 to 255.
    in_view : bool
        Whether the slice may be in view; otherwise the layer is not drawn again.
    """
    tag: Tag = layer.metadata[KEY]
    own = np.asarray(tag.volume.data)
    layer.metadata.setdefault(PREVIEWED, set()).add((axis, index))
    if own.ndim == 2:
        own[...] = values.reshape(own.shape)
    else:
        own[_plane(axis, index)] = values
    if tag.shown_on is not None and tag.geometry is not None:
        _show_slab(layer, tag, axis, index)
    if in_view:
        layer.refresh(extent=False, thumbnail=False)


def previewed_slices(layer: "Labels") -> frozenset[tuple[int, int]]:
    """Return the (axis, index) of the slices that a preview layer says something about."""
    return frozenset(layer.metadata.get(PREVIEWED, ()))


def _plane(axis: int, index: int) -> tuple[slice | int, ...]:
    return (*[slice(None)] * axis, index)


def _show_slab(layer: "Labels | Image", tag: Tag, axis: int, index: int) -> None:
    """Resample the part of the shown grid that one slice of the volume's own grid reaches."""
    grid, shown = tag.geometry, tag.shown_on
    if grid is None or shown is None:
        return
    start, stop = [0, 0, 0], list(grid.shape)
    start[axis], stop[axis] = index, index + 1
    corners = shown.to_index(grid.cropped(start, stop).corners())
    # A neighbour's voxels reach up to one voxel further.
    low = np.clip(np.floor(corners.min(axis=0)) - 1, 0, np.array(shown.shape) - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 2, 1, np.array(shown.shape)).astype(int)
    part = shown.cropped([int(n) for n in low], [int(n) for n in high])
    region = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    layer.data[region] = pull(np.asarray(tag.volume.data), grid, part, linear=False)
