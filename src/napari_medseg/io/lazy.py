"""Arrays larger than memory: dask arrays over a file, or over planes that are decoded when they are first looked at."""

import tempfile
import threading
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.cache import cache_folder

SIDE = 64
"""Voxels along each spatial axis of a chunk: quick to look through along all three."""
MOST_CHUNKS = 20_000
"""Of more than this, chunks are made larger: dask's own work grows with their number."""
COLOURS = 4
"""An axis of at most so many elements is not cut."""
PLANE_BYTES = 1 << 26
"""Of planes that are decoded at one go."""


class Backing(Protocol):
    """What a dask array takes its chunks from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    def __getitem__(self, key: Any) -> NDArray[Any]:  # noqa: ANN401 - numpy's basic indices
        """Return a part as an array of its own."""


@dataclass(frozen=True)
class Watched:
    """A file as it was when it was opened."""

    path: Path
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the file as it is."""
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Raise `ReadError` if the file is another one by now."""
        try:
            same = Watched.of(self.path) == self
        except OSError as error:
            raise ReadError(
                f"{self.path.name} cannot be read any more ({error.strerror}); it was opened without reading it whole.",
                "Put it back and open it again.",
            ) from error
        if not same:
            raise ReadError(
                f"{self.path.name} was changed since it was opened without reading it whole.", "Open it again."
            )


class MappedFile:
    """The plain numbers in a file, mapped into memory.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        Bytes before the numbers.
    shape, dtype
        Of the array.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._watched = Watched.of(path)
        self._numbers = np.memmap(path, dtype, "r", offset, shape)
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:  # noqa: ANN401 - numpy's basic indices
        # Pages of a file that was cut would end the process.
        self._watched.check()
        return np.array(self._numbers[key])


class MappedScratch:
    """Plain numbers in a private temporary file, which nobody else can change.

    Parameters
    ----------
    file : binary file
        Open; it may be closed afterwards.
    shape, dtype
        Of the array.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._numbers = np.memmap(file, dtype, "r", 0, shape)
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:  # noqa: ANN401 - numpy's basic indices
        return np.array(self._numbers[key])


class Planes:
    """Planes that are made when a part of them is first asked for, and kept in a private temporary file.

    The file has no name where the system allows, so it is gone with the array or the process, and never holds more
    than the array. Thread-safe.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : dtype
        Of the array.
    stacked : int
        How many of its first axes count planes.
    make : callable
        ``make(numbers, into)`` fills ``into`` (len(numbers), plane...) with the planes of these numbers, which count
        through the first axes in order.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        stacked: int,
        make: Callable[[list[int], NDArray[Any]], None],
    ) -> None:
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)
        self._stacked, self._make = stacked, make
        self._plane = shape[stacked:]
        self._there = np.zeros(shape[:stacked], bool)
        self._numbers = np.arange(self._there.size).reshape(self._there.shape)
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._stored: NDArray[Any] | None = None

    def __getitem__(self, key: Any) -> NDArray[Any]:  # noqa: ANN401 - numpy's basic indices
        key = key if isinstance(key, tuple) else (key,)
        with self._lock:
            stored = self._ensured(key[: self._stacked])
        return np.array(stored[key])

    def _ensured(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Return the array, with the planes under a key made."""
        file, stored = self._opened()
        missing = np.atleast_1d(self._numbers[key])[~np.atleast_1d(self._there[key])].tolist()
        size = prod(self._plane) * self.dtype.itemsize
        step = max(1, PLANE_BYTES // size)
        for start in range(0, len(missing), step):
            numbers = missing[start : start + step]
            made = np.empty((len(numbers), *self._plane), self.dtype)
            self._make(numbers, made)
            for number, plane in zip(numbers, made, strict=True):
                self._keep(file, number * size, plane)
            self._there.reshape(-1)[numbers] = True
        return stored

    def _opened(self) -> tuple[IO[bytes], NDArray[Any]]:
        if self._file is None or self._stored is None:
            # Open as long as the array is in use.
            self._file = tempfile.TemporaryFile(dir=cache_folder("planes"), buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
            self._file.truncate(prod(self.shape) * self.dtype.itemsize)
            self._stored = np.memmap(self._file, self.dtype, "r", 0, self.shape)
        return self._file, self._stored

    def _keep(self, file: IO[bytes], at: int, plane: NDArray[Any]) -> None:
        try:
            file.seek(at)
            rest = plane.data.cast("B")
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            folder = cache_folder("planes")
            raise ReadError(
                f"Decoded slices could not be kept in {folder} ({error.strerror}).",
                "Make room there, or name another folder in NAPARI_MEDSEG_HOME.",
            ) from error


def dask_array(backing: Backing) -> NDArray[Any]:
    """Return a dask array of a backing in chunks of 64 voxels along the last three axes that are not colour.

    It is typed as the numpy array that it stands for: it answers the same calls.
    """
    from dask.array import from_array

    # The name is given, or dask would read everything to make one up.
    found = from_array(
        backing, chunks=chunks_of(backing.shape), name=f"medseg-{uuid.uuid4().hex}", asarray=False, inline_array=True
    )
    return cast("NDArray[Any]", found)


def chunks_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of chunks for an array.

    Examples
    --------
    >>> chunks_of((20, 400, 512, 512, 3))
    (1, 64, 64, 64, 3)
    """
    cut = [axis for axis, length in enumerate(shape) if length > COLOURS or axis < len(shape) - 3]
    side = SIDE
    while True:
        sizes = list(shape)
        for axis in cut:
            sizes[axis] = min(side, shape[axis]) if axis in cut[-3:] else 1
        if prod(-(-n // size) for n, size in zip(shape, sizes, strict=True)) <= MOST_CHUNKS or side >= max(shape):
            return tuple(sizes)
        side *= 2
