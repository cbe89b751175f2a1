"""Bounds that keep a damaged or hostile header from taking the memory of the machine."""

from math import prod

import numpy as np
import psutil

from napari_medseg.errors import ReadError

SHARE_OF_FREE_MEMORY = 0.8
MEMORY_SHARE = 0.4
"""Share of the free memory above which a volume is opened lazily unless the caller says otherwise."""
LAZY = 0.0
"""Share of memory that opens every volume lazily for which there is a way to."""
SMALL_BYTES = 1 << 24
"""An array that is not worth asking the system about; it is asked for every slice of a series."""
DEFLATE_LIMIT = 1032
"""Deflate cannot shrink data by more than this factor."""


def check_size(shape: tuple[int, ...], dtype: np.dtype[np.generic], what: str) -> int:
    """Return the bytes of an array, or raise `ReadError` if it has none or more than the memory that is free.

    Parameters
    ----------
    shape : tuple of int
        As the header claims.
    dtype : dtype
        Of one element.
    what : str
        File name for the message.
    """
    size = check_shape(shape, dtype, what)
    if size <= SMALL_BYTES:
        return size
    free = psutil.virtual_memory().available
    if size > SHARE_OF_FREE_MEMORY * free:
        raise ReadError(
            f"{what} claims {size / 2**30:,.1f} GiB of voxels {shape}; {free / 2**30:.1f} GiB of memory are free.",
            "Close other programs, use a larger machine, or check that the file is not damaged.",
        )
    return size


def check_shape(shape: tuple[int, ...], dtype: np.dtype[np.generic], what: str) -> int:
    """Return the bytes of an array that need not fit in memory, or raise `ReadError` if it has none."""
    size = prod(int(n) for n in shape) * dtype.itemsize
    if size <= 0 or min(shape) < 1:
        raise ReadError(f"{what} claims the shape {shape}, which holds no voxel.", "The file is damaged.")
    return size


def is_large(shape: tuple[int, ...], dtype: np.dtype[np.generic], memory_share: float) -> bool:
    """Return whether an array takes more than a share of the memory that is free."""
    return prod(int(n) for n in shape) * dtype.itemsize > memory_share * psutil.virtual_memory().available
