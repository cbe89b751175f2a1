"""From the stored pixels of a frame to values: modality table or rescale, inversion, palette."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from napari_medseg.io.dicom.elements import Elements, Stored, tag_of
from napari_medseg.io.dicom.frame import Frame
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.values import smallest_integer, value_dtype

QUANTITATIVE = frozenset(("CT", "MR", "PT", "NM", "RTDOSE"))
"""Modalities whose values mean something, so that MONOCHROME1 may not turn them over."""
PALETTE_KEYWORDS = tuple(
    f"{prefix}{colour}PaletteColorLookupTable{suffix}"
    for colour in ("Red", "Green", "Blue")
    for prefix, suffix in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)


@dataclass(frozen=True)
class Conversion:
    """What is done to every frame of one file."""

    form: PixelFormat

    @property
    def _header(self) -> Elements:
        return self.form.file.elements

    @cached_property
    def rgb(self) -> bool:
        """Whether the values are colours."""
        return self.form.samples >= 3 or self._has_palette

    @cached_property
    def inverted(self) -> bool:
        """Whether bright means little: values are turned over, unless they are measurements."""
        modality = self._header.text("Modality") or ""
        return self.form.photometric == "MONOCHROME1" and modality not in QUANTITATIVE and not self.rgb

    @cached_property
    def table(self) -> NDArray[Any] | None:
        """The modality table: value of each stored number from `first` on."""
        item = self._header.item("ModalityLUTSequence")
        return None if item is None else _table(item)

    @cached_property
    def first(self) -> int:
        """Stored number of the first entry of `table`."""
        item = self._header.item("ModalityLUTSequence")
        return 0 if item is None else _signed_entry(item.numbers("LUTDescriptor"), self.form.signed)

    @property
    def mirror(self) -> int:
        """What a stored number is subtracted from when values are turned over."""
        return sum(self.form.stored_range)

    @cached_property
    def _has_palette(self) -> bool:
        return self.form.photometric == "PALETTE COLOR" and self.form.samples == 1

    def dtype(self, scales: set[tuple[float, float]]) -> np.dtype[Any]:
        """Return the type of the values under the given slopes and intercepts."""
        if self.rgb:
            return np.dtype(np.uint8) if self.form.bits_allocated <= 8 or self._has_palette else self.form.dtype
        if self.table is not None:
            return smallest_integer(int(self.table.min()), int(self.table.max()))
        if self.form.dtype.kind == "f":
            return self.form.dtype
        if scales == {(1.0, 0.0)}:
            return self.form.dtype
        return value_dtype(*self.form.stored_range, scales)

    @property
    def in_place(self) -> bool:
        """Whether values can be made in the memory of the stored numbers."""
        return self.table is None and not self.rgb and not self.inverted

    def fits(self, dtype: np.dtype[Any], stored: NDArray[Any], frame: Frame) -> bool:
        """Return whether the values of a frame's stored integers lie in the range of an integer type."""
        slope, intercept = frame.scale.pair
        ends = [int(stored.min()) * slope + intercept, int(stored.max()) * slope + intercept]
        limits = np.iinfo(dtype)
        return min(ends) >= limits.min and max(ends) <= limits.max

    def into(self, target: NDArray[Any], stored: NDArray[Any], frame: Frame) -> None:
        """Fill `target` with the values of a frame's stored pixels."""
        if self._has_palette:
            target[...] = self._coloured(stored)
        elif self.rgb:
            target[...] = stored
        elif self.table is not None:
            target[...] = self.table[np.clip(stored.astype(np.int64) - self.first, 0, len(self.table) - 1)]
        else:
            self._scaled_into(target, stored, frame)

    def window(self, frame: Frame) -> tuple[float, float] | None:
        """Return the display limits of a frame in its values."""
        if frame.window is None or not self.inverted or self.table is not None:
            return frame.window
        turned = frame.scale.slope * self.mirror + 2 * frame.scale.intercept
        return turned - frame.window[1], turned - frame.window[0]

    def _scaled_into(self, target: NDArray[Any], stored: NDArray[Any], frame: Frame) -> None:
        slope, intercept = frame.scale.pair
        if self.inverted:
            stored = (self.mirror - stored.astype(np.int64)).astype(stored.dtype)
        if (slope, intercept) == (1.0, 0.0):
            if not np.may_share_memory(target, stored):
                target[...] = stored
        elif slope == 1.0:
            if stored.dtype.kind in "iu" and target.dtype.kind in "iu" and stored.itemsize == target.itemsize:
                # The sum of two bit patterns is the same for numbers with and without sign, and needs no conversion.
                stored = stored.view(target.dtype)
            np.add(stored, target.dtype.type(intercept), out=target, casting="unsafe", dtype=target.dtype)
        else:
            np.multiply(stored, target.dtype.type(slope), out=target, casting="unsafe", dtype=target.dtype)
            target += target.dtype.type(intercept)

    def _coloured(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        coloured = apply_color_lut(stored, self._palette)
        return np.asarray(coloured >> 8 if coloured.dtype.itemsize == 2 else coloured).astype(np.uint8)

    @cached_property
    def _palette(self) -> Dataset:
        """The palette as pydicom wants it."""
        palette = Dataset()
        palette.PixelRepresentation = int(self.form.signed)
        for keyword in PALETTE_KEYWORDS:
            stored = self._header.values.get(tag_of(keyword))
            if isinstance(stored, Stored):
                is_data = keyword.endswith("Data")
                value = stored.value if is_data else [int(n) for n in self._header.numbers(keyword)]
                palette.add_new(tag_of(keyword), "OW" if is_data else "US", value)
        return palette


def _table(item: Elements) -> NDArray[Any] | None:
    descriptor = item.numbers("LUTDescriptor")
    data = item.raw("LUTData")
    if len(descriptor) != 3 or not data:
        return None
    wide = descriptor[2] > 8 or len(data) >= 2 * (descriptor[0] or 65536)
    table = np.frombuffer(data[: len(data) // 2 * 2] if wide else data, f"{item.order}u2" if wide else np.uint8)
    return table[: int(descriptor[0]) or 65536].astype(table.dtype.newbyteorder("="))


def _signed_entry(descriptor: tuple[float, ...], signed: bool) -> int:
    first = int(descriptor[1]) if len(descriptor) == 3 else 0
    return first - 65536 if signed and first > 32767 else first
