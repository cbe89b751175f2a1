"""DICOM segmentations as label maps with the names and colours of their segments."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.compressed import stored_frames
from napari_medseg.io.dicom.elements import Elements
from napari_medseg.io.dicom.enhanced import Groups, frame_plane
from napari_medseg.io.dicom.frame import Plane
from napari_medseg.io.dicom.grouping import SAME_DIRECTION
from napari_medseg.io.dicom.layout import TOLERATED_SHARE
from napari_medseg.io.dicom.parser import DicomFile
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.format import ReadOptions, opaque_id
from napari_medseg.io.limits import check_size
from napari_medseg.io.orientation import grid_from_lps, nearest_zyx
from napari_medseg.volume import Geometry, LabelClass, Volume

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
ON_GRID = 0.02
"""A frame may be off the grid by this share of the spacing."""
VALUE_OWNER, VALUE_GROUP, VALUE_ELEMENT = "napari-medseg", 0x0061, 0x01
"""Where our own files keep the value of a class: segment numbers run from 1 without a gap, class values need not."""


@dataclass(frozen=True)
class SegmentFrame:
    """One plane of one segment."""

    index: int
    segment: int
    """Value of its class; 0 if the pixels hold segment numbers themselves."""
    plane: Plane


def is_segmentation(file: DicomFile) -> bool:
    """Return whether a file is a segmentation of planes."""
    return file.elements.text("SOPClassUID") in (SEGMENTATION, LABEL_MAP)


def label_maps_of(file: DicomFile, options: ReadOptions) -> list[Volume]:
    """Return the segments of a file as one label map, or as several where segments overlap.

    A fractional segmentation gives one image of values in [0, 1] per segment.

    Raises
    ------
    ReadError
        If frames do not lie on one regular grid.
    """
    form = PixelFormat(file)
    frames = _frames(file)
    grid, slots = _grid(file, frames, (form.rows, form.columns))
    classes = _classes(file.elements)
    stored = dict(zip((f.index for f in frames), stored_frames(form, [f.index for f in frames]), strict=True))
    options.control.checkpoint()
    if file.elements.text("SegmentationType") == "FRACTIONAL":
        return [_fractions(file, grid, frames, slots, stored, label) for label in classes]
    layers = _layers(file, grid, frames, slots, stored)
    return [_labels(file, grid, layer, classes, number, len(layers)) for number, layer in enumerate(layers)]


def describe_segmentation(file: DicomFile) -> Volume:
    """Return the label map without its voxels, from the header; overlaps are only known after decoding."""
    form = PixelFormat(file)
    grid, _ = _grid(file, _frames(file), (form.rows, form.columns))
    blank = np.broadcast_to(np.zeros((), np.uint8), grid.shape)
    return _labels(file, grid, blank, _classes(file.elements), 0, 1)


def _frames(file: DicomFile) -> list[SegmentFrame]:
    header = file.elements
    shared = header.item("SharedFunctionalGroupsSequence")
    values = _values(header)
    found = []
    for index, own in enumerate(header.items("PerFrameFunctionalGroupsSequence")):
        groups = Groups(own, shared)
        plane = frame_plane(header, groups)
        if plane is None:
            raise ReadError(f"{file.path.name} does not say where frame {index} lies.", "Export it again.")
        number = groups.item("SegmentIdentificationSequence").integer("ReferencedSegmentNumber")
        found.append(SegmentFrame(index, values.get(number or 0, number or 0), plane))
    if not found:
        raise ReadError(f"{file.path.name} is a segmentation without frames.", "Export it again.")
    if len(found) != PixelFormat(file).frames:
        raise ReadError(
            f"{file.path.name} describes {len(found)} frames but holds {PixelFormat(file).frames}.",
            "The file is damaged.",
        )
    return found


def _grid(file: DicomFile, frames: list[SegmentFrame], shape: tuple[int, int]) -> tuple[Geometry, dict[int, int]]:
    """Return the grid of all planes, empty ones in between included, and the slice of each frame."""
    first = frames[0].plane
    if any(np.abs(np.subtract(f.plane.orientation, first.orientation)).max() > SAME_DIRECTION for f in frames):
        raise ReadError(f"{file.path.name} has planes of several orientations.", "Export them as several files.")
    depth = np.array([np.asarray(f.plane.position) @ first.normal for f in frames])
    levels = np.unique(np.round(depth, 3))
    step = _step(file, levels)
    slots = np.rint((depth - levels[0]) / step).astype(int)
    count = int(slots.max()) + 1
    check_size((count, *shape), np.dtype(np.uint8), file.path.name)
    if np.abs(depth - levels[0] - slots * step).max() > max(ON_GRID * step, 0.02):
        raise ReadError(f"{file.path.name} has planes at uneven distances.", "Export it on the grid of its image.")
    lowest, highest = frames[int(depth.argmin())].plane, frames[int(depth.argmax())].plane
    down, right = np.array(first.orientation[3:]), np.array(first.orientation[:3])
    # With a tilted gantry slices are shifted against one another, so the way from slice to slice is no normal.
    up = np.subtract(highest.position, lowest.position) / (count - 1) if count > 1 else first.normal * step
    positions = np.array([frame.plane.position for frame in frames])
    if np.abs(positions - lowest.position - slots[:, np.newaxis] * up).max() > max(TOLERATED_SHARE * step, 0.05):
        raise ReadError(f"{file.path.name} has planes that do not follow one line.", "Export it as several files.")
    steps = [up, down * first.spacing[0], right * first.spacing[1]]
    grid = grid_from_lps((count, *shape), steps, lowest.position)
    return grid, {frame.index: int(slot) for frame, slot in zip(frames, slots, strict=True)}


def _step(file: DicomFile, levels: NDArray[np.float64]) -> float:
    """Return the distance between planes: what the header says if it fits, else the smallest that occurs."""
    shared = Groups(
        (file.elements.items("PerFrameFunctionalGroupsSequence") or [Elements({}, "<")])[0],
        file.elements.item("SharedFunctionalGroupsSequence"),
    )
    measures = shared.item("PixelMeasuresSequence")
    stated = measures.number("SpacingBetweenSlices") or measures.number("SliceThickness")
    if len(levels) == 1:
        return abs(stated) if stated else 1.0
    smallest = float(np.diff(levels).min())
    if stated and abs(stated) <= smallest * (1 + ON_GRID):
        offsets = (levels - levels[0]) / abs(stated)
        if np.abs(offsets - np.rint(offsets)).max() < ON_GRID:
            return float(levels[-1] - levels[0]) / round(float(offsets[-1]))
    return float(levels[-1] - levels[0]) / max(1, round(float(levels[-1] - levels[0]) / smallest))


def _layers(
    file: DicomFile,
    grid: Geometry,
    frames: list[SegmentFrame],
    slots: dict[int, int],
    stored: dict[int, NDArray[Any]],
) -> list[NDArray[np.unsignedinteger]]:
    """Return as few label maps as hold all segments without one hiding another."""
    numbers = sorted({frame.segment for frame in frames})
    highest = max([label.value for label in _classes(file.elements)] + numbers)
    by_segment: dict[int, list[SegmentFrame]] = defaultdict(list)
    for frame in frames:
        by_segment[frame.segment].append(frame)
    layers: list[NDArray[np.unsignedinteger]] = []
    for number in numbers:
        own = by_segment[number]
        free = (layer for layer in layers if not any(_hides(layer[slots[f.index]], stored[f.index]) for f in own))
        layer = next(free, None)
        if layer is None:
            layer = np.zeros(grid.shape, np.min_scalar_type(max(highest, 1)))
            layers.append(layer)
        for frame in own:
            pixels = stored[frame.index]
            plane = layer[slots[frame.index]]
            plane[pixels > 0] = number or pixels[pixels > 0]
    return layers


def _hides(plane: NDArray[np.unsignedinteger], pixels: NDArray[Any]) -> bool:
    return bool(((plane > 0) & (pixels > 0)).any())


def _fractions(
    file: DicomFile,
    grid: Geometry,
    frames: list[SegmentFrame],
    slots: dict[int, int],
    stored: dict[int, NDArray[Any]],
    label: LabelClass,
) -> Volume:
    values = np.zeros(grid.shape, np.float32)
    largest = file.elements.number("MaximumFractionalValue") or 255.0
    for frame in frames:
        if frame.segment == label.value:
            values[slots[frame.index]] = stored[frame.index] / largest
    volume = _labels(file, grid, values, (), 0, 1)
    return replace(volume, kind="image", name=f"{volume.name} {label.name}", units="fraction", window=(0.0, 1.0))


def _labels(
    file: DicomFile,
    grid: Geometry,
    data: NDArray[np.generic],
    classes: tuple[LabelClass, ...],
    number: int,
    count: int,
) -> Volume:
    header = file.elements
    present = set(np.unique(data).tolist()) if count > 1 else {label.value for label in classes}
    parts = ("SEG", header.text("SeriesNumber") or "", f"layer {number + 1}" if count > 1 else "")
    note = (f"Segments overlap: they come as {count} label maps.",) if count > 1 else ()
    volume = Volume(
        data,
        grid,
        name=" ".join(part for part in parts if part),
        kind="labels",
        modality="SEG",
        classes=tuple(label for label in classes if label.value in present),
        series_id=opaque_id(header.text("SeriesInstanceUID") or str(file.path)),
        warnings=note,
    )
    return nearest_zyx(volume)


def _classes(header: Elements) -> tuple[LabelClass, ...]:
    found, values = [], _values(header)
    for item in header.items("SegmentSequence"):
        number = item.integer("SegmentNumber")
        if number is None or not 0 < number <= 65535:
            continue
        name = item.text("SegmentLabel") or f"segment {number}"
        color = _color(item.numbers("RecommendedDisplayCIELabValue"))
        found.append(LabelClass(value=values[number], name=name, color=color))
    return tuple(found)


def _values(header: Elements) -> dict[int, int]:
    """Return the value of the class of each segment: its number, unless all have one of their own in our element."""
    numbers: dict[int, int] = {}
    for item in header.items("SegmentSequence"):
        number = item.integer("SegmentNumber") or 0
        own = item.private_numbers(VALUE_OWNER, VALUE_GROUP, VALUE_ELEMENT, "US")
        numbers[number] = int(own[0]) if own else number
    distinct = len(set(numbers.values())) == len(numbers) and all(numbers.values())
    return numbers if distinct else {number: number for number in numbers}


def _color(scaled: tuple[float, ...]) -> str:
    """Return ``#rrggbb`` of a DICOM colour: CIELab scaled to 16 bits.

    The standard means the white point D50, but the programs that write segmentations use that of sRGB, D65.
    """
    if len(scaled) != 3:
        return ""
    lightness = scaled[0] * 100 / 65535
    a, b = (value * 255 / 65535 - 128 for value in scaled[1:])
    fy = (lightness + 16) / 116
    x, y, z = (_cube(fy + a / 500) * 0.9505, _cube(fy), _cube(fy - b / 200) * 1.0889)
    linear = (
        3.2406 * x - 1.5372 * y - 0.4986 * z,
        -0.9689 * x + 1.8758 * y + 0.0415 * z,
        0.0557 * x - 0.2040 * y + 1.0570 * z,
    )
    return "#" + "".join(f"{round(255 * _gamma(value)):02x}" for value in linear)


def _cube(value: float) -> float:
    return value**3 if value > 6 / 29 else 3 * (6 / 29) ** 2 * (value - 4 / 29)


def _gamma(value: float) -> float:
    value = min(1.0, max(0.0, value))
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
