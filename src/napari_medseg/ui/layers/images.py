"""Volumes to layers, and image layers back to volumes."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.errors import GeometryError
from napari_medseg.ui.layers.classes import class_display, present_classes
from napari_medseg.ui.layers.regrid import pull
from napari_medseg.ui.layers.tag import KEY, Tag, same_place, spatial_shape, spatial_transform, tag_of
from napari_medseg.ui.layers.world import Frame
from napari_medseg.volume import Geometry, LabelClass, Volume

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from numpy.typing import NDArray

LayerTuple = tuple[Any, dict[str, Any], str]
"""Array, keyword arguments and type name, for ``Layer.create``."""

ROTATED_VOXELS = 0.5
"""A series that is further off the viewer's axes than this is resampled to be shown."""

AXIS_LABELS = ("z", "y", "x")


def to_layer_tuples(volume: Volume, frame: Frame | None = None) -> list[LayerTuple]:
    """Return the layers that show a volume where the patient is.

    Parameters
    ----------
    volume : Volume
        An image or a label map.
    frame : Frame, optional
        The world's axes, from `frame_of` on the viewer's layers; without one the volume sets its own. A series that
        does not fit the frame is shown resampled, with a warning in its tag's volume; its labels still go back to its
        own grid.

    Returns
    -------
    list of (array, dict, str)
        One tuple for ``Layer.create``.
    """
    tag = tag_volume(volume, frame)
    data = shown(tag)
    keywords = placed(tag, data.ndim - volume.rgb) | {"name": volume.name}
    if volume.kind == "labels":
        return [(data, keywords | _labels_display(tag.volume), "labels")]
    return [(data, keywords | image_display(volume), "image")]


def tag_volume(volume: Volume, frame: Frame | None) -> Tag:
    """Return the tag of a new layer for `volume`, in its frame or in one of its own."""
    volume = replace(volume, data=displayable(volume))
    if volume.geometry is None:
        return Tag(volume, Frame.patient())
    own = Frame.of(volume.geometry)
    frame = frame or own
    if frame.place(volume.geometry).residual_voxels <= ROTATED_VOXELS:
        return Tag(volume, frame)
    if volume.geometry.ndim == 2:
        return Tag(volume, own)
    grid = frame.covering(volume.geometry)
    reason = "its axes are not at right angles" if frame is own else "its axes are oblique to those of the first series"
    warning = (
        f"{volume.name} is shown resampled, because {reason}. Training, prediction and saved labels use its own grid."
    )
    return Tag(replace(volume, warnings=(*volume.warnings, warning)), frame, shown_on=grid)


def displayable(volume: Volume) -> Any:  # noqa: ANN401 - numpy or dask
    """Return the array in a type that napari shows: native byte order, whole numbers for labels, no half floats."""
    data = volume.data
    if not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    if volume.kind == "image":
        return data.astype(np.uint8) if data.dtype == bool else data
    labels = np.asarray(data)
    if labels.dtype.kind == "f":
        return whole_numbers(labels, volume.name)
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    # A file mapped for reading only cannot be painted on.
    return labels if labels.flags.writeable and type(labels) is np.ndarray else np.array(labels)


def whole_numbers(labels: "NDArray[np.floating]", name: str) -> "NDArray[np.integer]":
    """Return class numbers that were stored as floating point numbers."""
    whole = np.nan_to_num(labels, nan=0.0, posinf=-0.5, neginf=-0.5)
    if whole.size and not np.array_equal(whole, np.rint(whole)):
        raise GeometryError(
            f"{name} has values that are not whole numbers, so it is no label map.",
            "Open it as an image, or threshold it first.",
        )
    low, high = (int(whole.min()), int(whole.max())) if whole.size else (0, 0)
    smallest: np.dtype[np.integer] = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
    return np.asarray(whole, dtype=smallest)


def shown(tag: Tag) -> Any:  # noqa: ANN401 - numpy or dask
    """Return the array that the layer shows: the volume's own, or resampled to the world's axes."""
    volume = tag.volume
    if tag.shown_on is None or volume.geometry is None:
        return volume.data
    values = np.asarray(volume.data)
    if volume.kind == "labels":
        return pull(values, volume.geometry, tag.shown_on, linear=False)
    if volume.rgb:
        values = np.moveaxis(values, -1, 0)
    fill = float(np.nanmin(values)) if values.size else 0.0
    moved = pull(values, volume.geometry, tag.shown_on, linear=True, fill=fill)
    return np.moveaxis(moved, 0, -1) if volume.rgb else moved


def placed(tag: Tag, ndim: int) -> dict[str, Any]:
    """Return the keyword arguments that put a layer of `ndim` axes in its place, with its tag."""
    grid = tag.shown_on or tag.geometry
    spatial = len(tag.volume.spatial_axes)
    labels = (*tag.volume.axes, *AXIS_LABELS[-spatial:])[-ndim:]
    metadata = {"metadata": {KEY: tag}, "axis_labels": labels}
    if grid is None:
        return metadata
    placement = tag.frame.place(grid)
    lead = ndim - len(placement.scale)
    return metadata | {
        "scale": (*[1.0] * lead, *placement.scale),
        "translate": (*[0.0] * lead, *placement.translate),
        "units": (*["pixel"] * lead, *["mm"] * len(placement.scale)),
    }


