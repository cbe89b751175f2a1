"""One compressed frame as an array: imagecodecs where it is much faster, pydicom's decoders for everything else."""

import struct
import threading
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.parser import EXPLICIT_LITTLE
from napari_medseg.io.dicom.pixels import PixelFormat, used_bits
from napari_medseg.io.limits import check_size

JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
JPEG_2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
LOSSLESS_JPEG = (JPEGLossless, JPEGLosslessSV1)
IMAGECODECS_COLOURS = (*LOSSLESS_JPEG, *JPEG_LS)
"""Syntaxes whose colours are decoded as they are stored, to be turned to RGB here."""
IMAGECODECS_GREY = (RLELossless, *JPEG_LS, *JPEG_2000, *LOSSLESS_JPEG, JPEGExtended12Bit)
PADDING = 256
"""Bytes that a run-length segment may go on for after the picture."""
START_OF_IMAGE = b"\xff\xd8"
END_OF_IMAGE = b"\xff\xd9"
START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
START_OF_BOXES = b"\0\0\0\x0cjP  "
"""Of a JPEG 2000 file, which some programs store instead of the bare codestream."""
FRAME_MARKERS = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))
"""Markers of JPEG and JPEG-LS whose segment says the size of the picture."""

_threads = threading.local()


def decoded(form: PixelFormat, data: bytes, memory: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return the frame that a codestream holds, as (rows, columns[, samples]); colours as RGB.

    Parameters
    ----------
    form : PixelFormat
        Of the file.
    data : bytes
        One frame.
    memory : (rows, columns) array, optional
        Whose memory, of the size of the frame, may hold the result; it is used where that saves time.
    """
    check_size((form.rows, form.columns, form.samples), form.dtype, form.file.path.name)
    syntax = form.file.transfer_syntax
    if syntax != RLELossless:
        _check_stated_size(form, data)
    if syntax not in (IMAGECODECS_COLOURS if form.samples > 1 else IMAGECODECS_GREY):
        return decoded_by_pydicom(form, data, compressed=True)
    frame = _run_length(form, data, memory) if syntax == RLELossless else _picture(form, data)
    if frame.shape != ((form.rows, form.columns, form.samples) if form.samples > 1 else (form.rows, form.columns)):
        raise ReadError(
            f"{form.file.path.name} holds a picture of {frame.shape} pixels, not of {form.rows}x{form.columns}.",
            "The file is damaged.",
        )
    stored = frame.astype(form.dtype) if frame.dtype.itemsize != form.dtype.itemsize else frame.view(form.dtype)
    if form.samples == 3 and form.photometric.startswith("YBR"):
        return np.asarray(convert_color_space(stored, form.photometric, "RGB"))
    return used_bits(stored, form, high_aligned=False)


def _picture(form: PixelFormat, data: bytes) -> NDArray[Any]:
    """Return what a JPEG, JPEG-LS or JPEG 2000 codestream holds, colours as they are stored."""
    if form.file.transfer_syntax in JPEG_LS:
        return np.asarray(imagecodecs.jpegls_decode(data))
    if form.file.transfer_syntax in JPEG_2000:
        return np.asarray(imagecodecs.jpeg2k_decode(data, numthreads=1))
    # The decoder fills in what is cut off. The marker cannot occur inside a picture.
    if END_OF_IMAGE not in data[len(data) // 2 :]:
        raise ReadError(f"{form.file.path.name} is truncated: its compressed picture has no end.", "Copy it again.")
    # The same name for both ends keeps the decoder from turning the colours.
    same = "RGB" if form.samples > 1 else None
    return np.asarray(imagecodecs.jpeg8_decode(data, colorspace=same, outcolorspace=same))


def decoded_by_pydicom(form: PixelFormat, data: bytes, *, compressed: bool = False) -> NDArray[Any]:
    """Return one frame from its plain or compressed bytes; colours as RGB."""
    options: dict[str, Any] = {
        "rows": form.rows,
        "columns": form.columns,
        "samples_per_pixel": form.samples,
        "photometric_interpretation": form.photometric,
        "bits_allocated": form.bits_allocated,
        "bits_stored": form.bits_stored,
        "pixel_representation": int(form.signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    if form.samples > 1:
        options["planar_configuration"] = form.planar
    source = encapsulate([data]) if compressed else data + b"\0" * (len(data) % 2)
    frame, _ = _decoder(form, compressed=compressed).as_array(source, index=0, **options)
    return used_bits(frame, form, high_aligned=False)


def _decoder(form: PixelFormat, *, compressed: bool) -> Decoder:
    plain_bytes = not compressed and form.bits_allocated == 8
    syntax = UID(EXPLICIT_LITTLE if plain_bytes else form.file.transfer_syntax)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ReadError(
            f"{form.file.path.name} is compressed as {syntax.name}, for which there is no decoder.",
            "Convert it to an uncompressed or JPEG 2000 file where it was made.",
        ) from error
    if not decoder.is_available:
        raise ReadError(f"No decoder for {syntax.name} is installed.", "Reinstall napari-medseg with its decoders.")
    return decoder


def _run_length(form: PixelFormat, data: bytes, memory: NDArray[Any] | None) -> NDArray[Any]:
    """Return a frame of PackBits segments, one per byte of a number, the most significant first."""
    count, *offsets = struct.unpack_from("<16I", data)
    width = form.dtype.itemsize
    if count != width:
        raise ReadError(f"{form.file.path.name} has {count} run-length segments instead of {width}.", "It is damaged.")
    size = form.rows * form.columns
    numbers = np.empty(size, f"u{width}") if memory is None else memory.reshape(-1).view(f"u{width}")
    space = _scratch(size + PADDING)
    bounds = [*offsets[:count], len(data)]
    for number in range(count):
        plane = _unpacked(data[bounds[number] : bounds[number + 1]], space)
        if len(plane) < size:
            raise ReadError(
                f"{form.file.path.name} is truncated: a run-length segment has {len(plane)} of {size} bytes.",
                "Copy the file again.",
            )
        if number:
            np.left_shift(numbers, 8, out=numbers)
            np.bitwise_or(numbers, plane[:size], out=numbers)
        else:
            numbers[...] = plane[:size]
    return numbers.view(form.dtype).reshape(form.rows, form.columns)


def _scratch(size: int) -> NDArray[np.uint8]:
    """Return bytes that this thread may use until it asks again: fresh memory costs more than decoding into it."""
    space: NDArray[np.uint8] | None = getattr(_threads, "space", None)
    if space is None or space.size != size:
        space = _threads.space = np.empty(size, np.uint8)
    return space


def _unpacked(segment: bytes, space: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bytes of a PackBits segment, in `space` if they fit."""
    try:
        return np.asarray(imagecodecs.packbits_decode(segment, out=space.data))
    except imagecodecs.ImcdError:
        # Longer than the picture, as some writers pad it: at most 64 times as long as the segment.
        return np.frombuffer(imagecodecs.packbits_decode(segment), np.uint8)


def _check_stated_size(form: PixelFormat, data: bytes) -> None:
    """Refuse a codestream whose own header claims another size: decoders take memory for what it claims."""
    stated = stated_size(data)
    if stated is not None and stated != (form.rows, form.columns):
        raise ReadError(
            f"{form.file.path.name}: the compressed picture claims {stated[0]}x{stated[1]} pixels, the header "
            f"{form.rows}x{form.columns}.",
            "The file is damaged.",
        )


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) that a JPEG, JPEG-LS or JPEG 2000 codestream claims; None if it is neither or cut."""
    boxed = data.startswith(START_OF_BOXES)
    at = data.find(START_OF_CODESTREAM, 0, 1 << 16) if boxed else 0
    if at >= 0 and data.startswith(START_OF_CODESTREAM, at) and len(data) >= at + 24:
        right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
        return bottom - top, right - left
    return _jpeg_size(data) if data.startswith(START_OF_IMAGE) else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in FRAME_MARKERS:
            rows, columns = struct.unpack_from(">2H", data, at + 5)
            return rows, columns
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
