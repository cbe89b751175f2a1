"""The arrays of an npz file, image by image, so that memory does not grow with their number."""

import zipfile
import zlib
from math import prod
from pathlib import Path
from threading import Lock
from typing import IO
from weakref import finalize

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_medseg.errors import DataError

WHOLE_BYTES = 1 << 29
"""Arrays up to this size are kept in memory once they are read."""
BLOCK_BYTES = 1 << 26
"""Of larger ones, so much is."""


class PackedRows:
    """An array of an npz file; it is read when it is asked for, and fastest from its first row to its last.

    Parameters
    ----------
    path : Path
        The npz file.
    name : str
        Of the array.

    Raises
    ------
    DataError
        If it is no such file.
    KeyError
        If the file has no such array.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        try:
            self._file: IO[bytes] = _opened(path, name)
            major, _minor = npy.read_magic(self._file)
            header = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
            self.shape, columns_first, self.dtype = header(self._file)
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise _unreadable(path, error) from error
        finalize(self, self._file.close)
        if columns_first or self.dtype.hasobject or not self.shape:
            raise DataError(f"{name} of {path.name} is no plain array of images.", "Save it anew with numpy.savez.")
        self._offset = self._file.tell()
        self._row_bytes = max(1, self.dtype.itemsize * prod(self.shape[1:]))
        whole = self._row_bytes * len(self) <= WHOLE_BYTES
        self._many = len(self) if whole else max(1, BLOCK_BYTES // self._row_bytes)
        self._lock = Lock()
        self._first = -1
        self._block: NDArray[np.generic] = np.empty((0, *self.shape[1:]), self.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, number: int) -> NDArray[np.generic]:
        first = number // self._many * self._many
        with self._lock:
            if first != self._first:
                self._block = self._rows(first, min(self._many, len(self) - first))
                self._first = first
            return np.asarray(self._block[number - first])

    def _rows(self, first: int, many: int) -> NDArray[np.generic]:
        try:
            self._file.seek(self._offset + first * self._row_bytes)
            content = self._file.read(many * self._row_bytes)
            return np.frombuffer(content, self.dtype).reshape(many, *self.shape[1:])
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _unreadable(self.path, error) from error


def _opened(path: Path, name: str) -> IO[bytes]:
    with zipfile.ZipFile(path) as packed:
        return packed.open(f"{name}.npy")


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as arrays ({error}).", "Copy the file again.")
