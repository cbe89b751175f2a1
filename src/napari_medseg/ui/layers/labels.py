"""Labels layers back to label volumes, on the exact grid of the image they were painted on."""

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.errors import GeometryError
from napari_medseg.ui.layers.classes import classes_of
from napari_medseg.ui.layers.images import image_volume, layer_geometry
from napari_medseg.ui.layers.regrid import pull
from napari_medseg.ui.layers.tag import KEY, Tag, frame_of, same_place, spatial_shape, spatial_transform, tag_of
from napari_medseg.ui.layers.world import Frame
from napari_medseg.volume import Geometry, Volume

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

MAKE_LABELS = "Make a labels layer for this image with the plugin's own button, and paint on that."


def labels_volume(layer: "Labels", images: "Iterable[Layer]" = (), data: "NDArray[np.integer] | None" = None) -> Volume:
    """Return what a labels layer holds, on the exact grid of its image.

    Parameters
    ----------
    layer : Labels
        Made by us, by napari's own button, or by anything else.
    images : iterable of Layer
        Layers that it may have been painted on, the likeliest first; usually ``viewer.layers``. A layer without a tag
        of its own takes the grid of the first of them that covers the same voxels, whichever way its axes run.
    data : integer array, optional
        Taken instead of the layer's own array, whose shape it has.

    Returns
    -------
    Volume
        Of kind ``"labels"``, with the class names of the layer. If no image has the layer's grid, the geometry is the
        one that its scale and position describe, with a warning.
    """
    others = _candidates(layer, images)
    tag = tag_of(layer)
    whole = _whole(layer) if data is None else data
    if tag is not None:
        return _described(layer, _own_grid(tag, whole), tag.volume)
    for other in others:
        flips = _flips_onto(layer, other)
        if flips is not None:
            return _on_image(layer, whole, other, flips)
    return replace(placed_labels(layer, others), data=whole)


def placed_labels(layer: "Labels", others: "Iterable[Layer]" = ()) -> Volume:
    """Return a layer's array as it is, on the grid that its scale and position describe, with a warning.

    Parameters
    ----------
    layer : Labels
        Any.
    others : iterable of Layer
        Layers beside it, which may say how the world lies in the patient.
    """
    geometry, warnings = layer_geometry(layer, frame_of(others))
    lead = tuple(str(label) for label in layer.axis_labels[: max(0, layer.ndim - 3)])
    classes = classes_of(layer)
    return Volume(
        _whole(layer), geometry, name=layer.name, kind="labels", axes=lead, classes=classes, warnings=warnings
    )


def _candidates(layer: "Labels", images: "Iterable[Layer]") -> "list[Layer]":
    """Return the layers that `layer` may have been painted on, those of ours first: their grids are exact."""
    from napari.layers import Image

    others = [other for other in images if other is not layer]
    ours = [other for other in others if tag_of(other) is not None]
    return [*ours, *(other for other in others if isinstance(other, Image) and other not in ours)]


def labels_on(layer: "Labels", image: "Layer") -> Volume:
    """Return what a labels layer holds, on exactly the grid of `image`.

    Labels on another grid, such as the union of two series, are brought to the image's by nearest neighbour, with a
    warning.

    Raises
    ------
    GeometryError
        If the two do not lie on one another.
    """
    return moved_onto(labels_volume(layer, [image]), image_volume(image))


def moved_onto(found: Volume, target: Volume) -> Volume:
    """Return labels on exactly the grid of another volume; see `labels_on`."""
    if found.geometry is None or target.geometry is None:
        if found.spatial_shape != target.spatial_shape or found.geometry is not None:
            raise GeometryError(
                f"{found.name} has {found.spatial_shape} voxels and {target.name} has {target.spatial_shape}, and they "
                f"have no common place in space.",
                MAKE_LABELS,
            )
        return replace(found, geometry=target.geometry)
    return _turned(found, target.geometry) or _moved(found, target.name, target.geometry)


def on_same_grid(found: Volume, target: Volume) -> Volume:
    """Return labels turned onto the grid of another volume, if it has the very same voxels.

    Raises
    ------
    GeometryError
        If the voxels are others.
    """
    if found.geometry is None or target.geometry is None:
        same = found.geometry is target.geometry and found.data.shape == target.data.shape
        turned = found if same else None
    else:
        turned = _turned(found, target.geometry)
    if turned is None:
        raise GeometryError(
            f"{found.name} has other voxels than {target.name}.",
            "Predict on the image that the labels were made for.",
        )
    return turned


