"""Voxels as a header describes them: plain numbers in one file or several, packed or not."""

import tempfile
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.cache import cache_folder
from napari_medseg.io.format import ReadOptions
from napari_medseg.io.lazy import MappedFile, MappedScratch, dask_array
from napari_medseg.io.limits import check_shape, check_size, is_large
from napari_medseg.io.source import LARGEST_RATIO, Packing, Source
from napari_medseg.io.text_numbers import fill_from_hex, fill_from_text
from napari_medseg.io.unpacking import fill, gunzipped_at_once, unpack

__all__ = ["Packing", "Source", "Stored", "load"]


@dataclass(frozen=True, eq=False)
class Stored:
    """An array on the disk."""

    sources: tuple[Source, ...]
    """Files with equal shares of the array, in its order."""
    packing: Packing
    shape: tuple[int, ...]
    """Length of the axes, the slowest first."""
    dtype: np.dtype[np.generic]
    """Of the file, with its byte order."""

    @property
    def name(self) -> str:
        """Name of the file, or of the first of several."""
        return self.sources[0].path.name


def load(stored: Stored, options: ReadOptions) -> NDArray[np.generic]:
    """Return the array in native byte order; a dask array over the file if it is large.

    Raises
    ------
    ReadError
        If it cannot be whole: the files are too short, or it would not fit in memory.
    """
    if is_large(stored.shape, stored.dtype, options.memory_share):
        lazy = _lazy(stored, options)
        if lazy is not None:
            return lazy
    size = check_size(stored.shape, stored.dtype, stored.name)
    array = _at_once(stored, size, options)
    if array is None:
        array = np.empty(stored.shape, stored.dtype)
        share = _share(stored)
        for number, source in enumerate(stored.sources):
            part = array.reshape(-1)[number * share : (number + 1) * share]
            if stored.packing == "text":
                fill_from_text(part, source, options)
            elif stored.packing == "hex":
                fill_from_hex(part, source)
            else:
                fill(part.view(np.uint8), source, stored.packing, options)
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    return array


def _share(stored: Stored) -> int:
    """Return the number of elements in each file."""
    share, rest = divmod(prod(stored.shape), len(stored.sources))
    if rest:
        raise ReadError(
            f"{stored.name}: {len(stored.sources)} files cannot hold equal parts of {stored.shape} voxels.",
            "Check that the header lists all data files.",
        )
    return share


def _at_once(stored: Stored, size: int, options: ReadOptions) -> NDArray[np.generic] | None:
    if stored.packing != "gzip" or len(stored.sources) > 1:
        return None
    options.step(f"Reading {stored.name}", 0, size)
    found = gunzipped_at_once(stored.sources[0], size, stored.dtype.itemsize)
    return None if found is None else found.view(stored.dtype).reshape(stored.shape)


def _lazy(stored: Stored, options: ReadOptions) -> NDArray[np.generic] | None:
    """Return a dask array over the one file, or over what is packed in it; None where the array must be read whole."""
    if len(stored.sources) > 1 or stored.packing in ("text", "hex"):
        return None
    (source,) = stored.sources
    size = check_shape(stored.shape, stored.dtype, stored.name)
    possible = (source.path.stat().st_size - source.offset) * LARGEST_RATIO[stored.packing]
    if source.skip + size > possible:
        return None
    if stored.packing == "raw":
        array = dask_array(MappedFile(source.path, source.offset + source.skip, stored.shape, stored.dtype))
    else:
        array = dask_array(_unpacked_beside(stored, source, size, options))
    return array if stored.dtype.isnative else array.astype(stored.dtype.newbyteorder("="))


def _unpacked_beside(stored: Stored, source: Source, size: int, options: ReadOptions) -> MappedScratch:
    """Return the content of a packed file, which cannot be read from the middle, in a private file without a name."""
    folder = cache_folder("unpacked")
    block = bytearray()
    with tempfile.TemporaryFile(dir=folder) as file:

        def room(_at: int, count: int) -> memoryview:
            nonlocal block
            file.write(block)
            block = bytearray(count)
            return memoryview(block)

        try:
            unpack(source, stored.packing, size, options, room)
            file.write(block)
            file.flush()
        except OSError as error:
            raise ReadError(
                f"{stored.name} is too large for memory and could not be unpacked in {folder} ({error.strerror}).",
                "Make room there, name another folder in NAPARI_MEDSEG_HOME, or store it without compression.",
            ) from error
        return MappedScratch(file, stored.shape, stored.dtype)
