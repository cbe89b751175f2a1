"""Frames of files without compression."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.codec import decoded_by_pydicom
from napari_medseg.io.dicom.pixels import PixelFormat, used_bits


def plain_frames(form: PixelFormat, wanted: list[int]) -> Iterator[NDArray[Any]]:
    """Yield the wanted frames of an uncompressed file as (rows, columns[, samples]) arrays."""
    if form.bits_allocated == 1:
        yield from _packed_bits(form, wanted)
        return
    size = form.frame_bits // 8
    for index in wanted:
        data = frame_bytes(form, index * size, size)
        yield _grey(form, data) if form.samples == 1 else decoded_by_pydicom(form, data)


def can_fill(form: PixelFormat) -> bool:
    """Return whether frames can be read straight into an array, one byte for each that is stored."""
    return form.element.length is not None and form.element.inflated is None and not form.swapped


def fits_memory(form: PixelFormat, target: NDArray[Any]) -> bool:
    """Return whether the stored numbers of a frame are as large as the memory of `target`."""
    return (
        form.samples == 1
        and form.bits_allocated >= 8
        and target.flags.c_contiguous
        and target.dtype.itemsize == form.dtype.itemsize
        and target.nbytes * 8 == form.frame_bits
    )


def fill(form: PixelFormat, index: int, target: NDArray[Any]) -> NDArray[Any]:
    """Read a frame into the memory of `target` and return it there in its stored type.

    `can_fill` and `fits_memory` must hold.
    """
    size = target.nbytes
    _check_there(form, index * size, size)
    stored = target.view(form.dtype)
    memory = stored.reshape(-1).view(np.uint8).data
    with form.file.path.open("rb", buffering=0) as file:
        file.seek(form.element.offset + index * size)
        done = 0
        while done < size:
            got = file.readinto(memory[done:])
            if not got:
                raise _truncated(form, (index + 1) * size)
            done += got
    if form.big_endian:
        stored.byteswap(inplace=True)
    return used_bits(stored, form, high_aligned=True)


def frame_bytes(form: PixelFormat, start: int, length: int) -> bytes:
    """Return bytes of plain pixels, put in order where single bytes were swapped in pairs by big-endian words."""
    if not form.swapped:
        return value_bytes(form, start, length)
    even = start - start % 2
    stop = min(start + length + (start + length) % 2, form.bytes_there // 2 * 2)
    words = np.frombuffer(value_bytes(form, even, max(stop - even, length)), np.uint16)
    return words.byteswap().tobytes()[start - even : start - even + length]


def value_bytes(form: PixelFormat, start: int, length: int) -> bytes:
    """Return bytes of the pixel element's value, or raise `ReadError` if they are not there."""
    _check_there(form, start, length)
    pixels = form.element
    if pixels.inflated is not None:
        return pixels.inflated[pixels.offset + start : pixels.offset + start + length]
    with form.file.path.open("rb", buffering=0) as file:
        file.seek(pixels.offset + start)
        return file.read(length)


def _check_there(form: PixelFormat, start: int, length: int) -> None:
    if start + length > form.bytes_there:
        raise _truncated(form, start + length)


def _truncated(form: PixelFormat, needed: int) -> ReadError:
    return ReadError(
        f"{form.file.path.name} is truncated: its pixels need {needed} bytes, {form.bytes_there} are there.",
        "Copy the file again.",
    )


def _grey(form: PixelFormat, data: bytes) -> NDArray[Any]:
    stored = np.frombuffer(data, form.dtype.newbyteorder(">" if form.big_endian else "<"))
    frame = stored.reshape(form.rows, form.columns)
    return used_bits(frame if frame.dtype.isnative else frame.astype(form.dtype), form, high_aligned=True)


def _packed_bits(form: PixelFormat, wanted: list[int]) -> Iterator[NDArray[np.uint8]]:
    """Yield frames of single bits; they follow one another without padding."""
    count = form.rows * form.columns
    for index in wanted:
        first, last = index * count, (index + 1) * count
        data = np.frombuffer(value_bytes(form, first // 8, (last + 7) // 8 - first // 8), np.uint8)
        bits = np.unpackbits(data, bitorder="little")[first % 8 : first % 8 + count]
        yield bits.reshape(form.rows, form.columns)
