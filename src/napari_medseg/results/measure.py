"""How much of each class there is, where it is, and how bright the image is in it."""

import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.label_array import labels_on
from napari_medseg.errors import DataError, MedsegError
from napari_medseg.inference.postprocess.regions import Box, boxes, components
from napari_medseg.progress import Control, Event, with_time_left
from napari_medseg.results.label_map import PLANES, label_map
from napari_medseg.results.table import Measures
from napari_medseg.volume import Geometry, LabelClass, Volume

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Intensities:
    """The image that is measured, and how its values become those of the table."""

    values: NDArray[np.generic]
    """On the grid of the labels."""
    factor: float = 1.0
    """What the values are multiplied by."""
    unit: str = ""
    """Of the multiplied values; empty if unknown."""


def measure(
    labels: Volume, image: Volume | None = None, control: Control | None = None
) -> Generator[Event, None, tuple[Measures, ...]]:
    """Measure each class of a label map.

    Parameters
    ----------
    labels : Volume
        Label map of two or three axes.
    image : Volume, optional
        On the same grid; PET with a known factor is measured as SUV.
    control : Control, optional
        Cancels between two classes.

    Yields
    ------
    Event
        `Progress` per class.

    Returns
    -------
    tuple of Measures
        One per class that is named or occurs, in order of value.

    Raises
    ------
    DataError
        If the labels are no label map, or the image is not on their grid.
    """
    found = label_map(labels)
    light = None if image is None else intensities(image, labels)
    places = dict(boxes(found.labels, [c.value for c in found.classes if c.value]))
    foreground = [c for c in found.classes if c.value]
    started, result = time.monotonic(), []
    for done, entry in enumerate(foreground):
        if control is not None:
            control.checkpoint()
        yield with_time_left("Measuring", len(foreground), started, done)
        box = places.get(entry.value)
        result.append(_measure(found.labels, entry, box, labels.geometry, light))
    return tuple(result)


def intensities(image: Volume, labels: Volume) -> Intensities:
    """Return the values of an image and their unit.

    Raises
    ------
    DataError
        If the image has colours or several channels, or is not on the grid of the labels.
    """
    if image.rgb or int(np.prod(image.data.shape)) != int(np.prod(image.spatial_shape)):
        several = "colours" if image.rgb else f"several images, along {', '.join(image.axes)}"
        raise DataError(f"{image.name} has {several}, so there is no one intensity.", "Choose one channel or frame.")
    try:
        values = labels_on(image, labels.spatial_shape, labels.geometry, image.name)
    except MedsegError as error:
        raise DataError(
            f"{image.name} is not on the grid of {labels.name}.", "Choose the image that the labels were made on."
        ) from error
    if image.suv_factor is not None and image.units != "SUVbw":
        return Intensities(values, image.suv_factor, "SUVbw g/ml")
    return Intensities(values, unit=image.units or "")


def _measure(
    labels: NDArray[np.unsignedinteger],
    entry: LabelClass,
    box: Box | None,
    geometry: Geometry | None,
    light: Intensities | None,
) -> Measures:
    unit = None if light is None else light.unit
    planar = labels.ndim == 2
    size = None if geometry is None else float(np.prod(geometry.spacing)) if planar else geometry.voxel_volume_ml
    absent = Measures(value=entry.value, name=entry.name, unit=unit, planar=planar, size=None if size is None else 0.0)
    if box is None:
        return absent
    mask = labels[box] == entry.value
    voxels = int(np.count_nonzero(mask))
    known: dict[str, object] = {"voxels": voxels, "components": len(components(mask)[1])}
    if geometry is not None and size is not None:
        known |= {"size": voxels * size, **_place(mask, box, geometry)}
    if light is not None:
        known |= _brightness(light.values[box], mask, light.factor)
    return absent.model_copy(update=known)


def _place(mask: Mask, box: Box, geometry: Geometry) -> dict[str, tuple[float, ...]]:
    """Return the centroid, and the smallest box along the patient's axes that holds all voxels to their edges."""
    start = np.array([part.start for part in box], dtype=np.float64)
    voxels = np.count_nonzero(mask)
    sums = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        sums.append(float(np.arange(mask.shape[axis]) @ np.count_nonzero(mask, axis=others)))
    corners = geometry @ (_ends(mask) + start)
    half = np.abs(geometry.affine[:3, : mask.ndim]).sum(axis=1) / 2
    centre = geometry @ (start + np.array(sums) / voxels)
    return {
        "centroid_ras": tuple(float(v) for v in centre),
        "low_ras": tuple(float(v) for v in corners.min(axis=0) - half),
        "high_ras": tuple(float(v) for v in corners.max(axis=0) + half),
    }


def _ends(mask: Mask) -> NDArray[np.float64]:
    """Return the indices of the first and the last voxel of each row: extremes along any direction are among them."""
    rows = np.argwhere(mask.any(axis=-1))
    lines = mask[tuple(rows.T)]
    first = lines.argmax(axis=-1)
    last = lines.shape[-1] - 1 - lines[:, ::-1].argmax(axis=-1)
    return np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])]).astype(np.float64)


def _brightness(values: NDArray[np.generic], mask: Mask, factor: float) -> dict[str, float]:
    """Return mean, SD, least, largest and median of the finite values under a mask, all times a factor."""
    parts = (values[k : k + PLANES][mask[k : k + PLANES]] for k in range(0, len(mask), PLANES))
    inside = np.concatenate([part[np.isfinite(part)] for part in parts])
    if not inside.size:
        return {}
    mean = float(inside.mean(dtype=np.float64))
    blocks = np.array_split(inside, max(1, inside.size // 1_000_000))
    spread = sum(float(((block.astype(np.float64) - mean) ** 2).sum()) for block in blocks)
    return {
        "mean": factor * mean,
        "sd": factor * float(np.sqrt(spread / (inside.size - 1))) if inside.size > 1 else 0.0,
        "minimum": factor * float(inside.min()),
        "maximum": factor * float(inside.max()),
        "median": factor * float(np.median(inside)),
    }
