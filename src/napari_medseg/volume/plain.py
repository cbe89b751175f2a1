"""An image as the plain numbers that are computed with."""

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.volume.volume import Volume


def plain_values(volume: Volume) -> NDArray[np.float32]:
    """Return an image of one channel as float32; what is no number has the least value.

    Raises
    ------
    DataError
        If it has colours or axes beside those of space, or holds no number.
    """
    if volume.rgb or volume.axes:
        what = "colours" if volume.rgb else f"the axes {', '.join(volume.axes)} beside those of space"
        raise DataError(f"{volume.name} has {what}.", "Choose an image of one channel, or split it.")
    values = np.asarray(volume.data).astype(np.float32)
    known = np.isfinite(values)
    if known.all() and values.size:
        return values
    if not known.any():
        raise DataError(f"{volume.name} holds no number.", "Choose another image.")
    return np.where(known, values, values[known].min())


def with_gaps(values: NDArray[np.float32], volume: Volume) -> NDArray[np.float32]:
    """Return what was computed of an image with NaN where the image is no number, also on a finer grid."""
    data = np.asarray(volume.data)
    if data.dtype.kind != "f" or (missing := ~np.isfinite(data)).sum() == 0:
        return values
    for axis, (fine, coarse) in enumerate(zip(values.shape, data.shape, strict=True)):
        missing = missing.take(np.arange(fine) * coarse // fine, axis)
    return np.where(missing, np.float32(np.nan), values)
