"""Frames of ordinary files: one image per file, or several without functional groups."""

from collections.abc import Sequence

import numpy as np

from napari_medseg.io.dicom.diffusion import diffusion_of
from napari_medseg.io.dicom.elements import Elements
from napari_medseg.io.dicom.frame import Frame, Plane, Scale, Value, plane_of
from napari_medseg.io.dicom.parser import DicomFile

NORMALISATION = frozenset(("ND", "NORM", "DIS2D", "DIS3D", "FIL", "FM", "SH", "PFP", "MOSAIC"))
"""Siemens' notes on filters, which vary inside one volume."""
CROSS_SECTIONAL = frozenset(("CT", "MR", "PT", "NM"))
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MAPS = frozenset(("ADC", "EADC", "FA", "TRACEW", "TENSOR", "CBF", "CBV", "MTT", "TTP", "SWI", "MNIP"))
"""Parts of the image type by which radiologists know a computed map."""
COMPONENTS = {0: "", 1: "phase", 2: "real", 3: "imaginary"}
"""GE's numbers."""
STEPS = {
    "time position": "TemporalPositionIdentifier",
    "trigger": "TriggerTime",
    "frame time": "FrameReferenceTime",
    "acquisition": "AcquisitionNumber",
    "inversion time": "InversionTime",
    "flip angle": "FlipAngle",
}


def classic_frames(file: DicomFile) -> list[Frame]:
    """Return the frames of a file that has no functional groups."""
    header = file.elements
    count = max(1, header.integer("NumberOfFrames") or 1)
    planes = _planes(header, count)
    scale = scale_of(header)
    return [
        Frame(
            file=file,
            index=index,
            rows=header.integer("Rows") or 0,
            columns=header.integer("Columns") or 0,
            plane=plane,
            apart=apart_of(file, header, plane),
            scale=scale,
            echo=header.number("EchoTime") or 0.0,
            window=window_of(header),
            label=label_of(header),
            thickness=header.number("SliceThickness"),
            step=header.number("SpacingBetweenSlices"),
            steps=steps_of(header),
        )
        for index, plane in enumerate(planes)
    ]


def apart_of(file: DicomFile, header: Elements, plane: Plane | None) -> tuple[Value, ...]:
    """Return what all frames of one volume share."""
    kind = header.texts("ImageType")
    modality = header.text("Modality") or ""
    colour = (header.integer("SamplesPerPixel") or 1) > 1 or header.text("PhotometricInterpretation") == "PALETTE COLOR"
    is_capture = (header.text("SOPClassUID") or "").startswith(SECONDARY_CAPTURE)
    without_place = plane is None and (modality not in CROSS_SECTIONAL or colour or is_capture)
    return (
        header.text("SeriesInstanceUID") or header.text("StudyInstanceUID") or str(file.path.parent),
        header.text("SeriesNumber") or "",
        header.text("SOPClassUID") or "",
        modality,
        float(header.integer("Rows") or 0),
        float(header.integer("Columns") or 0),
        float(colour),
        header.text("FrameOfReferenceUID") or "",
        header.text("StackID") or "",
        header.text("Units") or "",
        header.text("EchoNumbers") or "",
        (header.text("ConvolutionKernel") or "") if modality == "CT" else "",
        image_kind(kind, modality),
        component_of(header),
        # Pictures that do not lie anywhere are not slices of anything.
        str(file.path) if without_place else "",
    )


def image_kind(image_type: Sequence[str], modality: str) -> tuple[str, ...]:
    """Return the part of the image type that never varies inside one volume."""
    if modality == "MR":
        return tuple(part for part in image_type if part not in NORMALISATION)
    return tuple(part for part in image_type if part == "LOCALIZER")


def component_of(header: Elements) -> str:
    """Return which part of complex numbers GE says that an image shows; others say it in the image type."""
    stated = header.private_numbers("GEMS_PARM_01", 0x43, 0x2F, "SS")
    return COMPONENTS.get(int(stated[0]), "") if stated and header.text("Modality") == "MR" else ""


