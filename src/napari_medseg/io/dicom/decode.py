"""Filling the array of a stack with values, file by file, without a second copy of the volume."""

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.io.dicom.compressed import stored_frames
from napari_medseg.io.dicom.convert import Conversion
from napari_medseg.io.dicom.frame import Frame
from napari_medseg.io.dicom.pet import UNITS, suv_factor
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.dicom.plain import can_fill, fill
from napari_medseg.io.dicom.series import Stack, conversions_of, value_types
from napari_medseg.io.format import ReadOptions
from napari_medseg.io.limits import check_size
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from napari_medseg.io.dicom.parser import DicomFile


MAKER = "napari-medseg"
"""Manufacturer of the images that this package writes."""
WORKERS = min(8, os.cpu_count() or 1)
"""Threads that decode; decoders and numpy let others run meanwhile."""
BATCH_BYTES = 1 << 22
"""Of values that one task makes from files without compression."""
COMPRESSED_BATCH = 2
"""Compressed files that one task decodes."""


class _TooNarrowError(Exception):
    """A value does not fit the type that was tried."""


def volume_of(stack: Stack, options: ReadOptions) -> Volume:
    """Decode a stack."""
    conversions = conversions_of(stack)
    *narrow, sure = value_types(stack, conversions)
    for dtype in narrow:
        try:
            return describe(stack, _values(stack, conversions, dtype, options, check=True))
        except _TooNarrowError:
            continue
    return describe(stack, _values(stack, conversions, sure, options, check=False))


def _values(
    stack: Stack,
    conversions: "dict[DicomFile, Conversion]",
    dtype: np.dtype[Any],
    options: ReadOptions,
    *,
    check: bool,
) -> NDArray[Any]:
    """Return the array of a stack in stored order."""
    rgb = conversions[stack.first.file].rgb
    shape = stack.shape(rgb=rgb)
    check_size(shape, dtype, stack.first.file.path.name)
    values = np.empty((len(stack.frames), len(stack.frames[0]), *shape[-3 if rgb else -2 :]), dtype)
    targets: dict[DicomFile, list[tuple[Frame, NDArray[Any]]]] = defaultdict(list)
    for step, volume in enumerate(stack.frames):
        for number, frame in enumerate(volume):
            targets[frame.file].append((frame, values[step, number]))
    files = list(targets)
    size = _batch_size(files[0], values.nbytes // len(files))
    with ThreadPoolExecutor(WORKERS) as pool:
        pending = [
            pool.submit(_decode_files, [(targets[file], conversions[file]) for file in batch], check=check)
            for batch in (files[start : start + size] for start in range(0, len(files), size))
        ]
        try:
            for done, future in enumerate(pending):
                options.step(f"Reading {stack.name}", done * size, len(files))
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return (values if stack.blends is None else _blended(values, stack)).reshape(shape)


def describe(stack: Stack, data: NDArray[Any]) -> Volume:
    """Return the volume of a stack around an array in stored order."""
    conversion = Conversion(PixelFormat(stack.first.file))
    header = stack.first.file.elements
    ours = header.text("Manufacturer") == MAKER
    factor, notes = suv_factor(stack.frames[0]) if stack.modality == "PT" else (None, ())
    if conversion.inverted:
        notes = (*notes, "Stored as MONOCHROME1: values were turned over, so that bright is dense.")
    volume = Volume(
        data,
        stack.geometry,
        name=stack.name,
        modality=stack.modality,
        units=_units(stack),
        window=conversion.window(stack.first),
        rgb=conversion.rgb,
        axes=() if stack.axis is None else (stack.axis,),
        axis_values=stack.axis_values,
        suv_factor=factor,
        series_id=stack.series_id,
        # Of others it is not taken over: it is free text.
        derivation=(header.text("DerivationDescription") or "") if ours else "",
        source=tuple(dict.fromkeys(frame.file.path for frames in stack.frames for frame in frames)),
        warnings=(*stack.warnings, *notes, *_other_notes(header.text("BurnedInAnnotation"))),
    )
    return nearest_zyx(volume)


def _batch_size(first: "DicomFile", bytes_per_file: int) -> int:
    """Return how many files one task decodes: handing a task to a thread costs as much as reading a small file."""
    if first.pixels is None or first.pixels.length is None:
        return COMPRESSED_BATCH
    return max(1, BATCH_BYTES // max(1, bytes_per_file))


def _decode_files(work: "list[tuple[list[tuple[Frame, NDArray[Any]]], Conversion]]", *, check: bool) -> None:
    for wanted, conversion in work:
        _decode_file(wanted, conversion, check=check)


def _decode_file(wanted: list[tuple[Frame, NDArray[Any]]], conversion: Conversion, *, check: bool) -> None:
    """Fill the targets of the wanted frames of one file."""
    form = conversion.form
    if all(frame.tile is None and can_fill(form, target) for frame, target in wanted) and conversion.in_place:
        for frame, target in wanted:
            stored = fill(form, frame.index, target)
            _check_fit(target.dtype, stored, frame, conversion, check=check)
            conversion.into(target, stored, frame)
        return
    by_index: dict[int, list[tuple[Frame, NDArray[Any]]]] = defaultdict(list)
    for frame, target in wanted:
        by_index[frame.index].append((frame, target))
    for entries, stored in zip(by_index.values(), stored_frames(form, list(by_index)), strict=True):
        for frame, target in entries:
            _check_fit(target.dtype, stored, frame, conversion, check=check)
            conversion.into(target, _tile(stored, frame), frame)


def _check_fit(
    dtype: np.dtype[Any], stored: NDArray[Any], frame: Frame, conversion: Conversion, *, check: bool
) -> None:
    if check and not conversion.fits(dtype, stored, frame):
        raise _TooNarrowError


def _tile(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    if frame.tile is None:
        return stored
    row, column = frame.tile
    return stored[row : row + frame.rows, column : column + frame.columns]


def _blended(values: NDArray[Any], stack: Stack) -> NDArray[Any]:
    """Return the slices of the grid, mixed from the acquired ones."""
    blends = stack.blends or ()
    result = np.empty((values.shape[0], len(blends), *values.shape[2:]), values.dtype)
    whole = np.issubdtype(values.dtype, np.integer)
    for number, blend in enumerate(blends):
        if blend.weight in (0.0, 1.0):
            result[:, number] = values[:, blend.second if blend.weight else blend.first]
            continue
        mixed = values[:, blend.first] * (1 - blend.weight) + values[:, blend.second] * blend.weight
        result[:, number] = np.rint(mixed) if whole else mixed
    return result


def _units(stack: Stack) -> str | None:
    header = stack.first.file.elements
    if stack.modality == "CT":
        kind = header.text("RescaleType")
        return "HU" if kind in (None, "HU", "US") else kind
    found = header.text("Units") or header.text("DoseUnits")
    return None if found is None else UNITS.get(found, found)


def _other_notes(burned_in: str | None) -> tuple[str, ...]:
    return ("The header says that text is burnt into the pixels.",) if burned_in == "YES" else ()
