"""What the labelled voxels of CT images say about how their values should enter a network; nnU-Net's idea."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.sample import BACKGROUND_VALUE
from napari_medseg.models.spec import Intensity
from napari_medseg.volume import Volume

PERCENTILES = 0.5, 99.5
LEAST_SPREAD = 200.0
"""HU between the percentiles, at least: fewer would turn noise into contrast."""
LOWEST, HIGHEST = -1024.0, 3071.0
"""HU that a scanner stores."""
PADDING, METAL = -3100.0, 32767.0
"""Outside of these there is nothing that is stored as Hounsfield units."""
AIR = -1100.0, -900.0
AIR_SHARE = 0.01
"""Of the voxels, at least, where the file does not tell the unit."""
LOOKED_AT = 200_000
"""Voxels of an image that are looked at, at most about."""


def is_hounsfield(image: Volume) -> bool:
    """Return whether the values of an image are in Hounsfield units: it says so, or says nothing and looks like it.

    It looks like it where values are whole numbers of which some are those of air and all are those of a scanner.

    Parameters
    ----------
    image : Volume
        Any; a NIfTI file does not tell the unit of its values.
    """
    if image.units is not None or image.modality not in (None, "", "CT"):
        return image.units == "HU"
    values = _some(np.asarray(image.data)).astype(np.float64)
    whole = (values == np.rint(values)).all()
    stored = values.min() >= PADDING and 0 < values.max() <= METAL
    return bool(whole and stored and ((values >= AIR[0]) & (values <= AIR[1])).mean() >= AIR_SHARE)


def window_of(cases: Iterable[tuple[Volume, NDArray[np.generic]]]) -> Intensity | None:
    """Return a window around the values of what is labelled, for images in Hounsfield units.

    A window of all that a scanner stores leaves organs a hundredth of the range apart, which is less than the
    augmentation of a training adds. As in nnU-Net (Isensee et al., Nature Methods 18, 2021), the percentiles 0.5 and
    99.5 of the labelled voxels count; half their distance is added on both sides.

    Parameters
    ----------
    cases : iterable of (Volume, integer array)
        Images, each with its label map on the same array: 0 and `BACKGROUND_VALUE` are no labels here.

    Returns
    -------
    Intensity or None
        None where an image is not in Hounsfield units, or nothing is labelled.

    Examples
    --------
    >>> image = Volume(np.array([[-1000, 50, 150]]), None, units="HU")
    >>> window_of([(image, np.array([[0, 1, 1]]))])
    Intensity(kind='window', nonzero=False, low=-100.0, high=300.0)
    """
    found = []
    for image, labels in cases:
        if labels.shape != image.data.shape or not is_hounsfield(image):
            return None
        drawn = np.asarray(image.data)[(labels != 0) & (labels != BACKGROUND_VALUE)]
        found.append(_some(drawn))
    values = np.concatenate(found) if found else np.zeros(0)
    if not values.size:
        return None
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    middle, spread = (low + high) / 2, max(high - low, LEAST_SPREAD)
    return Intensity(kind="window", low=max(round(middle - spread), LOWEST), high=min(round(middle + spread), HIGHEST))


def _some(values: NDArray[np.generic]) -> NDArray[np.generic]:
    step = math.ceil((values.size / LOOKED_AT) ** (1 / values.ndim)) or 1
    return values[(slice(None, None, step),) * values.ndim].ravel()
