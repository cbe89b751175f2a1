"""Filling the array of a stack with values, file by file, without a second copy of the volume."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.io.dicom.convert import Conversion
from napari_medseg.io.dicom.lazy import lazy_values, mixed
from napari_medseg.io.dicom.pet import UNITS, suv_factor
from napari_medseg.io.dicom.pictures import TooNarrowError, decode
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.dicom.series import Stack, conversions_of, value_types
from napari_medseg.io.format import ReadOptions
from napari_medseg.io.limits import check_size, is_large
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from napari_medseg.io.dicom.parser import DicomFile


MAKER = "napari-medseg"
"""Manufacturer of the images that this package writes."""


def volume_of(stack: Stack, options: ReadOptions) -> Volume:
    """Decode a stack, or open it lazily if it is large."""
    conversions = conversions_of(stack)
    *narrow, sure = value_types(stack, conversions)
    rgb = conversions[stack.first.file].rgb
    shape = stack.shape(rgb=rgb)
    if len(shape) - rgb > 2 and is_large(shape, (*narrow, sure)[0], options.memory_share):
        # Whether the narrow type holds all values is not known before all are read.
        return describe(stack, lazy_values(stack, conversions, sure, rgb=rgb))
    for dtype in narrow:
        try:
            return describe(stack, _values(stack, conversions, dtype, options, check=True))
        except TooNarrowError:
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
    targets = [
        (frame, values[step, number]) for step, volume in enumerate(stack.frames) for number, frame in enumerate(volume)
    ]
    decode(targets, conversions, options, stage=f"Reading {stack.name}", check=check)
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


def _blended(values: NDArray[Any], stack: Stack) -> NDArray[Any]:
    """Return the slices of the grid, mixed from the acquired ones."""
    blends = stack.blends or ()
    result = np.empty((values.shape[0], len(blends), *values.shape[2:]), values.dtype)
    for number, blend in enumerate(blends):
        result[:, number] = mixed(values[:, blend.first], values[:, blend.second], blend)
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
