"""Values of any type as the 16-bit numbers of a DICOM image, with the scale that gives them back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.valuerep import format_number_as_ds

from napari_medseg.errors import WriteError
from napari_medseg.volume import Volume

STEPS = 65535
READ_PRECISION = 2.0**-21
"""Share of the largest value by which one may be off because it is read as a 32-bit float."""


@dataclass(frozen=True)
class Scale:
    """How values are stored: ``value = stored * slope + intercept``."""

    dtype: np.dtype[np.integer]
    slope: float = 1.0
    intercept: float = 0.0
    error: float = 0.0
    """Largest difference between a value and what is read back, in the unit of the values."""

    @property
    def is_identity(self) -> bool:
        """Whether values are stored as they are."""
        return (self.slope, self.intercept) == (1.0, 0.0)

    def stored(self, values: NDArray[np.generic]) -> NDArray[np.integer]:
        """Return the numbers for some of the values."""
        if self.slope == 1.0:
            shifted = values - np.asarray(int(self.intercept), np.int64) if self.intercept else values
            return shifted.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.rint((np.asarray(values, np.float64) - self.intercept) / self.slope)
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)


def scale_of(volume: Volume, *, from_zero: bool = False) -> Scale:
    """Return the scale that holds all values of an image as exactly as 16 bits can.

    Parameters
    ----------
    volume : Volume
        Of whole numbers, or of any floating point numbers.
    from_zero : bool
        Whether the intercept has to be 0, as in PET.

    Raises
    ------
    WriteError
        If values are no real or finite numbers.
    """
    data = np.asarray(volume.data)
    if data.dtype.kind not in "buif":
        raise WriteError(f"{volume.name}: DICOM holds no {data.dtype}.", "Convert first.")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise WriteError(
            f"{volume.name} has voxels that are not a finite number, and DICOM has no way to say that.",
            "Give them a value first, or write .nii.gz.",
        )
    low, high = float(data.min()), float(data.max())
    if data.dtype.kind in "iu" or bool((data == np.rint(data)).all()):
        return _whole(low, high, from_zero=from_zero)
    return _rounded(low, high, from_zero=from_zero)


def _whole(low: float, high: float, *, from_zero: bool) -> Scale:
    for candidate in (np.uint16, np.int16):
        limits = np.iinfo(candidate)
        if limits.min <= low and high <= limits.max:
            return Scale(np.dtype(candidate))
    if high - low <= STEPS and abs(low) < 2**31 and not from_zero:
        return Scale(np.dtype(np.uint16), 1.0, low)
    return _rounded(low, high, from_zero=from_zero)


def _rounded(low: float, high: float, *, from_zero: bool) -> Scale:
    """Return the scale with the smallest steps; slope and intercept are what their text in the file says."""
    largest = max(abs(low), abs(high))
    dtype: np.dtype[np.integer] = np.dtype(np.uint16)
    if from_zero:
        dtype = np.dtype(np.uint16 if low >= 0 else np.int16)
        intercept, reach = 0.0, largest / np.iinfo(dtype).max
    else:
        intercept = float(format_number_as_ds(low))
        reach = (high - intercept) / STEPS
    # The text may be rounded down; a little more keeps the largest value in reach.
    slope = float(format_number_as_ds(reach * (1 + 1e-8))) if reach > 0 else 1e-6
    return Scale(dtype, slope, intercept, slope / 2 * (1 + 1e-6) + largest * READ_PRECISION)
