"""From stored numbers to values: rescaling that keeps integers where it can."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def value_dtype(low: int, high: int, scales: set[tuple[float, float]]) -> np.dtype[np.generic]:
    """Return the smallest type that holds rescaled integers: an integer if all slopes and intercepts are whole.

    Parameters
    ----------
    low, high : int
        Smallest and largest stored value.
    scales : set of (slope, intercept)
        All that occur.

    Examples
    --------
    >>> value_dtype(0, 4095, {(1.0, -1024.0)})
    dtype('int16')
    >>> value_dtype(0, 4095, {(0.5, 0.0)})
    dtype('float32')
    """
    if any(slope != round(slope) or inter != round(inter) for slope, inter in scales):
        return np.dtype(np.float32 if high - low < 1 << 24 else np.float64)
    ends = [int(slope) * value + int(inter) for slope, inter in scales for value in (low, high)]
    return smallest_integer(min(ends), max(ends))


def smallest_integer(low: int, high: int) -> np.dtype[np.generic]:
    """Return int16, or else the smallest integer type of at least 8 unsigned bits that holds the range."""
    candidates: tuple[type[np.integer[Any]], ...] = (np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64)
    for candidate in candidates:
        info = np.iinfo(candidate)
        if info.min <= low and high <= info.max:
            return np.dtype(candidate)
    return np.dtype(np.float64)


def rescaled(stored: NDArray[np.generic], slope: float, inter: float) -> NDArray[np.generic]:
    """Return ``stored * slope + inter``, as it is if that changes nothing, in integers if both are whole."""
    if (slope, inter) == (1.0, 0.0):
        return stored
    if np.issubdtype(stored.dtype, np.integer):
        info = np.iinfo(stored.dtype.name)
        dtype = value_dtype(int(info.min), int(info.max), {(slope, inter)})
    else:
        dtype = stored.dtype
    result = stored.astype(dtype)
    result *= dtype.type(slope)
    result += dtype.type(inter)
    return result