def label_of(header: Elements) -> str:
    """Return what the name of the volume should say beside modality and series number."""
    echo = header.integer("EchoNumbers")
    parts = {"P": "phase", "PHASE": "phase", "R": "real", "I": "imaginary", "REAL": "real", "IMAGINARY": "imaginary"}
    found = [parts[part] for part in header.texts("ImageType")[2:4] if part in parts] or [component_of(header)]
    found = [part for part in found if part] + [part for part in header.texts("ImageType")[2:] if part in MAPS]
    if echo is not None and echo > 1:
        found.insert(0, f"echo {echo}")
    return " ".join(found)


def scale_of(header: Elements) -> Scale:
    """Return slope and intercept; a dose grid has only a factor."""
    dose = header.number("DoseGridScaling")
    if dose is not None and header.text("Modality") == "RTDOSE":
        return Scale(dose, 0.0)
    slope, intercept = header.number("RescaleSlope"), header.number("RescaleIntercept")
    # A slope of 0 would leave nothing of the image: some programs write it where they mean none.
    return Scale(slope or 1.0, intercept or 0.0)


def window_of(header: Elements) -> tuple[float, float] | None:
    """Return lower and upper limit of the first display window (DICOM PS3.3 C.11.2.1.2)."""
    center, width = header.number("WindowCenter"), header.number("WindowWidth")
    if center is None or width is None or width <= 0:
        return None
    if header.text("VOILUTFunction") == "LINEAR_EXACT":
        return center - width / 2, center + width / 2
    if width < 1:
        return None
    return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2


def steps_of(header: Elements) -> dict[str, Value]:
    """Return what may tell apart two frames at one position."""
    found: dict[str, Value] = {}
    for name, keyword in STEPS.items():
        number = header.number(keyword)
        if number is not None:
            found[name] = number
    gradient = diffusion_of(header)
    if gradient is not None:
        found["b_value"] = gradient
    clock = seconds_of_day(header)
    if clock is not None:
        found["clock"] = clock
    return found


def seconds_of_day(header: Elements) -> float | None:
    """Return the time of acquisition in seconds since midnight."""
    moment = header.text("AcquisitionDateTime")
    text = moment[8:14] + moment[14:] if moment and len(moment) >= 14 else header.text("AcquisitionTime")
    return clock_seconds(text)


def clock_seconds(text: str | None) -> float | None:
    """Return seconds since midnight of a DICOM time such as ``131155.91`` or ``13:11:55``."""
    digits = (text or "").replace(":", "").split("+")[0].split("-")[0].strip()
    whole, _, part = digits.partition(".")
    if len(whole) < 4 or not whole.isdigit() or (part and not part.isdigit()):
        return None
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:6] or 0)
    return hours * 3600 + minutes * 60 + seconds + float(f"0.{part or 0}")


def _planes(header: Elements, count: int) -> list[Plane | None]:
    """Return the plane of each frame; only a dose grid and a reconstructed NM volume say where later frames lie."""
    source = header
    if header.vector("ImagePositionPatient", 3) is None:
        source = header.item("DetectorInformationSequence") or header
    first = plane_of(
        source.vector("ImagePositionPatient", 3),
        source.vector("ImageOrientationPatient", 6),
        header.vector("PixelSpacing", 2),
    )
    if count == 1 or first is None:
        return [first] * count
    offsets: tuple[float, ...] = header.numbers("GridFrameOffsetVector")
    if header.text("Modality") == "NM" and "TOMO" in " ".join(header.texts("ImageType")):
        step = header.number("SpacingBetweenSlices") or header.number("SliceThickness") or 0.0
        offsets = tuple(step * i for i in range(count))
    if len(offsets) != count or len(set(offsets)) != count:
        return [None] * count
    return [_moved(first, offset, absolute=offsets[0] != 0) for offset in offsets]


def _moved(plane: Plane, offset: float, *, absolute: bool) -> Plane:
    """Return the plane `offset` mm along the normal, or at that patient z if the offsets are absolute (RT Dose)."""
    position = np.array(plane.position)
    if absolute:
        offset -= plane.position[2]
    return Plane(tuple(map(float, position + plane.normal * offset)), plane.orientation, plane.spacing)
