"""How the pixels of a file are stored, as far as its header tells."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.parser import EXPLICIT_BIG, GE_PRIVATE, DicomFile, PixelElement

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
        return self.big_endian and self.bits_allocated == 8 and words

    @property
    def big_endian(self) -> bool:
        """Whether plain pixels are stored with the most significant byte first."""
        return self.file.transfer_syntax in (EXPLICIT_BIG, GE_PRIVATE)

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


def used_bits(frame: NDArray[Any], form: PixelFormat, *, high_aligned: bool) -> NDArray[Any]:
    """Reduce numbers, in place if the array may be written, to the bits in use; others may hold overlays or junk.

    Parameters
    ----------
    frame : array
        Stored numbers of `form`.
    form : PixelFormat
        Tells which bits are in use and whether the highest is a sign.
    high_aligned : bool
        Whether the header's high bit counts; decoders give numbers that end at bit 0.
    """
    unused = form.bits_allocated - form.bits_stored
    if not unused or form.dtype.kind == "f" or frame.ndim > 2 or frame.dtype.itemsize * 8 != form.bits_allocated:
        return frame
    high = form.file.elements.integer("HighBit") if high_aligned else None
    up = unused if high is None else min(max(0, form.bits_allocated - 1 - high), unused)
    out = frame if frame.flags.writeable else None
    if up == unused and frame.dtype.kind == "u":
        return np.asarray(np.bitwise_and(frame, frame.dtype.type((1 << form.bits_stored) - 1), out=out))
    return np.asarray(np.right_shift(np.left_shift(frame, up, out=out), unused, out=out))
