"""Bytes of voxels out of files, plain or compressed, into memory that is there already."""

import bz2
import io
import mmap
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

import imagecodecs
import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from napari_medseg.io.format import ReadOptions
from napari_medseg.io.source import LARGEST_RATIO, Packing, Source, too_short

BLOCK_BYTES = 1 << 20
RAW_BLOCK_BYTES = 1 << 23
PACKED_BLOCK_BYTES = 1 << 20
READERS = min(2, os.cpu_count() or 1)
"""Threads that copy plain bytes: more than two do not make memory faster."""
AT_ONCE_BYTES = 1 << 30
"""A stream that unpacks to more cannot be cancelled soon enough if it is unpacked in one go."""
AT_ONCE_SHARE = 0.25
"""How much memory beside the array the packed bytes may take."""


def fill(target: NDArray[np.uint8], source: Source, packing: Packing, options: ReadOptions) -> None:
    """Unpack exactly the bytes of the target.

    Raises
    ------
    ReadError
        If the file is too short.
    """
    possible = (source.path.stat().st_size - source.offset) * LARGEST_RATIO[packing]
    if source.skip + target.size > possible:
        raise too_short(source, target.size, possible)
    if packing == "raw":
        _copy(target, source, options)
    else:
        unpack(source, packing, target.size, options, lambda at, size: target.data[at : at + size])


def _copy(target: NDArray[np.uint8], source: Source, options: ReadOptions) -> None:
    """Read plain bytes, block by block in two threads."""
    view = target.data

    def copy(start: int) -> None:
        block = view[start : start + RAW_BLOCK_BYTES]
        with open(source.path, "rb", buffering=0) as file:
            file.seek(source.offset + source.skip + start)
            while block:
                got = file.readinto(block)
                if not got:
                    raise too_short(source, target.size, start)
                block = block[got:]

    starts = range(0, target.size, RAW_BLOCK_BYTES)
    with ThreadPoolExecutor(READERS) as pool:
        pending = [pool.submit(copy, start) for start in starts]
        try:
            for start, future in zip(starts, pending, strict=True):
                options.step(f"Reading {source.path.name}", start, target.size)
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def unpack(
    source: Source, packing: Packing, size: int, options: ReadOptions, room: Callable[[int, int], memoryview]
) -> None:
    """Unpack a stream block by block.

    Parameters
    ----------
    source : Source
        Where the stream begins.
    packing : str
        How it is packed.
    size : int
        Bytes wanted.
    options : ReadOptions
        Progress and cancelling.
    room : callable
        ``room(at, size)`` gives the memory for the next bytes; all of it was filled when it is called again.
    """
    done = 0
    with source.path.open("rb") as file:
        file.seek(source.offset)
        stream = _unpacked(file, packing)
        try:
            _leave_out(stream, source.skip)
            while done < size:
                options.step(f"Reading {source.path.name}", done, size)
                view = room(done, min(BLOCK_BYTES, size - done))
                done += len(view)
                while view:
                    got = stream.readinto(view)  # type: ignore[attr-defined]
                    if not got:
                        raise EOFError
                    view = view[got:]
            # Reaching the end of a packed stream checks its sum.
            stream.read(1)
        except EOFError:
            raise too_short(source, size, done) from None


def gunzipped_at_once(source: Source, size: int, itemsize: int) -> NDArray[np.uint8] | None:
    """Return the bytes of a gzip file of one member by the fastest way; None where it cannot be taken.

    Parameters
    ----------
    source : Source
        A gzip file.
    size : int
        Bytes of voxels.
    itemsize : int
        Bytes of one element: the result is aligned for it.
    """
    packed = source.path.stat().st_size - source.offset
    whole = source.skip + size
    if whole > AT_ONCE_BYTES or packed > AT_ONCE_SHARE * size or whole > packed * LARGEST_RATIO["gzip"]:
        return None
    # numpy takes large pages where the system has them, bytes do not.
    data = np.empty(packed, np.uint8)
    memory = np.empty(whole + itemsize, np.uint8)
    target = memory[-source.skip % itemsize :][:whole]
    with source.path.open("rb") as file, ThreadPoolExecutor(1) as beside:
        # The system clears memory when it is first written to, which takes as long as reading the file.
        cleared = beside.submit(memory.__setitem__, slice(None, None, mmap.PAGESIZE), 0)
        file.seek(source.offset)
        got = file.readinto(data.data)
        cleared.result()
    # The last four bytes say how long the content is, if it is one member and nothing follows.
    if got != packed or int.from_bytes(data[-4:].tobytes(), "little") != whole:
        return None
    try:
        found = imagecodecs.gzip_decode(data, out=target.data)  # type: ignore[arg-type] # it takes any buffer
    except imagecodecs.DeflateError:
        return None
    return target[source.skip :] if len(found) == whole else None


def _unpacked(file: BinaryIO, packing: Packing) -> BinaryIO:
    if packing == "gzip":
        return cast("BinaryIO", igzip.IGzipFile(fileobj=file, mode="rb"))
    if packing == "bzip2":
        return cast("BinaryIO", bz2.BZ2File(file))
    return cast("BinaryIO", _Inflated(file)) if packing == "zlib" else file


class _Inflated(io.RawIOBase):
    """The content of a zlib stream."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._engine = isal_zlib.decompressobj()
        self._waiting = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._engine.eof:
            packed = self._waiting or self._file.read(PACKED_BLOCK_BYTES)
            found = self._engine.decompress(packed, len(buffer))
            self._waiting = self._engine.unconsumed_tail
            if found:
                buffer[: len(found)] = found
                return len(found)
            if not packed:
                raise EOFError
        return 0


def _leave_out(stream: BinaryIO, count: int) -> None:
    while count > 0:
        got = len(stream.read(min(count, BLOCK_BYTES)))
        if not got:
            raise EOFError
        count -= got
