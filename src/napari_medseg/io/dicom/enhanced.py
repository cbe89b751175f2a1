"""Frames of multi-frame files with functional groups: enhanced CT, MR, PET, colour, and legacy-converted."""

from dataclasses import dataclass

from napari_medseg.io.dicom.classic import (
    apart_of,
    clock_seconds,
    image_kind,
    scale_of,
    steps_of,
    window_of,
)
from napari_medseg.io.dicom.elements import Elements, Stored
from napari_medseg.io.dicom.frame import Frame, Plane, Value, plane_of
from napari_medseg.io.dicom.parser import DicomFile

FRAME_TYPES = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XAXRFFrameCharacteristicsSequence",
)
COMPONENTS = {"P": "phase", "R": "real", "I": "imaginary"}
POSITION_INDEX_TAGS = frozenset((0x00200032, 0x00209057, 0x00209056, 0x00200037, 0x00189327))
"""Dimension pointers that only say where a frame lies."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The functional groups of one frame: its own first, then those that all frames share."""

    own: Elements
    shared: Elements | None

    def item(self, keyword: str) -> Elements:
        """Return a functional group macro, empty if there is none."""
        found = self.own.item(keyword)
        if found is None and self.shared is not None:
            found = self.shared.item(keyword)
        return found or Elements({}, self.own.order)


def enhanced_frames(file: DicomFile) -> list[Frame]:
    """Return the frames of a file with per-frame functional groups."""
    header = file.elements
    shared = header.item("SharedFunctionalGroupsSequence")
    pointers = _dimension_pointers(header)
    per_frame = header.items("PerFrameFunctionalGroupsSequence")
    return [_frame(file, index, Groups(own, shared), pointers) for index, own in enumerate(per_frame)]


def frame_plane(header: Elements, groups: Groups) -> Plane | None:
    """Return where a frame lies, from its functional groups or else from the top level."""
    measures = groups.item("PixelMeasuresSequence")
    position = groups.item("PlanePositionSequence").vector("ImagePositionPatient", 3)
    orientation = groups.item("PlaneOrientationSequence").vector("ImageOrientationPatient", 6)
    spacing = measures.vector("PixelSpacing", 2)
    return plane_of(
        position or header.vector("ImagePositionPatient", 3),
        orientation or header.vector("ImageOrientationPatient", 6),
        spacing or header.vector("PixelSpacing", 2),
    )


def _frame(file: DicomFile, index: int, groups: Groups, pointers: list[int]) -> Frame:
    header = file.elements
    plane = frame_plane(header, groups)
    measures = groups.item("PixelMeasuresSequence")
    values = groups.item("PixelValueTransformationSequence")
    kind = _frame_type(header, groups)
    echo = groups.item("MREchoSequence").number("EffectiveEchoTime")
    echo = header.number("EchoTime") if echo is None else echo
    content = groups.item("FrameContentSequence")
    component = _component(groups, kind)
    apart = (
        *apart_of(file, header, plane),
        image_kind(kind, header.text("Modality") or ""),
        component,
        content.text("StackID") or "",
    )
    return Frame(
        file=file,
        index=index,
        rows=header.integer("Rows") or 0,
        columns=header.integer("Columns") or 0,
        plane=plane,
        apart=apart,
        scale=scale_of(values if values.values else header),
        echo=echo or 0.0,
        window=window_of(groups.item("FrameVOILUTSequence")) or window_of(header),
        label="" if component in ("", "MAGNITUDE", "M") else COMPONENTS.get(component, component.lower()),
        thickness=measures.number("SliceThickness") or header.number("SliceThickness"),
        step=measures.number("SpacingBetweenSlices") or header.number("SpacingBetweenSlices"),
        steps=_steps(header, groups, content, pointers),
    )


def _frame_type(header: Elements, groups: Groups) -> tuple[str, ...]:
    for keyword in FRAME_TYPES:
        kind = groups.item(keyword).texts("FrameType")
        if kind:
            return kind
    return header.texts("ImageType")


def _component(groups: Groups, kind: tuple[str, ...]) -> str:
    found = groups.item("MRImageFrameTypeSequence").text("ComplexImageComponent")
    return found or (kind[3] if len(kind) > 3 and kind[3] in ("M", "P", "R", "I") else "")


def _dimension_pointers(header: Elements) -> list[int]:
    """Return the tag that each dimension index stands for."""
    found = []
    for item in header.items("DimensionIndexSequence"):
        stored = item.values.get(0x00209165)
        value = stored.value if isinstance(stored, Stored) else b"\0\0\0\0"
        order = "little" if item.order == "<" else "big"
        group, element = (int.from_bytes(value[i : i + 2], order) for i in (0, 2))  # type: ignore[arg-type]
        found.append(group << 16 | element)
    return found


def _steps(header: Elements, groups: Groups, content: Elements, pointers: list[int]) -> dict[str, Value]:
    found: dict[str, Value] = steps_of(header)
    moment = content.text("FrameAcquisitionDateTime")
    numbers = {
        "time position": content.number("TemporalPositionIndex"),
        "acquisition": content.number("FrameAcquisitionNumber"),
        "clock": clock_seconds(moment[8:]) if moment else None,
        "time offset": groups.item("TemporalPositionSequence").number("TemporalPositionTimeOffset"),
        "trigger": groups.item("CardiacSynchronizationSequence").number("NominalCardiacTriggerDelayTime"),
        "b_value": _diffusion(groups.item("MRDiffusionSequence")),
    }
    found.update((name, number) for name, number in numbers.items() if number is not None)
    indices = content.numbers("DimensionIndexValues")
    if len(indices) == len(pointers):
        named = zip(pointers, indices, strict=True)
        found.update((f"dimension {tag:08x}", value) for tag, value in named if tag not in POSITION_INDEX_TAGS)
    return found


def _diffusion(group: Elements) -> tuple[float, ...] | None:
    b = group.number("DiffusionBValue")
    if b is None:
        return None
    direction = group.item("DiffusionGradientDirectionSequence")
    vector = None if direction is None else direction.vector("DiffusionGradientOrientation", 3)
    return (b, *(vector or (0.0, 0.0, 0.0)))
