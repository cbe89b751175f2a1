"""Voxels as a header describes them: plain numbers in one file or several, packed or not."""

import bz2
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.format import ReadOptions
from napari_medseg.io.limits import DEFLATE_LIMIT, check_size

BLOCK_BYTES = 1 << 22
TEXT_BLOCK_BYTES = 1 << 20

Packing = Literal["raw", "gzip", "zlib", "bzip2", "text", "hex"]

LARGEST_RATIO = {"raw": 1, "gzip": DEFLATE_LIMIT, "zlib": DEFLATE_LIMIT, "bzip2": 1 << 21}
"""How many bytes of voxels a byte on the disk can stand for."""


@dataclass(frozen=True)
class Source:
    """Where in a file voxels begin."""

    path: Path
    offset: int = 0
    """Bytes on the disk before the voxels."""
    skip: int = 0
    """Bytes to leave out after unpacking."""


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
    """Return the array in native byte order.

    Raises
    ------
    ReadError
        If it cannot be whole: the files are too short, or it would not fit in memory.
    """
    size = check_size(stored.shape, stored.dtype, stored.name)
    share, rest = divmod(size // stored.dtype.itemsize, len(stored.sources))
    if rest:
        raise ReadError(
            f"{stored.name}: {len(stored.sources)} files cannot hold equal parts of {stored.shape} voxels.",
            "Check that the header lists all data files.",
        )
    array = np.empty(stored.shape, stored.dtype)
    for number, source in enumerate(stored.sources):
        part = array.reshape(-1)[number * share : (number + 1) * share]
        if stored.packing == "text":
            _fill_from_text(part, source, options)
        elif stored.packing == "hex":
            _fill_from_hex(part, source)
        else:
            _fill(part.view(np.uint8), source, stored.packing, options)
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    return array


def _fill(target: NDArray[np.uint8], source: Source, packing: Packing, options: ReadOptions) -> None:
    """Unpack exactly the bytes of the target, block by block."""
    possible = (source.path.stat().st_size - source.offset) * LARGEST_RATIO[packing]
    if source.skip + target.size > possible:
        raise _short(source, target.size, possible)
    with source.path.open("rb") as file:
        file.seek(source.offset)
        stream = _unpacked(file, packing)
        view, done = target.data, 0
        try:
            _leave_out(stream, source.skip)
            while done < target.size:
                options.step(f"Reading {source.path.name}", done, target.size)
                got = stream.readinto(view[done : done + BLOCK_BYTES])  # type: ignore[attr-defined]
                if not got:
                    raise EOFError
                done += got
            # Reaching the end of a packed stream checks its sum.
            stream.read(1)
        except EOFError:
            raise _short(source, target.size, done) from None


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
            packed = self._waiting or self._file.read(TEXT_BLOCK_BYTES)
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


def _fill_from_text(target: NDArray[np.generic], source: Source, options: ReadOptions) -> None:
    """Parse numbers that white space or commas separate."""
    if target.size > source.path.stat().st_size:
        raise _short(source, target.size * 2, source.path.stat().st_size)
    done, rest = 0, b""
    with source.path.open("rb") as file:
        file.seek(source.offset + source.skip)
        while done < target.size:
            options.step(f"Reading {source.path.name}", done, target.size)
            block = file.read(TEXT_BLOCK_BYTES)
            words = (rest + block).replace(b",", b" ").split()
            # The last word may go on in the next block.
            rest = words.pop() if block and words and not block[-1:].isspace() else b""
            found = _numbers(words, target.dtype, source)[: target.size - done]
            target[done : done + len(found)] = found
            done += len(found)
            if not block and done < target.size:
                raise ReadError(f"{source.path.name} holds {done} of {target.size} numbers.", "Copy it again.")


def _numbers(words: list[bytes], dtype: np.dtype[np.generic], source: Source) -> NDArray[np.generic]:
    kind = np.float64 if dtype.kind == "f" else np.uint64 if dtype.kind == "u" else np.int64
    try:
        parsed = np.array([float(word) if dtype.kind == "f" else int(word) for word in words], dtype=kind)
    except (ValueError, OverflowError) as error:
        raise ReadError(f"{source.path.name}: {error}.", "The file is damaged.") from None
    if dtype.kind != "f" and parsed.size:
        allowed = np.iinfo(dtype.newbyteorder("=").name)
        if parsed.min() < allowed.min or parsed.max() > allowed.max:
            raise ReadError(f"{source.path.name} holds numbers that are no {allowed.dtype}.", "The header is wrong.")
    return parsed


def _fill_from_hex(target: NDArray[np.generic], source: Source) -> None:
    """Decode two hexadecimal digits per byte."""
    possible = source.path.stat().st_size // 2
    if target.nbytes > possible:
        raise _short(source, target.nbytes, possible)
    with source.path.open("rb") as file:
        file.seek(source.offset + source.skip)
        found = bytes.fromhex(file.read().decode("ascii"))
    if len(found) < target.nbytes:
        raise _short(source, target.nbytes, len(found))
    target.view(np.uint8)[:] = np.frombuffer(found, np.uint8, target.nbytes)


def _short(source: Source, needed: int, there: int) -> ReadError:
    return ReadError(
        f"{source.path.name} is truncated: {needed} bytes of voxels are needed, at most {max(0, there)} are there.",
        "Copy it again.",
    )