def image_display(volume: Volume) -> dict[str, Any]:
    """Return how an image is shown: its colours, or its window."""
    if volume.rgb:
        return {"rgb": True}
    return {"rgb": False, "contrast_limits": volume.window or robust_limits(volume)}


def robust_limits(volume: Volume) -> tuple[float, float]:
    """Return the 0.5th and 99.5th percentile of a sample of the voxels, for display."""
    values = _sample(volume)
    if not values.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.5)))
    # Nearly all voxels have one value, as in a mask.
    return (low, high) if low < high else value_range(volume)


def value_range(volume: Volume) -> tuple[float, float]:
    """Return the smallest and the largest value in a sample of the voxels, never the same."""
    values = _sample(volume)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return (low, high) if low < high else (low, low + 1.0)


def _sample(volume: Volume) -> "NDArray[np.float64]":
    """Return some 200,000 voxels that are numbers, from a few planes only, so that a lazy series stays lazy."""
    data = volume.data
    first = volume.spatial_axes[0]
    # The outer tenths of a series are often air.
    picks = np.unique((np.linspace(0.1, 0.9, 9) * (data.shape[first] - 1)).round().astype(int))
    if len(volume.spatial_axes) == 2:
        picks = np.arange(data.shape[first])
    lead = tuple(n // 2 for n in data.shape[:first])
    step = max(1, int(np.sqrt(np.prod(data.shape[first + 1 :]) / 20_000)))
    values = np.asarray(data[lead][picks][..., ::step]).astype(np.float64, copy=False).ravel()
    return np.asarray(values[np.isfinite(values)])


def widen_contrast_range(layer: "Layer") -> None:
    """Let the contrast slider of one of our images reach all values; napari lets it reach the window alone."""
    tag = tag_of(layer)
    if tag is None or tag.volume.kind == "labels" or tag.volume.rgb or type(layer).__name__ != "Image":
        return
    low, high = value_range(tag.volume)
    shown = layer.contrast_limits
    layer.contrast_limits_range = (min(low, shown[0]), max(high, shown[1]))


def _labels_display(volume: Volume) -> dict[str, Any]:
    classes: tuple[LabelClass, ...] = volume.classes or present_classes(np.asarray(volume.data))
    return class_display(classes) if classes else {}


def image_volume(layer: "Image | Labels") -> Volume:
    """Return the volume that an image layer shows, on its own exact grid.

    Parameters
    ----------
    layer : Image or Labels
        Ours, or any other. The grid of a foreign layer is taken from its scale, translate, rotation and affine, with a
        warning, since they do not say where the patient's right is; a foreign layer that has none has no geometry.
    """
    tag = tag_of(layer)
    if tag is None:
        return _foreign_volume(layer)
    if tag.shown_on is not None:
        return tag.volume
    return replace(tag.volume, data=layer.data)


def geometry_of(layer: "Image | Labels") -> Geometry | None:
    """Return the exact grid of what a layer shows; None if it has no place in space."""
    return image_volume(layer).geometry


def _foreign_volume(layer: "Image | Labels") -> Volume:
    """Return what a layer shows that we did not make, or that was changed since."""
    geometry, warnings = layer_geometry(layer)
    lead = max(0, int(layer.ndim) - 3)
    volume = Volume(
        layer.data[0] if layer.multiscale else layer.data,
        geometry,
        name=layer.name,
        kind="labels" if type(layer).__name__ == "Labels" else "image",
        rgb=bool(getattr(layer, "rgb", False)),
        axes=tuple(str(label) for label in layer.axis_labels[:lead]),
        warnings=warnings,
    )
    tag = layer.metadata.get(KEY)
    if not isinstance(tag, Tag):
        return volume
    return replace(volume, modality=tag.volume.modality, units=tag.volume.units, window=tag.volume.window)


def layer_geometry(layer: "Layer", frame: Frame | None = None) -> tuple[Geometry | None, tuple[str, ...]]:
    """Return the grid that a layer's own transform describes, and what had to be assumed to say so.

    Parameters
    ----------
    layer : Layer
        Without a tag, or no longer where its tag says.
    frame : Frame, optional
        The world's axes in the patient, if the layers beside it tell.
    """
    count = min(int(layer.ndim), 3)
    shape, transform = spatial_shape(layer, count), spatial_transform(layer, count)
    measured = any(unit.is_compatible_with("mm") for unit in layer.units[-count:])
    if not measured and same_place(transform, np.eye(count, count + 1), shape):
        return None, (f"{layer.name} has no position or voxel size, so it is taken as it is stored.",)
    tag = layer.metadata.get(KEY)
    if isinstance(tag, Tag):
        frame = tag.frame
        warnings: tuple[str, ...] = (
            f"{layer.name} was moved, scaled or cropped since it was opened: its grid is that of the layer now.",
        )
    elif frame is not None:
        warnings = ()
    else:
        warnings = (
            f"{layer.name} was not opened by this plugin: its grid is taken from the layer's scale and position, and "
            f"its axes as inferior, posterior and left. Open the file with this plugin for the exact grid.",
        )
    world = np.zeros((3, 4))
    world[3 - count :, :count] = transform[:, :-1]
    world[3 - count :, 3] = transform[:, -1]
    affine = np.eye(4)
    affine[:3] = (frame or Frame.patient()).world_from_ras.T @ world
    return Geometry(shape, affine), warnings
