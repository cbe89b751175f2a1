"""Arrays that are too large to be sure of memory for: files that vanish with the last use of the array."""

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike, NDArray

PREFIX = "napari-medseg-"
LARGE_BYTES = 1 << 28
"""Arrays of more bytes are files, mapped into memory."""


def zeros(shape: Sequence[int], dtype: DTypeLike, large_bytes: int | None = None) -> NDArray[Any]:
    """Return an array of zeros, which is a memory-mapped temporary file if it is large.

    The file is deleted when the array, and all views of it, are gone, or the process ends.

    Parameters
    ----------
    shape : sequence of int
        Number of elements along each axis.
    dtype : dtype
        Type of the elements.
    large_bytes : int, optional
        Largest size in memory; `LARGE_BYTES` by default.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= (LARGE_BYTES if large_bytes is None else large_bytes):
        return np.zeros(shape, dtype)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    array = open_memmap(folder / "data.npy", mode="w+", dtype=np.dtype(dtype), shape=tuple(shape))
    # Views of the array keep its memory map, not the array itself.
    _remove_with(array.base, folder)
    return array


def temporary_folder(owner: object) -> Path:
    """Return a new folder that is deleted with its owner, or when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    _remove_with(owner, folder)
    return folder


def _remove_with(owner: object, folder: Path) -> None:
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
