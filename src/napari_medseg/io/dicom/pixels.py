"""Stored pixels of frames, from plain or compressed files, as arrays in native byte order."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_fragmented_frames
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.parser import EXPLICIT_BIG, EXPLICIT_LITTLE, DicomFile, PixelElement
from napari_medseg.io.limits import check_size

FLOATS: dict[str, np.dtype[Any]] = {
    "FloatPixelData": np.dtype(np.float32),
    "DoubleFloatPixelData": np.dtype(np.float64),
}


@dataclass(frozen=True)
class PixelFormat:
    """How the pixels of a file are stored, validated."""

    file: DicomFile

    def __post_init__(self) -> None:
        header = self.file.elements
        bits = self.bits_allocated, self.bits_stored
        if min(self.rows, self.columns, self.samples, self.frames) < 1 or self.samples > 4:
            raise ReadError(
                f"{self.file.path.name} claims {self.frames} frames of {self.rows}x{self.columns} pixels with "
                f"{self.samples} samples.",
                "The header is damaged.",
            )
        if self.bits_allocated not in (1, 8, 16, 32, 64) or not 1 <= self.bits_stored <= self.bits_allocated:
            raise ReadError(f"{self.file.path.name} has {bits[0]} bits per pixel, {bits[1]} used.", "Export it again.")
        if header.integer("PixelRepresentation") not in (0, 1, None):
            raise ReadError(f"{self.file.path.name} has an unknown pixel representation.", "The header is damaged.")

    @property
    def element(self) -> PixelElement:
        """Where the pixels are in the file."""
        if self.file.pixels is None:
            raise ReadError(f"{self.file.path.name} holds no pixels.", "Choose a file with an image.")
        return self.file.pixels

    @cached_property
    def rows(self) -> int:
        """Height in pixels."""
        return self.file.elements.integer("Rows") or 0

    @cached_property
    def columns(self) -> int:
        """Width in pixels."""
        return self.file.elements.integer("Columns") or 0

    @cached_property
    def samples(self) -> int:
        """Numbers per pixel."""
        return self.file.elements.integer("SamplesPerPixel") or 1

    @cached_property
    def frames(self) -> int:
        """Number of frames."""
        count = self.file.elements.integer("NumberOfFrames")
        return count if count else 1

    @cached_property
    def bits_allocated(self) -> int:
        """Bits that each number takes."""
        if self.element.keyword in FLOATS:
            return FLOATS[self.element.keyword].itemsize * 8
        return self.file.elements.integer("BitsAllocated") or 0

    @cached_property
    def bits_stored(self) -> int:
        """Bits of each number that count."""
        return self.file.elements.integer("BitsStored") or self.bits_allocated

    @cached_property
    def signed(self) -> bool:
        """Whether numbers may be negative."""
        return self.file.elements.integer("PixelRepresentation") == 1

    @cached_property
    def photometric(self) -> str:
        """What the numbers mean: MONOCHROME2, RGB, ..."""
        return self.file.elements.text("PhotometricInterpretation") or ("RGB" if self.samples == 3 else "MONOCHROME2")

    @cached_property
    def planar(self) -> int:
        """1 if colours are stored plane by plane, else 0."""
        return self.file.elements.integer("PlanarConfiguration") or 0

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers in native byte order."""
        if self.element.keyword in FLOATS:
            return FLOATS[self.element.keyword]
        return np.dtype(f"{'i' if self.signed else 'u'}{max(8, self.bits_allocated) // 8}")

    @property
    def stored_range(self) -> tuple[int, int]:
        """Smallest and largest number that the bits in use can say."""
        bits = self.bits_stored
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if self.signed else (0, (1 << bits) - 1)

    @property
    def swapped(self) -> bool:
        """Whether pixels of one byte are stored as big-endian words."""
        words = self.element.vr in (b"OW", b"")
        return self.file.transfer_syntax == EXPLICIT_BIG and self.bits_allocated == 8 and words

    @cached_property
    def bytes_there(self) -> int:
        """Bytes that the pixel element has, whatever its length claims."""
        held = self.file.size if self.element.inflated is None else len(self.element.inflated)
        there = max(0, held - self.element.offset)
        return there if self.element.length is None else min(there, self.element.length)

    @property
    def frame_bits(self) -> int:
        """Bits of one frame without compression."""
        per_pixel = 2 if self.photometric == "YBR_FULL_422" and self.samples == 3 else self.samples
        return self.rows * self.columns * per_pixel * self.bits_allocated


def stored_frames(form: PixelFormat, wanted: list[int]) -> Iterator[NDArray[Any]]:
    """Yield the wanted frames of a file, in that order, as (rows, columns[, samples]) arrays.

    Colours come as RGB unless they are indices into a palette.
    """
    if wanted and not 0 <= max(wanted) < form.frames:
        raise ReadError(f"{form.file.path.name} has no frame {max(wanted)}.", "The header is damaged.")
    if form.element.length is None:
        yield from _compressed(form, wanted)
    elif form.bits_allocated == 1:
        yield from _packed_bits(form, wanted)
    elif form.samples == 1:
        yield from _plain(form, wanted)
    else:
        yield from _plain_colour(form, wanted)