def _turned(found: Volume, target: Geometry) -> Volume | None:
    """Return labels on a grid of the same voxels, whichever way its axes run; None if the voxels are others."""
    spatial = found.spatial_axes
    for flips in product((False, True), repeat=len(spatial)):
        grid = found.geometry
        for axis in np.flatnonzero(flips):
            grid = None if grid is None else grid.flipped(int(axis))
        if grid is not None and grid.matches(target):
            axes = tuple(spatial[axis] for axis in np.flatnonzero(flips))
            data = np.flip(np.asarray(found.data), axes) if axes else found.data
            return replace(found, data=data, geometry=target)
    return None


def _moved(found: Volume, target_name: str, target: Geometry) -> Volume:
    """Return labels on another grid, by nearest neighbour."""
    source = found.geometry
    if source is None or source.ndim != 3 or target.ndim != 3 or not _overlap(source, target):
        raise GeometryError(f"{found.name} does not lie on {target_name}.", MAKE_LABELS)
    warning = f"{found.name} was made on another grid than {target_name}; each voxel took the nearest label."
    data = pull(np.asarray(found.data), source, target, linear=False)
    return replace(found, data=data, geometry=target, warnings=(*found.warnings, warning))


def _overlap(one: Geometry, other: Geometry) -> bool:
    """Return whether the boxes of two grids, seen along the first one's axes, have a voxel in common."""
    corners = one.to_index(other.corners())
    low, high = corners.min(axis=0), corners.max(axis=0)
    return bool((low < np.array(one.shape) - 0.5).all() and (high > -0.5).all())


def _whole(layer: "Labels") -> "NDArray[np.integer]":
    """Return the layer's labels at full resolution, in memory."""
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def _described(layer: "Labels", data: "NDArray[np.integer]", volume: Volume) -> Volume:
    """Return labels with the place of `volume` and the names of `layer`."""
    return Volume(
        data,
        volume.geometry,
        name=layer.name,
        kind="labels",
        modality=volume.modality,
        axes=volume.axes[-(data.ndim - len(volume.spatial_axes)) :] if data.ndim > len(volume.spatial_axes) else (),
        classes=classes_of(layer),
        series_id=volume.series_id,
        source=volume.source,
        warnings=volume.warnings,
    )


def _own_grid(tag: Tag, labels: "NDArray[np.integer]") -> "NDArray[np.integer]":
    """Return labels that are shown with `tag` on the volume's own grid.

    Where the viewer shows a resampled copy, only voxels whose label was changed there take the nearest shown label:
    what was read and left alone comes back exactly.
    """
    grid = tag.geometry
    if tag.shown_on is None or grid is None:
        return labels
    back = pull(labels, tag.shown_on, grid, linear=False)
    if tag.volume.kind != "labels" or tag.volume.data.shape != back.shape:
        return back
    original = np.asarray(tag.volume.data)
    untouched = pull(pull(original, grid, tag.shown_on, linear=False), tag.shown_on, grid, linear=False)
    return np.where(back == untouched, original, back)


def _on_image(layer: "Labels", data: "NDArray[np.integer]", image: "Layer", flips: tuple[int, ...]) -> Volume:
    """Return labels that cover the same voxels as `image`, on its grid."""
    tag = layer_tag(image)
    lead = data.ndim - len(tag.volume.spatial_axes)
    flipped = np.flip(data, tuple(lead + axis for axis in flips)) if flips else data
    placed = replace(tag, volume=replace(tag.volume, kind="image"))
    return _described(layer, _own_grid(placed, flipped), tag.volume)


def layer_tag(image: "Layer") -> Tag:
    """Return the tag of an image layer; a foreign or moved one gets that of the volume it shows."""
    tag = tag_of(image)
    if tag is not None:
        return tag
    stale = image.metadata.get(KEY)
    volume = image_volume(image)
    lies = spatial_transform(image, len(volume.spatial_axes))
    return Tag(volume, stale.frame if isinstance(stale, Tag) else Frame.patient(), lies=lies)


def _flips_onto(layer: "Labels", image: "Layer") -> tuple[int, ...] | None:
    """Return the axes to flip so that the layer's voxels are the image's; None if the grids differ."""
    count = len(layer_tag(image).volume.spatial_axes)
    if layer.ndim < count or spatial_shape(layer, count) != spatial_shape(image, count):
        return None
    shape = spatial_shape(image, count)
    there, here = spatial_transform(image, count), spatial_transform(layer, count)
    for flips in product((False, True), repeat=count):
        turned = _flipped(there, shape, flips)
        if same_place(here, turned, shape):
            return tuple(axis for axis, flip in enumerate(flips) if flip)
    return None


def _flipped(
    transform: "NDArray[np.float64]", shape: tuple[int, ...], flips: tuple[bool, ...]
) -> "NDArray[np.float64]":
    """Return the index-to-world matrix of an array flipped along some axes."""
    turned = transform.copy()
    for axis in np.flatnonzero(flips):
        turned[:, -1] += turned[:, axis] * (shape[axis] - 1)
        turned[:, axis] *= -1
    return turned
