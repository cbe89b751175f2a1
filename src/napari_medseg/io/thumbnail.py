"""Small pictures of volumes, for lists of series."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_medseg.io.format import SeriesInfo
from napari_medseg.io.limits import LAZY
from napari_medseg.io.reading import read
from napari_medseg.progress import Control
from napari_medseg.volume import Volume

TURNED_ROWS = frozenset("SA")
"""Directions in which rows must not grow: the picture would stand on its head."""
TURNED_COLUMNS = frozenset("RA")
"""Directions in which columns must not grow: the patient's left is shown on the right."""


@dataclass(frozen=True, eq=False)
class _Slice:
    """One plane of a volume, as it is shown."""

    values: NDArray[Any]
    """(rows, columns[, colour])."""
    spacing: tuple[float, float]
    """Of rows and columns, in mm or any common unit."""


def thumbnail(info: SeriesInfo, side: int = 96, control: Control | None = None) -> NDArray[np.uint8] | None:
    """Return a small picture of the middle slice of a volume, without reading the whole series where that can be.

    The slice is one that the scanner took, seen as radiologists do: the patient's left on the right.

    Parameters
    ----------
    info : SeriesInfo
        From `scan`.
    side : int
        Pixels along the longer side of the picture.
    control : Control, optional
        Cancels the reading.

    Returns
    -------
    (rows, columns) or (rows, columns, 3) uint8 array, or None
        Grey or RGB; None if the volume that `info` speaks of is not there any more.

    Raises
    ------
    ReadError
        If the file cannot be read.
    Cancelled
        If `control` was cancelled.
    """
    volumes = read(info.path, control, series=info.series_id, memory_share=LAZY)
    fitting = [volume for volume in volumes if volume.name == info.name and volume.data.shape == info.shape]
    if not fitting:
        return None
    plane = _upright(fitting[0])
    picture = _labels_picture(plane, fitting[0]) if fitting[0].kind == "labels" else _image_picture(plane, fitting[0])
    return _shrunk(picture, plane.spacing, side)


def _upright(volume: Volume) -> _Slice:
    """Return the middle slice across the axis that the file stores slice by slice."""
    grid, lead = volume.geometry, len(volume.axes)
    spatial = len(volume.spatial_axes)
    across = -1 if spatial == 2 else (0 if grid is None else grid.file_order[-1])
    index = [n // 2 for n in volume.data.shape[:lead]]
    picked = [volume.spatial_shape[axis] // 2 if axis == across else slice(None) for axis in range(spatial)]
    values = np.asarray(volume.data[(*index, *picked)])
    if grid is None:
        return _Slice(values, (1.0, 1.0))
    rows, columns = (axis for axis in range(spatial) if axis != across)
    down = -1 if grid.axcodes[rows] in TURNED_ROWS else 1
    right = -1 if grid.axcodes[columns] in TURNED_COLUMNS else 1
    return _Slice(values[::down, ::right], (grid.spacing[rows], grid.spacing[columns]))


def _image_picture(plane: _Slice, volume: Volume) -> NDArray[np.uint8]:
    """Return the slice in 256 shades of its display window, or its colours."""
    values = plane.values
    if volume.rgb:
        return np.asarray(values[..., :3] if values.dtype == np.uint8 else (values[..., :3] >> 8)).astype(np.uint8)
    numbers = values.astype(np.float32)
    known = numbers[np.isfinite(numbers)]
    low, high = volume.window or (np.percentile(known, (0.5, 99.5)) if known.size else (0.0, 1.0))
    shades = (np.nan_to_num(numbers, nan=low) - low) * (255 / max(float(high - low), 1e-6))
    return np.clip(shades, 0, 255).astype(np.uint8)


def _labels_picture(plane: _Slice, volume: Volume) -> NDArray[np.uint8]:
    """Return the classes in their colours on black; values without a name are white."""
    picture = np.zeros((*plane.values.shape, 3), np.uint8)
    picture[plane.values > 0] = 255
    for label in volume.classes:
        if label.value:
            picture[plane.values == label.value] = tuple(bytes.fromhex(label.color[1:]))
    return picture


def _shrunk(picture: NDArray[np.uint8], spacing: tuple[float, float], side: int) -> NDArray[np.uint8]:
    """Return the picture with square pixels, the longer side of `side` pixels."""
    height, width = (n * mm for n, mm in zip(picture.shape[:2], spacing, strict=True))
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BOX)
    return np.asarray(small)