def _value(form: PixelFormat, start: int, length: int) -> bytes:
    """Return bytes of the pixel element's value, or raise `ReadError` if they are not there."""
    pixels = form.element
    if start + length > form.bytes_there:
        raise ReadError(
            f"{form.file.path.name} is truncated: its pixels need {start + length} bytes, {form.bytes_there} are "
            "there.",
            "Copy the file again.",
        )
    if pixels.inflated is not None:
        return pixels.inflated[pixels.offset + start : pixels.offset + start + length]
    with form.file.path.open("rb") as file:
        file.seek(pixels.offset + start)
        return file.read(length)


def _frame_bytes(form: PixelFormat, start: int, length: int) -> bytes:
    """Return bytes of plain pixels, put in order where single bytes were swapped in pairs by big-endian words."""
    if not form.swapped:
        return _value(form, start, length)
    even = start - start % 2
    stop = min(start + length + (start + length) % 2, form.bytes_there // 2 * 2)
    words = np.frombuffer(_value(form, even, max(stop - even, length)), np.uint16)
    return words.byteswap().tobytes()[start - even : start - even + length]


def _plain(form: PixelFormat, wanted: list[int]) -> Iterator[NDArray[Any]]:
    size = form.frame_bits // 8
    dtype = form.dtype.newbyteorder(">" if form.file.transfer_syntax == EXPLICIT_BIG else "<")
    for index in wanted:
        frame = np.frombuffer(_frame_bytes(form, index * size, size), dtype).reshape(form.rows, form.columns)
        yield _used_bits(frame if frame.dtype.isnative else frame.astype(form.dtype), form, high_aligned=True)


def _plain_colour(form: PixelFormat, wanted: list[int]) -> Iterator[NDArray[Any]]:
    size = form.frame_bits // 8
    for index in wanted:
        # A frame may start at an odd byte; what follows it keeps the padding to an even length harmless.
        data = _frame_bytes(form, index * size, size)
        yield _decoded(form, data + b"\0" * (len(data) % 2), encapsulated=False)


def _packed_bits(form: PixelFormat, wanted: list[int]) -> Iterator[NDArray[np.uint8]]:
    """Yield frames of single bits; they follow one another without padding."""
    count = form.rows * form.columns
    for index in wanted:
        first, last = index * count, (index + 1) * count
        data = np.frombuffer(_value(form, first // 8, (last + 7) // 8 - first // 8), np.uint8)
        bits = np.unpackbits(data, bitorder="little")[first % 8 : first % 8 + count]
        yield bits.reshape(form.rows, form.columns)


def _compressed(form: PixelFormat, wanted: list[int]) -> Iterator[NDArray[Any]]:
    codestreams = _codestreams(form, max(wanted) + 1 if wanted else 0)
    for index in wanted:
        yield _decoded(form, codestreams[index], encapsulated=True)


def _codestreams(form: PixelFormat, count: int) -> list[bytes]:
    """Return the compressed bytes of the first `count` frames."""
    if form.frames > form.bytes_there // 8:
        raise ReadError(
            f"{form.file.path.name} claims {form.frames} frames; its {form.bytes_there} bytes cannot hold them.",
            "The file is damaged.",
        )
    data = _value(form, 0, form.bytes_there)
    found = []
    for fragments in generate_fragmented_frames(data, number_of_frames=form.frames):
        found.append(b"".join(fragments))
        if len(found) == count:
            return found
    raise ReadError(
        f"{form.file.path.name} is truncated: {len(found)} of {form.frames} compressed frames are there.",
        "Copy the file again.",
    )


def _decoded(form: PixelFormat, data: bytes, *, encapsulated: bool) -> NDArray[Any]:
    check_size((form.rows, form.columns, form.samples), form.dtype, form.file.path.name)
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
    source = encapsulate([data]) if encapsulated else data
    frame, _ = _decoder(form).as_array(source, index=0, **options)
    return _used_bits(frame, form, high_aligned=False)


def _decoder(form: PixelFormat) -> Decoder:
    plain_bytes = form.element.length is not None and form.bits_allocated == 8
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


def _used_bits(frame: NDArray[Any], form: PixelFormat, *, high_aligned: bool) -> NDArray[Any]:
    """Return numbers made of the bits in use only, with their sign; other bits may hold overlays or junk."""
    unused = form.bits_allocated - form.bits_stored
    if not unused or form.dtype.kind == "f" or frame.ndim > 2 or frame.dtype.itemsize * 8 != form.bits_allocated:
        return frame
    high = form.file.elements.integer("HighBit") if high_aligned else None
    up = unused if high is None else min(max(0, form.bits_allocated - 1 - high), unused)
    return (frame << up) >> unused
