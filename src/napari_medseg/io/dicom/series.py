"""Volumes of DICOM files: grouped, laid out in space, named and described before a single pixel is decoded."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.classic import CROSS_SECTIONAL, classic_frames
from napari_medseg.io.dicom.convert import Conversion
from napari_medseg.io.dicom.enhanced import enhanced_frames
from napari_medseg.io.dicom.files import Found
from napari_medseg.io.dicom.frame import Frame
from napari_medseg.io.dicom.grouping import Sequence4D, axis_of, sequences_of, series_of
from napari_medseg.io.dicom.layout import Blend, Block, blocks_of
from napari_medseg.io.dicom.mosaic import grid_frames, is_grid, is_mosaic, mosaic_frames
from napari_medseg.io.dicom.parser import DicomFile
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.format import opaque_id
from napari_medseg.volume import Geometry


@dataclass(frozen=True, eq=False)
class Stack:
    """A volume that is ready to be decoded."""

    frames: tuple[tuple[Frame, ...], ...]
    """[step][slice]; one step unless there is a leading axis."""
    geometry: Geometry | None
    """Of the array (slice, row, column); None if the frames lie nowhere."""
    axis: str | None = None
    """Name of the leading axis; None if there is one step."""
    axis_values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    blends: tuple[Blend, ...] | None = None
    """How each slice of the grid is mixed from the frames; None if one to one."""
    warnings: tuple[str, ...] = ()
    part: int = 0
    """Number of the volume among several of one series, from 1; 0 if it is the only one."""
    flat: bool = False
    """Whether frames are pictures, one after another in a leading axis, instead of slices."""

    @property
    def first(self) -> Frame:
        """The frame whose header speaks for all."""
        return self.frames[0][0]

    @property
    def slices(self) -> int:
        """Number of slices of the array."""
        return len(self.frames[0]) if self.blends is None else len(self.blends)

    @property
    def modality(self) -> str | None:
        """DICOM modality code."""
        return self.first.file.elements.text("Modality")

    @property
    def series_id(self) -> str:
        """Opaque identifier of the series, with the number of the volume where the series makes several."""
        series = opaque_id(str(self.first.apart[0]))
        return f"{series}-{self.part}" if self.part else series

    @property
    def name(self) -> str:
        """Modality, series number, and what tells this volume from others of its series."""
        header = self.first.file.elements
        parts = (header.text("Modality") or "image", header.text("SeriesNumber") or "", self.first.label)
        return " ".join(part for part in parts if part)

    def shape(self, *, rgb: bool) -> tuple[int, ...]:
        """Return the shape of the array in stored order."""
        plane = (self.first.rows, self.first.columns, *((3,) if rgb else ()))
        lead = (len(self.frames),) if self.axis is not None else ()
        if self.flat:
            return (*lead, *plane)
        return (*lead, self.slices, *plane)


def stacks_of(found: Found) -> list[Stack]:
    """Return the volumes that the image files among those found make, in the order of series number.

    Raises
    ------
    ReadError
        If files are damaged and no volume can be made without them.
    """
    frames: list[Frame] = []
    damaged = list(found.damaged)
    for file in found.files:
        try:
            frames += frames_of(file) if file.pixels is not None else []
        except ReadError as error:
            damaged.append(error)
    stacks = [stack for group in series_of(frames) for stack in _stacks(group)]
    if damaged and not stacks:
        raise damaged[0]
    notes = (f"{len(damaged)} damaged files were left out; the first: {damaged[0].problem}",) if damaged else ()
    stacks.sort(key=lambda stack: stack.first.file.elements.number("SeriesNumber") or 0.0)
    return _numbered([replace(stack, warnings=(*stack.warnings, *notes)) for stack in stacks])


def _numbered(stacks: list[Stack]) -> list[Stack]:
    """Give a number to each volume of a series that makes several, so that it can be named by itself."""
    peers = Counter(stack.series_id for stack in stacks)
    seen: Counter[str] = Counter()
    found = []
    for stack in stacks:
        seen[stack.series_id] += 1
        found.append(replace(stack, part=seen[stack.series_id]) if peers[stack.series_id] > 1 else stack)
    return found


def frames_of(file: DicomFile) -> list[Frame]:
    """Return the frames of one file, whatever kind it is."""
    form = PixelFormat(file)
    if file.elements.items("PerFrameFunctionalGroupsSequence"):
        return _matching(file, enhanced_frames(file), form)
    if is_mosaic(file.elements) and form.frames == 1:
        (picture,) = classic_frames(file)
        return grid_frames(picture) if is_grid(file.elements) else mosaic_frames(picture)
    _check_frames(form)
    return classic_frames(file)


def _check_frames(form: PixelFormat) -> None:
    """Refuse a number of frames that the bytes of the file cannot hold, before a list of them is made."""
    needed = form.frames * 8 if form.element.length is None else form.frames * form.frame_bits // 8
    if needed > form.bytes_there:
        raise ReadError(
            f"{form.file.path.name} is truncated: {form.frames} frames need {needed} bytes, {form.bytes_there} are "
            "there.",
            "Copy the file again.",
        )


def _matching(file: DicomFile, frames: list[Frame], form: PixelFormat) -> list[Frame]:
    if len(frames) != form.frames:
        raise ReadError(
            f"{file.path.name} describes {len(frames)} frames but holds {form.frames}.", "The file is damaged."
        )
    return frames


def _stacks(frames: list[Frame]) -> list[Stack]:
    """Return the volumes of frames that may share one."""
    if frames[0].plane is None:
        return [_without_place(frames)]
    return [
        stack
        for sequence in sequences_of(frames)
        for block in blocks_of(
            [frame.plane for frame in sequence.volumes[0] if frame.plane is not None],
            (frames[0].rows, frames[0].columns),
            frames[0].thickness or frames[0].step,
        )
        for stack in [_in_space(sequence, block)]
    ]


def _in_space(sequence: Sequence4D, block: Block) -> Stack:
    volumes = tuple(volume[block.start : block.stop] for volume in sequence.volumes)
    axis, values = axis_of(volumes) if len(volumes) > 1 else (None, {})
    notes = (*sequence.warnings, *block.warnings, *_spacing_note(volumes[0], block))
    return Stack(volumes, block.geometry, axis, values, block.blends, notes)


def _without_place(frames: list[Frame]) -> Stack:
    """Return pictures as steps of a leading axis, and slices of unknown place as a volume without geometry."""
    frames = sorted(frames, key=lambda frame: frame.order)
    modality = frames[0].file.elements.text("Modality") or ""
    if len(frames) > 1 and len({frame.file for frame in frames}) > 1 and modality in CROSS_SECTIONAL:
        note = "The files do not say where the slices lie: they are in the order of their numbers, without geometry."
        return Stack((tuple(frames),), None, warnings=(note,))
    if frames[0].tile is not None:
        return Stack((tuple(frames),), None, warnings=("The mosaic does not say where its slices lie.",))
    if len(frames) == 1:
        return Stack(((frames[0],),), None, flat=True)
    header = frames[0].file.elements
    moving = header.number("FrameTime") is not None or bool(header.numbers("FrameTimeVector"))
    name = "time" if moving or modality in ("US", "XA", "RF", "ES") else "frame"
    values = {"time": _frame_times(frames)} if moving else {}
    return Stack(tuple((frame,) for frame in frames), None, name, values, flat=True)


def _frame_times(frames: list[Frame]) -> NDArray[np.float64]:
    header = frames[0].file.elements
    vector = header.numbers("FrameTimeVector")
    if len(vector) == len(frames):
        return np.cumsum(vector) / 1000
    return np.arange(len(frames)) * (header.number("FrameTime") or 0.0) / 1000


def _spacing_note(frames: tuple[Frame, ...], block: Block) -> tuple[str, ...]:
    """Return a sentence if the header's own spacing or thickness contradicts the positions."""
    if len(frames) < 2:
        return ()
    measured = abs(float(block.geometry.spacing[0]))
    stated, thickness = frames[0].step, frames[0].thickness
    if stated and abs(abs(stated) - measured) > 0.01 + 0.02 * measured:
        return (f"The header says slices are {abs(stated):.2f} mm apart; their positions say {measured:.2f} mm, used.",)
    if not stated and thickness and measured > 1.5 * thickness:
        return (f"Slices of {thickness:.2f} mm lie {measured:.2f} mm apart: what is between them was not imaged.",)
    return ()


def conversions_of(stack: Stack) -> dict[DicomFile, Conversion]:
    """Return, per file of a stack, what is done to its pixels."""
    files = dict.fromkeys(frame.file for volume in stack.frames for frame in volume)
    return {file: Conversion(PixelFormat(file)) for file in files}


def value_types(stack: Stack, conversions: dict[DicomFile, Conversion]) -> list[np.dtype[Any]]:
    """Return the types to try for the values of all frames: the last one holds whatever the bits in use can say.

    Most CT leaves the highest bits unused, so that half the memory is enough for what headers seem to need 32 bits for.
    """
    scales = {frame.scale.pair for volume in stack.frames for frame in volume}
    sure = np.result_type(*{conversion.dtype(scales) for conversion in conversions.values()})
    stored = {conversion.form.dtype.itemsize for conversion in conversions.values()}
    return [np.dtype(np.int16), sure] if sure == np.int32 and max(stored) <= 2 else [sure]
